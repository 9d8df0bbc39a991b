"""Deciding a line by sweeping it, outwards from the observed point.

The sweep finds every linear piece and proves the verdicts of most (`sweep.rigour`); what it leaves at the
ends of the truncation set is decided in double-double numbers (`sweep.sharp`), what it leaves around jumps by
enclosures. Where it proves nothing (`is_provable`) enclosures decide every piece. A cell of the certificate
spans as many pieces as enclosures, and so a checker, can decide in one.

The line is swept in stretches, two at a time (compiled loops run beside each other): always those of the
greatest null mass. Which these are depends on the law alone, not on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf, log

import numpy as np

from symbolic.errors import ModelError
from symbolic.pieces.line import RationalLine
from symbolic.pieces.program import Linear, Maximum, Program
from verifier.cells import Cell, covering
from verifier.event import Event
from verifier.goal import Goal, Stop
from verifier.proving import Prover
from verifier.search import Law, SearchResult
from verifier.stretches import Part, Stretch, joined_parts, stretches_of
from verifier.sweep.double_double import doubled
from verifier.sweep.rigour import LARGEST, SEGMENT, CertifiedSweeper
from verifier.sweep.sharp import SharpSweeper
from verifier.sweep.spreading import rigorous
from verifier.sweep.sweeper import Plan, Sweep, Sweeper, planned

__all__ = ["Swept", "is_provable"]

EVENTS = 256
"""Flips between two looks at p; where bounds are slow to find, all between two checks."""
STRETCHES = 2
"""Swept at a time."""
MOST_STRETCHES = 8
LIGHT = log(4.0)
"""A stretch of less than a quarter of the greatest null mass waits."""
SHARP = 64
"""Linear pieces in double-double numbers; what is left then stays undecided."""
WORTH = 4.0
"""An enclosure is tried where it saves so many times what it costs."""
MOST_FAILED = 64
"""Enclosures around jumps that fail before no more are tried."""
LONGEST_PAUSE = 64
"""Rounds between two such trials, at most."""


class Swept:
    """Sweep until the goal, or until what lies ahead does not matter for it.

    Parameters
    ----------
    event : Event
        Proves verdicts of stretches, on the same line.
    plan : Plan
        The network, made ready for sweeping.
    line : RationalLine
        The same line.
    law : Law
        Weighs what is known.
    goal : Goal
        When to stop.
    lo, hi : float
        The part of the line that matters.
    known : sequence of Cell
        What need not be swept.
    batch : int
        Stretches that are enclosed at once.
    leaps : bool
        Whether enclosures are tried where they seem to cost less than sweeping.
    progress : callable, optional
        Called with (inf_p, sup_p, evaluations).
    """

    def __init__(
        self,
        event: Event,
        plan: Plan,
        line: RationalLine,
        law: Law,
        goal: Goal,
        lo: float,
        hi: float,
        *,
        known: Sequence[Cell] = (),
        batch: int = 16,
        leaps: bool = False,
        progress: Callable[[float, float, int], None] | None = None,
    ) -> None:
        self.event, self.line, self.law, self.goal, self.leaps = event, line, law, goal, leaps
        lo, hi = max(lo, -LARGEST), min(hi, LARGEST)
        self.progress, self.limits = progress, (lo, hi)
        self.plan, self.certified = _prepared(plan)
        self.prover, self.batch = Prover(event, batch, self.certified), batch
        self.cells: list[Cell] = []
        self.inside = [-inf, -inf]
        """Logarithms of the null mass proved inside, left and right of the observed point."""
        self.left: list[Part] = []
        """What is left undecided behind the sweep."""
        self.sharpened = 0
        self._add([cell for cell in known if cell.verdict != "gap"])
        gaps = [(float(c.lo), float(c.hi)) for c in covering(self.cells) if c.verdict == "gap"]
        self.tails = [p for a, b in gaps for p in ((a, min(b, lo)), (max(a, hi), b)) if p[0] < p[1]]
        self.stretches = stretches_of(gaps, lo, hi)

    def run(self) -> SearchResult:
        """The cells that are found.

        Returns
        -------
        SearchResult
            ``evaluations`` counts enclosures and linear pieces.
        """
        ended: Stop = "exhaustive"
        with ThreadPoolExecutor(STRETCHES) as pool:
            while self.stretches:
                inf_p, sup_p = self._look()
                if self.goal.reached(inf_p, sup_p):
                    ended = "precision" if self.goal.stop == "precision" else "decision"
                    break
                if self.goal.reached(*self._bounds(hopeful=True)):
                    break
                if self._evaluations() >= self.goal.max_cells:
                    ended = "budget"
                    break
                self._round(pool)
            if ended == "exhaustive" and self.certified and self._settle(pool):
                ended = "precision" if self.goal.stop == "precision" else "decision"
        return SearchResult(covering(self.cells), self._evaluations(), ended)

    # ---- what is known ------------------------------------------------------------------------------------

    def _evaluations(self) -> int:
        return self.event.evaluations + self.prover.pieces + self.sharpened

    def _look(self) -> tuple[float, float]:
        found = self._bounds()
        if self.progress is not None:
            self.progress(*found, self._evaluations())
        return found

    def _bounds(self, hopeful: bool = False) -> tuple[float, float]:
        """Bounds of p; ``hopeful``: if all that the sweep has left behind could be decided."""
        gaps = [*self.tails, *(s.ends() for s in self.stretches), *([] if hopeful else self.left)]
        return self.law.bounds(self.inside[0], self.inside[1], *self._masses(gaps))

    def _masses(self, parts: Sequence[Part]) -> list[float]:
        """Logarithms of the null mass that speaks for "at most as large as observed", and for "larger"."""
        ends = np.array(parts).reshape(-1, 2)
        sides = self.law.log_split(ends[:, 0], ends[:, 1])
        return [float(np.logaddexp.reduce(side, initial=-inf)) for side in sides]

    def _add(self, cells: Sequence[Cell]) -> None:
        """Count what has been found; what is undecided is left behind."""
        ends: dict[str, list[Part]] = {"inside": [], "outside": [], "gap": []}
        for cell in cells:
            ends[cell.verdict].append((float(cell.lo), float(cell.hi)))
        self.left += ends["gap"]
        self.cells += [cell for cell in cells if cell.verdict != "gap"]
        found = self._masses(ends["inside"])
        self.inside = [float(np.logaddexp(a, b)) for a, b in zip(self.inside, found, strict=True)]

    def _mass(self, lo: float, hi: float) -> float:
        return float(self.law.log_mass(np.array([lo]), np.array([hi]))[0])

    # ---- sweeping -----------------------------------------------------------------------------------------

    def _round(self, pool: ThreadPoolExecutor) -> None:
        """Sweep the heaviest stretches for a while."""
        for stretch in self._chosen():
            if self.leaps and self._leap(stretch):
                self.stretches = [s for s in self.stretches if s.at != s.end]
                return
        chosen = self._chosen()
        for found in pool.map(self._sweep, chosen):
            self._add(self.prover.prove(found))
        self.stretches = [s for s in self.stretches if s.at != s.end]

    def _chosen(self) -> list[Stretch]:
        """The heaviest; if the second one is light by comparison, the two halves of the heaviest."""
        mass = {id(s): self._mass(*s.ends()) for s in self.stretches}
        ordered = sorted(self.stretches, key=lambda s: mass[id(s)], reverse=True)
        chosen = [s for s in ordered[:STRETCHES] if mass[id(s)] >= mass[id(ordered[0])] - LIGHT]
        if len(chosen) < STRETCHES and len(self.stretches) < MOST_STRETCHES:
            half = self._halved(chosen[0])
            chosen += [half] if half is not None else []
        return chosen

    def _halved(self, stretch: Stretch) -> Stretch | None:
        """The far half of a stretch, by null mass; if both are worth the beginning."""
        near, far = stretch.at, stretch.end
        half = self._mass(*stretch.ends()) - log(2.0)
        for _ in range(30):
            middle = 0.5 * (near + far)
            if self._mass(*stretch.ends(middle)) < half:
                near = middle
            else:
                far = middle
        middle = float(np.float32(near))
        if not min(stretch.at, stretch.end) < middle < max(stretch.at, stretch.end):
            return None
        made = Stretch(middle, stretch.end)
        stretch.end = middle
        self.stretches.append(made)
        return made

    def _sweep(self, stretch: Stretch) -> Sweep:
        began, at = time.perf_counter(), stretch.at
        if stretch.sweeper is None:
            stretch.sweeper = self._sweeper()
        slow = isinstance(stretch.sweeper, CertifiedSweeper) and stretch.sweeper.by_pattern
        found = stretch.sweeper.run(stretch.at, stretch.end, SEGMENT if slow else EVENTS)
        stretch.at = found.reached
        stretch.rate = (time.perf_counter() - began) / max(abs(stretch.at - at), 1e-300)
        return found

    def _sweeper(self) -> Sweeper | CertifiedSweeper:
        line = self.event.line
        start, direction = line.start.reshape(-1), line.direction.reshape(-1)
        if not self.certified:
            return Sweeper(self.plan, start, direction)
        off = (float(np.linalg.norm(e)) * (1 + 2.0**-20) for e in (line.start_error, line.direction_error))
        return CertifiedSweeper(self.plan, start, direction, (next(off), next(off)))

    def _leap(self, stretch: Stretch) -> bool:
        """Try an enclosure of what lies next, if it may save time."""
        stretch.wait -= 1
        if stretch.wait > 0 or stretch.rate == 0.0:
            return False
        least = WORTH * self.prover.seconds() / stretch.rate
        stretch.width = min(max(stretch.width, least), abs(stretch.end - stretch.at))
        to = stretch.at + stretch.width if stretch.end > stretch.at else stretch.at - stretch.width
        cell = self.prover.enclosed([stretch.ends(to)])[0] if stretch.width >= least else None
        if cell is None:
            stretch.width /= 2
            stretch.pause = min(2 * stretch.pause, LONGEST_PAUSE)
            stretch.wait = stretch.pause
            return False
        self._add([cell])
        stretch.at, stretch.width, stretch.pause, stretch.wait = to, 2 * stretch.width, 1, 0
        return True

    # ---- what the sweep has left ---------------------------------------------------------------------------

    def _settle(self, pool: ThreadPoolExecutor) -> bool:
        """Decide what the sweep has left behind; whether the goal is reached."""
        bends = all(isinstance(self.plan.program.layers[k], (Linear, Maximum)) for k in self.plan.body)
        return self._sharpen(pool) if bends else self._bridge()

    def _bridge(self) -> bool:
        """What is left around jumps, by enclosures: first between inside cells, then by null mass."""
        inside = [cell for cell in self.cells if cell.verdict == "inside"]
        begins, ends = {float(cell.lo) for cell in inside}, {float(cell.hi) for cell in inside}
        waiting = joined_parts(self.left)
        waiting.sort(key=lambda p: (p[0] in ends and p[1] in begins, self._mass(*p)))
        between = sum(p[0] in ends and p[1] in begins for p in waiting)
        kept: list[Part] = []
        failed = 0
        while waiting and failed < MOST_FAILED and (between > 0 or not self.goal.reached(*self._look())):
            some, waiting = waiting[-self.batch :], waiting[: -self.batch]
            between -= len(some)
            found = self.prover.enclosed(some)
            cells = [cell for cell in found if cell is not None]
            kept += [part for part, cell in zip(some, found, strict=True) if cell is None]
            failed = 0 if cells else failed + len(some)
            self.left = [*waiting, *kept]
            self._add(cells)
        return self.goal.reached(*self._look())

    def _sharpen(self, pool: ThreadPoolExecutor) -> bool:
        """Decide what the sweep has left behind, the heaviest first; whether the goal is reached."""
        waiting = sorted(joined_parts(self.left), key=lambda part: self._mass(*part))
        if not waiting or self.goal.reached(*self._look()):
            return self.goal.reached(*self._bounds())
        start, direction = doubled(self.line.start), doubled(self.line.direction)
        sweepers = [SharpSweeper(self.plan, start, direction) for _ in waiting[-STRETCHES:]]
        while waiting and self.sharpened < SHARP and not self.goal.reached(*self._look()):
            some = [waiting.pop() for _ in range(min(len(waiting), len(sweepers)))]
            for part, found in zip(some, pool.map(_sharp, sweepers, some), strict=False):
                self.left = [other for other in self.left if not part[0] <= other[0] < part[1]]
                self._add(self.prover.whole(found))
            self.sharpened = sum(sweeper.pieces for sweeper in sweepers)
        return self.goal.reached(*self._look())


def is_provable(program: Program, outputs: Sequence[str]) -> bool:
    """Whether a sweep proves verdicts."""
    seen = {name: np.zeros(program.outputs[name].shape) for name in outputs}
    return _prepared(planned(program, seen))[1]


def _prepared(plan: Plan) -> tuple[Plan, bool]:
    """With norms, if they prove anything; and whether they do."""
    try:
        proved = rigorous(plan)
    except ModelError:
        return plan, False
    known = bool(np.isfinite(proved.net.norm).all())
    return (proved, True) if known else (plan, False)


def _sharp(sweeper: SharpSweeper, part: Part) -> Sweep:
    return sweeper.run(*part)
