"""Where on a piece all that jumps is certain: true values have the branches that are swept.

A unit whose input stays farther from its edges than the input's error has its true branch throughout. On that
part of a piece steps, winners and stairs are exact: their error is zero. Distances from edges are least
values of lines, which are concave: what is enough at two points is enough between them.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from symbolic.enclosures.rounding import Array
from verifier.sweep.gates import stair_edges
from verifier.sweep.layout import (
    BIAS,
    END,
    KIND,
    LAYER,
    MAXIMUM,
    MODE,
    PLACES,
    SHORT,
    STAIRCASE,
    START,
    STEP,
    TABLE,
    WINNER,
    Net,
)
from verifier.sweep.products import OPTIONS
from verifier.sweep.state import State

__all__ = ["certain_part"]

BLUR = 2.0**-49
"""Of the rounding of a line's value, relative to what it is summed of."""


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def certain_part(net: Net, s: State, error: Array, z1: float, z2: float, part: Any) -> None:
    """Shrink a piece to where all branches are certain; ``part`` gets the ends, or the middle twice."""
    layers, sources, ahead, slope, branch = net.layers, net.sources, s.ahead, s.slope, s.branch
    a, b = z1 - s.at[1], z2 - s.at[1]
    far = abs(a) + abs(b) + abs(z1) + abs(z2)
    lo, hi = z1, z2
    for layer in range(len(layers)):
        kind = layers[layer, KIND]
        if kind != STEP and kind != WINNER and kind != STAIRCASE:
            continue
        wide = error[len(layers)]
        for k in range(layer):
            wide = max(wide, error[k])
        start, places = layers[layer, START], layers[layer, PLACES]
        for unit in range(start, layers[layer, END]):
            row = layers[layer, TABLE] + (unit - start) * places
            m1, m2, room = 0.0, 0.0, 0.0
            if kind == WINNER:
                m1, m2, room = _lead(sources, ahead, slope, row, places, int(branch[unit]), a, b, far)
                room += 2.0 * wide
            else:
                x = sources[row]
                v, d = ahead[x], slope[x]
                room = wide + BLUR * (abs(v) + abs(d) * far)
                if kind == STAIRCASE:
                    low, high = stair_edges(branch[unit], layers[layer, MODE])
                    m1 = min(v + d * a - low, high - v - d * a)
                    m2 = min(v + d * b - low, high - v - d * b)
                    room += BLUR * (abs(low) + abs(high))
                elif x == 0:
                    continue
                elif v == 0.0 and d == 0.0:
                    if (branch[unit] == 1.0) == (layers[layer, MODE] == 0):
                        m1, m2, room = _nothing(net, s, x, a, b, far)
                        room += wide
                else:
                    sign = 2.0 * branch[unit] - 1.0
                    m1, m2 = sign * (v + d * a), sign * (v + d * b)
            if m1 > room and m2 > room:
                continue
            if not (m1 > room or m2 > room):
                lo, hi = z2, z1
                break
            cross = z1 + (z2 - z1) * ((1.01 * room - m1) / (m2 - m1))
            if m2 > room:
                lo = max(lo, cross)
            else:
                hi = min(hi, cross)
        if not lo < hi:
            break
    if not lo < hi:
        lo = hi = 0.5 * (z1 + z2)
    part[0], part[1] = lo, hi


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _lead(
    sources: Any, ahead: Array, slope: Array, row: int, places: int, own: int, a: float, b: float, far: float
) -> Any:
    """By how much a winner leads at two points, and the rounding of that."""
    w = sources[row + own]
    v, d = ahead[w], slope[w]
    m1, m2, blur = 1e300, 1e300, 0.0
    for j in range(places):
        x = sources[row + j]
        if x < 0 or j == own:
            continue
        m1 = min(m1, (v - ahead[x]) + (d - slope[x]) * a)
        m2 = min(m2, (v - ahead[x]) + (d - slope[x]) * b)
        blur = max(blur, abs(v) + abs(ahead[x]) + (abs(d) + abs(slope[x])) * far)
    return m1, m2, BLUR * blur


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _nothing(net: Net, s: State, x: int, a: float, b: float, far: float) -> Any:
    """How certain a unit is that is zero all along: a multiple of a maximum whose winner is zero."""
    layers = net.layers
    for _ in range(4):
        layer = net.blocks[net.block_of[x], LAYER]
        if layer < 0:
            return 0.0, 0.0, 0.0
        places = layers[layer, PLACES]
        row = layers[layer, TABLE] + (x - layers[layer, START]) * places
        if layers[layer, KIND] == SHORT:
            inner = -1
            for j in range(row, row + places):
                u = net.sources[j]
                if u == BIAS and net.numbers[j] != 0.0:
                    return 0.0, 0.0, 0.0
                if u > 0 and net.numbers[j] != 0.0:
                    if inner >= 0:
                        return 0.0, 0.0, 0.0
                    inner = u
            if inner < 0:
                return 0.0, 0.0, 0.0
            x = inner
            continue
        if layers[layer, KIND] != MAXIMUM:
            return 0.0, 0.0, 0.0
        own = int(s.branch[x])
        if net.sources[row + own] != 0:
            return 0.0, 0.0, 0.0
        return _lead(net.sources, s.ahead, s.slope, row, places, own, a, b, far)
    return 0.0, 0.0, 0.0
