"""Smooth activations, which are relaxed by their curvature, and the piecewise-linear ones that jump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import special

from symbolic.enclosures import forms
from symbolic.enclosures.curves import INFLECTION, Curve, Piece, relax, relu
from symbolic.enclosures.rounding import ELEMENTARY, FLUSHED, Array, U
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, holds_integers
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.logic import compare
from symbolic.operators.smooth import register

Function = Callable[[Array], Array]


def _bending(coefficient: float) -> Literal["convex", "concave"]:
    return "convex" if coefficient >= 0 else "concave"


def _curve_rule(node: Node, curve: Curve) -> Rule:
    return lambda batch, values: (relax(batch.lift(required(node, values)), curve),)


# --- exponential below 0, linear above ---


@operator("Elu", "Selu", exact=False, homogeneous=False)
def elu(node: Node, inputs: Inputs) -> Rule:
    """gamma alpha (exp(x) - 1) below 0, gamma x above; gamma is 1 for Elu."""
    gamma = node.finite("gamma") if node.op_type == "Selu" else 1.0
    scale = gamma * node.finite("alpha")  # exact: both are float32
    flushed = FLUSHED * max(1.0, abs(scale))
    below = Piece(
        0.0,
        _bending(scale),
        f=lambda v: scale * np.expm1(v),
        df=lambda v: scale * np.exp(v),
        absolute=flushed,
        slope_absolute=flushed,
    )
    return _curve_rule(node, Curve((below, Piece(np.inf, "linear", slope=gamma))))


@operator("Celu", exact=False, homogeneous=False)
def celu(node: Node, inputs: Inputs) -> Rule:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)): the second term is 0 above 0, whatever alpha's sign."""
    alpha = node.finite("alpha")
    if alpha == 0:
        raise ModelError(f"{node.label}: alpha is 0, and x is divided by it.")
    below = Piece(
        0.0,
        _bending(alpha),
        f=lambda v: alpha * np.expm1(v / alpha),
        df=lambda v: np.exp(v / alpha),
        error=2.0**-40,  # 745 times the rounding of v / alpha, and room
        absolute=FLUSHED * max(1.0, abs(alpha)),
    )
    return _curve_rule(node, Curve((below, Piece(np.inf, "linear", slope=1.0))))


SOFTSIGN = Curve(
    (
        Piece(0.0, "convex", f=lambda v: v / (1.0 - v), df=lambda v: (1.0 - v) ** -2.0),
        Piece(np.inf, "concave", f=lambda v: v / (1.0 + v), df=lambda v: (1.0 + v) ** -2.0),
    )
)
register("Softsign", lambda x: relax(x, SOFTSIGN))


# --- x times a sigmoid: concave, convex, concave ---

SQRT_HALF = float(np.sqrt(0.5))
ROOM = 16 * ELEMENTARY  # 512 U: none of the functions errs by more than 100 U where its argument is moderate
TAIL = 2.0**-37  # a sigmoid near exp(-745) feels 2900 U of the rounding inside it, and erfc errs by 600 U


def _hill(f: Function, df: Function, left: float, right: float) -> Curve:
    """Convex between two inflections (rounded), concave outside; df cancels, its terms are below 2."""

    def piece(end: float, kind: Literal["convex", "concave"], error: float) -> Piece:
        return Piece(end, kind, f=f, df=df, error=error, absolute=INFLECTION, slope_absolute=2.0**-40)

    return Curve((piece(left, "concave", TAIL), piece(right, "convex", ROOM), piece(np.inf, "concave", ROOM)))


def _sigmoid(v: Array) -> Array:
    e = np.exp(-np.abs(v))
    return np.asarray(np.where(v >= 0, 1.0, e) / (1.0 + e))


def _gelu_slope(v: Array) -> Array:
    density = np.exp(-v * v / 2) / np.sqrt(2 * np.pi)
    return np.asarray(0.5 * special.erfc(-v * SQRT_HALF) + v * density)


GELU = _hill(  # f'' = density(v) (2 - v**2)
    lambda v: v * (0.5 * special.erfc(-v * SQRT_HALF)),
    _gelu_slope,
    -1.4142135623730951,
    1.4142135623730951,
)

GELU_RATE, GELU_CUBIC = float(np.sqrt(8 / np.pi)), 0.044715


def _gelu_tanh(v: Array) -> Array:
    """v (1 + tanh(w / 2)) / 2 = v sigmoid(w)."""
    return np.asarray(v * _sigmoid(GELU_RATE * (v + GELU_CUBIC * (v * v * v))))


