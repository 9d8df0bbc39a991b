"""p-values over unions of intervals: against SciPy, in far tails, and under every completion of the gaps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from inference.laws.normal import NormalLaw
from inference.laws.p_value import PValue
from symbolic.errors import OptionError
from verifier.cells import Cell, covering

INF = float("inf")


def law(
    stat: object = 0, variance: object = 1, null: object = 0, alternative: str = "two-sided"
) -> NormalLaw:
    return NormalLaw(Fraction(stat), Fraction(variance), Fraction(1), Fraction(null), alternative)  # type: ignore[arg-type]


def only(*runs: tuple[object, object]) -> list[Cell]:
    """Inside on the runs, certified outside everywhere else."""
    cells, at = [], -INF
    for lo, hi in runs:
        a, b = (v if isinstance(v, float) and np.isinf(v) else Fraction(v) for v in (lo, hi))
        if a > at:
            cells.append(Cell(at, a, "outside", 0, 0))
        cells.append(Cell(a, b, "inside"))
        at = b
    if at < INF:
        cells.append(Cell(at, INF, "outside", 0, 0))
    return cells


def holds(p: PValue, value: float, slack: float = 1e-12) -> bool:
    return p.inf_p * (1 - slack) <= value <= p.sup_p * (1 + slack)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize(
    "runs", [[(-1, 2)], [(-3, -2), (-1, Fraction(1, 2)), (4, 5)], [(-INF, INF)], [(-INF, 1)]]
)
def test_agrees_with_scipy(alternative: str, runs: list[tuple[float, float]]) -> None:
    stat, sd, null = 0.25, 2.0, -0.5
    p = law(Fraction(stat), 4, Fraction(null), alternative).p_value(only(*runs))
    ends = [(float(a) + stat, float(b) + stat) for a, b in runs]
    mass = sum(norm.cdf(b, null, sd) - norm.cdf(a, null, sd) for a, b in ends)
    below = (
        sum(max(0.0, norm.cdf(min(b, stat), null, sd) - norm.cdf(min(a, stat), null, sd)) for a, b in ends)
        / mass
    )
    expected = {"two-sided": 2 * min(below, 1 - below), "less": below, "greater": 1 - below}[alternative]
    assert holds(p, expected, 1e-9)
    assert p.sup_p - p.inf_p < 1e-12
    assert p.log_inf_p <= np.log(p.sup_p) and np.log(p.inf_p) <= p.log_sup_p


def test_forty_standard_deviations() -> None:
    p = law(stat=40).p_value([Cell(-INF, INF, "inside")])
    assert p.inf_p == 0.0 and 0.0 < p.sup_p <= 5e-324
    assert (
        p.log_inf_p <= np.log(2) + norm.logsf(40) + 1e-9 and p.log_sup_p >= np.log(2) + norm.logsf(40) - 1e-9
    )
    assert p.log_sup_p - p.log_inf_p < 1e-9
    assert p.decimals["sup_p"].endswith("e-350")


def test_a_set_one_part_in_ten_to_the_sixteen_wide() -> None:
    # the law is flat there: F is the place inside the interval
    width = Fraction(1, 10**16)
    p = law(stat=3, alternative="less").p_value(only((-width / 4, 3 * width / 4)))
    assert abs(p.sup_p - 0.25) < 1e-12
    assert p.inf_p <= 0.25 + 1e-12


def test_sicore_loses_this_tail() -> None:
    # p = 5.0e-17, where sicore 3.0.0 answers 1.1e-16
    low = norm.isf(2.5e-17)
    stat = Fraction(float(low))
    p = law(stat=stat).p_value([Cell(-INF, INF, "inside")])
    assert holds(p, 2 * norm.sf(float(stat)), 1e-9) and abs(p.sup_p - 5.0e-17) < 1e-18


def test_ten_thousand_intervals() -> None:
    runs = [(Fraction(k, 1000), Fraction(2 * k + 1, 2000)) for k in range(-5000, 5000)]
    p = law().p_value(only(*runs))
    assert p.sup_p - p.inf_p < 1e-12 and 0.99 < p.sup_p <= 1.0


def test_nothing_certified_says_nothing() -> None:
    p = law().p_value([Cell(-INF, INF, "gap")])
    assert (p.inf_p, p.sup_p, p.log_inf_p, p.log_sup_p) == (0.0, 1.0, -INF, 0.0)


def test_less_and_greater_have_scipys_meaning() -> None:
    everything = [Cell(-INF, INF, "inside")]
    assert law(stat=2, alternative="greater").p_value(everything).sup_p < 0.03
    assert law(stat=2, alternative="less").p_value(everything).inf_p > 0.97
    with pytest.raises(OptionError):
        law(alternative="upper")


points = st.lists(st.integers(-400, 400), min_size=4, max_size=12, unique=True)


@given(points, st.data())
def test_every_completion_of_the_gaps_lies_in_the_enclosure(marks: list[int], data: st.DataObject) -> None:
    ends = [Fraction(m, 64) for m in sorted(marks)]
    verdicts = [data.draw(st.sampled_from(["inside", "outside", "gap"])) for _ in ends[1:]]
    alternative = data.draw(st.sampled_from(["two-sided", "less", "greater"]))
    cells = [Cell(a, b, v, 0, 0) for a, b, v in zip(ends, ends[1:], verdicts, strict=False)]  # type: ignore[arg-type]
    cells = [Cell(-INF, ends[0], "outside", 0, 0), *cells, Cell(ends[-1], INF, "outside", 0, 0)]
    here = law(stat=Fraction(1, 3), variance=2, alternative=alternative)
    enclosure = here.p_value(cells)
    completed = []
    for cell in cells:
        if cell.verdict != "gap":
            completed.append(cell)
            continue
        share = data.draw(st.fractions(0, 1, max_denominator=16))
        middle = cell.lo + (cell.hi - cell.lo) * share  # type: ignore[operator]
        first, second = data.draw(st.sampled_from([("inside", "outside"), ("outside", "inside")]))
        parts = [(cell.lo, middle, first), (middle, cell.hi, second)]
        completed += [Cell(a, b, v, 0, 0) for a, b, v in parts if a < b]  # type: ignore[arg-type]
    p = here.p_value(completed)
    if any(c.verdict == "inside" for c in completed):
        assert enclosure.inf_p <= p.sup_p and p.inf_p <= enclosure.sup_p
        assert enclosure.inf_p <= p.inf_p + 1e-15 and p.sup_p <= enclosure.sup_p + 1e-15


@given(st.integers(-3000, 3000), st.integers(1, 3000), st.integers(-1000, 1000))
def test_approximate_masses_order_the_work(lo: int, width: int, stat: int) -> None:
    here = law(stat=Fraction(stat, 100))
    a, b = lo / 100, (lo + width) / 100
    approximate = here.log_mass(np.array([a]), np.array([b]))[0]
    before, ctx.prec = ctx.prec, 200
    try:
        root = arb(2).sqrt()
        u, v = (Fraction(x) + Fraction(stat, 100) for x in (a, b))
        tails = [((arb(abs(x).numerator) / abs(x).denominator) / root).erfc() / 2 for x in (u, v)]
        if u >= 0:
            exact = tails[0] - tails[1]
        elif v <= 0:
            exact = tails[1] - tails[0]
        else:
            exact = 1 - tails[0] - tails[1]
        assert abs(approximate - float(exact.log())) < 1e-6 * max(1.0, abs(approximate))
    finally:
        ctx.prec = before


def test_covering_fills_with_gaps_and_refuses_overlap() -> None:
    cells = covering(
        [Cell(Fraction(1), Fraction(2), "inside"), Cell(Fraction(-1), Fraction(0), "outside", 0, 3)]
    )
    assert [c.verdict for c in cells] == ["gap", "outside", "gap", "inside", "gap"]
    assert cells[0].lo == -INF and cells[-1].hi == INF
    with pytest.raises(ValueError, match="overlap"):
        covering([Cell(Fraction(0), Fraction(2), "inside"), Cell(Fraction(1), Fraction(3), "inside")])
