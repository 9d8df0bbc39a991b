"""All units of a program as exact affine functions of some parameters, on one linear piece.

The integers that stand for the units (`scales`) are held as residues (`residues`). Every sign is exact.
Where a value is zero the slope along the first direction decides: what is found is the piece just behind the
base point, and what is zero along the direction keeps the operator's own value at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import ModelError
from symbolic.pieces.guards import Branches, Guards
from symbolic.pieces.program import Guarded, Ids, Maximum, Program, Staircase, Step, Winner
from symbolic.pieces.residues import Primes, lowest_bit
from symbolic.pieces.scales import Scales

__all__ = ["ExactPiece"]

LARGEST_STEP = 2**53


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
        self.program = program
        self.scales = Scales(program, [base, *directions], branches)
        self.branches: Branches = {} if branches is None else branches
        self.primes = Primes.beyond(self.scales.most_bits)
        columns = 1 + len(directions)
        self.values = np.zeros((self.primes.count, columns, program.size))
        self.values[:, :, 1 : 1 + program.n_inputs] = self.primes.of(self.scales.inputs)
        for k, layer in enumerate(program.layers):
            if branches is None and isinstance(layer, Guarded):
                self.branches[k] = self._branch(layer)
            for x, p in zip(self.values, self.primes.all, strict=True):
                x[:, layer.units] = self.scales.layer(k, x, p, self.branches.get(k))
        self._require_held()

    def _require_held(self) -> None:
        """Raise ModelError where integers leave their type, or an index its axis."""
        for held in self.program.held:
            if any(not held.low <= v <= held.high for v in self.rationals(held.ids)[0]):
                raise ModelError(f"{held.label}: a value is beyond {held.low} ... {held.high} somewhere.")

    # ---- branches ---------------------------------------------------------------------------------------

    def _branch(self, layer: Guarded) -> NDArray[np.int64]:
        if isinstance(layer, (Maximum, Winner)):
            return self._winners(layer)
        if isinstance(layer, Step):
            sign = self._sign(layer.sources, np.zeros_like(layer.sources))
            return ((sign > 0) if layer.strict else (sign >= 0)).astype(np.int64)
        return self._stairs(layer)

    def _winners(self, layer: Maximum | Winner) -> NDArray[np.int64]:
        """The place of the greatest entry of each row, by a tournament of neighbours."""
        last = isinstance(layer, Winner) and layer.last
        rows = np.arange(layer.size)[:, None]
        best = np.broadcast_to(np.arange(layer.sources.shape[1]), layer.sources.shape)
        while best.shape[1] > 1:
            left, right = best[:, :-1:2].copy(), best[:, 1::2]
            units, others = layer.sources[rows, left], layer.sources[rows, right]
            left[units < 0] = right[units < 0]
            plays = (units >= 0) & (others >= 0)
            sign = self._sign(others[plays], units[plays])
            wins = sign >= 0 if last else sign > 0
            left[plays] = np.where(wins, right[plays], left[plays])
            best = np.concatenate([left, best[:, 2 * left.shape[1] :]], axis=1)
        return np.ascontiguousarray(best[:, 0], dtype=np.int64)

    def _stairs(self, layer: Staircase) -> NDArray[np.int64]:
        value, _ = self.rationals(layer.sources)
        slope = self._slope_signs(layer.sources)
        stairs = [_stair(v, s, layer.rounding) for v, s in zip(value, slope, strict=True)]
        if any(abs(n) > LARGEST_STEP for n in stairs):
            raise ModelError(f"{layer.label}: its values are too large for exact linear pieces.")
        return np.array(stairs, dtype=np.int64)

    def _sign(self, plus: Ids, minus: Ids) -> NDArray[np.int8]:
        """The sign of a difference just behind the base point."""
        found, primes, _ = self._differences(plus, minus, slice(0, 1))
        sign = primes.signs(found[:, 0])
        zero = np.nonzero(sign == 0)[0]
        if zero.size and self.values.shape[1] > 1:
            found, primes, _ = self._differences(plus[zero], minus[zero], slice(1, 2))
            sign[zero] = primes.signs(found[:, 0])
        return sign

    def _slope_signs(self, ids: Ids) -> NDArray[np.int8]:
        if self.values.shape[1] == 1:
            return np.zeros(len(ids), dtype=np.int8)
        found, primes, _ = self._differences(ids, np.zeros_like(ids), slice(1, 2))
        return primes.signs(found[:, 0])

    # ---- what is asked ----------------------------------------------------------------------------------

    def _differences(self, plus: Ids, minus: Ids, columns: slice) -> tuple[Array, Primes, int]:
        """Residues (primes, columns, pairs) of x[plus] - x[minus] for as many primes as they need, and
        their scale.
        """
        both = np.concatenate([plus, minus])
        common = self.scales.common(both)
        primes = Primes.beyond(self.scales.bits(both))
        if primes.count > self.primes.count:
            raise ModelError("exact values of this network are too large.")
        found = np.zeros((primes.count, len(range(*columns.indices(self.values.shape[1]))), len(plus)))
        signed = [(1.0, plus), (-1.0, minus)] if minus.any() else [(1.0, plus)]
        terms = [(sign, ids, self.scales.lifts(ids, common)) for sign, ids in signed]
        for y, x, p in zip(found, self.values, primes.all, strict=False):
            for sign, ids, lifts in terms:
                y += sign * self.scales.read(x[columns], ids, lifts, p)
        return found, primes, common

    def integers(self, plus: Ids, minus: Ids) -> tuple[NDArray[Any], NDArray[Any]]:
        """Integers (columns, pairs), and the scale of each pair, that stand for x[plus] - x[minus]."""
        first, second = self.scales.group[plus], self.scales.group[minus]
        kinds, kind = np.unique(first * len(self.scales.scales) + second, return_inverse=True)
        whole = np.zeros((self.values.shape[1], len(plus)), dtype=object)
        scale = np.ones(len(plus), dtype=object)
        for k in range(len(kinds)):
            here = np.nonzero(kind == k)[0]
            found, primes, common = self._differences(plus[here], minus[here], slice(None))
            whole[:, here], scale[here] = primes.integers(found), common
        return whole, scale

    def rationals(self, ids: Ids) -> tuple[list[Fraction], list[list[Fraction]]]:
        """Values at the base point, and slopes (a list for each direction), of some units."""
        flat = ids.reshape(-1)
        whole, scale = self.integers(flat, np.zeros_like(flat))
        rows = [[Fraction(v, s) for v, s in zip(row, scale, strict=True)] for row in whole.tolist()]
        return rows[0], rows[1:]

    def margins(self, guards: Guards) -> tuple[NDArray[Any], NDArray[Any]]:
        """Integers (columns, guards), and the scale of each guard: what the guards say is not negative."""
        whole, scale = self.integers(guards.plus, guards.minus)
        moved = np.nonzero(guards.constant)[0]
        if moved.size:
            shift = lowest_bit(guards.constant)
            whole[:, moved] <<= shift
            scale[moved] <<= shift
            added = zip(guards.constant[moved].tolist(), scale[moved].tolist(), strict=True)
            whole[0, moved] += np.array([int(Fraction(v) * s) for v, s in added], dtype=object)
        return whole, scale

    @cached_property
    def outputs(self) -> dict[str, list[Fraction]]:
        """Values of the outputs at the base point, flat."""
        return {name: self.rationals(ids)[0] for name, ids in self.program.outputs.items()}


def _stair(value: Fraction, slope: int, rounding: str) -> int:
    """The whole number just behind the base point."""
    edge = value + (Fraction(1, 2) if rounding == "even" else 0)
    if slope == 0 or edge.denominator != 1:
        return round(value) if rounding == "even" else floor(value) if rounding == "floor" else ceil(value)
    # at an edge: the stair behind it
    top = edge + 1 if rounding == "ceil" else edge
    return int(top if slope > 0 else top - 1)
