"""Piecewise-linear functions of one variable, and the two that glue such pieces with a parabola."""

from __future__ import annotations

from math import prod

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.curves import Curve, Piece, relax, relu
from symbolic.enclosures.values import ANYTHING, Batch, Const, Range, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required


def _curve_rule(node: Node, curve: Curve) -> Rule:
    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (relax(batch.lift(required(node, values)), curve),)

    return rule


@operator("Relu", wraps=True)
def relu_node(node: Node, inputs: Inputs) -> Rule:
    """max(x, 0)."""
    return lambda batch, values: (relu(batch.lift(required(node, values))),)


@operator("LeakyRelu")
def leaky_relu(node: Node, inputs: Inputs) -> Rule:
    """alpha x below 0."""
    below = Piece(0.0, "linear", slope=node.number("alpha"))
    return _curve_rule(node, Curve((below, Piece(np.inf, "linear", slope=1.0))))


def _slope_stands(node: Node, inputs: Inputs) -> bool:
    return isinstance(required(node, inputs, 1), Const)


@operator("PRelu", exact=_slope_stands, homogeneous=_slope_stands, wraps=True)
def prelu(node: Node, inputs: Inputs) -> Rule:
    """slope x below 0, one slope per channel or element."""
    slope = required(node, inputs, 1)
    if isinstance(slope, Const) and slope.radius is None:
        below = Piece(0.0, "linear", slope=slope.value.astype(np.float64))
        return _curve_rule(node, Curve((below, Piece(np.inf, "linear", slope=1.0))))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        """x + (1 - slope) max(-x, 0)."""
        x = batch.lift(required(node, values))
        here = Batch(batch.size)  # a factor has no scale on a ray
        factor = forms.subtract(here.lift(Const(np.array(1.0))), here.lift(required(node, values, 1)))
        return (forms.add(x, forms.product(factor, relu(forms.negative(x)))),)

    return rule


@operator("Abs", wraps=True)
def absolute(node: Node, inputs: Inputs) -> Rule:
    """|x|."""
    return _curve_rule(node, Curve((Piece(0.0, "linear", slope=-1.0), Piece(np.inf, "linear", slope=1.0))))


@operator("HardSigmoid", homogeneous=False)
def hard_sigmoid(node: Node, inputs: Inputs) -> Rule:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = node.number("alpha"), node.number("beta")
    clip = Curve(
        (Piece(0.0, "linear"), Piece(1.0, "linear", slope=1.0), Piece(np.inf, "linear", intercept=1.0))
    )

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        scaled = forms.scale(batch.lift(required(node, values)), np.array(alpha))
        return (relax(forms.add(scaled, batch.lift(Const(np.array(beta)))), clip),)

    return rule


@operator("HardSwish", exact=False, homogeneous=False)
def hard_swish(node: Node, inputs: Inputs) -> Rule:
    """x max(0, min(1, x / 6 + 1/2)): zero, a parabola, the identity."""
    parabola = Piece(
        3.0, "convex", f=lambda v: v * (v + 3.0) / 6.0, df=lambda v: (2.0 * v + 3.0) / 6.0, absolute=2.0**-46
    )
    return _curve_rule(node, Curve((Piece(-3.0, "linear"), parabola, Piece(np.inf, "linear", slope=1.0))))


@operator("Clip", wraps=True)
def clip(node: Node, inputs: Inputs) -> Rule:
    """min(max(x, low), high): attributes before opset 11, float32's range by default; later scalars that may
    move. Where low exceeds high that is high."""
    for k in (1, 2):
        _clip_bound(node, inputs, k)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        low, high = (_clip_bound(node, values, k) for k in (1, 2))
        if low is not None:
            x = forms.maximum(x, batch.lift(low))
        if high is not None:
            x = forms.negative(forms.maximum(forms.negative(x), forms.negative(batch.lift(high))))
        return (x,)

    return rule


def _clip_bound(node: Node, inputs: Inputs, index: int) -> Value | None:
    """The least (1) or the greatest value (2)."""
    name = ("min", "max")[index - 1]
    if node.opset < 11:
        return Const(np.array(node.number(name))) if name in node.attributes else None
    value = inputs[index] if index < len(inputs) else None
    if value is not None and prod(value.shape) != 1:
        raise ModelError(f"{node.label}: its {name} is not a scalar.")
    return None if value is None else map_value(value, lambda array, lead: array.reshape(array.shape[:lead]))


@operator("Sign")
def sign(node: Node, inputs: Inputs) -> Rule:
    """-1, 0 or 1: a range of whole numbers until something needs it as a real number."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        if isinstance(value, Const) and not value.is_float:
            return (Const(np.sign(value.value)),)
        if isinstance(value, Range):
            limit = ANYTHING if value.lo.dtype.kind in "iu" else np.inf
            known = (value.lo > -limit) & (value.hi < limit)
            lo, hi = np.sign(value.lo), np.sign(value.hi)
        else:
            x, limit = batch.lift(value), np.inf
            h = x.half_width()
            known = (h < np.inf) & ~np.isnan(x.c)
            lo = np.where(x.c > h, 1.0, np.where(x.c >= h, 0.0, -1.0))
            hi = np.where(-x.c > h, -1.0, np.where(-x.c >= h, 0.0, 1.0))
        return (Range(np.where(known, lo, -limit), np.where(known, hi, limit)),)

    return rule
