"""Weighted sums of a few elements, each with constant weights; and reading an axis between elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .check_discrete import Discrete
from .check_integers import Arithmetic, Array, Form
from .check_operators import LARGEST_TENSOR, Context, Node, whole_numbers
from .check_products import Weights, linear

__all__ = ["Reader", "Row", "constants", "cubic", "crossed", "hat", "prepared", "weighted"]

Row = Sequence[tuple[int, Fraction, Fraction]]  # element of a plane, weight, bound of the weight's error
HALF = Fraction(1, 2)


def constants(node: Node, value: Form | Discrete) -> Array:
    """The numbers of a constant and bounds of their errors, as pairs of rationals along a last axis."""
    if isinstance(value, Discrete):
        c, r, unit = whole_numbers(node, value), np.zeros(value.shape, dtype=np.int64), Fraction(1)
    elif value.c.shape[-1] != 1 or value.d.any():
        raise node.refuse("a place or a weight is not constant")
    else:
        c, r, unit = value.c[..., 0], value.r[..., 0], Fraction(2) ** value.e
    pairs = np.empty((c.size, 2), dtype=object)
    pairs[:, 0], pairs[:, 1] = ([int(v) * unit for v in a.flat] for a in (c, r))
    return pairs.reshape(*c.shape, 2)


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
class Reader:
    """An axis of GridSample: `size` elements; coordinates from -1 to 1 are those of the outer elements, or
    of their outer edges.
    """

    node: Node
    size: int
    mode: bytes
    padding: bytes
    edges: bool

    @property
    def kernel(self) -> tuple[Callable[[Fraction], Fraction], int, Fraction]:
        """The weight at a distance, how far it reaches, and how steep it is at most."""
        if self.mode == b"linear":
            return hat, 1, Fraction(1)
        return lambda u: cubic(u, Fraction(-3, 4)), 2, Fraction(27, 20)

    def element(self, k: int) -> int | None:
        """What stands at place k; None for zero."""
        n = self.size
        if 0 <= k < n:
            return k
        if self.padding == b"zeros":
            return None
        if self.padding == b"border":
            return 0 if k < 0 else n - 1
        if n == 1:
            return 0
        period = 2 * n if self.edges else 2 * n - 2
        k %= period
        return k if k < n else period - k - (1 if self.edges else 0)

    def row(self, point: Fraction, error: Fraction) -> Row:
        """What a coordinate from -1 to 1, known up to an error, reads."""
        scale = Fraction(self.size if self.edges else self.size - 1, 2)
        u, error = point * scale + Fraction(self.size - 1, 2), error * scale
        if error > HALF:
            raise self.node.refuse("a coordinate is not known exactly enough")
        if self.mode == b"nearest":
            if round(u - error) != round(u + error):
                raise self.node.refuse("a coordinate is not known exactly enough")
            k = self.element(round(u))
            return [] if k is None else [(k, Fraction(1), Fraction(0))]
        plain = self.around(u, error)
        low, high = -HALF if self.edges else 0, self.size - (HALF if self.edges else 1)
        if self.padding == b"zeros" or low <= u - error and u + error <= high:
            return plain
        if self.padding == b"border":
            clamped = self.around(min(max(u, Fraction(0)), Fraction(self.size - 1)), error)
            if self.mode == b"cubic" and clamped != plain:
                raise self.node.refuse("cubic interpolation beyond the border means different things")
            return clamped
        span = 2 * Fraction(high - low)
        back = (u - low) % span if span else Fraction(0)
        return self.around(low + min(back, span - back), error)

    def around(self, u: Fraction, error: Fraction) -> Row:
        """What the coordinate u, counted in elements, reads."""
        kernel, reach, steep = self.kernel
        found: dict[int, tuple[Fraction, Fraction]] = {}
        for k in range(math.floor(u - error) + 1 - reach, math.floor(u + error) + reach + 1):
            element = self.element(k)
            if element is not None:
                w, e = found.get(element, (Fraction(0), Fraction(0)))
                found[element] = w + kernel(u - k), e + error * steep
        return [(k, w, e) for k, (w, e) in sorted(found.items()) if w or e]
