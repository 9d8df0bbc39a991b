"""The laws of estimated variances, lengths and randomised selections, against SciPy, mpmath, the checker."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

import sureline as sl
from inference.laws.chi import ChiLaw, FisherLaw
from inference.laws.composite import CompositeLaw
from inference.laws.law import Law
from inference.laws.normal import NormalLaw
from inference.laws.randomised import RandomisedLaw
from inference.laws.student import StudentLaw
from verifier.cells import Cell
from verifier.check.claims.laws import families
from verifier.check.claims.laws import law as checked

INF = math.inf
ONE = Fraction(1)
LINE = [Cell(-INF, INF, "inside")]


def some_cells(rng: random.Random) -> list[Cell]:
    """A random covering with something inside at t = 0."""
    ends = sorted(rng.sample(range(-300, 300), 2 * rng.randint(1, 6)))
    points = [-INF, *(Fraction(e, 37) for e in ends), INF]
    cells = []
    for a, b in zip(points, points[1:], strict=False):
        verdict = "inside" if a < 0 < b else rng.choice(["inside", "gap", "outside"])
        cells.append(Cell(a, b, verdict, 0, 0))  # type: ignore[arg-type]
    return cells


def some_laws(rng: random.Random) -> list[tuple[Law, checked.Law]]:
    """Every law, as the engine and as the checker has it."""
    z, null = Fraction(rng.randint(-500, 500), 97), Fraction(rng.randint(-30, 30), 11)
    v, scale = Fraction(rng.randint(1, 50), 7), Fraction(rng.randint(1, 9), 3)
    nu, k = Fraction(rng.choice([1, 2, 3, 8, 71])), rng.choice([1, 2, 7, 100])
    square, tau = Fraction(rng.randint(1, 2000), 7), Fraction(rng.randint(1, 9), rng.randint(1, 9))
    tested, margin = z + Fraction(rng.randint(-200, 200), 97), Fraction(rng.randint(1, 30), 11)
    way: Any = rng.choice(["two-sided", "less", "greater"])
    side: Any = rng.choice(["less", "greater"])
    both = CompositeLaw(lambda mean: NormalLaw(z, v, scale, mean, "two-sided"), null, margin)
    near, far = (null - margin, null + margin) if both.near is both.first else (null + margin, null - margin)
    normal, t = families.Normal(v, null), families.Student((z - null) ** 2 + nu * v, null, nu)
    chi, f = families.Chi(square, k), families.Fisher(square / (square + nu), k, nu)
    other = families.Normal(v, far)
    return [
        (NormalLaw(z, v, scale, null, way), checked.Law(z, scale, normal, way)),
        (StudentLaw(z, v, scale, null, way, nu), checked.Law(z, scale, t, way)),
        (ChiLaw(square, k, scale / 20, side), checked.Law(ONE, scale / 20, chi, side)),
        (FisherLaw(square, k, scale / 20, side, nu), checked.Law(ONE, scale / 20, f, side)),
        (
            RandomisedLaw(z, tested, v, tau, scale, null, way),
            checked.Law(z, scale, families.Randomised(v, null, tau, tested), way),
        ),
        (both, checked.Law(z, scale, families.Normal(v, near), "two-sided", other, far > near)),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_the_checker_confirms_every_law_and_nothing_sharper(seed: int) -> None:
    rng = random.Random(seed)
    cells = some_cells(rng)
    runs = [[(c.lo, c.hi) for c in cells if c.verdict == kind] for kind in ("inside", "gap")]
    for law, other in some_laws(rng):
        p = law.p_value(cells)
        claims = {k: None if v == "-inf" else Fraction(v) for k, v in p.decimals.items()}
        assert checked.confirm(other, *runs, claims) is None, type(law).__name__
        low, high = claims["inf_p"], claims["sup_p"]
        slow = isinstance(law, RandomisedLaw) and seed  # integrals with the most bits
        if low is not None and high is not None and 0 < low and high < 1 and not slow:
            little = Fraction(1, 10**9)
            assert checked.confirm(other, *runs, {**claims, "sup_p": high * (1 - little)}) == "sup_p"
            assert checked.confirm(other, *runs, {**claims, "inf_p": low * (1 + little)}) == "inf_p"


@pytest.mark.parametrize("seed", range(6))
def test_approximate_masses_agree_with_the_proved_ones(seed: int) -> None:
    rng = random.Random(seed)
    for law, _ in some_laws(rng):
        reach = law.reach
        lo = np.array([rng.uniform(-reach, reach) for _ in range(40)])
        hi = lo + 10.0 ** np.array([rng.uniform(-6, 1) for _ in lo])
        found = law.log_split(lo, hi)
        for k, (a, b) in enumerate(zip(lo, hi, strict=True)):
            for side, proved in enumerate(law.split([(Fraction(a), Fraction(b))])):
                if proved > 1e-250:
                    assert found[side][k] == pytest.approx(float(proved.log()), abs=1e-5), type(law).__name__


@pytest.mark.parametrize("nu", [1, 4, 30, 1000])
def test_without_truncation_the_t_law_is_the_t_test(nu: int) -> None:
    for stat in (-3.0, 0.5, 40.0):
        low, high = sl.truncated_t_p_value(stat, [(-INF, INF)], 4, nu)
        assert low <= high and high == pytest.approx(2 * stats.t.sf(abs(stat) / 2, nu), rel=1e-10)
        low, high = sl.truncated_t_p_value(stat, [(-INF, INF)], 4, nu, null_value=1, alternative="less")
        assert high == pytest.approx(stats.t.cdf((stat - 1) / 2, nu), rel=1e-10)


@pytest.mark.parametrize("k", [1, 5, 10_000])
def test_without_truncation_lengths_are_chi_and_f(k: int) -> None:
    stat = k**0.5 * 1.01
    assert sl.truncated_chi_p_value(stat, [(0, INF)], k)[1] == pytest.approx(stats.chi.sf(stat, k), rel=1e-9)
    assert sl.truncated_f_p_value(stat, [(0, INF)], k, 20)[1] == pytest.approx(
        stats.f.sf(stat**2 / k, k, 20), rel=1e-9
    )
    assert sl.truncated_f_p_value(stat, [(0, INF)], k, 20, alternative="less")[1] == pytest.approx(
        stats.f.cdf(stat**2 / k, k, 20), rel=1e-9
    )


def test_truncated_t_by_an_integral() -> None:
    """Independent of the beta function: the density itself, by mpmath."""
    stat, var, nu, null = 1.5, 2.0, 7, 0.25
    runs = [(-4.0, -2.0), (0.5, 2.25)]
    square = (stat - null) ** 2 + nu * var
    with mpmath.workdps(30):

        def mass(a: float, b: float) -> Any:
            ends = [max(min(v - null, square**0.5), -(square**0.5)) for v in (a, b)]
            return mpmath.quad(lambda t: (square - t * t) ** (mpmath.mpf(nu) / 2 - 1), ends)

        below = mass(-4, -2) + mass(0.5, stat)
        share = below / (below + mass(stat, 2.25))
    low, high = sl.truncated_t_p_value(stat, runs, var, nu, null, "less")
    assert low <= float(share) * (1 + 1e-12) and float(share) * (1 - 1e-12) <= high
    assert high - low < 1e-14


def test_a_randomised_law_by_sampling() -> None:
    """P(T <= tested) among draws of (T, W) with W in the set."""
    rng = np.random.default_rng(0)
    t = rng.normal(0.5, 1.0, 2_000_000)
    w = t + rng.normal(0.0, 0.7, t.size)
    inside = ((w > 1) & (w < 1.5)) | (w < -0.75)
    tested, z = Fraction(3, 4), Fraction(5, 4)
    law = RandomisedLaw(z, tested, ONE, Fraction(49, 100), ONE, Fraction(1, 2), "less")
    ends = [-INF, Fraction(-2), Fraction(-1, 4), Fraction(1, 4), INF]
    verdicts = ["inside", "outside", "inside", "outside"]
    cells = [Cell(a, b, v, 0, 0) for a, b, v in zip(ends, ends[1:], verdicts, strict=False)]  # type: ignore[arg-type]
    found = law.p_value(cells)
    share = np.mean(t[inside] <= 0.75)
    assert found.sup_p - found.inf_p < 1e-12
    assert abs(found.sup_p - share) < 5 * (share * (1 - share) / inside.sum()) ** 0.5


def test_one_sided_p_values_add_to_one_and_precision_nests() -> None:
    rng = random.Random(3)
    for _ in range(20):
        stat, nu = Fraction(rng.randint(-40, 40), 10), rng.randint(1, 50)
        runs = [(stat - Fraction(rng.randint(1, 30), 7), stat + Fraction(rng.randint(1, 30), 7)), (9, 12)]
        for p, more_options in (
            (sl.truncated_normal_p_value, {}),
            (sl.truncated_t_p_value, {"degrees_of_freedom": nu}),
        ):
            both: Any = [p(stat, runs, 2, alternative=way, **more_options) for way in ("less", "greater")]  # type: ignore[operator]
            less, more = both
            assert less[0] + more[0] <= 1 + 1e-15 and less[1] + more[1] >= 1 - 1e-15


def test_slivers_and_thousands_of_intervals() -> None:
    width = Fraction(1, 10**16)
    sliver = sl.truncated_t_p_value(3, [(3 - width, 3 + 3 * width)], 1, 5, alternative="less")
    assert sliver[1] == pytest.approx(0.25, abs=1e-12)
    many = [(Fraction(k, 100), Fraction(2 * k + 1, 200)) for k in range(4000)]
    low, high = sl.truncated_chi_p_value(Fraction(10004, 1000), many, 100)
    assert 0 < high - low < 1e-14 or low == high
    assert high == pytest.approx(stats.chi.sf(10.004, 100), abs=2e-2)


def test_a_null_that_is_an_interval() -> None:
    def p(mean: Fraction) -> float:
        return NormalLaw(Fraction(3), ONE, ONE, mean, "two-sided").p_value(LINE).sup_p

    def law(margin: Fraction) -> CompositeLaw:
        return CompositeLaw(lambda m: NormalLaw(Fraction(3), ONE, ONE, m, "two-sided"), Fraction(0), margin)

    assert law(Fraction(1)).p_value(LINE).sup_p == p(ONE)
    assert law(Fraction(4)).p_value(LINE).inf_p == 1.0
    with pytest.raises(sl.OptionError):
        law(Fraction(-1))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sl.truncated_normal_p_value(3, [(0, 1)], 1),
        lambda: sl.truncated_normal_p_value(3, [(4, 1)], 1),
        lambda: sl.truncated_normal_p_value(3, [3], 1),  # type: ignore[list-item]
        lambda: sl.truncated_normal_p_value("x", [(0, 4)], 1),
        lambda: sl.truncated_normal_p_value(3, [(0, 4)], 0),
        lambda: sl.truncated_normal_p_value(math.nan, [(0, 4)], 1),
        lambda: sl.truncated_t_p_value(3, [(0, 4)], 1, 0),
        lambda: sl.truncated_chi_p_value(3, [(0, 4)], 1.5),  # type: ignore[arg-type]
        lambda: sl.truncated_chi_p_value(-3, [(-4, 4)], 2),
        lambda: sl.truncated_chi_p_value(3, [(0, 4)], 2, "two-sided"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(sl.SurelineError) as error:
        wrong()
    assert str(error.value).endswith(".")
