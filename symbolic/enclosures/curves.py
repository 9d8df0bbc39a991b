"""Sound linear relaxation of functions of one variable.

A function f is described by break points with, between neighbours, a piece of constant curvature: "linear",
"convex" or "concave". On a segment where the argument ranges over [lo, hi], f(v) is enclosed as
slope v + offset +- half:

* the range lies in one linear piece: exact up to rounding;
* otherwise any slope is sound, given bounds of g(v) = f(v) - slope v over [lo, hi]. On a convex piece g is
  largest at an end and lies above each of its tangents; on a concave piece the reverse. The chord's slope is
  used; slope 0 where that leaves less remainder, as it does where most of the argument is remainder: then
  the result is no wider than the range of f.

A break point b may be an irrational inflection b0, rounded. With |b - b0| <= e and |f'''| <= K between
them, f differs by at most K e**3 from the function that goes on from b0 along its tangent, which has the
curvature that the piece claims, and their derivatives differ by K e**2: ``INFLECTION`` covers both with room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import ELEMENTARY, FLUSHED, TINY, UP, Array, U, sum_error
from symbolic.enclosures.values import Affine

__all__ = ["INFLECTION", "Curve", "Piece", "relax", "relu"]

INFLECTION = 2.0**-140
"""Absolute error next to a rounded inflection: e below 2**-51 and K below 4 make 2**-151."""


NEGLIGIBLE = 2.0**-20
"""What is less of a remainder is not worth a second relaxation."""


@dataclass(frozen=True)
class Piece:
    """One piece of a :class:`Curve` up to its right break point ``end`` (inf for the last).

    ``slope`` and ``intercept`` (broadcastable arrays) describe a linear piece, value = slope v + intercept,
    exactly; ``f`` and ``df`` a curved one. They are evaluated within a relative error ``error`` (of df
    ``slope_error``) of the result plus ``absolute`` (``slope_absolute``, which a sum that cancels needs).
    """

    end: Array | float
    kind: Literal["linear", "convex", "concave"]
    slope: Array | float = 0.0
    intercept: Array | float = 0.0
    f: Callable[[Array], Array] | None = None
    df: Callable[[Array], Array] | None = None
    error: float = 4 * ELEMENTARY
    absolute: float = FLUSHED
    slope_error: float = 2.0**-40
    slope_absolute: float = FLUSHED


@dataclass(frozen=True)
class Curve:
    """A continuous function of one variable, by pieces; undefined below ``start`` and beyond the last end."""

    pieces: tuple[Piece, ...]
    start: float = -np.inf

    @property
    def has_edges(self) -> bool:
        """Whether the function is undefined somewhere."""
        return self.start > -np.inf or bool(np.any(self.pieces[-1].end < np.inf))


def _bounds_on_piece(piece: Piece, slope: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Bounds of f(v) - slope v for v in [a, b], a sub-range of the piece."""
    if piece.f is None or piece.df is None:
        ends = []
        for v in (a, b):
            linear = (piece.slope - slope) * v
            value = linear + piece.intercept
            size = (np.abs(piece.slope) + np.abs(slope)) * np.abs(v) + np.abs(piece.intercept)
            ends.append((value, size * (8 * U) + TINY))
        low = np.minimum(ends[0][0] - ends[0][1], ends[1][0] - ends[1][1])
        high = np.maximum(ends[0][0] + ends[0][1], ends[1][0] + ends[1][1])
        return np.asarray(low), np.asarray(high)
    values = []
    for v in (a, b):
        fv, sv = piece.f(v), slope * v
        err = np.abs(fv) * piece.error + (np.abs(fv) + np.abs(sv)) * (8 * U) + piece.absolute + TINY
        values.append((fv - sv, err))
    (ga, ea), (gb, eb) = values
    # tangent bound: g(v) >= g(v0) + g'(v0)(v - v0) for convex g, at a v0 near the place where g' = 0
    v0, dv = _touching(piece, piece.df, slope, a, b)
    fv, sv = piece.f(v0), slope * v0
    g0 = fv - sv
    e0 = np.abs(fv) * piece.error + (np.abs(fv) + np.abs(sv)) * (8 * U) + piece.absolute + TINY
    tilt = (
        np.abs(dv - slope)
        + np.abs(dv) * piece.slope_error
        + piece.slope_absolute
        + (np.abs(dv) + np.abs(slope)) * (4 * U)
    )
    reach = np.maximum(b - v0, v0 - a)
    drop = np.where(reach == 0, 0.0, tilt * reach) * UP * UP + TINY
    sign = 1.0 if piece.kind == "convex" else -1.0
    outer = np.maximum(sign * ga + ea, sign * gb + eb)
    inner = sign * g0 - e0 - drop
    low, high = (inner, outer) if sign > 0 else (-outer, -inner)
    return low - 4 * U * np.abs(low), high + 4 * U * np.abs(high)


