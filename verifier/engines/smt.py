"""The engine "z3": a line is decided over the reals by Z3, in the single variable z.

The line is cut until few units of a segment are unstable (`intervals`). On a segment Z3 is asked for a point
with the observed selection; the linear pieces around it (`rational_pieces`) give the maximal interval
exactly; and Z3 is asked again, outside what is known, until there is none: the proof that nothing is missing.

Nothing here reads an enclosure in floating point, or a piece of any other engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from symbolic.errors import EngineError
from symbolic.pieces.line import Binding, End, RationalLine
from symbolic.pieces.program import Program
from verifier.cells import Cell
from verifier.engines.cutting import Segment, cut, first_segments
from verifier.engines.forms import Form
from verifier.engines.found import ExactSet, Observed
from verifier.engines.integers import IntegerProgram
from verifier.engines.intervals import TooLoose, stable_units
from verifier.engines.queries import Queries, SmtFolder, Undecided
from verifier.engines.rational_pieces import Piece, piece_at

__all__ = ["truncation_set"]

MOST_UNSTABLE = 6
"""Unstable units of a segment; more cost Z3 more than two halves do (measured)."""
MOST_RUNS = 16
"""Intervals of a segment with the observed selection; more, and it is cut."""
FARTHEST = 64
"""So many doublings away the last linear piece must have begun: a staircase may have none."""
Element = tuple[int, int]
"""An output, and a flat element of it."""


def truncation_set(
    program: Program,
    line: RationalLine,
    observed: Observed,
    lo: End,
    hi: End,
    *,
    known: Iterable[tuple[End, End]] | None = None,
    progress: Callable[[str], None] | None = None,
    smt_folder: str | Path | None = None,
    timeout: float | None = None,
    most: int | None = None,
) -> ExactSet:
    """The set {z in (lo, hi): outputs(x(z)) = observed}.

    Parameters
    ----------
    program : Program
        With rational constants.
    line : RationalLine
    observed : mapping of str to sequence of Fraction
        The discrete outputs, flat.
    lo, hi : Fraction or float
        Floats are infinities.
    known : iterable of (end, end), optional
        Intervals that are thought to belong to the set: the line is cut at their ends first. They are proved
        like everything else.
    progress : callable, optional
        Gets a line of text now and then.
    smt_folder : path, optional
        Gets an SMT-LIB file for every query whose answer was "unsat", and for what is stable on a segment.
    timeout : float, optional
        Seconds; what is not decided then is a gap.
    most : int, optional
        Segments and exact evaluations; what is not decided then is a gap.

    Raises
    ------
    ModelError
        For a layer that cannot be expressed; the message names it.
    EngineError
        If Z3 and the exact evaluation of a point contradict each other.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    folder = None if smt_folder is None else SmtFolder(Path(smt_folder))
    decide = _Decide(IntegerProgram(program, line), observed, folder, deadline, most)
    cells: list[Cell] = []
    waiting = first_segments(lo, hi, known or ())[::-1]
    while waiting:
        segment = waiting.pop()
        found = decide.segment(segment)
        halves = None if found is not None or decide.late else cut(decide.whole, segment)
        if halves is not None:
            waiting += halves[::-1]
            continue
        for cell in [Cell(segment.lo, segment.hi, "gap")] if found is None else found:
            decide.join(cells, cell)
        if progress is not None:
            progress(f"z3: {len(cells)} cells, {len(waiting)} segments to do")
    return ExactSet(tuple(cells), tuple(decide.ends(cells)))


