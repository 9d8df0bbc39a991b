"""Convolutions whose kernel or bias moves: one batched matrix product of patches and kernels."""

from __future__ import annotations

from math import prod

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.linear import bilinear_map
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, required
from symbolic.operators.extremum import windowed
from symbolic.operators.shapes import bounded
from symbolic.operators.windows import window_of

__all__ = ["moving_convolution"]


def moving_convolution(node: Node, inputs: Inputs) -> Rule:
    """Conv for any mixture of constants and moving inputs."""
    x, kernel = (required(node, inputs, k) for k in (0, 1))
    groups, outputs = int(node.attributes["group"]), kernel.shape[0]
    window = window_of(node, x.shape[2:], kernel.shape[2:])
    terms, places = prod(kernel.shape[1:]), prod(window.size_out)
    if outputs % groups or x.shape[1] != kernel.shape[1] * groups:
        raise ModelError(f"{node.label}: its kernel does not fit its input.")
    bounded(node, [x.shape[0], groups, terms, places])

    def apply(a: Array, w: Array) -> Array:
        patches = np.moveaxis(windowed(a, window, 0.0), 0, 3)  # (batch, images, channels, taps, *places)
        patches = patches.reshape(*a.shape[:2], groups, terms, places)
        made = np.matmul(w.reshape(len(w), 1, groups, outputs // groups, terms), patches)
        return np.asarray(made.reshape(len(made), a.shape[1], outputs, *window.size_out))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, w = (_factor(batch, required(node, values, k)) for k in (0, 1))
        y = bilinear_map(a, w, apply, terms)
        bias = values[2] if len(values) > 2 else None
        if bias is None:
            return (y,)
        column = map_value(bias, lambda a, lead: a.reshape(*a.shape, *(1,) * len(window.kernel)))
        return (forms.add(y, batch.lift(column)),)

    return rule


def _factor(batch: Batch, value: Value) -> Affine:
    """A factor of a product: a constant one has no scale on a ray."""
    return (Batch(batch.size) if isinstance(value, Const) else batch).lift(value)
