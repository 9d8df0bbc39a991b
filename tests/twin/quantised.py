"""Rounding to whole numbers, quantisation, products of integers, and bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto
from quicktions import Fraction

from .call import OPERATORS, Call, operator, to_axis
from .elementwise import INTEGERS
from .exact import UNKNOWN, Array, Unknown, bounds, divide, elementwise, greatest, hull, less_equal
from .narrow import NARROW, round_to

ONE, ZERO = Fraction(1), Fraction(0)
NOTHING = np.array(0, dtype=object)


def round_half_even(x: Fraction) -> int:
    return round(x)  # Python's own rule


def _monotone(step: Callable[[Fraction], int], x: Any) -> Any:
    """The step function of a number, as a real number; of a bracket that lies on one step, too."""
    if isinstance(x, Unknown):
        return UNKNOWN
    return hull([Fraction(step(end)) for end in bounds(x)])


@operator("Floor")
def floor(call: Call) -> list[Array]:
    return [elementwise(lambda x: _monotone(math.floor, x), call[0])]


@operator("Ceil")
def ceil(call: Call) -> list[Array]:
    return [elementwise(lambda x: _monotone(math.ceil, x), call[0])]


@operator("Round")
def nearest(call: Call) -> list[Array]:
    return [elementwise(lambda x: _monotone(round_half_even, x), call[0])]


@operator("Mod")
def modulo(call: Call) -> list[Array]:
    """a - b q with the quotient q rounded down, or towards zero."""
    rounding = math.trunc if call.attribute("fmod", 0) else math.floor

    def scalar(a: Any, b: Any) -> Any:
        if isinstance(a, Unknown) or isinstance(b, Unknown):
            return UNKNOWN
        lo, hi = bounds(b)
        if lo <= 0 <= hi:
            return UNKNOWN
        if isinstance(a, int) and isinstance(b, int):
            return a - b * rounding(Fraction(a, b))
        whole = _monotone(rounding, divide(a, b))
        return a - b * whole

    return [elementwise(scalar, call[0], call[1])]


@operator("Hardmax")
def hardmax(call: Call) -> list[Array]:
    """1 at the first maximum; before opset 13 of all axes from the given one on, taken together."""
    x = call[0]
    axis = to_axis(call.attribute("axis", -1 if call.opset >= 13 else 1), x.ndim)
    behind = x.shape[axis:] if call.opset < 13 else x.shape[axis : axis + 1]
    rows = x.reshape(math.prod(x.shape[:axis]), math.prod(behind), -1)
    out = np.empty(rows.shape, dtype=object)
    for i, k in np.ndindex(rows.shape[0], rows.shape[2]):
        row = list(rows[i, :, k])
        best = greatest(row)
        first = next((j for j, v in enumerate(row) if less_equal(best, v) is True), None)
        exact = all(not isinstance(less_equal(best, v), Unknown) for v in row)
        for j in range(len(row)):
            out[i, j, k] = UNKNOWN if not exact or first is None else ONE if j == first else ZERO
    return [out.reshape(x.shape)]


# --- quantisation ---


def _limits(kind: int) -> tuple[int, int]:
    bits, signed = INTEGERS[kind]
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _spread(call: Call, given: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point, repeated to the shape of x."""
    if given.size == 1 and given.ndim <= 1:
        return np.broadcast_to(given.reshape(()), shape)
    axis = to_axis(call.attribute("axis", 1), len(shape)) if len(shape) > 1 else 0
    block = call.attribute("block_size", 0) or 1
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        place = index[axis] if given.ndim == 1 and block == 1 else None
        at = list(index)
        at[axis] //= block
        out[index] = given[place] if place is not None else given[tuple(at)]
    return out


def _quantised(x: Any, scale: Any, zero: Any, kind: int) -> Any:
    """saturate(round(x / scale) + zero)."""
    quotient = divide(x if not isinstance(x, int) else Fraction(x), scale)
    if isinstance(quotient, Unknown) or isinstance(zero, Unknown):
        return UNKNOWN
    least, most = _limits(kind)
    ends = {min(max(round_half_even(end) + int(zero), least), most) for end in bounds(quotient)}
    return ends.pop() if len(ends) == 1 else UNKNOWN


@operator("QuantizeLinear")
def quantize_linear(call: Call) -> list[Array]:
    x = call[0]
    kind = call.types[2] if call.has(2) else call.attribute("output_dtype", 0) or TensorProto.UINT8
    scale = _spread(call, call[1], x.shape)
    zero = (
        _spread(call, call[2], x.shape)
        if call.has(2)
        else np.broadcast_to(np.array(0, dtype=object), x.shape)
    )
    precision = call.attribute("precision", 0)
    if precision in NARROW:
        x, scale = (elementwise(lambda v: round_to(v, precision), a) for a in (x, scale))
        x = elementwise(lambda a, b: round_to(divide(a, b), precision), x, scale)
        scale = np.broadcast_to(np.array(ONE, dtype=object), x.shape)
    if kind in NARROW:
        saturate = bool(call.attribute("saturate", 1))
        return [elementwise(lambda a, s, z: round_to(divide(a, s) + z, kind, saturate), x, scale, zero)]
    return [elementwise(lambda a, s, z: _quantised(a, s, z, kind), x, scale, zero)]