def _touching(
    piece: Piece, df: Callable[[Array], Array], slope: Array, a: Array, b: Array
) -> tuple[Array, Array]:
    """Where the tangent touches, and its slope; not at the edge of a domain, where it may be upright."""
    v0 = _stationary(df, piece.kind == "convex", slope, a, b)
    dv = df(v0)
    if not np.isfinite(dv).all():
        v0 = np.where(np.isfinite(dv), v0, np.where(v0 == a, b, a))
        dv = df(v0)
    return v0, dv


def _stationary(
    derivative: Callable[[Array], Array], rising: bool, slope: Array, a: Array, b: Array
) -> Array:
    """A point of [a, b] near f' = slope, by bisection on the monotone derivative (no rigour needed)."""
    lo, hi = a, b
    for _ in range(30):
        mid = lo + (hi - lo) / 2
        left = (derivative(mid) < slope) == rising  # the stationary point lies to the right of mid
        lo, hi = np.where(left, mid, lo), np.where(left, hi, mid)
    return np.clip(lo + (hi - lo) / 2, a, b)


def _value(curve: Curve, v: Array) -> Array:
    """f(v), approximately: only chord slopes are taken from it."""
    result = np.full(v.shape, np.nan)
    start: Array | float = -np.inf
    for piece in curve.pieces:
        here = (v >= start) & (v <= piece.end)
        value = piece.f(v) if piece.f is not None else piece.slope * v + piece.intercept
        result = np.where(here, value, result)
        start = piece.end
    return result


def _bounds_to_the_edge(a: Affine) -> tuple[Array, Array]:
    """Bounds of a form, the nearest floats outside: what touches the edge of a domain stays in it."""
    h = np.where(a.r == 0, np.abs(a.d), a.half_width())

    def above(c: Array) -> Array:
        total = c + h  # the exact sum is total + rest (Knuth)
        part = total - c
        rest = (c - (total - part)) + (h - part)
        return np.asarray(np.where(rest > 0, np.nextafter(total, np.inf), total))

    return -above(-a.c), above(a.c)


def relax(a: Affine, curve: Curve, least: float = -np.inf, most: float = np.inf) -> Affine:
    """Enclose f(a), where a is known to lie in [least, most] besides, and within its own limits."""
    least, most = max(least, a.least), min(most, a.most)
    tilted, wasted = _relaxed(a, curve, least, most, flat=False)
    if not wasted.any():
        return tilted
    flat, _ = _relaxed(a, curve, least, most, flat=True)
    take = wasted & (flat.r <= tilted.r)
    c, d, r = (
        np.where(take, x, y)
        for x, y in zip((flat.c, flat.d, flat.r), (tilted.c, tilted.d, tilted.r), strict=True)
    )
    return Affine(c, d, r)


