"""Sweeping a line: all linear pieces of a program from one point on, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.guards import Branches
from symbolic.pieces.program import Guarded, Program
from verifier.sweep.compiled import compiled
from verifier.sweep.forward import Forward, forward
from verifier.sweep.fusing import alive, fused
from verifier.sweep.head import Head, Scratch, head_of, head_start, scratch_of
from verifier.sweep.horizon import CHUNK, GRID, schedule
from verifier.sweep.layout import Net
from verifier.sweep.ordering import Units, ordered
from verifier.sweep.reading_head import every_element, want
from verifier.sweep.running import DEEPEST, run
from verifier.sweep.state import State

__all__ = ["Plan", "Sweep", "Sweeper", "begun", "planned"]

FIRST_STEP = 2.0**-10
"""How far the first horizon lies ahead."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A program made ready for sweeping; it serves any number of lines.

    Attributes
    ----------
    program : Program
        With fused maxima.
    body, tail : list of int
        The layers that are swept, and those of the head.
    """

    program: Program
    units: Units
    body: list[int]
    tail: list[int]
    net: Net
    head: Head


def planned(
    program: Program, observed: Mapping[str, Array] | None = None, fuse: bool = True, split: bool = True
) -> Plan:
    """Make a program ready.

    Parameters
    ----------
    program : Program
    observed : mapping of str to ndarray, optional
        The observed selection: elements of discrete outputs; without it pieces get no verdict.
    fuse, split : bool
        Whether maxima of maxima are merged, and whether there is a head.
    """
    program = fused(program) if fuse else program
    headed = split and bool(observed)
    known = _known.setdefault(program, {})
    if headed not in known:
        known[headed] = _without_head(program, headed)
    units, body, tail, net = known[headed]
    seen = {name: np.asarray(values, dtype=np.float64) for name, values in (observed or {}).items()}
    return Plan(program, units, body, tail, net, head_of(program, units, tail, body, seen))


Prepared = tuple[Units, list[int], list[int], Net]
_known: WeakKeyDictionary[Program, dict[bool, Prepared]] = WeakKeyDictionary()
"""By whether there is a head."""


def _without_head(program: Program, headed: bool) -> Prepared:
    """What does not depend on the observed selection."""
    lives = alive(program)
    start = head_start(program, lives) if headed else len(program.layers)
    body = [k for k in range(start) if lives[k]]
    tail = [k for k in range(start, len(program.layers)) if lives[k]]
    units = ordered(program, lives)
    return units, body, tail, compiled(program, units, body)


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a run has found.

    Attributes
    ----------
    events : ndarray, shape (n, 5)
        z, layer, unit (counted in the layer), old and new branch.
    lo, hi : ndarray
        Ends of the pieces, in ascending order of z.
    verdicts : ndarray of int
        `OUTSIDE`, `INSIDE`, or `MIXED` (undecided).
    witness : ndarray of int
        An output element (counted through all outputs) that differs on an outside piece.
    reached : float
        How far the sweep has come.
    """

    events: Array
    lo: Array
    hi: Array
    verdicts: NDArray[np.int64]
    witness: NDArray[np.int64]
    reached: float


