"""The order of units in which inner loops run through memory without gaps, and the blocks that they form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.pieces.program import Ids, Linear, Product, Program

__all__ = ["Runs", "Units", "blocks_of", "ordered", "runs_of"]

LARGEST_BLOCK = 64
"""Units per block: what is looked at when one of them changes."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Products of consecutive units with one matrix: ``length`` of them from each of ``sources`` on.

    ``weights`` has ``length`` rows; ``targets`` are the first of ``weights.shape[1]`` consecutive units.
    """

    sources: Ids
    targets: Ids
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Units:
    """A new number for each unit, and back."""

    new: Ids
    old: Ids


def ordered(program: Program, layers: NDArray[np.bool_]) -> Units:
    """Units of a layer in the order of what they read, within the layer's range; all others stay."""
    new = np.arange(program.size)
    for layer, sorts in zip(program.layers, layers, strict=True):
        if sorts and not (isinstance(layer, Linear) and layer.taps):
            order = np.argsort(_first(layer, new), kind="stable")
            new[layer.start + order] = layer.start + np.arange(layer.size)
    old = np.empty_like(new)
    old[new] = np.arange(program.size)
    return Units(new, old)


def _first(layer: Any, new: Ids) -> Ids:
    """The new number of the first unit that each unit of a layer reads."""
    if isinstance(layer, Linear):
        first = np.full(layer.size, np.iinfo(np.int64).max)
        np.minimum.at(first, layer.rows, new[layer.sources])
        return first
    sources = layer.sources if layer.sources.ndim == 2 else layer.sources[:, None]
    if isinstance(layer, Product):
        return np.asarray(new[layer.sources])
    place = (sources > 0).argmax(axis=1)
    return np.asarray(new[np.maximum(sources[np.arange(layer.size), place], 0)])


def runs_of(layer: Linear, new: Ids) -> list[Runs]:
    """The taps of a layer, cut where their sources are not consecutive."""
    made: list[Runs] = []
    for tap in layer.taps:
        sources = new[tap.sources]
        order = np.argsort(sources[0], kind="stable")
        sources, weights = sources[:, order], tap.weights[order]
        targets = layer.start + tap.targets * layer.width
        gaps = (np.diff(sources, axis=1) != 1) | (sources[:, 1:] == 1)
        patterns, which = np.unique(gaps, axis=0, return_inverse=True)
        for k, pattern in enumerate(patterns):
            rows = np.nonzero(which.reshape(-1) == k)[0]
            ends = np.concatenate([[0], np.nonzero(pattern)[0] + 1, [sources.shape[1]]])
            for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                first = sources[rows, a]
                moves = first > 0
                if moves.any() and weights[a:b].any():
                    part = np.ascontiguousarray(weights[a:b])
                    made.append(Runs(first[moves], targets[rows][moves], part))
    return made


def blocks_of(size: int, starts: Ids, cuts: Sequence[Ids]) -> Ids:
    """The first units of all blocks (and the end): a partition at the starts of layers and at the cuts.

    Parameters
    ----------
    size : int
        Of all units.
    starts : ndarray of int
        First units of the layers.
    cuts : sequence of ndarray of int
        Where a block must not reach across.
    """
    every = np.unique(np.concatenate([[0, size], starts, *cuts]))
    lengths = np.diff(every)
    parts = -(-lengths // LARGEST_BLOCK)
    offset = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    inner = np.repeat(every[:-1], parts) + offset * LARGEST_BLOCK
    return np.append(inner, size)
