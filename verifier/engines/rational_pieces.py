"""Linear pieces of a line one at a time, in integers: every unit as value + slope * z.

A second implementation of what `symbolic.pieces` does with residues; nothing of it is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np

from symbolic.pieces.line import Binding, End
from symbolic.pieces.program import Linear, Maximum, Product, Staircase, Step, Winner
from verifier.engines.found import Observed
from verifier.engines.integers import IntegerProgram, Integers, sums

__all__ = ["Piece", "piece_at", "stair_bounds"]

INFINITY = float("inf")
Affine = tuple[int, int]
"""Value at z = 0, and slope, over a scale."""
Guard = tuple[int, int, int, int]
"""Value and slope of what is not negative on a piece, and the layer and the unit that it guards."""


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
                self.forms[layer.start + row] = self._unit(k, layer, row)

    def affine(self, unit: int, scale: int) -> Affine:
        """A unit, over a multiple of its scale."""
        value, slope = self.forms[unit]
        factor = scale // self.whole.scales[unit]
        return value * factor, slope * factor

    def sign(self, form: Affine) -> int:
        """Of a form, at the point or just beside it."""
        value, slope = form
        here = value * self.at.denominator + slope * self.at.numerator or slope * self.side
        return (here > 0) - (here < 0)

    def _unit(self, k: int, layer: Any, row: int) -> Affine:
        """A unit of a layer that is not linear; notes its guards."""
        scales, unit = self.whole.scales, layer.start + row
        if isinstance(layer, (Maximum, Winner)):
            return self._greatest(k, layer, row)
        source = int(layer.sources[row])
        if isinstance(layer, Product):
            factor, slope = self.forms[int(layer.factors[row])]
            if slope:
                raise ValueError(f"{layer.label}: a factor is not piecewise constant")
            x = self.affine(source, scales[unit] // scales[int(layer.factors[row])])
            return factor * x[0], factor * x[1]
        x = self.affine(source, scales[source])
        if isinstance(layer, Step):
            sign = self.sign(x)
            on = sign > 0 or (sign == 0 and not layer.strict)
            self._guard(x if on else (-x[0], -x[1]), k, row)
            return int(on), 0
        return self._stair(k, layer, row, x, scales[source]), 0

    def _greatest(self, k: int, layer: Maximum | Winner, row: int) -> Affine:
        sources = layer.sources[row].tolist()
        places = [p for p, i in enumerate(sources) if i >= 0]
        scale = lcm(*(self.whole.scales[sources[p]] for p in places))
        forms = {p: self.affine(sources[p], scale) for p in places}
        last = isinstance(layer, Winner) and layer.last
        best = places[0]
        for p in places[1:]:
            sign = self.sign(_minus(forms[p], forms[best]))
            if sign > 0 or (last and sign == 0):
                best = p
        for p in places:
            if p != best:
                self._guard(_minus(forms[best], forms[p]), k, row)
        whole = self.whole.scales[layer.start + row]
        if isinstance(layer, Winner):
            return int(Fraction(float(layer.numbers[row, best])) * whole), 0
        return forms[best][0] * (whole // scale), forms[best][1] * (whole // scale)

    def _stair(self, k: int, layer: Staircase, row: int, x: Affine, scale: int) -> int:
        """The whole number at the point or just beside it."""
        near = round((x[0] + x[1] * self.at) / scale)
        for n in (near, near - 1, near + 1):
            low, high, open_low, open_high = stair_bounds(layer, n)
            below = 2 * x[0] - int(2 * low) * scale, 2 * x[1]
            above = int(2 * high) * scale - 2 * x[0], -2 * x[1]
            if self.sign(below) >= open_low and self.sign(above) >= open_high:
                self._guard(below, k, row)
                self._guard(above, k, row)
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
        (lo, left), (hi, right) = self._end(-1), self._end(1)
        return Piece(lo, hi, left, right, outputs)

    def _constant(self, unit: int) -> Fraction:
        value, slope = self.forms[unit]
        if slope:
            raise ValueError(f"unit {unit} of the selection is not piecewise constant")
        return Fraction(value, self.whole.scales[unit])

    def _end(self, side: int) -> tuple[End, Binding | None]:
        """Where the first guard reaches zero on one side, and which one."""
        best: Guard | None = None
        for guard in self.guards:
            # value / -slope, compared without quotients; of equal ones the last layer's
            if guard[1] * side < 0 and (
                best is None or guard[0] * best[1] * side >= best[0] * guard[1] * side
            ):
                best = guard
        if best is None:
            return side * INFINITY, None
        value, slope, layer, row = best
        return Fraction(value, -slope), Binding(layer, row, str(self.whole.program.layers[layer].label))


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
