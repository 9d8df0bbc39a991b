"""A program as flat arrays for the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Program, Staircase, Step, Winner
from verifier.sweep.ordering import Runs, Units, blocks_of, runs_of

__all__ = ["KINDS", "Net", "compiled"]

LINEAR, MAXIMUM, WINNER, STEP, STAIRCASE, PRODUCT, SHORT = range(7)
LONGEST = 8
"""Rows of so many units at most are summed anew when one of them changes: what is zero stays exactly zero."""
BIAS = -2
"""Stands for the constant of a row among its sources."""
KINDS = {
    Linear: LINEAR, Maximum: MAXIMUM, Winner: WINNER, Step: STEP, Staircase: STAIRCASE, Product: PRODUCT
}  # fmt: skip
RELU, WINDOW, GATHER = range(3)
"""How the sources of a block of maxima lie: consecutive and unit 0; consecutive in every place; anyhow."""
MATRIX, ROWS, TOUCH = range(3)
"""What a change of one layer does to another: a product with a matrix, single entries, a gate looked at."""
ROUNDINGS = {"floor": 0, "ceil": 1, "even": 2}


# columns of Net.layers
KIND, START, MODE, PLACES, TABLE, FIRST, LINKS, LINKS_END, END = range(9)
# columns of Net.blocks
UNIT, UNIT_END, LAYER, LAYOUT, GATE = range(5)
# columns of Net.links
FROM, HOW, AT = range(3)
# columns of Net.edges
SOURCE, SOURCE_UNIT, WEIGHT = range(3)
# columns of Net.targets
TARGET_UNIT, WIDTH, EDGES, EDGES_END, FIRST_TARGET, LAST_TARGET = range(6)


class Net(NamedTuple):
    """The swept layers; units in the order of `ordering`, blocks numbered through.

    Attributes
    ----------
    inputs : int
        Units before the first layer.
    layers : (layers, 9)
        Kind; first unit; rounding of a Staircase, strict of a Step, last of a Winner; sources per unit, and
        where they begin; first block; links from and to; where its units end.
    divisor : per layer
    blocks : (blocks, 5)
        Units from and to; layer, or -1; how the sources of maxima lie; number among the
        blocks of gates, or -1.
    block_of : per unit
    gate_block : per block of gates
    links : (links, 3)
        From which layer, how, and where the pointers of its blocks (or units) begin.
    pointers : into what is touched, or single entries
    touched : targets of products, or blocks of gates
    targets : (targets, 6)
        First unit, units, edges from and to, blocks from and to (inclusive): sums of products with matrices.
    edges : (edges, 3)
        Of a target: source block, its first unit, and where its matrix begins.
    weights, entry_target, entry_weight
    sources, factors, numbers : per unit and place
    norm, absolute : (layers, layers + 1)
        Bounds of the l2 norm of each layer as a function of each other (the inputs last), and of that with
        absolute weights; of linear layers.
    gamma : per layer
        Relative rounding of its sums.
    """

    inputs: int
    layers: Ids
    divisor: Array
    blocks: Ids
    block_of: Ids
    gate_block: Ids
    links: Ids
    pointers: Ids
    touched: Ids
    targets: Ids
    edges: Ids
    weights: Array
    entry_target: Ids
    entry_weight: Array
    sources: Ids
    factors: Ids
    numbers: Array
    norm: Array
    absolute: Array
    gamma: Array


class _Arrays:
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


def compiled(program: Program, units: Units, layers: Sequence[int]) -> Net:
    """Some layers of a program, which all that they read belongs to (or the inputs).

    Parameters
    ----------
    program : Program
    units : Units
        The order of units.
    layers : sequence of int
        Which layers, in order.
    """
    chosen = [program.layers[k] for k in layers]
    short = [is_short(layer) for layer in chosen]
    runs = {j: runs_of(layer, units.new) for j, layer in enumerate(chosen) if isinstance(layer, Linear)}
    starts = np.array([layer.start for layer in program.layers], dtype=np.int64)
    cuts = [c for found in runs.values() for r in found for c in _cuts(r)]
    block = blocks_of(program.size, np.append(starts, 1), cuts)
    block_of = np.repeat(np.arange(len(block) - 1), np.diff(block))
    first_block = np.zeros((len(chosen), 2), dtype=np.int64)
    arrays = _Arrays()
    table = np.zeros((len(chosen), 9), dtype=np.int64)
    for j, layer in enumerate(chosen):
        a, b = block_of[layer.start], block_of[layer.start + layer.size - 1] + 1
        first_block[j] = a, b
        mode, places, sources = _described(arrays, layer, units)
        kind = SHORT if short[j] else KINDS[type(layer)]
        table[j, :FIRST] = kind, layer.start, mode, places, sources
        table[j, FIRST], table[j, END] = a, layer.start + layer.size
    layer_unit = np.full(program.size, -1)
    for j, layer in enumerate(chosen):
        layer_unit[layer.units] = j
    blocks = _Blocks(block, block_of, layer_unit, first_block, chosen)
    for j, layer in enumerate(chosen):
        table[j, LINKS] = arrays.sizes.get("link", 0) // 3
        if isinstance(layer, Linear) and not short[j]:
            _link_runs(arrays, blocks, layer, runs[j])
            _link_rows(arrays, blocks, layer, units)
        else:
            _link_gates(arrays, blocks, layer, units)
        table[j, LINKS_END] = arrays.sizes.get("link", 0) // 3
    whole = arrays.whole
    facts = _block_facts(blocks, units)
    return Net(
        inputs=1 + program.n_inputs,
        layers=table,
        divisor=whole("divisor", np.float64),
        blocks=facts,
        block_of=block_of,
        gate_block=np.nonzero(facts[:, GATE] >= 0)[0],
        links=whole("link").reshape(-1, 3),
        pointers=whole("pointers"),
        touched=whole("touched"),
        targets=whole("target").reshape(-1, 6),
        edges=whole("edge").reshape(-1, 3),
        weights=whole("weights", np.float64),
        entry_target=whole("entry_target"),
        entry_weight=whole("entry_weight", np.float64),
        sources=whole("sources"),
        factors=whole("factors"),
        numbers=whole("numbers", np.float64),
        norm=np.zeros((len(chosen), len(chosen) + 1)),
        absolute=np.zeros((len(chosen), len(chosen) + 1)),
        gamma=np.zeros(len(chosen)),
    )


def _block_facts(b: _Blocks, units: Units) -> Ids:
    """What is known of every block."""
    found = np.full((len(b.block) - 1, 5), -1)
    found[:, UNIT], found[:, UNIT_END], found[:, LAYOUT] = b.block[:-1], b.block[1:], GATHER
    gates = 0
    for j, layer in enumerate(b.chosen):
        first, end = b.first_block[j]
        found[first:end, LAYER] = j
        if isinstance(layer, (Linear, Product)):
            continue
        found[first:end, GATE] = np.arange(gates, gates + end - first)
        gates += end - first
        if isinstance(layer, Maximum):
            table = _permuted(layer, layer.sources, units)
            for k in range(first, end):
                found[k, LAYOUT] = _layout(table[b.block[k] - layer.start : b.block[k + 1] - layer.start])
    return found


def _cuts(runs: Runs) -> list[Ids]:
    """Where blocks end for the sake of some products; wide targets may be many blocks."""
    length, width = runs.weights.shape
    return [runs.sources, runs.sources + length, runs.targets, runs.targets + width]


def _permuted(layer: Any, values: Any, units: Units) -> Any:
    """What belongs to the units of a layer, in their new order, with new numbers."""
    made = values[units.old[layer.units] - layer.start]
    return np.where(made >= 0, units.new[np.maximum(made, 0)], -1)


def _described(arrays: _Arrays, layer: Any, units: Units) -> tuple[int, int, int]:
    """The mode of a layer, its sources per unit, and where they begin."""
    arrays.add("divisor", [float(layer.divisor) if isinstance(layer, Linear) else 1.0])
    if is_short(layer):
        return _described_rows(arrays, layer, units)
    if isinstance(layer, Linear):
        return 0, 0, 0
    sources = _permuted(layer, layer.sources, units)
    factors, numbers = np.zeros(sources.size, dtype=np.int64), np.zeros(sources.size)
    mode = 0
    if isinstance(layer, Product):
        factors = _permuted(layer, layer.factors, units)
    elif isinstance(layer, Winner):
        numbers = layer.numbers[units.old[layer.units] - layer.start]
        mode = int(layer.last)
    elif isinstance(layer, Step):
        mode = int(layer.strict)
    elif isinstance(layer, Staircase):
        mode = ROUNDINGS[layer.rounding]
    table = arrays.add("sources", sources)
    arrays.add("factors", factors)
    arrays.add("numbers", numbers)
    return mode, sources.size // layer.size, table


def is_short(layer: Any) -> bool:
    """Whether a linear layer has short rows only."""
    if not isinstance(layer, Linear) or layer.taps:
        return False
    return int(np.diff(layer.pointers).max(initial=0)) <= LONGEST


def _row_sources(layer: Linear) -> Ids:
    """The sources of short rows as a table, filled up with -1."""
    counts = np.diff(layer.pointers)
    places = np.arange(int(counts.max(initial=0)))
    inside = places < counts[:, None]
    found = np.full(inside.shape, -1)
    found[inside] = layer.sources
    return found


def _described_rows(arrays: _Arrays, layer: Linear, units: Units) -> tuple[int, int, int]:
    """Mode, places and table of short rows: sources and weights, and the constant."""
    sources = _row_sources(layer)
    weights = np.zeros(sources.shape)
    weights[sources >= 0] = layer.weights
    order = units.old[layer.units] - layer.start
    sources = np.where(sources >= 0, units.new[sources], -1)
    sources = np.concatenate([sources, np.full((layer.size, 1), BIAS)], axis=1)[order]
    table = arrays.add("sources", sources)
    arrays.add("factors", np.zeros(sources.size, dtype=np.int64))
    arrays.add("numbers", np.concatenate([weights, layer.bias[:, None]], axis=1)[order])
    return 0, sources.shape[1], table


def _layout(table: Ids) -> int:
    """How the sources of a block of maxima lie."""
    steps = (np.diff(table, axis=0) == 1) & (table[1:] > 1)
    even = steps | ((table[1:] == -1) & (table[:-1] == -1))
    if table.shape[1] == 2 and (table[:, 1] == 0).all() and even[:, 0].all() and table[0, 0] > 0:
        return RELU
    zero = (table == 0).all(axis=0)
    return WINDOW if (even.all(axis=0) | zero).all() else GATHER


class _Blocks(NamedTuple):
    block: Ids
    block_of: Ids
    layer_unit: Ids
    first_block: Ids
    chosen: list[Any]


def _link(arrays: _Arrays, source: int, kind: int, counts: Ids, base: int) -> None:
    """A link whose entries, ``counts`` for each block (or unit) of the source, begin at ``base``."""
    arrays.add("link", [source, kind, arrays.sizes.get("pointers", 0)])
    arrays.add("pointers", base + np.concatenate([[0], np.cumsum(counts)]))


def _link_runs(arrays: _Arrays, b: _Blocks, layer: Linear, runs: list[Runs]) -> None:
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


def _link_touched(arrays: _Arrays, b: _Blocks, pairs: Ids, kind: int) -> None:
    """Links from pairs of source block and what it touches."""
    pairs = np.unique(pairs, axis=0)
    owners = b.layer_unit[b.block[pairs[:, 0]]]
    for source_layer in np.unique(owners).tolist():
        some = pairs[owners == source_layer]
        a, z = b.first_block[source_layer]
        base = arrays.add("touched", some[:, 1])
        _link(arrays, source_layer, kind, np.bincount(some[:, 0] - a, minlength=z - a), base)


def _link_rows(arrays: _Arrays, b: _Blocks, layer: Linear, units: Units) -> None:
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


def _link_gates(arrays: _Arrays, b: _Blocks, layer: Any, units: Units) -> None:
    """Which blocks of gates are looked at when a block changes."""
    tables = [layer.sources, layer.factors] if isinstance(layer, Product) else [layer.sources]
    if isinstance(layer, Linear):
        tables = [_row_sources(layer)]
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for values in tables:
        sources = _permuted(layer, values, units).reshape(layer.size, -1)
        mine = np.broadcast_to(b.block_of[layer.units][:, None], sources.shape)
        moving = sources > 0
        moving[moving] = b.layer_unit[sources[moving]] >= 0
        pairs.append(np.stack([b.block_of[sources[moving]], mine[moving]], axis=1))
    _link_touched(arrays, b, np.concatenate(pairs), TOUCH)