@operator("DequantizeLinear")
def dequantize_linear(call: Call) -> list[Array]:
    x = call[0]
    scale = _spread(call, call[1], x.shape)
    zero = (
        _spread(call, call[2], x.shape)
        if call.has(2)
        else np.broadcast_to(np.array(0, dtype=object), x.shape)
    )
    to = call.attribute("output_dtype", 0)

    def scalar(a: Any, s: Any, z: Any) -> Any:
        value = (a - z) * s
        value = Fraction(value) if isinstance(value, int) else value
        return round_to(value, to) if to in NARROW else value

    return [elementwise(scalar, x, scale, zero)]


# --- products of integers ---


def _as_int32(total: Any) -> Any:
    if isinstance(total, Unknown):
        return UNKNOWN
    return int(total) if -(2**31) <= total < 2**31 else UNKNOWN


def _less(x: Array, zero: Array | None) -> Array:
    return x if zero is None else elementwise(lambda a, z: a - z, x, zero)


def _channels(value: Array, rank: int) -> Array:
    """A scalar, or a vector along the first of so many axes."""
    return value.reshape(()) if value.size == 1 else value.reshape(-1, *(1,) * (rank - 1))


def _convolved(call: Call, x: Array, w: Array, bias: Array | None) -> Array:
    plain = Call(call.node, [x, w, bias], call.opset)
    return elementwise(_as_int32, OPERATORS["Conv"](plain)[0])


@operator("ConvInteger")
def conv_integer(call: Call) -> list[Array]:
    x = _less(call[0], call[2].reshape(()) if call.has(2) else None)
    w = _less(call[1], _channels(call[3], call[1].ndim) if call.has(3) else None)
    return [_convolved(call, x, w, None)]


@operator("QLinearConv")
def qlinear_conv(call: Call) -> list[Array]:
    x = _less(call[0], call[2].reshape(()))
    w = _less(call[3], _channels(call[5], call[3].ndim))
    total = _convolved(call, x, w, call[8] if call.has(8) else None)
    scale = _channels(call[4], total.ndim - 1)
    x_scale, y_scale, y_zero = (call[k].reshape(()) for k in (1, 6, 7))
    kind = call.types[7]
    return [
        elementwise(
            lambda a, s, t, u, z: _quantised(a * s * t, u, z, kind), total, x_scale, scale, y_scale, y_zero
        )
    ]


def _per_row(value: Array, rank: int) -> Array:
    return value.reshape(-1, 1) if value.ndim == 1 and value.size > 1 and rank > 1 else _single(value)


def _single(value: Array) -> Array:
    return value.reshape(()) if value.ndim == 1 and value.size == 1 else value


def _multiplied(call: Call, a: int, b: int, a_zero: int, b_zero: int) -> Array:
    left = _less(call[a], _per_row(call[a_zero], call[a].ndim) if call.has(a_zero) else None)
    right = _less(call[b], _single(call[b_zero]) if call.has(b_zero) else None)
    return elementwise(_as_int32, OPERATORS["MatMul"](Call(call.node, [left, right], call.opset))[0])


@operator("MatMulInteger")
def matmul_integer(call: Call) -> list[Array]:
    return [_multiplied(call, 0, 1, 2, 3)]


@operator("QLinearMatMul")
def qlinear_matmul(call: Call) -> list[Array]:
    total = _multiplied(call, 0, 3, 2, 5)
    scales = _per_row(call[1], call[0].ndim), _single(call[4]), _single(call[6]), _single(call[7])
    kind = call.types[7]
    return [elementwise(lambda a, s, t, u, z: _quantised(a * s * t, u, z, kind), total, *scales)]


# --- bits ---


def _of_bits(call: Call, function: Callable[..., int], *arrays: Array) -> list[Array]:
    """The function of what is known, as a number of the type."""
    least, most = _limits(call.types[0])

    def scalar(*values: Any) -> Any:
        if any(isinstance(v, Unknown) for v in values):
            return UNKNOWN
        return (function(*values) - least) % (most - least + 1) + least

    return [elementwise(scalar, *arrays)]


@operator("BitwiseAnd")
def bitwise_and(call: Call) -> list[Array]:
    return _of_bits(call, lambda a, b: a & b, call[0], call[1])


@operator("BitwiseOr")
def bitwise_or(call: Call) -> list[Array]:
    return _of_bits(call, lambda a, b: a | b, call[0], call[1])


@operator("BitwiseXor")
def bitwise_xor(call: Call) -> list[Array]:
    return _of_bits(call, lambda a, b: a ^ b, call[0], call[1])


@operator("BitwiseNot")
def bitwise_not(call: Call) -> list[Array]:
    return _of_bits(call, lambda a: ~a, call[0])


@operator("BitShift")
def bit_shift(call: Call) -> list[Array]:
    bits = INTEGERS[call.types[0]][0]
    left = call.attribute("direction") == "LEFT"

    def shifted(a: int, by: int) -> int:
        if not 0 <= by < bits:
            return -1 if a < 0 and not left else 0
        return a * 2**by if left else math.floor(Fraction(a, 2**by))

    return _of_bits(call, shifted, call[0], call[1])
