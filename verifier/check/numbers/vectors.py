"""Convex functions of whole vectors: norms in integers, log sum exp in balls or in 64-bit integers.

Along the cell such a function F is convex in t: F(c + d*t) is at most the chord through its values at t = -1
and 1, and at least any tangent. A norm moves by at most the norm of the radius; the arguments of log sum exp
are moved by theirs.

Vectors stand along the first axis.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flint import arb, ctx, fmpz

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.integers import Arithmetic, Array, Form, objects
from verifier.check.numbers.smooth_fixed import FEW, completed
from verifier.check.numbers.smooth_sums import covered_sums

__all__ = ["log_sum_exp", "norm"]

DEFAULT_BITS = 256  # in exact mode
NARROWEST = -(1 << 15)  # exponent of a unit; what is smaller is rounded to it


def norm(ar: Arithmetic, v: Form, p: int = 2) -> Form:
    """(sum of |v|**p) ** (1/p)."""
    v = ar.filled(v)
    c, d, r = (x.astype(object) for x in (v.c, v.d, v.r))
    left, right = (_root(_powers(x, p), p) for x in (c - d, c + d))
    # Hoelder: |v| >= u*v / |u|_q for any u; for u = sign(c)*|c|**(p-1) the q-norm is |c|**(p-1)
    total = _powers(c, p)
    scale = np.maximum(_root(total, p) ** (p - 1), 1)
    leaning = (np.sign(c) * np.abs(c) ** (p - 1) * d).sum(axis=0)
    tilt, lost = leaning // scale, (leaning % scale != 0).astype(object)
    slope, odd = (right - left) >> 1, (right - left) & 1
    top = ((left + right + 1) >> 1) + odd
    low = np.maximum(total // scale - lost - np.abs(tilt - slope), -np.abs(slope))
    middle = (top + low) >> 1
    return ar.form(middle, v.e, slope, top - middle + _root(_powers(r, p), p), v.degree)


def _powers(x: Array, p: int) -> Array:
    """The sum of |x|**p."""
    return np.asarray((np.abs(x) ** p).sum(axis=0), dtype=object)


def _root(x: Array, p: int) -> Array:
    """The p-th root, rounded up."""
    return np.asarray(np.frompyfunc(lambda v: _root_above(v, p), 1, 1)(x), dtype=object)


def _root_above(v: int, p: int) -> int:
    root = math.isqrt(v) if p == 2 else int(fmpz(v).root(p))
    while root**p < v:
        root += 1
    return root


def log_sum_exp(ar: Arithmetic, v: Form, gone: Array | None = None) -> Form:
    """log of the sum of exp(v) over what is not `gone`; at least one element of each vector is not."""
    if v.degree:
        raise NotHomogeneous("log sum exp")
    shape = v.c.shape[1:]
    present: Array = np.ones(v.c.shape, dtype=bool)
    if gone is not None:
        present = present & ~gone
    row, there = v.each(lambda x: x.reshape(len(x), -1)), present.reshape(len(present), -1)

    def by_balls(places: Array) -> Form:
        return _by_balls(ar, row.each(lambda x: x[:, places]), there[:, places])

    parts = covered_sums(ar, row, there) if there.size >= FEW else []
    return completed(ar, there.shape[1], parts, by_balls).each(lambda x: x.reshape(shape))


def _by_balls(ar: Arithmetic, v: Form, there: Array) -> Form:
    bits = ar.bits or DEFAULT_BITS
    with ctx.workprec(bits + 40):
        found = [
            _bounds([list(map(int, a[here])) for a in (c, d, r)], v.e)
            for c, d, r, here in zip(v.c.T, v.d.T, v.r.T, there.T, strict=True)
        ]
        size = max((abs(x).upper().man_exp() for bound in found for x in bound), default=(0, 0), key=_length)
        unit = max(_length(size) - bits, NARROWEST)
        slopes = [_whole(slope, unit, False) for slope, _, _ in found]
        tops = [_whole(top, unit, True) for _, top, _ in found]
        lows = [_whole(low, unit, False) for _, _, low in found]
    d, top, low = (objects(a) for a in (slopes, tops, lows))
    # the slope was rounded down by less than a unit
    middle = (top + low) >> 1
    return ar.form(middle, unit, d, top - middle + 1)


def _length(number: tuple[Any, Any]) -> int:
    mantissa, exponent = number
    return int(mantissa).bit_length() + int(exponent) if mantissa else NARROWEST


def _whole(x: arb, unit: int, up: bool) -> int:
    """A ball's upper (lower) end in units of 2**unit, rounded up (down)."""
    mantissa, exponent = map(int, (x.upper() if up else x.lower()).man_exp())
    sign = -1 if up else 1
    shift = exponent - unit
    return sign * (sign * mantissa << shift if shift >= 0 else sign * mantissa >> -shift)


def _bounds(rows: list[list[int]], e: int) -> tuple[arb, arb, arb]:
    """A slope, and bounds of log sum exp(c + d*t +- r) less slope*t over the cell."""
    (c, d, r), ends = rows, []
    for sign in (-1, 1):
        value, _, _ = _log_sum([x + sign * y + z for x, y, z in zip(c, d, r, strict=True)], e)
        ends.append(value)
    value, powers, total = _log_sum(c, e)
    tilt, drop = (
        sum((p * arb((x, e)) for p, x in zip(powers, a, strict=True) if x), arb(0)) / total for a in (d, r)
    )
    slope = ((ends[1] - ends[0]) / 2).mid()
    top = (ends[0] + ends[1]) / 2 + abs((ends[1] - ends[0]) / 2 - slope)
    return slope, top, value - drop - abs(tilt - slope)


def _log_sum(x: list[int], e: int) -> tuple[arb, list[arb], arb]:
    """log sum exp, and exp of every element and their sum, both over exp of the greatest."""
    top = max(x)
    powers = [arb((v - top, e)).exp() for v in x]
    total = sum(powers, arb(0))
    return total.log() + arb((top, e)), powers, total
