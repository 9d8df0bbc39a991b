"""TopK: which entry can have which rank, and what the value of a rank can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import Discrete, sign, to_form
from verifier.check.numbers.integers import Arithmetic, Array, Form
from verifier.check.operators.registry import Context, Node, Value, operator, whole_numbers

__all__: list[str] = []


@operator("TopK", still=(1,), ties=True)
def _top_k(ctx: Context, node: Node, inputs: list[Any]) -> list[Value]:
    x = inputs[0]
    count = int(node.get("k") if node.opset < 10 else whole_numbers(node, inputs[1]).reshape(-1)[0])
    axis, least = node.axis(len(x.shape)), node.get("largest", 1) == 0
    if not 0 < count <= x.shape[axis]:
        raise node.refuse(f"there are no {count} entries on axis {axis}")
    rows = _each(to_form(ctx.ar, x), lambda a: np.moveaxis(a, axis, 0))
    rows = replace(ctx.ar.negative(rows), same=rows.same) if least else rows
    found = _contenders(ctx.ar, rows, count)
    rows = _each(rows, lambda a: a[found])
    before, after = _order(ctx.ar, rows)
    if node.get("sorted", 1) or count == 1:
        may = [(before <= k) & (len(before) - 1 - after >= k) for k in range(count)]
        ranks = [(k, k) for k in range(count)]
    else:  # any of them may stand anywhere
        may, ranks = [before < count] * count, [(0, count - 1)] * count
    numbers = found.reshape(-1, *(1,) * (before.ndim - 1))
    lo = np.stack([np.where(m, numbers, x.shape[axis]).min(axis=0) for m in may])
    hi = np.stack([np.where(m, numbers, -1).max(axis=0) for m in may])
    places = Discrete(lo, hi).each(lambda a: np.moveaxis(a, 0, axis))
    if isinstance(x, Discrete):
        return [_whole(x, axis, ranks, least), places]
    values = _values(ctx.ar, rows, may, ranks)
    values = ctx.ar.negative(values) if least else values
    return [values.each(lambda a: np.moveaxis(a, 0, axis)), places]


def _each(form: Form, function: Any) -> Form:
    return form.each(function, same=None if form.same is None else function(form.same))


def _contenders(ar: Arithmetic, rows: Form, count: int) -> Array:
    """The entries that can be among the first `count` anywhere: others are below so many, all the time."""
    low, high = ar.bounds(rows)
    may = high >= np.sort(low, axis=0)[-count]
    return np.flatnonzero(may.reshape(len(may), -1).any(axis=1))


def _order(ar: Arithmetic, rows: Form) -> tuple[Array, Array]:
    """How many entries surely come before each, and how many after: of equals the first comes first."""
    count = len(rows.c)
    before = np.zeros(rows.c.shape, dtype=np.int64)
    after = np.zeros(rows.c.shape, dtype=np.int64)
    later = np.arange(count).reshape(-1, *(1,) * (rows.c.ndim - 1))
    for k in range(count):
        own = _each(rows, lambda a, k=k: a[k : k + 1])
        lead = sign(ar.subtract(own, rows)).lo
        ahead = (lead >= np.where(later > k, 0, 1)) & (later != k)
        before += ahead
        after[k] = ahead.sum(axis=0)
    return before, after


def _values(ar: Arithmetic, rows: Form, may: list[Array], ranks: list[tuple[int, int]]) -> Form:
    """The entry of a rank where it is certain which one it is; else a number between the order statistics of
    the lower and of the upper bounds of all entries, about one slope.
    """
    single = [m.sum(axis=0) == 1 for m in may]
    if not all(s.all() for s in single) and ar.fast:
        rows = ar.at(rows, rows.e + max(0, rows.size.bit_length() - 58))
    found = []
    for m, alone, (first, last) in zip(may, single, ranks, strict=True):
        at = m.argmax(axis=0)[None]
        c, d, r = (
            np.take_along_axis(np.broadcast_to(a, m.shape), at, axis=0)[0] for a in (rows.c, rows.d, rows.r)
        )
        if not alone.all():
            open_ = np.nonzero(~alone)
            for part, bound in zip((c, d, r), _between(rows, m, open_, first, last), strict=True):
                part[open_] = bound
        found.append((c, d, r))
    parts = [np.stack(part) for part in zip(*found, strict=True)]
    return ar.normal(parts[0], parts[1], parts[2], rows.e, rows.degree)


def _between(rows: Form, may: Array, where: Any, first: int, last: int) -> tuple[Array, Array, Array]:
    """Bounds about the middle of the extreme slopes, in the columns `where`."""
    c, d, r = (np.broadcast_to(a, may.shape)[(slice(None), *where)] for a in (rows.c, rows.d, rows.r))
    mine = may[(slice(None), *where)]
    least = np.where(mine, d, d.max(axis=0)).min(axis=0)
    most = np.where(mine, d, d.min(axis=0)).max(axis=0)
    slope = (least + most) >> 1
    span = np.abs(d - slope) + r
    low, high = np.sort(c - span, axis=0)[-1 - last], np.sort(c + span, axis=0)[-1 - first]
    return (low + high) >> 1, slope, ((high - low) >> 1) + 1


def _whole(x: Discrete, axis: int, ranks: list[tuple[int, int]], least: bool) -> Discrete:
    """The values of integers: order statistics of their bounds."""
    lo, hi = (np.sort(np.moveaxis(a, axis, 0), axis=0) for a in (x.lo, x.hi))
    lo, hi = (a if least else a[::-1] for a in (lo, hi))
    low = np.stack([lo[first if least else last] for first, last in ranks])
    high = np.stack([hi[last if least else first] for first, last in ranks])
    return Discrete(low, high).each(lambda a: np.moveaxis(a, 0, axis))
