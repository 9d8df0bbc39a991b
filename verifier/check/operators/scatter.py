"""Gather, Scatter and their relatives: elements picked from, and put in, places named by indices."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.discrete import Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import tournament
from verifier.check.operators.places import Axis, Pairs, Places, by_axis, by_element, by_tuple, hull
from verifier.check.operators.reduce import total
from verifier.check.operators.registry import Context, Node, Value, fractions, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather
from verifier.check.operators.whole import like

__all__: list[str] = []


def _flat(value: Value) -> Any:
    """All elements on one axis."""
    return value.each(lambda a: a.reshape(-1, a.shape[-1]))


def _count(*values: Value) -> int:
    """How many cells the values have."""
    return max(int((v.lo if isinstance(v, Discrete) else v.c).shape[-1]) for v in values)


# ---- picked ----------------------------------------------------------------------------------------------


@operator("Gather", "GatherElements", "GatherND")
def _gather(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    data, indices = inputs

    def places() -> Places:
        if node.op == "GatherND":
            return by_tuple(node, data.shape, indices.shape, node.get("batch_dims", 0))
        axis = node.axis(len(data.shape))
        if node.op == "Gather":
            bounded(node, data.shape[:axis] + indices.shape + data.shape[axis + 1 :])
            return by_axis(data.shape, indices.shape, axis)
        return by_element(node, data.shape, indices.shape, axis)

    if node.inputs[1] not in ctx.moves:
        whole = whole_numbers(node, indices)
        return gather(ctx, [data], ctx.once(node, lambda: [places().numbers(node, whole)], exact=True)[0])
    found, cells = places(), _count(data, indices)
    pairs, _ = found.pairs(indices)
    out = hull(ctx.ar, _flat(data), _widened(pairs, indices, cells), found.start.size, cells)
    return out.each(lambda a: a.reshape(*found.start.shape, a.shape[-1]))


def _widened(pairs: Pairs, indices: Discrete, cells: int) -> Pairs:
    """The same on every cell, where one value of the indices stands for all cells."""
    if indices.lo.shape[-1] == cells:
        return pairs
    named, number = (np.repeat(a, cells) for a in (pairs.named, pairs.number))
    return Pairs(named, number, np.tile(np.arange(cells), len(pairs.named)))


@operator("OneHot", still=(1,))
def _one_hot(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    indices, given, values = inputs
    depths = fractions(node, given) if isinstance(given, Form) else whole_numbers(node, given).reshape(-1)
    depth = int(depths[0])
    rank = len(indices.shape)
    axis = node.axis(rank + 1)
    shape = indices.shape[:axis] + (depth,) + indices.shape[axis:]
    bounded(node, shape)
    if isinstance(indices, Form) and indices.degree:
        raise NotHomogeneous("OneHot")
    lo, hi = _whole(ctx, indices)
    wheel = np.arange(depth).reshape(-1, *(1,) * (rank - axis), 1)
    lo, hi = np.expand_dims(lo, axis), np.expand_dims(hi, axis)
    may = ((lo <= wheel) & (wheel <= hi)) | ((lo <= wheel - depth) & (wheel - depth <= hi))
    if node.inputs[0] not in ctx.moves and (lo == hi).all():
        return gather(ctx, [values], ctx.once(node, lambda: [may[..., 0].astype(np.int64)], exact=True)[0])
    cells = _count(values, indices)
    may, sure = (np.broadcast_to(a, (*shape, cells)).reshape(-1, cells) for a in (may, may & (lo == hi)))
    ways = [np.nonzero(~sure), np.nonzero(may)]
    named, cell = (np.concatenate(parts) for parts in zip(*ways, strict=True))
    number = np.repeat([0, 1], [len(at[0]) for at in ways])
    out = hull(ctx.ar, values, Pairs(named, number, cell), math.prod(shape), cells)
    return out.each(lambda a: a.reshape(*shape, a.shape[-1]))


def _whole(ctx: Context, indices: Value) -> tuple[Array, Array]:
    """Bounds of indices; real ones lose their fraction."""
    if isinstance(indices, Discrete):
        return indices.lo, indices.hi
    unit = Fraction(2) ** indices.e
    trunc = np.frompyfunc(lambda v: max(-(2**62), min(2**62, math.trunc(int(v) * unit))), 1, 1)
    lo, hi = (trunc(a.astype(object)).astype(np.int64) for a in ctx.ar.bounds(indices))
    return lo, hi


# ---- put -------------------------------------------------------------------------------------------------


@operator("Scatter", "ScatterElements", "ScatterND", ties=True)
def _scatter(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    data, indices, updates = inputs
    if node.op == "ScatterND":
        places = by_tuple(node, data.shape, indices.shape, 0)
    else:
        places = by_element(node, data.shape, indices.shape, node.axis(len(data.shape)))
    if updates.shape != places.start.shape:
        raise node.refuse("updates do not fit the indices")
    how = (node.get("reduction") or b"none").decode()
    if how == "none":
        return _placed(ctx, node, [data, updates], indices, node.inputs[1], places)
    if how not in ("add", "mul", "max", "min"):
        raise node.refuse(f"the reduction {how!r} is not known")
    if node.inputs[1] in ctx.moves:
        raise node.refuse("its indices move with the input")
    table = ctx.once(
        node,
        lambda: _table(node, places.numbers(node, whole_numbers(node, indices)), math.prod(data.shape), how),
        exact=True,
    )
    if how in ("add", "mul"):
        merged = _merged(ctx, to_form(ctx.ar, data), to_form(ctx.ar, updates), table, how)
        return like(ctx, node, data, merged)  # type: ignore[arg-type]
    return _merged(ctx, data, updates, table, how)


def _table(node: Node, targets: Array, size: int, how: str) -> Array:
    """Rows of numbers of elements to be merged: the data, then the first update of each place, the second,
    ...; filled up with the data again, or with the element behind all updates, which changes nothing.
    """
    targets = targets.reshape(-1)
    order = np.argsort(targets, kind="stable")
    hits = targets[order]
    first = np.flatnonzero(np.diff(hits, prepend=-1))
    turn = np.arange(len(hits)) - np.repeat(first, np.diff(first, append=len(hits)))
    rows = int(turn.max(initial=-1)) + 2
    bounded(node, (rows, size))
    table = np.tile(np.arange(size), (rows, 1))
    if how in ("add", "mul"):
        table[1:] = size + len(targets)
    table[turn + 1, hits] = size + order
    return table


def _merged(ctx: Context, data: Value, updates: Value, table: Array, how: str) -> Value:
    """Sums, products or extremes of the elements in each column of the table."""
    if isinstance(data, Discrete):
        rows = gather(ctx, [data, updates, Discrete.known(0)], table)
        merge = {"max": np.maximum, "min": np.minimum}[how]
        return rows.each(lambda a: merge.reduce(a, axis=0).reshape(*data.shape, a.shape[-1]))
    forms = ctx.alike(data, updates)
    if how == "mul" and forms[0].degree:
        raise NotHomogeneous("a product")
    neutral = ctx.number(int(how == "mul"))
    rows = gather(ctx, [*forms, Form(neutral.c, neutral.d, neutral.r, neutral.e, forms[0].degree)], table)
    shape = data.shape

    def shaped(form: Form) -> Form:
        same = None if form.same is None else form.same.reshape(*shape, form.same.shape[-1])
        return form.each(lambda a: a.reshape(*shape, a.shape[-1]), same=same)

    if how == "add":
        return shaped(total(ctx, rows, (0,)))  # type: ignore[arg-type]
    if how == "mul":
        out = rows.each(lambda a: a[0])
        for k in range(1, len(table)):
            out = ctx.ar.multiply(out, rows.each(lambda a, k=k: a[k]))  # type: ignore[arg-type]
        return shaped(out)  # type: ignore[arg-type]
    return shaped(tournament(ctx.ar, rows, how == "min"))  # type: ignore[arg-type]


def _placed(
    ctx: Context, node: Node, parts: list[Any], indices: Discrete, name: str, places: Places
) -> Value:
    """The second part's elements in place of the first's; one that several may hit is any of them."""
    data, updates = parts
    size, count = math.prod(data.shape), math.prod(updates.shape)
    moved = parts if isinstance(data, Discrete) else ctx.alike(*parts)
    if name not in ctx.moves:
        targets = places.numbers(node, whole_numbers(node, indices)).reshape(-1)
        if len(set(targets.tolist())) == count:

            def table() -> list[Array]:
                index = np.arange(size)
                index[targets] = size + np.arange(count)
                return [index.reshape(data.shape)]

            return gather(ctx, moved, ctx.once(node, table, exact=True)[0])
    cells = _count(data, updates, indices)
    pairs, single = places.pairs(indices)
    pairs = _widened(pairs, indices, cells)
    single = np.broadcast_to(single, (count, cells))
    hit = np.zeros((size, cells), dtype=bool)
    surely = single[pairs.named, pairs.cell]
    hit[pairs.number[surely], pairs.cell[surely]] = True
    left = np.nonzero(~hit)
    both = Pairs(
        np.concatenate([pairs.number, left[0]]),
        np.concatenate([size + pairs.named, left[0]]),
        np.concatenate([pairs.cell, left[1]]),
    )
    whole = gather(ctx, moved, np.arange(size + count))
    out = hull(ctx.ar, whole, both, size, cells)
    return out.each(lambda a: a.reshape(*data.shape, a.shape[-1]))


@operator("MaxUnpool", still=(2,))
def _max_unpool(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    x, indices = inputs[:2]
    kernel = list(node.get("kernel_shape"))
    rank = len(kernel)
    strides, pads = node.get("strides") or [1] * rank, node.get("pads") or [0] * 2 * rank
    if len(x.shape) != rank + 2 or indices.shape != x.shape:
        raise node.refuse("kernel, indices and input do not fit")
    size = [(n - 1) * strides[k] + kernel[k] - pads[k] - pads[k + rank] for k, n in enumerate(x.shape[2:])]
    shape = (*x.shape[:2], *size)
    if len(inputs) > 2 and inputs[2] is not None and tuple(whole_numbers(node, inputs[2]).tolist()) != shape:
        raise node.refuse("an index into another output shape means different things")
    bounded(node, shape)
    zeros = Discrete.known(np.zeros(shape, dtype=np.int64))
    parts = [zeros if isinstance(x, Discrete) else to_form(ctx.ar, zeros), x]
    axis = Axis(1, math.prod(shape), np.arange(math.prod(x.shape)).reshape(x.shape))
    places = Places(np.zeros(x.shape, dtype=np.int64), [axis])
    return _placed(ctx, node, parts, indices, node.inputs[1], places)
