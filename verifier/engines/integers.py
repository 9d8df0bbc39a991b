"""A program on a line with integers only: every unit, times a scale of its own, is an integer where z is one.

The scales depend on the weights and the line alone, so all linear pieces, segments and rays share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import ModelError
from symbolic.pieces.line import RationalLine
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Program, Staircase, Step, Winner

__all__ = ["Integers", "IntegerProgram", "Rows", "sums"]

Integers = NDArray[Any]
"""An array of Python integers."""
MOST_WEIGHTS = 1 << 22


@dataclass(frozen=True, eq=False)
class Rows:
    """A linear layer in integers: unit k sums weights[j] * x[sources[j]] for j from pointers[k] on."""

    pointers: Ids
    sources: Ids
    weights: Integers
    bias: Integers


class IntegerProgram:
    """A program on a line.

    Attributes
    ----------
    program : Program
    scales : list of int
        By unit: what its values are multiplied with.
    rows : dict
        The linear layers, by number.
    inputs : ndarray of int, shape (inputs, 2)
        Value at z = 0 and slope of the moving inputs, scaled.
    """

    def __init__(self, program: Program, line: RationalLine) -> None:
        program.require_exact()
        self.program = program
        common = lcm(*{v.denominator for v in (*line.start, *line.direction)})
        columns = zip(line.start, line.direction, strict=True)
        self.inputs = _integers([[a * common, b * common] for a, b in columns]).reshape(-1, 2)
        self.scales: list[int] = [1, *[common] * program.n_inputs]
        self.rows: dict[int, Rows] = {}
        for k, layer in enumerate(program.layers):
            self.scales += [self._prepared(k, layer)] * layer.size

    def common(self, ids: Ids) -> int:
        """A scale that all of some units can be brought to; unit 0 has any."""
        return lcm(*{self.scales[i] for i in np.unique(ids).tolist() if i > 0})

    def _prepared(self, k: int, layer: Any) -> int:
        """The scale of a layer; for a linear one its rows as well."""
        if isinstance(layer, Linear):
            return self._linear(k, layer)
        if isinstance(layer, Maximum):
            return self.common(layer.sources)
        if isinstance(layer, Winner):
            return lcm(*{Fraction(v).denominator for v in layer.numbers.reshape(-1).tolist()})
        if isinstance(layer, Product):
            return self.common(layer.factors) * self.common(layer.sources)
        if isinstance(layer, (Step, Staircase)):
            return 1
        raise ModelError(f"{layer.label}: the engine z3 has no terms for its layer {type(layer).__name__}.")

    def _linear(self, k: int, layer: Linear) -> int:
        pointers, sources, weights = _spread(layer)
        read = self.common(sources)
        exact, bias = _ratios(weights), _ratios(layer.bias)
        scale = lcm(read * lcm(*{d for _, d in exact}), *{d for _, d in bias})
        parts = zip(exact, sources.tolist(), strict=True)
        whole = [n * (scale // (d * self.scales[i])) for (n, d), i in parts]
        shift = [n * (scale // d) for n, d in bias]
        shared = gcd(scale * layer.divisor, *set(whole), *set(shift))  # keeps numbers short
        whole, shift = [w // shared for w in whole], [v // shared for v in shift]
        self.rows[k] = Rows(pointers, sources, _integers(whole), _integers(shift))
        return scale * layer.divisor // shared


def sums(rows: Rows, values: Integers) -> Integers:
    """The rows applied to columns of units (units, columns); the bias goes into the first one."""
    found = np.zeros((len(rows.bias), values.shape[1]), dtype=object)
    used = np.diff(rows.pointers) > 0
    if used.any():
        terms = values[rows.sources] * rows.weights[:, None]
        found[used] = np.add.reduceat(terms, rows.pointers[:-1][used], axis=0)
    found[:, 0] += rows.bias
    return found


def _spread(layer: Linear) -> tuple[Ids, Ids, NDArray[np.float64]]:
    """Taps and compressed rows as compressed rows, without zero weights and without unit 0."""
    unit, source, weight = [layer.rows], [layer.sources], [layer.weights]
    if layer.sources.size + sum(t.sources.size * t.weights.shape[1] for t in layer.taps) > MOST_WEIGHTS:
        raise ModelError(f"{layer.label} is too large for the engine z3.")
    for tap in layer.taps:
        blocks, (depth, width) = len(tap.targets), tap.weights.shape
        shape = (blocks, depth, width)
        places = tap.targets[:, None, None] * layer.width + np.arange(width)
        unit.append(np.broadcast_to(places, shape).reshape(-1))
        source.append(np.broadcast_to(tap.sources[:, :, None], shape).reshape(-1))
        weight.append(np.broadcast_to(tap.weights, shape).reshape(-1))
    units, sources, weights = (np.concatenate(parts) for parts in (unit, source, weight))
    kept = (weights != 0) & (sources > 0)
    units, sources, weights = units[kept], sources[kept], weights[kept]
    order = np.argsort(units, kind="stable")
    pointers = np.concatenate([[0], np.cumsum(np.bincount(units, minlength=layer.size))])
    return pointers.astype(np.int64), sources[order].astype(np.int64), weights[order]


def _ratios(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Floats as numerators and denominators."""
    return [v.as_integer_ratio() for v in values.tolist()]


def _integers(values: Any) -> Integers:
    """Nested lists of whole numbers as an array."""
    if not values:
        return np.zeros(0, dtype=object)
    if isinstance(values[0], list):
        return np.array([[int(v) for v in row] for row in values], dtype=object)
    return np.array([int(v) for v in values], dtype=object)
