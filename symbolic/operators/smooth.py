"""Exponential, logarithm, roots and reciprocal, relaxed by their curvature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.curves import Curve, Piece, relax
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.exact_constants import root_or_power


def _sigmoid(v: Array) -> Array:
    e = np.exp(-np.abs(v))
    return np.asarray(np.where(v >= 0, 1.0, e) / (1.0 + e))


def _sigmoid_slope(v: Array) -> Array:
    return _sigmoid(v) * _sigmoid(-v)


def _tanh_slope(v: Array) -> Array:
    e = np.exp(-2 * np.abs(v))
    return np.asarray(4.0 * e / ((1.0 + e) * (1.0 + e)))


EXP = Curve((Piece(np.inf, "convex", f=np.exp, df=np.exp),))
SIGMOID = Curve(
    (
        Piece(0.0, "convex", f=_sigmoid, df=_sigmoid_slope),
        Piece(np.inf, "concave", f=_sigmoid, df=_sigmoid_slope),
    )
)
TANH = Curve(
    (
        Piece(0.0, "convex", f=np.tanh, df=_tanh_slope),
        Piece(np.inf, "concave", f=np.tanh, df=_tanh_slope),
    )
)
SMALLEST = 5e-324
RECIPROCAL = Curve((Piece(np.inf, "convex", f=lambda v: 1.0 / v, df=lambda v: -1.0 / v / v),), start=SMALLEST)
SQRT = Curve((Piece(np.inf, "concave", f=np.sqrt, df=lambda v: 0.5 / np.sqrt(v)),), start=0.0)
LOG = Curve((Piece(np.inf, "concave", f=np.log, df=lambda v: 1.0 / v),), start=SMALLEST)
SOFTPLUS = Curve((Piece(np.inf, "convex", f=lambda v: np.logaddexp(0.0, v), df=_sigmoid),))


def reciprocal(x: Affine) -> Affine:
    """1 / x; undefined (NaN) where the form reaches 0."""
    return on_either_side(x, lambda v: relax(v, RECIPROCAL))


def on_either_side(x: Affine, function: Callable[[Affine], Affine], odd: bool = True) -> Affine:
    """An odd or even function that is given for positive numbers, of numbers of either sign."""
    if x.least >= 0:
        return function(x)
    sign = np.where(x.c < 0, -1.0, 1.0)
    y = function(Affine(x.c * sign, x.d * sign, x.r))
    return Affine(y.c * sign, y.d * sign, y.r) if odd else y


def exponential(x: Affine) -> Affine:
    """exp(x); 0 for an exact -inf."""
    y = relax(x, EXP)
    if np.isfinite(y.r).all():
        return y
    return Affine(*(np.where(forms.without_weight(x), 0.0, v) for v in (y.c, y.d, y.r)))


def register(name: str, transform: Callable[[Affine], Affine]) -> None:
    """Register a function of one tensor without attributes."""

    @operator(name, exact=False, homogeneous=False)
    def build(node: Node, inputs: Inputs) -> Rule:
        exact = root_or_power(name, inputs)

        def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
            if exact is not None:
                return (exact,)
            return (transform(batch.lift(required(node, values))),)

        return rule


register("Exp", exponential)
register("Sigmoid", lambda x: relax(x, SIGMOID))
register("Tanh", lambda x: relax(x, TANH))
register("Sqrt", lambda x: relax(x, SQRT))
register("Log", lambda x: relax(x, LOG))
register("Softplus", lambda x: relax(x, SOFTPLUS))
register("Reciprocal", reciprocal)
