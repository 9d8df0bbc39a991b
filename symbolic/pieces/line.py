"""Linear pieces of a line: between which points the branches stay, exactly, and what binds at the ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import truediv
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import Branches, Guards, guards_of
from symbolic.pieces.program import Program

__all__ = ["Binding", "End", "LinePiece", "RationalLine", "line_piece"]

End = Fraction | float
"""A point of the line; floats are infinities only."""


@dataclass(frozen=True)
class RationalLine:
    """x(z) = start + z * direction, flat."""

    start: tuple[Fraction, ...]
    direction: tuple[Fraction, ...]

    def at(self, z: Fraction) -> list[Fraction]:
        """A point."""
        return [a + b * z for a, b in zip(self.start, self.direction, strict=True)]


@dataclass(frozen=True)
class Binding:
    """The guard that ends a piece: the layer, its unit, and the node that it comes from."""

    layer: int
    unit: int
    node: str


@dataclass(frozen=True, eq=False)
class LinePiece:
    """A maximal open interval of the line on which no branch changes.

    Attributes
    ----------
    lo, hi : Fraction or float
        Its ends; infinities where it has none.
    left, right : Binding or None
        What binds there.
    branches : dict
        The activation pattern.
    piece : ExactPiece
        All units as affine functions of z - ``at``.
    at : Fraction
        The base point.
    """

    lo: End
    hi: End
    left: Binding | None
    right: Binding | None
    branches: Branches
    piece: ExactPiece
    at: Fraction

    def values(self, name: str) -> tuple[list[Fraction], list[Fraction]]:
        """A tensor on the piece, flat, as intercept + slope * z."""
        value, (slope,) = self.piece.rationals(self.piece.program.units_of(name))
        return [v - s * self.at for v, s in zip(value, slope, strict=True)], slope

    def output(self, name: str) -> list[Fraction]:
        """A discrete output on the piece, flat."""
        return self.piece.outputs[name]


def line_piece(program: Program, line: RationalLine, at: Fraction) -> LinePiece:
    """The linear piece that lies just behind (right of) a point of the line.

    Parameters
    ----------
    program : Program
        With rational constants.
    line : RationalLine
    at : Fraction
        The point; it may be an end of the piece.
    """
    piece = ExactPiece(program, line.at(at), [line.direction])
    guards = guards_of(program, piece.branches)
    numbers, _ = piece.margins(guards)
    lo, left = _nearest(program, guards, numbers, at, -1)
    hi, right = _nearest(program, guards, numbers, at, 1)
    return LinePiece(lo, hi, left, right, piece.branches, piece, at)


def _nearest(
    program: Program, guards: Guards, numbers: NDArray[Any], at: Fraction, side: int
) -> tuple[End, Binding | None]:
    """Where the first margin reaches zero on one side."""
    value, slope = numbers[0], numbers[1] * side
    falling = np.nonzero(slope < 0)[0]
    if not falling.size:
        return side * float("inf"), None
    best = int(falling[0])
    for k in _promising(value[falling], -slope[falling]):
        other = int(falling[k])
        # value / -slope, compared without quotients
        if value[other] * -slope[best] <= value[best] * -slope[other]:  # of equal ones the last layer's
            best = other
    layer = int(guards.layer[best])
    where = at + side * Fraction(int(value[best]), -int(slope[best]))
    return where, Binding(layer, int(guards.unit[best]), str(program.layers[layer].label))


def _promising(value: NDArray[Any], fall: NDArray[Any]) -> Sequence[int]:
    """Where the quotient of two lists of integers (the second positive) may be the least: by leading bits."""
    try:
        ratios = np.array(list(map(truediv, value, fall)))
    except OverflowError:
        ratios = np.array(list(map(_ratio, value, fall)))
    return np.nonzero(ratios <= ratios.min() * (1 + 2.0**-40) + 2.0**-1070)[0].tolist()


def _ratio(value: int, fall: int) -> float:
    """value / fall, or infinity."""
    try:
        return value / fall
    except OverflowError:
        return float("inf")
