"""Enclosing a linear map: the one place where matrix products meet rounding.

For y = W x + bias with x in c + d tau +- r, n products per output:

    c' = W c + bias,  d' = W d,  r' = |W| (r + gamma (|c| + |d|)) + gamma |bias|

so the rounding of the products costs no further product (Rump's trick of feeding it through |W|). Underflow
is covered by raising nonzero entries of |W| and of the vector that meets it to floors whose product exceeds
n 2**-1074.

For y = x1 x2 with both factors moving, in six products:

    c' = c1 c2 + d1 d2 / 2,  d' = c1 d2 + d1 c2,
    r' = |d1 d2| / 2 + (|c1| + |d1| + r1) (r2 + gamma (|c2| + |d2|)) + r1 (|c2| + |d2|)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from symbolic.enclosures.rounding import UP, Array, U, gamma, sum_error
from symbolic.enclosures.values import Affine, Batch, Const

__all__ = ["Map", "Weights", "bilinear_map", "each", "linear_map", "overflow_blurred"]

WEIGHT_FLOOR = 2.0**-500
VECTOR_FLOOR = 2.0**-450


Map = Callable[[Sequence[Array], Array], list[Array]]


def each(apply: Callable[[Array, Array], Array]) -> Map:
    """A map of one array, for several."""
    return lambda arrays, w: [apply(a, w) for a in arrays]


@dataclass(frozen=True)
class Weights:
    """A constant matrix or kernel, signed +- radius; ``tiny`` if some products with it may underflow."""

    signed: Array
    radius: Array | None
    tiny: bool

    @classmethod
    def of(cls, const: Const) -> Weights:
        signed = np.ascontiguousarray(const.value, dtype=np.float64)
        radius = const.radius
        if radius is not None:
            radius = np.where(radius > 0, np.maximum(radius, WEIGHT_FLOOR), 0.0)
        return cls(signed, radius, bool(((np.abs(signed) < WEIGHT_FLOOR) & (signed != 0)).any()))

    @property
    def absolute(self) -> Array:
        """An upper bound of the absolute value: made when it is needed, so that weights are held once."""
        absolute = np.abs(self.signed)
        if self.tiny:
            absolute = np.where(absolute > 0, np.maximum(absolute, WEIGHT_FLOOR), 0.0)
        return absolute if self.radius is None else np.asarray((absolute + self.radius) * UP)

    def arranged(self, move: Callable[[Array], Array]) -> Weights:
        """The same weights in another layout."""
        radius = None if self.radius is None else np.ascontiguousarray(move(self.radius))
        return Weights(np.ascontiguousarray(move(self.signed)), radius, self.tiny)


def overflow_blurred(r: Array, c: Array, d: Array) -> Array:
    """The remainder, infinite where a sum overflowed: the sign of an infinity says nothing of the sum."""
    finite = np.isfinite(c) & np.isfinite(d)
    return r if finite.all() else np.where(finite, r, np.inf)


def linear_map(
    x: Affine, weights: Weights, apply: Map, terms: int, batch: Batch, bias: Const | None
) -> Affine:
    """Enclose apply(x, W) + bias.

    Parameters
    ----------
    x : Affine
        The argument.
    weights : Weights
        W.
    apply : callable
        ``apply(arrays, w)`` is the map of several arrays, linear in both, written as direct sums of at most
        ``terms`` products per output (no transform, no float32).
    terms : int
        Length of the longest sum.
    bias : Const, optional
        Added; broadcastable to the output. Scaled on a ray, as every added constant.
    """
    g = gamma(terms + 4)
    c, d = apply((x.c, x.d), weights.signed)
    size = np.abs(x.c)
    size += np.abs(x.d)
    if weights.radius is not None:  # the error of the weights meets the whole value
        (extra,) = apply(((size + x.r) * UP,), weights.radius)
    size *= g
    size += x.r
    size += VECTOR_FLOOR * ((size > 0) | (x.c != 0) | (x.d != 0))
    (r,) = apply((size,), weights.absolute)
    if weights.radius is not None:
        r += extra * (1.0 + g)
    if bias is not None:
        if batch.is_ray:
            b = batch.lift(bias)
            lead = (b.c.shape[0], *(1,) * (c.ndim - b.c.ndim))
            c += b.c.reshape(*lead, *b.c.shape[1:])
            d += b.d.reshape(*lead, *b.d.shape[1:])
            r += b.r.reshape(*lead, *b.r.shape[1:])
        else:
            c += bias.value
            if bias.radius is not None:
                r += bias.radius
        # the sum with the bias: one rounding of the result, bounded by its parts
        r += np.abs(c) * (2 * U) + np.abs(d) * (2 * U if batch.is_ray else 0.0)
    r *= (1.0 + g) * UP
    return Affine(c, d, overflow_blurred(r, c, d))


def bilinear_map(a: Affine, b: Affine, apply: Callable[[Array, Array], Array], terms: int) -> Affine:
    """Enclose apply(a, b) of two moving factors.

    ``apply`` is linear in each array, written as direct sums of at most ``terms`` products per output.
    """
    g = gamma(terms + 4)
    square = apply(a.d, b.d) / 2  # of tau**2, which lies in [0, 1]
    c = apply(a.c, b.c) + square
    d = apply(a.c, b.d) + apply(a.d, b.c)
    size_a, size_b = np.abs(a.c) + np.abs(a.d), np.abs(b.c) + np.abs(b.d)
    left = (size_a + a.r) * UP + VECTOR_FLOOR * ((size_a > 0) | (a.r > 0))
    right = (b.r + g * size_b) * UP + WEIGHT_FLOOR * ((size_b > 0) | (b.r > 0))
    r = apply(left, right)
    if a.r.any():
        r += apply(a.r, size_b)
    r = (r * (1.0 + g) + np.abs(square) + sum_error(c, d)) * UP
    return Affine(c, d, overflow_blurred(r, c, d))
