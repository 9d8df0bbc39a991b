"""Operators that only move elements: one mechanism for all of them.

ONNX's reference operator is run once on an array of element numbers; what comes out IS the gather map. The
semantics (negative axes, steps, modes, attributes or inputs by opset) are the standard's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, evaluate_exactly, operator
from symbolic.values import Affine, Batch, Const, Range, Value, map_value

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
            size = int(np.prod(value.shape))
            arrays.append(np.arange(total, total + size, dtype=np.int64).reshape(value.shape))
            total += size
        elif isinstance(value, Const):
            arrays.append(value.value)
        else:
            raise ModelError(f"{node.label}: input {k} must not depend on the audited input.")
    padding = None
    if node.op_type == "Pad":
        arrays, padding = _pad_value(node, arrays, total)
    maps = [np.asarray(m, dtype=np.int64) for m in evaluate_exactly(node, arrays)]
    moves = [_gather(m, total, padding is not None) for m in maps]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        parts = [v for v in (values[k] for k in positions) if v is not None]
        if padding is not None and len(parts) == 1:
            parts.append(padding)
        joined = _join(parts, batch)
        return tuple(map_value(joined, move) for move in moves)

    return rule


def _pad_value(
    node: Node, arrays: list[NDArray[Any] | None], total: int
) -> tuple[list[NDArray[Any] | None], Const | None]:
    """Give the reference Pad a number for the padding element; before opset 11 it was an attribute."""
    if node.opset < 11:
        value = Const(np.array(node.attributes.get("value", 0.0), dtype=np.float64))
        node.attributes["value"] = float(total)
        for attribute in node.proto.attribute:
            if attribute.name == "value":
                attribute.f = float(total)
        if "value" not in [a.name for a in node.proto.attribute]:
            node.proto.attribute.add(name="value", type=1, f=float(total))
        return arrays, value
    if len(arrays) > 2 and arrays[2] is not None:
        return arrays, Const(np.zeros(0))  # the third input is element number total - 1 already
    while len(arrays) < 3:
        arrays.append(None)
    arrays[2] = np.array(total, dtype=np.int64)
    return arrays, Const(np.array(0.0))


def _gather(index: NDArray[np.int64], total: int, padded: bool) -> Any:
    """The rearrangement as a function of (array, number of leading axes); plain reshapes copy nothing."""
    shape, flat = index.shape, np.ascontiguousarray(index.reshape(-1))
    if not padded and flat.size == total and np.array_equal(flat, np.arange(total)):
        return lambda array, lead: array.reshape(*array.shape[:lead], *shape)

    def move(array: NDArray[Any], lead: int) -> NDArray[Any]:
        head = array.shape[:lead]
        return np.take(array.reshape(*head, -1), flat, axis=lead).reshape(*head, *shape)

    return move


def _join(parts: list[Value], batch: Batch) -> Value:
    """All elements of the moved inputs as one flat value."""
    parts = [p for p in parts if p.shape != (0,)]
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(p, Const) for p in parts):
        consts = [p for p in parts if isinstance(p, Const)]
        radius = None
        if any(p.radius is not None for p in consts):
            radius = np.concatenate([p.spread.reshape(-1) for p in consts])
        return Const(np.concatenate([p.value.reshape(-1) for p in consts]), radius)
    if all(isinstance(p, Range) or (isinstance(p, Const) and p.value.dtype.kind in "iub") for p in parts):
        lows, highs = [], []
        for p in parts:
            lo, hi = (p.lo, p.hi) if isinstance(p, Range) else (p.value[None], p.value[None])  # type: ignore[union-attr]
            lows.append(np.broadcast_to(lo, (batch.size, *p.shape)).reshape(batch.size, -1))
            highs.append(np.broadcast_to(hi, (batch.size, *p.shape)).reshape(batch.size, -1))
        return Range(np.concatenate(lows, axis=1), np.concatenate(highs, axis=1))
    forms = [batch.lift(p) for p in parts]
    flat = [[x.reshape(batch.size, -1) for x in (f.c, f.d, f.r)] for f in forms]
    c, d, r = (np.concatenate([f[k] for f in flat], axis=1) for k in range(3))
    return Affine(c, d, r)
