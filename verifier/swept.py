"""Deciding a line by sweeping it, outwards from the observed point.

The sweep finds every linear piece and proves the verdicts of most (`sweep.rigour`); where it proves nothing
(inner jumps) enclosures do. A cell of the certificate spans as many pieces as enclosures, and so a checker,
can decide in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf

import numpy as np

from symbolic.enclosures.line import Line
from symbolic.errors import ModelError
from symbolic.pieces.program import Linear, Maximum, Program
from verifier.cells import Cell, covering
from verifier.event import Event
from verifier.goal import Goal, Stop
from verifier.search import Law, SearchResult
from verifier.sweep.reading_head import INSIDE, MIXED, OUTSIDE
from verifier.sweep.rigour import CertifiedSweeper, rigorous
from verifier.sweep.sweeper import Plan, Sweep, Sweeper, planned

__all__ = ["is_provable", "swept"]

EVENTS = 512
"""Flips between two looks at p."""
SELDOM = 16
"""Cells between two trials of how long they may be."""
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
    inside, undecided : float
        Logarithms of the null mass that is proved inside, and that is left behind.
    """

    sweeper: Sweeper | CertifiedSweeper
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

    def add(self, cell: Cell, law: Law) -> None:
        """Count a cell."""
        mass = _mass(law, (float(cell.lo), float(cell.hi)))
        if cell.verdict == "gap":
            self.undecided = float(np.logaddexp(self.undecided, mass))
        elif cell.verdict == "inside":
            self.inside = float(np.logaddexp(self.inside, mass))
        self.cells.append(cell)


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
    """Sweep until the goal, or until what lies ahead does not matter for it.

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

    Returns
    -------
    SearchResult
        ``evaluations`` counts enclosures and linear pieces.
    """
    sides = _sides(plan, event.line, lo, hi)
    prover = _Prover(event, batch, isinstance(sides[0].sweeper, CertifiedSweeper))
    ended: Stop = "exhaustive"
    while True:
        inf_p, sup_p = _bounds(law, sides)
        if progress is not None:
            progress(inf_p, sup_p, event.evaluations + prover.pieces)
        if goal.reached(inf_p, sup_p):
            ended = "precision" if goal.stop == "precision" else "decision"
            break
        open_sides = [side for side in sides if not side.done]
        if not open_sides or goal.reached(*_bounds(law, sides, hopeful=True)):
            break
        if event.evaluations + prover.pieces >= goal.max_cells:
            ended = "budget"
            break
        side = max(open_sides, key=lambda s: _mass(law, s.rest()))
        found = side.sweeper.run(side.at, side.end, EVENTS)
        side.at = found.reached
        for cell in prover.prove(found):
            side.add(cell, law)
    cells = covering([*sides[0].cells, *sides[1].cells])
    return SearchResult(cells, event.evaluations + prover.pieces, ended)


def is_provable(program: Program, outputs: Sequence[str]) -> bool:
    """Whether nothing jumps before the last layers and no integer may wrap: a sweep proves verdicts."""
    if program.held:
        return False
    plan = planned(program, {name: np.zeros(program.outputs[name].shape) for name in outputs})
    return all(isinstance(plan.program.layers[k], (Linear, Maximum)) for k in plan.body)


def _sides(plan: Plan, line: Line, lo: float, hi: float) -> list[Side]:
    """Certified, where the network allows it."""
    start, direction = line.start.reshape(-1), line.direction.reshape(-1)
    off = tuple(float(np.linalg.norm(e)) * (1 + 2.0**-20) for e in (line.start_error, line.direction_error))
    try:
        proved = rigorous(plan)
    except ModelError:
        return [Side(Sweeper(plan, start, direction), 0.0, end) for end in (lo, hi)]
    return [Side(CertifiedSweeper(proved, start, direction, (off[0], off[1])), 0.0, end) for end in (lo, hi)]


def _mass(law: Law, stretch: Stretch) -> float:
    return float(law.log_mass(np.array([stretch[0]]), np.array([stretch[1]]))[0])


def _bounds(law: Law, sides: Sequence[Side], hopeful: bool = False) -> tuple[float, float]:
    """Bounds of p; ``hopeful``: if what was left behind could be decided."""
    gaps = [
        float(np.logaddexp(-inf if hopeful else side.undecided, _mass(law, side.rest()))) for side in sides
    ]
    return law.bounds(sides[0].inside, sides[1].inside, *gaps)


