"""Weighted sums of a few elements, each with constant weights; and reading an axis between elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verifier.check.numbers.integers import Arithmetic, Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.operators.registry import LARGEST_TENSOR, Context, Node

__all__ = ["Reader", "Row", "Taps", "constant", "crossed", "cubic", "hat", "prepared", "rounded", "weighted"]

Row = Sequence[tuple[int, Fraction, Fraction]]  # element of a plane, weight, bound of the weight's error


def constant(node: Node, value: Form) -> tuple[Array, Array, int]:
    """Python integers c, r and e of a constant (c +- r) * 2**e."""
    if value.c.shape[-1] != 1 or value.d.any():
        raise node.refuse("a place or a weight is not constant")
    return value.c[..., 0].astype(object), value.r[..., 0].astype(object), value.e


def prepared(ctx: Context, node: Node, rows: Sequence[Row]) -> tuple[Array, Weights]:
    """Element numbers (rows, taps), -1 where a row is shorter, and the weights."""
    taps = max((len(row) for row in rows), default=0) or 1
    if taps * len(rows) > LARGEST_TENSOR:
        raise node.refuse(f"a table of more than {LARGEST_TENSOR} weights")
    number = np.full((len(rows), taps), -1)
    weight, error = (np.full((len(rows), 1, taps), Fraction(0), dtype=object) for _ in range(2))
    for k, row in enumerate(rows):
        for t, (element, w, e) in enumerate(row):
            number[k, t], weight[k, 0, t], error[k, 0, t] = element, w, e
    return number, Weights.of(ctx.ar, _balls(ctx.ar, weight, error))


def _balls(ar: Arithmetic, values: Array, errors: Array) -> Form:
    """Constants that are known up to errors."""
    form = ar.constant(values)
    if not errors.any():
        return form
    form, extra = ar.aligned([form, ar.constant(errors)])
    return Form(form.c, form.d, form.r + extra.c + extra.r, form.e)


def weighted(ctx: Context, node: Node, x: Form, how: tuple[Array, Weights], planes: Array) -> Form:
    """One sum for each row and plane; `planes` (rows, planes) are the first elements of its planes."""
    number, weights = how
    if number.size * planes.shape[1] > LARGEST_TENSOR:
        raise node.refuse(f"a table of more than {LARGEST_TENSOR} elements")
    index = np.where(number[:, :, None] < 0, math.prod(x.shape), number[:, :, None] + planes[:, None, :])
    return linear(ctx.ar, weights, x, index).each(lambda a: a.reshape(*planes.shape, a.shape[-1]))


def crossed(a: Row, b: Row, size: int) -> Row:
    """Read along two axes, of which the second has `size` elements."""
    return [(k * size + m, v * w, abs(v) * f + e * abs(w) + e * f) for k, v, e in a for m, w, f in b]


# ---- reading an axis -------------------------------------------------------------------------------------


def hat(u: Fraction) -> Fraction:
    """The weight of an element at distance u in linear interpolation."""
    return 1 - abs(u) if abs(u) < 1 else Fraction(0)


def cubic(u: Fraction, a: Fraction) -> Fraction:
    """The weight of an element at distance u in cubic interpolation."""
    u = abs(u)
    if u >= 2:
        return Fraction(0)
    return (a + 2) * u**3 - (a + 3) * u**2 + 1 if u < 1 else a * (u**3 - 5 * u**2 + 8 * u - 4)


@dataclass(frozen=True)
class Taps:
    """Read at each point (a row): elements, -1 for none; their weights and bounds of their errors, whole
    numbers in units of 2**e.
    """

    element: Array
    weight: Array
    error: Array
    e: int

    def along(self, other: Taps, size: int) -> Taps:
        """Read along a second axis, of `size` elements, too."""
        pairs = ((self.element, other.element), (self.weight, other.weight), (self.error, other.error))
        (k, m), (v, w), (f, g) = [(a[:, :, None], b[:, None, :]) for a, b in pairs]
        element = np.where((k < 0) | (m < 0), -1, k * size + m)
        error = abs(v) * g + f * abs(w) + f * g
        rows = len(element)
        return Taps(
            element.reshape(rows, -1), (v * w).reshape(rows, -1), error.reshape(rows, -1), self.e + other.e
        )

    def times(self, factor: Array, error: Array, e: int) -> Taps:
        """Every row times a number known up to an error."""
        first = np.zeros((len(factor), 1), dtype=np.int64)
        return self.along(Taps(first, factor[:, None], error[:, None], e), 1)

    def weights(self, ctx: Context, node: Node) -> tuple[Array, Weights]:
        """What `weighted` takes."""
        if self.element.size > LARGEST_TENSOR:
            raise node.refuse(f"a table of more than {LARGEST_TENSOR} weights")
        used = (self.element >= 0) & ((self.weight != 0) | (self.error != 0))
        c, r = (np.where(used, a, 0)[:, None, :, None] for a in (self.weight, self.error))
        return np.where(used, self.element, -1), Weights.of(ctx.ar, ctx.ar.form(c, self.e, r=r))


@dataclass(frozen=True)
class Reader:
    """An axis of GridSample: `size` elements; coordinates from -1 to 1 are those of the outer elements, or
    of their outer edges.

    A coordinate, counted in elements, is a whole number of units of 2**-s, s >= 1, known up to an error.
    """

    node: Node
    size: int
    mode: bytes
    padding: bytes
    edges: bool

    def coordinates(self, c: Array, r: Array, e: int) -> tuple[Array, Array, int]:
        """Those of points (c +- r) * 2**e between -1 and 1."""
        c, r, e = (c, r, e) if e <= 0 else (c << e, r << e, 0)
        step = self.size if self.edges else self.size - 1
        return c * step + ((self.size - 1) << -e), r * step, 1 - e

    def elements(self, place: Array) -> Array:
        """What stands at places; -1 for zero."""
        n = self.size
        if self.padding == b"border":
            place = np.clip(place, 0, n - 1)
        elif self.padding == b"reflection":
            period = max(1, 2 * n if self.edges else 2 * n - 2)
            place = place % period
            place = np.where(place < n, place, period - place - (1 if self.edges else 0))
        else:
            place = np.where((place >= 0) & (place < n), place, -1)
        return place.astype(np.int64)

    def read(self, u: Array, error: Array, s: int) -> Taps:
        """What coordinates read."""
        one = 1 << s
        if (4 * error > one).any():
            raise self.node.refuse("a coordinate is not known exactly enough")
        if self.mode == b"nearest":
            place = rounded(u - error, s)
            if (place != rounded(u + error, s)).any():
                raise self.node.refuse("a coordinate is not known exactly enough")
            ones = np.ones((len(u), 1), dtype=object)
            return Taps(self.elements(place)[:, None], ones, 0 * ones, 0)
        low = -(one >> 1) if self.edges else 0
        high = ((self.size - 1) << s) - low
        beyond = (u - error < low) | (u + error > high)
        if self.padding == b"reflection":
            span = max(2 * (high - low), 1)
            away = (u - low) % span
            u = low + np.minimum(away, span - away) if high > low else low + 0 * u
        elif self.padding == b"border" and self.mode == b"linear":
            u = np.clip(u, 0, (self.size - 1) << s)
        found = self._around(u, error, s)
        if self.padding == b"border" and self.mode == b"cubic":
            # Some clamp the coordinate, others the elements: they agree where only the outer element is read.
            outer = np.where(u < 0, 0, self.size - 1)[:, None]
            other = (found.element != outer) & ((found.weight != 0) | (found.error != 0))
            if (other & beyond[:, None]).any():
                raise self.node.refuse("cubic interpolation beyond the border means different things")
        return found

    def _around(self, u: Array, error: Array, s: int) -> Taps:
        reach = 1 if self.mode == b"linear" else 2
        first, last = ((u - error) >> s) + 1 - reach, ((u + error) >> s) + reach
        place = first[:, None] + np.arange(max(int((last - first).max(initial=0)), 0) + 1)
        distance, one = abs(u[:, None] - (place << s)), 1 << s
        near = distance < (reach << s) + error[:, None]
        if self.mode == b"linear":
            weight, slope, e = np.maximum(one - distance, 0), 1, -s
        else:
            d = np.minimum(distance, 2 * one)
            inner = 5 * d**3 - 9 * d**2 * one + 4 * one**3  # 4 times cubic(., -3/4), and so is the outer part
            outer = -3 * (d**3 - 5 * d**2 * one + 8 * d * one**2 - 4 * one**3)
            weight, slope, e = np.where(d < one, inner, outer), 6 << 2 * s, -3 * s - 2  # a slope of 3/2
        return Taps(self.elements(place), weight, np.where(near, slope * error[:, None], 0), e)


def rounded(u: Array, s: int) -> Array:
    """u / 2**s to the nearest whole number, halves to the even one."""
    twice = 2 * u + (1 << s)
    place = twice >> (s + 1)
    return np.asarray(place - ((twice & ((2 << s) - 1)) == 0) * (place & 1))