class Sweeper:
    """One line, swept from a point in one direction.

    Parameters
    ----------
    plan : Plan
    start, direction : ndarray
        x(z) = start + z * direction, flat.
    """

    def __init__(self, plan: Plan, start: Array, direction: Array) -> None:
        self.plan = plan
        self.start = np.asarray(start, dtype=np.float64).reshape(-1)
        self.direction = np.asarray(direction, dtype=np.float64).reshape(-1)
        self.sign = 1.0
        self._state: State | None = None
        self.scratch: Scratch = scratch_of(plan.program, plan.head, len(plan.body))
        self.every: Scratch = every_element(plan.head, self.scratch)

    @property
    def state(self) -> State:
        """Where the sweep stands; z is negated if it goes left."""
        if self._state is None:
            raise ValueError("the sweep has not begun")
        return self._state

    def begin(self, z: float, sign: float = 1.0) -> Forward:
        """Stand at a point, and look right (or left)."""
        self.sign = sign
        found = forward(self.plan.program, self.start + z * self.direction, sign * self.direction)
        self._state = begun(self.plan, found, sign * z)
        schedule(self.plan.net, self._state)
        self._begins = sign * z
        if len(self.plan.head.outputs):
            want(self.plan.head, self.scratch, int(self.scratch.witness[0]), int(self.scratch.witness[0]) + 1)
        return found

    def stands(self, z: float, sign: float) -> bool:
        """Whether the last run ended at a point, in a direction."""
        return self._state is not None and sign == self.sign and self._begins == sign * z

    def restore(self, state: State, z: float, witness: int) -> None:
        """Go back to a state that stood at a point."""
        self._state, self._begins = state, self.sign * z
        self.scratch.witness[0] = witness
        if len(self.plan.head.outputs):
            want(self.plan.head, self.scratch, witness, witness + 1)

    def run(self, z0: float, z1: float, max_events: int = 1 << 30) -> Sweep:
        """Sweep from z0 towards z1; goes on where the last run stopped if that is z0."""
        sign = 1.0 if z1 >= z0 else -1.0
        if not self.stands(z0, sign):
            self.begin(z0, sign)
        events: list[Array] = []
        pieces: list[Array] = []
        left = max_events
        while left > 0 and self.state.at[0] < sign * z1:
            rows = min(left, 1 << 14)
            made = np.array([0.0, 0.0, self._begins])
            e, p = np.zeros((rows, 5)), np.zeros((3 * rows + 4 * DEEPEST, 4))
            plan = self.plan
            run(plan.net, self.state, plan.head, self.scratch, self.every, sign * z1, rows, e, p, made)
            self._begins = float(made[2])
            events.append(e[: int(made[0])])
            pieces.append(p[: int(made[1])])
            left -= int(made[0])
        return self._sweep(events, pieces)

    def _sweep(self, events: list[Array], pieces: list[Array]) -> Sweep:
        plan, sign = self.plan, self.sign
        e = np.concatenate([np.zeros((0, 5)), *events])
        p = np.concatenate([np.zeros((0, 4)), *pieces])
        e[:, 0] *= sign
        layers = np.array(plan.body, dtype=np.int64)[e[:, 1].astype(np.int64)]
        starts = np.array([layer.start for layer in plan.program.layers], dtype=np.int64)[layers]
        e[:, 1], e[:, 2] = layers, plan.units.old[e[:, 2].astype(np.int64)] - starts
        ends = (p[:, 0], p[:, 1]) if sign > 0 else (-p[::-1, 1], -p[::-1, 0])
        p = p if sign > 0 else p[::-1]
        return Sweep(e, *ends, p[:, 2].astype(np.int64), p[:, 3].astype(np.int64), sign * self._begins)

    # ---- what is asked --------------------------------------------------------------------------------

    def units_at(self, z: float) -> Array:
        """Values of all swept units (numbered as in the program) at a point of the piece at hand."""
        s = self.state
        found = np.zeros(self.plan.program.size)
        found[self.plan.units.old] = s.ahead + s.slope * (self.sign * z - s.at[1])
        return found

    def branches(self) -> Branches:
        """The branches of the swept layers."""
        found: dict[int, Any] = {}
        old = np.zeros(self.plan.program.size)
        old[self.plan.units.old] = self.state.branch
        for k in self.plan.body:
            layer = self.plan.program.layers[k]
            if isinstance(layer, Guarded):
                found[k] = old[layer.units].astype(np.int64)
        return found


def begun(plan: Plan, found: Forward, z: float) -> State:
    """The state at a point."""
    program, net, new = plan.program, plan.net, plan.units.old
    blocks, gates, size = len(net.blocks), len(net.gate_block), program.size
    branch = np.zeros(size)
    for k in plan.body:
        layer = program.layers[k]
        if k in found.branches:
            branch[layer.units] = found.branches[k]
    most = max(blocks, len(net.targets))
    horizon = float(np.ceil(z / GRID) * GRID + FIRST_STEP)
    chunks = -(-gates // CHUNK)
    return State(
        slope=found.slope[new].copy(),
        ahead=(found.value + found.slope * (horizon - z))[new],
        dslope=np.zeros(size),
        dahead=np.zeros(size),
        branch=branch[new].copy(),
        margin=np.full(size, np.inf),
        times=np.zeros(gates),
        soonest=np.zeros(chunks),
        flag=np.zeros(blocks, dtype=np.int8),
        changed=np.zeros(blocks, dtype=np.int64),
        count=np.zeros(max(1, len(net.layers)), dtype=np.int64),
        marked=np.zeros(most, dtype=np.int8),
        looked=np.zeros(most, dtype=np.int64),
        dirty=np.zeros(chunks, dtype=np.int8),
        chunks=np.zeros(chunks + 1, dtype=np.int64),
        nonzero=np.zeros(blocks, dtype=np.int64),
        places=np.zeros(size, dtype=np.int64),
        values=np.zeros(size),
        jumps=np.zeros(size),
        tally=np.zeros((len(net.layers) + 1, 3)),
        delta=np.zeros((max(1, len(net.layers)), 4)),
        at=np.array([z, horizon, FIRST_STEP, 0.0, 0.0, horizon - z]),
    )
