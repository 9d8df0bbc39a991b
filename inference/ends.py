"""Exact end points: the narrow gaps that a search leaves, decided by exact linear pieces.

Between an inside and an outside cell float64 leaves a bracket. In a piecewise-linear graph with rational
constants the line has a piece with exact ends in it, and where the selection changes is one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from math import inf

from inference.digits import at_least
from symbolic.errors import ModelError
from symbolic.network import Network
from symbolic.pieces.line import Binding, LinePiece, RationalLine, line_piece
from symbolic.pieces.program import Maximum, Program
from symbolic.pieces.walk import pieces_left, pieces_right
from verifier.cells import Cell
from verifier.engines.found import Observed, differing

__all__ = [
    "FEW_PIECES",
    "MOST_PIECES",
    "EndPoint",
    "bound",
    "decided_gaps",
    "end_points",
    "exact_program",
    "summary",
]

MOST_PIECES = 64
"""Linear pieces that one gap may hold."""
CHEAP = 50_000
"""Units of all pieces together that a wide gap may hold."""
FEW_PIECES = 3
"""That a tail of no weight may hold."""


@dataclass(frozen=True)
class EndPoint:
    """An end of the truncation set.

    Attributes
    ----------
    lo, hi : Fraction
        Between which points it lies; equal where it is exact.
    output, element : int
        What differs just outside (-1 where nothing is known there).
    binding : Binding or None
        The unit that changes its branch there.
    """

    lo: Fraction
    hi: Fraction
    output: int = -1
    element: int = -1
    binding: Binding | None = None

    @property
    def exact(self) -> bool:
        """Whether it is known exactly."""
        return self.lo == self.hi


def exact_program(network: Network) -> Program | None:
    """The network's exact linear layers, if it has them."""
    try:
        program = network.program
        program.require_exact()
    except ModelError:
        return None
    return program


def decided_gaps(
    cells: Sequence[Cell], program: Program, line: RationalLine, observed: Observed, widest: float, tail: int
) -> tuple[tuple[Cell, ...], dict[Fraction, Binding]]:
    """The cells with narrow gaps replaced by exact cells, and what binds where.

    Parameters
    ----------
    cells : sequence of Cell
        Covering the line.
    program : Program
        The audited graph.
    line : RationalLine
        In the coordinate of the cells.
    observed : mapping
        The selection.
    widest : float
        Wider gaps are left, unless they touch the observed point, or the network is small.
    tail : int
        So many pieces of a tail are tried.
    """
    found: list[Cell] = []
    bindings: dict[Fraction, Binding] = {}
    wide = min(MOST_PIECES, CHEAP // program.size)
    for cell in cells:
        narrow = cell.hi - cell.lo < widest or cell.lo <= 0 <= cell.hi
        most = MOST_PIECES if narrow else tail if cell.hi - cell.lo == inf else wide
        pieces = _known_pieces(program, line, cell, most) if cell.verdict == "gap" and most else []
        if not pieces or pieces[0].lo > cell.lo or pieces[-1].hi < cell.hi:
            found.append(cell)
            continue
        found += _merged(program, pieces, [_judged(piece, cell, observed) for piece in pieces])
        for piece in pieces:
            for end, binding in ((piece.lo, piece.left), (piece.hi, piece.right)):
                if binding is not None and isinstance(end, Fraction):
                    bindings[end] = binding
    return tuple(found), bindings


def _known_pieces(program: Program, line: RationalLine, gap: Cell, most: int) -> list[LinePiece]:
    """The exact pieces of a gap; none if an integer leaves its type there, or numbers are too large."""
    try:
        return _pieces(program, line, gap, most)
    except ModelError:
        return []


def _pieces(program: Program, line: RationalLine, gap: Cell, most: int) -> list[LinePiece]:
    """The exact pieces of a gap, from left to right; not all of them, if they are too many."""
    if isinstance(gap.lo, Fraction):
        return list(islice(pieces_right(program, line, gap.lo, gap.hi), most))
    if not isinstance(gap.hi, Fraction):
        return []
    return list(islice(pieces_left(program, line, gap.hi), most))[::-1]


def _judged(piece: LinePiece, gap: Cell, observed: Observed) -> Cell:
    """The part of a gap that a piece covers, with its verdict."""
    lo, hi = max(piece.lo, gap.lo), min(piece.hi, gap.hi)
    witness = differing({name: piece.output(name) for name in observed}, observed)
    return Cell(lo, hi, "inside") if witness is None else Cell(lo, hi, "outside", *witness)


def _merged(program: Program, pieces: Sequence[LinePiece], cells: Sequence[Cell]) -> list[Cell]:
    """Adjoining cells with one verdict as one, unless something jumps between them: a proof over both would
    have to enclose what jumps.
    """
    found: list[Cell] = []
    for piece, cell in zip(pieces, cells, strict=True):
        last = found[-1] if found else None
        bends = piece.left is not None and isinstance(program.layers[piece.left.layer], Maximum)
        if last and bends and _verdict(last) == _verdict(cell):
            found[-1] = replace(last, hi=cell.hi)
        else:
            found.append(cell)
    return found


def _verdict(cell: Cell) -> tuple[str, int, int]:
    return cell.verdict, cell.output, cell.element


def end_points(cells: Sequence[Cell], bindings: Mapping[Fraction, Binding]) -> tuple[EndPoint, ...]:
    """The ends of the truncation set, in order: exact where an inside and an outside cell meet."""
    found = []
    for k, cell in enumerate(cells):
        if cell.verdict != "inside":
            continue
        for other, end in ((k - 1, cell.lo), (k + 1, cell.hi)):
            if not isinstance(end, Fraction) or not 0 <= other < len(cells):
                continue
            beyond = cells[other]
            if beyond.verdict == "outside":
                found.append(EndPoint(end, end, beyond.output, beyond.element, bindings.get(end)))
            elif beyond.verdict == "gap" and not (k > other and _is_between_insides(cells, other)):
                ends = [e for e in (beyond.lo, beyond.hi) if isinstance(e, Fraction)]
                if len(ends) == 2:
                    found.append(EndPoint(ends[0], ends[1]))
    return tuple(found)


def bound(ends: Sequence[EndPoint], program: Program, line: RationalLine) -> tuple[EndPoint, ...]:
    """The same with what binds at exact ends of which only the place is known."""
    found = []
    for end in ends:
        if end.exact and end.binding is None:
            try:
                piece = line_piece(program, line, end.lo)
                end = replace(end, binding=piece.left if piece.lo == end.lo else None)
            except ModelError:  # an integer leaves its type there
                pass
        found.append(end)
    return tuple(found)


def _is_between_insides(cells: Sequence[Cell], gap: int) -> bool:
    """Whether a gap has inside cells on both sides: it is counted once."""
    return 0 < gap < len(cells) - 1 and cells[gap - 1].verdict == cells[gap + 1].verdict == "inside"


def summary(ends: Sequence[EndPoint]) -> str:
    """How exactly end points are known, in words."""
    exact = sum(end.exact for end in ends)
    widest = max((float(end.hi - end.lo) for end in ends), default=0.0)
    if exact == len(ends):
        return f"{exact}, all exact rationals" if ends else "none"
    wide = f"the widest {at_least(widest, 2)} in units of the statistic"
    return f"{exact} exact rationals, {len(ends) - exact} in brackets ({wide})"
