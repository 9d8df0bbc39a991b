"""From one linear piece of the line to the next, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from math import inf

from symbolic.errors import ModelError
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.line import End, LinePiece, RationalLine, line_piece
from symbolic.pieces.program import Program, Staircase

__all__ = ["pieces_between", "pieces_left", "pieces_right"]

MOST_PIECES = 200_000
FAR = Fraction(2**40)
"""Where the stairs of a network should have come to their end."""


def pieces_right(program: Program, line: RationalLine, at: Fraction, hi: End = inf) -> Iterator[LinePiece]:
    """The pieces from a point on to the right, as far as another one; the last one may have no end."""
    while True:
        piece = line_piece(program, line, at)
        yield piece
        if piece.hi >= hi:
            return
        at = Fraction(piece.hi)


def pieces_left(program: Program, line: RationalLine, at: Fraction) -> Iterator[LinePiece]:
    """The pieces from a point on to the left."""
    mirror = RationalLine(line.start, tuple(-d for d in line.direction))
    for piece in pieces_right(program, mirror, -at):
        base = -piece.at
        exact = ExactPiece(program, line.at(base), [line.direction], piece.branches)
        yield LinePiece(-piece.hi, -piece.lo, piece.right, piece.left, piece.branches, exact, base)


def pieces_between(program: Program, line: RationalLine, lo: End, hi: End) -> list[LinePiece]:
    """All pieces that meet the open interval, from left to right.

    Parameters
    ----------
    program : Program
    line : RationalLine
    lo, hi : Fraction or float
        -inf and inf are allowed.

    Raises
    ------
    ModelError
        If there are too many.
    """
    found: list[LinePiece] = []
    if any(isinstance(layer, Staircase) for layer in program.layers):
        _require_last(program, line, lo, hi)
    if lo == -inf:
        middle = Fraction(0) if hi == inf else Fraction(hi)
        found = _few(pieces_left(program, line, middle))[::-1]
        if hi < inf:
            return found
        if found[-1].hi > middle:  # no unit has an end just there
            lo = found[-1].hi
        else:
            lo = middle
        if lo == inf:
            return found
    return found + _few(pieces_right(program, line, Fraction(lo), hi))


def _few(pieces: Iterator[LinePiece]) -> list[LinePiece]:
    found = list(islice(pieces, MOST_PIECES + 1))
    if len(found) > MOST_PIECES:
        raise ModelError(f"there are more than {MOST_PIECES} linear regions: give lo and hi nearer together.")
    return found


def _require_last(program: Program, line: RationalLine, lo: End, hi: End) -> None:
    """Raise ModelError if an infinite part of the line seems to have infinitely many pieces: stairs do."""
    for end, side in ((lo, -1), (hi, 1)):
        if abs(end) == inf:
            far = line_piece(program, line, side * FAR)
            if far.hi < inf if side > 0 else far.lo > -inf:
                raise ModelError(f"the linear regions do not end before z = {side * FAR}: give lo and hi.")
