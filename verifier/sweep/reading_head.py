"""Evaluating the head between two points of the line."""

from __future__ import annotations

from typing import Any

from numba import njit

from symbolic.enclosures.rounding import Array
from verifier.sweep.head import Head, Scratch
from verifier.sweep.layout import LINEAR, MAXIMUM, STEP
from verifier.sweep.products import OPTIONS
from verifier.sweep.state import State

__all__ = ["INSIDE", "MIXED", "OUTSIDE", "every_element", "verdict", "want"]

OUTSIDE, INSIDE, MIXED = range(3)
UP = 1.0 + 2.0**-40


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def want(h: Head, c: Scratch, first: int, last: int) -> None:
    """List the units that some output elements need."""
    c.wanted[:] = 0
    for e in range(first, last):
        c.wanted[h.outputs[e]] = 1
    n = 0
    layers = len(h.kind)
    # the last layer first: a layer's units are all marked once the layers behind it are listed
    for back in range(layers):
        k = layers - 1 - back
        c.pointers[back] = n
        for i in range(h.size[k]):
            unit = h.start[k] + i
            if c.wanted[unit]:
                c.needed[n] = unit
                n += 1
                for j in range(h.pointers[h.rows[k] + i], h.pointers[h.rows[k] + i + 1]):
                    c.wanted[h.sources[j]] = 1
    c.pointers[layers] = n
    for unit in range(1, len(c.wanted)):
        if c.wanted[unit] and h.layer_of[unit] < 0:
            c.needed[n] = unit
            n += 1
    c.pointers[layers + 1] = n


