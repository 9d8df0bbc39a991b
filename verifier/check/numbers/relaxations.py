"""Piecewise-linear functions of affine forms: everything is a maximum of two.

Where ``v = a - b`` keeps its sign on the cell, max(a, b) is the winner, copied. Elsewhere, for any slope s
in [0, 1], ``max(a, b) = s*a + (1-s)*b + m`` with m in [0, M] and M = max((1-s)*hi, -s*lo) over lo <= v <=
hi: the hinge max(v, 0) - s*v is convex, 0 at v = 0 and greatest at an end. Any s is sound: it is a guess,
near the chord's hi/(hi - lo), which is the best one, and 30 bits long.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
        s, gap = _chord(c[where], span[where])
        for k, (x, y) in enumerate(((a.c, b.c), (a.d, b.d), (a.r, b.r))):
            x, y = (np.broadcast_to(z, mixed.shape)[where] for z in (x, y))
            out[k][where] = _scaled(x, s) + _scaled(y, (1 << SLOPE) - s)
        out[0][where] += gap
        out[2][where] += gap + 6  # each of the six products is less than 1 too small
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
        s, gap = _chord(v.c[where], span[where])
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
        s, gap = _chord(v.c[where], span[where])
        s = 2 * s - (1 << SLOPE)
        for x, y, slope in zip(out, (v.c, v.d, v.r), (s, s, np.abs(s)), strict=True):
            x[where] = _scaled(y[where], slope)
        out[0][where] += 2 * gap
        out[2][where] += 2 * gap + 3
    return ar.normal(out[0], out[1], out[2], v.e, v.degree)


def _chord(c: Array, span: Array) -> tuple[Array, Array]:
    """A slope s near the chord's in units of 2**-30, and half the greatest residual M, rounded up.

    |c| < span < 2**62 in the fast carrier, so hi = c + span < 2**63, and M <= hi - lo < 2**63.
    """
    one = 1 << SLOPE
    lo, hi = c - span, c + span
    if c.dtype == object:
        s = (hi << (SLOPE - 1)) // span
    else:
        s = np.clip((hi / span * (one >> 1)).astype(np.int64), 0, one)
    return s, (np.maximum(_scaled(hi, one - s), _scaled(-lo, s)) + 2) >> 1


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
    """The maximum (minimum) along the first axis, by halves."""
    best = minimum if least else maximum
    while v.shape[0] > 1:
        half = v.shape[0] // 2
        parts = [_rows(v, slice(k * half, (k + 1) * half)) for k in (0, 1)]
        won, rest = best(ar, *parts), _rows(v, slice(2 * half, None))
        v = won if not rest.shape[0] else stack(ar, [won, rest])
    return _rows(v, 0)


def stack(ar: Arithmetic, forms: list[Form]) -> Form:
    """Forms joined along the first axis; all have the same number of cells."""
    forms = ar.aligned(forms)
    same = [np.broadcast_to(f.same, f.c.shape) for f in forms if f.same is not None]
    joined = np.concatenate(same) if len(same) == len(forms) else None
    c, d, r = (np.concatenate([getattr(f, k) for f in forms]) for k in "cdr")
    return Form(c, d, r, forms[0].e, forms[0].degree, joined)


def _rows(v: Form, rows: slice | int) -> Form:
    return v.each(lambda x: x[rows], same=None if v.same is None else v.same[rows])
