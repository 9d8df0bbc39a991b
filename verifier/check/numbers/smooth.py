"""Smooth functions of affine forms: many in 64-bit integers (`smooth_fixed`), the others in ball arithmetic.

For any slope s, ``f(v) = s*v + u`` with u between the least and the greatest value of f(v) - s*v over the
range [lo, hi] of v. The range is cut where the curvature of f changes sign. On a piece where f is convex
(concave), the greatest (least) value is at an end, and the tangent at any point of the piece bounds the
other side. A cut that is irrational is a ball, which is evaluated as such.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
from flint import arb, ctx

from verifier.check.errors import NotHomogeneous, Undecided
from verifier.check.numbers.integers import Arithmetic, Array, Form, objects
from verifier.check.numbers.smooth_branches import Branch, Function
from verifier.check.numbers.smooth_fixed import FEW, MOSTLY, completed, covered
from verifier.check.numbers.smooth_functions import FUNCTIONS

__all__ = ["FUNCTIONS", "smooth"]

DEFAULT_BITS = 256  # in exact mode
STEPS = 8  # bisections towards the place where a tangent touches best
LARGEST = 1 << 15  # of the exponent of a value; numbers below 2**-LARGEST count as 0 or as one unit


def smooth(
    ar: Arithmetic,
    function: str | Function,
    v: Form,
    least: Fraction | None = None,
    most: Fraction | None = None,
) -> Form:
    """A function of `v`, given by its name in the standard or as such; `v` is at least `least` and at most
    `most`, and within its limits, whatever its form says.
    """
    least = max((x for x in (least, v.limits[0]) if x is not None), default=None)
    most = min((x for x in (most, v.limits[1]) if x is not None), default=None)
    rule = FUNCTIONS[function] if isinstance(function, str) else function
    if v.degree:
        raise NotHomogeneous(str(function))
    shape = np.broadcast_shapes(v.c.shape, v.d.shape, v.r.shape)
    row = v.each(lambda x: np.broadcast_to(x, shape).reshape(-1))

    def by_balls(places: Array) -> Form:
        return _by_balls(ar, rule, row.each(lambda x: x[places]), least, most, places % shape[-1])

    parts = covered(ar, rule, row, least, most) if row.c.size >= FEW else []
    return completed(ar, row.c.size, parts, by_balls).each(lambda x: x.reshape(shape))


def _by_balls(
    ar: Arithmetic, rule: Function, v: Form, least: Fraction | None, most: Fraction | None, cells: Array
) -> Form:
    """The function of elements in one row; `cells` are theirs."""
    lo, hi = ar.bounds(v)
    if least is not None:
        lo = np.maximum(lo, math.floor(least / Fraction(2) ** v.e))
    if most is not None:
        hi = np.minimum(hi, math.ceil(most / Fraction(2) ** v.e))
    moving = np.abs(v.d) * MOSTLY > v.r
    ends = list(zip(map(int, lo), map(int, hi), moving, strict=True))
    bits = ar.bits or DEFAULT_BITS
    with ctx.workprec(bits + 40):
        ranges = {end: (_ball(end[0], v.e), _ball(end[1], v.e)) for end in set(ends)}
        chords = [
            None if not rule.defined(a, b) else _chord(rule, a, b) if end[2] else arb(0)
            for end, (a, b) in ranges.items()
        ]
        slopes, e = _integers([arb(0) if s is None else s for s in chords], bits // 2)
        found = [
            None if chord is None else _range(rule, *ranges[end], _ball(s, e))
            for end, chord, s in zip(ranges, chords, slopes, strict=True)
        ]
        bad = {end for end, values in zip(ranges, found, strict=True) if not _is_usable(values)}
        if bad:
            raise Undecided(sorted({int(k) for k, end in zip(cells, ends, strict=True) if end in bad}))
        known = [values for values in found if values is not None]
        lows, e_low = _integers([low.lower() for low, _ in known], bits)
        highs, e_high = _integers([high.upper() for _, high in known], bits, up=True)
    order = {end: k for k, end in enumerate(ranges)}
    at = np.array([order[end] for end in ends], dtype=np.int64)
    unit = min(e_low, e_high)
    low, high = (
        objects([x << (e_low - unit) for x in lows])[at],
        objects([x << (e_high - unit) for x in highs])[at],
    )
    offset = ar.form(low + high, unit - 1, r=high - low)
    if not any(slopes):
        return offset
    return ar.add(ar.multiply(ar.form(objects(slopes)[at], e), v), offset)


def _is_usable(values: tuple[arb, arb] | None) -> bool:
    """Whether both bounds are finite and not too large to be written down."""
    if values is None or not all(v.is_finite() for v in values):
        return False
    return all(v.abs_upper() < arb((1, LARGEST)) for v in values)


def _chord(rule: Function, a: arb, b: arb) -> arb:
    """The slope to be used: any is sound, that of the chord is good."""
    if a == b or rule.limits(a, b) is not None:
        return arb(0)
    _, branches = rule.on(a, b)
    slope = ((branches[-1].f(b) - branches[0].f(a)) / (b - a)).mid()
    return slope if slope.is_finite() and abs(slope) < arb((1, LARGEST)) else arb(0)


def _range(rule: Function, a: arb, b: arb, s: arb) -> tuple[arb, arb]:
    """Bounds of f(v) - s*v over a <= v <= b (exact balls)."""
    limits = rule.limits(a, b)
    if limits is not None:  # then s is 0
        return limits
    cuts, branches = rule.on(a, b)
    if a == b:
        value = branches[0].f(a) - s * a
        return value, value
    lows: list[arb] = []
    highs: list[arb] = []
    x = a
    for k, branch in enumerate(branches):
        last = k == len(cuts)
        low, high = (b, b) if last else (cuts[k].lower(), cuts[k].upper())
        y = low if low < b else b
        if x < y:
            _add_piece(branch, x, y, s, lows, highs)
        if low < high:
            cut = low.union(high)
            lows.append(branch.f(cut) - s * cut)
            highs.append(lows[-1])
        x = high if high > a else a
    return functools.reduce(arb.min, lows), functools.reduce(arb.max, highs)


def _add_piece(branch: Branch, x: arb, y: arb, s: arb, lows: list[arb], highs: list[arb]) -> None:
    """Add bounds of f(v) - s*v over x <= v <= y, on one branch."""
    ends = [branch.f(v) - s * v for v in (x, y)]
    p = _touching(branch, x, y, s)
    value, slope = branch.f(p), branch.slope(p)
    tangent = [value + slope * (v - p) - s * v for v in (x, y)]
    lows.extend(tangent if branch.bend > 0 else ends)
    highs.extend(ends if branch.bend > 0 else tangent)


def _touching(branch: Branch, x: arb, y: arb, s: arb) -> arb:
    """A point of [x, y] near the place where the slope is s, with a finite slope."""
    if branch.touch is None:
        return _halved(branch, x, y, s)
    p = branch.touch(s).mid()
    p = ((x + y) / 2).mid() if not p.is_finite() else x if p < x else y if p > y else p
    return p if branch.slope(p).is_finite() else ((x + y) / 2).mid()


def _halved(branch: Branch, x: arb, y: arb, s: arb) -> arb:
    low, high = x, y
    for _ in range(STEPS):
        middle = ((low + high) / 2).mid()
        if (branch.slope(middle) < s) == (branch.bend > 0):
            low = middle
        else:
            high = middle
    p = ((low + high) / 2).mid()
    return p if x < p < y else x


def _ball(x: int, e: int) -> arb:
    return arb((x, e))  # exact


def _integers(values: list[arb], bits: int, up: bool = False) -> tuple[list[int], int]:
    """Exact balls as integers times 2**e, `bits` bits for the largest, rounded down (up)."""
    parts = [tuple(map(int, v.man_exp())) for v in values]
    e = max((m.bit_length() + k for m, k in parts if m), default=0) - bits
    e = max(e, -LARGEST)
    sign = -1 if up else 1
    return [sign * (sign * m << (k - e) if k >= e else sign * m >> (e - k)) for m, k in parts], e
