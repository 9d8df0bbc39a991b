"""What holds on a linear piece: one inequality for every branch that was not taken.

The branch of a guarded layer is one number per unit: the place of the greatest entry (Maximum, Winner), 0 or
1 (Step), the whole number itself (Staircase).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Guarded, Ids, Maximum, Program, Staircase, Step, Winner

__all__ = ["Branches", "Guards", "guards_of", "layer_guards", "pattern"]

Branches = dict[int, NDArray[np.int64]]
"""The branch of every unit of the guarded layers, by the number of the layer."""


def pattern(program: Program, branches: Branches) -> dict[str, NDArray[np.int64]]:
    """The branches with names: the layer's number and node."""
    return {f"{k} {program.layers[k].label}": branch for k, branch in branches.items()}


@dataclass(frozen=True, eq=False)
class Guards:
    """x[plus] - x[minus] + constant >= 0, strictly where ``strict``.

    ``layer`` and ``unit`` (counted within the layer) say where each comes from.
    """

    plus: Ids
    minus: Ids
    constant: Array
    strict: NDArray[np.bool_]
    layer: Ids
    unit: Ids

    @property
    def size(self) -> int:
        return len(self.plus)

    def at(self, places: NDArray[Any]) -> Guards:
        """Some of them."""
        return Guards(*(getattr(self, name)[places] for name in _FIELDS))


_FIELDS = ("plus", "minus", "constant", "strict", "layer", "unit")


def layer_guards(number: int, layer: Guarded, branch: NDArray[np.int64]) -> Guards:
    """The guards of one layer with its branches."""
    if isinstance(layer, (Maximum, Winner)):
        rows, places = np.nonzero(layer.sources >= 0)
        others = places != branch[rows]
        rows, places = rows[others], places[others]
        plus, minus = layer.sources[rows, branch[rows]], layer.sources[rows, places]
        strict = np.zeros(len(rows), dtype=bool)
        if isinstance(layer, Winner):  # of equals the first, or the last, wins
            strict = places > branch[rows] if layer.last else places < branch[rows]
        constant = np.zeros(len(rows))
    elif isinstance(layer, Step):
        rows, plus = np.arange(layer.size), np.where(branch == 1, layer.sources, 0)
        minus = np.where(branch == 1, 0, layer.sources)
        strict = (branch == 1) == layer.strict
        constant = np.zeros(layer.size)
    else:
        rows = np.tile(np.arange(layer.size), 2)
        zero = np.zeros(layer.size, dtype=np.int64)
        plus, minus = np.concatenate([layer.sources, zero]), np.concatenate([zero, layer.sources])
        low, high, open_low, open_high = _stair(layer, branch.astype(np.float64))
        constant = np.concatenate([-low, high])
        strict = np.concatenate([open_low, open_high])
    return Guards(plus, minus, constant, strict, np.full(len(rows), number), rows)


def _stair(layer: Staircase, n: Array) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Between which bounds n stays the value, and which of them are open."""
    yes, no = np.ones(len(n), dtype=bool), np.zeros(len(n), dtype=bool)
    if layer.rounding == "floor":
        return n, n + 1, no, yes
    if layer.rounding == "ceil":
        return n - 1, n, yes, no
    odd = n % 2 == 1
    return n - 0.5, n + 0.5, odd, odd


def guards_of(program: Program, branches: Branches) -> Guards:
    """All guards of a linear piece."""
    found = [layer_guards(k, layer, branches[k]) for k, layer in program.guarded()]
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return Guards(nothing, nothing, np.zeros(0), np.zeros(0, dtype=bool), nothing, nothing)
    return Guards(*(np.concatenate([getattr(g, name) for g in found]) for name in _FIELDS))