def _relaxed(
    a: Affine, curve: Curve, least: float, most: float, flat: bool
) -> tuple[Affine, NDArray[np.bool_]]:
    """The relaxation with one choice of slope, and where slope 0 may leave less remainder than this one."""
    with np.errstate(all="ignore"):
        lo, hi = _bounds_to_the_edge(a) if curve.has_edges else a.bounds()
        if (least, most) != (-np.inf, np.inf):
            finite = np.isfinite(lo) & np.isfinite(hi)  # what may be undefined stays so
            lo = np.where(finite, np.clip(lo, least, most), lo)
            hi = np.where(finite, np.clip(hi, least, most), hi)
        shape = lo.shape
        wide = hi > lo
        chord = (_value(curve, hi) - _value(curve, lo)) / np.where(wide, hi - lo, 1.0)
        slope = np.where((wide & np.isfinite(chord)) if not flat else False, chord, 0.0)
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        exact_slope, exact_offset = np.zeros(shape), np.zeros(shape)
        exact = np.zeros(shape, dtype=bool)
        start: Array | float = curve.start
        for piece in curve.pieces:
            left, right = np.maximum(lo, start), np.minimum(hi, piece.end)
            inside = (lo >= start) & (hi <= piece.end)
            if piece.kind == "linear":
                take = inside & ~exact
                exact_slope = np.where(take, piece.slope, exact_slope)
                exact_offset = np.where(take, piece.intercept, exact_offset)
                exact |= inside
            touched = left <= right
            left, right = np.where(touched, left, lo), np.where(touched, right, lo)
            piece_low, piece_high = _bounds_on_piece(piece, slope, left, right)
            low = np.where(touched, np.minimum(low, piece_low), low)  # NaN stays NaN
            high = np.where(touched, np.maximum(high, piece_high), high)
            start = piece.end
        undefined = ~((lo >= curve.start) & (hi <= start))
        offset = low / 2 + high / 2
        half = np.maximum(high - offset, offset - low) * UP + TINY
        slope = np.where(exact, exact_slope, slope)
        offset = np.where(exact, exact_offset, offset)
        half = np.where(exact, 0.0, half)
        c0, d = slope * a.c, slope * a.d
        c = c0 + offset
        plain = (slope == 0) | (np.abs(slope) == 1)
        rounding = np.where(
            plain, 0.0, sum_error(c0, d) + np.where(a.half_width() + np.abs(a.c) != 0, TINY, 0.0)
        )
        rounding = rounding + np.where(offset == 0, 0.0, sum_error(c))
        r = np.where(slope == 0, 0.0, np.abs(slope) * a.r) + half + rounding
        c = np.where(undefined, np.nan, c)
        wasted = (slope != 0) & ~exact & (half > np.abs(d))
        wasted &= half > np.abs(slope) * a.r * NEGLIGIBLE
        wasted |= (slope != 0) & ~exact & (a.half_width() > hi - lo)  # of the form little is left
        return Affine(c, np.where(slope == 0, 0.0, d), r * UP), wasted


def relu(a: Affine) -> Affine:
    """max(a, 0): the hot path of most networks, the same relaxation as ``relax`` with few passes."""
    h = a.half_width()
    on = a.c >= h
    with np.errstate(all="ignore"):
        c, d, r = a.c * on, a.d * on, a.r * on
        at = np.nonzero(~(on | (-a.c >= h)))
        if at[0].size:
            ca, da, ra, ha = a.c[at], a.d[at], a.r[at], h[at]
            lo, hi = ca - ha, ca + ha
            lo, hi = lo - 2 * U * np.abs(lo), hi + 2 * U * np.abs(hi)
            slope = np.clip(hi / (hi - lo), 0.0, 1.0)
            top = np.maximum((1.0 - slope) * hi, -slope * lo) * UP + TINY
            c[at] = slope * ca + top / 2
            d[at] = slope * da
            pay = (np.abs(ca) + np.abs(da) + top) * (4 * U) + TINY
            r[at] = (slope * ra + top / 2 + pay) * UP
    return Affine(c, d, r)
