"""Which changes of one layer reach which units of another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from symbolic.pieces.program import Ids, Linear, Product
from verifier.sweep.layout import MATRIX, ROWS, TOUCH
from verifier.sweep.ordering import Runs, Units

__all__ = ["Arrays", "Blocks", "link_gates", "link_rows", "link_runs", "permuted", "row_sources"]


class Arrays:
    """Lists of arrays that are glued together at the end."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Any]] = {}
        self.sizes: dict[str, int] = {}

    def add(self, name: str, values: Any) -> int:
        """Append; where the values begin."""
        values = np.asarray(values).reshape(-1)
        at = self.sizes.get(name, 0)
        self.parts.setdefault(name, []).append(values)
        self.sizes[name] = at + len(values)
        return at

    def whole(self, name: str, dtype: type = np.int64) -> Any:
        found = self.parts.get(name, [])
        return np.concatenate([*found, np.zeros(0, dtype=dtype)]).astype(dtype)


class Blocks(NamedTuple):
    block: Ids
    block_of: Ids
    layer_unit: Ids
    first_block: Ids
    chosen: list[Any]


def _link(arrays: Arrays, source: int, kind: int, counts: Ids, base: int) -> None:
    """A link whose entries, ``counts`` for each block (or unit) of the source, begin at ``base``."""
    arrays.add("link", [source, kind, arrays.sizes.get("pointers", 0)])
    arrays.add("pointers", base + np.concatenate([[0], np.cumsum(counts)]))


def link_runs(arrays: Arrays, b: Blocks, layer: Linear, runs: list[Runs]) -> None:
    """Products with matrices: a run is cut at the ends of blocks, which are ends of whole blocks."""
    parts: list[Ids] = []
    for run in runs:
        length, width = run.weights.shape
        at = arrays.add("weights", run.weights)
        source, target = run.sources, run.targets
        done = np.zeros(len(source), dtype=np.int64)
        while len(source):
            first = source + done
            parts.append(np.stack([b.block_of[first], first, at + done * width, target], axis=1))
            done = np.minimum(b.block[b.block_of[first] + 1] - source, length)
            more = done < length
            source, target, done = source[more], target[more], done[more]
    edges = np.concatenate([np.zeros((0, 4), dtype=np.int64), *parts])
    edges = edges[b.layer_unit[edges[:, 1]] >= 0]
    if not len(edges):
        return
    edges = edges[np.argsort(edges[:, 3], kind="stable")]
    units, which, counts = np.unique(edges[:, 3], return_inverse=True, return_counts=True)
    ends = arrays.add("edge", edges[:, :3]) // 3 + np.cumsum(counts)
    width = np.full_like(units, layer.width)
    reach = b.block_of[units], b.block_of[units + layer.width - 1]
    table = np.stack([units, width, ends - counts, ends, *reach], axis=1)
    target = arrays.add("target", table) // 6 + which.reshape(-1)
    _link_touched(arrays, b, np.stack([edges[:, 0], target], axis=1), MATRIX)


def _link_touched(arrays: Arrays, b: Blocks, pairs: Ids, kind: int) -> None:
    """Links from pairs of source block and what it touches."""
    pairs = np.unique(pairs, axis=0)
    owners = b.layer_unit[b.block[pairs[:, 0]]]
    for source_layer in np.unique(owners).tolist():
        some = pairs[owners == source_layer]
        a, z = b.first_block[source_layer]
        base = arrays.add("touched", some[:, 1])
        _link(arrays, source_layer, kind, np.bincount(some[:, 0] - a, minlength=z - a), base)


def link_rows(arrays: Arrays, b: Blocks, layer: Linear, units: Units) -> None:
    """Single entries, by source unit."""
    if not layer.sources.size:
        return
    sources, targets = units.new[layer.sources], units.new[layer.start + layer.rows]
    layers = b.layer_unit[sources]
    for source_layer in np.unique(layers[layers >= 0]).tolist():
        mine = layers == source_layer
        order = np.argsort(sources[mine], kind="stable")
        origin = b.chosen[source_layer]
        counts = np.bincount(sources[mine] - origin.start, minlength=origin.size)
        base = arrays.add("entry_target", targets[mine][order])
        arrays.add("entry_weight", layer.weights[mine][order])
        _link(arrays, source_layer, ROWS, counts, base)


def link_gates(arrays: Arrays, b: Blocks, layer: Any, units: Units) -> None:
    """Which blocks of gates are looked at when a block changes."""
    tables = [layer.sources, layer.factors] if isinstance(layer, Product) else [layer.sources]
    if isinstance(layer, Linear):
        tables = [row_sources(layer)]
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for values in tables:
        sources = permuted(layer, values, units).reshape(layer.size, -1)
        mine = np.broadcast_to(b.block_of[layer.units][:, None], sources.shape)
        moving = sources > 0
        moving[moving] = b.layer_unit[sources[moving]] >= 0
        pairs.append(np.stack([b.block_of[sources[moving]], mine[moving]], axis=1))
    _link_touched(arrays, b, np.concatenate(pairs), TOUCH)


def row_sources(layer: Linear) -> Ids:
    """The sources of short rows as a table, filled up with -1."""
    counts = np.diff(layer.pointers)
    places = np.arange(int(counts.max(initial=0)))
    inside = places < counts[:, None]
    found = np.full(inside.shape, -1)
    found[inside] = layer.sources
    return found


def permuted(layer: Any, values: Any, units: Units) -> Any:
    """What belongs to the units of a layer, in their new order, with new numbers."""
    made = values[units.old[layer.units] - layer.start]
    return np.where(made >= 0, units.new[np.maximum(made, 0)], -1)
