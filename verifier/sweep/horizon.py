"""The next event, and the next horizon."""

from __future__ import annotations

from math import floor, sqrt

from numba import njit

from symbolic.enclosures.rounding import Array
from verifier.sweep.gates import NEVER, ULP, next_in, wrong_maxima
from verifier.sweep.layout import (
    END,
    KIND,
    LAYER,
    LAYOUT,
    LINEAR,
    MAXIMUM,
    MODE,
    PLACES,
    PRODUCT,
    SHORT,
    START,
    TABLE,
    UNIT,
    UNIT_END,
    Net,
)
from verifier.sweep.products import OPTIONS
from verifier.sweep.state import State

__all__ = ["CHUNK", "GRID", "TINY", "advance", "next_gate", "note_margins", "schedule"]

PLAIN = {**OPTIONS, "fastmath": False}
GRID = 2.0**-30
"""Horizons are whole multiples of it."""
CHUNK = 64
"""Blocks of gates whose soonest event is kept."""
TINY = 1e-140
"""Covers all underflows, squares of changes included."""


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def next_gate(soonest: Array, times: Array) -> int:
    """The block of gates whose event is the next one; of equals the first, -1 if there is none."""
    best = NEVER
    for k in range(len(soonest)):
        best = min(best, soonest[k])
    if best >= NEVER:
        return -1
    for chunk in range(len(soonest)):
        if soonest[chunk] == best:
            for k in range(chunk * CHUNK, min(len(times), (chunk + 1) * CHUNK)):
                if times[k] == best:
                    return k
    return -1


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def schedule(net: Net, s: State) -> None:
    """Times of all blocks of gates."""
    blocks, layers, sources = net.blocks, net.layers, net.sources
    ahead, slope, branch, times = s.ahead, s.slope, s.branch, s.times
    z, zh = s.at[0], s.at[1]
    s.soonest[:] = NEVER
    for gate in range(len(times)):
        block = net.gate_block[gate]
        a, b, layer = blocks[block, UNIT], blocks[block, UNIT_END], blocks[block, LAYER]
        places = layers[layer, PLACES]
        row = layers[layer, TABLE] + (a - layers[layer, START]) * places
        t, _, _ = next_in(
            a, b, layers[layer, KIND], layers[layer, MODE], places, row, blocks[block, LAYOUT],
            sources, ahead,
            slope, branch, z, zh,
        )  # fmt: skip
        times[gate] = t
        if s.at[4] > 0.0 and layers[layer, KIND] == MAXIMUM:
            s.tally[layer, 2] += wrong_maxima(
                a, b, places, row, sources, ahead, slope, branch, s.margin, zh - z, zh
            )  # fmt: skip
        s.soonest[gate // CHUNK] = min(s.soonest[gate // CHUNK], t)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def note_margins(net: Net, s: State) -> None:
    """By how much all maxima lead now."""
    blocks, layers = net.blocks, net.layers
    for block in net.gate_block:
        a, b, layer = blocks[block, UNIT], blocks[block, UNIT_END], blocks[block, LAYER]
        if layers[layer, KIND] == MAXIMUM:
            places = layers[layer, PLACES]
            row = layers[layer, TABLE] + (a - layers[layer, START]) * places
            wrong_maxima(
                a, b, places, row, net.sources, s.ahead, s.slope, s.branch, s.margin,
                s.at[1] - s.at[0], s.at[1],
            )  # fmt: skip


@njit(**PLAIN)  # type: ignore[untyped-decorator]
def _shift(ahead: Array, slope: Array, step: float) -> None:
    """Values at the next horizon, rounded in the same way for all: copies stay copies."""
    for unit in range(len(ahead)):
        product = slope[unit] * step
        ahead[unit] = ahead[unit] + product


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def advance(net: Net, s: State) -> None:
    """Stand at the horizon and set the next one, so that a few hundred events lie before it.

    Horizons are whole multiples of `GRID`, so that their differences are exact.
    """
    if s.at[3] < 100.0:
        s.at[2] *= 1.5
    elif s.at[3] > 400.0:
        s.at[2] /= 1.5
    step = max(1.0, floor(s.at[2] / GRID)) * GRID
    s.at[0] = s.at[1]
    s.at[3] = 0.0
    s.at[5] = max(s.at[5], step)
    _shift(s.ahead, s.slope, step)
    s.at[1] += step
    if s.at[4] > 0.0:
        _tally_shift(net, s, step)
    schedule(net, s)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _tally_shift(net: Net, s: State, step: float) -> None:
    """The rounding of a new horizon."""
    layers = net.layers
    n = len(layers)
    size = [0.0] * (n + 1)
    for layer in range(n):
        total, slopes = 0.0, 0.0
        end = net.layers[layer, END]
        for unit in range(layers[layer, START], end):
            total += s.ahead[unit] * s.ahead[unit]
            slopes += s.slope[unit] * s.slope[unit]
        size[layer] = 2.0 * ULP * (sqrt(total) + step * sqrt(slopes))
    total, slopes = 0.0, 0.0
    for unit in range(1, net.inputs):
        total += s.ahead[unit] * s.ahead[unit]
        slopes += s.slope[unit] * s.slope[unit]
    size[n] = 2.0 * ULP * (sqrt(total) + step * sqrt(slopes))
    s.tally[n, 1] += size[n]
    for layer in range(n):
        if layers[layer, KIND] == LINEAR or layers[layer, KIND] == SHORT or layers[layer, KIND] == PRODUCT:
            off = size[layer] + step * s.tally[layer, 0]
            for source in range(n + 1):
                off += net.norm[layer, source] * size[source]
            s.tally[layer, 1] += off + TINY
        elif layers[layer, KIND] == MAXIMUM:  # a loser may have come before its winner by rounding
            square = 0.0
            for source in range(n + 1):
                square += (net.norm[layer, source] * size[source]) ** 2
            s.tally[layer, 2] = (sqrt(s.tally[layer, 2]) + 2.0 * sqrt(square)) ** 2
