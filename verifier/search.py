"""Best-first search for the truncation set: what weighs most under the null law is decided first.

Cells wait in a queue by their null mass. A batch of the heaviest is enclosed at once; what an enclosure
decides becomes a cell of the certificate, the rest is split where the enclosure itself suggests a boundary,
else in half, and waits again. Masses are logarithms throughout, so tails at any distance have an order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.line import Segment
from symbolic.errors import BudgetError
from symbolic.network import Network
from verifier.cells import Cell, covering
from verifier.event import Event, Outcome, equal_parts, split_ray
from verifier.goal import Goal, Stop
from verifier.strategy import Density, Strategy, priorities

__all__ = ["FARTHEST", "Decider", "Goal", "Law", "Search", "SearchResult", "Stop", "segments_at_once"]

Floats = NDArray[np.float64]


class Decider(Protocol):
    """Decides a cell in exact arithmetic; ``thorough`` spares no bits."""

    def __call__(self, lo: Fraction, hi: Fraction, *, thorough: bool = False) -> Cell: ...


MOST_EXACT = 400
"""Cells that are bisected in exact arithmetic before the search gives up."""

AT_AN_END = 2.0**-40
FARTHEST = 2.0**200
"""Where even an exhaustive search gives up on a ray, by default."""
FIRST_GRID = (0.0, 0.05, 0.2, 0.6, 1.5, 4.0)
BYTES_PER_ELEMENT = 8 * 12
"""Working memory per element of the graph and segment: three arrays, patches and temporaries."""


class Law(Density, Protocol):
    """What the search needs to know of the null law; approximations in float64 suffice to order the work."""

    def log_mass(self, lo: Floats, hi: Floats) -> Floats:
        """Logarithm of the null mass of intervals of t."""

    def log_split(self, lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
        """The same in two parts: what speaks for "at most as large as observed", and for "larger"."""

    def bounds(self, left: float, right: float, gap_left: float, gap_right: float) -> tuple[float, float]:
        """Enclosure of p from both parts of what is inside and of what is undecided."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Cells that cover the line, and how the search went."""

    cells: tuple[Cell, ...]
    evaluations: int
    ended_by: Stop


@dataclass(order=True, slots=True)
class Waiting:
    """An undecided segment; the one whose turn it is compares smallest.

    ``mass`` is the logarithm of its null mass.
    """

    key: float
    lo: float
    hi: float
    mass: float


