"""Numbers as unevaluated sums of two float64, and layers of sums in them.

A sum of products is exact in float64, in any order, if its factors are whole multiples of powers of two
with few bits: so units and weights are cut into such pieces, and the usual (fast) products of the pieces are
exact, but for the last ones, whose rounding is as small as they are.

Error-free transformations: D. E. Knuth, The Art of Computer Programming 2, 4.2.2, and T. J. Dekker,
A floating-point technique for extending the available precision, Numerische Mathematik 18 (1971).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Linear
from verifier.sweep.forward import linear

__all__ = ["Doubled", "doubled", "sums", "two_product", "two_sum"]

SPLITTER = 2.0**27 + 1


@dataclass(frozen=True, eq=False)
class Doubled:
    """high + low, where high is the sum rounded."""

    high: Array
    low: Array


def doubled(values: Sequence[Fraction]) -> Doubled:
    """Rationals, to 2^-106."""
    high = np.array([float(v) for v in values])
    return Doubled(
        high, np.array([float(v - Fraction(h)) for v, h in zip(values, high.tolist(), strict=True)])
    )


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b, rounded, and what it is off."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a b, rounded, and what it is off."""
    p = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Array) -> tuple[Array, Array]:
    c = SPLITTER * a
    high = c - (c - a)
    return high, a - high


def sums(
    layer: Linear, units: Doubled, read: Sequence[slice], terms: int, rows: Array
) -> tuple[Doubled, Array]:
    """A layer of sums of lines: the constants are added to the first row only.

    Parameters
    ----------
    layer : Linear
    units : Doubled, (rows, units)
    read : sequence of slice
        Which units the layer reads (and perhaps others).
    terms : int
        At least the number of terms of the longest sum.
    rows : (3 rows, units)
        Room for pieces of units.

    Returns
    -------
    Doubled, (rows, size), and bounds of the error of every unit, (rows,): infinite if numbers leave float64
    """
    bits = (52 - int(terms + 8).bit_length()) // 2
    weights = [layer.weights, *(tap.weights for tap in layer.taps)]
    largest = max((float(np.abs(w).max(initial=0.0)) for w in weights), default=0.0)
    n = len(units.high)
    most = [np.zeros(n), *(np.abs(units.high[:, part]).max(axis=1, initial=0.0) for part in read)]
    scale, heavy = _power(np.max(most, axis=0))[:, None], _power(np.array(largest))
    for part in read:
        x = units.high[:, part]
        x1 = _rounded(x, scale * 2.0**-bits)
        x2 = _rounded(x - x1, scale * 2.0 ** (-2 * bits))
        rows[:n, part], rows[n : 2 * n, part] = x1, x2
        rows[2 * n :, part] = (x - x1 - x2) + units.low[:, part]
    w1 = [_rounded(w, heavy * 2.0**-bits) for w in weights]
    w2 = [_rounded(w - v, heavy * 2.0 ** (-2 * bits)) for w, v in zip(weights, w1, strict=True)]
    w3 = [(w - v) - u for w, v, u in zip(weights, w1, w2, strict=True)]
    first, second = linear(_with(layer, w1), rows), linear(_with(layer, w2), rows)
    high, low = two_sum(first[:n], second[:n])
    rest = second[n : 2 * n] + first[2 * n :] + second[2 * n :]
    if any(w.any() for w in w3):
        third = linear(_with(layer, w3), rows)
        rest = rest + (third[:n] + third[n : 2 * n] + third[2 * n :])
    high, off = two_sum(high, first[n : 2 * n])
    low = low + off
    high[0], off = two_sum(high[0], layer.bias)
    low[0] += off
    low = low + rest
    divisor = float(layer.divisor)
    if layer.divisor != 1:
        quotient = high / divisor
        product, off = two_product(quotient, np.array(divisor))
        high, low = quotient, (((high - product) - off) + low) / divisor
    size = terms * scale[:, 0] * heavy
    constant = np.where(np.arange(n) == 0, np.abs(layer.bias).max(initial=0.0), 0.0)
    error = 2.0 ** -(47 + 2 * bits) * ((terms + 8) * size + constant) / divisor + 1e-280
    high, low = two_sum(high, low)
    known = np.isfinite(high).all(axis=1) & np.isfinite(low).all(axis=1)
    return Doubled(high, low), np.where(known & (divisor == layer.divisor), error, np.inf)


def _with(layer: Linear, weights: Sequence[Array]) -> Linear:
    """The layer's sums with other weights, undivided."""
    taps = tuple(replace(tap, weights=w) for tap, w in zip(layer.taps, weights[1:], strict=True))
    return replace(layer, weights=weights[0], taps=taps, divisor=1)


def _power(values: Array) -> Array:
    """The least powers of two that are not less; of nothing, a small one."""
    return np.asarray(2.0 ** np.ceil(np.log2(np.maximum(values, 1e-200)) + 1e-9))


def _rounded(values: Array, unit: Array) -> Array:
    """To whole multiples of a power of two, of no more than 2^51 of them."""
    shift = 1.5 * 2.0**52 * unit
    return (values + shift) - shift
