"""Normalisation by given statistics of every channel, constant or not."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.curves import relax
from symbolic.enclosures.rounding import UP, U
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import multiply
from symbolic.operators.normalisation import INVERSE_ROOT
from symbolic.operators.smooth import reciprocal

__all__: list[str] = []

SCALE, BIAS, MEAN, VARIANCE = 1, 2, 3, 4


def _factor_stands(node: Node, inputs: Inputs) -> bool:
    return all(isinstance(required(node, inputs, k), Const) for k in (SCALE, VARIANCE))


@operator("BatchNormalization", exact=_factor_stands, homogeneous=_factor_stands, irrational=True)
def batch_normalization(node: Node, inputs: Inputs) -> Rule:
    """(x - mean) scale / sqrt(variance + epsilon) + bias."""
    if node.flag("training_mode"):
        raise ModelError(f"{node.label}: training mode is not a function of the input alone.")
    x, scale, variance = (required(node, inputs, k) for k in (0, SCALE, VARIANCE))
    epsilon = Const(np.array(node.number("epsilon")))
    shape = (-1, *(1,) * (len(x.shape) - 2)) if len(x.shape) > 1 else (-1,)
    inverse = factor = None
    if isinstance(variance, Const):
        inverse = _inverse_root(Batch(1), variance, epsilon)
        if isinstance(scale, Const):
            found = forms.product(Batch(1).lift(scale), inverse)
            factor = _channels(Const(found.c[0], found.r[0]), shape)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        bias, mean = (batch.lift(_channels(required(node, values, k), shape)) for k in (BIAS, MEAN))
        centred = forms.subtract(batch.lift(required(node, values)), mean)
        if factor is not None:
            return (forms.add(multiply(batch, centred, factor), bias),)
        root = inverse
        if root is None:
            spread = forms.add(batch.lift(required(node, values, VARIANCE)), batch.lift(epsilon))
            root = relax(spread, INVERSE_ROOT)
        moving = forms.product(batch.lift(required(node, values, SCALE)), root)
        return (forms.add(multiply(batch, centred, _channels(moving, shape)), bias),)

    return rule


def _inverse_root(one: Batch, variance: Const, epsilon: Const) -> Affine:
    """1 / sqrt(variance + epsilon) of constants."""
    spread = forms.add(one.lift(variance), one.lift(Const(np.broadcast_to(epsilon.value, variance.shape))))
    with np.errstate(all="ignore"):
        root = np.sqrt(spread.c)
        # sqrt is correctly rounded; its argument's error e moves it by at most e / sqrt(v - e)
        radius = (spread.r / np.sqrt(spread.c - spread.r) + 2 * U * root) * UP
    return reciprocal(Affine(root, np.zeros_like(root), radius))


def _channels(value: Value, shape: tuple[int, ...]) -> Value:
    return map_value(value, lambda array, lead: array.reshape(*array.shape[:lead], *shape))
