"""Where an enclosure knows of no real number: 1/0, the logarithm of what may be negative, an overflow.

A graph in which anything is undefined has no selection there, whatever its outputs say: another element may
be known, or a Where may hide it. So nothing is claimed on such a segment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.hulls import unknown_where
from symbolic.enclosures.values import ANYTHING, Affine, Batch, Const, Range, Value, as_range

__all__ = ["unclaimed", "undefined_on"]


def undefined_on(value: Value) -> NDArray[np.bool_]:
    """On which segments of the batch some element may be undefined; an exact infinity (a mask) is not."""
    if isinstance(value, Const):
        return np.zeros(1, dtype=bool)
    inner = tuple(range(1, len(value.shape) + 1))
    if isinstance(value, Affine):
        total = sum(np.sum(part, axis=inner) for part in (value.c, value.d, value.r))
        if np.isfinite(total).all():
            return np.zeros(1, dtype=bool)
        finite = np.isfinite(value.c) & np.isfinite(value.d) & np.isfinite(value.r)
        known = finite | (np.isinf(value.c) & (value.d == 0) & (value.r == 0))
    elif value.lo.dtype.kind == "f":
        known = np.isfinite(value.lo) & np.isfinite(value.hi)
    else:
        known = value.hi != ANYTHING
    return np.asarray(~known.all(axis=inner))


def unclaimed(value: Value, where: NDArray[np.bool_]) -> Value:
    """A discrete value of which nothing is claimed on some segments of the batch."""
    found = as_range(Batch(len(where)), value)
    bad = where.reshape(-1, *(1 for _ in found.shape))
    bounds = unknown_where(found, bad)
    if found.margin is None or not isinstance(bounds, Range):
        return bounds
    parts = (found.margin.c, found.margin.d, found.margin.r)
    return Range(bounds.lo, bounds.hi, Affine(*(np.where(bad, np.nan, part) for part in parts)))