def every_element(h: Head, c: Scratch) -> Scratch:
    """The same room, with a list of what all output elements need."""
    found = c._replace(needed=c.needed.copy(), pointers=c.pointers.copy())
    want(h, found, 0, len(h.outputs))
    return found


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _read(h: Head, c: Scratch, s: State, z1: float, z2: float) -> None:
    """Values of all units of the body that are needed, their error and size."""
    layers = len(h.kind)
    a, b = z1 - s.at[1], z2 - s.at[1]
    wide, most, parts = 0.0, 0.0, 0.0
    for i in range(c.pointers[layers], c.pointers[layers + 1]):
        u = c.needed[i]
        x, y = s.ahead[u] + s.slope[u] * a, s.ahead[u] + s.slope[u] * b
        c.lower[0, u] = x
        c.upper[0, u] = x
        c.lower[1, u] = y
        c.upper[1, u] = y
        most = max(most, max(abs(x), abs(y)))
        parts = max(parts, abs(s.ahead[u]) + abs(s.slope[u]) * max(abs(a), abs(b)))
        if h.body_layer[u] >= 0:
            wide = max(wide, c.error[h.body_layer[u]])
    c.radius[layers] = UP * (wide + 2.0**-50 * parts)
    c.size[layers] = most


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def evaluate(h: Head, c: Scratch, s: State, z1: float, z2: float) -> None:
    """Lines of the listed units between two points."""
    _read(h, c, s, z1, z2)
    layers = len(h.kind)
    for k in range(layers):
        back = layers - 1 - k
        a, b = c.pointers[back], c.pointers[back + 1]
        base = h.rows[k]
        if a == b:
            continue
        wide, most = 0.0, 0.0
        for j in range(h.link[k], h.link[k + 1]):
            wide = max(wide, c.radius[h.link_layer[j]])
            most = max(most, c.size[h.link_layer[j]])
        if h.kind[k] == LINEAR:
            c.size[k] = UP * (h.gain[k] * most + h.most[k]) / h.divisor[k]
            c.radius[k] = UP * (h.gain[k] * wide / h.divisor[k] + h.rounding[k] * c.size[k]) + 1e-300
            if h.single[k]:
                _sum_single(h, c, k, base, a, b)
            else:
                _sum(h, c, k, base, a, b)
        elif h.kind[k] == MAXIMUM:
            c.size[k], c.radius[k] = most, wide
            _greatest(h, c, k, base, a, b)
        else:
            c.radius[k] = 0.0
            _decide(h, c, k, base, a, b, wide)
            c.size[k] = 0.0
            for i in range(a, b):
                u = c.needed[i]
                c.size[k] = max(c.size[k], max(abs(c.lower[0, u]), abs(c.upper[0, u])))


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _sum_single(h: Head, c: Scratch, k: int, base: int, a: int, b: int) -> None:
    """Sums of units with one line each."""
    lower, pointers, sources, weights = c.lower, h.pointers, h.sources, h.weights
    constants = h.rows[k] - k - h.start[k]
    for i in range(a, b):
        u = c.needed[i]
        row = base + u - h.start[k]
        x1 = x2 = h.bias[constants + u]
        for j in range(pointers[row], pointers[row + 1]):
            x, w = sources[j], weights[j]
            x1 += w * lower[0, x]
            x2 += w * lower[1, x]
        x1, x2 = x1 / h.divisor[k], x2 / h.divisor[k]
        c.lower[0, u], c.lower[1, u], c.upper[0, u], c.upper[1, u] = x1, x2, x1, x2


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _sum(h: Head, c: Scratch, k: int, base: int, a: int, b: int) -> None:
    lower, upper, pointers, sources, weights = c.lower, c.upper, h.pointers, h.sources, h.weights
    constants = h.rows[k] - k - h.start[k]  # there is one pointer more per layer
    for i in range(a, b):
        u = c.needed[i]
        row = base + u - h.start[k]
        l1 = l2 = u1 = u2 = h.bias[constants + u]
        for j in range(pointers[row], pointers[row + 1]):
            x, w = sources[j], weights[j]
            if w >= 0.0:
                l1 += w * lower[0, x]
                l2 += w * lower[1, x]
                u1 += w * upper[0, x]
                u2 += w * upper[1, x]
            else:
                l1 += w * upper[0, x]
                l2 += w * upper[1, x]
                u1 += w * lower[0, x]
                u2 += w * lower[1, x]
        g = h.divisor[k]
        c.lower[0, u], c.lower[1, u], c.upper[0, u], c.upper[1, u] = l1 / g, l2 / g, u1 / g, u2 / g


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _greatest(h: Head, c: Scratch, k: int, base: int, a: int, b: int) -> None:
    lower, upper, pointers, sources = c.lower, c.upper, h.pointers, h.sources
    for i in range(a, b):
        u = c.needed[i]
        row = base + u - h.start[k]
        first = pointers[row]
        best = sources[first]
        most = lower[0, best] + lower[1, best]
        top1, top2 = upper[0, best], upper[1, best]
        for j in range(first, pointers[row + 1]):
            x = sources[j]
            top1, top2 = max(top1, upper[0, x]), max(top2, upper[1, x])
            if lower[0, x] + lower[1, x] > most:
                best, most = x, lower[0, x] + lower[1, x]
        lower[0, u], lower[1, u], upper[0, u], upper[1, u] = (
            lower[0, best],
            lower[1, best],
            top1,
            top2,
        )


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _decide(h: Head, c: Scratch, k: int, base: int, a: int, b: int, wide: float) -> None:
    """Steps and winners: constants, if they are known."""
    for i in range(a, b):
        u = c.needed[i]
        row = base + u - h.start[k]
        first, last = h.pointers[row], h.pointers[row + 1]
        if h.kind[k] == STEP:
            x = h.sources[first]
            low = 1.0 if c.lower[0, x] > wide and c.lower[1, x] > wide else 0.0
            top = 0.0 if c.upper[0, x] < -wide and c.upper[1, x] < -wide else 1.0
            if x == 0:
                low = top = 1.0 - h.mode[k]
        else:
            best = h.sources[first]
            for j in range(first, last):
                x = h.sources[j]
                if c.lower[0, x] + c.lower[1, x] > c.lower[0, best] + c.lower[1, best]:
                    best = x
            low, top = 1e300, -1e300
            room = 2.0 * UP * wide
            for j in range(first, last):
                x = h.sources[j]
                beaten = c.lower[0, best] - c.upper[0, x] > room and c.lower[1, best] - c.upper[1, x] > room
                if x == best or not beaten:
                    low, top = min(low, h.numbers[j]), max(top, h.numbers[j])
        c.lower[0, u], c.lower[1, u], c.upper[0, u], c.upper[1, u] = low, low, top, top


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _differs(h: Head, c: Scratch, e: int) -> Any:
    u = h.outputs[e]
    wide = _radius(h, c, u)
    return h.seen[e] < c.lower[0, u] - wide or h.seen[e] > c.upper[0, u] + wide


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _radius(h: Head, c: Scratch, u: int) -> Any:
    """By how much an output may be off its lines; of swept ones all that is known is their layer's error."""
    if h.layer_of[u] >= 0:
        return c.radius[h.layer_of[u]]
    return c.error[h.body_layer[u]] if h.body_layer[u] >= 0 else 0.0


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def verdict(h: Head, c: Scratch, every: Scratch, s: State, z1: float, z2: float, cut: Array) -> int:
    """Whether the selection is the observed one between two points; the witness first.

    ``c`` lists what the witness needs, ``every`` what all elements need. ``cut`` gets between
    which points a stretch that is neither may be inside, and how well they are known.
    """
    evaluate(h, c, s, z1, z2)
    if _differs(h, c, c.witness[0]):
        return OUTSIDE
    n = len(h.outputs)
    evaluate(h, every, s, z1, z2)
    best, most, inside = -1, -1.0, True
    cut[0], cut[1], cut[2] = -1e300, 1e300, 0.0
    lower, upper, radius, layer_of = c.lower, c.upper, c.radius, h.layer_of
    outputs, seen, decider, body_layer, error = h.outputs, h.seen, h.decider, h.body_layer, c.error
    for e in range(n):
        u = outputs[e]
        wide = 0.0  # as in _radius, which would be handed too much for every element
        if layer_of[u] >= 0:
            wide = radius[layer_of[u]]
        elif body_layer[u] >= 0:
            wide = error[body_layer[u]]
        if seen[e] < lower[0, u] - wide or seen[e] > upper[0, u] + wide:
            x = decider[e]
            margin = 0.0
            if x >= 0:
                margin = min(
                    min(abs(c.lower[0, x]), abs(c.upper[0, x])), min(abs(c.lower[1, x]), abs(c.upper[1, x]))
                )
            if margin > most:
                best, most = e, margin
        elif lower[0, u] != upper[0, u] or not wide < 0.25:
            inside = False
            if h.decider[e] >= 0 and best < 0:
                _narrow(h, c, e, z1, z2, cut)
    found = INSIDE if inside else MIXED
    if best >= 0:
        c.witness[0] = best
        found = OUTSIDE
        want(h, c, best, best + 1)
    return found


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _narrow(h: Head, c: Scratch, e: int, z1: float, z2: float, cut: Array) -> None:
    """Where an element is as observed, by the middle of its lines: shrink the cut to it."""
    x = h.decider[e]
    wide = c.radius[h.layer_of[x]] if h.layer_of[x] >= 0 else c.radius[len(h.kind)]
    a, b = 0.5 * (c.lower[0, x] + c.upper[0, x]), 0.5 * (c.lower[1, x] + c.upper[1, x])
    if a == b:
        return
    wide += 0.5 * max(c.upper[0, x] - c.lower[0, x], c.upper[1, x] - c.lower[1, x])
    room = 1.25 * wide * (z2 - z1) / abs(a - b)
    root = z1 + (z2 - z1) * (a / (a - b))
    if root < z1 - room or root > z2 + room:
        return
    cut[2] = max(cut[2], room)
    if (b < a) == (h.seen[e] > 0.5):
        cut[1] = min(cut[1], root)
    else:
        cut[0] = max(cut[0], root)
