"""Rows of the adjoint of swept layers: what a few units owe to each unit below, with the pattern at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum
from verifier.sweep.products import OPTIONS
from verifier.sweep.residuals import ULP, UP
from verifier.sweep.sweeper import Plan

__all__ = ["Adjoint", "adjoint_of"]


@dataclass(frozen=True, eq=False)
class _Part:
    """What one layer reads of another one: blocks of units times a matrix, or single entries."""

    source: int
    sources: Ids  # (blocks, a), counted in the layer that is read; -1: nothing
    targets: Ids  # blocks, or units, counted in the layer
    weights: Array  # (a, b), or one per entry


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The adjoint of a plan's swept layers, all sums and maxima.

    Layers are numbered as in the plan's body; the inputs come last.

    Attributes
    ----------
    parts : per layer, of sums
    start, size : per layer
    rounding : ndarray, per layer that is read
        Of sums of all that reads it, relative to their absolute values.
    owner : ndarray of int
        The layer of each unit, -1 of unit 0.
    """

    parts: tuple[tuple[_Part, ...], ...]
    start: Ids
    size: Ids
    rounding: Array
    owner: Ids

    def through(
        self, layer: Linear | Maximum, number: int, rows: Array, branch: Ids, below: dict[int, Array]
    ) -> None:
        """Hand rows (units, rows) of a layer on to what it reads; added to ``below``.

        Parameters
        ----------
        layer : Linear or Maximum
        number : int
            Of the layer.
        rows : ndarray, shape (units of the layer, rows)
        branch : ndarray of int
            The places of the winners of a layer of maxima.
        below : dict of int to ndarray
            By layer.
        """
        if isinstance(layer, Maximum):
            chosen = layer.sources[np.arange(layer.size), branch]
            owners = self.owner[chosen]
            for s in np.unique(owners[owners >= 0]).tolist():
                mine = owners == s
                _add_entries(
                    chosen[mine] - self.start[s],
                    np.nonzero(mine)[0],
                    np.ones(int(mine.sum())),
                    rows,
                    self.room(s, rows.shape[1], below),
                )
            return
        rows = rows if layer.divisor == 1 else rows / layer.divisor
        blocks = rows.reshape(-1, layer.width, rows.shape[1])
        live = (blocks != 0.0).any(axis=(1, 2))
        for part in self.parts[number]:
            to = self.room(part.source, rows.shape[1], below)
            if part.sources.ndim == 2:
                mine = live[part.targets]
                _scatter(part.sources[mine], part.weights @ blocks[part.targets[mine]], to)
            else:
                _add_entries(part.sources, part.targets, part.weights, rows, to)

    def room(self, layer: int, rows: int, below: dict[int, Array]) -> Array:
        """Where rows of a layer are summed."""
        if layer not in below:
            below[layer] = np.zeros((int(self.size[layer]), rows))
        return below[layer]


_known: WeakKeyDictionary[Any, dict[tuple[int, ...], Adjoint]] = WeakKeyDictionary()
"""By the swept layers."""


def adjoint_of(plan: Plan) -> Adjoint | None:
    """The adjoint of what is swept; None if not all of it is sums and maxima."""
    known = _known.setdefault(plan.program, {})
    body = tuple(plan.body)
    if not all(isinstance(plan.program.layers[k], (Linear, Maximum)) for k in body):
        return None
    if body not in known:
        known[body] = _made(plan)
    return known[body]


def _made(plan: Plan) -> Adjoint:
    program, n = plan.program, len(plan.body)
    chosen = [program.layers[k] for k in plan.body]
    start = np.array([*(layer.start for layer in chosen), 1], dtype=np.int64)
    size = np.array([*(layer.size for layer in chosen), program.n_inputs], dtype=np.int64)
    owner = np.full(program.size, -1)
    for j in range(n + 1):
        owner[start[j] : start[j] + size[j]] = j
    terms = np.zeros(n + 1)
    parts = []
    for layer in chosen:
        found: list[_Part] = []
        every: list[tuple[Ids, int]] = []
        if isinstance(layer, Maximum):
            every = [(layer.sources.reshape(-1), 1)]
        else:
            found = [part for tap in layer.taps for part in _of_tap(tap, owner, start)]
            owners = owner[layer.sources]
            for s in np.unique(owners[owners >= 0]).tolist():
                mine = owners == s
                found.append(_Part(s, layer.sources[mine] - start[s], layer.rows[mine], layer.weights[mine]))
            every = [(tap.sources.reshape(-1), tap.weights.shape[1]) for tap in layer.taps]
            every.append((layer.sources, 1))
        for sources, times in every:
            _count(terms, sources, times, owner)
        parts.append(tuple(found))
    return Adjoint(tuple(parts), start, size, (terms + 8) * ULP * UP, owner)


def _of_tap(tap: Any, owner: Ids, start: Ids) -> list[_Part]:
    found = []
    owners = owner[tap.sources]
    for s in np.unique(owners[owners >= 0]).tolist():
        mine = owners == s
        columns = mine.any(axis=0)
        sources = np.where(mine, tap.sources - start[s], -1)[:, columns]
        found.append(
            _Part(
                s,
                np.ascontiguousarray(sources),
                tap.targets,
                np.ascontiguousarray(tap.weights[columns]),
            )
        )
    return found


def _count(terms: Array, sources: Ids, times: int, owner: Ids) -> None:
    """Add to the terms of every layer what its unit that is read most often gets."""
    units, counts = np.unique(sources[sources > 0], return_counts=True)
    owners = owner[units]
    for s in np.unique(owners).tolist():
        terms[s] += times * counts[owners == s].max()


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _scatter(sources: Ids, made: Array, to: Array) -> None:
    """to[sources[i, k]] += made[i, k]."""
    for i in range(len(sources)):
        for k in range(sources.shape[1]):
            x = sources[i, k]
            if x >= 0:
                for r in range(made.shape[2]):
                    to[x, r] += made[i, k, r]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _add_entries(sources: Ids, targets: Ids, weights: Array, rows: Array, to: Array) -> None:
    """to[sources[i]] += weights[i] * rows[targets[i]]."""
    for i in range(len(sources)):
        x, t, c = sources[i], targets[i], weights[i]
        for r in range(rows.shape[1]):
            to[x, r] += c * rows[t, r]
