"""Networks built so that floating point fails: Sureline against truncation sets worked out by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import twin
from scipy.stats import norm

import sureline as sl
from benchmarks.hard_networks import THRESHOLD, VARIANCE, HardCase, Interval, cases

CASES = {case.name: case for case in cases()}
every_case = pytest.mark.parametrize("name", CASES)


def clip(interval: Interval, far: int = 100) -> tuple[Fraction, Fraction]:
    """The interval with ends that are fractions."""
    return Fraction(max(interval[0], -far)), Fraction(min(interval[1], far))


# ---- The cases themselves ----


@every_case
def test_exact_set_is_right(name: str) -> None:
    """Between neighbours among kinks and ends f is affine and has no root: its sign at the middle decides."""
    case = CASES[name]
    ends = {Fraction(e) for interval in case.exact for e in interval if abs(e) < math.inf}
    assert all(case.value(end) == 0 for end in ends)
    kinks = {-Fraction(shift) / Fraction(slope) for _, slope, shift in case.units}
    places = sorted({Fraction(-1000), Fraction(1000)} | ends | kinks)
    for a, b in zip(places, places[1:], strict=False):
        middle = (a + b) / 2
        assert case.value(a) != 0 or case.value(b) != 0
        assert (case.value(middle) > 0) == any(low < middle < high for low, high in case.exact)
    assert any(low < case.observed < high for low, high in case.exact)


@every_case
def test_model_is_the_function(name: str) -> None:
    case = CASES[name]
    for z in (Fraction(0), Fraction(case.observed), Fraction(1, 3), *clip(case.exact[0])):
        pixels = np.array([[z / 2, -z / 2]], dtype=object)
        drawn = twin.evaluate(case.model(), {"x": pixels})["y"].reshape(-1)
        assert (drawn[0], drawn[1]) == (case.value(z), -1)


@pytest.mark.parametrize("name", ["hole 1e-12", "kink at z", "slope 4e-16", "lower tail"])
def test_exact_p(name: str) -> None:
    """Against SciPy where doubles suffice."""
    case = CASES[name]
    shares = [(0.0, 0.0)]
    for a, b in case.exact:
        inner = np.clip(case.observed, float(a), float(b))
        tail = norm.sf if a > 0 else lambda z: -norm.cdf(z)
        shares.append((tail(float(a)) - tail(inner), tail(inner) - tail(float(b))))
    left, right = np.sum(shares, axis=0)
    assert float(case.exact_p()) == pytest.approx(2 * min(left, right) / (left + right), rel=1e-9)


def test_exact_p_far_out() -> None:
    beyond = np.exp(norm.logsf(39.0625) - norm.logsf(39))
    assert float(CASES["39 sd"].exact_p()) == pytest.approx(2 * beyond, rel=1e-9)


def test_exact_p_of_needles() -> None:
    """On a set this narrow the law is uniform."""
    for name in ("set 3e-16", "set 1e-16", "set 1e-17"):
        ((low, high),) = CASES[name].exact
        share = (Fraction(CASES[name].observed) - low) / (high - low)
        assert float(CASES[name].exact_p()) == pytest.approx(float(2 * min(share, 1 - share)), rel=1e-12)


# ---- Sureline's answers ----


@cache
def audited(name: str, mode: str) -> Any:
    case = CASES[name]
    test = sl.load(case.model(), sl.BackMeanDiff(threshold=THRESHOLD))
    return test.inference(case.x, var=VARIANCE, inference_mode=mode)


def contradictions(case: HardCase, claims: list[tuple[str, Any, Any]]) -> list[str]:
    """Cells whose verdict the exact set denies; what no cell covers is caught by the ends that must meet."""
    failures = []
    for verdict, lo, hi in claims:
        within = any(low <= lo and hi <= high for low, high in case.exact)
        touched = any(max(lo, low) < min(hi, high) for low, high in case.exact)
        if (verdict == "inside" and not within) or (verdict == "outside" and touched):
            failures.append(f"({lo}, {hi}) is not {verdict}")
    return failures


@every_case
@pytest.mark.parametrize("mode", ["parametric", "exhaustive"])
def test_audit_claims_nothing_false(name: str, mode: str) -> None:
    case, result = CASES[name], audited(name, mode)
    claims = [(cell.verdict, result.line.z(cell.lo), result.line.z(cell.hi)) for cell in result.cell_list]
    assert claims[0][1] == -math.inf and claims[-1][2] == math.inf
    assert all(a[2] == b[1] for a, b in zip(claims, claims[1:], strict=False))
    assert not contradictions(case, claims)
    for a, b in result.truncated_intervals:
        assert any(low <= a < b <= high for low, high in case.exact)
    assert Fraction(result.inf_p) <= Fraction(case.exact_p(60)) <= Fraction(result.sup_p)


@every_case
def test_certificate_is_confirmed(name: str, tmp_path: Path) -> None:
    audited(name, "parametric").certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit")
    assert report.valid
    exact = Fraction(CASES[name].exact_p(60))
    assert Fraction(report.inf_p) <= exact <= Fraction(report.sup_p)


@every_case
def test_answers(name: str) -> None:
    """Not only true: every end is exact, p is known, and nothing is said that is not so."""
    case, result = CASES[name], audited(name, "exhaustive")
    assert tuple(result.truncated_intervals) == case.exact
    exact = Fraction(case.exact_p(60))
    assert Fraction(result.sup_p) - Fraction(result.inf_p) <= exact / 10**9
    assert not any("tie" in warning for warning in result.warnings)


@every_case
def test_z3_is_exact(name: str, tmp_path: Path) -> None:
    """Rays included, and confirmed by the checker."""
    pytest.importorskip("z3")
    case = CASES[name]
    test = sl.load(case.model(), sl.BackMeanDiff(threshold=THRESHOLD))
    result = test.inference(case.x, var=VARIANCE, engine="z3")
    assert tuple(result.truncated_intervals) == case.exact
    exact = Fraction(case.exact_p(60))
    assert Fraction(result.inf_p) <= exact <= Fraction(result.sup_p)
    assert Fraction(result.sup_p) - Fraction(result.inf_p) <= exact / 10**9
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").valid


@pytest.mark.parametrize("name", ["interval 1e-09", "hole 1e-12", "hole 1e-17", "set 1e-16"])
def test_bare_engine(name: str) -> None:
    """The same sets by `truncation_set`, on the line in units of z."""
    case = CASES[name]
    model = case.model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(THRESHOLD), "threshold"))
    model.graph.node.append(onnx.helper.make_node("Greater", ["y", "threshold"], ["selected"]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("selected", onnx.TensorProto.BOOL, [1, 2]))
    direction = np.array([[0.5, -0.5]])
    found = sl.truncation_set(model, np.zeros((1, 2)), direction, at=case.observed)
    at = Fraction(case.observed)
    moved = [tuple(e if isinstance(e, float) else e + at for e in (c.lo, c.hi)) for c in found.cells]
    assert not contradictions(case, [(c.verdict, *m) for c, m in zip(found.cells, moved, strict=True)])
