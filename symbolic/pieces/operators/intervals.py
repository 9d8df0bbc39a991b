"""Between which bounds units stay, whatever the input is: of integers it decides what a type holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Staircase, Winner

__all__ = ["Intervals"]

WHOLE = 2.0**53
SLACK = 2.0**-50


class Intervals:
    """Bounds of units, made when they are asked for; the input itself has none."""

    def __init__(self, n_inputs: int) -> None:
        self.low = np.concatenate([[0.0], np.full(n_inputs, -np.inf)])
        self.high = np.concatenate([[0.0], np.full(n_inputs, np.inf)])
        self._done = 0

    def of(self, layers: Sequence[Any], ids: Ids) -> tuple[Array, Array]:
        """Lower and upper bounds of units of some layers, outward."""
        with np.errstate(all="ignore"):
            for layer in layers[self._done :]:
                low, high = self._bounds(layer)
                self.low = np.concatenate([self.low, np.where(low == low, low, -np.inf)])
                self.high = np.concatenate([self.high, np.where(high == high, high, np.inf)])
        self._done = len(layers)
        return self.low[ids], self.high[ids]

    def _bounds(self, layer: Any) -> tuple[Array, Array]:
        if isinstance(layer, Linear):
            return self._linear(layer)
        low, high = self.low[layer.sources], self.high[layer.sources]
        if isinstance(layer, Maximum):
            none = layer.sources < 0
            low, high = (np.where(none, -np.inf, v).max(axis=1) for v in (low, high))
            return low, high
        if isinstance(layer, Winner):
            return layer.numbers.min(axis=1), layer.numbers.max(axis=1)
        if isinstance(layer, Product):
            first = self._ends(layer.factors)
            ends = np.array([_product(a, b) for a in first for b in (low, high)])
            whole = _whole(low, high, *first)
            return _outward(ends.min(axis=0), ends.max(axis=0), np.abs(ends).max(axis=0), 1, whole)
        if isinstance(layer, Staircase):
            step = {"floor": np.floor, "ceil": np.ceil, "even": np.rint}[layer.rounding]
            return step(low), step(high)
        return np.zeros(layer.size), np.ones(layer.size)

    def _ends(self, ids: Ids) -> tuple[Array, Array]:
        return self.low[ids], self.high[ids]

    def _linear(self, layer: Linear) -> tuple[Array, Array]:
        low, high, size = layer.bias.copy(), layer.bias.copy(), np.abs(layer.bias)
        terms, whole = 1, layer.divisor == 1 and _whole(layer.bias, layer.weights)
        for tap in layer.taps:
            a, b = self._ends(tap.sources)
            known = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
            up, down = np.maximum(tap.weights, 0.0), np.minimum(tap.weights, 0.0)
            rows = tap.targets[known]
            for v, first, second in ((low, a, b), (high, b, a)):
                blocks = v.reshape(-1, layer.width)
                blocks[rows] += first[known] @ up + second[known] @ down
                blocks[tap.targets[~known]] = np.nan
            most = np.maximum(np.abs(a[known]), np.abs(b[known]))
            size.reshape(-1, layer.width)[rows] += most @ np.abs(tap.weights)
            terms += len(tap.weights)
            whole = whole and _whole(a, b, tap.weights)
        if layer.sources.size:
            a, b = self._ends(layer.sources)
            w = layer.weights
            whole = whole and _whole(a, b)
            ends = [_product(np.where(w >= 0, v, o), w) for v, o in ((a, b), (b, a))]
            used = np.diff(layer.pointers) > 0
            starts = layer.pointers[:-1][used]
            for v, part in ((low, ends[0]), (high, ends[1]), (size, np.maximum(*np.abs(ends)))):
                v[used] += np.add.reduceat(part, starts)
            terms += int(np.diff(layer.pointers).max(initial=0))
        low, high = _outward(low, high, size, terms, whole)
        if layer.divisor == 1:
            return low, high
        low, high = low / layer.divisor, high / layer.divisor
        return _outward(low, high, np.maximum(np.abs(low), np.abs(high)), 2, False)


def _product(a: Array, b: Array) -> Array:
    """a b, where 0 times a bound that is infinite is 0: units are numbers."""
    return np.where((a == 0) | (b == 0), 0.0, a * b)


def _whole(*arrays: Array) -> bool:
    """Whether all numbers, as far as they are finite, are whole."""
    return all((v == np.floor(v)).all() for v in arrays)


def _outward(low: Array, high: Array, size: Array, terms: int, whole: bool) -> tuple[Array, Array]:
    """Past the rounding of a sum of so many terms; whole numbers that floats hold are not rounded."""
    exact = (size < WHOLE) & whole
    slack = np.where(exact | ~np.isfinite(size), 0.0, size * terms * SLACK + 2.0**-1000)
    return low - slack, high + slack
