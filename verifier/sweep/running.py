"""The loop over events: pieces of the line with verdicts."""

from __future__ import annotations

from typing import Any

from numba import njit

from verifier.sweep.certainty import certain_part
from verifier.sweep.head import Head, Scratch
from verifier.sweep.horizon import advance, next_gate
from verifier.sweep.kernel import fire
from verifier.sweep.layout import Net
from verifier.sweep.products import OPTIONS
from verifier.sweep.reading_head import MIXED, verdict
from verifier.sweep.state import State

__all__ = ["DEEPEST", "judge", "run"]

DEEPEST = 60
"""Cuts within each other of one stretch that is undecided."""
FINEST = 2.0**-44
"""Stretches that are shorter, relative to their place, are left undecided."""
THIN = 2.0**-20
"""Of a stretch: what is left undecided on both sides of a root."""


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def run(
    net: Net,
    s: State,
    h: Head,
    c: Scratch,
    every: Scratch,
    end: float,
    most: int,
    events: Any,
    pieces: Any,
    made: Any,
) -> None:
    """Sweep up to a point, or until an array is full.

    ``events`` gets rows of z, layer, unit, old branch, new branch; ``pieces`` rows of ends, verdict, witness.
    ``made`` counts them, and holds where the piece at hand begins.
    """
    found, cut = [0.0] * 4, [0.0] * 3
    n, begins = 0, made[2]
    judged = len(h.outputs) > 0
    while n < most and n < len(events):
        if judged and made[1] + 4 * DEEPEST > len(pieces):
            break
        gate = next_gate(s.soonest, s.times)
        t = s.times[gate] if gate >= 0 else s.at[1]
        if t >= end or (gate < 0 and s.at[1] >= end):
            s.at[0] = end
            break
        if gate < 0:
            advance(net, s)
            continue
        if t > begins:
            if judged:
                _judge_certain(net, h, c, every, s, begins, t, pieces, made, cut)
            begins = t
        s.at[0] = t
        fire(net, s, gate, found)
        s.at[3] += 1.0
        events[n, 0] = t
        for i in range(4):
            events[n, 1 + i] = found[i]
        n += 1
    if s.at[0] > begins and s.at[0] >= end:
        if judged:
            _judge_certain(net, h, c, every, s, begins, end, pieces, made, cut)
        begins = end
    made[0] = n
    made[2] = begins


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _judge_certain(
    net: Net, h: Head, c: Scratch, every: Scratch, s: State, z1: float, z2: float, pieces: Any, made: Any,
    cut: Any,
) -> None:  # fmt: skip
    """Append a piece; with proofs, what is near a jump is undecided."""
    if s.at[4] == 0.0:
        _judge(h, c, every, s, z1, z2, pieces, made, cut)
        return
    part = [z1, z2]
    certain_part(net, s, c.error, z1, z2, part)
    if part[0] > z1:
        _append(pieces, made, z1, part[0], MIXED, c.witness[0])
    if part[0] < part[1]:
        _judge(h, c, every, s, part[0], part[1], pieces, made, cut)
    if part[1] < z2:
        _append(pieces, made, part[1], z2, MIXED, c.witness[0])


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _judge(
    h: Head, c: Scratch, every: Scratch, s: State, z1: float, z2: float, pieces: Any, made: Any, cut: Any
) -> None:
    """Append a piece, cut where its verdict changes."""
    found = verdict(h, c, every, s, z1, z2, cut)
    if found != MIXED:
        _append(pieces, made, z1, z2, found, c.witness[0])
        return
    todo = [(z1, z2, False)]
    parts = 0
    while len(todo) > 0:
        a, b, thin = todo.pop()
        found = MIXED if thin else verdict(h, c, every, s, a, b, cut)
        parts += 1
        fine = FINEST * (1.0 + max(abs(a), abs(b)))
        if found != MIXED or thin or b - a <= fine or parts >= DEEPEST:
            _append(pieces, made, a, b, found, c.witness[0])
            continue
        room = max(fine, cut[2]) + THIN * (b - a)
        low, high = min(cut[0], cut[1]), max(cut[0], cut[1])
        points = [b]
        for p in (high + room, high - room, low + room, low - room):
            if a < p < points[-1]:
                points.append(p)
        if len(points) == 1:
            points.append(0.5 * (a + b))
        points.append(a)
        for k in range(len(points) - 1):  # what is last is looked at first
            middle = 0.5 * (points[k] + points[k + 1])
            near = min(abs(middle - low), abs(middle - high)) <= room
            todo.append((points[k + 1], points[k], near))


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def judge(
    h: Head, c: Scratch, every: Scratch, s: State, z1: float, z2: float, pieces: Any, made: Any
) -> None:
    """The verdicts of a stretch of one piece."""
    _judge(h, c, every, s, z1, z2, pieces, made, [0.0] * 3)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _append(pieces: Any, made: Any, z1: float, z2: float, found: int, witness: int) -> None:
    """Add a piece, or lengthen the last one."""
    n = int(made[1])
    pieces[n, 0], pieces[n, 1], pieces[n, 2], pieces[n, 3] = z1, z2, float(found), float(witness)
    made[1] = n + 1
