"""One linear region of a network on a plane: a polygon with exact vertices."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.arguments import as_double
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import pattern
from symbolic.pieces.line import Binding

__all__ = ["PlaneRegion", "Point"]

Point = tuple[Fraction, Fraction]


@dataclass(frozen=True, eq=False)
class PlaneRegion:
    """A convex polygon on which the network is one affine function of (s, t).

    Attributes
    ----------
    vertices : tuple of (Fraction, Fraction)
        Counterclockwise.
    bindings : tuple of Binding or None
        What binds along the edge from each vertex to the next; None for the border of the part.
    piece : ExactPiece
        All units as affine functions: their values at ``base``, and slopes in some direction, along s and t.
    base : (Fraction, Fraction)
    """

    vertices: tuple[Point, ...]
    bindings: tuple[Binding | None, ...]
    piece: ExactPiece
    base: Point

    @cached_property
    def area(self) -> Fraction:
        """In the coordinates s and t."""
        pairs = zip(self.vertices, (*self.vertices[1:], self.vertices[0]), strict=True)
        return sum((p[0] * q[1] - q[0] * p[1] for p, q in pairs), Fraction(0)) / 2

    def contains(self, point: Point) -> bool:
        """Whether a point is in the polygon or on its border."""
        pairs = zip(self.vertices, (*self.vertices[1:], self.vertices[0]), strict=True)
        return all((q[0] - p[0]) * (point[1] - p[1]) >= (q[1] - p[1]) * (point[0] - p[0]) for p, q in pairs)

    def exact(self, output: str) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        """Intercepts, slopes along s and slopes along t of a tensor, flat."""
        value, (_, along_s, along_t) = self.piece.rationals(self.piece.program.units_of(output))
        s, t = self.base
        rows = zip(value, along_s, along_t, strict=True)
        return [v - a * s - b * t for v, a, b in rows], along_s, along_t

    def affine(self, output: str) -> tuple[Array, Array, Array]:
        """The same as arrays of the tensor's shape (nearest doubles)."""
        shape = self.piece.program.units_of(output).shape
        parts = [np.array(list(map(as_double, part))).reshape(shape) for part in self.exact(output)]
        return parts[0], parts[1], parts[2]

    @property
    def pattern(self) -> dict[str, NDArray[np.int64]]:
        """The branch of every unit, by the layer's number and node."""
        return pattern(self.piece.program, self.piece.branches)
