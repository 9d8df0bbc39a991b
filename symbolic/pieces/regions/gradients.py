"""Units as exact affine functions of all inputs, in compressed rows of integers.

With the branches fixed everything is linear: one prime after the other goes through all layers, and only the
residues that are not zero are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.guards import Branches
from symbolic.pieces.program import Ids, Program
from symbolic.pieces.residues import Primes
from symbolic.pieces.scales import Scales

__all__ = ["Rows", "gradients"]

AT_ONCE = 1 << 25
"""Residues of all units that are held: more inputs are taken in blocks."""
CHUNK = 1 << 21
"""Residues of differences that are looked at together."""
ENTRIES = 1 << 18
"""Integers that are made together."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Affine functions (offsets[k] + sum of numbers[j] x[columns[j]]) / scales[k], j from pointers[k] on."""

    pointers: Ids
    columns: Ids
    numbers: NDArray[Any]
    offsets: NDArray[Any]
    scales: NDArray[Any]


@dataclass(eq=False)
class _Chunk:
    """Differences of units of the same two layers, and the residues that are not zero."""

    pairs: Ids
    plus: Ids
    minus: Ids
    common: int
    primes: Primes
    places: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    kept: list[NDArray[np.int32]] = field(default_factory=list)
    late: list[tuple[int, Ids, NDArray[np.int32]]] = field(default_factory=list)

    def take(self, scales: Scales, i: int, x: Array) -> None:
        """Keep the residues modulo the prime number i."""
        p = self.primes.all[i]
        found = scales.read(x, self.plus, scales.lifts(self.plus, self.common), p)
        if self.minus.any():
            found -= scales.read(x, self.minus, scales.lifts(self.minus, self.common), p)
        flat = np.ascontiguousarray(found.T).reshape(-1).astype(np.int32)
        if i == 0:
            self.places = np.nonzero(flat)[0]
        self.kept.append(flat[self.places])
        flat[self.places] = 0
        late = np.nonzero(flat)[0]
        if late.size:  # a number that is a multiple of the first prime
            self.late.append((i, late, flat[late]))

    def entries(self, columns: int) -> Iterator[tuple[Ids, Ids, NDArray[Any]]]:
        """Pairs, columns and integers; what was kept is forgotten."""
        residues = np.stack(self.kept)
        places = self.places
        if self.late:
            added = np.unique(np.concatenate([late for _, late, _ in self.late]))
            more = np.zeros((self.primes.count, added.size), dtype=np.int32)
            for i, late, values in self.late:
                more[i, np.searchsorted(added, late)] = values
            places, residues = np.concatenate([places, added]), np.concatenate([residues, more], axis=1)
        self.kept, self.late = [], []
        for start in range(0, places.size, ENTRIES):
            part = slice(start, start + ENTRIES)
            pair, column = np.divmod(places[part], columns)
            yield self.pairs[pair], column, self.primes.integers(residues[:, part].astype(np.float64))


def gradients(program: Program, branches: Branches, plus: Ids, minus: Ids) -> Rows:
    """x[plus] - x[minus] as functions of the inputs on the linear piece of some branches.

    Parameters
    ----------
    program : Program
    branches : mapping
        Of every guarded layer.
    plus, minus : ndarray of int
        Pairs of units.
    """
    n = program.n_inputs
    # every column is bounded by these two
    scales = Scales(program, [[Fraction(0)] * n, [Fraction(1)] * n], branches)
    width = min(n, max(1, AT_ONCE // program.size))
    chunks = list(_chunks(scales, plus, minus, width + 1))
    found: list[tuple[Ids, Ids, NDArray[Any]]] = []
    for start in range(0, n, width):
        inputs = np.arange(start, min(n, start + width))
        for i, x in enumerate(_passes(scales, branches, inputs)):
            for chunk in chunks:
                if i < chunk.primes.count:
                    chunk.take(scales, i, x)
                if i == chunk.primes.count - 1:
                    found += [_placed(entries, start) for entries in chunk.entries(len(x))]
    scale = np.ones(len(plus), dtype=object)
    for chunk in chunks:
        scale[chunk.pairs] = chunk.common
    return _compressed(found, scale)


def _chunks(scales: Scales, plus: Ids, minus: Ids, columns: int) -> Iterator[_Chunk]:
    kinds = scales.group[plus] * len(scales.scales) + scales.group[minus]
    size = max(1, CHUNK // columns)
    for kind in np.unique(kinds):
        here = np.nonzero(kinds == kind)[0]
        both = np.concatenate([plus[here], minus[here]])
        primes, common = Primes.beyond(scales.bits(both)), scales.common(both)
        for start in range(0, here.size, size):
            pairs = here[start : start + size]
            yield _Chunk(pairs, plus[pairs], minus[pairs], common, primes)


def _passes(scales: Scales, branches: Branches, inputs: Ids) -> Iterator[Array]:
    """All units modulo one prime after the other: row 0 at the origin, then along each of some inputs."""
    program = scales.program
    for p in Primes.beyond(scales.most_bits).all:
        x = np.zeros((1 + inputs.size, program.size))
        x[1 + np.arange(inputs.size), 1 + inputs] = 1.0
        for k, layer in enumerate(program.layers):
            x[:, layer.units] = scales.layer(k, x, p, branches.get(k))
        yield x


def _placed(entries: tuple[Ids, Ids, NDArray[Any]], start: int) -> tuple[Ids, Ids, NDArray[Any]]:
    """With the columns of all inputs; 0 is the value at the origin, which the first block of inputs gives."""
    pair, column, number = entries
    if start:
        kept = column > 0
        pair, column, number = pair[kept], column[kept] + start, number[kept]
    return pair, column, number


def _compressed(found: list[tuple[Ids, Ids, NDArray[Any]]], scale: NDArray[Any]) -> Rows:
    pair, column, number = (
        np.concatenate([part[k] for part in found] or [np.zeros(0, dtype=np.int64)]) for k in range(3)
    )
    offsets = np.zeros(len(scale), dtype=object)
    still = column == 0
    offsets[pair[still]] = number[still]
    pair, column, number = pair[~still], column[~still] - 1, number[~still]
    order = np.lexsort((column, pair))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(pair, minlength=len(scale)))])
    return Rows(pointers, column[order], number[order].astype(object), offsets, scale)
