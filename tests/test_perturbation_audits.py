"""Audits of explanations by perturbation: truncation sets against plain runs, rankings of Sobol indices."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained_nets import convolutional

import sureline as sl
from symbolic.explanations.method import Method

X = np.random.default_rng(3).normal(size=(1, 1, 6, 6)).astype(np.float32)
EXPLANATIONS: dict[str, Method] = {
    "occlusion": sl.Occlusion(window=3),
    "rise": sl.Rise(masks=20, cells=3),
    "shapley": sl.ExactShapley(regions=(2, 3)),
    "kernel-shap": sl.KernelShap(regions=3, samples=50),
    "lime": sl.Lime(regions=3, samples=50),
    "sobol": sl.Sobol(regions=2, samples=4),
    "sobol-janon": sl.Sobol(regions=2, samples=4, estimator="janon"),
    "sobol-glen": sl.Sobol(regions=2, samples=4, estimator="glen"),
    "sobol-numerator": sl.Sobol(regions=3, samples=4, estimator="homma", normalised=False),
    "sobol-smooth": sl.Sobol(regions=2, samples=4, normalised=False, smooth=True),
    "sobol-blurred": sl.Sobol(regions=2, samples=4, perturbation="blurring", blur=3, design="halton"),
    "sobol-amplitude": sl.Sobol(regions=2, samples=4, perturbation="amplitude"),
}


def valid(result: sl.InferenceResult, folder: Path) -> bool:
    result.certificate.save(folder)
    return sl.check(folder).valid


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_the_truncation_set_is_where_region_and_class_are_the_same(name: str, tmp_path: Path) -> None:
    made = sl.explain(convolutional(), EXPLANATIONS[name])
    _, attribution, chosen = made.outputs(X)
    values = np.unique(attribution)
    k = min(int(0.7 * len(values)), len(values) - 2)
    hypothesis = sl.BackMeanDiff(float(0.05 * values[k] + 0.95 * values[k + 1]))  # so that little ends it
    result = sl.audit(made, X, hypothesis=hypothesis, var=1)
    threshold = float(Fraction(result.certificate.document["hypothesis"]["threshold"]))
    roi = result.roi.reshape(X.shape).astype(bool)
    contrast = np.where(roi, 1 / roi.sum(), -1 / (~roi).sum())
    direction, sd = contrast / (contrast**2).sum(), float(np.sqrt((contrast**2).sum()))
    inside = [(float(a), float(b)) for a, b in result.truncated_intervals]
    searched = [(float(a), float(b)) for a, b in result.searched_intervals]
    seen: dict[bool, int] = {True: 0, False: 0}
    near = [
        z + e * sd for pair in inside for z in pair for e in (-0.05, -0.02, 0.02, 0.05) if abs(z) < 4 * sd
    ]
    for z in (*near, *np.random.default_rng(0).normal(0, 2 * sd, 80)):
        if not any(a < z < b for a, b in searched):  # far out, where p does not need it
            continue
        if any(abs(z - end) < 1e-3 * sd for pair in inside for end in pair):
            continue
        _, moved, other = made.outputs(X + (z - result.stat) * direction)
        if np.abs(moved - threshold).min() < 1e-5 * np.abs(moved).max():
            continue
        same = bool(((moved > threshold) == roi).all() and other == chosen)
        assert same == any(a < z < b for a, b in inside), z
        seen[same] += 1
    assert min(seen.values()) > 3
    assert valid(result, tmp_path / "c")


@pytest.mark.parametrize("estimator", ["jansen", "homma"])
def test_rankings_of_indices_and_of_their_numerators_are_one_event(estimator: Any, tmp_path: Path) -> None:
    """The variance is shared, so both audits ask the same; without it all pieces are quadratic."""
    found = []
    for normalised in (True, False):
        made = sl.explain(convolutional(), sl.Sobol(2, 8, estimator, normalised=normalised))
        result = sl.audit(made, X, hypothesis=sl.BackMeanDiff(top=9), var=1)
        assert valid(result, tmp_path / str(normalised))
        found.append(result)
    one, two = found
    np.testing.assert_array_equal(one.roi, two.roi)
    assert max(one.inf_p, two.inf_p) <= min(one.sup_p, two.sup_p)
    assert one.sup_p - one.inf_p < 1e-4
