"""QuantizeLinear and DequantizeLinear: y = saturate(round(x / scale) + zero point), and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from symbolic import forms
from symbolic.curves import Curve, Piece, relax
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import divide
from symbolic.operators.casting import (
    WHOLE,
    Narrow,
    Whole,
    close_steps,
    integers,
    narrow_format,
    narrowed,
)
from symbolic.operators.steps import NEAREST, Step, blurred, exact_product, of_quotient, tight_bounds
from symbolic.rounding import Array
from symbolic.values import ANYTHING, Affine, Batch, Const, Range, Value, as_range, map_value

__all__ = ["quantised", "settled", "whole_type", "zero_of"]


@operator("QuantizeLinear", homogeneous=False)
def quantize_linear(node: Node, inputs: Inputs) -> Rule:
    """To integers, or to narrow floats; the division is that of real numbers unless `precision` is given."""
    shape = required(node, inputs).shape
    to = int(node.attributes.get("output_dtype", 0)) or TensorProto.UINT8
    if len(inputs) > 2 and inputs[2] is not None:
        to = node.input_type(2) or 0
    narrow = narrow_format(to, bool(node.attributes.get("saturate", 1)))
    if narrow is None and to not in WHOLE:
        raise ModelError(f"{node.label}: it is not known, or not supported, to which type it quantises.")
    precision = narrow_format(int(node.attributes.get("precision", 0)))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        scale = batch.lift(granular(node, required(node, values, 1), shape))
        zero = zero_of(node, values, 2)
        if precision is not None:
            x, scale = narrowed(x, precision), narrowed(scale, precision)
            x = narrowed(divide(batch, x, scale), precision)
            scale = batch.lift(Const(np.ones(())))
        zero = granular(node, zero, shape)
        if narrow is not None:
            return (_to_floats(batch, x, scale, zero, narrow),)
        result = quantised(batch, x, tight_bounds(x), scale, zero, WHOLE[to])
        return (settled(result, values, WHOLE[to]),)

    return rule


def zero_of(node: Node, values: Inputs, index: int) -> Value:
    """A zero point; 0 where it is left out."""
    value = values[index] if index < len(values) else None
    return Const(np.zeros((), dtype=np.int64)) if value is None else value


def granular(node: Node, value: Value, shape: tuple[int, ...]) -> Value:
    """A scale or zero point, broadcastable to x: one for all, one per index of an axis, or one per block."""
    given, rank = value.shape, len(shape)
    if int(np.prod(given)) == 1 and len(given) < 2:
        return map_value(value, lambda v, lead: v.reshape(v.shape[:lead]))
    axis = int(node.attributes.get("axis", 1))
    axis = axis % rank if rank > 1 else 0
    block = int(node.attributes.get("block_size", 0))
    if len(given) == 1 and given[0] == shape[axis] and not block:
        wide = tuple(shape[axis] if k == axis else 1 for k in range(rank))
        return map_value(value, lambda v, lead: v.reshape(*v.shape[:lead], *wide))
    counts = tuple(-(-n // block) if block and k == axis else n for k, n in enumerate(shape))
    if block > 0 and given == counts:
        index = np.arange(shape[axis]) // block
        return map_value(value, lambda v, lead: np.take(v, index, axis=lead + axis))
    raise ModelError(f"{node.label}: a scale or zero point of shape {list(given)} does not fit its input.")


def quotient_steps(
    step: Step, batch: Batch, bounds: tuple[Array, Array], x: Affine, divisor: Affine
) -> tuple[Array, Array]:
    """step(x / divisor) between two bounds; ``bounds`` are those of x."""
    exact = (divisor.d == 0) & (divisor.r == 0) & (divisor.c > 0)
    low, high = of_quotient(step, *bounds, divisor.c)
    if exact.all():
        return low, high
    general = (step.at(v) for v in tight_bounds(divide(batch, x, divisor)))
    first, last = (np.where(exact, a, b) for a, b in zip((low, high), general, strict=True))
    return first, last


def quantised(
    batch: Batch, x: Affine, bounds: tuple[Array, Array], scale: Affine, zero: Value, to: Whole
) -> Range:
    """saturate(round(x / scale) + zero), following x: rounding moves it by half a step."""
    x, scale = forms.aligned(x, scale)
    low, high = quotient_steps(NEAREST, batch, bounds, x, scale)
    shift = as_range(batch, zero)
    rank = low.ndim - 1
    first, last = (v.reshape(len(v), *(1,) * (rank - v.ndim + 1), *v.shape[1:]) for v in (shift.lo, shift.hi))
    known = np.isfinite(low) & np.isfinite(high) & (last != ANYTHING)
    low, high = np.clip(low + first, to.least, to.most), np.clip(high + last, to.least, to.most)
    if (known & (low == high)).all():
        return Range(*integers(low, high, known))
    clip = Curve(
        (
            Piece(float(to.least), "linear", intercept=float(to.least)),
            Piece(float(to.most), "linear", slope=1.0),
            Piece(np.inf, "linear", intercept=float(to.most)),
        )
    )
    form = relax(forms.add(divide(batch, x, scale), batch.lift(zero)), clip)
    return Range(*integers(low, high, known), form=blurred(form, 0.0, 0.5))


def settled(result: Range, values: Inputs, to: Whole) -> Value:
    """A constant where nothing moves."""
    if all(v is None or isinstance(v, Const) for v in values) and result.known.all():
        return Const(result.lo[0].astype(to.stored))
    return result


def _to_floats(batch: Batch, x: Affine, scale: Affine, zero: Value, to: Narrow) -> Affine:
    if not isinstance(zero, Const) or zero.value.any():
        return narrowed(forms.add(divide(batch, x, scale), batch.lift(zero)), to)
    bounds = tight_bounds(x)
    x, scale = forms.aligned(x, scale)
    low, high = quotient_steps(to.step(), batch, bounds, x, scale)
    return close_steps(low, high, divide(batch, x, scale), to)


def whole_type(node: Node, index: int) -> Whole:
    """The integer type of an input."""
    kind = WHOLE.get(node.input_type(index) or 0)
    if kind is None:
        raise ModelError(f"{node.label}: input {index} is of no known integer type.")
    return kind


@operator("DequantizeLinear", homogeneous=False)
def dequantize_linear(node: Node, inputs: Inputs) -> Rule:
    """(x - zero point) scale; a given output type that is narrow rounds it."""
    shape = required(node, inputs).shape
    narrow = narrow_format(int(node.attributes.get("output_dtype", 0)))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = required(node, values)
        scale = granular(node, required(node, values, 1), shape)
        zero = granular(node, zero_of(node, values, 2), shape)
        result = _dequantised(batch, x, scale, zero)
        if narrow is not None:
            result = narrowed(batch.lift(result), narrow)
        return (result,)

    return rule


def _dequantised(batch: Batch, x: Value, scale: Value, zero: Value) -> Value:
    """Products of known integers and exact scales bring in their own rounding error only."""
    if not isinstance(scale, Const) or scale.radius is not None:
        return forms.product(forms.subtract(batch.lift(x), batch.lift(zero)), batch.lift(scale))
    factor = scale.value.astype(np.float64)
    if isinstance(x, Const) and x.radius is None and isinstance(zero, Const):
        value, error = exact_product(_difference(x.value, zero.value), factor)
        return Const(value, np.abs(error) if error.any() else None)
    form = forms.scale(forms.subtract(batch.lift(x), batch.lift(zero)), factor)
    if not isinstance(x, Range) or not isinstance(zero, Const):
        return form
    value, error = exact_product(_difference(x.lo, zero.value[None]), factor[None])
    known = np.broadcast_to(x.known & np.isfinite(value), form.c.shape)
    return Affine(
        np.where(known, value, form.c), np.where(known, 0.0, form.d), np.where(known, np.abs(error), form.r)
    )


def _difference(x: NDArray[Any], zero: NDArray[Any]) -> Array:
    """Integers of 32 bits at most, or floats with a zero point of 0."""
    return np.asarray(x.astype(np.float64) - zero.astype(np.float64))
