"""The hull of several elements of a tensor of which any may stand: what an unknown index picks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import UP, Array, U
from symbolic.enclosures.values import Affine, Batch, Range, Value, as_range, is_discrete

__all__ = ["Candidates", "Integers", "explicit", "grouped_hull", "unknown_where"]

Integers = NDArray[np.int64]


class Candidates:
    """Element numbers that may stand for each owner: both flat, owners in order, each at least once."""

    def __init__(self, number: Integers, owner: Integers) -> None:
        self.number, self.owner = number, owner

    def shifted(self, first: Integers, count: Integers, stride: int) -> Candidates:
        """Every candidate, moved by stride times first, first + 1, ..., ``count`` of them."""
        again = np.repeat(np.arange(len(self.number)), count)
        step = np.arange(len(again)) - np.repeat(np.cumsum(count) - count, count)
        return Candidates(self.number[again] + stride * (first[again] + step), self.owner[again])

    @property
    def starts(self) -> NDArray[np.intp]:
        """Where the candidates of a new owner begin."""
        return np.flatnonzero(np.diff(self.owner, prepend=-1))


def explicit(batch: Batch, value: Value) -> Affine | Range:
    """A value with an entry for every segment of the batch."""
    found = as_range(batch, value) if is_discrete(value) or isinstance(value, Range) else batch.lift(value)
    shape = (batch.size, *value.shape)
    if isinstance(found, Range):
        return Range(np.broadcast_to(found.lo, shape), np.broadcast_to(found.hi, shape))
    return Affine(*(np.broadcast_to(v, shape) for v in (found.c, found.d, found.r)))


def grouped_hull(value: Affine | Range, candidates: Candidates) -> Affine | Range:
    """One flat entry per owner, around all its candidates; numbers count through segments and elements."""
    at, starts = candidates.number, candidates.starts
    if isinstance(value, Range):
        lo, hi = value.lo.reshape(-1)[at], value.hi.reshape(-1)[at]
        return Range(np.minimum.reduceat(lo, starts), np.maximum.reduceat(hi, starts))
    c, d, r = (v.reshape(-1)[at] for v in (value.c, value.d, value.r))
    return Affine(c, d, r) if len(starts) == len(at) else _hull(c, d, r, starts)


def _hull(c: Array, d: Array, r: Array, starts: NDArray[np.intp]) -> Affine:
    """Each group within the mean of its extreme slopes; equal forms are copied."""
    (c0, c1), (d0, d1) = ((np.minimum.reduceat(v, starts), np.maximum.reduceat(v, starts)) for v in (c, d))
    slope = np.where(d0 == d1, d0, d0 / 2 + d1 / 2)
    reach = (np.abs(d - np.repeat(slope, np.diff(starts, append=len(c)))) + r) * UP
    low, high = np.minimum.reduceat(c - reach, starts), np.maximum.reduceat(c + reach, starts)
    low, high = low - 2 * U * np.abs(low), high + 2 * U * np.abs(high)
    centre = low / 2 + high / 2
    half = np.maximum(high - centre, centre - low) * UP
    alike = (c0 == c1) & (d0 == d1)
    return Affine(np.where(alike, c0, centre), slope, np.where(alike, np.maximum.reduceat(r, starts), half))


def unknown_where(value: Affine | Range, bad: NDArray[np.bool_]) -> Affine | Range:
    """The value without any claim where ``bad``."""
    if not bad.any():
        return value
    if isinstance(value, Affine):
        return Affine(np.where(bad, np.nan, value.c), value.d, value.r)
    kind = value.lo.dtype
    least, most = (False, True) if kind.kind == "b" else (-np.inf, np.inf)
    if kind.kind in "iu":
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
    return Range(np.where(bad, least, value.lo).astype(kind), np.where(bad, most, value.hi).astype(kind))
