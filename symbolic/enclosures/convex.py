"""Enclosing convex functions of a whole vector: norms, and the logarithm of a sum of exponentials.

Along c + d tau such a function F is convex in tau: it lies below the chord through its values at both ends,
and above its tangent at the middle. Both are evaluated in float64 with bounds of their errors. How far the
remainder r moves F is bounded by F itself: a norm by the norm of r, log sum exp by moving its arguments.

The reduced axes ("places") count the batch axis; they are kept with length 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.forms import without_weight
from symbolic.enclosures.rounding import ELEMENTARY, FLUSHED, TINY, UP, Array, U, gamma
from symbolic.enclosures.values import Affine

__all__ = ["Places", "log_sum_exp", "norm", "tangent_of_log_sum_exp"]

Places = tuple[int, ...]
UNDERFLOW = 2.0**-1020
"""More than the underflow of a sum of 2**50 products."""
WEIGHTS = 2.0**-42
"""Twice the relative error of the weights of exponentials."""


def _between(left: Array, right: Array, base: Array, tilt: Array, least: float) -> Affine:
    """A function below the chord from ``left`` to ``right`` (its values at -1 and 1), above base + tilt tau
    and above ``least``."""
    d, top = right / 2 - left / 2, right / 2 + left / 2
    low = np.maximum(base - np.abs(tilt - d), least - np.abs(d))  # of the function less d tau
    c = top / 2 + low / 2
    sizes = np.abs(left) + np.abs(right) + np.abs(base) + np.abs(tilt)
    pay = np.where(sizes == 0, 0.0, sizes * (8 * U) + TINY)
    return Affine(c, d, ((top - low) / 2 + pay) * UP)


def _terms(v: Array, places: Places) -> int:
    return int(np.prod([v.shape[a] for a in places], dtype=np.int64))


def _total(v: Array, places: Places) -> Array:
    return np.asarray(v.sum(axis=places, keepdims=True))


def _greatest(v: Array, places: Places) -> Array:
    return np.asarray(v.max(axis=places, keepdims=True))


def _norm_above(v: Array, p: float, places: Places) -> Array:
    """An upper bound of the p-norm."""
    top = _greatest(np.abs(v), places)
    scaled = np.abs(v) / np.where(top > 0, top, 1.0)
    error = gamma(_terms(v, places) + 16)
    if p == 2:
        root = np.sqrt(_total(scaled * scaled, places))
    else:
        root = np.power(_total(np.power(scaled, p), places), 1 / p)
        error += 4 * p * U + 4 * ELEMENTARY
    return np.where(top == 0, 0.0, (top * root + TINY) * ((1 + error) * UP))


def norm(x: Affine, p: int, places: Places) -> Affine:
    """(sum |x|**p) ** (1/p) for p >= 2."""
    left, right = (_norm_above(v, p, places) * UP for v in (x.c - x.d, x.c + x.d))
    # Hoelder: the norm of v is at least u v / |u|_q for any u; with u = sign(c)|c|**(p-1) it touches at c
    top = _greatest(np.abs(x.c), places)
    scaled = x.c / np.where(top > 0, top, 1.0)
    u = scaled if p == 2 else np.sign(scaled) * np.power(np.abs(scaled), p - 1)
    dual = 2.0 if p == 2 else float(np.nextafter(p / (p - 1), 1.0))  # a smaller exponent, a greater norm
    size = np.where(top == 0, 1.0, _norm_above(u, dual, places))
    base, tilt = (_total(u * v, places) / size for v in (x.c, x.d))
    spent = _total(np.abs(u) * (np.abs(x.c) + np.abs(x.d)), places) / size
    base = base - (spent * gamma(_terms(u, places) + 16) + UNDERFLOW * (top > 0)) * UP
    form = _between(left, right, base, tilt, 0.0)
    return Affine(form.c, form.d, (form.r + _norm_above(x.r, p, places)) * UP)


def log_sum_exp(x: Affine, places: Places) -> Affine:
    """log sum exp(x); an exact -inf has no weight."""
    gone = without_weight(x)
    side = np.abs(x.d) + x.r
    reach = (np.abs(x.c) + side) * (4 * U)
    ends = []
    for s in (-1.0, 1.0):
        value, error, _ = _log_sum(x.c + s * x.d + x.r + reach, gone, places)
        ends.append((value + error) + (np.abs(value) + error) * (2 * U))
    value, error, weights = _log_sum(x.c, gone, places)
    # relative, of the weights (see `_log_sum`) and of sums
    slack = WEIGHTS + 2 * gamma(_terms(side, places) + 16)
    tilt = _total(weights * x.d, places)
    drop = _total(weights * x.r, places)
    lost = _total((slack * weights + 8 * FLUSHED) * side, places) + UNDERFLOW
    base = value - (error + drop + lost + np.abs(value) * (2 * U)) * UP
    form = _between(ends[0], ends[1], base, tilt, -np.inf)
    empty = gone.all(axis=places, keepdims=True)
    return Affine(
        np.where(empty, -np.inf, form.c), np.where(empty, 0.0, form.d), np.where(empty, 0.0, form.r)
    )


def tangent_of_log_sum_exp(m: Array, w: Array, places: Places) -> tuple[Array, Array, Array, Array]:
    """log sum exp(m) and its error, weights p, and a bound of sum_i |s_i - p_i| w_i for the true softmax s.

    The bound also covers what s_i has beyond p_i (1 + 2**-30), times w_i.
    """
    value, error, weights = _log_sum(m, np.zeros(m.shape, dtype=bool), places)
    slack = WEIGHTS + 2 * gamma(_terms(w, places) + 16)  # as in `log_sum_exp`
    lost = _total((slack * weights + 8 * FLUSHED) * w, places) * (1.0 + gamma(_terms(w, places) + 16))
    return value, error, weights, np.asarray((lost + UNDERFLOW) * UP)


def _log_sum(v: Array, gone: NDArray[np.bool_], places: Places) -> tuple[Array, Array, Array]:
    """log sum exp(v) without what is gone, a bound of its error, and the weight of each term.

    The largest term is 1 after the shift, so what rounds v - top costs at most U/2 a term.

    Rounding a = v - top costs a power the relative error U |a|: 808 U where a > -800; elsewhere the power
    and what is computed for it lie below FLUSHED. The total errs by the mean of U |a| by weight, at most
    U log n < 28 U. With both ELEMENTARY that is below 2**-43: a weight errs by less than WEIGHTS / 2 of
    itself, the gamma of the sum besides, and by 4 FLUSHED.
    """
    top = _greatest(np.where(gone, -np.inf, v), places)
    top = np.where(np.isneginf(top), 0.0, top)
    powers = np.where(gone, 0.0, np.exp(v - top))
    total = _total(powers, places)
    rest = np.log(total)
    value = top + rest
    error = 4 * ELEMENTARY * (1 + np.abs(rest)) + gamma(_terms(v, places) + 16) + np.abs(value) * (2 * U)
    return value, error, powers / total
