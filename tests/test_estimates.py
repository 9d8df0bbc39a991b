"""Intervals, estimates and ranges of variances: theorems, the checker, and their false mutants."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from test_laws import LINE, ONE, some_cells

import sureline as sl
from inference.laws.estimates import Bracket, estimates
from inference.laws.law import Law
from inference.laws.normal import NormalLaw
from inference.laws.randomised import RandomisedLaw
from inference.laws.scale import BergerBoosLaw, p_over, scale_range
from inference.laws.student import StudentLaw
from verifier.cells import Cell
from verifier.check.claims.laws import estimates as claimed
from verifier.check.claims.laws import factors, families
from verifier.check.claims.laws import law as checked

INF = math.inf
LEVEL = Fraction(19, 20)


def pairs(rng: random.Random) -> list[tuple[Law, checked.Law]]:
    z, null = Fraction(rng.randint(-300, 300), 97), Fraction(rng.randint(-30, 30), 11)
    v, scale = Fraction(rng.randint(1, 50), 7), Fraction(rng.randint(1, 9), 3)
    nu, tau = Fraction(rng.choice([2, 3, 8, 71])), Fraction(rng.randint(1, 9), rng.randint(1, 9))
    tested, way = z + Fraction(rng.randint(-100, 100), 97), rng.choice(["two-sided", "less", "greater"])
    t = families.Student((z - null) ** 2 + nu * v, null, nu)
    drawn = families.Randomised(v, null, tau, tested)
    return [
        (NormalLaw(z, v, scale, null, way), checked.Law(z, scale, families.Normal(v, null), way)),  # type: ignore[arg-type]
        (StudentLaw(z, v, scale, null, way, nu), checked.Law(z, scale, t, way)),  # type: ignore[arg-type]
        (RandomisedLaw(z, tested, v, tau, scale, null, way), checked.Law(z, scale, drawn, way)),  # type: ignore[arg-type]
    ]


def runs_of(cells: list[Cell]) -> list[list[tuple[Any, Any]]]:
    return [[(c.lo, c.hi) for c in cells if c.verdict == kind] for kind in ("inside", "gap")]


def exact(bracket: Bracket) -> tuple[Any, Any]:
    low, high = (e if math.isinf(e) else Fraction(e) for e in (bracket.lo, bracket.hi))
    return low, high


@pytest.mark.parametrize("seed", range(3))
def test_the_checker_confirms_estimates_and_nothing_sharper(seed: int) -> None:
    rng = random.Random(100 + seed)
    cells = some_cells(rng)
    runs = runs_of(cells)
    for law, other in pairs(rng):
        found = estimates(law, cells, LEVEL, law.alternative)
        likeliest = None if found.maximum_likelihood is None else exact(found.maximum_likelihood)
        claim = claimed.Estimates(
            LEVEL, exact(found.lower), exact(found.upper), exact(found.median_unbiased), likeliest
        )
        assert claimed.confirm_estimates(other, claim, *runs) is None
        low, high = claim.median
        if isinstance(low, Fraction) and isinstance(high, Fraction) and not isinstance(law, RandomisedLaw):
            for wrong in ((high + 1, high + 2), (low - 2, low - 1)):
                mutant = claimed.Estimates(LEVEL, claim.lower, claim.upper, wrong, likeliest)
                assert claimed.confirm_estimates(other, mutant, *runs) == "median_unbiased"


def test_without_truncation_the_interval_is_the_textbook_one() -> None:
    z = Fraction(3, 2)
    found = estimates(NormalLaw(z, Fraction(4), ONE, Fraction(0), "two-sided"), LINE, LEVEL)
    assert found.interval == pytest.approx((1.5 - 2 * stats.norm.isf(0.025), 1.5 + 2 * stats.norm.isf(0.025)))
    assert found.median_unbiased.lo <= 1.5 <= found.median_unbiased.hi
    assert found.maximum_likelihood is not None and found.maximum_likelihood.hi == pytest.approx(1.5)
    t = estimates(StudentLaw(z, Fraction(4), ONE, Fraction(0), "two-sided", Fraction(5)), LINE, LEVEL)
    assert t.interval == pytest.approx(stats.t.interval(0.95, 5, 1.5, 2))
    assert t.maximum_likelihood is None


def test_interval_and_test_agree() -> None:
    """A null outside the interval is rejected, one inside is not (off the bracket of the end)."""
    rng = random.Random(5)
    for _ in range(6):
        cells = some_cells(rng)
        for law, _other in pairs(rng):
            found = estimates(law, cells, LEVEL)
            for bracket, side in ((found.lower, -1), (found.upper, 1)):
                if math.isinf(bracket.lo) or math.isinf(bracket.hi) or found.lower.hi >= found.upper.lo:
                    continue
                wide = max(law.sd, abs(bracket.hi)) / 1000
                outside = Fraction((bracket.lo if side < 0 else bracket.hi) + side * wide)
                within = Fraction((bracket.hi if side < 0 else bracket.lo) - side * wide)
                if not found.lower.hi < within < found.upper.lo:
                    continue
                assert _at(law, outside).p_value(cells).sup_p <= 0.05
                assert _at(law, within).p_value(cells).sup_p > 0.05


def _at(law: Law, null: Fraction) -> Law:
    from inference.laws.estimates import with_null

    return with_null(law)(null)


def test_the_likelihood_is_greatest_at_its_maximum() -> None:
    """Against a numeric search over the truncated likelihood."""
    z, runs = 0.8, [(-3.0, -1.0), (0.2, 1.7)]
    cells = [
        Cell(a, b, v, 0, 0)  # type: ignore[arg-type]
        for a, b, v in (
            (-INF, Fraction(-3), "outside"),
            (Fraction(-3), Fraction(-1), "inside"),
            (Fraction(-1), Fraction(1, 5), "outside"),
            (Fraction(1, 5), Fraction(17, 10), "inside"),
            (Fraction(17, 10), INF, "outside"),
        )
    ]
    moved = [Cell(c.lo - Fraction(4, 5), c.hi - Fraction(4, 5), c.verdict, 0, 0) for c in cells[1:-1]]  # type: ignore[operator]
    cells = [
        Cell(-INF, moved[0].lo, "outside", 0, 0),
        *moved,
        Cell(moved[-1].hi, INF, "outside", 0, 0),
    ]

    def minus_log(mean: float) -> float:
        mass = sum(stats.norm.cdf(b, mean) - stats.norm.cdf(a, mean) for a, b in runs)
        return float((z - mean) ** 2 / 2 + np.log(mass))

    best = optimize.minimize_scalar(minus_log, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x
    found = estimates(NormalLaw(Fraction(4, 5), ONE, ONE, Fraction(0), "two-sided"), cells, LEVEL)
    assert found.maximum_likelihood is not None
    assert found.maximum_likelihood.lo - 1e-6 < best < found.maximum_likelihood.hi + 1e-6


def test_an_end_of_the_set_has_no_finite_estimate() -> None:
    cells = [Cell(-INF, Fraction(0), "outside", 0, 0), Cell(Fraction(0), INF, "inside")]
    found = estimates(NormalLaw(ONE, ONE, ONE, Fraction(0), "two-sided"), cells, LEVEL)
    assert found.lower.lo == -INF and found.median_unbiased.lo == -INF


@pytest.mark.parametrize("seed", range(8))
def test_the_checker_confirms_variance_factors(seed: int) -> None:
    rng = random.Random(200 + seed)
    cells = some_cells(rng)
    runs = runs_of(cells)
    law, other = pairs(rng)[0]
    assert isinstance(law, NormalLaw)
    for level in (Fraction(1, 20), Fraction(3, 10)):
        found = scale_range(law, cells, level)
        if found is None:
            assert law.p_value(cells).inf_p <= level < law.p_value(cells).sup_p
            continue
        rejects = found.decision == "reject"
        assert factors.confirm_factors(other, found.low, found.high, level, rejects, *runs)
        assert not factors.confirm_factors(other, found.low, found.low, level, not rejects, *runs)
        for k in np.geomspace(float(found.low), float(found.high), 25):
            p = NormalLaw(law.stat, law.variance * Fraction(k), law.scale, law.null, law.alternative).p_value(
                cells
            )
            assert p.sup_p <= level if rejects else p.inf_p > level


def test_p_over_factors_holds_every_single_one() -> None:
    rng = random.Random(7)
    for _ in range(10):
        cells = some_cells(rng)
        law = pairs(rng)[0][0]
        assert isinstance(law, NormalLaw)
        low = Fraction(rng.randint(50, 200), 100)
        high = low * Fraction(rng.randint(100, 130), 100)
        bounds = p_over(law, cells, low, high)
        assert bounds is not None
        for k in np.linspace(float(low), float(high), 7):
            p = NormalLaw(law.stat, law.variance * Fraction(k), law.scale, law.null, law.alternative).p_value(
                cells
            )
            assert float(bounds[0]) <= p.inf_p * (1 + 1e-12) + 1e-300
            assert p.sup_p <= float(bounds[1]) * (1 + 1e-12)


@pytest.mark.parametrize("nu", [5, 1000])
def test_berger_boos(nu: int) -> None:
    rng = random.Random(nu)
    cells = some_cells(rng)
    runs = runs_of(cells)
    normal, other = pairs(rng)[0]
    assert isinstance(normal, NormalLaw)
    given = (normal.stat, normal.variance, normal.scale, normal.null, normal.alternative)
    law = BergerBoosLaw(*given, degrees_of_freedom=Fraction(nu))
    p = law.p_value(cells)
    claims = {k: None if v == "-inf" else Fraction(v) for k, v in p.decimals.items()}
    claim = factors.BergerBoos(law.gamma, *law.factors, law.witness, Fraction(nu))
    assert factors.confirm_berger_boos(other, claim, *runs, claims) is None
    low, high = (float(k) for k in law.factors)
    assert stats.chi2.sf(nu / low, nu) + stats.chi2.cdf(nu / high, nu) <= float(law.gamma) * (1 + 1e-6)
    for k in np.geomspace(low, high, 20):
        one = NormalLaw(law.stat, law.variance * Fraction(k), law.scale, law.null, law.alternative)
        assert one.p_value(cells).inf_p + 0.001 <= p.sup_p * (1 + 1e-9)
    narrow = factors.BergerBoos(law.gamma, ONE, law.factors[1], ONE, Fraction(nu))
    assert factors.confirm_berger_boos(other, narrow, *runs, claims) == "factors"


def test_a_length_has_no_mean() -> None:
    from inference.laws.chi import ChiLaw

    with pytest.raises(sl.OptionError):
        estimates(ChiLaw(ONE, 2, ONE, "greater"), LINE, LEVEL)
    with pytest.raises(sl.OptionError):
        estimates(StudentLaw(ONE, ONE, ONE, Fraction(0), "two-sided", ONE), LINE, LEVEL)
