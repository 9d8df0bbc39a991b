"""Quantisation: to integers and back, and sums of products of integers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.discrete import Discrete, to_form, to_integer
from verifier.check.numbers.integers import Form
from verifier.check.numbers.narrow import Format, enclosed, format_of, roomy, rounded, sticky
from verifier.check.numbers.relaxations import maximum, minimum
from verifier.check.numbers.steps import NEAREST, blurred, exact_divisor, stepped
from verifier.check.operators.cast import WHOLE, settled, whole_type
from verifier.check.operators.registry import OPERATORS, Context, Node, Value, operator

__all__: list[str] = []

INT32 = WHOLE[TensorProto.INT32]


# ---- scales and zero points -------------------------------------------------------------------------------


def _granular(node: Node, v: Value, shape: tuple[int, ...]) -> Value:
    """A scale or zero point, broadcastable to x: one for all, one per index of an axis, or one per block."""
    given, rank = v.shape, len(shape)
    if math.prod(given) == 1 and len(given) < 2:
        return _moved(v, lambda a: a.reshape(a.shape[-1:]))
    axis = node.axis(rank, node.get("axis", 1)) if rank > 1 else 0
    block = node.get("block_size") or 0
    if len(given) == 1 and given[0] == shape[axis] and not block:
        return _moved(v, lambda a: a.reshape(-1, *(1,) * (rank - axis - 1), a.shape[-1]))
    if block > 0 and given == (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :]):
        return _moved(v, lambda a: a.take(np.arange(shape[axis]) // block, axis=axis))
    raise node.refuse("a scale or zero point does not fit the input")


def _moved(v: Value, move: Any) -> Value:
    """Elements moved; nothing else is kept of a discrete tensor."""
    if isinstance(v, Form):
        return v.each(move)
    return Discrete(move(v.lo), move(v.hi), None if v.form is None else v.form.each(move))


def _scalar(node: Node, v: Value) -> Value:
    if math.prod(v.shape) != 1:
        raise node.refuse("one scale or zero point for the whole tensor is needed")
    return _moved(v, lambda a: a.reshape(a.shape[-1:]))


def _zero(inputs: list[Any], k: int) -> Value:
    """A zero point; 0 where it is left out."""
    return Discrete.known(0) if k >= len(inputs) or inputs[k] is None else inputs[k]


def _centred(ctx: Context, x: Value, zero: Value) -> Form:
    """x - zero point."""
    a, b = to_form(ctx.ar, x), to_form(ctx.ar, zero)
    if a.degree or b.degree:
        raise NotHomogeneous("a zero point")
    return ctx.ar.subtract(a, b)


# ---- quantisation ----------------------------------------------------------------------------------------


@operator("QuantizeLinear")
def _quantize(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    x, shape = to_form(ctx.ar, inputs[0]), inputs[0].shape
    if x.degree:
        raise NotHomogeneous("QuantizeLinear")
    to = node.get("output_dtype") or TensorProto.UINT8
    if len(inputs) > 2 and inputs[2] is not None:
        to = node.kinds[2]
    scale, zero = (_granular(node, v, shape) for v in (inputs[1], _zero(inputs, 2)))
    scale = to_form(ctx.ar, scale)
    precision = format_of(node.get("precision"))
    if precision is not None:
        x, scale = (rounded(ctx.ar, v, precision) for v in (x, scale))
        x, scale = rounded(ctx.ar, ctx.quotient(x, scale), precision), ctx.number(1)
    narrow = format_of(to, bool(node.get("saturate", 1)))
    if narrow is not None:
        return _to_floats(ctx, node, x, scale, to_form(ctx.ar, zero), narrow)
    return _quantised(ctx, node, x, scale, zero, whole_type(node, to))


def _to_floats(ctx: Context, node: Node, x: Form, scale: Form, zero: Form, to: Format) -> Form:
    if scale.degree or zero.degree:
        raise NotHomogeneous(node.op)
    divisor = exact_divisor(scale)
    if divisor is None or zero.size:
        return rounded(ctx.ar, ctx.ar.add(ctx.quotient(x, scale), zero), to)
    d, e = divisor
    x = roomy(ctx.ar, x)
    (lo, at), (hi, _) = (sticky(n, d, x.e - e, to) for n in ctx.ar.bounds(x))
    return enclosed(ctx.ar, lo, hi, at, ctx.quotient(x, scale), to)


def _quantised(
    ctx: Context, node: Node, x: Form, scale: Form, zero: Value, bounds: tuple[int, int]
) -> Discrete:
    """saturate(round(x / scale) + zero), following x: rounding moves it by half a step."""
    ar, (least, most) = ctx.ar, bounds
    if x.degree or scale.degree:
        raise NotHomogeneous(node.op)
    quotient = None
    if exact_divisor(scale) is None:
        quotient = ctx.quotient(x, scale)
        low, high = stepped(ar, NEAREST, quotient)
    else:
        low, high = stepped(ar, NEAREST, x, scale)
    if isinstance(zero, Form):
        zero = to_integer(ar, zero, truncate=False)
    low, high = np.clip(low + zero.lo, least, most), np.clip(high + zero.hi, least, most)
    low, high = low.astype(np.int64), high.astype(np.int64)
    if (low == high).all():
        return Discrete(low, high)
    form = ar.add(ctx.quotient(x, scale) if quotient is None else quotient, to_form(ar, zero))
    form = minimum(ar, maximum(ar, form, ctx.number(least)), ctx.number(most))
    return Discrete(low, high, blurred(ar, form, -1))


@operator("DequantizeLinear")
def _dequantize(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    shape = inputs[0].shape
    scale, zero = (_granular(node, v, shape) for v in (inputs[1], _zero(inputs, 2)))
    y = ctx.product(_centred(ctx, inputs[0], zero), to_form(ctx.ar, scale))
    narrow = format_of(node.get("output_dtype"))
    return y if narrow is None else rounded(ctx.ar, y, narrow)


# ---- products of integers ---------------------------------------------------------------------------------


def _whole(ctx: Context, node: Node, sums: Form) -> Discrete:
    """The integers between the bounds of what is known to be one; undecided where 32 bits may not hold it."""
    found = to_integer(ctx.ar, sums, truncate=False)
    return Discrete(*settled(ctx, node, found.lo, found.hi, *INT32), found.form)


def _convolved(
    ctx: Context, node: Node, x: tuple[Value, Value], w: tuple[Value, Value], bias: Value | None
) -> Discrete:
    """The convolution of x - zero point with weights - zero point."""
    weights, zero = w
    channel = zero if math.prod(zero.shape) == 1 else _channelled(zero, len(weights.shape))
    channel = _scalar(node, channel) if math.prod(zero.shape) == 1 else channel
    operands = [_centred(ctx, x[0], _scalar(node, x[1])), _centred(ctx, weights, channel)]
    operands += [] if bias is None else [to_form(ctx.ar, bias)]
    return _whole(ctx, node, OPERATORS["Conv"](ctx, node, operands))


def _channelled(v: Value, rank: int) -> Value:
    """One number per output channel, along the first of `rank` axes."""
    return _moved(v, lambda a: a.reshape(-1, *(1,) * (rank - 1), a.shape[-1]))


@operator("ConvInteger", still=(1, 3))
def _conv_integer(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    return _convolved(ctx, node, (inputs[0], _zero(inputs, 2)), (inputs[1], _zero(inputs, 3)), None)


@operator("QLinearConv", still=(3, 5, 8))
def _qlinear_conv(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = inputs[:8]
    bias = inputs[8] if len(inputs) > 8 else None
    total = _convolved(ctx, node, (x, x_zero), (w, w_zero), bias)
    each = math.prod(w_scale.shape) > 1
    scales = (
        to_form(ctx.ar, _scalar(node, x_scale)),
        to_form(ctx.ar, _channelled(w_scale, len(x.shape) - 1) if each else _scalar(node, w_scale)),
    )
    return _requantised(ctx, node, total, scales, _scalar(node, y_scale), _scalar(node, y_zero))


def _rows(v: Value, rank: int) -> Value:
    """A vector has one number per row of a matrix."""
    if len(v.shape) == 1 and v.shape[0] > 1 and rank > 1:
        return _moved(v, lambda a: a.reshape(-1, 1, a.shape[-1]))
    return v if len(v.shape) != 1 or v.shape[0] > 1 else _moved(v, lambda a: a.reshape(a.shape[-1:]))


def _columns(v: Value) -> Value:
    """A vector has one number per column of a matrix."""
    return _moved(v, lambda a: a.reshape(a.shape[-1:])) if v.shape == (1,) else v


def _multiplied(ctx: Context, node: Node, at: tuple[int, int, int, int], inputs: list[Any]) -> Discrete:
    """The matrix product of both factors less their zero points; `at` are the numbers of these inputs."""
    a, b, a_zero, b_zero = at
    left = _centred(ctx, inputs[a], _rows(_zero(inputs, a_zero), len(inputs[a].shape)))
    right = _centred(ctx, inputs[b], _columns(_zero(inputs, b_zero)))
    names = tuple(_mover(ctx, node, pair) for pair in ((a, a_zero), (b, b_zero)))
    product = OPERATORS["MatMul"](ctx, replace(node, inputs=names), [left, right])
    return _whole(ctx, node, product)


def _mover(ctx: Context, node: Node, pair: tuple[int, int]) -> str:
    """The name of the tensor or of its zero point: of that which moves, if one does."""
    names = [node.inputs[k] for k in pair if k < len(node.inputs) and node.inputs[k]]
    return next((name for name in names if name in ctx.moves), names[0])


@operator("MatMulInteger")
def _matmul_integer(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    return _multiplied(ctx, node, (0, 1, 2, 3), inputs)


@operator("QLinearMatMul")
def _qlinear_matmul(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    for k in (0, 3):
        whole_type(node, node.kinds[k])
    total = _multiplied(ctx, node, (0, 3, 2, 5), inputs)
    scales = to_form(ctx.ar, _rows(inputs[1], len(inputs[0].shape))), to_form(ctx.ar, _columns(inputs[4]))
    y_scale, y_zero = inputs[6:8]
    if len(y_scale.shape) < 2:
        y_scale, y_zero = _scalar(node, y_scale), _scalar(node, y_zero)
    return _requantised(ctx, node, total, scales, y_scale, y_zero)


def _requantised(
    ctx: Context, node: Node, total: Discrete, scales: tuple[Form, Form], y_scale: Value, y_zero: Value
) -> Discrete:
    """total times both scales, quantised by the output's scale and zero point."""
    numerator = ctx.product(to_form(ctx.ar, total), ctx.product(*scales))
    scale = to_form(ctx.ar, y_scale)
    return _quantised(ctx, node, numerator, scale, y_zero, whole_type(node, node.kinds[7]))
