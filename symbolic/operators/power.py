"""Pow, by what is known of its operands."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.curves import Curve, Piece, relax
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Const, Value, holds_integers, is_integer
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import exact_integers
from symbolic.operators.exact_constants import root_or_power
from symbolic.operators.smooth import EXP, LOG, SMALLEST, on_either_side

MOST_EXPONENTS = 1 << 12


@operator("Pow", exact=False, homogeneous=False)
def power(node: Node, inputs: Inputs) -> Rule:
    """a**b: by the curvature of each constant exponent, otherwise exp(b log(a)), which needs a > 0."""
    base, exponent = required(node, inputs, 0), required(node, inputs, 1)
    if holds_integers(base):
        if is_integer(base) and is_integer(exponent):
            return lambda batch, values: exact_integers(node, values)
        raise ModelError(f"{node.label}: powers of integers are supported only where nothing moves.")
    if isinstance(exponent, Const) and exponent.radius is None:
        exponents = exponent.value.astype(np.float64)
        if is_integer(exponent) and (abs(exponents) >= 2.0**53).any():
            raise ModelError(f"{node.label} has an exponent beyond 2**53.")
        if len(np.unique(exponents)) > MOST_EXPONENTS:
            raise ModelError(f"{node.label} has more than {MOST_EXPONENTS} different exponents.")
        exact = root_or_power("Pow", inputs)
        if exact is not None and base.shape == exact.shape:
            return lambda batch, values: (exact,)
        return lambda batch, values: (_constant_exponent(batch.lift(required(node, values)), exponents),)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (_any_power(batch, required(node, values, 0), required(node, values, 1)),)

    return rule


def _constant_exponent(x: Affine, exponents: Array) -> Affine:
    shape = np.broadcast_shapes(x.shape, exponents.shape)
    x = forms.aligned(x, Affine(*(exponents[None],) * 3))[0]
    c, d, r = (np.full((len(x.c), *shape), fill) for fill in (np.nan, 0.0, np.inf))
    for p in np.unique(exponents).tolist():
        y = _to_the(x, p)
        c, d, r = (
            np.where(exponents == p, new, old) for new, old in zip((y.c, y.d, y.r), (c, d, r), strict=True)
        )
    return Affine(c, d, r)


def _to_the(x: Affine, p: float) -> Affine:
    """x**p; x**0 is 1 everywhere, as in every runtime."""
    if not np.isfinite(p):
        return Affine(np.full_like(x.c, np.nan), np.zeros_like(x.c), np.full_like(x.c, np.inf))
    if p == 0:
        known = np.isfinite(x.c) & np.isfinite(x.half_width())
        none = np.zeros_like(x.c)
        return Affine(np.where(known, 1.0, np.nan), none, none)
    if p == 1:
        return x

    def f(v: Array) -> Array:
        return np.asarray(np.power(v, p))

    def df(v: Array) -> Array:
        return np.asarray(p * np.power(v, p - 1.0))

    whole, odd = p == np.rint(p), np.fmod(p, 2.0) != 0
    convex = Piece(np.inf, "convex", f=f, df=df)
    if whole and p > 0:
        return relax(x, Curve((Piece(0.0, "concave", f=f, df=df), convex)) if odd else Curve((convex,)))
    if whole:
        return on_either_side(x, lambda v: relax(v, Curve((convex,), start=SMALLEST)), bool(odd))
    concave = Piece(np.inf, "concave", f=f, df=df)
    return relax(x, Curve((concave if 0 < p < 1 else convex,), start=0.0 if p > 0 else SMALLEST))


def _any_power(batch: Batch, base: Value, exponent: Value) -> Affine:
    x, y = batch.lift(base), batch.lift(exponent)
    result = relax(forms.product(y, relax(x, LOG)), EXP)
    x, y = forms.aligned(x, y)
    zero = (x.c == 0) & (x.half_width() == 0) & (y.bounds()[0] > 0)
    return Affine(*(np.where(zero, 0.0, v) for v in (result.c, result.d, result.r)))
