"""All units of a program as exact affine functions of some parameters, on one linear piece.

A unit is a row of columns: its value at a base point, then its slope along each direction. In every layer
it is an integer over the layer's scale; the integers are held as residues (`residues`). Every sign is exact.
Where a value is zero the slope along the first direction decides: what is found is the piece just behind the
base point, and what is zero along the direction keeps the operator's own value at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import ModelError
from symbolic.pieces.guards import Branches, Guards
from symbolic.pieces.program import (
    Ids,
    Linear,
    Maximum,
    Product,
    Program,
    Staircase,
    Step,
    Winner,
)
from symbolic.pieces.residues import LONGEST_SUM, Primes, ScaledWeights, lowest_bit, modulo

__all__ = ["ExactPiece"]

SLACK = 1 + 2.0**-20
"""Covers the rounding of the bounds, which are sums of positive floats."""
LARGEST_STEP = 2**53


@dataclass(frozen=True, eq=False)
class Shifted:
    """The weights of a linear layer as integers."""

    taps: list[ScaledWeights]
    weights: ScaledWeights
    shift: int


class ExactPiece:
    """One linear piece.

    Parameters
    ----------
    program : Program
        With rational constants.
    base : sequence of Fraction
        The base point: the moving inputs, flat.
    directions : sequence of sequence of Fraction
        One column each.
    branches : mapping, optional
        Those of the guarded layers; by default they are found, and `branches` holds them afterwards.
    """

    def __init__(
        self,
        program: Program,
        base: Sequence[Fraction],
        directions: Sequence[Sequence[Fraction]],
        branches: Branches | None = None,
    ) -> None:
        program.require_exact()
        self.program = program
        columns = [base, *directions]
        common = lcm(*{v.denominator for column in columns for v in column})
        whole = np.array([[int(v * common) for v in column] for column in columns], dtype=object)
        self.branches: Branches = {} if branches is None else branches
        self._decide = branches is None
        self.scales = [1, common]
        self._layer_of = np.zeros(program.size, dtype=np.int64)
        self._layer_of[1 : 1 + program.n_inputs] = 1
        for k, layer in enumerate(program.layers):
            self._layer_of[layer.units] = k + 2
        bits = self._plan(np.abs(whole), common)
        self.primes = Primes.beyond(bits)
        self.values = np.zeros((self.primes.count, len(columns), program.size))
        self.values[:, :, 1 : 1 + program.n_inputs] = self.primes.of(whole)
        for k, layer in enumerate(program.layers):
            self._run(k, layer)

    # ---- scales and sizes -------------------------------------------------------------------------------

    def _plan(self, size: NDArray[Any], common: int) -> int:
        """The scale of every layer, and a bound on the bits of all integers."""
        bound = np.zeros((2, self.program.size))
        largest = max(1, max(int(v) for v in size.reshape(-1)))
        unit = Fraction(1, common)
        floats = [[float(int(v) * unit) for v in row] for row in (size[0], size[1:].max(axis=0, initial=0))]
        bound[:, 1 : 1 + self.program.n_inputs] = np.array(floats) * SLACK
        bits = largest.bit_length()
        self._shifted: dict[int, Shifted] = {}
        for k, layer in enumerate(self.program.layers):
            scale, found = self._planned(k, layer, bound)
            self.scales.append(scale)
            bound[:, layer.units] = found * SLACK
            most = float(found.max(initial=1.0))
            if not np.isfinite(most):
                raise ModelError(f"{layer.label}: exact values of this network are too large.")
            bits = max(bits, scale.bit_length() + int(np.frexp(most)[1]) + 3)
        return bits

    def _planned(self, k: int, layer: Any, bound: Array) -> tuple[int, Array]:
        """Scale of a layer, and bounds of its units in both kinds of columns."""
        if isinstance(layer, Linear):
            return self._planned_linear(k, layer, bound)
        found = np.zeros((2, layer.size))
        if isinstance(layer, Maximum):
            return self._common(layer.sources), bound[:, np.maximum(layer.sources, 0)].max(axis=2)
        if isinstance(layer, Winner):
            found[0] = np.abs(layer.numbers).max(axis=1)
            return 1 << lowest_bit(layer.numbers), found
        if isinstance(layer, Product):
            scale = self._common(layer.factors) * self._common(layer.sources)
            return scale, np.asarray(bound[:1, layer.factors] * bound[:, layer.sources])
        found[0] = 1.0 if isinstance(layer, Step) else bound[0, layer.sources] + 1
        return 1, found

    def _planned_linear(self, k: int, layer: Linear, bound: Array) -> tuple[int, Array]:
        parts = [layer.weights, *(tap.weights.reshape(-1) for tap in layer.taps)]
        shift = max(map(lowest_bit, parts))
        common = self._common(layer.reads())
        shift = max(shift, lowest_bit(layer.bias) - (common & -common).bit_length() + 1)
        taps = [ScaledWeights.of(tap.weights, shift) for tap in layer.taps]
        self._shifted[k] = Shifted(taps, ScaledWeights.of(layer.weights, shift), shift)
        found = np.zeros((2, layer.size))
        found[0] = np.abs(layer.bias)
        blocks = found.reshape(2, -1, layer.width)
        for tap in layer.taps:
            blocks[:, tap.targets] += bound[:, tap.sources] @ np.abs(tap.weights)
        _add_rows(found, layer, bound[:, layer.sources] * np.abs(layer.weights))
        return (common << shift) * layer.divisor, found / layer.divisor

    def _common(self, ids: Ids) -> int:
        """The common scale of some units; unit 0 has any."""
        return lcm(*(self.scales[k] for k in np.unique(self._layer_of[np.maximum(ids, 0)])))

    # ---- values -----------------------------------------------------------------------------------------

    def _read(self, ids: Ids, common: int) -> list[Array]:
        """Some units in a common scale, prime by prime."""
        ids = np.maximum(ids, 0)
        factors = np.array([common // s if s and common % s == 0 else 0 for s in self.scales], dtype=object)
        needed = factors[self._layer_of[ids]]
        found = []
        for i, p in enumerate(self.primes.all):
            x = self.values[i][:, ids]
            if (needed != 1).any():
                x = modulo(x * (needed % p).astype(np.float64), p)
            found.append(x)
        return found

    def _run(self, k: int, layer: Any) -> None:
        if isinstance(layer, Linear):
            self._run_linear(k, layer)
        elif isinstance(layer, (Maximum, Winner)):
            self._run_maximum(k, layer)
        elif isinstance(layer, Product):
            first = self._read(layer.factors, self._common(layer.factors))
            second = self._read(layer.sources, self._common(layer.sources))
            for i, p in enumerate(self.primes.all):
                self.values[i][:, layer.units] = modulo(first[i][:1] * second[i], p)
        elif isinstance(layer, Step):
            if self._decide:
                sign = self._sign(layer.sources, np.zeros_like(layer.sources))
                self.branches[k] = ((sign > 0) if layer.strict else (sign >= 0)).astype(np.int64)
            self._put(layer, self.branches[k].astype(object))
        else:
            self._run_staircase(k, layer)

    def _put(self, layer: Any, numbers: NDArray[Any]) -> None:
        """Constant values in the layer's scale."""
        self.values[:, 0, layer.units] = self.primes.of(numbers)

    def _run_linear(self, k: int, layer: Linear) -> None:
        common, shifted = self._common(layer.reads()), self._shifted[k]
        scale = common << shifted.shift
        bias = np.array([int(Fraction(v) * scale) for v in layer.bias.tolist()], dtype=object)
        factors = [common // s if common % s == 0 else 0 for s in self.scales]
        for i, p in enumerate(self.primes.all):
            residues = np.array([f % p for f in factors], dtype=np.float64)
            x = self.values[i]
            y = np.zeros((x.shape[0], layer.size))
            y[0] = (bias % p).astype(np.float64)
            blocks = y.reshape(len(y), -1, layer.width)
            for tap, weights in zip(layer.taps, shifted.taps, strict=True):
                w, depth = weights.modulo(p), tap.sources.shape[1]
                for start in range(0, depth, LONGEST_SUM):
                    part = slice(start, start + LONGEST_SUM)
                    seen = self._scaled(x, tap.sources[:, part], residues, p)
                    blocks[:, tap.targets] += modulo(seen @ w[part], p)
            if layer.sources.size:
                seen = self._scaled(x, layer.sources, residues, p)
                _add_rows(y, layer, modulo(seen * shifted.weights.modulo(p), p))
            self.values[i][:, layer.units] = modulo(y, p)

    def _scaled(self, x: Array, ids: Ids, residues: Array, p: int) -> Array:
        """Units times what brings them to the common scale."""
        factor = residues[self._layer_of[ids]]
        return x[:, ids] if (factor == 1).all() else modulo(x[:, ids] * factor, p)

    def _run_maximum(self, k: int, layer: Maximum | Winner) -> None:
        if self._decide:
            self.branches[k] = self._winners(layer)
        branch = self.branches[k]
        rows = np.arange(layer.size)
        if isinstance(layer, Winner):
            scale = self.scales[k + 2]
            chosen = [int(Fraction(v) * scale) for v in layer.numbers[rows, branch].tolist()]
            self._put(layer, np.array(chosen, dtype=object))
            return
        found = self._read(layer.sources[rows, branch], self.scales[k + 2])
        for i, x in enumerate(found):
            self.values[i][:, layer.units] = x

    def _winners(self, layer: Maximum | Winner) -> NDArray[np.int64]:
        """The place of the greatest entry of each row, by pairs."""
        rows = np.arange(layer.size)
        best = (layer.sources >= 0).argmax(axis=1)
        last = isinstance(layer, Winner) and layer.last
        for place in range(1, layer.sources.shape[1]):
            plays = rows[(layer.sources[:, place] >= 0) & (best != place)]
            sign = self._sign(layer.sources[plays, place], layer.sources[plays, best[plays]])
            wins = sign >= 0 if last else sign > 0
            best[plays[wins]] = place
        return np.asarray(best, dtype=np.int64)

    def _run_staircase(self, k: int, layer: Staircase) -> None:
        if self._decide:
            value, _ = self.rationals(layer.sources)
            slope = self._slope_signs(layer.sources)
            stairs = [_stair(v, s, layer.rounding) for v, s in zip(value, slope, strict=True)]
            if any(abs(n) > LARGEST_STEP for n in stairs):
                raise ModelError(f"{layer.label}: its values are too large for exact linear pieces.")
            self.branches[k] = np.array(stairs, dtype=np.int64)
        self._put(layer, self.branches[k].astype(object))

    # ---- what is asked ----------------------------------------------------------------------------------

    def differences(self, plus: Ids, minus: Ids, columns: slice = slice(None)) -> tuple[Array, int]:
        """Residues (primes, columns, pairs) of x[plus] - x[minus], and their scale."""
        common = self._common(np.concatenate([plus, minus]))
        first, second = self._read(plus, common), self._read(minus, common)
        parts = [
            modulo(a[columns] - b[columns] + p, p)
            for a, b, p in zip(first, second, self.primes.all, strict=True)
        ]
        return np.stack(parts), common

    def _sign(self, plus: Ids, minus: Ids) -> NDArray[np.int8]:
        """The sign of a difference just behind the base point."""
        found, _ = self.differences(plus, minus, slice(0, 2))
        sign = self.primes.signs(found[:, 0])
        zero = np.nonzero(sign == 0)[0]
        if zero.size and found.shape[1] > 1:
            sign[zero] = self.primes.signs(found[:, 1, zero])
        return sign

    def _slope_signs(self, ids: Ids) -> NDArray[np.int8]:
        if self.values.shape[1] == 1:
            return np.zeros(len(ids), dtype=np.int8)
        return self.primes.signs(self.differences(ids, np.zeros_like(ids), slice(1, 2))[0][:, 0])

    def rationals(self, ids: Ids) -> tuple[list[Fraction], list[list[Fraction]]]:
        """Values at the base point, and slopes (a list for each direction), of some units."""
        flat = ids.reshape(-1)
        found, scale = self.differences(flat, np.zeros_like(flat))
        rows = [[Fraction(v, scale) for v in row] for row in self.primes.integers(found).tolist()]
        return rows[0], rows[1:]

    def margins(self, guards: Guards) -> tuple[NDArray[Any], int]:
        """Integers (columns, guards) over one scale: what the guards say is not negative."""
        found, scale = self.differences(guards.plus, guards.minus)
        whole = self.primes.integers(found)
        shift = lowest_bit(guards.constant)
        if guards.constant.any():
            whole = whole << shift
            scale <<= shift
            whole[0] += np.array([int(Fraction(v) * scale) for v in guards.constant.tolist()], dtype=object)
        return whole, scale

    @cached_property
    def outputs(self) -> dict[str, list[Fraction]]:
        """Values of the outputs at the base point, flat."""
        return {name: self.rationals(ids)[0] for name, ids in self.program.outputs.items()}


def _add_rows(y: Array, layer: Linear, terms: Array) -> None:
    """Add the sums of compressed rows."""
    used = np.diff(layer.pointers) > 0
    if used.any():
        y[:, used] += np.add.reduceat(terms, layer.pointers[:-1][used], axis=1)


def _stair(value: Fraction, slope: int, rounding: str) -> int:
    """The whole number just behind the base point."""
    edge = value + (Fraction(1, 2) if rounding == "even" else 0)
    if slope == 0 or edge.denominator != 1:
        return round(value) if rounding == "even" else floor(value) if rounding == "floor" else ceil(value)
    # at an edge: the stair behind it
    top = edge + 1 if rounding == "ceil" else edge
    return int(top if slope > 0 else top - 1)
