"""Normalisation by statistics of the data: mean, variance, root mean square, norms, neighbouring channels."""

from __future__ import annotations

from fractions import Fraction
from math import prod, sqrt

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.convex import norm
from symbolic.enclosures.curves import Curve, Piece, relax
from symbolic.enclosures.rounding import UP, Array, U, gamma
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import multiply
from symbolic.operators.reductions import ABSOLUTE, Places, mean, total
from symbolic.operators.smooth import RECIPROCAL, SMALLEST, reciprocal

INVERSE_ROOT = Curve(
    (Piece(np.inf, "convex", f=lambda v: 1.0 / np.sqrt(v), df=lambda v: -0.5 / (v * np.sqrt(v))),),
    start=SMALLEST,
)
MVN_EPSILON = float(np.float32(1e-9))
"""Added to the standard deviation by the definition of MeanVarianceNormalization."""
WIDE_TYPES = (1, 11)
"""FLOAT and DOUBLE: computing in them is not rounding."""


def standardised(batch: Batch, x: Affine, places: Places, epsilon: float) -> tuple[Affine, Affine]:
    """x / sqrt(mean x**2 + epsilon) over axes, and the factor; the mean square is at least 0."""
    level = batch.lift(Const(np.array(epsilon)))
    spread = forms.add(mean(batch, forms.square(x), places), level)
    factor = relax(spread, INVERSE_ROOT, least=epsilon if epsilon > 0 else -np.inf)
    result = forms.product(x, factor)
    if epsilon > 0:  # x**2 is at most the sum of all squares
        result = _at_most(result, x, sqrt(prod(x.c.shape[a] for a in places)) * UP)
    return result, factor


def _at_most(y: Affine, x: Affine, bound: float) -> Affine:
    """y, a function of x that is defined and at most ``bound`` in size, where that says more."""
    known = np.isfinite(x.c) & np.isfinite(x.d) & np.isfinite(x.r)
    loose = known.all(axis=tuple(range(1, x.c.ndim)), keepdims=True) & ~(y.r <= bound)
    return Affine(np.where(loose, 0.0, y.c), np.where(loose, 0.0, y.d), np.where(loose, bound, y.r))


def _centred(batch: Batch, x: Affine, places: Places) -> tuple[Affine, Affine]:
    middle = mean(batch, x, places)
    return forms.subtract(x, middle), middle


def _scaled(batch: Batch, y: Affine, scale: Value, bias: Value | None) -> Affine:
    y = multiply(batch, y, scale)
    return y if bias is None else forms.add(y, batch.lift(bias))


def _shaped(value: Value, shape: tuple[int, ...]) -> Value:
    return map_value(value, lambda array, lead: array.reshape(*array.shape[:lead], *shape))


def _reshaped(x: Affine, shape: tuple[int, ...]) -> Affine:
    return Affine(*(v.reshape(len(v), *shape) for v in (x.c, x.d, x.r)))


def _require_wide(node: Node) -> None:
    if int(node.attributes.get("stash_type", 1)) not in WIDE_TYPES:
        raise ModelError(f"{node.label}: its stash_type is a narrow type, whose rounding is not modelled.")


@operator("LayerNormalization", exact=False, homogeneous=False)
def layer_normalization(node: Node, inputs: Inputs) -> Rule:
    """Mean 0 and variance 1 over the trailing axes, then scale and bias; mean and factor are outputs too."""
    _require_wide(node)
    places = _trailing(node, inputs)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        z, middle = _centred(batch, batch.lift(required(node, values)), places)
        y, factor = standardised(batch, z, places, node.number("epsilon"))
        bias = values[2] if len(values) > 2 else None
        return _scaled(batch, y, required(node, values, 1), bias), middle, factor

    return rule


@operator("RMSNormalization", exact=False, homogeneous=False)
def rms_normalization(node: Node, inputs: Inputs) -> Rule:
    """Root mean square 1 over the trailing axes, then a scale."""
    _require_wide(node)
    places = _trailing(node, inputs)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        y, _ = standardised(batch, batch.lift(required(node, values)), places, node.number("epsilon"))
        return (_scaled(batch, y, required(node, values, 1), None),)

    return rule


def _trailing(node: Node, inputs: Inputs) -> Places:
    rank = len(required(node, inputs).shape)
    return tuple(range(node.axis(rank) + 1, rank + 1))


@operator("InstanceNormalization", exact=False, homogeneous=False)
def instance_normalization(node: Node, inputs: Inputs) -> Rule:
    """Mean 0 and variance 1 in every channel of every instance, then a scale and a bias per channel."""
    shape = required(node, inputs).shape
    channels = (shape[1], *(1,) * (len(shape) - 2))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        places = tuple(range(3, len(shape) + 1))
        z, _ = _centred(batch, batch.lift(required(node, values)), places)
        y, _ = standardised(batch, z, places, node.number("epsilon"))
        scale, bias = (_shaped(required(node, values, k), channels) for k in (1, 2))
        return (_scaled(batch, y, scale, bias),)

    return rule


