"""Where on a piece all that jumps is certain: true values have the branches that are swept.

A unit whose input stays farther from its edges than the input's error has its true branch throughout. On that
part of a piece steps, winners and stairs are exact: their error is zero. Distances from edges are lines: what
is enough at two points is enough between them.
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
            if kind == WINNER:
                own = row + int(branch[unit])
                lo, hi = _led(sources, ahead, slope, row, places, own, wide, a, b, far, z1, z2, lo, hi)
                continue
            x = sources[row]
            v, d = ahead[x], slope[x]
            room = wide + BLUR * (abs(v) + abs(d) * far)
            if kind == STAIRCASE:
                low, high = stair_edges(branch[unit], layers[layer, MODE])
                room += BLUR * (abs(low) + abs(high))
                lo, hi = _shrunk(v + d * a - low, v + d * b - low, room, z1, z2, lo, hi)
                lo, hi = _shrunk(high - v - d * a, high - v - d * b, room, z1, z2, lo, hi)
            elif v == 0.0 and d == 0.0 and x != 0:
                origin = _origin(net, s, x)
                if origin < 0 or (branch[unit] == 1.0) != (layers[layer, MODE] == 0):
                    hi = lo
                else:  # zero as long as the maximum that it comes from is
                    owner = net.blocks[net.block_of[origin], LAYER]
                    many = layers[owner, PLACES]
                    first = layers[owner, TABLE] + (origin - layers[owner, START]) * many
                    own = first + int(branch[origin])
                    lo, hi = _led(sources, ahead, slope, first, many, own, wide, a, b, far, z1, z2, lo, hi)
            elif x != 0:
                sign = 2.0 * branch[unit] - 1.0
                lo, hi = _shrunk(sign * (v + d * a), sign * (v + d * b), room, z1, z2, lo, hi)
            if not lo < hi:
                break
        if not lo < hi:
            break
    if not lo < hi:
        lo = hi = 0.5 * (z1 + z2)
    part[0], part[1] = lo, hi


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _shrunk(m1: float, m2: float, room: float, z1: float, z2: float, lo: float, hi: float) -> Any:
    """A stretch without the part where a line from m1 at z1 to m2 at z2 is not above some room."""
    if m1 > room and m2 > room:
        return lo, hi
    if not (m1 > room or m2 > room):
        return lo, lo
    cross = z1 + (z2 - z1) * ((1.01 * room - m1) / (m2 - m1))
    return (max(lo, cross), hi) if m2 > room else (lo, min(hi, cross))


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _led(
    sources: Any, ahead: Array, slope: Array, row: int, places: int, own: int, wide: float,
    a: float, b: float, far: float, z1: float, z2: float, lo: float, hi: float,
) -> Any:  # fmt: skip
    """A stretch without the part where some entry of a row may be as great as its winner."""
    w = sources[own]
    v, d = ahead[w], slope[w]
    for j in range(row, row + places):
        x = sources[j]
        if x < 0 or j == own:
            continue
        gap, fall = v - ahead[x], d - slope[x]
        room = 2.0 * wide + BLUR * (abs(v) + abs(ahead[x]) + (abs(d) + abs(slope[x])) * far)
        lo, hi = _shrunk(gap + fall * a, gap + fall * b, room, z1, z2, lo, hi)
    return lo, hi


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _origin(net: Net, s: State, x: int) -> int:
    """The maximum whose winner is unit 0 that a unit is a multiple of, or -1."""
    layers = net.layers
    for _ in range(4):
        layer = net.blocks[net.block_of[x], LAYER]
        if layer < 0:
            return -1
        places = layers[layer, PLACES]
        row = layers[layer, TABLE] + (x - layers[layer, START]) * places
        if layers[layer, KIND] == MAXIMUM:
            return x if net.sources[row + int(s.branch[x])] == 0 else -1
        if layers[layer, KIND] != SHORT:
            return -1
        inner = -1
        for j in range(row, row + places):
            u = net.sources[j]
            if net.numbers[j] == 0.0 or u == 0 or u == -1:
                continue
            if u == BIAS or inner >= 0:
                return -1
            inner = u
        if inner < 0:
            return -1
        x = inner
    return -1
