"""Piecewise-linear functions of one variable, and the two that glue such pieces with a parabola."""

from __future__ import annotations

import numpy as np

from symbolic.curves import Curve, Piece, relax, relu
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator
from symbolic.values import Batch, Const, Range, Value


def _moving(node: Node, value: Value | None) -> Value:
    if value is None:
        raise ModelError(f"{node.label} lacks its input.")
    return value


def _curve_rule(node: Node, curve: Curve) -> Rule:
    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (relax(batch.lift(_moving(node, values[0])), curve),)

    return rule


@operator("Relu")
def relu_node(node: Node, inputs: Inputs) -> Rule:
    """max(x, 0)."""
    return lambda batch, values: (relu(batch.lift(_moving(node, values[0]))),)


@operator("LeakyRelu")
def leaky_relu(node: Node, inputs: Inputs) -> Rule:
    """alpha x below 0."""
    alpha = float(node.attributes.get("alpha", 0.01))
    return _curve_rule(node, Curve((Piece(0.0, "linear", slope=alpha), Piece(np.inf, "linear", slope=1.0))))


@operator("PRelu")
def prelu(node: Node, inputs: Inputs) -> Rule:
    """slope x below 0, one slope per channel or element."""
    slope = constant(node, inputs, 1, "slope")
    if slope is None or slope.radius is not None:
        raise ModelError(f"{node.label} needs an exact constant slope.")
    values = slope.value.astype(np.float64)
    return _curve_rule(node, Curve((Piece(0.0, "linear", slope=values), Piece(np.inf, "linear", slope=1.0))))


@operator("Abs")
def absolute(node: Node, inputs: Inputs) -> Rule:
    """|x|."""
    return _curve_rule(node, Curve((Piece(0.0, "linear", slope=-1.0), Piece(np.inf, "linear", slope=1.0))))


@operator("HardSigmoid", homogeneous=False)
def hard_sigmoid(node: Node, inputs: Inputs) -> Rule:
    """max(0, min(1, alpha x + beta))."""
    from symbolic import forms

    alpha = float(node.attributes.get("alpha", float(np.float32(0.2))))
    beta = float(node.attributes.get("beta", 0.5))
    clip = Curve(
        (Piece(0.0, "linear"), Piece(1.0, "linear", slope=1.0), Piece(np.inf, "linear", intercept=1.0))
    )

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        scaled = forms.scale(batch.lift(_moving(node, values[0])), np.array(alpha))
        return (relax(forms.add(scaled, batch.lift(Const(np.array(beta)))), clip),)

    return rule


@operator("HardSwish", exact=False, homogeneous=False)
def hard_swish(node: Node, inputs: Inputs) -> Rule:
    """x max(0, min(1, x / 6 + 1/2)): zero, a parabola, the identity."""
    parabola = Piece(
        3.0, "convex", f=lambda v: v * (v + 3.0) / 6.0, df=lambda v: (2.0 * v + 3.0) / 6.0, absolute=2.0**-46
    )
    return _curve_rule(node, Curve((Piece(-3.0, "linear"), parabola, Piece(np.inf, "linear", slope=1.0))))


@operator("Clip")
def clip(node: Node, inputs: Inputs) -> Rule:
    """Clip to constant bounds (attributes before opset 11): the larger of the lower bound and so on."""
    from symbolic import forms

    low, high = (
        constant(node, inputs, k + 1, name)
        if node.opset >= 11
        else (Const(np.array(float(node.attributes[name]))) if name in node.attributes else None)
        for k, name in enumerate(("min", "max"))
    )

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(_moving(node, values[0]))
        if low is not None:
            x = forms.maximum(x, batch.lift(low))
        if high is not None:  # the upper bound wins, as in ONNX: min(max(x, low), high)
            x = forms.negative(forms.maximum(forms.negative(x), forms.negative(batch.lift(high))))
        return (x,)

    return rule


@operator("Sign")
def sign(node: Node, inputs: Inputs) -> Rule:
    """-1, 0 or 1: a range of integers until something needs it as a real number."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = values[0]
        if isinstance(value, Const) and not value.is_float:
            return (Const(np.sign(value.value)),)
        x = batch.lift(_moving(node, value))
        h = x.half_width()
        finite = h < np.inf
        zero = (x.c == 0) & (h == 0)
        lo = np.where((x.c > h) & finite, 1, np.where(zero | ((x.c >= h) & finite), 0, -1))
        hi = np.where((-x.c > h) & finite, -1, np.where(zero | ((-x.c >= h) & finite), 0, 1))
        return (Range(lo, hi),)

    return rule