@operator("GroupNormalization", exact=False, homogeneous=False)
def group_normalization(node: Node, inputs: Inputs) -> Rule:
    """Mean 0 and variance 1 in every group of channels, then a scale and a bias per channel; before opset 21
    per group."""
    _require_wide(node)
    shape = required(node, inputs).shape
    groups = int(node.attributes["num_groups"])
    if groups < 1 or shape[1] % groups:
        raise ModelError(f"{node.label}: {shape[1]} channels do not make {groups} groups.")
    parts = groups if node.opset < 21 else shape[1]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = _reshaped(batch.lift(required(node, values)), (shape[0], groups, -1))
        z, _ = _centred(batch, x, (3,))
        y, _ = standardised(batch, z, (3,), node.number("epsilon"))
        scale, bias = (_shaped(required(node, values, k), (parts, 1)) for k in (1, 2))
        y = _scaled(batch, _reshaped(y, (shape[0], parts, -1)), scale, bias)
        return (_reshaped(y, shape),)

    return rule


@operator("MeanVarianceNormalization", exact=False, homogeneous=False)
def mean_variance_normalization(node: Node, inputs: Inputs) -> Rule:
    """(x - mean) / (standard deviation + 1e-9), as the standard's definition has it."""
    rank = len(required(node, inputs).shape)
    places = tuple(sorted({node.axis(rank, a) + 1 for a in node.integers("axes", (0, 2, 3))}))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        z, _ = _centred(batch, batch.lift(required(node, values)), places)
        count = prod(z.c.shape[a] for a in places)
        share = 1.0 / sqrt(count)
        deviation = forms.scale(norm(z, 2, places), np.array(share), np.array(4 * U * share))
        below = forms.add(deviation, batch.lift(Const(np.array(MVN_EPSILON))))
        y = forms.product(z, relax(below, RECIPROCAL, least=MVN_EPSILON))
        return (_at_most(y, z, sqrt(count) * UP),)

    return rule


@operator("LpNormalization", exact=False, homogeneous=False)
def lp_normalization(node: Node, inputs: Inputs) -> Rule:
    """x divided by its norm along an axis; 0 where that is 0."""
    p, rank = int(node.attributes["p"]), len(required(node, inputs).shape)
    if p not in (1, 2):
        raise ModelError(f"{node.label}: the standard knows the norms 1 and 2, not {p}.")
    places = (node.axis(rank) + 1,)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        size = norm(x, 2, places) if p == 2 else total(relax(x, ABSOLUTE), places)
        y = _at_most(forms.product(x, reciprocal(size)), x, 1.0)
        empty = (x.c == 0) & (x.d == 0) & (x.r == 0) & np.isfinite(size.c + size.half_width())
        return (Affine(*(np.where(empty, 0.0, v) for v in (y.c, y.d, y.r))),)

    return rule


@operator("LRN", exact=False, homogeneous=False)
def local_response_normalization(node: Node, inputs: Inputs) -> Rule:
    """x / (bias + alpha / size * sum of the neighbouring channels' squares) ** beta."""
    size, bias = int(node.attributes["size"]), node.number("bias")
    if size < 1 or len(required(node, inputs).shape) < 2:
        raise ModelError(f"{node.label} needs channels, and a size of at least 1.")
    exact = Fraction(node.number("alpha")) / size
    share = float(exact)
    least = bias if exact >= 0 and bias > 0 else -np.inf
    curve = _power(-node.number("beta"))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        near = forms.scale(_neighbours(forms.square(x), size), np.array(share), np.array(abs(share) * 2 * U))
        base = forms.add(near, batch.lift(Const(np.array(bias))))
        return (forms.product(x, relax(base, curve, least=least)),)

    return rule


def _neighbours(x: Affine, size: int) -> Affine:
    """The sum over channels from (size - 1) / 2 rounded down before to as much rounded up after."""
    channels = x.c.shape[2]
    before, after = min((size - 1) // 2, channels - 1), min(size // 2, channels - 1)
    g = gamma(before + after + 3)

    def summed(v: Array) -> Array:
        out = np.zeros_like(v)
        for k in range(-before, after + 1):
            start, stop = max(0, -k), min(channels, channels - k)
            out[:, :, start:stop] += v[:, :, start + k : stop + k]
        return out

    r = summed(x.r + 2 * g * (np.abs(x.c) + np.abs(x.d)))
    return Affine(summed(x.c), summed(x.d), r * (1.0 + g) * UP)


def _power(exponent: float) -> Curve:
    """v ** exponent for v > 0."""
    if exponent == 0:
        return Curve((Piece(np.inf, "linear", intercept=1.0),), start=SMALLEST)
    if exponent == 1:
        return Curve((Piece(np.inf, "linear", slope=1.0),), start=SMALLEST)
    return Curve(
        (
            Piece(
                np.inf,
                "concave" if 0 < exponent < 1 else "convex",
                f=lambda v: np.power(v, exponent),
                df=lambda v: exponent * np.power(v, exponent - 1),
            ),
        ),
        start=SMALLEST,
    )
