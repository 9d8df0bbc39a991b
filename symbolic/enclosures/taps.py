"""Sparse linear maps with constant weights: every output is a sum of a few weighted elements.

Weights are rational numbers; what floats cannot hold of them is their radius.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.rounding import TINY, UP, Array
from symbolic.enclosures.values import Affine, Batch, Const

__all__ = ["Row", "Taps", "product", "rounded", "table"]

Row = Sequence[tuple[int, Fraction, Fraction]]
"""Element, weight, and a bound of the weight's error."""


def rounded(weights: NDArray[np.object_], errors: NDArray[np.object_] | None = None) -> Const:
    """Rational weights as floats, with the distance to them and given errors of their own."""
    value = np.array([float(w) for w in weights.flat]).reshape(weights.shape)
    lost = np.array([Fraction(float(w)) != w for w in weights.flat], dtype=bool).reshape(weights.shape)
    radius = np.where(lost, np.maximum(np.abs(value) * 2.0**-52, 2.0**-1074), 0.0)
    if errors is not None:
        own = np.array([float(e) for e in errors.flat]).reshape(errors.shape)
        radius = (radius + own * UP + np.where(own > 0, TINY, 0.0)) * UP
    return Const(value, radius if radius.any() else None)


@dataclass(frozen=True)
class Taps:
    """For each output of each group: the elements (groups, outputs, taps) of a plane, and their weights."""

    index: NDArray[np.int64]
    weights: Const
    planes: NDArray[np.int64] | None = None  # which plane each group reads; its own, where they are not named

    def at(self, outputs: NDArray[np.int64]) -> Taps:
        """Some of the outputs, in this order."""
        value, spread = self.weights.value[:, outputs], self.weights.spread[:, outputs]
        return Taps(self.index[:, outputs], Const(value, spread), self.planes)

    def scaled(self, by: Const) -> Taps:
        """Every output times a constant of shape (groups, outputs)."""
        v, r, w, s = self.weights.value, self.weights.spread, by.value[..., None], by.spread[..., None]
        return Taps(self.index, product(v, r, w, s), self.planes)

    def times(self, other: Taps, size: int) -> Taps:
        """The map of a plane whose second axis has `size` elements, along which the other works."""
        index = self.index[..., :, None] * size + other.index[..., None, :]
        (v, r), (w, s) = ((t.weights.value, t.weights.spread) for t in (self, other))
        v, r, w, s = v[..., :, None], r[..., :, None], w[..., None, :], s[..., None, :]
        both, shape = product(v, r, w, s), (*index.shape[:-2], -1)
        flat = Const(both.value.reshape(shape), both.spread.reshape(shape))
        return Taps(index.reshape(shape), flat, self.planes)

    def of(self, x: Affine, batch: Batch) -> Affine:
        """The outputs (segments, groups, channels, outputs) of planes (segments, groups, channels, ...)."""
        weights = Weights.of(self.weights)

        def apply(a: Array, w: Array) -> Array:
            flat = a.reshape(*a.shape[:3], -1)
            read = range(len(self.index)) if self.planes is None else self.planes.tolist()
            out = np.zeros((len(a), len(self.index), a.shape[2], self.index.shape[1]))
            for group, (places, plane) in enumerate(zip(self.index, read, strict=True)):
                for tap in range(places.shape[1]):
                    part = np.take(flat[:, plane], places[:, tap], axis=-1) * w[group, :, tap]
                    part[..., w[group, :, tap] == 0] = 0.0  # and not 0 times something unknown
                    out[:, group] += part
            return out

        return linear_map(x, weights, each(apply), self.index.shape[2], batch, None)


def product(v: Array, r: Array, w: Array, s: Array) -> Const:
    """(v +- r) (w +- s); a factor 0 or 1 rounds nothing."""
    value = v * w
    error = np.abs(v) * s + r * np.abs(w) + r * s + np.where((r > 0) | (s > 0), TINY, 0.0)
    exact = np.isin(v, (0.0, 1.0)) | np.isin(w, (0.0, 1.0))
    return Const(value, (error + np.where(exact, 0.0, np.abs(value) * 2.0**-52 + TINY)) * UP)


def table(rows: Sequence[Sequence[Row]]) -> Taps:
    """Taps from the rows of each group, filled up with weights 0."""
    most = max((len(row) for group in rows for row in group), default=0)
    shape = (len(rows), len(rows[0]) if rows else 0, max(1, most))
    index = np.zeros(shape, dtype=np.int64)
    weights, errors = np.full(shape, Fraction(0)), np.full(shape, Fraction(0))
    for g, group in enumerate(rows):
        for o, row in enumerate(group):
            for t, (k, weight, error) in enumerate(row):
                index[g, o, t], weights[g, o, t], errors[g, o, t] = k, weight, error
    return Taps(index, rounded(weights, errors))
