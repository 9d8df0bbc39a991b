"""Gates: which branch is taken, what they put out, and when a block of them changes next.

A gate crosses only if its margin changes sign before the horizon AND its slope leads there: what has just
changed does not change back, and what is tied stays. A branch of a jump that is tied for good (margin and
slope both zero) goes to the operator's own value.

A block of gates is units ``a`` to ``b`` of one layer of a kind; its sources are ``places`` per unit from
``row`` on. The functions take arrays one by one: tuples of arrays are slow to hand over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids
from verifier.sweep.layout import BIAS, GATHER, MAXIMUM, PRODUCT, RELU, SHORT, STAIRCASE, STEP, WINNER
from verifier.sweep.products import OPTIONS

__all__ = ["NEVER", "ULP", "next_in", "put_out", "redecide", "stair_edges", "wrong_maxima"]

ULP = 2.0**-53
NEVER = 1e300
"""The time of what does not happen before the horizon."""


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def stair_edges(number: float, rounding: int) -> Any:
    """Between which values a stair stays."""
    if rounding == 0:
        return number, number + 1.0
    if rounding == 1:
        return number - 1.0, number
    return number - 0.5, number + 0.5


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _stair(value: float, slope: float, rounding: int) -> Any:
    """The whole number just behind a value."""
    if rounding == 0:
        n = np.floor(value)
        return n - 1.0 if n == value and slope < 0 else n
    if rounding == 1:
        n = np.ceil(value)
        return n + 1.0 if n == value and slope > 0 else n
    edge = np.floor(value + 0.5)
    if value + 0.5 != edge or slope == 0:
        return np.rint(value)
    return edge if slope > 0 else edge - 1.0


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _moves(
    a: int, b: int, places: int, row: int, layout: int, sources: Ids, ahead: Array, branch: Array
) -> bool:
    """Whether some maximum of a block may change; False only if none does."""
    n, found = b - a, 0  # counts become vectors, maxima do not
    if layout == RELU:
        x = sources[row]
        for k in range(n):
            found += 1 if ahead[x + k] * (branch[a + k] - 0.5) > 0.0 else 0
        return found > 0
    if layout == GATHER:
        return True
    for j in range(places):
        x = sources[row + j]
        if x == 0:
            for k in range(n):
                found += 1 if ahead[a + k] < 0.0 else 0
        elif x > 0:
            for k in range(n):
                found += 1 if ahead[x + k] > ahead[a + k] else 0
    return found > 0


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def next_in(
    a: int, b: int, kind: int, mode: int, places: int, row: int, layout: int,
    sources: Ids, ahead: Array, slope: Array, branch: Array, z: float, zh: float,
) -> Any:  # fmt: skip
    """When a block changes next before the horizon (or NEVER), which unit, and to which branch."""
    best, which, goes = NEVER, a, 0.0
    if kind == MAXIMUM and not _moves(a, b, places, row, layout, sources, ahead, branch):
        return best, which, goes
    if kind == MAXIMUM or kind == WINNER:
        for unit in range(a, b):
            own = int(branch[unit])
            w = sources[row + own]
            v, d = ahead[w], slope[w]
            for j in range(places):
                x = sources[row + j]
                if x < 0 or j == own:
                    continue
                if ahead[x] > v and slope[x] > d:
                    t = zh - (ahead[x] - v) / (slope[x] - d)
                    if t < best:
                        best, which, goes = t, unit, float(j)
                elif kind == WINNER and ahead[x] == v and slope[x] == d and (j < own) != (mode == 1):
                    return z, unit, float(j)
            row += places
    elif kind == STEP:
        for unit in range(a, b):
            x = sources[row]
            v, d, own = ahead[x], slope[x], branch[unit]
            sign = 1.0 - 2.0 * own
            if d == 0.0:
                still = 1.0 if v > 0.0 or (v == 0.0 and mode == 0) else 0.0
                if still != own:
                    return z, unit, still
            elif v * sign > 0.0 and d * sign > 0.0:
                t = zh - v / d
                if t < best:
                    best, which, goes = t, unit, 1.0 - own
            row += 1
    else:
        for unit in range(a, b):
            x = sources[row]
            v, d, own = ahead[x], slope[x], branch[unit]
            low, high = stair_edges(own, mode)
            if d == 0.0:
                still = _stair(v, 0.0, mode)
                if still != own:
                    return z, unit, still
            elif d > 0.0 and v > high:
                t = zh - (v - high) / d
                if t < best:
                    best, which, goes = t, unit, own + 1.0
            elif d < 0.0 and v < low:
                t = zh - (v - low) / d
                if t < best:
                    best, which, goes = t, unit, own - 1.0
            row += 1
    if best < NEVER:
        best = min(max(best, z), zh)
    return best, which, goes


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def redecide(
    a: int, b: int, kind: int, mode: int, places: int, row: int,
    sources: Ids, ahead: Array, slope: Array, branch: Array, left: float,
) -> None:  # fmt: skip
    """Branches of a block by values at the event (``left`` before the horizon), then slopes."""
    for unit in range(a, b):
        if kind == MAXIMUM or kind == WINNER:
            best, v, d = -1, 0.0, 0.0
            for j in range(places):
                x = sources[row + j]
                if x >= 0:
                    own = slope[x]
                    value = ahead[x] - left * own
                    tied = value == v and own == d and kind == WINNER and mode == 1
                    if best < 0 or value > v or (value == v and own > d) or tied:
                        best, v, d = j, value, own
            branch[unit] = float(best)
        else:
            x = sources[row]
            own = slope[x]
            value = ahead[x] - left * own
            if kind == STEP:
                yes = value > 0.0 or (value == 0.0 and (own > 0.0 or (own == 0.0 and mode == 0)))
                branch[unit] = 1.0 if yes else 0.0
            elif kind == STAIRCASE:
                branch[unit] = _stair(value, own, mode)
        row += places


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def put_out(
    a: int, b: int, kind: int, places: int, row: int, layout: int, sources: Ids, factors: Ids, numbers: Array,
    ahead: Array, slope: Array, branch: Array, dslope: Array, dahead: Array, left: float, divisor: float,
) -> Any:  # fmt: skip
    """What a block puts out with its branches.

    Returns the sums of squares of the changes of slopes, of bounds of what changes of values are off
    ``left`` times those, of bounds of the rounding of short rows and products (slopes, values), and of the
    changes of values.
    """
    change, off, own_slope, own_ahead, moved = 0.0, 0.0, 0.0, 0.0, 0.0
    if kind == MAXIMUM and layout == RELU:
        x = sources[row] - a
        for k in range(a, b):
            on = 1.0 - branch[k]
            d, v = on * slope[x + k], on * ahead[x + k]
            ds, dv = d - slope[k], v - ahead[k]
            dslope[k], dahead[k] = ds, dv
            slope[k], ahead[k] = d, v
            wrong = abs(dv - left * ds) + 4.0 * ULP * (2.0 * abs(v) + abs(dv) + abs(left * ds))
            change += ds * ds
            moved += dv * dv
            off += wrong * wrong
        return change, off, own_slope, own_ahead, moved
    for unit in range(a, b):
        d, v = 0.0, 0.0
        if kind == MAXIMUM:
            w = sources[row + int(branch[unit])]
            d, v = slope[w], ahead[w]
        elif kind == WINNER:
            v = numbers[row + int(branch[unit])]
        elif kind == PRODUCT:
            f = ahead[factors[row]]
            d, v = f * slope[sources[row]], f * ahead[sources[row]]
            own_slope += ULP * ULP * d * d
            own_ahead += ULP * ULP * v * v
        elif kind == SHORT:
            most_d, most_v = 0.0, 0.0
            for j in range(row, row + places):
                x = sources[j]
                if x >= 0:
                    p, q = numbers[j] * slope[x], numbers[j] * ahead[x]
                    d += p
                    v += q
                    most_d += abs(p)
                    most_v += abs(q)
                elif x == BIAS:
                    v += numbers[j]
                    most_v += abs(numbers[j])
            d /= divisor
            v /= divisor
            most_d *= (places + 4) * ULP / divisor
            most_v *= (places + 4) * ULP / divisor
            own_slope += most_d * most_d
            own_ahead += most_v * most_v
        else:
            v = branch[unit]
        ds, dv = d - slope[unit], v - ahead[unit]
        dslope[unit], dahead[unit] = ds, dv
        slope[unit], ahead[unit] = d, v
        wrong = abs(dv - left * ds) + 4.0 * ULP * (2.0 * abs(v) + abs(dv) + abs(left * ds))
        change += ds * ds
        moved += dv * dv
        off += wrong * wrong
        row += places
    return change, off, own_slope, own_ahead, moved


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def wrong_maxima(
    a: int, b: int, places: int, row: int, sources: Ids, ahead: Array, slope: Array, branch: Array,
    margin: Array, left: float, zh: float,
) -> float:  # fmt: skip
    """Sum of squares of bounds of how far the maxima of a block are off until their next event; notes by how
    much they lead now.

    What is behind the winner now and either does not catch up or has its event when it does is right but for
    the rounding of the values and of the event's time.
    """
    total = 0.0
    wide = 8.0 * ULP * (abs(zh) + left)
    for unit in range(a, b):
        w = sources[row + int(branch[unit])]
        v, d = ahead[w], slope[w]
        most, lead = 0.0, margin[unit]
        for j in range(places):
            x = sources[row + j]
            if x >= 0 and x != w:
                gap = ahead[x] - v
                fall = slope[x] - d
                now = gap - left * fall
                room = 8.0 * ULP * (abs(ahead[x]) + abs(v)) + wide * (abs(slope[x]) + abs(d))
                lead = min(lead, -now - room)
                if gap > 0.0 or now + room > 0.0:
                    most = max(most, max(now, 0.0) + room)
        margin[unit] = lead
        total += most * most
        row += places
    return total
