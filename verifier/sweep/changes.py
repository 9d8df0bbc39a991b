"""Changes that run from one layer to the next, and their rounding."""

from __future__ import annotations

from typing import Any

from numba import njit

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids
from verifier.sweep.gates import ULP
from verifier.sweep.horizon import TINY
from verifier.sweep.products import OPTIONS

__all__ = ["list_changes", "settle", "tally_sums", "through_rows"]


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
    """Slopes and values of linear units after the changes of their slopes; sums of squares of the three."""
    if divisor != 1.0:
        for unit in range(a, b):
            dslope[unit] /= divisor
        if jumped:
            for unit in range(a, b):
                dahead[unit] /= divisor
    change, slopes, values = 0.0, 0.0, 0.0
    if jumped:
        for unit in range(a, b):
            slope[unit] += dslope[unit]
            ahead[unit] += dahead[unit]
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
    return change, slopes, values


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def tally_sums(
    layer: int, change: float, slopes: float, values: float, left: float, norm: Array,
    absolute: Array, gamma: Array,
    delta: Array, tally: Array,
) -> None:  # fmt: skip
    """Add the rounding of an event to a linear layer's tally, and note what its readers must know.

    The sums are taken of the changes as they were handed over; what the sources have changed by differs by
    their own rounding (and, for values, by what they were off).
    """
    sums, handed, values_off = 0.0, 0.0, 0.0
    for source in range(layer):
        if delta[source, 0] > 0.0 or delta[source, 2] > 0.0:
            sums += absolute[layer, source] * delta[source, 0]
            handed += norm[layer, source] * delta[source, 1]
            values_off += norm[layer, source] * delta[source, 2]
    sums *= gamma[layer]
    own = ULP * slopes, ULP * values + 4.0 * ULP * left * change
    tally[layer, 0] += own[0] + sums + handed + TINY
    tally[layer, 1] += own[1] + left * sums + values_off + TINY
    delta[layer, 0], delta[layer, 1], delta[layer, 2] = change, own[0], own[1]
