"""The integers that stand for the units of a program, and what a layer does to their residues.

In every layer a unit is an integer over the layer's scale. A unit is a row of columns: its value at a base
point, then its slope along each direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import ModelError
from symbolic.pieces.guards import Branches
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Program, Staircase, Step, Tap, Winner
from symbolic.pieces.residues import LONGEST_SUM, ScaledWeights, lowest_bit, modulo

__all__ = ["Scales"]

SLACK = 1 + 2.0**-20
"""Covers the rounding of the bounds, which are sums of positive floats."""


@dataclass(frozen=True, eq=False)
class Shifted:
    """The numbers of a linear layer as integers, and its taps, as few as possible."""

    taps: list[tuple[Tap, ScaledWeights]]
    weights: ScaledWeights
    bias: ScaledWeights


_shifted: WeakKeyDictionary[Program, dict[tuple[int, int], Shifted]] = WeakKeyDictionary()
"""By the layer and the power of two; the same in most pieces of a program."""


def _merged(layer: Linear) -> Sequence[Tap]:
    """All taps as one, reading unit 0 where one of them reads nothing, unless that is most of it."""
    blocks = layer.size // layer.width
    depths = [len(tap.weights) for tap in layer.taps]
    entries = sum(tap.sources.size for tap in layer.taps)
    if len(depths) < 2 or 2 * entries < blocks * sum(depths):
        return layer.taps
    sources = np.zeros((blocks, sum(depths)), dtype=np.int64)
    for tap, stop, depth in zip(layer.taps, np.cumsum(depths), depths, strict=True):
        sources[tap.targets, stop - depth : stop] = tap.sources
    weights = np.concatenate([tap.weights for tap in layer.taps])
    return [Tap(sources, np.arange(blocks), weights)]


def _integers_of(program: Program, k: int, shift: int) -> Shifted:
    """The weights of a layer times 2**shift; its bias times the least power of two that does."""
    found = _shifted.setdefault(program, {})
    if (k, shift) not in found:
        layer = program.layers[k]
        taps = [(tap, ScaledWeights.of(tap.weights, shift)) for tap in _merged(layer)]
        bias = ScaledWeights.of(layer.bias, lowest_bit(layer.bias))
        found[k, shift] = Shifted(taps, ScaledWeights.of(layer.weights, shift), bias)
    return found[k, shift]


class Scales:
    """Scales and sizes of all units.

    Parameters
    ----------
    program : Program
        With rational constants.
    columns : sequence of sequences of Fraction
        The base point and the directions.
    branches : mapping, optional
        Known ones; the base point may then lie outside their piece.
    """

    def __init__(self, program: Program, columns: Any, branches: Branches | None = None) -> None:
        program.require_exact()
        self.program = program
        common = lcm(*{v.denominator for column in columns for v in column})
        self.inputs = np.array([[int(v * common) for v in column] for column in columns], dtype=object)
        self.scales = [1, common]
        self.group = np.zeros(program.size, dtype=np.int64)
        self.group[1 : 1 + program.n_inputs] = 1
        for k, layer in enumerate(program.layers):
            self.group[layer.units] = k + 2
        self._shifted: dict[int, tuple[Shifted, int]] = {}
        self._lifts: list[list[dict[int, int]]] = []
        with np.errstate(over="ignore"):  # what overflows is refused
            self._plan(np.abs(self.inputs), common, {} if branches is None else branches)

    def _plan(self, size: NDArray[Any], common: int, branches: Branches) -> None:
        """The scale of every layer, and bounds of all units in both kinds of columns."""
        bound = np.zeros((2, self.program.size))
        try:
            floats = [[int(v) / common for v in row] for row in (size[0], size[1:].max(axis=0, initial=0))]
        except OverflowError:
            raise ModelError("exact values of the input are too large.") from None
        bound[:, 1 : 1 + self.program.n_inputs] = np.array(floats) * SLACK
        self._exponents = [0, int(np.frexp(bound.max())[1])]
        bits = self.bits(np.ones(min(1, self.program.n_inputs), dtype=np.int64))
        for k, layer in enumerate(self.program.layers):
            scale, found = self._planned(k, layer, bound)
            if k in branches and isinstance(layer, Staircase):
                found[0] = np.abs(branches[k])
            self.scales.append(scale)
            bound[:, layer.units] = found * SLACK
            most = float(found.max(initial=1.0))
            if not np.isfinite(most):
                raise ModelError(f"{layer.label}: exact values of this network are too large.")
            self._exponents.append(int(np.frexp(most)[1]))
            self._lifts.append([self.lifts(ids, self.common(ids)) for ids in _reads(layer)])
            bits = max(bits, self.bits(np.array([layer.start])))
            if isinstance(layer, (Maximum, Winner, Step, Staircase)):
                bits = max(bits, self.bits(layer.sources))
        self.most_bits = bits

    def bits(self, ids: Ids) -> int:
        """How long differences of such units are, in their common scale."""
        largest = max((self._exponents[k] for k in self.groups(ids)), default=0)
        return self.common(ids).bit_length() + largest + 3

    def groups(self, ids: Ids) -> list[int]:
        """Where some units lie: 0 is unit 0, 1 the inputs, 2 the first layer, and so on."""
        return [int(k) for k in np.nonzero(np.bincount(self.group[np.maximum(ids, 0)].reshape(-1)))[0]]

    def common(self, ids: Ids) -> int:
        """The common scale of some units; unit 0 has any."""
        return lcm(*(self.scales[k] for k in self.groups(ids)))

    def _planned(self, k: int, layer: Any, bound: Array) -> tuple[int, Array]:
        """Scale of a layer, and bounds of its units in both kinds of columns."""
        if isinstance(layer, Linear):
            return self._planned_linear(k, layer, bound)
        found = np.zeros((2, layer.size))
        if isinstance(layer, Maximum):
            return self.common(layer.sources), bound[:, np.maximum(layer.sources, 0)].max(axis=2)
        if isinstance(layer, Winner):
            found[0] = np.abs(layer.numbers).max(axis=1)
            return 1 << lowest_bit(layer.numbers), found
        if isinstance(layer, Product):
            scale = self.common(layer.factors) * self.common(layer.sources)
            return scale, np.asarray(bound[:1, layer.factors] * bound[:, layer.sources])
        found[0] = 1.0 if isinstance(layer, Step) else bound[0, layer.sources] + 1
        return 1, found

    def _planned_linear(self, k: int, layer: Linear, bound: Array) -> tuple[int, Array]:
        parts = [layer.weights, *(tap.weights.reshape(-1) for tap in layer.taps)]
        shift, fine = max(map(lowest_bit, parts)), lowest_bit(layer.bias)
        (read,) = _reads(layer)
        common = self.common(read)
        shift = max(shift, fine - (common & -common).bit_length() + 1)
        self._shifted[k] = _integers_of(self.program, k, shift), (common << shift) >> fine
        found = np.zeros((2, layer.size))
        found[0] = np.abs(layer.bias)
        blocks = found.reshape(2, -1, layer.width)
        for tap in layer.taps:
            blocks[:, tap.targets] += bound[:, tap.sources] @ np.abs(tap.weights)
        _add_rows(found, layer, bound[:, layer.sources] * np.abs(layer.weights))
        return (common << shift) * layer.divisor, found / layer.divisor

    # ---- residues ---------------------------------------------------------------------------------------

    def lifts(self, ids: Ids, common: int) -> dict[int, int]:
        """What brings units to a common scale, by group, where it is not 1."""
        return {k: common // self.scales[k] for k in self.groups(ids) if k and self.scales[k] != common}

    def read(self, x: Array, ids: Ids, lifts: dict[int, int], p: int) -> Array:
        """Residues of some units in a common scale."""
        found = np.take(x, ids, axis=1)
        if not lifts:
            return found
        factors = np.ones(len(self.scales))
        for k, lift in lifts.items():
            factors[k] = lift % p
        return modulo(found * factors[self.group[ids]], p)

    def layer(self, k: int, x: Array, p: int, branch: NDArray[np.int64] | None) -> Array:
        """Residues (columns, size) of a layer, from those of all units before it."""
        layer = self.program.layers[k]
        if isinstance(layer, Linear):
            return self._linear(k, layer, x, p)
        if isinstance(layer, Product):
            first, second = self._lifts[k]
            factors = self.read(x[:1], layer.factors, first, p)
            return modulo(factors * self.read(x, layer.sources, second, p), p)
        if branch is None:
            raise ModelError(f"{layer.label} has no branch here.")
        rows = np.arange(layer.size)
        if isinstance(layer, Maximum):
            return self.read(x, layer.sources[rows, branch], self._lifts[k][0], p)
        numbers = layer.numbers[rows, branch] * self.scales[k + 2] if isinstance(layer, Winner) else branch
        found = np.zeros((len(x), layer.size))
        found[0] = modulo(numbers.astype(np.float64), p)
        return found

    def _linear(self, k: int, layer: Linear, x: Array, p: int) -> Array:
        (lifts,), (shifted, lift) = self._lifts[k], self._shifted[k]
        y = np.zeros((len(x), layer.size))
        y[0] = modulo(shifted.bias.modulo(p) * (lift % p), p)
        blocks = y.reshape(len(y), -1, layer.width)
        summed = 0
        for tap, weights in shifted.taps:
            w, depth = weights.modulo(p), tap.sources.shape[1]
            for start in range(0, depth, LONGEST_SUM):
                part = slice(start, min(depth, start + LONGEST_SUM))
                summed += part.stop - part.start
                if summed > LONGEST_SUM:
                    y[:], summed = modulo(y, p), part.stop - part.start
                _add_at(blocks, tap.targets, self.read(x, tap.sources[:, part], lifts, p) @ w[part])
        if layer.sources.size:
            terms = self.read(x, layer.sources, lifts, p) * shifted.weights.modulo(p)
            y = modulo(y, p)
            _add_rows(y, layer, modulo(terms, p))
        return modulo(y, p)


def _reads(layer: Any) -> list[Ids]:
    """The units that a layer brings to a common scale together."""
    if isinstance(layer, Linear):
        return [np.concatenate([layer.sources, *(tap.sources.reshape(-1) for tap in layer.taps)])]
    return [layer.factors, layer.sources] if isinstance(layer, Product) else [layer.sources]


def _add_at(blocks: Array, targets: Ids, terms: Array) -> None:
    """Add to some blocks."""
    if len(targets) == blocks.shape[1] and (targets == np.arange(len(targets))).all():
        blocks += terms
    else:
        blocks[:, targets] += terms


def _add_rows(y: Array, layer: Linear, terms: Array) -> None:
    """Add the sums of compressed rows."""
    used = np.diff(layer.pointers) > 0
    if used.any():
        y[:, used] += np.add.reduceat(terms, layer.pointers[:-1][used], axis=1)