class _Prover:
    """Cells from pieces.

    A cell may span several proved pieces with one verdict and witness: about as many as enclosures can prove
    in one, so that a checker can too; now and then one is tried. Without proofs by the sweep all are.
    """

    def __init__(self, event: Event, batch: int, certified: bool) -> None:
        self.event, self.batch, self.certified = event, batch, certified
        self.longest = 8  # pieces that enclosures can prove in one, it seems
        self.pieces = 0
        self.pause, self.wait = 1, 0

    def prove(self, found: Sweep) -> list[Cell]:
        """Cells that cover what was swept, in any order."""
        self.pieces += len(found.lo)
        if not self.certified:
            return self._enclosed(found)
        cells: list[Cell] = []
        for first, last in _runs(found, one_witness=True):
            k = first
            while k < last:
                self._try(found, k, last)
                end = min(last, k + max(1, self.longest // 2))
                cells.append(self._swept(found, k, end))
                k = end
        return cells

    def _try(self, found: Sweep, k: int, last: int) -> None:
        """Learn how long cells may be; ever more seldom where enclosures prove nothing."""
        self.wait -= 1
        if self.wait > 0 or found.verdicts[k] == MIXED or last - k < self.longest:
            return
        if self._proves([(float(found.lo[k]), float(found.hi[k + self.longest - 1]))])[0] is not None:
            self.longest *= 2
        else:
            self.longest = max(1, self.longest // 2)
        self.pause = SELDOM if self.longest > 4 else min(2 * self.pause, 1 << 14)  # short ones gain little
        self.wait = self.pause

    def _enclosed(self, found: Sweep) -> list[Cell]:
        """By enclosures alone: stretches of one verdict, whole if these can, else in halves."""
        waiting = [
            (k, min(k + self.longest, last))
            for first, last in _runs(found, one_witness=False)
            for k in range(first, last, self.longest)
        ]
        cells: list[Cell] = []
        while waiting:
            some, waiting = waiting[: self.batch], waiting[self.batch :]
            ends = [(float(found.lo[a]), float(found.hi[b - 1])) for a, b in some]
            for (a, b), (lo, hi), element in zip(some, ends, self._proves(ends), strict=True):
                if element is not None:
                    cells.append(self._cell(lo, hi, element))
                    self.longest = max(self.longest, 2 * (b - a))
                elif b - a > 1:
                    middle = (a + b) // 2
                    self.longest = min(self.longest, b - middle)
                    waiting += [(a, middle), (middle, b)]
                else:
                    cells.append(Cell(Fraction(lo), Fraction(hi), "gap"))
        return cells

    def _proves(self, ends: list[Stretch]) -> list[int | None]:
        """The element that differs on each stretch, -1 inside, None where enclosures do not tell."""
        outcomes = self.event.decide(ends)
        whole = [not (o.rest or o.stuck or o.undefined) and len(o.parts) == 1 for o in outcomes]
        return [o.parts[0][2] if w else None for o, w in zip(outcomes, whole, strict=True)]

    def _swept(self, found: Sweep, a: int, b: int) -> Cell:
        """Pieces as the sweep has proved them."""
        lo, hi = float(found.lo[a]), float(found.hi[b - 1])
        if found.verdicts[a] == MIXED:
            return Cell(Fraction(lo), Fraction(hi), "gap")
        return self._cell(lo, hi, -1 if found.verdicts[a] == INSIDE else int(found.witness[a]))

    def _cell(self, lo: float, hi: float, element: int) -> Cell:
        ends = Fraction(lo), Fraction(hi)
        if element < 0:
            return Cell(*ends, "inside")
        return Cell(*ends, "outside", *self.event.locate(element))


def _runs(found: Sweep, one_witness: bool) -> Iterator[tuple[int, int]]:
    """Adjoining pieces with one verdict (and witness); a piece that has none is a run of its own."""
    kind = np.where(found.verdicts == OUTSIDE, found.witness if one_witness else 0, -1)
    first = 0
    for k in range(1, len(found.lo) + 1):
        if k < len(found.lo) and found.verdicts[k] == found.verdicts[first] != MIXED:
            if kind[k] == kind[first]:
                continue
        if found.hi[k - 1] > found.lo[first]:
            yield first, k
        first = k
