"""QuantizeLinear and DequantizeLinear: y = saturate(round(x / scale) + zero point), and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from symbolic.enclosures import forms
from symbolic.enclosures.curves import relu
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import ANYTHING, Affine, Batch, Const, Range, Value, as_range, map_value
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
from symbolic.operators.smooth import reciprocal
from symbolic.operators.steps import NEAREST, Step, blurred, exact_product, of_quotient, tight_bounds

__all__ = ["Divisor", "quantised", "settled", "whole_type", "zero_of"]


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
    fixed = Divisor.fixed(granular(node, required(node, inputs, 1), shape))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        scale = fixed or Divisor.of(batch, granular(node, required(node, values, 1), shape))
        zero = granular(node, zero_of(node, values, 2), shape)
        if precision is not None:
            divisor = narrowed(scale.form, precision)
            x = narrowed(divide(batch, narrowed(x, precision), divisor), precision)
            scale = Divisor.of(batch, Const(np.ones(())))
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
    axis = node.axis(rank, int(node.attributes.get("axis", 1))) if rank > 1 else 0
    block = int(node.attributes.get("block_size", 0))
    if len(given) == 1 and given[0] == shape[axis] and not block:
        wide = tuple(shape[axis] if k == axis else 1 for k in range(rank))
        return map_value(value, lambda v, lead: v.reshape(*v.shape[:lead], *wide))
    counts = tuple(-(-n // block) if block and k == axis else n for k, n in enumerate(shape))
    if block > 0 and given == counts:
        index = np.arange(shape[axis]) // block
        return map_value(value, lambda v, lead: np.take(v, index, axis=lead + axis))
    raise ModelError(f"{node.label}: a scale or zero point of shape {list(given)} does not fit its input.")


@dataclass(frozen=True)
class Divisor:
    """A scale and its reciprocal."""

    form: Affine
    inverse: Affine

    @classmethod
    def of(cls, batch: Batch, scale: Value) -> Divisor:
        form = batch.lift(scale)
        return cls(form, reciprocal(form))

    @classmethod
    def fixed(cls, scale: Value) -> Divisor | None:
        """Made once, of a constant."""
        return cls.of(Batch(1), scale) if isinstance(scale, Const) else None


def quotient_steps(
    step: Step, bounds: tuple[Array, Array], x: Affine, divisor: Divisor
) -> tuple[Array, Array]:
    """step(x / divisor) between two bounds; ``bounds`` are those of x."""
    x, form = forms.aligned(x, divisor.form)
    exact = (form.d == 0) & (form.r == 0) & (form.c > 0)
    low, high = of_quotient(step, *bounds, form.c)
    if exact.all():
        return low, high
    general = (step.at(v) for v in tight_bounds(forms.product(x, divisor.inverse)))
    first, last = (np.where(exact, a, b) for a, b in zip((low, high), general, strict=True))
    return first, last


def quantised(
    batch: Batch, x: Affine, bounds: tuple[Array, Array], scale: Divisor, zero: Value, to: Whole
) -> Range:
    """saturate(round(x / scale) + zero), following x: rounding moves it by half a step."""
    low, high = quotient_steps(NEAREST, bounds, x, scale)
    shift = as_range(batch, zero)
    rank = low.ndim - 1
    first, last = (v.reshape(len(v), *(1,) * (rank - v.ndim + 1), *v.shape[1:]) for v in (shift.lo, shift.hi))
    known = np.isfinite(low) & np.isfinite(high) & (last != ANYTHING)
    low, high = np.clip(low + first, to.least, to.most), np.clip(high + last, to.least, to.most)
    open_ = ~known | (low != high)
    if not open_.any():
        return Range(*integers(low, high, known))
    at = np.nonzero(open_)
    form = forms.product(_picked(x, low, at), _picked(scale.inverse, low, at))
    form = _clipped(forms.add(form, _picked(batch.lift(zero), low, at)), to)
    whole = [low.copy(), np.zeros_like(low), np.zeros_like(low)]
    for place, value in zip(whole, (form.c, form.d, form.r), strict=True):
        place[at] = value
    return Range(*integers(low, high, known), form=Affine(*whole))


def _picked(x: Affine, like: Array, at: tuple[NDArray[np.intp], ...]) -> Affine:
    """Some elements of what broadcasts to an array, in a row."""
    x = forms.aligned(x, Affine(like, like, like))[0]
    return Affine(*(np.broadcast_to(v, like.shape)[at] for v in (x.c, x.d, x.r)))


def _clipped(x: Affine, to: Whole) -> Affine:
    """Numbers within the bounds of a type, half a step to either side."""
    above = relu(blurred(x, -float(to.least), 0.0))
    below = relu(blurred(forms.negative(above), float(to.most - to.least), 0.0))
    return blurred(forms.negative(below), float(to.most), 0.5)


def settled(result: Range, values: Inputs, to: Whole) -> Value:
    """A constant where nothing moves."""
    if all(v is None or isinstance(v, Const) for v in values) and result.known.all():
        return Const(result.lo[0].astype(to.stored))
    return result


def _to_floats(batch: Batch, x: Affine, scale: Divisor, zero: Value, to: Narrow) -> Affine:
    quotient = forms.product(x, scale.inverse)
    if not isinstance(zero, Const) or zero.value.any():
        return narrowed(forms.add(quotient, batch.lift(zero)), to)
    low, high = quotient_steps(to.step(), tight_bounds(x), x, scale)
    return close_steps(low, high, quotient, to)


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
