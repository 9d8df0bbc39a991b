"""Ranges of integers: brought to one rank, divided, and read off real enclosures of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import ANYTHING, LOWEST, Batch, Range, Value, as_range

__all__ = ["aligned_ranges", "truncated_quotient"]

LARGEST = 2.0**53
"""Beyond it nothing is said of quotients."""


def aligned_ranges(batch: Batch, a: Value, b: Value) -> tuple[Range, Range]:
    """Two discrete values, of one rank."""
    ranges = [as_range(batch, v) for v in (a, b)]
    rank = max(r.lo.ndim for r in ranges)

    def widen(x: Range) -> Range:
        shape = (x.lo.shape[0], *(1,) * (rank - x.lo.ndim), *x.lo.shape[1:])
        return Range(x.lo.reshape(shape), x.hi.reshape(shape))

    return widen(ranges[0]), widen(ranges[1])


def truncated_quotient(a: Range, b: Range, least: int, most: int) -> Range:
    """a / b, truncated towards zero; undefined where b may be 0, or what comes out is beyond the type."""
    known, ends = np.asarray((b.lo > 0) | (b.hi < 0)), []
    for v in (a.lo, a.hi, b.lo, b.hi):
        small = np.abs(v.astype(np.float64)) <= LARGEST
        known = known & small
        ends.append(np.where(small, v, 0).astype(np.int64))
    divisors = [np.where(known, v, 1) for v in ends[2:]]
    corners = [_truncated(n, d) for n in ends[:2] for d in divisors]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    known = known & (low >= least) & (high <= most)
    return Range(np.where(known, low, LOWEST), np.where(known, high, ANYTHING))


def _truncated(n: NDArray[np.int64], d: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.sign(n) * np.sign(d) * (np.abs(n) // np.abs(d)))
