"""Smooth functions of many elements at once, in 64-bit integers: chord and tangent as in `smooth`.

All numbers are integers in units of 2**-UNIT (see `smooth_tables`). With v = c + d*t +- r in [a, b],

    f(v) = s*d*t + u +- |s|*r    for u between the bounds of f(v) - s*(v - c) over [a, b],

whatever s is. On a stretch of one curvature, one bound is at an end and the other one at an end of a tangent.
Elements that are not covered (too wide, too large, across an inflection) are left to the balls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
from flint import arb, ctx

from verifier.check.numbers.integers import Arithmetic, Array, Form, magnitude
from verifier.check.numbers.narrow import bit_lengths
from verifier.check.numbers.smooth_branches import Function, Series, whole
from verifier.check.numbers.smooth_tables import LARGEST, UNIT, Table, product, table, times

__all__ = ["FARTHEST", "FEW", "MOSTLY", "Found", "completed", "covered", "in_units"]

FEW = 32  # elements, which balls do faster
MOSTLY = 4  # where so much more of v is remainder than slope, the slope 0 loses less
FARTHEST = 15 << UNIT  # of the values of v
WIDEST = 1 << UNIT + 1  # range of v; |d| + r is at most that, too
SHORT = 1 << UNIT - 20  # a range for which the tangent's slope is as good as the chord's
TINY = -10  # where |v| < 2**TINY for all of v, it deserves a finer unit
SMALL = 1 << UNIT - 10  # results that are all smaller deserve a finer unit

Bounds = tuple[Array, Array]
Found = tuple[Array, Form]  # places, and forms in one row


def covered(
    ar: Arithmetic, rule: Function, v: Form, least: Fraction | None, most: Fraction | None
) -> list[Found]:
    """Places among the elements of `v`, which are in one row, and enclosures of the function there.

    The elements of a power of v are scaled to [1, 4), all that are alike together.
    """
    if rule.series is None or not ar.fast:
        return []
    scales = _scales(ar, v, rule.power)
    parts = []
    for scale in np.unique(scales).tolist():
        places = np.flatnonzero(scales == scale)
        part = replace(v.each(lambda x, at=places: x[at]), e=v.e - scale)
        limits = (None if x is None else x / Fraction(2) ** scale for x in (least, most))
        found = _covered(ar, rule, rule.series, part, *limits)
        if found is not None:
            form = replace(found[1], e=found[1].e + int(scale * (rule.power or 0)))
            parts.append((places[found[0]], form))
    return parts


def _scales(ar: Arithmetic, v: Form, power: Fraction | None) -> Array:
    """Per element an m, with a whole m*power, such that |v| * 2**-m is about 1; without a power 0."""
    if power is None:
        return np.zeros(v.c.shape, dtype=np.int64)
    lo, hi = ar.bounds(v)
    size = bit_lengths(np.maximum(np.abs(lo), np.abs(hi))) + v.e - 1
    return np.asarray(size // power.denominator * power.denominator)


def _covered(
    ar: Arithmetic,
    rule: Function,
    series: Series,
    v: Form,
    least: Fraction | None = None,
    most: Fraction | None = None,
) -> Found | None:
    if v.size.bit_length() + v.e < TINY:
        return None
    fits, v = in_units(ar, v)
    a, b = _ends(v, least, most)
    bend = _bends(rule, a, b)
    good = fits & (bend != 0) & (b - a <= WIDEST) & (np.abs(v.d) + v.r <= WIDEST)
    cells = np.stack([np.arange(a.size), a, b, v.c, v.d, v.r, bend])[:, good]
    found = _enclosed(table(series), cells)
    if not found.size or magnitude(found[1:]) < SMALL:
        return None
    places, c, d, r = found
    return places, ar.normal(c, d, r, -UNIT)


def in_units(ar: Arithmetic, v: Form) -> tuple[Array, Form]:
    """Where |v| <= FARTHEST, and `v` in units; 0 where it is larger."""
    lo, hi = ar.bounds(v)
    limit = min(FARTHEST >> UNIT + v.e if v.e > -UNIT else FARTHEST << -UNIT - v.e, 1 << 62)
    fits = (lo >= -limit) & (hi <= limit)
    return fits, ar.at(v.each(lambda x: np.where(fits, x, 0)), -UNIT)


def completed(ar: Arithmetic, size: int, parts: list[Found], others: Callable[[Array], Form]) -> Form:
    """One row of forms: the parts found, and `others` at the places that are left."""
    left = np.ones(size, dtype=bool)
    for places, _ in parts:
        left[places] = False
    places = np.flatnonzero(left)
    if places.size or not parts:
        parts = [*parts, (places, others(places))]
    forms = ar.aligned([form for _, form in parts])
    c, d, r = (np.zeros(size, dtype=ar.dtype) for _ in range(3))
    for (places, _), form in zip(parts, forms, strict=True):
        c[places], d[places], r[places] = form.c, form.d, form.r
    return Form(c, d, r, forms[0].e)


def _ends(v: Form, least: Fraction | None, most: Fraction | None) -> Bounds:
    """A range that holds v."""
    span = np.abs(v.d) + v.r
    a, b = v.c - span, v.c + span
    if least is not None:
        a = np.maximum(a, _near(math.floor(least * 2**UNIT)))
    if most is not None:
        b = np.minimum(b, _near(math.ceil(most * 2**UNIT)))
    return a, b


def _near(x: int) -> int:
    return min(max(x, -FARTHEST), FARTHEST)


def _bends(rule: Function, a: Array, b: Array) -> Array:
    """1 (-1) where f is convex (concave) on [a, b], 0 where that is not known."""
    with ctx.workprec(2 * UNIT):
        cuts = [cut() * arb((1, UNIT)) for cut in rule.cuts]
        if not all(cut.is_finite() for cut in cuts):
            return np.zeros_like(a)
        lefts = [-FARTHEST - 1, *(-whole(-cut) for cut in cuts)]
        rights = [*map(whole, cuts), FARTHEST + 1]
    bend = np.zeros_like(a)
    for branch, left, right in zip(rule.branches, lefts, rights, strict=True):
        bend[(a >= left) & (b <= right)] = branch.bend
    return bend


def _enclosed(known: Table, cells: Array) -> Array:
    """Places, and the c, d and r of enclosures."""
    for row in (1, 2):
        cells = cells[:, known.covers(cells[row])]
    cells = cells[:, known.covers(_middle(cells))]
    slope, p = _slopes(known, cells), _middle(cells)
    p = _touching(known, cells, slope, p)
    good = known.covers(p)
    cells, slope, p = cells[:, good], slope[good], p[good]
    places, a, b, c, d, r, bend = cells
    ends, tangents = _at_ends(known, a, b, c, slope), _of_tangents(known, a, b, c, slope, p)
    low = np.where(bend > 0, tangents[0], ends[0])
    high = np.where(bend > 0, ends[1], tangents[1])
    middle = low + high >> 1
    spread = high - middle + product(np.abs(slope), r) + 2 * _lost(slope)  # in two products
    return np.stack([places, middle, product(slope, d), spread])


def _lost(slope: Array) -> Array:
    """What a product with the slope has lost, at most: nothing, if that is 0."""
    return np.asarray(2 * (slope != 0))


def _middle(cells: Array) -> Array:
    return np.asarray(cells[1] + (cells[2] - cells[1] >> 1))


def _slopes(known: Table, cells: Array) -> Array:
    """Slopes to be used. Any is sound: that of the chord is good, and need not be exact."""
    _, a, b, _, d, r, _ = cells
    chord = (known.value(b)[0] - known.value(a)[0]) / np.maximum(b - a, 1).astype(np.float64)
    chord = np.rint(np.clip(chord, -16, 16) * 2.0**UNIT).astype(np.int64)
    slope = np.where(b - a < SHORT, known.slope(_middle(cells))[0], chord)
    return np.asarray(np.clip(np.where(np.abs(d) * MOSTLY > r, slope, 0), -LARGEST, LARGEST))


def _touching(known: Table, cells: Array, slope: Array, p: Array) -> Array:
    """Points near the places where f' is the slope, by a step of Newton's; any point of [a, b] is sound."""
    _, a, b = cells[:3]
    bend = known.bend(p).astype(np.float64)
    steep = (slope - known.slope(p)[0]).astype(np.float64)
    step = np.where(bend == 0, 0.0, steep / np.where(bend == 0, 1.0, bend))
    return np.asarray(np.clip(p + (np.clip(step, -2, 2) * 2.0**UNIT).astype(np.int64), a, b))


def _at_ends(known: Table, a: Array, b: Array, c: Array, slope: Array) -> Bounds:
    """Bounds of f(v) - slope*(v - c) at v = a and v = b."""
    lows, highs = [], []
    for v in (a, b):
        value, error = known.value(v)
        value = value - product(slope, v - c)
        lows.append(value - error - _lost(slope))
        highs.append(value + error)
    return np.minimum(*lows), np.maximum(*highs)


def _of_tangents(known: Table, a: Array, b: Array, c: Array, slope: Array, p: Array) -> Bounds:
    """Bounds of f(p) + f'(p)*(v - p) - slope*(v - c) at v = a and v = b."""
    value, error = known.value(p)
    tilt, doubt = known.slope(p)
    lows, highs = [], []
    for v in (a, b):
        off = error + times(doubt, v - p)
        line = value + product(tilt, v - p) - product(slope, v - c)
        lows.append(line - off - _lost(slope))
        highs.append(line + off + 2)
    return np.minimum(*lows), np.maximum(*highs)
