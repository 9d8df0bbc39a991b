"""From one linear piece of the line to the next, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf

from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.line import End, LinePiece, RationalLine, line_piece
from symbolic.pieces.program import Program

__all__ = ["pieces_between", "pieces_left", "pieces_right"]


def pieces_right(program: Program, line: RationalLine, at: Fraction) -> Iterator[LinePiece]:
    """The pieces from a point on to the right, the last one without an end."""
    while True:
        piece = line_piece(program, line, at)
        yield piece
        if not isinstance(piece.hi, Fraction):
            return
        at = piece.hi


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
    """
    found: list[LinePiece] = []
    if lo == -inf:
        middle = Fraction(0) if hi == inf else Fraction(hi)
        found = list(pieces_left(program, line, middle))[::-1]
        if hi < inf:
            return found
        if found[-1].hi > middle:  # no unit has an end just there
            lo = found[-1].hi
        else:
            lo = middle
        if lo == inf:
            return found
    for piece in pieces_right(program, line, Fraction(lo)):
        found.append(piece)
        if piece.hi >= hi:
            break
    return found
