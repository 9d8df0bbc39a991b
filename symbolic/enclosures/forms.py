"""Sums, products and certified winners of affine forms: the arithmetic that operators are written in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import TINY, UP, Array, U, sum_error, tiny_where
from symbolic.enclosures.values import Affine

__all__ = [
    "absorbed",
    "add",
    "add_sharply",
    "hull",
    "maximum",
    "negative",
    "positive",
    "product",
    "scale",
    "square",
    "subtract",
    "without_weight",
]


def aligned(a: Affine, b: Affine) -> tuple[Affine, Affine]:
    """Give both forms the same rank, as NumPy broadcasting would without the batch axis."""
    rank = max(a.c.ndim, b.c.ndim)

    def widen(x: Affine) -> Affine:
        missing = rank - x.c.ndim
        if not missing:
            return x
        shape = (x.c.shape[0], *(1,) * missing, *x.c.shape[1:])
        return Affine(x.c.reshape(shape), x.d.reshape(shape), x.r.reshape(shape))

    return widen(a), widen(b)


def add(a: Affine, b: Affine) -> Affine:
    """a + b."""
    a, b = aligned(a, b)
    c, d = a.c + b.c, a.d + b.d
    return Affine(c, d, (a.r + b.r + sum_error(c, d)) * UP)


def add_sharply(a: Affine, b: Affine) -> Affine:
    """a + b with the rounding that there is (Knuth's two-sum), at twice the price: none in an exact sum."""
    a, b = aligned(a, b)
    c, d = a.c + b.c, a.d + b.d
    r = a.r + b.r
    for x, y, total in ((a.c, b.c, c), (a.d, b.d, d)):
        part = total - x
        r = r + np.abs((x - (total - part)) + (y - part))
    return Affine(c, d, np.where(r == 0, 0.0, r * UP))


def without_weight(a: Affine) -> NDArray[np.bool_]:
    """Where a form is exactly -inf: not a real number, but a sum with one, a maximum and an exponential have
    a meaning."""
    return np.asarray(np.isneginf(a.c) & (a.d == 0) & (a.r == 0))


def absorbed(total: Affine, *terms: Affine) -> Affine:
    """A sum of terms, exactly -inf where one of them is and the others are real numbers, or -inf too."""
    if np.isfinite(total.r).all():
        return total
    some, clear = np.zeros(total.c.shape, dtype=bool), np.ones(total.c.shape, dtype=bool)
    for term in terms:
        term = aligned(total, term)[1]
        gone = without_weight(term)
        some |= gone
        clear &= gone | (np.isfinite(term.c) & np.isfinite(term.half_width()))
    gone = some & clear
    return Affine(
        np.where(gone, -np.inf, total.c), np.where(gone, 0.0, total.d), np.where(gone, 0.0, total.r)
    )


def subtract(a: Affine, b: Affine) -> Affine:
    """a - b."""
    return add(a, negative(b))


def negative(a: Affine) -> Affine:
    """-a, exact."""
    return Affine(-a.c, -a.d, a.r)


def scale(a: Affine, weight: Array, radius: Array | None = None) -> Affine:
    """Multiply by a constant tensor weight +- radius of the shape of the result without the batch axis,
    or broadcastable to it."""
    if a.c.ndim - 1 < weight.ndim:
        a, _ = aligned(a, Affine(weight[None], weight[None], weight[None]))
    c, d = a.c * weight, a.d * weight
    size = np.abs(weight)
    r = a.r * size + sum_error(c, d)
    if radius is not None:
        r = r + (np.abs(a.c) + np.abs(a.d) + a.r) * radius
        size = size + radius
    moving = (a.c != 0) | (a.d != 0) | (a.r != 0)
    r = (r + tiny_where(moving & (size != 0))) * UP
    if not np.isfinite(
        np.sum(c)
    ):  # an exact infinity (a mask) stays one where the sign of the weight is known
        mask = np.isinf(a.c) & (a.d == 0) & (a.r == 0) & (2 * np.abs(weight) > size)
        d, r = np.where(mask, 0.0, d), np.where(mask, 0.0, r)
    return Affine(c, d, r)


def product(a: Affine, b: Affine) -> Affine:
    """a * b: the term in tau**2 lies in da db [0, 1]."""
    a, b = aligned(a, b)
    half = a.d * b.d / 2
    c1 = a.c * b.c
    c = c1 + half
    d1, d2 = a.c * b.d, b.c * a.d
    d = d1 + d2
    size_a, size_b = np.abs(a.c) + np.abs(a.d), np.abs(b.c) + np.abs(b.d)
    r = np.abs(half) + size_a * b.r + size_b * a.r + a.r * b.r
    r = r + sum_error(c1, half, c, d1, d2, d)
    moving_a, moving_b = (size_a != 0) | (a.r != 0), (size_b != 0) | (b.r != 0)
    return Affine(c, d, (r + tiny_where(moving_a & moving_b)) * UP)


def square(a: Affine) -> Affine:
    """a * a = 2c a + (a - c)**2 - c**2, and (a - c)**2 lies in [0, (|d| + r)**2]."""
    h = a.half_width()
    c0, half = a.c * a.c, h * h / 2
    c, d = c0 + half, 2 * (a.c * a.d)
    r = half + 2 * np.abs(a.c) * a.r + sum_error(c0, half, c, d)
    return Affine(c, d, (r + tiny_where((a.c != 0) | (h != 0))) * UP)


def hull(a: Affine, b: Affine) -> Affine:
    """The smallest form around both, with the mean slope."""
    a, b = aligned(a, b)
    c, d = a.c / 2 + b.c / 2, a.d / 2 + b.d / 2
    apart = (np.abs(a.c - b.c) + np.abs(a.d - b.d)) / 2
    some = (a.c != 0) | (b.c != 0) | (a.d != 0) | (b.d != 0)
    r = apart + np.maximum(a.r, b.r) + sum_error(a.c, b.c, a.d, b.d) + tiny_where(some)
    return Affine(c, d, r * UP)


def positive(a: Affine) -> tuple[Array, Array, Array]:
    """Slope, offset and half-range so that max(v, 0) lies in slope v + offset +- half for v in the form.

    Any slope in [0, 1] is sound; the residual max(v, 0) - slope v is convex, so it ranges over
    [0, max((1 - slope) hi, -slope lo)] when the form straddles 0. A form certainly on one side is exact.
    """
    lo, hi = a.bounds()
    h = a.half_width()
    finite = h < np.inf  # an overflowed form decides nothing
    up, down = (a.c >= h) & finite, (-a.c >= h) & finite
    straddles = ~(up | down)
    with np.errstate(all="ignore"):
        slope = np.where(straddles, hi / (hi - lo), up)
    slope = np.where(straddles, np.clip(slope, 0.0, 1.0), slope)
    top = np.maximum((1.0 - slope) * hi, -slope * lo) * UP + TINY
    half = np.where(straddles, top / 2, 0.0)
    return slope, half, half


def maximum(a: Affine, b: Affine) -> Affine:
    """max(a, b): a certain winner is copied, otherwise b + relu(a - b) with one slope for both."""
    a, b = aligned(a, b)
    slope, offset, half = positive(subtract(a, b))
    rest = 1.0 - slope  # rounded; its error is paid below
    mixed = (slope != 0) & (slope != 1)
    c = slope * a.c + rest * b.c + offset
    d = slope * a.d + rest * b.d
    pay = (np.abs(a.c) + np.abs(b.c) + np.abs(a.d) + np.abs(b.d) + offset) * (8 * U) + TINY
    r = slope * a.r + rest * b.r + half + np.where(mixed, pay, 0.0)
    # 0 * inf is NaN (unknown); a certain winner is copied bit by bit, without the loser's inf; an exact -inf
    # is the padding of a pool and loses to anything
    take_b = (slope == 0) | without_weight(a)
    take_a = ~take_b & ((slope == 1) | without_weight(b))
    return Affine(
        np.where(take_a, a.c, np.where(take_b, b.c, c)),
        np.where(take_a, a.d, np.where(take_b, b.d, d)),
        np.where(take_a, a.r, np.where(take_b, b.r, r * UP)),
    )
