"""Operators on the bits of numbers: exact on what is known, any number of the type elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from verifier.check.numbers.discrete import LARGEST, Discrete
from verifier.check.numbers.integers import Array, Form, magnitude
from verifier.check.numbers.steps import refuse_cells
from verifier.check.operators.cast import WHOLE, whole_type
from verifier.check.operators.registry import Context, Node, Value, operator
from verifier.check.operators.structure import make_constant

__all__: list[str] = []


def _shift(node: Node, bits: int, x: int, y: int) -> int:
    """The standard: by more than there are bits, or by a negative number, the sign alone is left."""
    inside = 0 <= y < bits
    if node.get("direction") == b"LEFT":
        return x << y if inside else 0
    if node.get("direction") == b"RIGHT":
        return x >> (y if inside else bits)
    raise node.refuse("there is no such direction")


FUNCTIONS: dict[str, Callable[..., int]] = {
    "BitwiseAnd": lambda x, y: x & y,
    "BitwiseOr": lambda x, y: x | y,
    "BitwiseXor": lambda x, y: x ^ y,
    "BitwiseNot": lambda x: ~x,
}


@operator("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift", elementwise=True)
def _bits(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    least, most = whole_type(node, node.kinds[0])
    if any(max(magnitude(v.lo), magnitude(v.hi)) > LARGEST for v in inputs):
        raise node.refuse("an integer is beyond 2**52")
    span, bits = most - least + 1, (most - least).bit_length()

    def function(*operands: int) -> int:
        shift = functools.partial(_shift, node, bits)
        value = FUNCTIONS.get(node.op, shift)(*operands)
        return (value - least) % span + least

    low = np.frompyfunc(function, len(inputs), 1)(*(v.lo.astype(object) for v in inputs))
    unknown = np.zeros(low.shape, dtype=bool)
    for v in inputs:
        unknown |= v.lo != v.hi
    if most > LARGEST:
        refuse_cells(unknown)
        if max(map(abs, low.flat), default=0) > LARGEST:
            raise node.refuse("an integer is beyond 2**52")
    lo, hi = (np.where(unknown, end, low).astype(np.int64) for end in (least, most))
    return Discrete(lo, hi)


@operator("BitCast", still=(0,))
def _bit_cast(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """The same bits read as another type: of constants."""
    x, source, to = inputs[0], node.kinds[0], node.get("to")
    if not source or _width(source) != _width(to):
        raise node.refuse("the types have different widths, or are not known")
    dtype, target = (onnx.helper.tensor_dtype_to_np_dtype(kind) for kind in (source, to))
    if isinstance(x, Form):
        if x.r.any():
            raise node.refuse("a number is not an exact constant")
        unit = Fraction(2) ** x.e
        array: Array = np.array([float(int(c) * unit) for c in x.c.flat]).reshape(x.shape)
    elif max(magnitude(x.lo), magnitude(x.hi)) > LARGEST or (x.lo != x.hi).any():
        raise node.refuse("an integer is beyond 2**52, or not known")
    else:
        array = x.lo[..., 0]
    if source in WHOLE and isinstance(x, Form):
        raise node.refuse("integers are expected")
    return make_constant(ctx, np.ascontiguousarray(array.astype(dtype)).view(target).reshape(x.shape))


def _width(kind: int) -> int:
    """Bits of an element type."""
    name = onnx.TensorProto.DataType.Name(kind)
    packed = {"INT2": 2, "UINT2": 2, "INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "FLOAT6E2M3": 6, "FLOAT6E3M2": 6}
    return packed.get(name) or 8 * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
