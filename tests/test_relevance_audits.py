"""Audits of relevance: truncation sets against plain runs, and what is exactly piecewise linear."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from explained_nets import convolutional

import sureline as sl
from symbolic.explanations.method import Method

X = np.random.default_rng(3).normal(size=(1, 1, 6, 6)).astype(np.float32)
EXPLANATIONS: dict[str, Method] = {
    "epsilon": sl.LrpEpsilon(1e-2),
    "z-plus": sl.LrpZPlus(),
    "alpha-beta": sl.LrpAlphaBeta(),
    "gamma": sl.LrpGamma(),
    "flat": sl.LrpFlat(),
    "w-square": sl.LrpWSquare(),
    "bounded": sl.LrpBounded(-4, 4),
    "deep-taylor": sl.DeepTaylor(),
}


def audited(method: Method, engine: str = "search") -> tuple[sl.Explained, sl.InferenceResult]:
    """The region where the attribution is in its upper fifth, with a threshold that is soon crossed."""
    made = sl.explain(convolutional(), method)
    values = np.unique(made(X)[1])
    k = int(0.8 * len(values))
    hypothesis = sl.BackMeanDiff(float(0.1 * values[k] + 0.9 * values[k + 1]))
    return made, sl.audit(made, X, hypothesis=hypothesis, var=1, engine=engine)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_the_truncation_set_is_where_region_and_class_are_the_same(name: str) -> None:
    made, result = audited(EXPLANATIONS[name])
    chosen = made.outputs(X)[2]
    threshold = float(Fraction(result.certificate.document["hypothesis"]["threshold"]))
    roi = result.roi.reshape(X.shape).astype(bool)
    contrast = np.where(roi, 1 / roi.sum(), -1 / (~roi).sum())
    direction, sd = contrast / (contrast**2).sum(), float(np.sqrt((contrast**2).sum()))
    inside = [(float(a), float(b)) for a, b in result.truncated_intervals]
    searched = [(float(a), float(b)) for a, b in result.searched_intervals]
    seen = {True: 0, False: 0}
    near = [z + e * sd for pair in inside for z in pair for e in (-0.05, -0.02, 0.02, 0.05)]
    for z in (*near, *np.random.default_rng(0).normal(0, 2 * sd, 80)):
        if not any(a < z < b for a, b in searched):
            continue
        if any(abs(z - end) < 1e-3 * sd for pair in inside for end in pair):
            continue
        _, moved, other = made.outputs((X + (z - result.stat) * direction).astype(np.float32))
        if np.abs(moved - threshold).min() < 1e-5 * np.abs(moved).max():
            continue
        same = bool(((moved > threshold) == roi).all() and other == chosen)
        assert same == any(a < z < b for a, b in inside), z
        seen[same] += 1
    assert min(seen.values()) > 3
    assert result.sup_p - result.inf_p < 1e-5


def test_the_checker_follows(tmp_path: Path) -> None:
    _, result = audited(EXPLANATIONS["z-plus"])
    result.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid


@pytest.mark.parametrize("name", ["flat", "w-square"])
def test_shares_by_weights_alone_are_piecewise_linear(name: str) -> None:
    """Engines for that take them, and find the same ends without a gap."""
    _, one = audited(EXPLANATIONS[name])
    _, other = audited(EXPLANATIONS[name], "sweep")
    for result in (one, other):
        assert result.sup_p - result.inf_p < 1e-12
    np.testing.assert_allclose(one.inf_p, other.inf_p, rtol=1e-10)


def test_shares_by_contributions_are_not() -> None:
    with pytest.raises(sl.ModelError, match="not piecewise linear"):
        audited(EXPLANATIONS["z-plus"], "sweep")
