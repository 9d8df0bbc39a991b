"""Certified upper bounds of l2 operator norms of layers, per layer that is read.

- A matrix A: ||A||^2 = ||G|| for G = A'A, and ||G|| <= ||G^p||_F^(1/p) for p = 2^k, as G is symmetric and
  the spectral norm is at most the Frobenius norm. The rounding of the squarings is relative to the Frobenius
  norms, of which no more than a factor of the dimension is lost: `UP` covers it.
- A convolution whose taps are translations of one grid, each to all places from which it reads one of the
  places that are read at all, is a compression of the circulant convolution on any torus that is so large
  that no tap wraps around (N + k - 1), which the discrete Fourier transform makes block diagonal: its norm is
  the greatest of the norms of the blocks sum_k exp(i d_k theta) W_k.
- Any taps: the targets read copies of source blocks through the stacked matrix. A block that is read m times
  makes the copying a map of norm sqrt(m).
- Sparse rows: sqrt(largest row sum * largest column sum) of absolute values (Schur's test); sums of parts by
  the triangle inequality.
- The greatest of a row changes by at most the largest change of an entry; a unit that stands in m rows counts
  m times: sqrt(m).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Program, Step, Winner

__all__ = ["matrix_norm", "norms_of", "symbol_norm", "whole_numbers"]

UP = 1 + 2.0**-20
"""Covers the rounding of all that is computed here: sums of less than 2^24 terms, and the squarings."""
SQUARINGS = 5
LARGEST_WHOLE = 2.0**50


def matrix_norm(matrices: NDArray[Any]) -> float:
    """At least the largest norm of some matrices (..., a, b)."""
    if 0 in matrices.shape:
        return 0.0
    if matrices.shape[-2] < matrices.shape[-1]:
        matrices = np.conj(np.swapaxes(matrices, -1, -2))
    scale = float(np.abs(matrices).max())
    if scale == 0:
        return 0.0
    gram = np.conj(np.swapaxes(matrices, -1, -2) / scale) @ (matrices / scale)
    logs = np.zeros(gram.shape[:-2])  # of what has been divided out
    for k in range(SQUARINGS):
        size = np.sqrt((np.abs(gram) ** 2).sum(axis=(-1, -2)))
        size = np.where(size > 0, size, 1.0)
        gram = gram / size[..., None, None]
        logs += np.log(size) / 2**k
        gram = gram @ gram
    size = np.sqrt((np.abs(gram) ** 2).sum(axis=(-1, -2)))
    with np.errstate(divide="ignore"):
        logs += np.log(size) / 2**SQUARINGS
    return float(np.exp(logs.max() / 2) * scale * UP)


def symbol_norm(weights: Array, offsets: Ids, torus: tuple[int, ...]) -> float:
    """The largest norm of sum_k exp(i offset_k theta) weights_k over the frequencies of a torus."""
    frequency = np.stack(np.meshgrid(*(np.arange(n) / n for n in torus), indexing="ij"), -1).reshape(
        -1, len(torus)
    )
    frequency = frequency[: len(frequency) // 2 + 1] if len(torus) == 1 else frequency[frequency[:, 0] <= 0.5]
    best = 0.0
    for part in np.array_split(frequency, -(-len(frequency) // 512)):
        phases = np.exp(2j * np.pi * (part @ offsets.T))
        symbols = np.tensordot(phases, weights, axes=(1, 0))
        found = matrix_norm(symbols)
        best = max(best, found) if np.isfinite(found) else np.inf
    return best


def norms_of(program: Program, k: int, absolute: bool = False, most: Array | None = None) -> dict[int, float]:
    """Norms of layer k as a function of each layer that it reads (-1: the inputs).

    Parameters
    ----------
    program : Program
    k : int
        Of linear layers, maxima, and products (as a function of what is multiplied).
    absolute : bool
        With absolute weights.
    most : ndarray, optional
        `whole_numbers` of the program, for products.
    """
    layer = program.layers[k]
    owner = _owners(program)
    if isinstance(layer, Product):
        largest = float(
            np.max((whole_numbers(program) if most is None else most)[layer.factors], initial=0.0)
        )
        units, counts = np.unique(layer.sources[layer.sources > 0], return_counts=True)
        return {
            int(s): float(largest * np.sqrt(counts[owner[units] == s].max()) * UP)
            for s in np.unique(owner[units])
        }
    if not isinstance(layer, Linear):
        units, counts = np.unique(layer.sources[layer.sources > 0], return_counts=True)
        return {int(s): float(np.sqrt(counts[owner[units] == s].max()) * UP) for s in np.unique(owner[units])}
    found: dict[int, float] = {}
    for s in np.unique(owner[layer.sources[layer.sources > 0]]).tolist():
        found[s] = _rows_norm(layer, owner[layer.sources] == s)
    groups: dict[int, list[tuple[Ids, Ids, Array]]] = {}
    for tap in layer.taps:
        owners = np.where(tap.sources > 0, owner[tap.sources], -2)
        for s in np.unique(owners[owners > -2]).tolist():
            columns = (owners == s).any(axis=0)
            weights = tap.weights[columns]
            groups.setdefault(s, []).append(
                (
                    np.where(owners == s, tap.sources, 0)[:, columns],
                    tap.targets,
                    np.abs(weights) if absolute else weights,
                )
            )
    for s, taps in groups.items():
        found[s] = found.get(s, 0.0) + _taps_norm(program, layer, s, taps)
    return {s: v / layer.divisor * UP for s, v in found.items()}


def whole_numbers(program: Program) -> Array:
    """Bounds of the absolute values of units that are whole numbers wherever all branches are right.

    Such are steps, whole numbers of winners, and whole sums, maxima and products of such: float64 adds them
    exactly, and they have no error. Infinite for all others.
    """
    most = np.full(program.size, np.inf)
    most[0] = 0.0
    for layer in program.layers:
        if isinstance(layer, Step):
            found = np.ones(layer.size)
        elif isinstance(layer, Winner):
            whole = bool((layer.numbers == np.rint(layer.numbers)).all())
            found = np.abs(layer.numbers).max(axis=1) if whole else np.full(layer.size, np.inf)
        elif isinstance(layer, Maximum):
            found = most[np.maximum(layer.sources, 0)].max(axis=1)
        elif isinstance(layer, Product):
            found = most[layer.factors] * most[layer.sources]
        elif isinstance(layer, Linear):
            found = _whole_sums(layer, most)
        else:
            continue
        most[layer.units] = np.where(found < LARGEST_WHOLE, found, np.inf)
    return most


def _whole_sums(layer: Linear, most: Array) -> Array:
    weights = [layer.bias, layer.weights, *(tap.weights for tap in layer.taps)]
    if layer.divisor != 1 or any((w != np.rint(w)).any() for w in weights):
        return np.full(layer.size, np.inf)
    found = np.abs(layer.bias)
    with np.errstate(invalid="ignore"):
        for tap in layer.taps:
            found.reshape(-1, layer.width)[tap.targets] += most[tap.sources] @ np.abs(tap.weights)
        np.add.at(found, layer.rows, most[layer.sources] * np.abs(layer.weights))
    return np.where(np.isnan(found), np.inf, found)


def _owners(program: Program) -> Ids:
    """The layer of each unit; -1 of inputs, -2 of unit 0."""
    owner = np.full(program.size, -1)
    owner[0] = -2
    for k, layer in enumerate(program.layers):
        owner[layer.units] = k
    return owner


def _rows_norm(layer: Linear, mine: NDArray[np.bool_]) -> float:
    weights, rows, sources = np.abs(layer.weights[mine]), layer.rows[mine], layer.sources[mine]
    _, columns = np.unique(sources, return_inverse=True)
    across, down = np.bincount(rows, weights), np.bincount(columns.reshape(-1), weights)
    return float(np.sqrt(across.max(initial=0)) * np.sqrt(down.max(initial=0)) * UP)


def _taps_norm(program: Program, layer: Linear, s: int, taps: list[tuple[Ids, Ids, Array]]) -> float:
    """The least of what is known for taps that read one layer."""
    widths = {w.shape[0] for _, _, w in taps}
    each = sum(matrix_norm(w) * np.sqrt(_most(sources)) for sources, _, w in taps)
    bounds = [each]
    if len(widths) == 1 and len(taps) > 1:
        stacked = np.concatenate([w for _, _, w in taps])
        units = np.concatenate([sources.reshape(-1) for sources, _, _ in taps])
        bounds.append(matrix_norm(stacked) * np.sqrt(_most(units)))
        # the other way round: a source block makes parts for several targets
        beside = np.concatenate([w for _, _, w in taps], axis=1)
        targets = np.concatenate([t for _, t, _ in taps])
        aligned = all(len(np.unique(sources.reshape(-1))) == sources.size for sources, _, _ in taps)
        if aligned and _disjoint([sources for sources, _, _ in taps]):
            bounds.append(matrix_norm(beside) * np.sqrt(_most(targets + 1)))
        grid = _translations(program, layer, s, taps)
        if grid is not None:
            bounds.append(symbol_norm(np.stack([w for _, _, w in taps]), *grid))
    return float(min(bounds)) * UP


def _most(units: Ids) -> int:
    """How often a unit (but 0) occurs at most."""
    return int(np.bincount(units.reshape(-1))[1:].max(initial=0))


def _disjoint(tables: list[Ids]) -> bool:
    """Whether rows of source units are equal or have nothing in common."""
    rows = np.unique(np.concatenate(tables), axis=0)
    return bool(_most(rows) <= 1)


def _shape(program: Program, start: int, size: int) -> tuple[int, ...] | None:
    """The grid of a tensor with channels, batch of one, whose units are a layer's."""
    for ids in program.tensors.values():
        if ids.ndim >= 3 and ids.shape[0] == 1 and ids.size == size and int(ids.min()) == start:
            if int(ids.max()) == start + size - 1:
                return ids.shape[2:]
    return None