class Search:
    """One search over the line.

    Parameters
    ----------
    event : Event
        Decides segments.
    law : Law
        Orders the work.
    goal : Goal
        When to stop.
    reach : float
        Half-width in t of the part of the line that is looked at first; rays follow as they come to matter.
    lo, hi : float
        Restrict the search to this part of the line; the rest stays a gap.
    budget : int
        Bytes of working memory beyond the weights.
    refine : callable, optional
        Decides cells that float64 cannot, by more bits.
    known : sequence of Cell
        Cells that are decided already; a gap among them is left to ``refine``.
    farthest : float
        In t: rays that begin farther out and have no weight are left.
    strategy : str
        What is looked at first.
    progress : callable, optional
        Called with (inf_p, sup_p, evaluations) after every batch.
    """

    def __init__(
        self,
        event: Event,
        law: Law,
        goal: Goal,
        *,
        reach: float,
        lo: float = -np.inf,
        hi: float = np.inf,
        budget: int = 2**30,
        refine: Decider | None = None,
        known: Sequence[Cell] = (),
        farthest: float = FARTHEST,
        strategy: Strategy = "mass",
        progress: Callable[[float, float, int], None] | None = None,
    ) -> None:
        self.event, self.law, self.goal, self.strategy = event, law, goal, strategy
        self.refine, self.progress, self.farthest = refine, progress, farthest
        self.limits, self.reach = (lo, hi), reach
        self.batch = segments_at_once(event.network, budget)
        self.queue: list[Waiting] = []
        self.stuck: list[Waiting] = []
        self.slivers: list[Waiting] = []  # around the ends of what is known
        self.tails: list[Waiting] = []  # undecided for good
        self.cells: list[Cell] = []
        self.widest, self.failed = 0.0, np.inf  # widest segment decided in one piece, narrowest that was not
        self.nearest = [np.inf, np.inf]  # where an outside cell begins, left and right of the observed point
        self.inside = [-np.inf, -np.inf]  # log-mass certified inside, left and right of the observed point
        self._start(reach, known)

    def _start(self, reach: float, known: Sequence[Cell]) -> None:
        lo, hi = self.limits
        marks = {s * g for g in FIRST_GRID for s in (-1.0, 1.0)} | {-reach, reach, -np.inf, np.inf}
        marks = {m for m in marks if abs(m) <= reach or np.isinf(m)}
        points = sorted({min(max(m, lo), hi) for m in marks})
        if lo < 0 < hi and 0.0 not in points:
            points = sorted({*points, 0.0})
        segments = list(zip(points, points[1:], strict=False))
        for cell in known:
            segments = [part for a, b in segments for part in _outside_of(cell, a, b)]
            if cell.verdict == "gap":
                self._push([(float(cell.lo), float(cell.hi))], self.slivers)
            else:
                self.cells.append(cell)
                self._weigh(cell)
        self._push(segments, self.queue)

    def _push(self, segments: Sequence[Segment], pile: list[Waiting]) -> None:
        """Weigh undecided segments and put them on the queue or among the stuck ones."""
        if segments:
            lo, hi = np.array([s[0] for s in segments]), np.array([s[1] for s in segments])
            masses = self.law.log_mass(lo, hi)
            keys = priorities(self.strategy, self.law, lo, hi, masses) if pile is self.queue else -masses
            for (a, b), key, mass in zip(segments, keys.tolist(), masses.tolist(), strict=True):
                heapq.heappush(pile, Waiting(key, a, b, mass))

    def run(self) -> SearchResult:
        """Search until the goal, the budget, or nothing is left to split."""
        ended: Stop = "exhaustive"
        while True:
            inf_p, sup_p = self.bounds()
            if self.progress is not None:
                self.progress(inf_p, sup_p, self.event.evaluations)
            if self.goal.reached(inf_p, sup_p):
                ended = "precision" if self.goal.stop == "precision" else "decision"
                break
            if self._at_an_end():
                ended = "precision"
                break
            if self.event.evaluations >= self.goal.max_cells:
                ended = "budget"
                break
            batch = self._heaviest()
            if not batch:
                break
            self._evaluate(batch)
        if ended == "exhaustive" and (self.stuck or self.slivers) and self.refine is not None:
            ended = self._refine(self.refine)
        return SearchResult(covering(self.cells), self.event.evaluations, ended)

    def _at_an_end(self) -> bool:
        """Whether the observed point seems to be an end of the truncation set: p is then 0, or nearly so, and
        to halve what is next to it would take forever.
        """
        sides = zip(self.inside, self.nearest, strict=True)
        return any(inside == -np.inf and near < AT_AN_END * self.reach for inside, near in sides)

    def bounds(self) -> tuple[float, float]:
        """The enclosure of p that the cells found so far give (approximately; the proof comes later)."""
        undecided = [*self.queue, *self.stuck, *self.slivers, *self.tails]
        lo = np.array([w.lo for w in undecided] + [self.limits[1], -np.inf])
        hi = np.array([w.hi for w in undecided] + [np.inf, self.limits[0]])
        undecided_mass = (float(np.logaddexp.reduce(side)) for side in self.law.log_split(lo, hi))
        return self.law.bounds(self.inside[0], self.inside[1], *undecided_mass)

    def _heaviest(self) -> list[Waiting]:
        """The next batch: rays of one side never mix with finite segments."""
        taken: list[Waiting] = []
        total = -np.inf
        if not self.queue:
            return taken
        for waiting in self.queue:
            total = np.logaddexp(total, waiting.mass)
        negligible = np.log(self.goal.precision / 100) + float(np.logaddexp(self.inside[0], self.inside[1]))
        kind = None
        put_back: list[Waiting] = []
        covered = -np.inf
        while self.queue and len(taken) < self.batch:
            head = heapq.heappop(self.queue)
            ray = (np.isinf(head.lo), np.isinf(head.hi))
            if ray != (False, False) and head.mass <= negligible and not self._wants_ray(head):
                # far tails: their mass is a gap that costs less than a hundredth of the precision
                self.tails.append(head)
                continue
            width = head.hi - head.lo
            if ray == (False, False) and self.widest and width >= self.failed and width > 2 * self.widest:
                parts = ceil(width / (1.5 * self.widest))
                self._push(equal_parts(head.lo, head.hi, min(parts, 16)), self.queue)
                continue
            if kind is None:
                kind = ray
            if ray != kind:
                put_back.append(head)
                if len(put_back) > 2:
                    break
                continue
            taken.append(head)
            covered = float(np.logaddexp(covered, head.mass))
            if covered > total + np.log(0.98) and len(taken) >= max(1, self.batch // 8):
                break
        for item in put_back:
            heapq.heappush(self.queue, item)
        return taken

    def _wants_ray(self, ray: Waiting) -> bool:
        """Whether a far tail of no weight is decided all the same, as in an exhaustive search."""
        exhaustive = self.goal.stop == "exhaustive" and self.event.network.homogeneous
        return exhaustive and min(abs(ray.lo), abs(ray.hi)) < self.farthest

    def _evaluate(self, batch: Sequence[Waiting]) -> None:
        segments = [(w.lo, w.hi) for w in batch]
        if np.isinf(segments[0]).any() and not self.event.network.homogeneous:
            outcomes = [Outcome((), split_ray(a, b)) for a, b in segments]
        else:
            outcomes = self.event.decide(segments)
        for (lo, hi), outcome in zip(segments, outcomes, strict=True):
            if not outcome.rest and not outcome.stuck and np.isfinite(hi - lo):
                self.widest = max(self.widest, hi - lo)
            elif not outcome.parts and outcome.rest:
                self.failed = min(self.failed, hi - lo)
            for a, b, element in outcome.parts:
                self._decided(a, b, element)
        self._push([s for o in outcomes for s in o.rest], self.queue)
        self._push([s for o in outcomes for s in o.stuck], self.stuck)
        self._push([s for o in outcomes for s in o.undefined], self.tails)

    def _decided(self, a: float, b: float, element: int) -> None:
        lo, hi = _exact(a), _exact(b)
        if element >= 0:
            output, place = self.event.locate(element)
            self.cells.append(Cell(lo, hi, "outside", output, place))
            side = int(a >= 0)
            self.nearest[side] = min(self.nearest[side], a if side else -b)
            return
        cell = Cell(lo, hi, "inside")
        self.cells.append(cell)
        self._weigh(cell)

    def _refine(self, decide: Decider) -> Stop:
        """Decide what float64 left in exact arithmetic, heaviest first, until p is narrow enough."""
        done: Stop = "exhaustive" if self.goal.stop == "exhaustive" else self.goal.stop
        self._decide_runs(decide)
        for _ in range(MOST_EXACT):
            inf_p, sup_p = self.bounds()
            if self.goal.reached(inf_p, sup_p) or self.goal.narrow(inf_p, sup_p):
                return done
            while self.stuck and np.isinf([self.stuck[0].lo, self.stuck[0].hi]).any():
                self.tails.append(heapq.heappop(self.stuck))
            if not self.stuck:
                break
            if self.event.evaluations >= self.goal.max_cells:
                return "budget"
            heavy = heapq.heappop(self.stuck)
            lo, hi = Fraction(heavy.lo), Fraction(heavy.hi)
            middle = Fraction(heavy.lo / 2 + heavy.hi / 2)
            if not lo < middle < hi:  # neighbouring doubles: narrow enough for any purpose
                self.tails.append(heavy)
                continue
            for a, b in ((lo, middle), (middle, hi)):
                cell = decide(a, b)
                self.event.evaluations += 1
                if cell.verdict == "gap":
                    self._push([(float(a), float(b))], self.stuck)
                else:
                    self.cells.append(cell)
                    self._weigh(cell)
        return "exhaustive"

    def _decide_runs(self, decide: Decider) -> None:
        """Try stuck segments that adjoin in one piece: where only deep units differ, float64 is blind to all
        of it."""
        runs: list[list[Waiting]] = []
        for waiting in sorted(self.stuck, key=lambda w: w.lo):
            if runs and runs[-1][-1].hi == waiting.lo:
                runs[-1].append(waiting)
            else:
                runs.append([waiting])
        for run in runs:
            lo, hi = run[0].lo, run[-1].hi
            if np.isfinite([lo, hi]).all() and not self.goal.reached(*self.bounds()):
                cell = decide(Fraction(lo), Fraction(hi))
                self.event.evaluations += 1
                if cell.verdict != "gap":
                    self.stuck = [w for w in self.stuck if not lo <= w.lo < hi]
                    self.cells.append(cell)
                    self._weigh(cell)
        self.stuck += self.slivers
        self.slivers = []
        heapq.heapify(self.stuck)

    def _weigh(self, cell: Cell) -> None:
        """Add a certified cell to the mass on either side of the observed point."""
        if cell.verdict == "inside":
            parts = self.law.log_split(np.array([float(cell.lo)]), np.array([float(cell.hi)]))
            for side, part in enumerate(parts):
                self.inside[side] = float(np.logaddexp(self.inside[side], part[0]))


def segments_at_once(network: Network, budget: int) -> int:
    """How many segments are worth enclosing together.

    Raises
    ------
    BudgetError
        If not even one fits.
    """
    elements = max(1, network.elements)
    need = elements * BYTES_PER_ELEMENT
    if need > budget:
        raise BudgetError(
            f"one segment of this network needs about {need / 2**20:.2g} MiB of working memory, more "
            f"than the budget of {budget / 2**20:.2g} MiB; raise the budget."
        )
    return int(min(64, max(1, budget // need), max(1, 2**20 // elements)))


def _exact(x: float) -> Fraction | float:
    return x if np.isinf(x) else Fraction(x)


def _outside_of(cell: Cell, a: float, b: float) -> list[Segment]:
    """The parts of a segment that a cell does not cover."""
    lo, hi = float(cell.lo), float(cell.hi)
    return [(p, q) for p, q in ((a, min(b, lo)), (max(a, hi), b)) if p < q]