class _Decide:
    """Segments of one line."""

    def __init__(
        self,
        whole: IntegerProgram,
        observed: Observed,
        folder: SmtFolder | None,
        deadline: float | None,
        most: int | None,
    ) -> None:
        self.whole, self.folder, self.deadline, self.most = whole, folder, deadline, most
        self.steps = 0
        self.observed = {name: [Fraction(v) for v in values] for name, values in observed.items()}
        self.previous: Element = (-1, -1)

    @property
    def late(self) -> bool:
        """Whether the time is over, or the budget spent."""
        if self.most is not None and self.steps >= self.most:
            return True
        return self.deadline is not None and time.monotonic() > self.deadline

    def segment(self, segment: Segment) -> list[Cell] | None:
        """Cells that cover a segment; None if it must be cut."""
        if self.late:
            return None
        self.steps += 1
        lo, hi = segment.lo, segment.hi
        try:
            stable = stable_units(self.whole, lo, hi, MOST_UNSTABLE)
        except TooLoose:
            return None
        open_: dict[Element, tuple[Form, Fraction]] = {}
        differ = []
        for k, (name, values) in enumerate(self.observed.items()):
            for element, (form, value) in enumerate(zip(stable.forms[name], values, strict=True)):
                constant = form.constant
                if constant is None:
                    open_[k, element] = form, value
                elif constant != value:
                    differ.append((k, element))
        if self.folder is not None:
            self.folder.write_claims(stable, lo, hi)
        if differ:
            return [self._outside(lo, hi, differ)]
        if not open_:
            return [Cell(lo, hi, "inside")]
        queries = Queries(stable, lo, hi, open_, self.folder, self.deadline)
        try:
            return self._enumerated(lo, hi, queries)
        except Undecided:
            return None

    # ---- inside -----------------------------------------------------------------------------------------

    def _enumerated(self, lo: End, hi: End, queries: Queries) -> list[Cell]:
        """Intervals one by one, until there are no others."""
        runs: list[tuple[End, End]] = []
        while (z := queries.selecting(runs)) is not None:
            if not self._selects(self._at(z, 0)):
                raise EngineError(f"Z3 finds the observed selection at z = {z}, exact evaluation does not.")
            if not runs and queries.all_select():
                return [Cell(lo, hi, "inside")]
            if len(runs) == MOST_RUNS:
                raise Undecided
            runs.append((self._extended(z, -1, lo, self._selects), self._extended(z, 1, hi, self._selects)))
        cells: list[Cell] = []
        at = lo
        for first, last in sorted(runs):
            cells += self._excluded(at, first, queries)
            if first < last:
                cells.append(Cell(first, last, "inside"))
            at = last
        return cells + self._excluded(at, hi, queries)

    def _at(self, z: Fraction, side: int) -> Piece:
        self.steps += 1
        return piece_at(self.whole, z, side)

    def _selects(self, piece: Piece) -> bool:
        return not self._differing(piece)

    def _differing(self, piece: Piece) -> list[Element]:
        return [
            (k, element)
            for k, (name, values) in enumerate(self.observed.items())
            for element, (value, seen) in enumerate(zip(piece.outputs[name], values, strict=True))
            if value != seen
        ]

    def _extended(self, z: Fraction, side: int, limit: End, holds: Callable[[Piece], bool]) -> End:
        """How far something holds on the pieces to one side of a point, and between them."""
        while True:
            if self.late:
                raise Undecided
            piece = self._at(z, side)
            if not holds(piece):
                return z
            end = piece.hi if side > 0 else piece.lo
            if (end >= limit) if side > 0 else (end <= limit):
                return limit
            z = Fraction(end)
            if not holds(self._at(z, 0)):
                return z

    # ---- outside ----------------------------------------------------------------------------------------

    def _outside(self, lo: End, hi: End, elements: Sequence[Element]) -> Cell:
        """An outside cell, with the last cell's element if possible."""
        self.previous = self._chosen(elements)
        return Cell(lo, hi, "outside", *self.previous)

    def _chosen(self, elements: Sequence[Element]) -> Element:
        return self.previous if self.previous in elements else elements[0]

    def _excluded(self, lo: End, hi: End, queries: Queries) -> list[Cell]:
        """A stretch without the observed selection, in parts with one element that differs."""
        cells: list[Cell] = []
        while lo < hi:
            piece = self._beside(lo, hi, 1)
            first, last = self._differing(piece), self._differing(self._beside(hi, lo, -1))
            if not first:
                raise EngineError(f"Z3 finds nothing behind z = {lo}, where exact evaluation does.")
            both = [element for element in first if element in last]
            if both and queries.differs(lo, hi, self._chosen(both)):
                return [*cells, self._outside(lo, hi, both)]
            end = self._reached(piece, hi, self._differ(self._chosen(first)))
            cells.append(self._outside(lo, end, first))
            lo = end
        return cells

    def _differ(self, element: Element) -> Callable[[Piece], bool]:
        """Whether an element differs."""
        return lambda piece: element in self._differing(piece)

    def _reached(self, piece: Piece, limit: End, holds: Callable[[Piece], bool]) -> End:
        """How far what holds on a piece holds on those to its right."""
        if piece.hi >= limit:
            return limit
        z = Fraction(piece.hi)
        return self._extended(z, 1, limit, holds) if holds(self._at(z, 0)) else z

    def _beside(self, z: End, other: End, side: int) -> Piece:
        """The piece behind an end of a stretch; of an infinite one the last piece."""
        if isinstance(z, Fraction):
            return self._at(z, side)
        far = Fraction(0) if isinstance(other, float) else Fraction(other)
        for k in range(FARTHEST):
            piece = self._at(far - side * 2**k, -side)
            if (piece.lo if side > 0 else piece.hi) == z:
                return piece
        raise Undecided

    # ---- the whole line ---------------------------------------------------------------------------------

    def join(self, cells: list[Cell], cell: Cell) -> None:
        """Append a cell, or lengthen the last one if the point between them agrees with both."""
        if cells and _same(cells[-1], cell) and self._agrees(cell):
            last = cells.pop()
            cell = Cell(last.lo, cell.hi, cell.verdict, cell.output, cell.element)
        cells.append(cell)

    def _agrees(self, cell: Cell) -> bool:
        if cell.verdict == "gap":
            return True
        differing = self._differing(self._at(Fraction(cell.lo), 0))
        return not differing if cell.verdict == "inside" else (cell.output, cell.element) in differing

    def ends(self, cells: Sequence[Cell]) -> Iterable[tuple[Fraction, Binding]]:
        """Where inside and outside meet, and what binds the inside there."""
        for left, right in zip(cells, cells[1:], strict=False):
            if {left.verdict, right.verdict} != {"inside", "outside"}:
                continue
            z = Fraction(right.lo)
            side = 1 if right.verdict == "inside" else -1
            piece = self._at(z, side)
            binding = piece.left if side > 0 else piece.right
            if binding is None:
                raise EngineError(f"nothing binds at z = {z}, where the selection changes.")
            yield z, binding


def _same(first: Cell, second: Cell) -> bool:
    """Whether two cells make the same claim."""
    return (first.verdict, first.output, first.element) == (second.verdict, second.output, second.element)
