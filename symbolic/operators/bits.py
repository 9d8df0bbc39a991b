"""Operators on the bits of numbers: exact on what is known, any number of the type elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from symbolic.enclosures.ranges import aligned_ranges
from symbolic.enclosures.values import ANYTHING, LOWEST, Batch, Const, Range, Value, is_discrete
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.casting import WHOLE, Whole
from symbolic.operators.shapes import fixed, widened

PACKED: dict[int, int] = {
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.FLOAT6E2M3: 6,
    TensorProto.FLOAT6E3M2: 6,
}
"""Bits of the types that are narrower than a byte."""
Bits = Callable[..., Any]
"""A function of arrays of Python integers."""


ALGEBRA: dict[str, Bits] = {
    "BitwiseAnd": lambda x, y: x & y,
    "BitwiseOr": lambda x, y: x | y,
    "BitwiseXor": lambda x, y: x ^ y,
    "BitwiseNot": lambda x: ~x,
}


def _shifted_left(x: Any, y: Any, bits: int) -> Any:
    inside = (y >= 0) & (y < bits)
    return np.where(inside, x << np.where(inside, y, 0), 0)


def _shifted_right(x: Any, y: Any, bits: int) -> Any:
    return x >> np.where((y >= 0) & (y < bits), y, bits)  # by all bits: the sign alone is left


@operator("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift")
def bitwise(node: Node, inputs: Inputs) -> Rule:
    """Boolean algebra on bits, and shifts."""
    kind = WHOLE.get(node.input_type(0) or 0)
    if kind is None or not all(is_discrete(v) for v in inputs):
        raise ModelError(f"{node.label} needs integers of a known type.")
    function = _function(node, kind)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        if all(isinstance(v, Const) for v in values):
            arrays = [v.value.astype(object) for v in values if isinstance(v, Const)]
            return (Const(_in_type(function(*arrays), kind).astype(kind.stored)),)
        pair = aligned_ranges(batch, required(node, values, 0), required(node, values, len(inputs) - 1))
        return (_of_ranges(function, pair[: len(inputs)], kind),)

    return rule


def _function(node: Node, kind: Whole) -> Bits:
    if node.op_type == "BitShift":
        bits = (kind.most - kind.least + 1).bit_length() - 1
        direction = node.text("direction")
        if direction not in ("LEFT", "RIGHT"):
            raise ModelError(f"{node.label}: there is no direction {direction!r}.")
        shifted = _shifted_left if direction == "LEFT" else _shifted_right
        return lambda x, y: shifted(x, y, bits)
    return ALGEBRA[node.op_type]


def _in_type(x: Any, kind: Whole) -> Any:
    return np.asarray((x - kind.least) % (kind.most - kind.least + 1) + kind.least, dtype=object)


def _of_ranges(function: Bits, ranges: tuple[Range, ...], kind: Whole) -> Range:
    arrays = np.broadcast_arrays(*(v for r in ranges for v in (r.lo, r.hi)))
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    known = np.all([lo == hi for lo, hi in pairs], axis=0)
    undefined = np.any([hi == ANYTHING for _, hi in pairs], axis=0)
    value = _in_type(function(*(np.where(known, lo, 0).astype(object) for lo, _ in pairs)), kind)
    known &= np.asarray(value <= ANYTHING, dtype=bool)
    exact = np.where(known, value, 0).astype(np.int64)
    least, most = max(kind.least, LOWEST), min(kind.most, ANYTHING)
    low = np.where(known, exact, np.where(undefined, LOWEST, least))
    high = np.where(known, exact, np.where(undefined, ANYTHING, most))
    return Range(low, high)


@operator("BitCast")
def bit_cast(node: Node, inputs: Inputs) -> Rule:
    """The same bits read as another type: of constants."""
    value = constant(node, inputs, 0, "input")
    kinds = (node.input_type(0), int(node.attributes["to"]))
    if value is None or value.radius is not None or not all(kinds):
        raise ModelError(f"{node.label} needs an exact constant of a known type.")
    source, target = (onnx.helper.tensor_dtype_to_np_dtype(kind) for kind in kinds if kind)
    array: NDArray[Any] = np.ascontiguousarray(value.value.astype(source))
    if _width(kinds[0]) != _width(kinds[1]):
        raise ModelError(f"{node.label}: the types have different widths.")
    return fixed(widened(array.view(target).reshape(value.shape)))


def _width(kind: int | None) -> int:
    """Bits of an element type."""
    return PACKED.get(kind or 0) or 8 * onnx.helper.tensor_dtype_to_np_dtype(kind or 0).itemsize
