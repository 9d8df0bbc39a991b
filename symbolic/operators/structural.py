"""Operators that only move elements: one mechanism for all of them.

ONNX's reference operator is run once on an array of element numbers; what comes out IS the gather map. The
semantics (negative axes, steps, modes, attributes or inputs by opset) are the standard's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, evaluate_exactly, operator, required
from symbolic.operators.shapes import bounded
from symbolic.values import Affine, Batch, Const, Range, Value, as_range, is_discrete, map_value

Move = Callable[[NDArray[Any], int], NDArray[Any]]
"""A rearrangement as a function of (array, number of leading axes)."""
Arrays = Sequence[NDArray[Any] | None]

# positions of the inputs whose elements are moved; every other input is a parameter
MOVED = {
    "Concat": None,  # all
    "Pad": (0, 2),
}


@operator(
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "Pad",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)
def structural(node: Node, inputs: Inputs) -> Rule:
    """Gather map from element numbers."""
    moved = MOVED.get(node.op_type, (0,))
    positions = [k for k, v in enumerate(inputs) if v is not None and (moved is None or k in moved)]
    arrays: list[NDArray[Any] | None] = []
    total = 0
    for k, value in enumerate(inputs):
        if value is None:
            arrays.append(None)
        elif k in positions:
            size = prod(value.shape)
            arrays.append(np.arange(total, total + size, dtype=np.int64).reshape(value.shape))
            total += size
        elif isinstance(value, Const):
            arrays.append(value.value)
        else:
            raise ModelError(f"{node.label}: input {k} must not depend on the audited input.")
    extra: list[Value] = []  # an element that is in no input: what an implicit padding consists of
    if node.op_type == "Pad" and (len(arrays) < 3 or arrays[2] is None):
        extra = [_implicit_padding(node, required(node, inputs))]
        node, arrays = _with_padding(node, arrays, total)
        total += 1
    _require_moderate(node, arrays)
    moves = [_gather(np.asarray(m, dtype=np.int64), total) for m in _rearranged(node, arrays)]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        parts = [v for v in (values[k] for k in positions) if v is not None]
        joined = _join([*parts, *extra], batch)
        return tuple(map_value(joined, move) for move in moves)

    return rule


def _implicit_padding(node: Node, data: Value) -> Const:
    """What Pad fills in without a third input: zero of the data's type, before opset 11 an attribute."""
    if node.opset < 11:
        return Const(np.array(node.number("value")))
    array = data.c if isinstance(data, Affine) else data.lo if isinstance(data, Range) else data.value
    return Const(np.zeros((), dtype=array.dtype))


def _with_padding(node: Node, arrays: Arrays, number: int) -> tuple[Node, list[NDArray[Any] | None]]:
    """A Pad whose third input is element ``number``; pads and value were attributes before opset 11."""
    value = np.array(number, dtype=np.int64)
    if node.opset >= 11:
        return node, [*arrays[:2], value, *arrays[3:]]
    pads = np.array(node.attributes["pads" if node.opset >= 2 else "paddings"], dtype=np.int64)
    proto = helper.make_node(
        "Pad", ["data", "pads", "value"], list(node.proto.output), node.proto.name, mode=node.text("mode")
    )
    return Node.of(proto, 11), [arrays[0], pads, value]


def _rearranged(node: Node, arrays: Arrays) -> list[NDArray[Any]]:
    """What the operator makes of the element numbers: by the reference operator, where it does it all."""
    data = arrays[0]
    if data is None:
        raise ModelError(f"{node.label} lacks its input.")
    if node.op_type in ("Squeeze", "Unsqueeze"):  # the reference moves axes one by one and gets lost
        given = arrays[1] if len(arrays) > 1 else node.attributes.get("axes")
        axes = None if given is None else tuple(int(a) for a in np.asarray(given).reshape(-1))
        if node.op_type == "Squeeze":
            return [np.squeeze(data, axes)]
        return [np.expand_dims(data, axes or ())]
    if node.op_type == "Pad":  # the reference knows no negative pads: what they cut is cut afterwards
        pads = np.zeros(0, dtype=np.int64) if arrays[1] is None else arrays[1]
        padded = evaluate_exactly(node, [data, np.maximum(pads, 0), *arrays[2:]])
        cut: list[slice] = [slice(None)] * data.ndim
        for axis, before, after in _padded_axes(arrays):
            cut[axis] = slice(max(-before, 0), padded[0].shape[axis] - max(-after, 0))
        return [padded[0][tuple(cut)]]
    return evaluate_exactly(node, arrays)


