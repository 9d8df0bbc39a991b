"""Which elements of a tensor indices name: the arithmetic that Gather, Scatter and their relatives share.

The number of a named element is ``start + sum of stride * index`` over the axes that have an index; ``start``
depends on the place in the result alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.hulls import Candidates, Integers
from symbolic.enclosures.values import Batch, Value, as_range
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.shapes import bounded

__all__ = ["Indexed", "Places", "along_axis", "by_element", "by_tuple"]

MOST = 2**24
"""Candidates of all elements of a batch together; with more, nothing is said."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Indexed:
    """An axis that has an index: how far apart its steps are, its length, and where its index stands: in
    which column of the last axis of the indices (None: there is none), with so many axes of the result before
    and after those of the indices."""

    stride: int
    size: int
    column: int | None = None
    before: int = 0
    after: int = 0

    def spread(self, indices: NDArray[Any], lead: int = 0) -> Integers:
        """Its index, broadcastable to the result; ``lead`` batch axes stay in front."""
        mine = indices if self.column is None else indices[..., self.column]
        shape = (*mine.shape[:lead], *(1,) * self.before, *mine.shape[lead:], *(1,) * self.after)
        return mine.reshape(shape).astype(np.int64)


@dataclass(frozen=True)
class Places:
    """The numbers of elements named by indices, as the module says."""

    start: Integers
    axes: tuple[Indexed, ...]

    def numbers(self, node: Node, indices: NDArray[Any]) -> Integers:
        """The numbers for known indices."""
        total = self.start
        for axis in self.axes:
            index = axis.spread(indices)
            if index.size and not (-axis.size <= index.min() and index.max() < axis.size):
                raise ModelError(f"{node.label}: an index lies outside its axis of {axis.size} elements.")
            total = total + axis.stride * np.where(index < 0, index + axis.size, index)
        return np.asarray(total)

    def candidates(self, batch: Batch, indices: Value) -> tuple[Candidates, NDArray[np.bool_]]:
        """The numbers for indices in ranges, owners counting through segments and elements; and which of the
        owners may have no number at all, or have too many."""
        known = as_range(batch, indices)
        full = (batch.size, *self.start.shape)
        bad = np.zeros(full, dtype=bool)
        counts = np.ones(full)
        spans = []
        for axis in self.axes:
            lo, hi = (np.broadcast_to(axis.spread(v, 1), full) for v in (known.lo, known.hi))
            bad |= (lo < -axis.size) | (hi >= axis.size)
            first = np.where(hi < 0, lo + axis.size, np.where(lo >= 0, lo, 0))
            last = np.where(hi < 0, hi + axis.size, np.where(lo >= 0, hi, axis.size - 1))
            spans.append((first, last - first + 1, axis.stride))
            counts *= np.where(bad, 1, last - first + 1)
        bad |= counts > max(1, MOST // max(1, bad.size))
        found = Candidates(
            np.broadcast_to(self.start, full).reshape(-1), np.arange(prod(full), dtype=np.int64)
        )
        for first, count, stride in spans:
            ways = [np.where(bad, k, v).reshape(-1)[found.owner] for k, v in enumerate((first, count))]
            found = found.shifted(ways[0], ways[1], stride)
        return found, bad


def _strides(shape: Shape) -> list[int]:
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _starts(result: Shape, strides: list[int]) -> Integers:
    """The sum of stride times coordinate over the axes of the result."""
    total = np.zeros(result, dtype=np.int64)
    for axis, (size, stride) in enumerate(zip(result, strides, strict=True)):
        total += (np.arange(size) * stride).reshape(-1, *(1,) * (len(result) - axis - 1))
    return total


def along_axis(node: Node, data: Shape, indices: Shape, axis: int) -> Places:
    """Gather: whole slices along an axis."""
    result = (*data[:axis], *indices, *data[axis + 1 :])
    bounded(node, result)
    strides = _strides(data)
    steps = [*strides[:axis], *(0 for _ in indices), *strides[axis + 1 :]]
    index = Indexed(strides[axis], data[axis], before=axis, after=len(data) - axis - 1)
    return Places(_starts(result, steps), (index,))


def by_element(node: Node, data: Shape, indices: Shape, axis: int) -> Places:
    """GatherElements, ScatterElements: an index for every element, which replaces one coordinate."""
    others = zip(indices, data, strict=True)
    if any(n > m for k, (n, m) in enumerate(others) if k != axis):
        raise ModelError(f"{node.label}: indices of shape {list(indices)} do not fit {list(data)}.")
    strides = _strides(data)
    steps = [0 if k == axis else stride for k, stride in enumerate(strides)]
    return Places(_starts(indices, steps), (Indexed(strides[axis], data[axis]),))


def by_tuple(node: Node, data: Shape, indices: Shape, batch: int = 0) -> Places:
    """GatherND, ScatterND: the last axis of the indices is a tuple for the leading axes of the data, behind
    ``batch`` axes that both share."""
    count, lead = indices[-1], indices[:-1]
    if not 0 < count <= len(data) - batch or indices[:batch] != data[:batch]:
        raise ModelError(f"{node.label}: indices of shape {list(indices)} do not fit {list(data)}.")
    rest = data[batch + count :]
    bounded(node, (*lead, *rest))
    strides = _strides(data)
    steps = [*strides[:batch], *(0 for _ in lead[batch:]), *strides[batch + count :]]
    axes = tuple(
        Indexed(strides[batch + k], data[batch + k], column=k, after=len(rest)) for k in range(count)
    )
    return Places(_starts((*lead, *rest), steps), axes)
