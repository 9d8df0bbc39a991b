"""What the lines of swept units are off what their layer makes of the lines that it reads, with rounding."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Linear, Product
from verifier.sweep.double_double import Doubled, sums, two_sum
from verifier.sweep.forward import linear

__all__ = ["ULP", "UP", "fine_residual", "l2_norm", "linear_residual", "product_residual", "terms"]

ULP = 2.0**-53
UP = 1 + 2.0**-20
"""More than the rounding of a norm."""


def terms(layer: Linear) -> int:
    """The longest sum."""
    longest = int(np.diff(layer.pointers).max(initial=0))
    counts = np.zeros(layer.size // layer.width, dtype=np.int64)
    for tap in layer.taps:
        np.add.at(counts, tap.targets, tap.sources.shape[1])
    return longest + int(counts.max(initial=0))


def linear_residual(layer: Linear, lines: Array, size: Array, gamma: float) -> tuple[Array, Array]:
    """Norms of what slopes and values at the horizon are off their sums: at most, and at least.

    ``size`` bounds the norms of both and of the sums of absolute values.
    """
    made = linear(layer, lines)
    bias = layer.bias / layer.divisor
    made[1] += bias
    off = np.abs(lines[:, layer.units] - made)
    rounding = gamma * UP * (size + [0.0, l2_norm(np.abs(bias))])
    found = np.array([l2_norm(row) for row in off])
    return found * UP + rounding + 1e-120, found / UP - rounding - 1e-120


def fine_residual(layer: Linear, lines: Array, read: list[slice], rows: Array) -> tuple[Array, Array]:
    """The same in double-double numbers, where rounding hardly counts."""
    turned = lines[::-1]  # the constants belong to the first row
    made, error = sums(layer, Doubled(turned, np.zeros_like(turned)), read, terms(layer), rows)
    off, rest = two_sum(turned[:, layer.units], -made.high)
    found = np.array([l2_norm(np.abs(row)) for row in off + (rest - made.low)])[::-1]
    blur = (error[::-1] + 2.0**-100 * np.abs(made.high[::-1]).max(axis=1, initial=0.0)) * layer.size**0.5
    return (found + blur) * UP + 1e-120, found / UP - blur - 1e-120


def product_residual(layer: Product, lines: Array) -> Array:
    """The same of products with whole numbers, which do not move."""
    made = lines[1, layer.factors] * lines[:, layer.sources]
    off = np.abs(lines[:, layer.units] - made) + 2 * ULP * np.abs(made) + 1e-290
    return np.array([l2_norm(row) for row in off]) * UP + 1e-120


def l2_norm(values: Array) -> float:
    """At least the l2 norm."""
    most = float(values.max(initial=0.0))
    if most == 0.0 or not np.isfinite(most):
        return most
    return float(np.sqrt(((values / most) ** 2).sum()) * most * UP)
