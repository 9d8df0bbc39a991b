"""The largest or smallest entries of an axis, in order, and where they stand.

Entries are sorted by their centres. A *cut* in that order is certain if every entry before it stays ahead of
every entry behind it on the whole segment; between two certain cuts any order is possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures import forms
from symbolic.enclosures.rounding import UP, Array, U
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, as_range, is_discrete
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sorted:
    """Forms with the entries on the first axis, by falling centre, and the place that each had."""

    c: Array
    d: Array
    r: Array
    place: Integers

    @classmethod
    def of(cls, x: Affine) -> Sorted:
        """Sort; of equal centres the first stays first."""
        order = np.argsort(-x.c, axis=0, kind="stable")
        c, d, r = (np.take_along_axis(v, order, axis=0) for v in (x.c, x.d, x.r))
        return cls(c, d, r, order)

    def around(self, slope: Array, members: slice) -> tuple[Array, Array]:
        """Bounds of some entries, each less slope * tau, over the segment."""
        c = self.c[members]
        reach = (np.abs(self.d[members] - slope) + self.r[members]) * UP
        low, high = c - reach, c + reach
        slack = np.where(reach == 0, 0.0, 2 * U)
        return low - slack * np.abs(low), high + slack * np.abs(high)

    def cut(self, rank: int) -> Bools:
        """Whether the first ``rank`` entries surely stay ahead of the others: of equals the lower place is
        ahead."""
        if rank in (0, len(self.c)):
            return np.ones(self.c.shape[1:], dtype=bool)
        slope = self.d[rank - 1] / 2 + self.d[rank] / 2
        slope = np.where(self.d[rank - 1] == self.d[rank], self.d[rank], slope)
        low, high = self.around(slope, slice(rank))[0], self.around(slope, slice(rank, None))[1]
        least, most = low.min(axis=0), high.max(axis=0)
        ahead = np.where(low == least, self.place[:rank], -1).max(axis=0)
        behind = np.where(high == most, self.place[rank:], len(self.c)).min(axis=0)
        finite = np.isfinite(least) & np.isfinite(most)
        return np.asarray(((least > most) | ((least == most) & (ahead < behind))) & finite)


@dataclass(frozen=True)
class Block:
    """What may have a rank: entries from rank ``start`` to before ``end`` by their centres, ``some`` of them;
    the value is that of the ranks first..last, counted from the largest of the block."""

    start: Integers
    end: Integers
    some: Bools
    first: Integers
    last: Integers


def blocks(x: Sorted, count: int, in_order: bool) -> list[Block]:
    """The blocks of the first ``count`` ranks; unless they are ``in_order``, each may stand anywhere."""
    cuts = [x.cut(rank) for rank in range(count + 1)]
    zero = np.zeros(x.c.shape[1:], dtype=np.int64)
    begins, ends = [zero], [np.where(cuts[count], count, len(x.c))]
    for rank in range(1, count):
        begins.append(np.where(cuts[rank], rank, begins[-1]))
        ends.append(np.where(cuts[count - rank], count - rank, ends[-1]))
    low, high = x.around(x.d[count - 1], slice(None))
    hurdle = -np.sort(-low, axis=0)[count - 1]  # so many entries are surely at least this
    may = ~(high < hurdle)
    ranks = np.arange(len(x.c)).reshape(-1, *(1,) * (x.c.ndim - 1))
    if not in_order:
        return [Block(zero, ends[0], (ranks < ends[0]) & may, zero, zero + count - 1)] * count
    return [
        Block(b, e, (ranks >= b) & (ranks < e) & may, rank - b, rank - b)
        for rank, (b, e) in enumerate(zip(begins, ends[::-1], strict=True))
    ]


def _value(x: Sorted, block: Block) -> Affine:
    """A single entry is copied; of several the value lies between the order statistics of their lower and of
    their upper bounds, along a common slope."""
    at = block.start[None]
    alone = Affine(*(np.take_along_axis(v, at, axis=0)[0] for v in (x.c, x.d, x.r)))
    only = block.end - block.start == 1
    if only.all():
        return alone
    least = np.where(block.some, x.d, np.inf).min(axis=0)
    most = np.where(block.some, x.d, -np.inf).max(axis=0)
    slope = np.where(least == most, least, least / 2 + most / 2)
    ends = []
    for bound, rank in zip(x.around(slope, slice(None)), (block.last, block.first), strict=True):
        falling = -np.sort(-np.where(block.some, bound, -np.inf), axis=0)
        ends.append(np.take_along_axis(falling, rank[None], axis=0)[0])
    centre = ends[0] / 2 + ends[1] / 2
    half = np.maximum(ends[1] - centre, centre - ends[0]) * UP
    parts = zip((alone.c, alone.d, alone.r), (centre, slope, half), strict=True)
    return Affine(*(np.where(only, a, b) for a, b in parts))


def _real_order(x: Affine, count: int, in_order: bool) -> tuple[Affine, Range]:
    """Values and places of the largest of real numbers; the entries are on the first axis."""
    rows = Sorted.of(x)
    found = blocks(rows, count, in_order)
    values = [_value(rows, block) for block in found]
    sense = np.isfinite(x.c) & np.isfinite(x.d) & ~np.isnan(x.r)
    lost = ~sense.all(axis=0)  # something that may be no number at all stands anywhere
    lo = np.stack([np.where(b.some, rows.place, len(x.c)).min(axis=0) for b in found])
    hi = np.stack([np.where(b.some, rows.place, -1).max(axis=0) for b in found])
    c, d, r = (np.stack([getattr(v, name) for v in values]) for name in ("c", "d", "r"))
    places = Range(np.where(lost, 0, lo), np.where(lost, len(x.c) - 1, hi))
    return Affine(np.where(lost, np.nan, c), d, r), places


def _falling(x: NDArray[Any], largest: bool) -> Integers:
    """The order of numbers along the first axis; equal ones keep theirs."""
    if not largest:
        return np.argsort(x, axis=0, kind="stable")
    return np.asarray(len(x) - 1 - np.argsort(x[::-1], axis=0, kind="stable")[::-1])


@operator("TopK")
def top_k(node: Node, inputs: Inputs) -> Rule:
    """The k largest (smallest) entries of an axis, falling (rising), and their places; of equal ones the
    lower place comes first."""
    x = required(node, inputs)
    given = constant(node, inputs, 1, "number of entries") if node.opset >= 10 else None
    count = int(node.attributes.get("k", 0) if given is None else given.value.reshape(-1)[0])
    axis, largest = node.axis(len(x.shape)), bool(node.attributes.get("largest", 1))
    in_order = bool(node.attributes.get("sorted", 1)) or count == 1
    if not 0 < count <= x.shape[axis]:
        raise ModelError(f"{node.label}: there are no {count} entries on axis {axis} of {list(x.shape)}.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        if isinstance(value, Const) and value.radius is None and in_order:
            order = _falling(np.moveaxis(value.value, axis, 0), largest)[:count]
            order = np.moveaxis(order, 0, axis)
            return Const(np.take_along_axis(value.value, order, axis)), Const(order)
        form = batch.lift(value)
        rows = Affine(*(np.moveaxis(v, axis + 1, 0) for v in (form.c, form.d, form.r)))
        best, places = _real_order(rows if largest else forms.negative(rows), count, in_order)
        best = best if largest else forms.negative(best)
        where = Range(np.moveaxis(places.lo, 0, axis + 1), np.moveaxis(places.hi, 0, axis + 1))
        if isinstance(value, Range) or is_discrete(value):
            return _whole(as_range(batch, value), axis + 1, count, largest, in_order), where
        return Affine(*(np.moveaxis(v, 0, axis + 1) for v in (best.c, best.d, best.r))), where

    return rule


def _whole(x: Range, axis: int, count: int, largest: bool, in_order: bool) -> Range:
    """The values of whole numbers: the order statistics of their bounds."""
    ends = []
    for bound, last in ((x.lo, largest), (x.hi, not largest)):
        rows = np.sort(np.moveaxis(bound, axis, 0), axis=0)
        rows = rows[::-1][:count] if largest else rows[:count]
        if not in_order:
            rows = np.broadcast_to(rows[-1 if last else 0], rows.shape)
        ends.append(np.moveaxis(rows, 0, axis))
    return Range(ends[0], ends[1])
