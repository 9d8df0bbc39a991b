"""Elements picked by indices, known ones or not: an unknown index takes the hull of all that it may name."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.hulls import Candidates, explicit, grouped_hull, unknown_where
from symbolic.enclosures.moves import gather_map
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, as_range, is_discrete, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.places import Places, along_axis, by_element, by_tuple
from symbolic.operators.shapes import bounded

__all__ = ["reshaped"]


def reshaped(value: Affine | Range, shape: tuple[int, ...]) -> Affine | Range:
    """A flat result in its shape, (segments, *shape)."""
    if isinstance(value, Range):
        return Range(value.lo.reshape(shape), value.hi.reshape(shape))
    return Affine(*(v.reshape(shape) for v in (value.c, value.d, value.r)))


def _places(node: Node, data: Value, indices: Value) -> Places:
    if node.op_type == "GatherND":
        return by_tuple(node, data.shape, indices.shape, int(node.attributes.get("batch_dims", 0)))
    how = along_axis if node.op_type == "Gather" else by_element
    return how(node, data.shape, indices.shape, node.axis(len(data.shape)))


@operator("Gather", "GatherElements", "GatherND")
def gather(node: Node, inputs: Inputs) -> Rule:
    """Elements by their index along an axis, or by a tuple of indices."""
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    if not is_discrete(indices):
        raise ModelError(f"{node.label}: its indices are no integers.")
    places, size = _places(node, data, indices), prod(data.shape)
    if isinstance(indices, Const):
        move = gather_map(places.numbers(node, indices.value), size)
        return lambda batch, values: (map_value(required(node, values), move),)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        found, bad = places.candidates(batch, required(node, values, 1))
        segment = found.owner // max(1, prod(places.start.shape))
        picked = Candidates(found.number + segment * size, found.owner)
        hull = grouped_hull(explicit(batch, required(node, values)), picked)
        return (unknown_where(reshaped(hull, bad.shape), bad),)

    return rule


def _index_is_whole(node: Node, inputs: Inputs) -> bool:
    """A real index has a scale."""
    return not isinstance(inputs[0], Affine)


@operator("OneHot", homogeneous=_index_is_whole)
def one_hot(node: Node, inputs: Inputs) -> Rule:
    """on_value at the index (counted from the end where it is negative), off_value elsewhere."""
    indices, switch = required(node, inputs, 0), required(node, inputs, 2)
    depth = constant(node, inputs, 1, "depth")
    if depth is None or depth.value.size != 1 or switch.shape != (2,):
        raise ModelError(f"{node.label} needs one depth and two values.")
    count, rank = int(depth.value.reshape(-1)[0]), len(indices.shape)
    axis = node.axis(rank + 1)
    shape = (*indices.shape[:axis], count, *indices.shape[axis:])
    bounded(node, shape)
    wheel = np.arange(count).reshape(-1, *(1,) * (rank - axis))

    def lit(lo: NDArray[Any], hi: NDArray[Any], lead: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which elements are certainly on, and which may be."""
        lo, hi = np.expand_dims(lo, axis + lead), np.expand_dims(hi, axis + lead)
        may = ((lo <= wheel) & (wheel <= hi)) | ((lo <= wheel - count) & (wheel - count <= hi))
        return may & (lo == hi), may

    if isinstance(indices, Const) and indices.radius is None:
        whole = np.trunc(indices.value)
        move = gather_map(lit(whole, whole, 0)[1].astype(np.int64), 2)
        return lambda batch, values: (map_value(required(node, values, 2), move),)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        found = _whole(batch, required(node, values))
        full = (batch.size, *shape)
        surely, may = (np.broadcast_to(v, full).reshape(-1) for v in lit(found.lo, found.hi, 1))
        segment = np.arange(prod(full)) // max(1, prod(shape))
        ways = np.stack([~surely, may], axis=1)
        numbers = np.stack([2 * segment, 2 * segment + 1], axis=1)
        picked = Candidates(numbers[ways], np.nonzero(ways)[0])
        return (reshaped(grouped_hull(explicit(batch, required(node, values, 2)), picked), full),)

    return rule


def _whole(batch: Batch, value: Value) -> Range:
    """Indices as whole numbers; real ones lose their fraction."""
    if isinstance(value, Range) or is_discrete(value):
        found = as_range(batch, value)
        return Range(np.trunc(found.lo), np.trunc(found.hi))
    form = batch.lift(value)
    still = form.half_width() == 0
    lo, hi = (np.where(still, form.c, bound) for bound in form.bounds())
    return Range(np.trunc(np.where(lo == lo, lo, -np.inf)), np.trunc(np.where(hi == hi, hi, np.inf)))
