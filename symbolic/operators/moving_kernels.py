"""Convolutions and their transposes whose kernel or bias moves: batched matrix products of both factors."""

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
from symbolic.operators.windows import transposed_window, window_of

__all__ = ["moving_convolution", "moving_transpose"]


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
        a, w = _factors(node, batch, values)
        return (_biased(batch, bilinear_map(a, w, apply, terms), values),)

    return rule


def moving_transpose(node: Node, inputs: Inputs) -> Rule:
    """ConvTranspose for any mixture of constants and moving inputs."""
    x, kernel = (required(node, inputs, k) for k in (0, 1))
    groups, taps, size_in = int(node.attributes["group"]), kernel.shape[2:], x.shape[2:]
    if x.shape[1] != kernel.shape[0] or kernel.shape[0] % groups:
        raise ModelError(f"{node.label}: its kernel does not fit its input.")
    window = transposed_window(node, size_in, taps)
    per_in, outputs = kernel.shape[0] // groups, kernel.shape[1] * groups
    bounded(node, [x.shape[0], outputs, *taps, *size_in])
    bounded(node, [x.shape[0], outputs, *window.size_in])

    def apply(a: Array, w: Array) -> Array:
        folded = a.reshape(*a.shape[:2], groups, per_in, prod(size_in))
        rows = np.moveaxis(w.reshape(len(w), 1, groups, per_in, -1), 3, 4)
        spread = np.matmul(rows, folded)
        spread = spread.reshape(*spread.shape[:2], outputs, *taps, *size_in)
        y = np.zeros((*spread.shape[:2], outputs, *window.size_in))
        lead = (slice(None),) * 3
        for offset, source, target in window.places:
            y[(*lead, *target)] += spread[(*lead, *offset, *source)]
        return y

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, w = _factors(node, batch, values)
        return (_biased(batch, bilinear_map(a, w, apply, per_in * prod(taps)), values),)

    return rule


def _biased(batch: Batch, y: Affine, values: Inputs) -> Affine:
    """With a bias for every channel, if there is one."""
    bias = values[2] if len(values) > 2 else None
    if bias is None:
        return y
    column = map_value(bias, lambda a, lead: a.reshape(*a.shape, *(1,) * (len(y.shape) - 2)))
    return forms.add(y, batch.lift(column))


def _factors(node: Node, batch: Batch, values: Inputs) -> tuple[Affine, Affine]:
    """Data and kernel: on a ray the product has the scale once, of what moves, or of constant data."""
    x, kernel = (required(node, values, k) for k in (0, 1))
    still = Batch(batch.size)
    if isinstance(kernel, Const):
        return batch.lift(x), still.lift(kernel)
    return (still if isinstance(x, Const) else batch).lift(x), batch.lift(kernel)
