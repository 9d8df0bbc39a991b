"""Adjusted p-values against the definitions, in rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.adjust import METHODS, adjust, bonferroni
from symbolic.errors import InputError, OptionError

pytest.importorskip("statsmodels")


def slow(method: str, p: list[Fraction]) -> list[Fraction]:
    """By the definitions: over subsets of hypotheses (Holm) or the step-up condition (the others)."""
    n = len(p)
    found = []
    for mine in p:
        if method == "holm":
            value = max((sum(q >= other for q in p)) * other for other in p if other <= mine)
        else:
            share = n * (sum(Fraction(1, k) for k in range(1, n + 1)) if "yek" in method else Fraction(1))
            value = min(share * other / sum(q <= other for q in p) for other in p if other >= mine)
        found.append(min(Fraction(1), Fraction(value)))
    return found


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.sampled_from(METHODS[:3]))
def test_never_below_the_exact_value_and_near_it(p: list[float], method: str) -> None:
    found = adjust(p, method)  # type: ignore[arg-type]
    for got, exact in zip(found.adjusted, slow(method, [Fraction(v) for v in p]), strict=True):
        assert Fraction(got) >= exact
        assert got == pytest.approx(float(exact), rel=1e-12, abs=1e-300)
    assert found.rejected == tuple(v <= 0.05 and Fraction(v) <= Fraction(1, 20) for v in found.adjusted)


def test_holm_is_closed_testing_with_bonferroni() -> None:
    p = [0.01, 0.04, 0.03]
    subsets = [[j for j in range(3) if mask >> j & 1] for mask in range(1, 8)]
    closed = [max(min(1, len(s) * min(p[j] for j in s)) for s in subsets if k in s) for k in range(3)]
    assert adjust(p, "holm").adjusted == pytest.approx(closed)


def test_fixed_sequence_is_a_running_maximum() -> None:
    found = adjust([0.01, 0.2, 0.001], "fixed-sequence")
    assert found.adjusted == (0.01, 0.2, 0.2) and found.rejected == (True, False, False)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_bonferroni_is_the_least_double_above(p: float, count: int) -> None:
    exact = min(Fraction(1), count * Fraction(p))
    got = bonferroni(p, count)
    assert Fraction(got) >= exact and (got == 0 or Fraction(math.nextafter(got, -1)) < exact)


def test_results_give_their_upper_bound() -> None:
    results = [SimpleNamespace(sup_p=0.02, inf_p=0.0), SimpleNamespace(sup_p=0.5, inf_p=0.4)]
    assert adjust(results, "bonferroni").p_values == (0.02, 0.5)
    assert adjust([Fraction(1, 10)], "bonferroni").p_values[0] >= Fraction(1, 10)


def test_the_condition_is_said() -> None:
    said = str(adjust([0.01, 0.04], "benjamini-hochberg"))
    assert "inside one image use Holm or Benjamini-Yekutieli" in said
    assert adjust([0.5], "holm").as_dict()["rejected"] == [False]


def test_familywise_error_of_holm() -> None:
    rng = np.random.default_rng(0)
    false = sum(any(adjust(rng.random(5), "holm").rejected) for _ in range(60))
    assert false <= 9


@pytest.mark.parametrize(
    ("p", "options"),
    [
        ([0.5], {"method": "hochberg"}),
        ([0.5], {"alpha": 1.5}),
        ([0.5], {"method": "holm", "count": 3}),
        ([0.5, 0.5], {"method": "bonferroni", "count": 1}),
    ],
)
def test_options_are_checked(p: list[float], options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        adjust(p, **options)  # type: ignore[arg-type]


def test_inputs_are_checked() -> None:
    for bad in ([], [math.nan], 0.5, [2.0]):
        with pytest.raises(InputError):
            adjust(bad)  # type: ignore[arg-type]
