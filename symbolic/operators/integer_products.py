"""Convolutions and matrix products of integers: sums that floats hold exactly, rounded back to integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from symbolic.enclosures import forms
from symbolic.enclosures.values import ANYTHING, Affine, Batch, Const, Range, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.casting import WHOLE, Whole
from symbolic.operators.convolution import conv
from symbolic.operators.integer_arithmetic import whole
from symbolic.operators.matrix import matrix_product
from symbolic.operators.quantisation import Divisor, quantised, settled, whole_type, zero_of
from symbolic.operators.steps import between, exact_product, tight_bounds

INT32 = WHOLE[TensorProto.INT32]
Sums = Callable[[Batch, Inputs], Affine]
"""The real sums of products behind an operator."""


def _centred(batch: Batch, x: Value, zero: Value) -> Value:
    """x - zero point."""
    if isinstance(x, Const) and isinstance(zero, Const):
        return Const(x.value.astype(np.float64) - zero.value.astype(np.float64))
    return forms.subtract(batch.lift(x), batch.lift(zero))


# --- convolutions ---


def _convolved(node: Node, inputs: Inputs, places: tuple[int, int, int, int], bias: Const | None) -> Sums:
    """The convolution of x - zero point with constant weights; ``places`` are the input numbers of x, its
    zero point, the weights and theirs."""
    data, data_zero, weights, weights_zero = places
    kernel, zero = constant(node, inputs, weights, "kernel"), zero_of(node, inputs, weights_zero)
    if kernel is None or not isinstance(zero, Const):
        raise ModelError(f"{node.label}: its kernel and the kernel's zero point must be constants.")
    centre = _centred(Batch(1), kernel, per_channel(zero, len(kernel.shape)))
    rule = conv(node, [required(node, inputs, data), centre, bias])

    def sums(batch: Batch, values: Inputs) -> Affine:
        shift = _scalar(node, zero_of(node, values, data_zero))
        (y,) = rule(batch, [_centred(batch, required(node, values, data), shift), centre, bias])
        return batch.lift(y)

    return sums


def per_channel(value: Value, rank: int) -> Value:
    """One number for all, or one per output channel, along the first of ``rank`` axes."""
    if int(np.prod(value.shape)) == 1:
        return map_value(value, lambda v, lead: v.reshape(v.shape[:lead]))
    return map_value(value, lambda v, lead: v.reshape(*v.shape[:lead], -1, *(1,) * (rank - 1)))


@operator("ConvInteger", homogeneous=False)
def conv_integer(node: Node, inputs: Inputs) -> Rule:
    """Convolution of integers into 32 bits."""
    sums = _convolved(node, inputs, (0, 2, 1, 3), None)
    return lambda batch, values: (settled(whole(sums(batch, values), INT32), values, INT32),)


@operator("QLinearConv", homogeneous=False)
def qlinear_conv(node: Node, inputs: Inputs) -> Rule:
    """Convolution of quantised numbers, quantised again."""
    kind = whole_type(node, 7)
    sums = _convolved(node, inputs, (0, 2, 3, 5), constant(node, inputs, 8, "bias"))
    spatial = len(required(node, inputs).shape) - 1
    fixed = Divisor.fixed(_scalar(node, required(node, inputs, 6)))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        scales = [
            _scalar(node, required(node, values, 1)),
            per_channel(required(node, values, 4), spatial),
        ]
        y_scale = fixed or Divisor.of(batch, _scalar(node, required(node, values, 6)))
        y_zero = _scalar(node, required(node, values, 7))
        total = whole(sums(batch, values), INT32)
        result = _requantised(batch, total, scales, y_scale, y_zero, kind)
        return (settled(result, values, kind),)

    return rule


def _scalar(node: Node, value: Value) -> Value:
    if int(np.prod(value.shape)) != 1:
        raise ModelError(f"{node.label}: one scale or zero point for the whole tensor is needed.")
    return map_value(value, lambda v, lead: v.reshape(v.shape[:lead]))


# --- matrix products ---


def per_row(value: Value, rank: int) -> Value:
    """One number for all, one per row of a matrix, or of the matrices' own rank."""
    if len(value.shape) == 1 and value.shape[0] > 1 and rank > 1:
        return map_value(value, lambda v, lead: v.reshape(*v.shape, 1))
    if len(value.shape) == 1 and value.shape[0] == 1:
        return map_value(value, lambda v, lead: v.reshape(v.shape[:lead]))
    return value


