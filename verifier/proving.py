"""Cells of the certificate from the pieces that a sweep finds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from verifier.cells import Cell
from verifier.event import Event
from verifier.stretches import Part
from verifier.sweep.reading_head import INSIDE, MIXED, OUTSIDE
from verifier.sweep.sweeper import Sweep

__all__ = ["Prover"]

SELDOM = 16
"""Cells between two trials of how long they may be."""


class Prover:
    """Cells from pieces.

    A cell may span several proved pieces with one verdict and witness: about as many as enclosures can prove
    in one, so that a checker can too; now and then one is tried. Without proofs by the sweep all are.

    Parameters
    ----------
    event : Event
        Encloses stretches.
    batch : int
        Stretches that are enclosed at once.
    certified : bool
        Whether the sweep's verdicts are proved.
    """

    def __init__(self, event: Event, batch: int, certified: bool) -> None:
        self.event, self.batch, self.certified = event, batch, certified
        self.longest = 8  # pieces that enclosures can prove in one, it seems
        self.pieces = 0
        self.pause, self.wait = 1, 0
        self._spent, self._enclosed_so_far = 0.0, 0

    def prove(self, found: Sweep) -> list[Cell]:
        """Cells that cover what was swept, in any order."""
        self.pieces += len(found.lo)
        if not self.certified:
            return self._by_enclosures(found)
        cells: list[Cell] = []
        for first, last in _runs(found, one_witness=True):
            k = first
            while k < last:
                self._try(found, k, last)
                end = min(last, k + max(1, self.longest // 2))
                cells.append(_swept(self.event, found, k, end))
                k = end
        return cells

    def whole(self, found: Sweep) -> list[Cell]:
        """Cells of proved pieces that are few: as long as they can be."""
        return [_swept(self.event, found, a, b) for a, b in _runs(found, one_witness=True)]

    def enclosed(self, stretches: Sequence[Part]) -> list[Cell | None]:
        """Stretches as one cell each, where enclosures prove it."""
        found = zip(stretches, self._proves(list(stretches)), strict=True)
        return [
            None if element is None else _cell(self.event, lo, hi, element) for (lo, hi), element in found
        ]

    def seconds(self) -> float:
        """What an enclosure has been costing; infinite as long as there was none."""
        return self._spent / self._enclosed_so_far if self._enclosed_so_far else np.inf

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

    def _by_enclosures(self, found: Sweep) -> list[Cell]:
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
                    cells.append(_cell(self.event, lo, hi, element))
                    self.longest = max(self.longest, 2 * (b - a))
                elif b - a > 1:
                    middle = (a + b) // 2
                    self.longest = min(self.longest, b - middle)
                    waiting += [(a, middle), (middle, b)]
                else:
                    cells.append(Cell(Fraction(lo), Fraction(hi), "gap"))
        return cells

    def _proves(self, ends: list[Part]) -> list[int | None]:
        """The element that differs on each stretch, -1 inside, None where enclosures do not tell."""
        began = time.perf_counter()
        outcomes = self.event.decide(ends)
        self._spent += time.perf_counter() - began
        self._enclosed_so_far += len(ends)
        whole = [not (o.rest or o.stuck or o.undefined) and len(o.parts) == 1 for o in outcomes]
        return [o.parts[0][2] if w else None for o, w in zip(outcomes, whole, strict=True)]


def _swept(event: Event, found: Sweep, a: int, b: int) -> Cell:
    """Pieces as the sweep has proved them."""
    lo, hi = float(found.lo[a]), float(found.hi[b - 1])
    if found.verdicts[a] == MIXED:
        return Cell(Fraction(lo), Fraction(hi), "gap")
    return _cell(event, lo, hi, -1 if found.verdicts[a] == INSIDE else int(found.witness[a]))


def _cell(event: Event, lo: float, hi: float, element: int) -> Cell:
    ends = Fraction(lo), Fraction(hi)
    return Cell(*ends, "inside") if element < 0 else Cell(*ends, "outside", *event.locate(element))


def _runs(found: Sweep, one_witness: bool) -> Iterator[tuple[int, int]]:
    """Adjoining pieces with one verdict (and witness); a piece that has none is a run of its own."""
    kind = np.where(found.verdicts == OUTSIDE, found.witness if one_witness else 0, -1)
    first = 0
    for k in range(1, len(found.lo) + 1):
        if k < len(found.lo) and found.verdicts[k] == found.verdicts[first] != MIXED:
            if kind[k] == kind[first] and found.lo[k] == found.hi[k - 1]:
                continue
        if found.hi[k - 1] > found.lo[first]:
            yield first, k
        first = k
