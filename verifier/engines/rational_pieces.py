"""Linear pieces of a line one at a time, in integers: every unit as value + slope * z.

A second implementation of what `symbolic.pieces` does with residues; nothing of it is used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from symbolic.pieces.line import Binding, End
from symbolic.pieces.program import Linear, Maximum, Product, Staircase, Step, Winner
from verifier.engines.found import Observed
from verifier.engines.integers import IntegerProgram, Integers, sums

__all__ = ["Piece", "piece_at", "stair_bounds"]

INFINITY = float("inf")
Affine = tuple[Fraction, Fraction]
"""Value at z = 0, and slope."""
Guard = tuple[Fraction, Fraction, int, int]
"""Value at z = 0 and slope of what is not negative on a piece, and the layer and the unit that it guards."""


@dataclass(frozen=True)
class Piece:
    """An open interval on which every unit is affine; or a single point.

    Attributes
    ----------
    lo, hi : Fraction or float
        Its ends; both are the point itself where ``side`` was 0.
    left, right : Binding or None
        What binds there.
    outputs : mapping of str to list of Fraction
        The discrete outputs.
    """

    lo: End
    hi: End
    left: Binding | None
    right: Binding | None
    outputs: Observed


def piece_at(whole: IntegerProgram, at: Fraction, side: int) -> Piece:
    """The piece just right (side 1) or left (-1) of a point, or the point itself (0)."""
    return _Walk(whole, at, side).piece()


class _Walk:
    """One pass through the layers; ``forms`` holds value and slope of all units, scaled."""

    def __init__(self, whole: IntegerProgram, at: Fraction, side: int) -> None:
        self.whole, self.at, self.side = whole, at, side
        self.guards: list[Guard] = []
        program = whole.program
        self.forms: Integers = np.zeros((program.size, 2), dtype=object)
        self.forms[1 : 1 + program.n_inputs] = whole.inputs
        for k, layer in enumerate(program.layers):
            if isinstance(layer, Linear):
                self.forms[layer.units] = sums(whole.rows[k], self.forms)
                continue
            for row in range(layer.size):
                value, slope = self._unit(k, layer, row)
                scale = whole.scales[layer.start + row]
                self.forms[layer.start + row] = [int(value * scale), int(slope * scale)]

    def affine(self, unit: int) -> Affine:
        """A unit."""
        scale = self.whole.scales[unit]
        return Fraction(self.forms[unit, 0], scale), Fraction(self.forms[unit, 1], scale)

    def sign(self, form: Affine) -> int:
        """Of a form, at the point or just beside it."""
        value = form[0] + form[1] * self.at or form[1] * self.side
        return (value > 0) - (value < 0)

    def _unit(self, k: int, layer: Any, row: int) -> Affine:
        """A unit of a layer that is not linear; notes its guards."""
        if isinstance(layer, Product):
            factor, x = self.affine(int(layer.factors[row])), self.affine(int(layer.sources[row]))
            if factor[1]:
                raise ValueError(f"{layer.label}: a factor is not piecewise constant")
            return factor[0] * x[0], factor[0] * x[1]
        if isinstance(layer, (Maximum, Winner)):
            return self._greatest(k, layer, row)
        x = self.affine(int(layer.sources[row]))
        if isinstance(layer, Step):
            sign = self.sign(x)
            on = sign > 0 or (sign == 0 and not layer.strict)
            self._guard(x if on else (-x[0], -x[1]), k, row)
            return Fraction(on), Fraction(0)
        n = self._stair(layer, x)
        low, high, _, _ = stair_bounds(layer, n)
        self._guard((x[0] - low, x[1]), k, row)
        self._guard((high - x[0], -x[1]), k, row)
        return Fraction(n), Fraction(0)

    def _greatest(self, k: int, layer: Maximum | Winner, row: int) -> Affine:
        places = np.nonzero(layer.sources[row] >= 0)[0].tolist()
        forms = {p: self.affine(int(layer.sources[row, p])) for p in places}
        last = isinstance(layer, Winner) and layer.last
        best = places[0]
        for p in places[1:]:
            sign = self.sign(_minus(forms[p], forms[best]))
            if sign > 0 or (last and sign == 0):
                best = p
        for p in places:
            if p != best:
                self._guard(_minus(forms[best], forms[p]), k, row)
        if isinstance(layer, Winner):
            return Fraction(float(layer.numbers[row, best])), Fraction(0)
        return forms[best]

    def _stair(self, layer: Staircase, x: Affine) -> int:
        """The whole number at the point or just beside it."""
        near = round(x[0] + x[1] * self.at)
        for n in (near, near - 1, near + 1):
            low, high, open_low, open_high = stair_bounds(layer, n)
            below, above = self.sign((x[0] - low, x[1])), self.sign((high - x[0], -x[1]))
            if below >= open_low and above >= open_high:
                return n
        raise ValueError(f"{layer.label}: no whole number is near")

    def _guard(self, form: Affine, layer: int, row: int) -> None:
        if form[1]:
            self.guards.append((*form, layer, row))

    def piece(self) -> Piece:
        """What was found."""
        outputs = {
            name: [self._constant(int(i)) for i in ids.reshape(-1)]
            for name, ids in self.whole.program.outputs.items()
        }
        if not self.side:
            return Piece(self.at, self.at, None, None, outputs)
        lo, left = max(self._ends(1), key=lambda end: end[0], default=(-INFINITY, None))
        hi, right = min(self._ends(-1), key=lambda end: end[0], default=(INFINITY, None))
        return Piece(lo, hi, left, right, outputs)

    def _constant(self, unit: int) -> Fraction:
        value, slope = self.affine(unit)
        if slope:
            raise ValueError(f"unit {unit} of the selection is not piecewise constant")
        return value

    def _ends(self, sign: int) -> Iterator[tuple[End, Binding]]:
        """Where the guards that rise (1) or fall (-1) reach zero."""
        for value, slope, layer, row in self.guards:
            if slope * sign > 0:
                label = self.whole.program.layers[layer].label
                yield -value / slope, Binding(layer, row, str(label))


def _minus(x: Affine, y: Affine) -> Affine:
    return x[0] - y[0], x[1] - y[1]


def stair_bounds(layer: Staircase, n: int) -> tuple[Fraction, Fraction, bool, bool]:
    """Between which bounds n is the value, and which of them are open."""
    if layer.rounding == "floor":
        return Fraction(n), Fraction(n + 1), False, True
    if layer.rounding == "ceil":
        return Fraction(n - 1), Fraction(n), True, False
    half = Fraction(1, 2)
    return n - half, n + half, n % 2 == 1, n % 2 == 1
