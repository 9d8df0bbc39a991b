"""Makers of steps: rounding, casts to narrow types, quantisation, products of integers, bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from graph_builder import NUMPY, Builder, Rejected, Tensor
from onnx import TensorProto, helper
from random_operators import maker, truth

__all__: list[str] = []

NARROW = {  # since which operator set Cast knows them
    TensorProto.FLOAT16: 7,
    TensorProto.BFLOAT16: 13,
    TensorProto.FLOAT8E4M3FN: 19,
    TensorProto.FLOAT8E4M3FNUZ: 19,
    TensorProto.FLOAT8E5M2: 19,
    TensorProto.FLOAT8E5M2FNUZ: 19,
    TensorProto.FLOAT4E2M1: 23,
}
BYTES = (TensorProto.UINT8, TensorProto.INT8)


def back(b: Builder, tensors: list[Tensor]) -> list[Tensor]:
    """The same numbers in the type of the graph."""
    return b.node("Cast", tensors, type=b.type, to=b.type) if tensors[0].type != b.type else tensors


def single(b: Builder, x: Tensor) -> Tensor:
    """float32, which is all that quantisation takes."""
    if x.type == TensorProto.FLOAT:
        return x
    return b.node("Cast", [x], type=TensorProto.FLOAT, to=TensorProto.FLOAT)[0]


def numpy_type(kind: int) -> Any:
    return helper.tensor_dtype_to_np_dtype(kind)


# --- rounding ---


@maker("Floor", "Ceil")
def floor(b: Builder, name: str) -> object:
    return b.node(name, [b.pick()])


@maker("Round", since=11)
def nearest(b: Builder) -> object:
    return b.node("Round", [b.pick()])


@maker("Mod", since=10)
def modulo(b: Builder) -> object:
    fmod = b.integer(0, 1)
    if b.coin(0.3):
        whole = b.node("Cast", [b.pick()], type=TensorProto.INT64, to=TensorProto.INT64)[0]
        divisor = b.constant(np.int64(b.choose([-3, -2, 2, 3, 5])))
        return back(b, b.node("Mod", [whole, divisor], fmod=fmod))
    x = b.pick()
    divisor = b.numbers([1 if b.coin(0.3) else size for size in x.shape])
    divisor = np.where(np.abs(divisor) < 0.125, 0.75, divisor).astype(divisor.dtype)
    return b.node("Mod", [x, b.constant(divisor)], fmod=1 if b.opset < 28 else fmod)


@maker("Hardmax")
def hardmax(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    axis = b.integer(0 if b.opset < 11 else -x.rank, x.rank - 1)
    return b.node("Hardmax", [x], axis=axis)


@maker("Cast")
def cast(b: Builder) -> object:
    kind = b.integer(0, 7)
    other = TensorProto.DOUBLE if b.type == TensorProto.FLOAT else TensorProto.FLOAT
    x = b.pick()
    if kind <= 1:
        return back(b, b.node("Cast", [x], type=other, to=other))
    if kind == 2:
        whole = b.node("Cast", [x], type=TensorProto.INT64, to=TensorProto.INT64)
        return back(b, whole) if b.coin(0.7) else whole
    if kind == 3:
        nonzero = b.node("Cast", [x], type=TensorProto.BOOL, to=TensorProto.BOOL)
        return back(b, nonzero) if b.coin() else nonzero
    if kind == 4:
        return b.node("Cast", [truth(b)], type=b.type, to=b.type)
    if kind == 5:  # integers that wrap around
        whole = b.node("Cast", [x], type=TensorProto.INT64, to=TensorProto.INT64)
        to = b.choose([TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32])
        return back(b, b.node("Cast", whole, type=to, to=to))
    to = b.choose([t for t, since in NARROW.items() if since <= b.opset])
    return back(b, b.node("Cast", [x], type=to, to=to))


# --- quantisation ---


def scale_of(b: Builder, shape: list[int], size: float = 0.25) -> Tensor:
    """Positive float32 numbers: powers of two, so that ties occur, or any."""
    if b.coin():
        return b.constant((2.0 ** b.rng.integers(-5, 0, size=shape)).astype(np.float32))
    return b.constant((size * (0.25 + b.rng.random(shape))).astype(np.float32))


def zero_of(b: Builder, shape: list[int], kind: int) -> Tensor:
    low, high = (90, 160) if kind == TensorProto.UINT8 else (-20, 20)
    return b.constant(b.rng.integers(low, high, size=shape).astype(numpy_type(kind)))


def quantised(b: Builder, x: Tensor) -> Tensor:
    """x in one byte."""
    kind = b.choose(BYTES)
    inputs = [single(b, x), scale_of(b, []), zero_of(b, [], kind)]
    return b.node("QuantizeLinear", inputs, type=kind)[0]


def granular(b: Builder, x: Tensor) -> tuple[list[int], dict[str, int]]:
    """The shape of scale and zero point, and the attributes that it needs."""
    if b.opset < 13 or x.rank < 2 or b.coin():
        return [], {}
    axis = b.integer(0, x.rank - 1)
    if b.opset >= 21 and b.coin():
        block = b.integer(1, x.shape[axis])
        shape = [-(-n // block) if k == axis else n for k, n in enumerate(x.shape)]
        return shape, {"axis": axis, "block_size": block}
    return [x.shape[axis]], {"axis": axis - x.rank if b.coin() else axis}


@maker("QuantizeLinear", "DequantizeLinear", since=10)
def quantise(b: Builder, name: str) -> object:
    x = single(b, b.pick())
    shape, attributes = granular(b, x)
    kinds = [*BYTES]
    if b.opset >= 19:
        kinds += [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2]
    if b.opset >= 21:
        kinds += [TensorProto.INT4, TensorProto.UINT4, TensorProto.INT16, TensorProto.UINT16]
    kind = b.choose(kinds)
    inputs: list[Tensor | None] = [x, scale_of(b, shape)]
    given = dict(attributes)
    if kind == TensorProto.UINT8 and b.coin(0.3):
        zero = None
    elif b.opset >= 21 and b.coin(0.3):
        zero, given["output_dtype"] = None, kind
    elif kind in (TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2):
        zero = b.constant(np.zeros(shape, dtype=numpy_type(kind)))
    else:
        low, high = (0, 7) if kind in (TensorProto.INT4, TensorProto.UINT4) else (0, 100)
        zero = b.constant(b.rng.integers(low, high, size=shape).astype(numpy_type(kind)))
    whole = b.node("QuantizeLinear", [*inputs, zero] if zero else inputs, type=kind, **given)[0]
    if zero is None and kind != TensorProto.UINT8 and kind not in whole_kinds(b):
        raise Rejected("type")
    if b.coin(0.3) and kind in BYTES:
        return back(b, [b.node("Cast", [whole], type=b.type, to=b.type)[0]])
    scale = inputs[1] if b.coin(0.7) else scale_of(b, shape)
    real = b.node(
        "DequantizeLinear",
        [whole, scale, zero] if zero else [whole, scale],
        type=TensorProto.FLOAT,
        **attributes,
    )
    return back(b, real)


def whole_kinds(b: Builder) -> list[int]:
    """What DequantizeLinear takes without a zero point."""
    return [*BYTES, *NARROW, TensorProto.INT4, TensorProto.UINT4, TensorProto.INT16, TensorProto.UINT16]


def byte_weights(b: Builder, shape: list[int]) -> Tensor:
    kind = b.choose(BYTES)
    low, high = (100, 156) if kind == TensorProto.UINT8 else (-28, 28)
    return b.constant(b.rng.integers(low, high, size=shape).astype(numpy_type(kind)))


def weights_zero(b: Builder, w: Tensor, shape: list[int]) -> Tensor:
    low, high = (126, 131) if w.type == TensorProto.UINT8 else (-2, 3)
    return b.constant(b.rng.integers(low, high, size=shape).astype(numpy_type(w.type)))


def sums_back(b: Builder, total: list[Tensor]) -> list[Tensor]:
    """Sums as real numbers of moderate size."""
    real = b.node("Cast", total, type=b.type, to=b.type)[0]
    return b.node("Mul", [real, b.constant(NUMPY[b.type](2.0**-9))])


@maker("MatMulInteger", since=10)
def matmul_integer(b: Builder) -> object:
    x = quantised(b, b.with_rank(1, 2, 3))
    w = byte_weights(b, [x.shape[-1], b.integer(1, 4)])
    inputs: list[Tensor | None] = [x, w]
    if b.coin(0.8):
        inputs.append(zero_of(b, [], x.type))
        if b.coin():
            inputs.append(weights_zero(b, w, [w.shape[1]] if b.coin() else []))
    return sums_back(b, b.node("MatMulInteger", inputs, type=TensorProto.INT32))


@maker("QLinearMatMul", since=10)
def qlinear_matmul(b: Builder) -> object:
    x = quantised(b, b.with_rank(2, 3))
    w = byte_weights(b, [x.shape[-1], b.integer(1, 4)])
    per_column = [w.shape[1]] if b.coin() else []
    kind = b.choose(BYTES)
    inputs = [x, scale_of(b, []), zero_of(b, [], x.type), w, scale_of(b, per_column, 0.05)]
    inputs += [weights_zero(b, w, per_column), scale_of(b, []), zero_of(b, [], kind)]
    made = b.node("QLinearMatMul", inputs, type=kind)
    return back(b, b.node("DequantizeLinear", [made[0], inputs[6], inputs[7]], type=TensorProto.FLOAT))


def windows(b: Builder, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """Weights of a convolution of one or two spatial axes, and its attributes."""
    size = x.shape[2:]
    groups = 2 if x.shape[1] % 2 == 0 and b.coin(0.3) else 1
    kernel = [b.integer(1, min(n, 3)) for n in size]
    w = byte_weights(b, [groups * b.integer(1, 2), x.shape[1] // groups, *kernel])
    attributes: dict[str, Any] = {"group": groups} if groups > 1 or b.coin() else {}
    if b.coin():
        attributes["pads"] = [b.integer(0, k - 1) for k in kernel * 2]
    if b.coin(0.3):
        attributes["strides"] = [b.integer(1, 2) for _ in kernel]
    return w, attributes


@maker("ConvInteger", since=10)
def conv_integer(b: Builder) -> object:
    x = quantised(b, b.with_rank(3, 4))
    w, attributes = windows(b, x)
    inputs: list[Tensor | None] = [x, w]
    if b.coin(0.8):
        inputs.append(zero_of(b, [], x.type))
        if b.coin():
            inputs.append(weights_zero(b, w, [w.shape[0]] if b.coin() else []))
    return sums_back(b, b.node("ConvInteger", inputs, type=TensorProto.INT32, **attributes))


@maker("QLinearConv", since=10)
def qlinear_conv(b: Builder) -> object:
    x = quantised(b, b.with_rank(3, 4))
    w, attributes = windows(b, x)
    channels = [w.shape[0]] if b.coin() else []
    kind = b.choose(BYTES)
    inputs = [x, scale_of(b, []), zero_of(b, [], x.type), w, scale_of(b, channels, 0.05)]
    inputs += [weights_zero(b, w, channels), scale_of(b, []), zero_of(b, [], kind)]
    if b.coin():
        inputs.append(b.constant(b.rng.integers(-200, 200, size=w.shape[:1]).astype(np.int32)))
    made = b.node("QLinearConv", inputs, type=kind, **attributes)
    return back(b, b.node("DequantizeLinear", [made[0], inputs[6], inputs[7]], type=TensorProto.FLOAT))


# --- bits ---


def in_range(b: Builder, kinds: tuple[int, ...]) -> Tensor:
    """Integers of a type that a moving tensor has been quantised to."""
    kind = b.choose(kinds)
    scale, zero = scale_of(b, []), b.constant(np.zeros([], dtype=numpy_type(kind)))
    return b.node("QuantizeLinear", [single(b, b.pick()), scale, zero], type=kind)[0]


@maker("BitwiseAnd", "BitwiseOr", "BitwiseXor", since=18)
def bitwise(b: Builder, name: str) -> object:
    x = in_range(b, BYTES)
    shape = [1 if b.coin(0.3) else n for n in x.shape]
    mask = b.constant(b.rng.integers(0, 100, size=shape).astype(numpy_type(x.type)))
    return back(b, b.node(name, [x, mask] if b.coin() else [mask, x], type=x.type))


@maker("BitwiseNot", since=18)
def bitwise_not(b: Builder) -> object:
    return back(b, b.node("BitwiseNot", [in_range(b, BYTES)]))


@maker("BitShift", since=11)
def bit_shift(b: Builder) -> object:
    x = in_range(b, (TensorProto.UINT8,))
    by = b.constant(b.rng.integers(0, 9, size=x.shape).astype(np.uint8))
    return back(b, b.node("BitShift", [x, by], direction=b.choose(["LEFT", "RIGHT"])))
