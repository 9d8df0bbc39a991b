"""The checker's p-values: known values, far tails, narrow sets, many cells."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from verifier.check.claims.laws.families import Normal
from verifier.check.claims.laws.law import Law, confirm

INF = math.inf


def holds(law: Law, inside: list[tuple], gaps: list[tuple] = (), **claims: str | None) -> str | None:  # type: ignore[assignment]
    """The first claim that is not confirmed."""
    numbers = {"inf_p": Fraction(0), "sup_p": Fraction(1), "log_inf_p": None, "log_sup_p": Fraction(0)}
    given = {k: None if v is None else Fraction(v) for k, v in claims.items()}
    return confirm(
        law, [tuple(map(end, c)) for c in inside], [tuple(map(end, c)) for c in gaps], {**numbers, **given}
    )


def end(v: object) -> Fraction | float:
    return v if isinstance(v, float) and math.isinf(v) else Fraction(v)  # type: ignore[arg-type]


def law(stat: str, alternative: str = "two-sided", q: str = "1", null: str = "0") -> Law:
    return Law(Fraction(stat), Fraction(1), Normal(Fraction(q), Fraction(null)), alternative)


@pytest.mark.parametrize(
    ("stat", "alternative", "q", "null", "low", "high"),
    [
        ("1.96", "two-sided", "1", "0", "0.0499957902964408", "0.0499957902964410"),
        ("1.96", "greater", "1", "0", "0.0249978951482204", "0.0249978951482205"),
        ("1.96", "less", "1", "0", "0.9750021048517795", "0.9750021048517796"),
        ("3.92", "two-sided", "4", "0", "0.0499957902964408", "0.0499957902964410"),
        ("2.96", "two-sided", "1", "1", "0.0499957902964408", "0.0499957902964410"),
        ("40", "two-sided", "1", "0", "7.311787081830058e-350", "7.311787081830061e-350"),
        ("0", "two-sided", "1", "0", "1", "1"),
    ],
)
def test_the_whole_line_gives_the_naive_p(
    stat: str, alternative: str, q: str, null: str, low: str, high: str
) -> None:
    case = law(stat, alternative, q, null)
    assert holds(case, [(-INF, INF)], inf_p=low, sup_p=high) is None
    assert holds(case, [(-INF, 0), (0, INF)], inf_p=low, sup_p=high) is None
    if low != high:
        assert holds(case, [(-INF, INF)], inf_p=high, sup_p=high) == "inf_p"
        assert holds(case, [(-INF, INF)], inf_p=low, sup_p=low) == "sup_p"


def test_logarithms_at_forty_standard_deviations() -> None:
    case = law("40")
    assert holds(case, [(-INF, INF)], log_inf_p="-803.9152948331939", log_sup_p="-803.9152948331938") is None
    assert holds(case, [(-INF, INF)], log_sup_p="-803.9152948331939") == "log_sup_p"
    assert holds(case, [(-INF, INF)], log_inf_p="-803.9152948331938") == "log_inf_p"


def test_a_very_narrow_set_far_out() -> None:
    width = Fraction(1, 10**16)
    assert (
        holds(law("40"), [(-width, width)], inf_p="0.99999999999999799", sup_p="0.99999999999999801") is None
    )
    assert holds(law("40"), [(-width, 3 * width)], inf_p="0.499999999999", sup_p="0.500000000001") is None


def test_ten_thousand_intervals() -> None:
    cells = [(Fraction(k, 1000), Fraction(2 * k + 1, 2000)) for k in range(-5000, 5000)]
    assert holds(law("1"), cells, inf_p="0.31744153470942", sup_p="0.31744153470943") is None


def test_gaps_count_on_the_worse_side() -> None:
    # Masses: left 1/4 (between -0.6744897501960817 and 0), right 1/2; a gap of mass about 1/4 on the left.
    case = law("0")
    inside, gap = [("-0.6744897501960817", 0), (0, INF)], [(-INF, "-0.6744897501960817")]
    assert holds(case, inside, gap, inf_p="0.6666666666666", sup_p="1") is None
    assert holds(case, inside, gap, inf_p="0.66666666666667") == "inf_p"
    assert holds(case, inside, gap, sup_p="0.9999") == "sup_p"
    assert holds(law("0", "less"), inside, gap, inf_p="0.33333333333333", sup_p="0.50000000000001") is None
    assert holds(law("0", "greater"), inside, gap, inf_p="0.49999999999999", sup_p="0.66666666666667") is None
    assert holds(law("0", "less"), inside, gap, sup_p="0.4999999") == "sup_p"


def test_nothing_certified_says_nothing() -> None:
    assert holds(law("1"), [], [(-INF, INF)]) is None
    assert holds(law("1"), [], [(-INF, INF)], inf_p="1e-300") == "inf_p"
    assert holds(law("1"), [], [(-INF, INF)], log_inf_p="-1e5") == "log_inf_p"
    assert holds(law("1"), [], [(-INF, INF)], sup_p="0.999") == "sup_p"
    # Everything right of the observed value: F = 0.
    assert holds(law("1"), [(0, INF)], sup_p="0") is None
