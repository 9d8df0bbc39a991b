"""Where a coordinate between the elements of an axis reads them: interpolation and padding, in rationals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from symbolic.taps import Row

__all__ = ["Ambiguous", "Sampler", "cubic_kernel", "linear_kernel"]

HALF = Fraction(1, 2)
CUBIC = Fraction(-3, 4)
STEEPEST = {"linear": Fraction(1), "cubic": Fraction(3, 2)}
"""Bounds of the slope of each kernel (the cubic one's is 1.35)."""


class Ambiguous(Exception):
    """The coordinate does not determine what is read."""


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
    """How GridSample reads along an axis."""

    mode: str
    padding: str
    align: bool

    def coordinate(self, normalised: Fraction, size: int) -> Fraction:
        """From [-1, 1] to elements."""
        return normalised * self.step(size) + Fraction(size - 1, 2)

    def step(self, size: int) -> Fraction:
        """What a step of 1 of the normalised coordinate is."""
        return Fraction(size - 1 if self.align else size, 2)

    def row(self, u: Fraction, error: Fraction, size: int) -> Row:
        """The elements read at coordinate u +- error, with their weights."""
        if error > 1:
            raise Ambiguous
        if self.mode == "nearest":
            place = _nearest(u - error)
            if place != _nearest(u + error):
                raise Ambiguous
            inside = self._element(place, size)
            return [] if inside is None else [(inside, Fraction(1), Fraction(0))]
        low, high = self._ends(size)
        if self.padding == "reflection":
            return self._around(_reflected(u, low, high), error, size)
        if self.padding == "border":
            clamped = min(max(u, Fraction(0)), Fraction(size - 1))
            found = self._around(clamped, error, size)
            # beyond the border some clamp the coordinate, others only the elements around it
            beyond = u - error < low or u + error > high
            if self.mode == "cubic" and beyond and found != self._around(u, error, size):
                raise Ambiguous
            return found if self.mode == "linear" or beyond else self._around(u, error, size)
        return self._around(u, error, size)

    def _ends(self, size: int) -> tuple[Fraction, Fraction]:
        edge = Fraction(0) if self.align else HALF
        return -edge, size - 1 + edge

    def _around(self, u: Fraction, error: Fraction, size: int) -> Row:
        """The elements within reach of the kernel; those that stand for the same one are merged."""
        kernel, reach = (linear_kernel, 1) if self.mode == "linear" else (cubic_kernel, 2)
        row: dict[int, tuple[Fraction, Fraction]] = {}
        for k in range(floor(u - error) - reach + 1, floor(u + error) + reach + 1):
            place, weight = self._element(k, size), kernel(u - k)
            if place is not None and (weight or error):
                w, e = row.get(place, (Fraction(0), Fraction(0)))
                row[place] = w + weight, e + error * STEEPEST[self.mode]
        return [(k, w, e) for k, (w, e) in sorted(row.items())]

    def _element(self, k: int, size: int) -> int | None:
        """The element that stands at place k; None for zero."""
        if 0 <= k < size:
            return k
        if self.padding == "border":
            return min(max(k, 0), size - 1)
        if self.padding == "reflection":
            return int(_reflected(Fraction(k), *self._ends(size)))
        return None


def _nearest(u: Fraction) -> int:
    """Halves go to the even neighbour."""
    return round(u)


def _reflected(u: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """Thrown back at both ends until it is between them."""
    span = high - low
    if span == 0:
        return low
    away = (u - low) % (2 * span)
    return low + min(away, 2 * span - away)
