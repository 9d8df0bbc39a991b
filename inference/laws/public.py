"""The laws by themselves: certified p-values of a statistic that is truncated to known intervals."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import inf
from typing import Any

from inference.laws.chi import ChiLaw, FisherLaw
from inference.laws.law import Law
from inference.laws.normal import NormalLaw
from inference.laws.p_value import Alternative, PValue
from inference.laws.student import StudentLaw
from symbolic.errors import InputError, NoiseError, OptionError
from symbolic.reading.exact import exact_number
from verifier.cells import Cell, End

__all__ = [
    "truncated_chi_log_p_value",
    "truncated_chi_p_value",
    "truncated_f_log_p_value",
    "truncated_f_p_value",
    "truncated_normal_log_p_value",
    "truncated_normal_p_value",
    "truncated_t_log_p_value",
    "truncated_t_p_value",
]

Number = int | float | str | Fraction
Intervals = Iterable[tuple[Number, Number]]


def truncated_normal_p_value(
    stat: Number,
    intervals: Intervals,
    var: Number,
    null_value: Number = 0,
    alternative: Alternative = "two-sided",
) -> tuple[float, float]:
    """P-value of a normal statistic that is truncated to a union of intervals.

    Parameters
    ----------
    stat : int, float, str or Fraction
        What was observed; taken exactly, as are all numbers here.
    intervals : iterable of (lo, hi)
        The truncation set, in the units of `stat`, in any order; -inf and inf for rays. It contains `stat`.
    var : number
        Variance of the statistic.
    null_value : number
        Its mean under H0, in the units of `stat`.
    alternative : "two-sided", "less" or "greater"
        With SciPy's meaning; two-sided is equal-tailed, 2 min(F, 1 - F).

    Returns
    -------
    (lower, upper) : tuple of float
        Proved bounds, rounded outward. The lower one is 0.0 only where p is below the least double, or
        where `stat` is an end of the set.

    Raises
    ------
    InputError, NoiseError, OptionError
    """
    p = _normal(stat, intervals, var, null_value, alternative)
    return p.inf_p, p.sup_p


def truncated_normal_log_p_value(
    stat: Number,
    intervals: Intervals,
    var: Number,
    null_value: Number = 0,
    alternative: Alternative = "two-sided",
) -> tuple[float, float]:
    """Natural logarithm of :func:`truncated_normal_p_value`, for p below the range of doubles."""
    p = _normal(stat, intervals, var, null_value, alternative)
    return p.log_inf_p, p.log_sup_p


def truncated_t_p_value(
    stat: Number,
    intervals: Intervals,
    var: Number,
    degrees_of_freedom: Number,
    null_value: Number = 0,
    alternative: Alternative = "two-sided",
) -> tuple[float, float]:
    """P-value of a truncated normal statistic whose variance was estimated from other data.

    Parameters
    ----------
    stat, intervals, null_value, alternative
        As of :func:`truncated_normal_p_value`.
    var : number
        Estimated variance of the statistic, independent of it: degrees_of_freedom var / (true variance) is
        chi-square.
    degrees_of_freedom : number
        Of the estimate.

    Returns
    -------
    (lower, upper) : tuple of float
        Proved bounds, rounded outward. Without truncation p is that of Student's t test.

    Notes
    -----
    Conditional on (stat - null_value)**2 + degrees_of_freedom var; see :mod:`inference.laws.student`.
    """
    p = _student(stat, intervals, var, degrees_of_freedom, null_value, alternative)
    return p.inf_p, p.sup_p


def truncated_t_log_p_value(
    stat: Number,
    intervals: Intervals,
    var: Number,
    degrees_of_freedom: Number,
    null_value: Number = 0,
    alternative: Alternative = "two-sided",
) -> tuple[float, float]:
    """Natural logarithm of :func:`truncated_t_p_value`."""
    p = _student(stat, intervals, var, degrees_of_freedom, null_value, alternative)
    return p.log_inf_p, p.log_sup_p


def truncated_chi_p_value(
    stat: Number, intervals: Intervals, degrees_of_freedom: int, alternative: Alternative = "greater"
) -> tuple[float, float]:
    """P-value of a truncated chi statistic (the root of a chi-square one).

    Parameters
    ----------
    stat : number
        Positive.
    intervals : iterable of (lo, hi)
        In the units of `stat`; what is below 0 does not count.
    degrees_of_freedom : int
    alternative : "greater" or "less"

    Returns
    -------
    (lower, upper) : tuple of float
        Proved bounds, rounded outward.
    """
    p = _chi(stat, intervals, degrees_of_freedom, alternative)
    return p.inf_p, p.sup_p


def truncated_chi_log_p_value(
    stat: Number, intervals: Intervals, degrees_of_freedom: int, alternative: Alternative = "greater"
) -> tuple[float, float]:
    """Natural logarithm of :func:`truncated_chi_p_value`."""
    p = _chi(stat, intervals, degrees_of_freedom, alternative)
    return p.log_inf_p, p.log_sup_p


def truncated_f_p_value(
    stat: Number,
    intervals: Intervals,
    numerator: int,
    denominator: Number,
    alternative: Alternative = "greater",
) -> tuple[float, float]:
    """P-value of a truncated chi statistic whose variance was estimated from other data.

    Parameters
    ----------
    stat : number
        The length T, positive: T**2 / numerator is F.
    intervals : iterable of (lo, hi)
        In the units of `stat`.
    numerator : int
        Degrees of freedom of T**2.
    denominator : number
        Degrees of freedom of the variance.
    alternative : "greater" or "less"

    Returns
    -------
    (lower, upper) : tuple of float
        Proved bounds, rounded outward. Without truncation p is that of an F test.
    """
    p = _fisher(stat, intervals, numerator, denominator, alternative)
    return p.inf_p, p.sup_p


def truncated_f_log_p_value(
    stat: Number,
    intervals: Intervals,
    numerator: int,
    denominator: Number,
    alternative: Alternative = "greater",
) -> tuple[float, float]:
    """Natural logarithm of :func:`truncated_f_p_value`."""
    p = _fisher(stat, intervals, numerator, denominator, alternative)
    return p.log_inf_p, p.log_sup_p


def _normal(
    stat: Number, intervals: Intervals, var: Number, null: Number, alternative: Alternative
) -> PValue:
    at, variance = _number(stat, "stat"), _positive(var, "var")
    law = NormalLaw(at, variance, Fraction(1), _number(null, "null_value"), alternative)
    return law.p_value(_cells(at, intervals, Fraction(1)))


def _student(
    stat: Number, intervals: Intervals, var: Number, nu: Number, null: Number, alternative: Alternative
) -> PValue:
    at, variance, freedom = _number(stat, "stat"), _positive(var, "var"), _positive(nu, "degrees_of_freedom")
    law = StudentLaw(at, variance, Fraction(1), _number(null, "null_value"), alternative, freedom)
    return law.p_value(_cells(at, intervals, Fraction(1)))


def _chi(stat: Number, intervals: Intervals, rank: int, alternative: Alternative) -> PValue:
    at = _positive(stat, "stat")
    law = ChiLaw(at * at, _count(rank, "degrees_of_freedom"), Fraction(1), alternative)
    return law.p_value(_cells(at, intervals, at))


def _fisher(stat: Number, intervals: Intervals, rank: int, nu: Number, alternative: Alternative) -> PValue:
    at, freedom = _positive(stat, "stat"), _positive(nu, "denominator")
    law: Law = FisherLaw(at * at, _count(rank, "numerator"), Fraction(1), alternative, freedom)
    return law.p_value(_cells(at, intervals, at))


def _number(value: Number, name: str) -> Fraction:
    return exact_number(value, name, error=OptionError)


def _positive(value: Number, name: str) -> Fraction:
    number = exact_number(value, name, error=NoiseError)
    if number <= 0:
        raise NoiseError(f"{name} is {value}; it must be positive.")
    return number


def _count(value: int, name: str) -> int:
    number = _positive(value, name)
    if number.denominator != 1:
        raise NoiseError(f"{name} is {value}; it must be a whole number.")
    return number.numerator


def _cells(stat: Fraction, intervals: Intervals, scale: Fraction) -> list[Cell]:
    """The set as cells of t, z = stat + scale t; everything else is outside."""
    if not isinstance(intervals, Iterable):
        raise InputError(f"intervals is {intervals!r}; give pairs (lo, hi).")
    pairs: list[tuple[End, End]] = []
    for pair in intervals:
        try:
            lo, hi = pair
        except (TypeError, ValueError):
            raise InputError(f"an interval is {pair!r}; give pairs (lo, hi).") from None
        a, b = _end(lo), _end(hi)
        if not a < b:
            raise InputError(f"an interval is ({lo}, {hi}); its start must be less than its end.")
        pairs.append((a, b))
    if not any(a <= stat <= b for a, b in pairs):
        raise InputError(f"stat = {float(stat):.9g} lies in none of the intervals.")
    cells: list[Cell] = []
    at: End = -inf
    for a, b in sorted(pairs):
        a, b = (e if isinstance(e, float) else (e - stat) / scale for e in (a, b))
        if b <= at:
            continue
        if a > at:
            cells.append(Cell(at, a, "outside", 0, 0))
        cells.append(Cell(max(a, at), b, "inside"))
        at = b
    return [*cells, Cell(at, inf, "outside", 0, 0)] if at < inf else cells


def _end(value: Any) -> End:
    if isinstance(value, float) and value in (-inf, inf):
        return value
    return exact_number(value, "an end of an interval", error=InputError)
