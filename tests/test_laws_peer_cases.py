"""Truncation sets on which other implementations of these laws go wrong, against mpmath."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from flint import arb, ctx

import sureline as sl
from benchmarks.law_cases import NAMED, Case, drawn, truth
from inference.laws.chi import ChiLaw
from verifier.cells import Cell
from verifier.check.claims.laws.families import Chi, gamma_below
from verifier.check.claims.laws.law import Law, confirm


def bounds(case: Case) -> tuple[float, float]:
    asked: dict[str, Any] = {key: case[key] for key in ("stat", "intervals", "alternative")}
    if case["law"] == "chi":
        return sl.truncated_chi_p_value(**asked, degrees_of_freedom=case["df"])
    return sl.truncated_normal_p_value(**asked, var=1, null_value=case["null"])


@pytest.mark.parametrize("name", NAMED)
def test_named_cases(name: str) -> None:
    low, high = bounds(NAMED[name])
    assert low <= truth(NAMED[name]) <= high
    assert high - low <= 1e-14 * high


@pytest.mark.parametrize("kind", ["ordinary", "far", "slivers", "chi"])
def test_random_sets(kind: str) -> None:
    for seed in range(1000, 1012):
        case = drawn(kind, seed)
        low, high = bounds(case)
        assert low <= truth(case) <= high and high - low <= 1e-14 * high, seed


def test_many_intervals() -> None:
    case = drawn("many", 1000)
    low, high = bounds(case)
    assert low <= truth(case) <= high


def test_truth_by_another_integral() -> None:
    """The comparison itself: erfc against the density, integrated."""
    case = drawn("ordinary", 1000)
    with mpmath.workdps(40):

        def mass(a: float, b: float) -> Any:
            ends = mpmath.linspace(max(a, -40), min(b, 40), 9)
            return mpmath.quad(lambda t: mpmath.npdf(t, case["null"]), ends)

        below = sum(mass(a, min(b, case["stat"])) for a, b in case["intervals"] if a < case["stat"])
        above = sum(mass(max(a, case["stat"]), b) for a, b in case["intervals"] if b > case["stat"])
        shares = {"less": below, "greater": above, "two-sided": 2 * min(below, above)}
        assert abs(shares[case["alternative"]] / (below + above) - truth(case)) < mpmath.mpf(10) ** -30


@pytest.mark.parametrize("rank", [1, 2, 77, 4620, 10_001])
@pytest.mark.parametrize("share", ["1/1000", "1/4", "99/100", "1"])
def test_gamma_below(rank: int, share: str) -> None:
    """Small upper tails are easy; these are the lower ones, where Arb's own function loses its bits."""
    shape, x = Fraction(rank, 2), Fraction(rank, 2) * Fraction(share)
    before = ctx.prec
    try:
        for ctx.prec in (64, 512):
            found = gamma_below(arb(x.numerator) / x.denominator, shape)
            assert found.rel_accuracy_bits() > ctx.prec - 30
            with mpmath.workdps(120 + rank // 4):
                exact = mpmath.gammainc(
                    mpmath.mpf(rank) / 2, 0, mpmath.mpf(x.numerator) / x.denominator, regularized=True
                )
                digits = mpmath.nstr(exact, 100)
            assert found.overlaps(arb(digits) * (1 + arb(0, 1e-99)))
    finally:
        ctx.prec = before


@pytest.mark.parametrize("rank", [1, 77, 4620, 10_000])
def test_lower_tails_of_lengths_are_confirmed(rank: int) -> None:
    square = Fraction(rank) * Fraction(4, 5)
    tenth = Fraction(1, 10)
    cells = [Cell(-math.inf, -tenth, "outside", 0, 0), Cell(-tenth, tenth, "inside")]
    cells.append(Cell(tenth, math.inf, "outside", 0, 0))
    p = ChiLaw(square, rank, Fraction(1), "less").p_value(cells)
    claims = {name: Fraction(p.decimals[name]) for name in ("inf_p", "sup_p")}
    law = Law(Fraction(1), Fraction(1), Chi(square, rank), "less")
    inside = [(-tenth, tenth)]
    assert confirm(law, inside, [], claims) is None
    assert (
        confirm(law, inside, [], {**claims, "sup_p": claims["sup_p"] * (1 - Fraction(1, 10**12))}) == "sup_p"
    )
    assert (
        confirm(law, inside, [], {**claims, "inf_p": claims["inf_p"] * (1 + Fraction(1, 10**12))}) == "inf_p"
    )
