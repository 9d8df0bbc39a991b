"""Deciding a line by sweeping it, outwards from the observed point.

The sweep proposes: every linear piece, with a verdict in float64. What is claimed is proved: stretches of
pieces with one verdict are handed to a prover, whole if it can, else in halves, down to single pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf

import numpy as np

from verifier.cells import Cell, covering
from verifier.event import Event
from verifier.goal import Goal, Stop
from verifier.search import Law, SearchResult
from verifier.sweep.reading_head import MIXED
from verifier.sweep.sweeper import Plan, Sweep, Sweeper

__all__ = ["swept"]

EVENTS = 256
"""Flips between two looks at p."""
Stretch = tuple[float, float]


@dataclass
class Side:
    """One of the two directions.

    Attributes
    ----------
    at : float
        How far it has come.
    end : float
        Where it stops.
    inside : float
        Logarithm of the null mass that is proved inside.
    undecided : float
        Of what is left behind.
    """

    sweeper: Sweeper
    at: float
    end: float
    inside: float = -inf
    undecided: float = -inf
    cells: list[Cell] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.at == self.end

    def rest(self) -> Stretch:
        """What lies ahead, to infinity."""
        return (self.at, inf) if self.end > 0 else (-inf, self.at)


def swept(
    event: Event,
    plan: Plan,
    law: Law,
    goal: Goal,
    lo: float,
    hi: float,
    batch: int = 16,
    progress: Callable[[float, float, int], None] | None = None,
) -> SearchResult:
    """Sweep until the goal, or to both ends.

    Parameters
    ----------
    event : Event
        Proves verdicts of stretches, on the same line.
    plan : Plan
        The network, made ready for sweeping.
    law : Law
        Weighs what is known.
    goal : Goal
        When to stop.
    lo, hi : float
        The part of the line that matters.
    batch : int
        Stretches that are enclosed at once.
    progress : callable, optional
        Called with (inf_p, sup_p, evaluations).
    """
    start, direction = event.line.start.reshape(-1), event.line.direction.reshape(-1)
    sides = [Side(Sweeper(plan, start, direction), 0.0, end) for end in (lo, hi)]
    prover = _Prover(event, batch)
    ended: Stop = "exhaustive"
    while True:
        inf_p, sup_p = _bounds(law, sides)
        if progress is not None:
            progress(inf_p, sup_p, event.evaluations)
        if goal.reached(inf_p, sup_p):
            ended = "precision" if goal.stop == "precision" else "decision"
            break
        open_sides = [side for side in sides if not side.done]
        if not open_sides:
            break
        if event.evaluations >= goal.max_cells:
            ended = "budget"
            break
        side = max(open_sides, key=lambda s: _mass(law, s.rest()))
        found = side.sweeper.run(side.at, side.end, EVENTS)
        side.at = found.reached
        for cell in prover.prove(found):
            mass = _mass(law, (float(cell.lo), float(cell.hi)))
            if cell.verdict == "gap":
                side.undecided = float(np.logaddexp(side.undecided, mass))
            else:
                side.cells.append(cell)
                if cell.verdict == "inside":
                    side.inside = float(np.logaddexp(side.inside, mass))
    return SearchResult(covering([*sides[0].cells, *sides[1].cells]), event.evaluations, ended)


def _mass(law: Law, stretch: Stretch) -> float:
    return float(law.log_mass(np.array([stretch[0]]), np.array([stretch[1]]))[0])


def _bounds(law: Law, sides: Sequence[Side]) -> tuple[float, float]:
    gaps = [float(np.logaddexp(side.undecided, _mass(law, side.rest()))) for side in sides]
    return law.bounds(sides[0].inside, sides[1].inside, *gaps)


class _Prover:
    """Stretches of pieces, proved by enclosures: many at once, and as long as they have been so far."""

    def __init__(self, event: Event, batch: int) -> None:
        self.event, self.batch = event, batch
        self.longest = 64  # pieces that are tried in one

    def prove(self, found: Sweep) -> list[Cell]:
        """Cells that cover what was swept, in any order."""
        waiting = [
            (k, min(k + self.longest, last))
            for first, last in _runs(found)
            for k in range(first, last, self.longest)
        ]
        cells: list[Cell] = []
        while waiting:
            some, waiting = waiting[: self.batch], waiting[self.batch :]
            ends = [(float(found.lo[a]), float(found.hi[b - 1])) for a, b in some]
            for (a, b), (lo, hi), outcome in zip(some, ends, self.event.decide(ends), strict=True):
                if not (outcome.rest or outcome.stuck or outcome.undefined) and len(outcome.parts) == 1:
                    cells.append(self._cell(lo, hi, outcome.parts[0][2]))
                    if b - a >= self.longest:
                        self.longest = 2 * (b - a)
                elif b - a > 1:
                    middle = (a + b) // 2
                    self.longest = min(self.longest, b - middle)
                    waiting += [(a, middle), (middle, b)]
                else:
                    cells.append(Cell(Fraction(lo), Fraction(hi), "gap"))
        return cells

    def _cell(self, lo: float, hi: float, element: int) -> Cell:
        ends = Fraction(lo), Fraction(hi)
        if element < 0:
            return Cell(*ends, "inside")
        return Cell(*ends, "outside", *self.event.locate(element))


def _runs(found: Sweep) -> Iterator[tuple[int, int]]:
    """Adjoining pieces with one verdict; a piece that has none is a run of its own."""
    first = 0
    for k in range(1, len(found.lo) + 1):
        if k < len(found.lo) and found.verdicts[k] == found.verdicts[first] != MIXED:
            continue
        if found.hi[k - 1] > found.lo[first]:
            yield first, k
        first = k