def per_column(value: Value) -> Value:
    """One number for all, one per column of a matrix, or of the matrices' own rank."""
    if len(value.shape) == 1 and value.shape[0] == 1:
        return map_value(value, lambda v, lead: v.reshape(v.shape[:lead]))
    return value


def _multiplied(node: Node, a: int, b: int, a_zero: int, b_zero: int) -> Sums:
    def sums(batch: Batch, values: Inputs) -> Affine:
        left, right = required(node, values, a), required(node, values, b)
        rows = per_row(zero_of(node, values, a_zero), len(left.shape))
        columns = per_column(zero_of(node, values, b_zero))
        factors = _centred(batch, left, rows), _centred(batch, right, columns)
        return matrix_product(batch, *factors)

    return sums


@operator("MatMulInteger", homogeneous=False)
def matmul_integer(node: Node, inputs: Inputs) -> Rule:
    """Matrix product of integers into 32 bits."""
    sums = _multiplied(node, 0, 1, 2, 3)
    return lambda batch, values: (settled(whole(sums(batch, values), INT32), values, INT32),)


@operator("QLinearMatMul", homogeneous=False)
def qlinear_matmul(node: Node, inputs: Inputs) -> Rule:
    """Matrix product of quantised numbers, quantised again."""
    for index in (0, 3):
        whole_type(node, index)
    kind = whole_type(node, 7)
    sums = _multiplied(node, 0, 3, 2, 5)
    rank = len(required(node, inputs).shape)
    fixed = Divisor.fixed(_output_side(node, required(node, inputs, 6)))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        scales = [per_row(required(node, values, 1), rank), per_column(required(node, values, 4))]
        y_scale, y_zero = (_output_side(node, required(node, values, k)) for k in (6, 7))
        total = whole(sums(batch, values), INT32)
        result = _requantised(batch, total, scales, fixed or Divisor.of(batch, y_scale), y_zero, kind)
        return (settled(result, values, kind),)

    return rule


def _output_side(node: Node, value: Value) -> Value:
    """A vector might be meant per row or per column."""
    return _scalar(node, value) if len(value.shape) < 2 else value


def _requantised(
    batch: Batch, total: Range, scales: list[Value], y_scale: Divisor, y_zero: Value, kind: Whole
) -> Range:
    """total times both scales, quantised by the output's scale and zero point."""
    factor = _product_of_scales(batch, *scales)
    form, factor = forms.aligned(batch.lift(total), factor)
    numerator = forms.product(form, factor)
    lo, hi = tight_bounds(numerator)
    exact = (factor.d == 0) & (factor.r == 0) & (factor.c > 0)
    undefined = total.hi == ANYTHING
    low, high = (_floats(v, undefined) for v in (total.lo, total.hi))
    lo = np.where(exact, between(low, factor.c)[0], lo)
    hi = np.where(exact, between(high, factor.c)[1], hi)
    return quantised(batch, numerator, (lo, hi), y_scale, y_zero, kind)


def _floats(v: NDArray[Any], undefined: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(undefined, np.nan, v.astype(np.float64))


def _product_of_scales(batch: Batch, a: Value, b: Value) -> Affine:
    """a b: exact where it is a float."""
    if all(isinstance(v, Const) and v.radius is None for v in (a, b)):
        x, y = forms.aligned(batch.lift(a), batch.lift(b))
        value, error = exact_product(x.c, y.c)
        return Affine(value, np.zeros_like(value), np.abs(error))
    return forms.product(batch.lift(a), batch.lift(b))