def _translations(
    program: Program, layer: Linear, s: int, taps: list[tuple[Ids, Ids, Array]]
) -> tuple[Ids, tuple[int, ...]] | None:
    """Offsets of the taps and a torus, if each tap is a translation of one grid."""
    origin = program.layers[s] if s >= 0 else None
    if origin is None:
        return None
    grid = _shape(program, layer.start, layer.size)
    own = next(
        (
            ids
            for ids in program.tensors.values()
            if ids.ndim >= 3 and ids.shape[0] == 1 and ids.size == origin.size and ids.min() == origin.start
        ),
        None,
    )
    if grid is None or own is None or own.shape[2:] != grid or layer.size // layer.width != np.prod(grid):
        return None
    place = np.full(program.size, -1)
    place[own] = np.arange(np.prod(grid)).reshape(grid)
    channel = np.full(program.size, -1)
    channel[own] = np.arange(own.shape[1]).reshape(-1, *(1,) * len(grid))
    first = taps[0][0][0]
    if len(np.unique(first)) < len(first):  # a unit that is read twice counts more
        return None
    offsets, read = [], np.zeros(prod(grid), dtype=bool)
    for sources, targets, _ in taps:
        where = place[sources]
        if (
            (where < 0).any()
            or (where != where[:, :1]).any()
            or (channel[sources] != channel[sources[0]]).any()
        ):
            return None
        if (channel[sources[0]] != channel[first]).any():
            return None
        shift = np.stack(np.unravel_index(where[:, 0], grid)) - np.stack(np.unravel_index(targets, grid))
        if (shift != shift[:, :1]).any():
            return None
        offsets.append(shift[:, 0])
        read[where[:, 0]] = True
    table = np.array(offsets)
    if any(_reached(read.reshape(grid), d) != len(t) for d, (_, t, _) in zip(table, taps, strict=True)):
        return None  # some taps leave out what others do not: no compression
    reach = table.max(axis=0) - table.min(axis=0)
    return table, tuple(int(n + r) for n, r in zip(grid, reach, strict=True))


def _reached(read: NDArray[np.bool_], offset: Ids) -> int:
    """From how many places of a grid an offset leads to one that is read."""
    parts = [
        slice(max(0, d), max(0, n + min(0, d))) for d, n in zip(offset.tolist(), read.shape, strict=True)
    ]
    return int(read[tuple(parts)].sum())
