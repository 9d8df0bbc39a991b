"""Operators that only move elements: one mechanism for all of them.

ONNX's reference operator is run once on an array of element numbers; what comes out IS the gather map. The
semantics (negative axes, steps, modes, attributes or inputs by opset) are the standard's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from symbolic.enclosures.moves import gather_map, joined
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, evaluate_exactly, operator, required
from symbolic.operators.shapes import bounded

Arrays = Sequence[NDArray[Any] | None]

# positions of the inputs whose elements are moved; every other input is a parameter
MOVED = {
    "Concat": None,  # all
    "Pad": (0, 2),
    "TensorScatter": (0, 1),
}


@operator(
    "Compress",
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Identity",
    "Pad",
    "Reshape",
    "ReverseSequence",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "TensorScatter",
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
    _require_defined(node, arrays)
    moves = [gather_map(np.asarray(m, dtype=np.int64), total) for m in _rearranged(node, arrays)]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        parts = [v for v in (values[k] for k in positions) if v is not None]
        whole = joined([*parts, *extra], batch)
        return tuple(map_value(whole, move) for move in moves)

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
        for axis, before, after in _padded_axes(node, arrays):
            cut[axis] = slice(max(-before, 0), padded[0].shape[axis] - max(-after, 0))
        return [padded[0][tuple(cut)]]
    return evaluate_exactly(node, arrays)


def _padded_axes(node: Node, arrays: Arrays) -> list[tuple[int, int, int]]:
    """(axis, elements before, elements after) of a Pad as of opset 11; negative numbers cut."""
    data, pads = arrays[0], arrays[1]
    if data is None or pads is None:
        return []
    given = arrays[3] if len(arrays) > 3 else None
    axes = range(data.ndim) if given is None else [node.axis(data.ndim, int(a)) for a in given.reshape(-1)]
    amounts = [int(v) for v in pads.reshape(-1)]
    return list(zip(axes, amounts[: len(axes)], amounts[len(axes) :], strict=True))


def _require_moderate(node: Node, arrays: Arrays) -> None:
    """Bound the result of operators that can make much out of little."""
    data = arrays[0] if arrays else None
    how = arrays[1] if len(arrays) > 1 else None
    if data is None or how is None:
        return
    if node.op_type in ("Expand", "Pad", "Tile"):
        numbers = [int(v) for v in how.reshape(-1)]
        if node.op_type == "Expand":
            rank = max(data.ndim, len(numbers))
            shapes = [(1,) * (rank - len(s)) + tuple(s) for s in (data.shape, numbers)]
            bounded(node, [max(pair) for pair in zip(*shapes, strict=True)])
        elif node.op_type == "Tile":
            bounded(node, [*data.shape, *numbers])
        else:
            shape = list(data.shape)
            for axis, before, after in _padded_axes(node, arrays):
                shape[axis] += max(before, 0) + max(after, 0)
            bounded(node, shape)


def _require_defined(node: Node, arrays: Arrays) -> None:
    """Axes, lengths and places within the tensor: the reference goes on without them."""
    if arrays[0] is not None and node.attributes.get("axis") is not None:
        rank, axis = arrays[0].ndim, int(node.attributes["axis"])
        if node.op_type != "Flatten" or axis != rank:  # it may stand behind the last
            node.axis(rank)
    if node.op_type == "ReverseSequence":
        data, lengths = arrays[0], arrays[1]
        batch, time = (int(node.attributes[name]) for name in ("batch_axis", "time_axis"))
        if data is None or lengths is None or data.ndim < 2 or {batch, time} != {0, 1}:
            raise ModelError(f"{node.label}: its batch and time axes must be the first two.")
        if lengths.shape != data.shape[batch : batch + 1]:
            raise ModelError(f"{node.label} needs a length for every sequence.")
        if lengths.size and not 0 <= lengths.min() <= lengths.max() <= data.shape[time]:
            raise ModelError(f"{node.label}: a sequence is longer than the tensor.")
    elif node.op_type == "TensorScatter" and len(arrays) > 2:
        past, update, starts = arrays[:3]
        if past is None or update is None or starts is None or node.text("mode") == "circular":
            return
        axis = node.axis(past.ndim)
        if starts.size and not 0 <= starts.min() <= starts.max() <= past.shape[axis] - update.shape[axis]:
            raise ModelError(f"{node.label}: it writes beyond the end of the cache.")
