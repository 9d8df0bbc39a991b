"""Cast: the identity between wide floats, rounding to narrow ones, a step to integers and booleans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from symbolic.enclosures import forms
from symbolic.enclosures.rounding import UP, Array, U, sum_error
from symbolic.enclosures.values import ANYTHING, LOWEST, Affine, Batch, Const, Range, Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.steps import Step, tight_bounds

__all__ = [
    "LARGEST",
    "WHOLE",
    "Narrow",
    "Whole",
    "as_reals",
    "close_steps",
    "integers",
    "narrow_format",
    "narrowed",
    "wrapped",
]

LARGEST = 2**52
"""Of integers made of real numbers; the checker holds no larger ones."""


@dataclass(frozen=True)
class Whole:
    """An integer type: its bounds, and how constants of it are stored."""

    least: int
    most: int
    stored: type[np.integer[Any] | np.bool_]


WHOLE: dict[int, Whole] = {
    TensorProto.INT2: Whole(-2, 1, np.int8),
    TensorProto.INT4: Whole(-8, 7, np.int8),
    TensorProto.INT8: Whole(-(2**7), 2**7 - 1, np.int8),
    TensorProto.INT16: Whole(-(2**15), 2**15 - 1, np.int16),
    TensorProto.INT32: Whole(-(2**31), 2**31 - 1, np.int32),
    TensorProto.INT64: Whole(-(2**63), 2**63 - 1, np.int64),
    TensorProto.UINT2: Whole(0, 3, np.uint8),
    TensorProto.UINT4: Whole(0, 15, np.uint8),
    TensorProto.UINT8: Whole(0, 2**8 - 1, np.uint8),
    TensorProto.UINT16: Whole(0, 2**16 - 1, np.uint16),
    TensorProto.UINT32: Whole(0, 2**32 - 1, np.uint32),
    TensorProto.UINT64: Whole(0, 2**64 - 1, np.uint64),
}


@dataclass(frozen=True)
class Narrow:
    """A floating-point format of so many significant digits, a smallest positive number, a largest one.

    What rounds to more than the largest is the largest where ``saturates``, else undefined (NaN).
    """

    digits: int
    least: float
    largest: float
    saturates: bool

    def unit(self, size: Array) -> Array:
        """The distance of neighbouring numbers at (just above) a size."""
        _, exponent = np.frexp(size)
        return np.asarray(np.maximum(np.ldexp(1.0, exponent - self.digits), self.least))

    def nearest(self, v: Array) -> Array:
        """The nearest number of the format, ties to even."""
        unit = self.unit(np.abs(v))
        return self._limited(np.rint(v / unit) * unit)  # powers of two: only rint rounds

    def _limited(self, rounded: Array) -> Array:
        fits = np.abs(rounded) <= self.largest
        outside = np.copysign(self.largest, rounded) if self.saturates else np.nan
        return np.where(fits | np.isnan(rounded), rounded, outside)

    def step(self) -> Step:
        """The rounding as a step function: its jumps are midpoints, numbers with one more digit."""
        finer = Narrow(self.digits + 1, self.least / 2, np.inf, False)

        def beside(side: float) -> Any:
            def rounded(q: Array) -> Array:
                plain = self.nearest(q)
                jumps = (finer.nearest(q) == q) & (plain != q)
                return np.where(jumps, self.nearest(np.nextafter(q, side)), plain)

            return rounded

        return Step(self.nearest, beside(-np.inf), beside(np.inf))


@dataclass(frozen=True)
class Powers(Narrow):
    """FLOAT8E8M0: powers of two and no zero; negative numbers are undefined."""

    mode: str = "up"

    def nearest(self, v: Array) -> Array:
        mantissa, exponent = np.frexp(v)  # v = mantissa 2**exponent, mantissa in [1/2, 1)
        higher = {"down": mantissa >= 1.0, "nearest": mantissa >= 0.75}.get(self.mode, mantissa > 0.5)
        rounded = np.ldexp(1.0, exponent - 1 + higher)
        if self.saturates:
            rounded = np.where(v <= self.least, self.least, np.minimum(rounded, self.largest))
            return np.where(v >= 0, rounded, np.nan)
        return np.where((v >= self.least) & (v <= self.largest), rounded, np.nan)


_FORMATS: dict[int, Narrow] = {
    TensorProto.FLOAT16: Narrow(11, 2.0**-24, 65504.0, False),
    TensorProto.BFLOAT16: Narrow(8, 2.0**-133, (2 - 2.0**-7) * 2.0**127, False),
    TensorProto.FLOAT8E4M3FN: Narrow(4, 2.0**-9, 448.0, True),
    TensorProto.FLOAT8E4M3FNUZ: Narrow(4, 2.0**-10, 240.0, True),
    TensorProto.FLOAT8E5M2: Narrow(3, 2.0**-16, 57344.0, True),
    TensorProto.FLOAT8E5M2FNUZ: Narrow(3, 2.0**-17, 57344.0, True),
    TensorProto.FLOAT8E8M0: Powers(1, 2.0**-127, 2.0**127, True),
    TensorProto.FLOAT6E2M3: Narrow(4, 0.125, 7.5, True),
    TensorProto.FLOAT6E3M2: Narrow(3, 0.0625, 28.0, True),
    TensorProto.FLOAT4E2M1: Narrow(2, 0.5, 6.0, True),
}
_ALWAYS_SATURATE = (TensorProto.FLOAT4E2M1, TensorProto.FLOAT6E2M3, TensorProto.FLOAT6E3M2)
_REALS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def narrow_format(to: int, saturate: bool = True, mode: str = "up") -> Narrow | None:
    """The format behind an element type that rounds; None for every other type."""
    form = _FORMATS.get(to)
    if form is None:
        return None
    saturates = form.saturates and (saturate or to in _ALWAYS_SATURATE)
    if isinstance(form, Powers):
        return Powers(form.digits, form.least, form.largest, saturates, mode)
    return Narrow(form.digits, form.least, form.largest, saturates)


def _keeps_scale(node: Node, inputs: Inputs) -> bool:
    """Steps and narrow floats have a scale."""
    wide = (*_REALS, TensorProto.BOOL)
    return not isinstance(inputs[0], Affine) or node.attributes["to"] in wide


@operator("Cast", homogeneous=_keeps_scale)
def cast(node: Node, inputs: Inputs) -> Rule:
    """float32 <-> float64: the identity; to integers: truncation; to narrow floats: with their rounding."""
    target = int(node.attributes["to"])
    mode = node.text("round_mode", "up")
    narrow = narrow_format(target, bool(node.attributes.get("saturate", 1)), mode)
    if narrow is None and target not in (*_REALS, TensorProto.BOOL, *WHOLE):
        raise ModelError(f"{node.label}: casts to {TensorProto.DataType.Name(target)} are not supported.")
    if mode not in ("up", "down", "nearest"):
        raise ModelError(f"{node.label}: there is no round_mode {mode!r}.")
    whole_input = node.input_type(0) in WHOLE

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        if target == TensorProto.BOOL:
            return (_truth(value),)
        if target in WHOLE:
            return (_whole(node, value, WHOLE[target], whole_input),)
        if isinstance(value, Const) and not value.is_float:
            value = as_reals(value)
        if narrow is not None:
            return (_rounded(node, batch, value, narrow),)
        return (_unrounded(value) if isinstance(value, Range) else value,)

    return rule


# --- to booleans and integers ---


def _truth(value: Value) -> Value:
    if isinstance(value, Const) and value.radius is None:
        return Const(value.value != 0)
    if isinstance(value, Range):
        zero = (value.lo == 0) & (value.hi == 0)
        return Range((value.lo > 0) | (value.hi < 0), ~zero, value.margin)
    lo, hi = tight_bounds(value if isinstance(value, Affine) else Batch(1).lift(value))
    return Range((lo > 0) | (hi < 0), ~((lo == 0) & (hi == 0)))


def _whole(node: Node, value: Value, to: Whole, known_whole: bool) -> Value:
    """Truncation towards zero; what a real number out of the type's range becomes is undefined."""
    if isinstance(value, Const) and value.radius is None:
        if not value.is_float:
            return Const(wrapped(value.value, to))
        whole = np.trunc(value.value)
        if not ((whole >= to.least) & (whole < to.most + 1)).all():
            raise ModelError(f"{node.label}: a value does not fit the integer type.")
        return Const(whole.astype(to.stored))
    if isinstance(value, Range) and value.lo.dtype.kind in "iub":
        return _wrapped_range(value, to)
    if isinstance(value, Range):
        lo, hi = value.lo, value.hi
    else:
        lo, hi = tight_bounds(value if isinstance(value, Affine) else Batch(1).lift(value))
    low, high = (np.ceil(lo), np.floor(hi)) if known_whole else (np.trunc(lo), np.trunc(hi))
    fits = (low >= max(to.least, -LARGEST)) & (high <= min(to.most, LARGEST)) & (low <= high)
    low, high = integers(low, high, fits)
    if isinstance(value, Range):  # of whole numbers
        return Range(low, high, value.margin, _only_where(fits, value.form))
    return Range(low, high)


