"""log sum exp of many vectors at once, in 64-bit integers: chord and tangent as in `vectors`.

Numbers are integers in units of 2**-UNIT (see `smooth_tables`); a sum of exponentials, taken relative to the
greatest one, in coarser ones if there are many. It is w * 2**j with 1 <= w < 2.
"""

from __future__ import annotations

import functools

import numpy as np
from flint import arb, arb_series, ctx

from verifier.check.numbers.integers import Arithmetic, Array, Form
from verifier.check.numbers.narrow import bit_lengths
from verifier.check.numbers.smooth_branches import whole
from verifier.check.numbers.smooth_fixed import FARTHEST, Found, in_units
from verifier.check.numbers.smooth_tables import NODE, UNIT, product, table, times

__all__ = ["covered_sums"]

MOST = 1 << 10  # elements of a vector
WIDEST = 1 << UNIT + 3  # sum of |d| + r over a vector
ROOM = 6  # bits of a sum before the point
LARGEST_ERROR = 1 << 10  # of the tables
BEYOND = 1 << 60
LEAST = (1 << UNIT) // NODE  # the node of the least w

with ctx.workprec(2 * UNIT):
    LOG2 = whole(arb(2).log() * arb((1, UNIT)))  # log(2) is less than 1 more

_EXP, _LOG, _INVERSE = table(arb_series.exp), table(arb_series.log), table(arb_series.inv)


def covered_sums(ar: Arithmetic, v: Form, there: Array) -> list[Found]:
    """Places among the vectors, which stand along the first of two axes, and enclosures there.

    `there` are the elements that count.
    """
    if not ar.fast or not 0 < len(v.c) <= MOST or not _all_known():
        return []
    fits, v = in_units(ar, v.each(lambda x: np.where(there, x, 0)))
    span = np.abs(v.d) + v.r
    reach = np.where(there, v.c + span, -BEYOND).max(axis=0) - np.where(there, v.c - span, BEYOND).min(axis=0)
    narrow = ((span >> 12) + 1).sum(axis=0) <= WIDEST >> 12
    places = np.flatnonzero(fits.all(axis=0) & there.any(axis=0) & (reach <= FARTHEST) & narrow)
    c, d, r, there = (x[:, places] for x in (v.c, v.d, v.r, there))
    left, right = (_Sum(c + side * d + r, there).logarithm(1) for side in (-1, 1))
    slope, odd = right - left >> 1, right - left & 1
    top = left + right + odd >> 1  # of the chord less slope*t
    low = _tangent(_Sum(c, there), d, r, slope)
    middle = top + low >> 1
    return [(places, ar.normal(middle, slope, top - middle, -UNIT))]


@functools.cache
def _all_known() -> bool:
    """Whether the tables have all that is asked for below."""
    ranges = ((_EXP, -FARTHEST // NODE, 0), (_LOG, LEAST, 2 * LEAST), (_INVERSE, LEAST, 2 * LEAST))
    places = [(known, np.arange(low, high + 1) * NODE) for known, low, high in ranges]
    return all(known.covers(x).all() and known.value(x)[1].max() <= LARGEST_ERROR for known, x in places)


class _Sum:
    """The sum of exp(x - top) over the elements that are there: (w +- doubt) * 2**j with 1 <= w < 2."""

    def __init__(self, x: Array, there: Array) -> None:
        self.top = np.where(there, x, -BEYOND).max(axis=0)
        powers, errors = _EXP.value(np.where(there, x - self.top, 0))
        self.powers, self.errors = powers * there, errors * there
        coarser = max(0, len(x).bit_length() - ROOM)
        total = (self.powers >> coarser).sum(axis=0)  # less than 2**(UNIT + ROOM) + 2**ROOM
        doubt = ((self.errors >> coarser) + 2).sum(axis=0)
        shift = bit_lengths(total) - UNIT - 1
        self.w, self.doubt = _shifted(total, shift), _shifted(doubt, shift) + 2
        self.j = shift + coarser  # at least -1, as one of the powers is 1

    def logarithm(self, side: int) -> Array:
        """A lower (upper, if side is 1) bound of log(sum of exp(x))."""
        value, error = _LOG.value(self.w + side * self.doubt)
        twos = self.j * LOG2 + side * np.maximum(side * self.j, 0)
        return np.asarray(self.top + value + side * error + twos)


def _tangent(at: _Sum, d: Array, r: Array, slope: Array) -> Array:
    """A lower bound of log(sum of exp(c + d*t +- r)) - slope*t, by the tangent at c."""
    inverse, error = _INVERSE.value(at.w)
    error = error + 2 * at.doubt  # |1/v - 1/w| <= 2*|v - w| for v > 1/2
    lean = product(at.powers, d).sum(axis=0)
    off = (times(at.errors, d) + 2).sum(axis=0)
    drop = (product(at.powers, r) + times(at.errors, r) + 2).sum(axis=0)
    tilt = _shifted(product(lean, inverse), at.j)
    off = _shifted(2 + 2 * off + times(error, lean), at.j) + 2
    drop = _shifted(product(drop, inverse + error) + 2, at.j) + 1
    return np.asarray(at.logarithm(-1) - drop - np.abs(tilt - slope) - off)


def _shifted(x: Array, k: Array) -> Array:
    """x / 2**k, rounded down."""
    return np.asarray(x >> np.maximum(k, 0) << np.maximum(-k, 0))