def _gelu_tanh_slope(v: Array) -> Array:
    w = GELU_RATE * (v + GELU_CUBIC * (v * v * v))
    return np.asarray(
        _sigmoid(w) + v * GELU_RATE * (1.0 + 3.0 * GELU_CUBIC * v * v) * _sigmoid(w) * _sigmoid(-w)
    )


GELU_TANH = _hill(_gelu_tanh, _gelu_tanh_slope, -1.4185040087908283, 1.4185040087908283)


@operator("Gelu", exact=False, homogeneous=False)
def gelu(node: Node, inputs: Inputs) -> Rule:
    """x Phi(x), or its approximation by tanh."""
    kind = node.text("approximate", "none")
    if kind not in ("none", "tanh"):
        raise ModelError(f'{node.label}: approximate is "{kind}", not none or tanh.')
    return _curve_rule(node, GELU_TANH if kind == "tanh" else GELU)


def _mish(v: Array) -> Array:
    """v tanh(log(1 + e)) with e = exp(v); tanh(log(a)) = (a**2 - 1) / (a**2 + 1)."""
    u = np.exp(-np.abs(v))
    above, below = 1.0 + 2.0 * u, u * (u + 2.0)
    return np.asarray(v * np.where(v >= 0, above / (above + 2.0 * u * u), below / (below + 2.0)))


def _mish_slope(v: Array) -> Array:
    u = np.exp(-np.abs(v))
    above, below = 1.0 + 2.0 * u, u * (u + 2.0)
    whole = np.where(v >= 0, above + 2.0 * u * u, below + 2.0)
    factor = np.where(v >= 0, above, below) / whole
    return np.asarray(factor + v * 4.0 * u * (1.0 + u) * np.where(v >= 0, u, 1.0) / (whole * whole))


MISH = _hill(_mish, _mish_slope, -2.256376396360793, 1.4905711794854284)
register("Mish", lambda x: relax(x, MISH))

SWISH = _hill(
    lambda v: v * _sigmoid(v),
    lambda v: _sigmoid(v) + v * _sigmoid(v) * _sigmoid(-v),
    -2.3993572805154675,
    2.3993572805154675,
)


@operator("Swish", exact=False, homogeneous=False)
def swish(node: Node, inputs: Inputs) -> Rule:
    """x sigmoid(alpha x) = u sigmoid(u) / alpha with u = alpha x."""
    alpha = node.finite("alpha")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        if alpha == 0:
            return (forms.scale(x, np.array(0.5)),)
        inverse = np.array(1.0 / alpha)
        y = relax(forms.scale(x, np.array(alpha)), SWISH)
        return (forms.scale(y, inverse, np.abs(inverse) * (2 * U)),)

    return rule


# --- jumps ---


def _chosen(condition: Range, a: Affine, b: Affine) -> Affine:
    """a where the condition holds, b where it does not, the hull of both where it is not known."""
    mixed = forms.hull(a, b)
    c, d, r = (
        np.where(condition.lo, yes, np.where(condition.hi, both, no))
        for yes, both, no in zip((a.c, a.d, a.r), (mixed.c, mixed.d, mixed.r), (b.c, b.d, b.r), strict=True)
    )
    return Affine(c, d, r)


def _nothing(x: Affine) -> Affine:
    return Affine(*(np.zeros_like(v) for v in (x.c, x.d, x.r)))


@operator("ThresholdedRelu")
def thresholded_relu(node: Node, inputs: Inputs) -> Rule:
    """x where x > alpha, else 0."""
    alpha = Const(np.array(node.finite("alpha")))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        if alpha.value == 0:
            return (relu(x),)
        return (_chosen(compare(forms.subtract(x, batch.lift(alpha)), True), x, _nothing(x)),)

    return rule


@operator("Shrink")
def shrink(node: Node, inputs: Inputs) -> Rule:
    """x + bias where x < -lambd, else x - bias where x > lambd, else 0."""
    lambd, bias = (Const(np.array(node.finite(name))) for name in ("lambd", "bias"))
    if holds_integers(required(node, inputs)):
        raise ModelError(f"{node.label}: what a bias of real numbers makes of integers is not clear.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        edge, shift = batch.lift(lambd), batch.lift(bias)
        low, high = forms.add(x, edge), forms.subtract(x, edge)
        if bias.value == lambd.value >= 0:  # continuous
            return (forms.subtract(relu(high), relu(forms.negative(low))),)
        inner = _chosen(compare(high, True), forms.subtract(x, shift), _nothing(x))
        return (_chosen(compare(forms.negative(low), True), forms.add(x, shift), inner),)

    return rule
