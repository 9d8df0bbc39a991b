"""Truncated normal numbers in float64, for tools that approximate: certified ones come from the law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import log_ndtr, logsumexp

__all__ = ["Intervals", "difference", "log_mass", "p_value"]

Intervals = Sequence[tuple[float, float]]


def log_mass(lo: float, hi: float) -> float:
    """Logarithm of the standard normal mass of an interval, without cancellation in the tails."""
    if not lo < hi:
        return -math.inf
    if lo > 0:
        lo, hi = -hi, -lo
    width = hi - lo
    if width * (1 + abs(lo)) < 1e-4:
        middle = (lo + hi) / 2
        return -middle * middle / 2 - 0.5 * math.log(2 * math.pi) + math.log(width)
    low, high = float(log_ndtr(lo)), float(log_ndtr(hi))
    return high + math.log1p(-math.exp(low - high)) if low < high else -math.inf


def _total(intervals: Intervals, mean: float, sd: float) -> float:
    masses = [log_mass((a - mean) / sd, (b - mean) / sd) for a, b in intervals]
    return float(logsumexp(masses)) if masses else -math.inf


def _tails(intervals: Intervals, z: float, mean: float, sd: float) -> tuple[float, float]:
    left = _total([(a, min(b, z)) for a, b in intervals if a < z], mean, sd)
    right = _total([(max(a, z), b) for a, b in intervals if b > z], mean, sd)
    return left, right


def p_value(intervals: Intervals, z: float, sd: float, mean: float = 0.0) -> float:
    """Equal-tailed two-sided p-value of z, normal around mean, truncated; 1 without any mass."""
    left, right = _tails(intervals, z, mean, sd)
    whole = np.logaddexp(left, right)
    if whole == -math.inf:
        return 1.0
    return min(1.0, 2 * math.exp(min(left, right) - whole))


def _overlap(one: Intervals, other: Intervals) -> list[tuple[float, float]]:
    both = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return [(a, b) for a, b in both if a < b]


def _without(one: Intervals, other: Intervals) -> list[tuple[float, float]]:
    """The part of one union of intervals that is not in the other."""
    left = list(one)
    for c, d in other:
        left = [pair for a, b in left for pair in ((a, min(b, c)), (max(a, d), b)) if pair[0] < pair[1]]
    return left


def difference(found: Intervals, exact: Intervals, sd: float, mean: float = 0.0) -> tuple[float, float]:
    """Null masses of what was found and is false, and of what is missing, as shares of the exact mass."""
    whole = _total(exact, mean, sd)
    if whole == -math.inf:
        return math.nan, math.nan
    false, missing = _total(_without(found, exact), mean, sd), _total(_without(exact, found), mean, sd)
    return math.exp(min(700.0, false - whole)), math.exp(missing - whole)
