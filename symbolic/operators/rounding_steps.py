"""Floor, Ceil, Round and Mod: staircases, known wherever their argument stays on one step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures import forms
from symbolic.enclosures.ranges import aligned_ranges
from symbolic.enclosures.rounding import UP, Array, sum_error
from symbolic.enclosures.values import (
    ANYTHING,
    LOWEST,
    Affine,
    Batch,
    Const,
    Range,
    Value,
    is_discrete,
    is_integer,
)
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import divide, exact_integers
from symbolic.operators.steps import CEIL, FLOOR, NEAREST, TRUNC, Step, blurred, of_quotient, tight_bounds

__all__ = ["staircase"]

STEPS = {"Floor": (FLOOR, -0.5), "Ceil": (CEIL, 0.5), "Round": (NEAREST, 0.0)}


@operator("Floor", "Ceil", "Round", homogeneous=False)
def rounding(node: Node, inputs: Inputs) -> Rule:
    """To a whole number: down, up, or to the nearest with ties to even."""
    step, shift = STEPS[node.op_type]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        if isinstance(value, Const) and value.radius is None:
            return (Const(step.at(value.value)),)
        x = batch.lift(value)
        lo, hi = tight_bounds(x)
        return (staircase(step.at(lo), step.at(hi), blurred(x, shift, 0.5)),)

    return rule


def staircase(low: Array, high: Array, form: Affine) -> Range:
    """Whole numbers between two bounds that follow a form."""
    known = np.isfinite(low) & np.isfinite(high)
    return Range(np.where(known, low, -np.inf), np.where(known, high, np.inf), form=form)


@operator("Mod", homogeneous=False)
def modulo(node: Node, inputs: Inputs) -> Rule:
    """a - b floor(a / b), or with trunc for floor if fmod is set."""
    step = TRUNC if node.flag("fmod") else FLOOR

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, b = required(node, values, 0), required(node, values, 1)
        if is_discrete(a) and is_discrete(b):
            return (_whole_remainder(step, *aligned_ranges(batch, a, b)),)
        return (_remainder(step, batch, a, b),)

    if all(is_integer(v) for v in inputs):
        return lambda batch, values: exact_integers(node, values)
    return rule


def _remainder(step: Step, batch: Batch, a: Value, b: Value) -> Affine:
    """Linear while the quotient stays on one step; else anywhere between 0 and the divisor."""
    x, y = forms.aligned(batch.lift(a), batch.lift(b))
    quotient = divide(batch, a, b)
    low, high = (step.at(v) for v in tight_bounds(quotient))
    point = (x.d == 0) & (x.r == 0) & (y.d == 0) & (y.r == 0)
    sign = np.sign(y.c)
    with np.errstate(all="ignore"):
        exact, same = of_quotient(step, x.c * sign, x.c * sign, np.abs(y.c))
    low, high = np.where(point, exact, low), np.where(point, same, high)
    steady = (low == high) & np.isfinite(low)
    k = np.where(steady, low, 0.0)
    line = forms.subtract(x, forms.product(y, Affine(k, np.zeros_like(k), np.zeros_like(k))))
    line = Affine(*(np.where(k == 0, u, v) for u, v in ((x.c, line.c), (x.d, line.d), (x.r, line.r))))
    least, most = _remainder_bounds(step, x, y)
    c = least / 2 + most / 2
    r = (np.maximum(most - c, c - least) + sum_error(c)) * UP
    defined = np.isfinite(quotient.half_width()) & np.isfinite(quotient.c)
    return Affine(
        np.where(defined, np.where(steady, line.c, c), np.nan),
        np.where(steady, line.d, 0.0),
        np.where(steady, line.r, r),
    )


def _remainder_bounds(step: Step, x: Affine, y: Affine) -> tuple[Array, Array]:
    """The remainder has the divisor's sign (the dividend's for fmod), and is smaller."""
    least, most = tight_bounds(y)
    size = np.maximum(np.abs(least), np.abs(most))
    lo, hi = tight_bounds(x) if step is TRUNC else (least, most)
    return np.where(lo < 0, -size, 0.0), np.where(hi > 0, size, 0.0)


def _whole_remainder(step: Step, a: Range, b: Range) -> Range:
    """Remainders of integers: exact where both are known, or the divisor is and the quotient stays."""
    alo, ahi, blo, bhi = np.broadcast_arrays(*_int64(a), *_int64(b))
    undefined = (ahi == ANYTHING) | (bhi == ANYTHING) | ((blo <= 0) & (bhi >= 0))
    known = (blo == bhi) & ~undefined
    divisor = np.where(known, blo, 1)
    dividends = [np.where(undefined, 0, v) for v in (alo, ahi)]
    quotients = [_whole_quotient(step, v, divisor) for v in dividends]
    steady = known & (quotients[0] == quotients[1])
    exact = [v - quotients[0] * divisor for v in dividends]
    size = np.maximum(np.abs(np.where(undefined, 1, blo)), np.abs(np.where(undefined, 1, bhi))) - 1
    signed = dividends if step is TRUNC else [blo, bhi]
    low = np.where(steady, exact[0], np.where(signed[0] < 0, -size, 0))
    high = np.where(steady, exact[1], np.where(signed[1] > 0, size, 0))
    return Range(np.where(undefined, LOWEST, low), np.where(undefined, ANYTHING, high))


def _int64(value: Range) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bounds as int64; undefined beyond it."""
    fits = value.hi <= ANYTHING
    lo, hi = (np.where(fits, v, 0).astype(np.int64) for v in (value.lo, value.hi))
    return np.where(fits, lo, LOWEST), np.where(fits, hi, ANYTHING)


def _whole_quotient(step: Step, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    floor = a // b
    return np.asarray(floor + ((floor < 0) & (floor * b != a)) if step is TRUNC else floor)
