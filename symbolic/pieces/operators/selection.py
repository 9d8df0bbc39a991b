"""Elements picked, put and merged in places as layers: places that move are told apart by comparison."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.places import Indexed, Places, along_axis, by_element, by_tuple
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import (
    equal,
    inverted,
    minimum,
    moving,
    standing,
    times,
    total,
    truncated,
    units,
)
from symbolic.pieces.operators.products import elementwise
from symbolic.pieces.program import Ids

__all__: list[str] = []

Factor = Units | Const


def _there(node: Node, given: Given, index: int) -> Factor:
    value = given[index] if index < len(given) else None
    if value is None:
        raise ModelError(f"{node.label} lacks input {index}.")
    return value


def _candidates(b: Builder, places: Places, indices: Ids) -> tuple[Ids, NDArray[np.int64]]:
    """Of every element of the result (flat): units that are 1 for the one element that it names, and the
    elements that it may name."""
    offset, steps = np.zeros(places.start.shape, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for axis in places.axes:
        index = np.broadcast_to(axis.spread(indices), places.start.shape)
        b.hold(index, -axis.size, axis.size - 1)
        some, where = np.unique(index, return_inverse=True)
        behind = b.affine([(inverted(b, b.step(some, strict=False)), float(axis.size))])
        wrapped = b.affine([(some, 1.0), (behind, 1.0)])
        here = wrapped[where].reshape(index.shape)
        offset = b.affine([(offset, 1.0), (here, float(axis.stride))])
        b.require_moderate(len(steps) * axis.size)
        steps = (steps[:, None] + axis.stride * np.arange(axis.size)).reshape(-1)
    some, where = np.unique(offset, return_inverse=True)
    lit = equal(b, some[:, None], b.constants(steps.astype(np.float64)))
    b.require_moderate(offset.size * len(steps))
    return lit[where.reshape(-1)], places.start.reshape(-1)[:, None] + steps


# ---- gathering -----------------------------------------------------------------------------------


@lowers("Gather", "GatherElements", "GatherND")
def gather(b: Builder, node: Node, given: Given) -> list[Units]:
    """By indices that move."""
    return b.tensor(gathered(b, node, _there(node, given, 0), moving(node, given, 1)))


def gathered(b: Builder, node: Node, data: Factor, indices: Ids, axis: int | None = None) -> Ids:
    """The elements named, among all that may be."""
    if node.op_type == "GatherND":
        places = by_tuple(node, data.shape, indices.shape, int(node.attributes.get("batch_dims", 0)))
    elif node.op_type == "GatherElements":
        places = by_element(node, data.shape, indices.shape, node.axis(len(data.shape)))
    else:
        places = along_axis(node, data.shape, indices.shape, node.axis(len(data.shape), axis))
    lit, number = _candidates(b, places, indices)
    if isinstance(data, Units):
        chosen = times(b, lit, data.ids.reshape(-1)[number])
    else:
        flat = Const(
            data.value.reshape(-1)[number], None if data.radius is None else data.radius.reshape(-1)[number]
        )
        chosen = elementwise(b, Units(lit), flat)
    return total(b, chosen).reshape(places.start.shape)


@lowers("OneHot")
def one_hot(b: Builder, node: Node, given: Given) -> list[Units]:
    """on_value at the index (counted from the end where it is negative), off_value elsewhere."""
    depth, switch = standing(node, given, 1), _there(node, given, 2)
    index = truncated(b, units(b, node, given, 0))
    if depth is None:
        raise ModelError(f"{node.label} lacks its depth.")
    count = int(depth.value.reshape(-1)[0])
    axis = node.axis(index.ndim + 1)
    wheel = b.constants(np.arange(-count, count, dtype=np.float64)).reshape(2, count)
    hit = equal(b, index[..., None, None], wheel)
    lit = np.moveaxis(b.affine([(hit[..., 0, :], 1.0), (hit[..., 1, :], 1.0)]), -1, axis)
    off, on = (_one(switch, k) for k in (0, 1))
    parts = [elementwise(b, Units(lit), on), elementwise(b, Units(inverted(b, lit)), off)]
    return b.tensor(b.affine([(part, 1.0) for part in parts]))


def _one(value: Factor, k: int) -> Factor:
    if isinstance(value, Units):
        return Units(value.ids[k, ...])
    return Const(value.value[k, ...], None if value.radius is None else value.radius[k, ...])


# ---- scattering ----------------------------------------------------------------------------------


def _scattering(node: Node, data: tuple[int, ...], indices: tuple[int, ...]) -> Places:
    if node.op_type == "ScatterND":
        return by_tuple(node, data, indices)
    return by_element(node, data, indices, node.axis(len(data)))


@lowers("Scatter", "ScatterElements", "ScatterND")
def scatter(b: Builder, node: Node, given: Given) -> list[Units]:
    """Updates merged with the data in places that stand, or put in places that move."""
    data, indices, updates = (_there(node, given, k) for k in range(3))
    places = _scattering(node, data.shape, indices.shape)
    how = node.text("reduction", "none")
    if how == "none":
        if isinstance(indices, Const):
            raise ModelError(
                f"{node.label}: which of several updates of one element comes last is not defined."
            )
        return b.tensor(_put(b, places, b.ids(data), indices.ids, b.ids(updates)))
    if not isinstance(indices, Const):
        raise ModelError(f"{node.label}: there are no linear pieces where its indices move.")
    targets = places.numbers(node, indices.value).reshape(-1)
    return b.tensor(_merged(b, node, how, b.ids(data), targets, b.ids(updates).reshape(-1)))


def _put(b: Builder, places: Places, data: Ids, indices: Ids, updates: Ids) -> Ids:
    """Every element of the data gives way to the update that hits it, of which there may be one at most."""
    lit, number = _candidates(b, places, indices)
    order = np.argsort(number.reshape(-1), kind="stable")
    target = number.reshape(-1)[order]
    pointers = np.searchsorted(target, np.arange(data.size + 1))
    switch = lit.reshape(-1)[order]
    there = times(b, lit, updates.reshape(-1)[:, None]).reshape(-1)[order]
    ones, zeros = np.ones(len(order)), np.zeros(data.size)
    hits = b.rows(pointers, switch, ones, zeros)
    b.hold(hits, 0, 1)
    put = b.rows(pointers, there, ones, zeros)
    kept = times(b, inverted(b, hits), data.reshape(-1))
    return b.affine([(kept, 1.0), (put, 1.0)]).reshape(data.shape)


def _merged(b: Builder, node: Node, how: str, data: Ids, targets: Ids, updates: Ids) -> Ids:
    """What goes to the same place, together."""
    all_ids = np.concatenate([data.reshape(-1), updates])
    where = np.concatenate([np.arange(data.size), targets])
    order = np.argsort(where, kind="stable")
    counts = np.bincount(where, minlength=data.size)
    table = np.full((data.size, int(counts.max(initial=1))), -1)
    b.require_moderate(table.size)
    rows = where[order]
    table[rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = all_ids[order]
    if how in ("max", "min"):
        made = b.maximum(table) if how == "max" else minimum(b, table)
    elif how == "add":
        made = total(b, np.maximum(table, 0))
    elif how == "mul":
        made = table[:, 0]
        for column in table.T[1:]:
            more = column >= 0
            made = made.copy()
            made[more] = times(b, made[more], column[more])
    else:
        raise ModelError(f"{node.label}: the reduction {how!r} is not known.")
    return made.reshape(data.shape)


@lowers("MaxUnpool")
def max_unpool(b: Builder, node: Node, given: Given) -> list[Units]:
    """Zeros, with elements put in the places that MaxPool took them from."""
    x, indices = _there(node, given, 0), _there(node, given, 1)
    kernel = node.integers("kernel_shape", ())
    rank = len(kernel)
    strides, pads = node.integers("strides", [1] * rank), node.integers("pads", [0] * 2 * rank)
    size = [(n - 1) * strides[k] - pads[k] - pads[rank + k] + kernel[k] for k, n in enumerate(x.shape[2:])]
    shape = (*x.shape[:2], *size)
    data = np.zeros(shape, dtype=np.int64)
    places = Places(np.zeros(x.shape, dtype=np.int64), (Indexed(1, prod(shape)),))
    if isinstance(indices, Units):
        return b.tensor(_put(b, places, data, indices.ids, b.ids(x)))
    targets = places.numbers(node, indices.value).reshape(-1)
    if len(np.unique(targets)) < len(targets):
        raise ModelError(f"{node.label}: two elements go to the same place.")
    data.reshape(-1)[targets] = b.ids(x).reshape(-1)
    return b.tensor(data)
