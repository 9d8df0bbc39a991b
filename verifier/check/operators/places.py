"""Elements named by indices, which may be known or not: what any of them can be.

The number of a named element is ``start + sum of stride * index``. Where an index is only known to lie
between bounds, the element is enclosed by the hull of all that it may name.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from verifier.check.errors import Undecided
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Arithmetic, Array, Form
from verifier.check.operators.registry import LARGEST_TENSOR, Node

__all__ = ["Axis", "Pairs", "Places", "by_axis", "by_element", "by_tuple", "hull"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """An axis with an index: the distance of its elements, its length, and for every element of the result
    the number of its index among all indices.
    """

    stride: int
    size: int
    at: Array

    def known(self, node: Node, indices: Array) -> Array:
        """Its index for every element of the result, counted from the front."""
        found = indices.reshape(-1)[self.at]
        if ((found < -self.size) | (found >= self.size)).any():
            raise node.refuse("an index lies outside its axis")
        return np.where(found < 0, found + self.size, found)

    def bounds(self, indices: Discrete) -> tuple[Array, Array]:
        """Bounds of its index on every cell; one that may lie outside the axis leaves its cells undecided."""
        lo, hi = (a.reshape(-1, a.shape[-1])[self.at] for a in (indices.lo, indices.hi))
        wrong = (lo < -self.size) | (hi >= self.size)
        if wrong.any():
            raise Undecided(_cells(wrong))
        mixed = (lo < 0) & (hi >= 0)  # the last or the first: anything between
        lo, hi = np.where(lo < 0, lo + self.size, lo), np.where(hi < 0, hi + self.size, hi)
        return np.where(mixed, 0, lo), np.where(mixed, self.size - 1, hi)


def _cells(wrong: Array) -> list[int]:
    """The cells at fault; all of them (an empty list) where one value stands for all cells."""
    cells: list[int] = np.flatnonzero(wrong.reshape(-1, wrong.shape[-1]).any(axis=0)).tolist()
    return cells if wrong.shape[-1] > 1 else []


@dataclass(frozen=True)
class Pairs:
    """Which element may be which named one, on which cell: three flat arrays of one length."""

    named: Array
    number: Array
    cell: Array


@dataclass(frozen=True)
class Places:
    """The numbers of the elements that indices name; `start` has the shape of the result."""

    start: Array
    axes: list[Axis]

    def numbers(self, node: Node, indices: Array) -> Array:
        """The numbers for known indices."""
        total = self.start.copy()
        for axis in self.axes:
            total += axis.stride * axis.known(node, indices)
        return total

    def pairs(self, indices: Discrete) -> tuple[Pairs, Array]:
        """All that may be named, and which names have one candidate only."""
        ends = [axis.bounds(indices) for axis in self.axes]
        counts = [hi - lo for lo, hi in ends]
        shape = np.broadcast_shapes(self.start.shape + (1,), *(c.shape for c in counts))
        most = [int(c.max(initial=0)) + 1 for c in counts]
        if math.prod(most) * math.prod(shape) > LARGEST_TENSOR:
            raise Undecided([])
        found = []
        for step in itertools.product(*map(range, most)):
            here = np.ones(shape, dtype=bool)
            number = np.broadcast_to(self.start[..., None], shape)
            for axis, k, (lo, _), count in zip(self.axes, step, ends, counts, strict=True):
                here = here & (k <= count)
                number = number + axis.stride * (lo + k)
            at = np.nonzero(here.reshape(-1, shape[-1]))
            found.append((*at, number.reshape(-1, shape[-1])[at]))
        named, cell, number = (np.concatenate(parts) for parts in zip(*found, strict=True))
        single = np.broadcast_to(np.logical_and.reduce([c == 0 for c in counts]), shape)
        return Pairs(named, number, cell), single.reshape(-1, shape[-1])


# ---- the places of each operator -------------------------------------------------------------------------


def _strides(shape: Shape) -> list[int]:
    return [math.prod(shape[k + 1 :]) for k in range(len(shape))]


def _places(data: Shape, result: Shape, coordinates: dict[int, int], axes: list[Axis]) -> Places:
    """`coordinates`: which axis of the result is which axis of the data."""
    strides, grid = _strides(data), np.indices(result, sparse=True)
    start = np.zeros(result, dtype=np.int64)
    for own, theirs in coordinates.items():
        start += strides[theirs] * grid[own]
    return Places(start, axes)


def _numbered(shape: Shape, result: Shape, first: int) -> Array:
    """Of every element of the result the coordinates from axis `first` on, as a number in this shape."""
    count = np.arange(math.prod(shape)).reshape(shape + (1,) * (len(result) - first - len(shape)))
    return np.broadcast_to(count, result)


def by_axis(data: Shape, indices: Shape, axis: int) -> Places:
    """Gather."""
    result, shift = data[:axis] + indices + data[axis + 1 :], len(indices)
    own = {k: k for k in range(axis)} | {k + shift - 1: k for k in range(axis + 1, len(data))}
    at = _numbered(indices, result, axis)
    return _places(data, result, own, [Axis(_strides(data)[axis], data[axis], at)])


def by_element(node: Node, data: Shape, indices: Shape, axis: int) -> Places:
    """GatherElements and ScatterElements."""
    others = [(n, m) for k, (n, m) in enumerate(zip(indices, data, strict=True)) if k != axis]
    if any(n > m for n, m in others):
        raise node.refuse("indices do not fit the data")
    own = {k: k for k in range(len(data)) if k != axis}
    at = _numbered(indices, indices, 0)
    return _places(data, indices, own, [Axis(_strides(data)[axis], data[axis], at)])


def by_tuple(node: Node, data: Shape, indices: Shape, batch: int) -> Places:
    """GatherND and ScatterND."""
    lead, count = indices[:-1], indices[-1]
    if batch < 0 or not 1 <= count <= len(data) - batch or lead[:batch] != data[:batch]:
        raise node.refuse("indices do not fit the data")
    result = lead + data[batch + count :]
    own = {k: k for k in range(batch)}
    own |= {len(lead) + k: batch + count + k for k in range(len(data) - batch - count)}
    row = _numbered(lead, result, 0)
    axes = [Axis(_strides(data)[batch + k], data[batch + k], row * count + k) for k in range(count)]
    return _places(data, result, own, axes)


# ---- hulls -----------------------------------------------------------------------------------------------


def hull(ar: Arithmetic, value: Form | Discrete, pairs: Pairs, count: int, cells: int) -> Form | Discrete:
    """The hull, for each of `count` names on each cell, of the elements of the flat `value` paired with it.

    Every name has a pair on every cell. A single candidate is copied.
    """
    place = pairs.named * cells + pairs.cell
    order = np.argsort(place, kind="stable")
    place, number, cell = place[order], pairs.number[order], pairs.cell[order]
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    alone = len(starts) == len(place)
    if isinstance(value, Form) and ar.fast and not alone:
        value = ar.at(value, value.e + max(0, value.size.bit_length() - 58))

    def rows(a: Array) -> Array:
        return np.broadcast_to(a, (len(a), cells))[number, cell]

    if isinstance(value, Discrete):
        lo, hi = np.minimum.reduceat(rows(value.lo), starts), np.maximum.reduceat(rows(value.hi), starts)
        return Discrete(lo.reshape(count, cells), hi.reshape(count, cells))
    c, d, r = rows(value.c), rows(value.d), rows(value.r)
    if not alone:
        c, d, r = _around(c, d, r, starts)
    c, d, r = (a.reshape(count, cells) for a in (c, d, r))
    return ar.normal(c, d, r, value.e, value.degree)


def _around(c: Array, d: Array, r: Array, starts: Array) -> tuple[Array, Array, Array]:
    """Groups of forms below 2**58: each within bounds about the mean of its extreme slopes."""
    (c0, c1), (d0, d1) = ((np.minimum.reduceat(a, starts), np.maximum.reduceat(a, starts)) for a in (c, d))
    equal = (c0 == c1) & (d0 == d1)
    out = [c0.copy(), d0.copy(), np.maximum.reduceat(r, starts)]
    if equal.all():
        return out[0], out[1], out[2]
    slope = np.where(equal, d0, 0)
    slope[~equal] = (d0[~equal] + d1[~equal]) >> 1
    span = np.abs(d - np.repeat(slope, np.diff(starts, append=len(c)))) + r
    low, high = np.minimum.reduceat(c - span, starts)[~equal], np.maximum.reduceat(c + span, starts)[~equal]
    out[0][~equal], out[1][~equal] = (low + high) >> 1, slope[~equal]
    out[2][~equal] = ((high - low) >> 1) + 1
    return out[0], out[1], out[2]
