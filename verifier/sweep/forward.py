"""One forward pass in float64: every unit's value and slope on the piece just behind a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.guards import Branches
from symbolic.pieces.program import Linear, Maximum, Product, Program, Staircase, Step, Winner

__all__ = ["Forward", "forward", "linear"]


@dataclass(frozen=True, eq=False)
class Forward:
    """Values and slopes of all units, and the branches of the guarded layers."""

    value: Array
    slope: Array
    branches: Branches


def forward(program: Program, point: Array, direction: Array) -> Forward:
    """Evaluate at a point; where values are equal slopes decide, and of what is equal in both the operator.

    Parameters
    ----------
    program : Program
    point, direction : ndarray
        Of the moving inputs, flat.
    """
    both = np.zeros((2, program.size))
    both[:, 1 : 1 + program.n_inputs] = point, direction
    branches: Branches = {}
    for k, layer in enumerate(program.layers):
        if isinstance(layer, Linear):
            found = linear(layer, both)
            found[0] += layer.bias / layer.divisor
        elif isinstance(layer, Product):
            found = both[0, layer.factors] * both[:, layer.sources]
        else:
            branches[k], found = _guarded(layer, both)
        both[:, layer.units] = found
    return Forward(both[0], both[1], branches)


def linear(layer: Linear, units: Array, absolute: bool = False) -> Array:
    """The weighted sums of rows of units, over the divisor, without the bias; or with absolute weights."""
    made = np.zeros((len(units), layer.size))
    blocks = made.reshape(len(units), -1, layer.width)
    for tap in layer.taps:
        weights = np.abs(tap.weights) if absolute else tap.weights
        blocks[:, tap.targets] += units[:, tap.sources] @ weights
    if layer.sources.size:
        weights = np.abs(layer.weights) if absolute else layer.weights
        used = np.diff(layer.pointers) > 0
        terms = units[:, layer.sources] * weights
        made[:, used] += np.add.reduceat(terms, layer.pointers[:-1][used], axis=1)
    return made if layer.divisor == 1 else made / layer.divisor


def _guarded(layer: Any, both: Array) -> tuple[NDArray[np.int64], Array]:
    """Branches, and values and slopes that they give."""
    found = np.zeros((2, layer.size))
    if isinstance(layer, (Maximum, Winner)):
        branch = _greatest(layer, both)
        rows = np.arange(layer.size)
        if isinstance(layer, Maximum):
            return branch, both[:, layer.sources[rows, branch]]
        found[0] = layer.numbers[rows, branch]
        return branch, found
    value, slope = both[:, layer.sources]
    if isinstance(layer, Step):
        flat = (slope == 0) & (not layer.strict)
        branch = ((value > 0) | ((value == 0) & ((slope > 0) | flat))).astype(np.int64)
    else:
        branch = _stairs(layer, value, slope)
    found[0] = branch
    return branch, found


def _greatest(layer: Maximum | Winner, both: Array) -> NDArray[np.int64]:
    """The place of the greatest entry of each row."""
    seen = layer.sources >= 0
    for row in both:
        entries = np.where(seen, row[layer.sources], -np.inf)
        seen &= entries == entries.max(axis=1, keepdims=True)
    if isinstance(layer, Winner) and layer.last:
        return np.asarray(seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1))
    return np.asarray(seen.argmax(axis=1))


def _stairs(layer: Staircase, value: Array, slope: Array) -> NDArray[np.int64]:
    """The whole number just behind the point."""
    if layer.rounding == "even":
        stair, edge = np.rint(value), np.floor(value + 0.5)
        at_edge = value + 0.5 == edge
        stair = np.where(at_edge & (slope > 0), edge, np.where(at_edge & (slope < 0), edge - 1, stair))
    elif layer.rounding == "floor":
        stair = np.floor(value)
        stair -= (stair == value) & (slope < 0)
    else:
        stair = np.ceil(value)
        stair += (stair == value) & (slope > 0)
    return np.asarray(stair.astype(np.int64))
