"""Step functions of real numbers: their values between two bounds, and of quotients that are no floats.

Every step function here is non-decreasing, and its jumps stand at floats. So, with q the quotient rounded to
the nearest float, the function's value at the quotient itself follows from q and from the side of q on which
the quotient lies; the residual of the division tells it exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import UP, Array, sum_error
from symbolic.enclosures.values import Affine

__all__ = [
    "CEIL",
    "FLOOR",
    "NEAREST",
    "TRUNC",
    "Step",
    "between",
    "blurred",
    "exact_product",
    "moderate",
    "of_quotient",
    "tight_bounds",
]

SPLITTER = 2.0**27 + 1
MODERATE = 2.0**480
"""Products of factors between 1 / MODERATE and MODERATE are exact in `exact_product`: nothing underflows."""
LARGE = 2.0**51
"""Beyond it neighbouring floats are too far apart to tell steps of 1 from each other."""


@dataclass(frozen=True)
class Step:
    """A step function: its value at a float, and just below and just above it."""

    at: Callable[[Array], Array]
    below: Callable[[Array], Array]
    above: Callable[[Array], Array]


def _nearest_above(q: Array) -> Array:
    r = np.rint(q)
    return np.asarray(r + (q - r == 0.5))


def _nearest_below(q: Array) -> Array:
    r = np.rint(q)
    return np.asarray(r - (r - q == 0.5))


def _trunc_below(q: Array) -> Array:
    return np.where(q > 0, np.ceil(q) - 1, np.ceil(q))


def _trunc_above(q: Array) -> Array:
    return np.where(q < 0, np.floor(q) + 1, np.floor(q))


FLOOR = Step(np.floor, lambda q: np.ceil(q) - 1, np.floor)
CEIL = Step(np.ceil, np.ceil, lambda q: np.floor(q) + 1)
TRUNC = Step(np.trunc, _trunc_below, _trunc_above)
NEAREST = Step(np.rint, _nearest_below, _nearest_above)


def tight_bounds(x: Affine) -> tuple[Array, Array]:
    """Bounds over the segment, rounded outward; an exact point is itself."""
    lo, hi = x.bounds()
    point = (x.d == 0) & (x.r == 0)
    return np.where(point, x.c, lo), np.where(point, x.c, hi)


def exact_product(a: Array, b: Array) -> tuple[Array, Array]:
    """p + e = a b exactly, for factors of moderate size (Dekker, Numer. Math. 18, 1971)."""

    def halves(v: Array) -> tuple[Array, Array]:
        scaled = SPLITTER * v
        high = scaled - (scaled - v)
        return high, v - high

    p = a * b
    (a1, a0), (b1, b0) = halves(a), halves(b)
    return p, ((a1 * b1 - p) + a1 * b0 + a0 * b1) + a0 * b0


def moderate(*arrays: Array) -> NDArray[np.bool_]:
    """Where all of them may enter `exact_product`."""
    fine = np.asarray(True)
    for a in arrays:
        size = np.abs(a)
        fine = fine & ((size == 0) | (size > 1 / MODERATE) & (size < MODERATE))
    return np.asarray(fine)


def between(a: Array, b: Array) -> tuple[Array, Array]:
    """Bounds of the product a b: equal where it is a float."""
    p, e = exact_product(a, b)
    known = moderate(a, b)
    low = np.where(known & (e >= 0), p, np.nextafter(p, -np.inf))
    high = np.where(known & (e <= 0), p, np.nextafter(p, np.inf))
    return low, high


def of_quotient(step: Step, lo: Array, hi: Array, divisor: Array) -> tuple[Array, Array]:
    """step(lo / divisor) and step(hi / divisor), the first not too great and the second not too small.

    Infinite where nothing is known: an infinite bound, or a divisor that is not positive.
    """
    low, high = (_at_quotient(step, x, divisor, side) for x, side in ((lo, -1.0), (hi, 1.0)))
    return low, high


def _at_quotient(step: Step, x: Array, divisor: Array, side: float) -> Array:
    """step(x / divisor); where that cannot be told, a value on the given side of it."""
    q = x / divisor
    p, e = exact_product(q, divisor)
    # x and p agree up to a few units in the last place: their difference is exact
    rest = np.where(moderate(q, divisor), np.sign((x - p) - e), side)
    value = np.where(rest < 0, step.below(q), np.where(rest > 0, step.above(q), step.at(q)))
    far = np.clip(q * (1 + side * np.sign(q) * 2.0**-50), -np.finfo(float).max, np.finfo(float).max)
    value = np.where(np.abs(q) < LARGE, value, step.at(far))
    known = np.isfinite(x) & (divisor > 0) & np.isfinite(divisor)
    return np.where(known, value, side * np.inf)


def blurred(x: Affine, shift: float, radius: float) -> Affine:
    """x + shift +- radius."""
    c = x.c + shift
    return Affine(c, x.d, (x.r + radius + sum_error(c)) * UP)
