"""The line of inputs in float64: an affine form over each of its segments, and over rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from symbolic.enclosures.rounding import TINY, UP, Array, U
from symbolic.enclosures.values import Affine, Batch

__all__ = ["Line", "Segment", "centre"]

Segment = tuple[float, float]
"""Ends in t; -inf or inf for a ray."""


@dataclass(frozen=True)
class Line:
    """x(t) = start + direction t in float64 with the distance to the exact rationals.

    Attributes
    ----------
    start, direction : ndarray of float64
        Of the input's shape.
    start_error, direction_error : ndarray of float64
        Bounds of the rounding of the exact rational entries (0 where exact).
    """

    start: Array
    direction: Array
    start_error: Array
    direction_error: Array

    @classmethod
    def of(cls, start: Sequence[Fraction], direction: Sequence[Fraction], shape: tuple[int, ...]) -> Line:
        """Round exact rationals."""
        (s, se), (d, de) = (_rounded(v, shape) for v in (start, direction))
        return cls(s, d, se, de)

    def affine(self, segments: Sequence[Segment]) -> tuple[Affine, Batch]:
        """The input over segments that are all finite, or all rays of one side."""
        lo, hi = (np.array([s[k] for s in segments], dtype=np.float64) for k in range(2))
        ones = (1,) * self.start.ndim
        if np.isfinite(lo).all() and np.isfinite(hi).all():
            m, h = centre(lo, hi)
            form = self._form(self.start, self.start_error, self.direction, self.direction_error, m, h, ones)
            return form, Batch(len(segments))
        # x(t)/|t| = start s + side direction, s = 1/|t| in (0, 1/L]
        side = 1.0 if np.isinf(hi).all() else -1.0
        near = lo if side > 0 else -hi
        if not (near > 0).all() or np.isinf(near).any():
            raise ValueError("a ray must start on its own side of the observed input")
        s = np.nextafter(1.0 / near, np.inf)
        m, h = centre(np.zeros_like(s), s)
        error = self.direction_error
        form = self._form(side * self.direction, error, self.start, self.start_error, m, h, ones)
        return form, Batch(len(segments), m, h)

    @staticmethod
    def _form(p: Array, pe: Array, q: Array, qe: Array, m: Array, h: Array, ones: tuple[int, ...]) -> Affine:
        """p + q (m + h tau)."""
        m, h = m.reshape(-1, *ones), h.reshape(-1, *ones)
        move = q * m
        c, d = p + move, q * h
        fixed = (q == 0) & (qe == 0)
        size = np.abs(m) + h
        r = np.where(m == 0, 0.0, (np.abs(move) + np.abs(c)) * (2 * U) + TINY)
        r = r + np.where(h == 0, 0.0, np.abs(d) * (2 * U) + TINY) + qe * size
        r = (np.where(fixed, 0.0, r) + pe) * UP
        return Affine(c, d, r)


def centre(lo: Array, hi: Array) -> tuple[Array, Array]:
    """m and h with [m - h, m + h] containing [lo, hi] exactly (h is rounded up)."""
    m = lo / 2 + hi / 2
    h = np.maximum(hi - m, m - lo)
    return m, np.where(hi > lo, np.nextafter(h, np.inf), np.where(h > 0, np.nextafter(h, np.inf), 0.0))


def _rounded(values: Sequence[Fraction], shape: tuple[int, ...]) -> tuple[Array, Array]:
    seen: dict[int, tuple[float, bool]] = {}  # directions repeat a few objects thousands of times
    pairs = []
    for v in values:
        pair = seen.get(id(v))
        if pair is None:
            pair = seen[id(v)] = (v.numerator / v.denominator, _is_double(v))
        pairs.append(pair)
    floats, exact = (np.array([p[k] for p in pairs]) for k in range(2))
    error = np.where(exact, 0.0, np.abs(floats) * (2 * U) + TINY)
    return floats.reshape(shape), error.reshape(shape)


def _is_double(v: Fraction) -> bool:
    """Whether a rational is surely a normal double."""
    n, d = abs(v.numerator), v.denominator
    return n.bit_length() <= 53 and not d & (d - 1) and d.bit_length() < 960
