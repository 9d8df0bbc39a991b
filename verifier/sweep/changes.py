"""Changes that run from one layer to the next, and their rounding."""

from __future__ import annotations

from typing import Any

from numba import njit

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids
from verifier.sweep.gates import ULP
from verifier.sweep.horizon import TINY
from verifier.sweep.products import OPTIONS

__all__ = ["list_changes", "note_change", "settle", "tally_sums", "through_rows"]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def list_changes(
    a: int, b: int, jumped: bool, dslope: Array, dahead: Array, places: Ids, values: Array, jumps: Array
) -> int:
    """List what has changed of units a to b, from a on; how much it is."""
    n = a
    for k in range(a, b):
        x = dslope[k]
        if x != 0.0 or (jumped and dahead[k] != 0.0):
            places[n] = k - a
            values[n] = x
            jumps[n] = dahead[k]
            n += 1
    return n - a


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def through_rows(
    a: int, b: int, at_pointer: int, pointers: Ids, entry_target: Ids, entry_weight: Array, jumped: bool,
    dslope: Array, dahead: Array, block_of: Ids, flag: Any, changed: Ids, at: int,
) -> int:  # fmt: skip
    """Add what changes of units a to b give by single entries."""
    for unit in range(a, b):
        x, v = dslope[unit], dahead[unit]
        if x == 0.0 and not (jumped and v != 0.0):
            continue
        for e in range(pointers[at_pointer + unit], pointers[at_pointer + unit + 1]):
            target = entry_target[e]
            dslope[target] += entry_weight[e] * x
            if jumped:
                dahead[target] += entry_weight[e] * v
            t = block_of[target]
            if not flag[t]:
                flag[t] = 1
                changed[at] = t
                at += 1
    return at


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def settle(
    a: int, b: int, divisor: float, left: float, jumped: bool,
    slope: Array, ahead: Array, dslope: Array, dahead: Array,
) -> Any:  # fmt: skip
    """Slopes and values of linear units after their changes.

    Returns the sums of squares of the changes of slopes, of slopes, of values, and of the changes of values
    if something jumps.
    """
    if divisor != 1.0:
        for unit in range(a, b):
            dslope[unit] /= divisor
        if jumped:
            for unit in range(a, b):
                dahead[unit] /= divisor
    change, slopes, values, moved = 0.0, 0.0, 0.0, 0.0
    if jumped:
        for unit in range(a, b):
            ds, dv = dslope[unit], dahead[unit]
            d = slope[unit] + ds
            v = ahead[unit] + dv
            slope[unit] = d
            ahead[unit] = v
            change += ds * ds
            slopes += d * d
            values += v * v
            moved += dv * dv
    else:
        for unit in range(a, b):
            ds = dslope[unit]
            d = slope[unit] + ds
            v = ahead[unit] + left * ds
            slope[unit] = d
            ahead[unit] = v
            change += ds * ds
            slopes += d * d
            values += v * v
    return change, slopes, values, moved


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def tally_sums(
    layer: int, change: float, slopes: float, values: float, moved: float, left: float, jumped: bool,
    norm: Array, absolute: Array, gamma: Array, delta: Array, tally: Array,
) -> None:  # fmt: skip
    """Add the rounding of an event to a linear layer's tally, and note what its readers must know.

    The sums are taken of the changes as they were handed over; what the sources have changed by differs by
    their own rounding (and, for values, by what they were off). The changes of values are ``left`` times
    those of the slopes, or sums of their own if something jumps.
    """
    sums, handed, values_off, jumps = 0.0, 0.0, 0.0, 0.0
    for source in range(layer):
        if delta[source, 0] > 0.0 or delta[source, 2] > 0.0 or delta[source, 3] > 0.0:
            sums += absolute[layer, source] * delta[source, 0]
            handed += norm[layer, source] * delta[source, 1]
            values_off += norm[layer, source] * delta[source, 2]
            jumps += absolute[layer, source] * delta[source, 3]
    sums *= gamma[layer]
    jumps = gamma[layer] * jumps if jumped else left * sums
    own = ULP * slopes, ULP * values + 4.0 * ULP * left * change
    tally[layer, 0] += own[0] + sums + handed + TINY
    tally[layer, 1] += own[1] + jumps + values_off + TINY
    delta[layer, 0], delta[layer, 1], delta[layer, 2], delta[layer, 3] = change, own[0], own[1], moved


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def note_change(delta: Array, layer: int, change: float, off: float, moved: float, jumped: bool) -> None:
    """What readers of a layer of gates must know: norms of its changes, and of what they are off."""
    delta[layer, 0], delta[layer, 1] = change, ULP * change
    delta[layer, 2], delta[layer, 3] = ULP * moved if jumped else off, moved
