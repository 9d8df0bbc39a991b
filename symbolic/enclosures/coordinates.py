"""Where a coordinate between the elements of an axis reads them: interpolation, and what stands beyond the
border."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import TINY, UP, Array, U
from symbolic.enclosures.taps import Taps
from symbolic.enclosures.values import Const

__all__ = ["Ambiguous", "Sampler", "cubic_kernel", "linear_kernel"]

HALF = Fraction(1, 2)
CUBIC = Fraction(-3, 4)
SLACK = {"linear": 2.0**-49, "cubic": 2.0**-42}
"""More than the rounding of a kernel at a distance below 4: 3 operations on numbers below 4, 30 on numbers
below 40."""


class Ambiguous(Exception):
    """A coordinate does not determine what is read."""


def linear_kernel(x: Fraction) -> Fraction:
    """The weight of an element at distance x."""
    return max(Fraction(0), 1 - abs(x))


def cubic_kernel(x: Fraction, a: Fraction = CUBIC) -> Fraction:
    """The weight of an element at distance x in cubic convolution."""
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else Fraction(0)


@dataclass(frozen=True)
class Sampler:
    """How an axis is read: by the nearest element (halves: the even one), or by linear or cubic weights."""

    mode: str
    padding: str
    align: bool

    @property
    def reach(self) -> int:
        """How far the kernel reaches."""
        return 1 if self.mode == "linear" else 2

    @property
    def steepest(self) -> float:
        """A bound of the slope of the kernel; the cubic one's is 1.35."""
        return 1.0 if self.mode == "linear" else 1.5

    def ends(self, size: int) -> tuple[Fraction, Fraction]:
        """The coordinates that -1 and 1 stand for."""
        edge = Fraction(0) if self.align else HALF
        return -edge, size - 1 + edge

    def coordinates(self, points: Array, errors: Array, size: int) -> tuple[Array, Array]:
        """From [-1, 1] to elements, each with a bound of its error."""
        step = (size - 1 if self.align else size) / 2
        moved = points * step
        u = moved + (size - 1) / 2
        return u, (errors * step + (np.abs(moved) + np.abs(u)) * (2 * U) + TINY) * UP

    def exact(self, point: float, size: int) -> Fraction:
        """The same in one rational number."""
        return Fraction(point) * Fraction(size - 1 if self.align else size, 2) + Fraction(size - 1, 2)

    # ---- many coordinates at once -------------------------------------------------------------------------

    def taps(self, u: Array, error: Array, size: int) -> Taps:
        """The elements read at coordinates u +- error, with their weights, by linear or cubic kernel."""
        low, high = (float(v) for v in self.ends(size))
        if self.padding == "zeros":
            u = np.clip(u, -3.0, size + 2.0)  # nothing is read from there on
        elif self.padding == "border" and self.mode == "linear":
            u = np.clip(u, 0.0, size - 1.0)
        elif self.padding == "reflection":
            span = max(high - low, 0.0)
            away = np.mod(u - low, 2 * span) if span else np.zeros_like(u)
            error = (error + (np.abs(u) + 4 * span + 1.0) * (4 * U)) * UP
            u = low + np.minimum(away, 2 * span - away)
        if not (error <= 0.25).all():
            raise Ambiguous
        first = np.floor(u - error).astype(np.int64) - (self.reach - 1)
        place = first[..., None] + np.arange(2 * self.reach + 1)
        distance = np.abs(u[..., None] - place)
        weight = self._kernel(distance)
        spread = (self.steepest * error[..., None] + SLACK[self.mode]) * UP
        radius = np.where(distance <= self.reach + spread, spread, 0.0)
        element = self.elements(place, size)
        inside = element >= 0
        weights = Const(np.where(inside, weight, 0.0), np.where(inside, radius, 0.0))
        return Taps(np.where(inside, element, 0), weights)

    def _kernel(self, d: Array) -> Array:
        if self.mode == "linear":
            return np.maximum(1.0 - d, 0.0)
        near = (1.25 * d - 2.25) * d * d + 1.0
        far = ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0
        return np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0))

    def elements(self, place: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """The elements that stand at places; -1 for zero."""
        if self.padding == "border":
            return np.clip(place, 0, size - 1)
        if self.padding == "reflection":
            period = max(1, 2 * (size - 1) if self.align else 2 * size)
            back = place % period
            return np.where(back < size, back, period - back - (0 if self.align else 1))
        return np.where((place >= 0) & (place < size), place, -1)

    # ---- one coordinate exactly ---------------------------------------------------------------------------

    def row(self, u: Fraction, size: int) -> dict[int, Fraction]:
        """The elements read at the coordinate, with their weights."""
        if self.mode == "nearest":
            return self._named([(round(u), Fraction(1))], size)
        low, high = self.ends(size)
        plain = self._around(u, size)
        if self.padding != "border" or low <= u <= high:
            return plain
        # beyond the border some clamp the coordinate, others the elements around it
        if plain != self._around(min(max(u, Fraction(0)), Fraction(size - 1)), size):
            raise Ambiguous
        return plain

    def _around(self, u: Fraction, size: int) -> dict[int, Fraction]:
        kernel = linear_kernel if self.mode == "linear" else cubic_kernel
        near = range(floor(u) - self.reach + 1, floor(u) + self.reach + 1)
        return self._named([(k, kernel(u - k)) for k in near], size)

    def _named(self, taps: list[tuple[int, Fraction]], size: int) -> dict[int, Fraction]:
        row: dict[int, Fraction] = {}
        for place, weight in taps:
            element = int(self.elements(np.array(place), size))
            if element >= 0 and weight:
                row[element] = row.get(element, Fraction(0)) + weight
        return row
