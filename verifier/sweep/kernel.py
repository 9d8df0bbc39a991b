"""One event: a gate changes, and what it changes runs through the layers behind it.

As long as nothing jumps only changes of slope run: behind the event at z a change d of a slope changes the
value at the horizon by (horizon - z) d. If something jumps, changes of the value run beside them, and the
gates that see one are decided anew.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from numba import njit

from verifier.sweep.changes import list_changes, note_change, settle, tally_sums, through_rows
from verifier.sweep.gates import NEVER, next_in, put_out, redecide, wrong_maxima
from verifier.sweep.horizon import CHUNK
from verifier.sweep.layout import (
    AT,
    EDGES,
    EDGES_END,
    FIRST,
    FIRST_TARGET,
    FROM,
    GATE,
    HOW,
    KIND,
    LAST_TARGET,
    LAYER,
    LAYOUT,
    LINEAR,
    LINKS,
    LINKS_END,
    MATRIX,
    MAXIMUM,
    MODE,
    PLACES,
    PRODUCT,
    ROWS,
    SHORT,
    START,
    TABLE,
    TARGET_UNIT,
    UNIT,
    UNIT_END,
    WIDTH,
    Net,
)
from verifier.sweep.products import OPTIONS, add_products
from verifier.sweep.state import State

__all__ = ["fire"]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def fire(net: Net, s: State, gate: int, found: Any) -> None:
    """Change the soonest unit of a block of gates, and all that hangs on it.

    ``found`` gets layer, unit, old and new branch.
    """
    blocks, layers, sources = net.blocks, net.layers, net.sources
    ahead, slope, branch, dslope, dahead = s.ahead, s.slope, s.branch, s.dslope, s.dahead
    z, zh = s.at[0], s.at[1]
    block = net.gate_block[gate]
    a, b, layer, layout = (
        blocks[block, UNIT],
        blocks[block, UNIT_END],
        blocks[block, LAYER],
        blocks[block, LAYOUT],
    )
    kind, mode, places = layers[layer, KIND], layers[layer, MODE], layers[layer, PLACES]
    row = layers[layer, TABLE] + (a - layers[layer, START]) * places
    _, which, goes = next_in(a, b, kind, mode, places, row, layout, sources, ahead, slope, branch, z, zh)
    found[0], found[1], found[2], found[3] = float(layer), float(which), branch[which], goes
    branch[which] = goes
    jumped = kind != MAXIMUM
    change, off, _, _, moved = put_out(
        a, b, kind, places, row, layout, sources, net.factors, net.numbers, ahead, slope, branch,
        dslope, dahead,
        zh - z, 1.0,
    )  # fmt: skip
    if change + off > 0.0:
        s.flag[block] = 1
        s.changed[layers[layer, FIRST]] = block
        s.count[layer] = 1
    if s.at[4] > 0.0:
        note_change(s.delta, layer, sqrt(change), sqrt(off), sqrt(moved), jumped)
    if s.at[4] > 0.0 and kind == MAXIMUM:
        s.margin[which] = -1.0
        s.tally[layer, 2] += wrong_maxima(
            a, b, places, row, sources, ahead, slope, branch, s.margin, zh - z, zh
        )  # fmt: skip
    t, _, _ = next_in(a, b, kind, mode, places, row, layout, sources, ahead, slope, branch, z, zh)
    s.times[gate] = t
    s.dirty[gate // CHUNK] = 1
    s.chunks[0] = gate // CHUNK
    dirty = 1
    if s.count[layer] > 0:
        dirty = _propagate(net, s, layer + 1, jumped)
    for i in range(dirty):
        chunk = s.chunks[i]
        s.dirty[chunk] = 0
        best = NEVER
        for k in range(chunk * CHUNK, min(len(s.times), (chunk + 1) * CHUNK)):
            best = min(best, s.times[k])
        s.soonest[chunk] = best
    for k in range(layer, len(layers)):
        base = layers[k, FIRST]
        for i in range(s.count[k]):
            block = s.changed[base + i]
            s.flag[block] = 0
            s.nonzero[block] = 0
            if layers[k, KIND] == LINEAR:
                for unit in range(blocks[block, UNIT], blocks[block, UNIT_END]):
                    dslope[unit] = 0.0
                if jumped:
                    for unit in range(blocks[block, UNIT], blocks[block, UNIT_END]):
                        dahead[unit] = 0.0
        s.count[k] = 0
        s.delta[k, :] = 0.0


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _propagate(net: Net, s: State, start: int, jumped: bool) -> int:
    """Bring changes to all layers from one on; how many chunks of gates have changed."""
    layers, blocks, links, pointers, edges = net.layers, net.blocks, net.links, net.pointers, net.edges
    targets, weights, entry_target, entry_weight = (
        net.targets,
        net.weights,
        net.entry_target,
        net.entry_weight,
    )
    touched, sources, factors, numbers = net.touched, net.sources, net.factors, net.numbers
    block_of = net.block_of
    ahead, slope, branch, dslope, dahead = s.ahead, s.slope, s.branch, s.dslope, s.dahead
    flag, changed, count, marked, looked = s.flag, s.changed, s.count, s.marked, s.looked
    nonzero, places, values, jumps = s.nonzero, s.places, s.values, s.jumps
    z, zh = s.at[0], s.at[1]
    left, tallied = zh - z, s.at[4] > 0.0
    dirty = 1
    for layer in range(start, len(layers)):
        seen = 0
        base, kind, mode = layers[layer, FIRST], layers[layer, KIND], layers[layer, MODE]
        at, fed = base, False
        for link in range(layers[layer, LINKS], layers[layer, LINKS_END]):
            source, how = links[link, FROM], links[link, HOW]
            other = layers[source, FIRST]
            fed = fed or count[source] > 0
            for i in range(count[source]):
                block = changed[other + i]
                a, b = blocks[block, UNIT], blocks[block, UNIT_END]
                if how == ROWS:
                    p = links[link, AT] - layers[source, START]
                    at = through_rows(
                        a, b, p, pointers, entry_target, entry_weight, jumped, dslope, dahead, block_of, flag,
                        changed, at,
                    )  # fmt: skip
                    continue
                p = links[link, AT] + block - other
                if how == MATRIX and nonzero[block] == 0:
                    nonzero[block] = list_changes(a, b, jumped, dslope, dahead, places, values, jumps)
                for k in range(pointers[p], pointers[p + 1]):
                    target = touched[k]
                    if not marked[target]:
                        marked[target] = 1
                        looked[seen] = target
                        seen += 1
        if kind == LINEAR:
            for i in range(seen):
                g = looked[i]
                marked[g] = 0
                e0, e1, unit, width = (
                    targets[g, EDGES],
                    targets[g, EDGES_END],
                    targets[g, TARGET_UNIT],
                    targets[g, WIDTH],
                )
                add_products(dslope, unit, width, weights, edges, e0, e1, nonzero, places, values)
                if jumped:
                    add_products(dahead, unit, width, weights, edges, e0, e1, nonzero, places, jumps)
                for t in range(targets[g, FIRST_TARGET], targets[g, LAST_TARGET] + 1):
                    if not flag[t]:
                        flag[t] = 1
                        changed[at] = t
                        at += 1
            change, slopes, news, moved = 0.0, 0.0, 0.0, 0.0
            for i in range(base, at):
                a, b = blocks[changed[i], UNIT], blocks[changed[i], UNIT_END]
                x, y, v, w = settle(a, b, net.divisor[layer], left, jumped, slope, ahead, dslope, dahead)
                change, slopes, news, moved = change + x, slopes + y, news + v, moved + w
            if tallied and fed:
                tally_sums(
                    layer, sqrt(change), sqrt(slopes), sqrt(news), sqrt(moved), left, jumped, net.norm,
                    net.absolute, net.gamma, s.delta, s.tally,
                )  # fmt: skip
            count[layer] = at - base
            continue
        per = layers[layer, PLACES]
        change, off, moved = 0.0, 0.0, 0.0
        for i in range(seen):
            block = looked[i]
            marked[block] = 0
            a, b, layout, gate = (
                blocks[block, UNIT],
                blocks[block, UNIT_END],
                blocks[block, LAYOUT],
                blocks[block, GATE],
            )
            row = layers[layer, TABLE] + (a - layers[layer, START]) * per
            if jumped and kind != PRODUCT and kind != SHORT:
                redecide(a, b, kind, mode, per, row, sources, ahead, slope, branch, left)
            x, y, own_slope, own_ahead, w = put_out(
                a, b, kind, per, row, layout, sources, factors, numbers, ahead, slope, branch,
                dslope, dahead, left,
                net.divisor[layer],
            )  # fmt: skip
            if x + y > 0.0:
                flag[block] = 1
                changed[at] = block
                at += 1
                change, off, moved = change + x, off + y, moved + w
            if tallied:
                if kind == MAXIMUM:
                    s.tally[layer, 2] += wrong_maxima(
                        a, b, per, row, sources, ahead, slope, branch, s.margin, left, zh
                    )  # fmt: skip
                s.tally[layer, 0] += sqrt(own_slope)
                s.tally[layer, 1] += sqrt(own_ahead)
            if gate >= 0:
                t, _, _ = next_in(a, b, kind, mode, per, row, layout, sources, ahead, slope, branch, z, zh)
                s.times[gate] = t
                if not s.dirty[gate // CHUNK]:
                    s.dirty[gate // CHUNK] = 1
                    s.chunks[dirty] = gate // CHUNK
                    dirty += 1
        count[layer] = at - base
        if tallied:
            note_change(s.delta, layer, sqrt(change), sqrt(off), sqrt(moved), jumped)
    return dirty
