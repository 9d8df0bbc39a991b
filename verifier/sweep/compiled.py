"""A program as flat arrays for the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symbolic.pieces.program import Ids, Linear, Maximum, Product, Program, Staircase, Step, Winner
from verifier.sweep.layout import (
    BIAS,
    END,
    FIRST,
    GATE,
    GATHER,
    KINDS,
    LAYER,
    LAYOUT,
    LINKS,
    LINKS_END,
    LONGEST,
    RELU,
    ROUNDINGS,
    SHORT,
    UNIT,
    UNIT_END,
    WINDOW,
    Net,
)
from verifier.sweep.links import Arrays, Blocks, link_gates, link_rows, link_runs, permuted, row_sources
from verifier.sweep.ordering import Runs, Units, blocks_of, runs_of

__all__ = ["compiled"]


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
    arrays = Arrays()
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
    blocks = Blocks(block, block_of, layer_unit, first_block, chosen)
    for j, layer in enumerate(chosen):
        table[j, LINKS] = arrays.sizes.get("link", 0) // 3
        if isinstance(layer, Linear) and not short[j]:
            link_runs(arrays, blocks, layer, runs[j])
            link_rows(arrays, blocks, layer, units)
        else:
            link_gates(arrays, blocks, layer, units)
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


def _block_facts(b: Blocks, units: Units) -> Ids:
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
            table = permuted(layer, layer.sources, units)
            for k in range(first, end):
                found[k, LAYOUT] = _layout(table[b.block[k] - layer.start : b.block[k + 1] - layer.start])
    return found


def _cuts(runs: Runs) -> list[Ids]:
    """Where blocks end for the sake of some products; wide targets may be many blocks."""
    length, width = runs.weights.shape
    return [runs.sources, runs.sources + length, runs.targets, runs.targets + width]


def _described(arrays: Arrays, layer: Any, units: Units) -> tuple[int, int, int]:
    """The mode of a layer, its sources per unit, and where they begin."""
    arrays.add("divisor", [float(layer.divisor) if isinstance(layer, Linear) else 1.0])
    if is_short(layer):
        return _described_rows(arrays, layer, units)
    if isinstance(layer, Linear):
        return 0, 0, 0
    sources = permuted(layer, layer.sources, units)
    factors, numbers = np.zeros(sources.size, dtype=np.int64), np.zeros(sources.size)
    mode = 0
    if isinstance(layer, Product):
        factors = permuted(layer, layer.factors, units)
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


def _described_rows(arrays: Arrays, layer: Linear, units: Units) -> tuple[int, int, int]:
    """Mode, places and table of short rows: sources and weights, and the constant."""
    sources = row_sources(layer)
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