def integers(low: Array, high: Array, fits: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Whole floats as integers; undefined where they do not fit."""
    a, b = (np.where(fits, v, 0.0).astype(np.int64) for v in (low, high))
    return np.where(fits, a, LOWEST), np.where(fits, b, ANYTHING)


def wrapped(array: NDArray[Any], to: Whole) -> NDArray[Any]:
    """Integers with the higher bits discarded."""
    span = to.most - to.least + 1
    if span > 2**8:
        return array.astype(to.stored)  # NumPy wraps
    low = array.astype(np.int64) & (span - 1)
    return np.where(low > to.most, low - span, low).astype(to.stored)


def _wrapped_range(value: Range, to: Whole) -> Range:
    """Higher bits are discarded: exact while the bounds stay in one period."""
    lo, hi = (v.astype(np.int64) for v in (value.lo, value.hi))
    undefined = hi == ANYTHING
    if to.most - to.least + 1 >= 2**64:
        inside = (lo >= 0) | undefined if to.least == 0 else np.ones_like(undefined)
        low, high = np.where(inside, lo, LOWEST), np.where(inside, hi, ANYTHING)
    else:
        span = to.most - to.least + 1
        first, last = ((np.where(undefined, 0, v) - to.least) // span for v in (lo, hi))
        inside = first == last
        low = np.where(inside, lo - first * span, to.least)
        high = np.where(inside, hi - first * span, to.most)
        inside &= first == 0
    form = _only_where(inside, value.form)
    return Range(np.where(undefined, LOWEST, low), np.where(undefined, ANYTHING, high), value.margin, form)


def _only_where(valid: NDArray[np.bool_], form: Affine | None) -> Affine | None:
    return None if form is None else Affine(form.c, form.d, np.where(valid, form.r, np.inf))


# --- to floating-point types ---


def as_reals(value: Const) -> Const:
    """Constant integers as real numbers."""
    array = value.value.astype(np.float64)
    rounded = np.abs(array) > 2.0**53  # the conversion may have rounded
    return Const(array, np.where(rounded, np.abs(array) * (2 * U), 0.0) if rounded.any() else None)


def _unrounded(value: Range) -> Range:
    """Whole numbers as real ones: still a range; undefined beyond what floats hold exactly."""
    exact = (value.lo >= -(2**53)) & (value.hi <= 2**53)
    lo, hi = (v.astype(np.float64) for v in (value.lo, value.hi))
    return Range(np.where(exact, lo, -np.inf), np.where(exact, hi, np.inf), value.margin, value.form)


def _rounded(node: Node, batch: Batch, value: Value, to: Narrow) -> Value:
    infinite = to.digits >= 8 and not to.saturates  # float16 and bfloat16 have infinities
    if isinstance(value, Const) and value.radius is None:
        array = np.where(np.isinf(value.value) & infinite, value.value, to.nearest(value.value))
        if np.isnan(array).any():
            raise ModelError(f"{node.label}: a constant overflows the type that it is cast to.")
        return Const(array)
    if isinstance(value, Range) and to.largest % 1 == 0:  # whole numbers stay whole
        whole = _unrounded(value)
        lo, hi = to.nearest(whole.lo), to.nearest(whole.hi)
        known = np.isfinite(whole.lo) & np.isfinite(whole.hi) & np.isfinite(lo) & np.isfinite(hi)
        return Range(np.where(known, lo, -np.inf), np.where(known, hi, np.inf), value.margin)
    x = batch.lift(value)
    y = narrowed(x, to)
    if not infinite or np.isfinite(y.r).all():
        return y
    kept = forms.without_weight(x)
    return Affine(*(np.where(kept, a, b) for a, b in zip((x.c, x.d, x.r), (y.c, y.d, y.r), strict=True)))


def narrowed(x: Affine, to: Narrow) -> Affine:
    """x rounded: between its rounded bounds, and within half a unit of x, whichever is closer."""
    low, high = (np.where(np.isfinite(v), to.nearest(v), np.nan) for v in tight_bounds(x))
    return close_steps(low, high, x, to)


def close_steps(low: Array, high: Array, x: Affine, to: Narrow) -> Affine:
    """The closer of [low, high] and x +- half a unit of the format."""
    c = low / 2 + high / 2
    r = np.where(low == high, 0.0, np.maximum(high - c, c - low) * UP)
    size = (np.abs(x.c) + x.half_width()) * UP
    near = (x.r + to.unit(size) / 2) * UP
    follows = (near < r) & (size <= to.largest) & (not isinstance(to, Powers))
    known = np.isfinite(low) & np.isfinite(high)
    return Affine(
        np.where(follows, x.c, np.where(known, c, np.nan)),
        np.where(follows, x.d, 0.0),
        np.where(follows, near, r + np.where(low == high, 0.0, sum_error(c))),
    )
