"""Piecewise-linear functions of affine forms: everything is a maximum of two.

Where ``v = a - b`` keeps its sign on the cell, max(a, b) is the winner, copied. Elsewhere, for any slope s
in [0, 1], ``max(a, b) = s*a + (1-s)*b + m`` with m in [0, M] and M = max((1-s)*hi, -s*lo) over lo <= v <=
hi: the hinge max(v, 0) - s*v is convex, 0 at v = 0 and greatest at an end. Any s is sound: it is a guess, 30
bits long. Near the chord's hi/(hi - lo) M is least; where the radii of a and b are large, 0 or 1 may leave
a smaller one. Of forms that do not move, the bounds say more than any s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import closer
from verifier.check.numbers.integers import SLOPE, Arithmetic, Array, Form

__all__ = ["absolute", "maximum", "minimum", "relu", "select", "tournament"]


def maximum(ar: Arithmetic, a: Form, b: Form) -> Form:
    """max(a, b), elementwise."""
    a, b = ar.aligned([a, b])
    c, d, r = a.c - b.c, a.d - b.d, a.r + b.r  # each below 2**60 + 1 in the fast carrier
    span = np.abs(d) + r
    same = None
    first = c >= span
    if a.same is not None and b.same is not None:
        first |= (a.same == b.same) & (a.same >= 0)
    mixed = ~first & (-c < span)
    if a.same is not None and b.same is not None:
        same = np.where(mixed, -1, np.where(first, a.same, b.same))
    out = [np.where(first, x, y) for x, y in ((a.c, b.c), (a.d, b.d), (a.r, b.r))]
    where = np.nonzero(mixed)
    if where[0].size:
        ra, rb = (np.broadcast_to(z, mixed.shape)[where] for z in (a.r, b.r))
        s, gap = _slope(c[where], span[where], lambda s: _scaled(ra, s) + _scaled(rb, (1 << SLOPE) - s))
        for k, (x, y) in enumerate(((a.c, b.c), (a.d, b.d), (a.r, b.r))):
            x, y = (np.broadcast_to(z, mixed.shape)[where] for z in (x, y))
            out[k][where] = _scaled(x, s) + _scaled(y, (1 << SLOPE) - s)
        out[0][where] += gap
        out[2][where] += gap + 6  # each of the six products is less than 1 too small
    where = np.nonzero(mixed & (a.d == 0) & (b.d == 0))
    if where[0].size:  # nothing moves: between the larger lower and the larger upper bound
        ends = [np.maximum(a.c + k * a.r, b.c + k * b.r)[where] for k in (-1, 1)]
        out[0][where] = (ends[0] + ends[1]) >> 1
        out[1][where] = 0
        out[2][where] = (ends[1] - ends[0] + 2) >> 1
    return ar.normal(out[0], out[1], out[2], a.e, a.degree, same)


def minimum(ar: Arithmetic, a: Form, b: Form) -> Form:
    """min(a, b) = -max(-a, -b), elementwise."""
    flipped = [replace(ar.negative(x), same=x.same) for x in (a, b)]
    out = maximum(ar, *flipped)
    return replace(ar.negative(out), same=out.same)


def relu(ar: Arithmetic, v: Form) -> Form:
    """max(v, 0)."""
    span = np.abs(v.d) + v.r
    on = v.c >= span
    where = np.nonzero(~on & (-v.c < span))
    out = [x * on for x in (v.c, v.d, v.r)]
    if where[0].size:
        r = v.r[where]
        s, gap = _slope(v.c[where], span[where], lambda s: _scaled(r, s))
        for x, y in zip(out, (v.c, v.d, v.r), strict=True):
            x[where] = _scaled(y[where], s)
        out[0][where] += gap
        out[2][where] += gap + 3
    return ar.normal(out[0], out[1], out[2], v.e, v.degree)


def absolute(ar: Arithmetic, v: Form) -> Form:
    """|v| = 2*max(v, 0) - v, with the radius |2s - 1|*r that the slope of the chord leaves."""
    span = np.abs(v.d) + v.r
    on = v.c >= span
    mixed = ~on & (-v.c < span)
    sign = np.where(on, 1, -1)
    out = [v.c * sign, v.d * sign, v.r.copy()]
    where = np.nonzero(mixed)
    if where[0].size:
        r, one = v.r[where], 1 << SLOPE
        s, gap = _slope(v.c[where], span[where], lambda s: _scaled(r, np.abs(2 * s - one)) >> 1, one >> 1)
        s = 2 * s - one
        for x, y, slope in zip(out, (v.c, v.d, v.r), (s, s, np.abs(s)), strict=True):
            x[where] = _scaled(y[where], slope)
        out[0][where] += 2 * gap
        out[2][where] += 2 * gap + 3
    return ar.normal(out[0], out[1], out[2], v.e, v.degree)


def _slope(c: Array, span: Array, radius: Callable[[Array], Array], *more: int) -> tuple[Array, Array]:
    """A slope s in units of 2**-30, and half the greatest residual M, rounded up: of 0, 1, the chord's and
    `more` the one that leaves the least radius, where `radius(s)` is that of the forms themselves.

    |c| < span < 2**62 in the fast carrier, so hi = c + span < 2**63, and M <= hi - lo < 2**63.
    """
    one = 1 << SLOPE
    lo, hi = c - span, c + span
    if c.dtype == object:
        s = (hi << (SLOPE - 1)) // span
    else:
        s = np.clip((hi / span * (one >> 1)).astype(np.int64), 0, one)
    gap = (np.maximum(_scaled(hi, one - s), _scaled(-lo, s)) + 2) >> 1
    least = radius(s) + gap
    for guess in (0, one, *more):
        other = np.full_like(s, guess)
        rest = (np.maximum(_scaled(hi, one - other), _scaled(-lo, other)) + 2) >> 1
        left = radius(other) + rest
        better = left < least
        s, gap, least = (np.where(better, x, y) for x, y in ((other, s), (rest, gap), (left, least)))
    return s, gap


def _scaled(x: Array, s: Array) -> Array:
    """x * s / 2**30 for |s| <= 2**30, rounded down by less than 1; no intermediate exceeds 2**60 or |x|."""
    return (x >> SLOPE) * s + (((x & ((1 << SLOPE) - 1)) * s) >> SLOPE)


def select(ar: Arithmetic, lo: Array, hi: Array, a: Form, b: Form) -> Form:
    """Where(condition, a, b) for a condition between lo and hi: the hull where it is not known."""
    a, b = ar.aligned([a, b])
    yes, no = lo != 0, hi == 0
    out = [np.where(yes, x, y) for x, y in ((a.c, b.c), (a.d, b.d), (a.r, b.r))]
    shape = np.broadcast_shapes(out[0].shape, yes.shape)
    where = np.nonzero(np.broadcast_to(~yes & ~no, shape))
    if where[0].size:  # b + [0, 1]*(a - b): the middle of both, and half their greatest distance
        (ac, ad, a_r), (bc, bd, br) = (
            [np.broadcast_to(z, shape)[where] for z in (f.c, f.d, f.r)] for f in (a, b)
        )
        out[0][where], out[1][where] = (ac + bc) >> 1, (ad + bd) >> 1
        out[2][where] = ((np.abs(ac - bc) + np.abs(ad - bd)) >> 1) + np.maximum(a_r, br) + 3
    return ar.normal(out[0], out[1], out[2], a.e, a.degree)


def tournament(ar: Arithmetic, v: Form, least: bool = False) -> Form:
    """The maximum (minimum) along the first axis.

    What leads at the centre is copied where it certainly leads on the whole cell. Elsewhere all that may lead
    meet in pairs, and the result is no blurrier than the hull of their bounds.
    """
    if least:
        most = tournament(ar, replace(ar.negative(v), same=v.same))
        return replace(ar.negative(most), same=most.same)
    shape = np.broadcast_shapes(v.c.shape, v.d.shape, v.r.shape)
    same = None if v.same is None else np.broadcast_to(v.same, shape)
    v = v.each(lambda x: np.broadcast_to(x, shape), same=same)
    place = v.c.argmax(axis=0)[None]
    best = _each(v, lambda x: np.take_along_axis(x, place, axis=0))
    behind = best.c - v.c >= np.abs(best.d - v.d) + best.r + v.r
    if v.same is not None and best.same is not None:
        behind |= (v.same == best.same) & (v.same >= 0)
    plays = ~behind
    np.put_along_axis(plays, place, True, axis=0)
    open_ = np.nonzero(plays.sum(axis=0) > 1)
    best = _rows(best, 0)
    if not open_[0].size:
        return best
    columns: Any = (slice(None), *open_)
    most = _knocked_out(ar, _each(v, lambda x: x[columns]), plays[columns])
    first, second = ar.aligned([best, most])
    out = first.each(np.copy, same=None if best.same is None else np.copy(best.same))
    for x, y in zip((out.c, out.d, out.r), (second.c, second.d, second.r), strict=True):
        x[open_] = y
    if out.same is not None:
        out.same[open_] = -1
    return out


def _knocked_out(ar: Arithmetic, v: Form, plays: Array) -> Form:
    """The maximum along the first axis over those that play (one at least), by halves."""
    span = np.abs(v.d) + v.r
    low, high = v.c - span, v.c + span
    lo, hi = (np.where(plays, bound, low.min()).max(axis=0) for bound in (low, high))
    flat = ar.from_bounds(lo, hi, v.e, v.degree)
    while len(plays) > 1:
        half = len(plays) // 2
        a, b, rest = (_rows(v, slice(*ends)) for ends in ((0, half), (half, 2 * half), (2 * half, None)))
        pa, pb, still = plays[:half], plays[half : 2 * half], plays[2 * half :]
        won, a, b = ar.aligned([maximum(ar, a, b), a, b])
        c, d, r = (
            np.where(pa & pb, w, np.where(pa, x, y))
            for w, x, y in ((won.c, a.c, b.c), (won.d, a.d, b.d), (won.r, a.r, b.r))
        )
        v = stack(ar, [Form(c, d, r, won.e, won.degree), rest])
        plays = np.concatenate([pa | pb, still])
    return closer(ar, flat, _rows(v, 0))


def stack(ar: Arithmetic, forms: list[Form]) -> Form:
    """Forms joined along the first axis; all have the same number of cells."""
    forms = ar.aligned(forms)
    same = [np.broadcast_to(f.same, f.c.shape) for f in forms if f.same is not None]
    joined = np.concatenate(same) if len(same) == len(forms) else None
    c, d, r = (np.concatenate([getattr(f, k) for f in forms]) for k in "cdr")
    return Form(c, d, r, forms[0].e, forms[0].degree, joined)


def _rows(v: Form, rows: slice | int) -> Form:
    return _each(v, lambda x: x[rows])


def _each(v: Form, function: Callable[[Array], Array]) -> Form:
    """Elements moved, and their numbers with them."""
    return v.each(function, same=None if v.same is None else function(v.same))