def _padded_axes(arrays: Arrays) -> list[tuple[int, int, int]]:
    """(axis, elements before, elements after) of a Pad as of opset 11; negative numbers cut."""
    data, pads = arrays[0], arrays[1]
    if data is None or pads is None:
        return []
    given = arrays[3] if len(arrays) > 3 else None
    axes = range(data.ndim) if given is None else [int(a) % data.ndim for a in given.reshape(-1)]
    amounts = [int(v) for v in pads.reshape(-1)]
    return list(zip(axes, amounts[: len(axes)], amounts[len(axes) :], strict=True))


def _require_moderate(node: Node, arrays: Arrays) -> None:
    """Bound the result of operators that can make much out of little."""
    data = arrays[0] if arrays else None
    how = arrays[1] if len(arrays) > 1 else None
    if data is None or how is None:
        return
    if node.op_type == "Gather" and data.ndim:
        bounded(node, [how.size, data.size // max(1, data.shape[int(node.attributes["axis"]) % data.ndim])])
    elif node.op_type in ("Expand", "Pad", "Tile"):
        numbers = [int(v) for v in how.reshape(-1)]
        if node.op_type == "Expand":
            rank = max(data.ndim, len(numbers))
            shapes = [(1,) * (rank - len(s)) + tuple(s) for s in (data.shape, numbers)]
            bounded(node, [max(pair) for pair in zip(*shapes, strict=True)])
        elif node.op_type == "Tile":
            bounded(node, [*data.shape, *numbers])
        else:
            shape = list(data.shape)
            for axis, before, after in _padded_axes(arrays):
                shape[axis] += max(before, 0) + max(after, 0)
            bounded(node, shape)


def _gather(index: NDArray[np.int64], total: int) -> Move:
    """The gather map ``index`` on arrays of ``total`` elements; plain reshapes copy nothing."""
    shape, flat = index.shape, np.ascontiguousarray(index.reshape(-1))
    if flat.size == total and np.array_equal(flat, np.arange(total)):
        return lambda array, lead: array.reshape(*array.shape[:lead], *shape)

    def move(array: NDArray[Any], lead: int) -> NDArray[Any]:
        head = array.shape[:lead]
        return np.take(array.reshape(*head, -1), flat, axis=lead).reshape(*head, *shape)

    return move


def _join(parts: list[Value], batch: Batch) -> Value:
    """All elements of the parts as one value, flat if several; empty parts do not decide its type."""
    parts = [p for p in parts if prod(p.shape)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    consts = [p for p in parts if isinstance(p, Const)]
    if len(consts) == len(parts):
        radius = None
        if any(p.radius is not None for p in consts):
            radius = np.concatenate([p.spread.reshape(-1) for p in consts])
        return Const(np.concatenate([p.value.reshape(-1) for p in consts]), radius)
    if all(is_discrete(p) for p in parts):
        ranges = [as_range(batch, p) for p in parts]
        lo, hi = (
            np.concatenate(
                [np.broadcast_to(v, (batch.size, *v.shape[1:])).reshape(batch.size, -1) for v in side], axis=1
            )
            for side in ([r.lo for r in ranges], [r.hi for r in ranges])
        )
        return Range(lo, hi)
    forms = [batch.lift(p) for p in parts]
    flat = [[x.reshape(batch.size, -1) for x in (f.c, f.d, f.r)] for f in forms]
    c, d, r = (np.concatenate([f[k] for f in flat], axis=1) for k in range(3))
    return Affine(c, d, r)
