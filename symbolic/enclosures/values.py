"""What flows along an edge of the network: constants, affine enclosures, ranges of discrete values.

A *batch* holds K segments of the line at once. On each of them the coordinate is tau in [-1, 1], and

* :class:`Const`   is the same on every segment (no batch axis);
* :class:`Affine`  encloses a real tensor: value(tau) in c + d tau +- r, for every tau in [-1, 1];
* :class:`Range`   encloses an integer or boolean tensor: lo <= value(tau) <= hi for every tau in the open
  interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import TINY, UP, Array, U, sum_error
from symbolic.errors import ModelError

__all__ = [
    "ANYTHING",
    "LOWEST",
    "Affine",
    "Batch",
    "Const",
    "Range",
    "Value",
    "as_range",
    "is_discrete",
    "is_integer",
    "map_value",
]


ANYTHING = int(np.iinfo(np.int64).max)
LOWEST = -ANYTHING - 1
"""A range of integers from LOWEST to ANYTHING is undefined: no claim follows from it."""


@dataclass(frozen=True, slots=True)
class Const:
    """A tensor that does not move along the line: value +- radius (radius None: exact)."""

    value: NDArray[Any]
    radius: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def is_float(self) -> bool:
        return self.value.dtype.kind == "f"

    @property
    def spread(self) -> Array:
        """The radius as an array."""
        return np.zeros(self.value.shape) if self.radius is None else self.radius


@dataclass(frozen=True, slots=True)
class Affine:
    """c + d tau +- r on every segment; arrays of shape (K, *shape).

    No element is less than ``least`` or greater than ``most``, whatever the form says (`symbolic.limits`).
    """

    c: Array
    d: Array
    r: Array
    least: float = field(default=-np.inf, kw_only=True)
    most: float = field(default=np.inf, kw_only=True)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.c.shape[1:]

    def half_width(self) -> Array:
        """|d| + r, rounded up."""
        return np.asarray((np.abs(self.d) + self.r) * UP)

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds over the segment, rounded outward."""
        h = self.half_width()
        lo, hi = self.c - h, self.c + h
        rounded = 2 * U * (h != 0)  # a form without width is its centre
        return lo - rounded * np.abs(lo), hi + rounded * np.abs(hi)


@dataclass(frozen=True, slots=True)
class Range:
    """lo <= value <= hi; booleans are kept as booleans.

    ``margin``, where present, encloses a real function that is positive where a boolean value is true and
    negative where it is false: the search reads split points off it. ``form``, where present, encloses the
    values themselves: a staircase follows the slope that it climbs, where the bounds alone would forget it.
    """

    lo: NDArray[Any]
    hi: NDArray[Any]
    margin: Affine | None = None
    form: Affine | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lo.shape[1:]

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.asarray(self.lo == self.hi)


Value = Const | Affine | Range


@dataclass(frozen=True, slots=True)
class Batch:
    """K segments and, for rays, the homogenising coordinate.

    On a ray towards infinity every value is divided by |t|, so a constant that is *added* to moving values
    becomes constant * s with s = 1/|t| = scale_c + scale_d tau (K numbers each). ``scale_c is None``: no ray.
    """

    size: int
    scale_c: Array | None = None
    scale_d: Array | None = None

    def lift(self, value: Value) -> Affine:
        """View any value as an affine form (an added constant on a ray is scaled)."""
        if isinstance(value, Affine):
            return value
        if isinstance(value, Range):
            lo, hi = value.lo.astype(np.float64), value.hi.astype(np.float64)
            undefined = value.hi == ANYTHING
            c = np.where(undefined, np.nan, (lo + hi) / 2)
            r = (hi - lo) / 2
            r = np.where((r > 0) | (np.abs(c) >= 2.0**53), r * UP + sum_error(c), r)
            if value.form is not None and not self.is_ray:
                closer = ~((value.form.r >= r) | undefined)
                return Affine(
                    np.where(closer, value.form.c, c),
                    np.where(closer, value.form.d, 0.0),
                    np.where(closer, value.form.r, r),
                )
        else:
            c = value.value.astype(np.float64)[None]
            r = value.spread[None]
            if value.value.dtype.kind in "iu":  # integers beyond 2**53 are rounded by the conversion
                r = np.where(np.abs(c) >= 2.0**53, np.abs(c) * 2 * U, r)
        shape = (self.size, *value.shape)
        if self.scale_c is None or self.scale_d is None:
            return Affine(np.broadcast_to(c, shape), np.zeros(shape), np.broadcast_to(r, shape))
        ones = (1,) * len(value.shape)
        sc, sd = self.scale_c.reshape(-1, *ones), self.scale_d.reshape(-1, *ones)
        c2, d2 = c * sc, c * sd
        r2 = (
            r * (np.abs(sc) + np.abs(sd)) + sum_error(c2, d2) + np.where((c != 0) | (r != 0), TINY, 0.0)
        ) * UP
        if np.isinf(c).any():  # an exact infinity has no scale
            infinite = np.isinf(c) & (r == 0)
            c2, d2, r2 = (np.where(infinite, v, a) for v, a in ((c, c2), (0.0, d2), (0.0, r2)))
        return Affine(*(np.broadcast_to(a, shape) for a in (c2, d2, r2)))

    @property
    def is_ray(self) -> bool:
        return self.scale_c is not None


def is_integer(value: Value | None) -> bool:
    """Whether a value is an integer or boolean constant."""
    return isinstance(value, Const) and not value.is_float


def is_discrete(value: Value | None) -> bool:
    """Whether a value is of integers or booleans, moving or not."""
    return isinstance(value, Range) or is_integer(value)


def holds_integers(value: Value | None) -> bool:
    """Whether a value's type is one of integers or booleans (Floor's values are whole, but real numbers)."""
    return is_integer(value) or (isinstance(value, Range) and value.lo.dtype.kind in "iub")


def as_range(batch: Batch, value: Value) -> Range:
    """A discrete value with explicit bounds."""
    if isinstance(value, Range):
        return value
    if isinstance(value, Const) and not value.is_float:
        array = np.broadcast_to(value.value, (batch.size, *value.shape))
        return Range(array, array)
    raise ModelError("a real number stands where a discrete value is needed.")


def map_value(value: Value, move: Callable[[NDArray[Any], int], NDArray[Any]]) -> Value:
    """Apply a rearrangement of elements; ``move(array, lead)`` gets the number of leading batch axes."""
    if isinstance(value, Const):
        radius = None if value.radius is None else move(value.radius, 0)
        return Const(move(value.value, 0), radius)
    if isinstance(value, Affine):
        return Affine(move(value.c, 1), move(value.d, 1), move(value.r, 1))
    forms = [
        None if form is None else Affine(move(form.c, 1), move(form.d, 1), move(form.r, 1))
        for form in (value.margin, value.form)
    ]
    return Range(move(value.lo, 1), move(value.hi, 1), *forms)
