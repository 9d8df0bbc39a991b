"""Where the line is cut into segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from symbolic.pieces.line import End
from verifier.engines.integers import IntegerProgram
from verifier.engines.rational_pieces import piece_at

__all__ = ["Segment", "cut", "first_segments"]

HALVINGS = 12
"""After so many the ends of linear pieces are used: where many units change at once, nothing else helps."""
DEEPEST = 200
"""A segment that was cut so often is given up: a staircase that goes on for ever."""


@dataclass(frozen=True)
class Segment:
    """An open segment or ray that was made by so many cuts."""

    lo: End
    hi: End
    depth: int = 0


def first_segments(lo: End, hi: End, known: Iterable[tuple[End, End]]) -> list[Segment]:
    """A part of the line, cut at the ends of known intervals; the whole line is cut somewhere."""
    if not lo < hi:
        raise ValueError("an empty part of the line")
    points = sorted({z for pair in known for z in pair if lo < z < hi})
    if not points and isinstance(lo, float) and isinstance(hi, float):
        points = [Fraction(0)]
    ends = [lo, *points, hi]
    return [Segment(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def cut(whole: IntegerProgram, segment: Segment) -> list[Segment] | None:
    """Two parts of a segment; None if it was cut too often."""
    if segment.depth >= DEEPEST:
        return None
    lo, hi = segment.lo, segment.hi
    z = middle(lo, hi)
    if segment.depth >= HALVINGS:
        piece = piece_at(whole, z, 1)
        z = next((Fraction(end) for end in (piece.hi, piece.lo) if lo < end < hi), z)
    return [Segment(lo, z, segment.depth + 1), Segment(z, hi, segment.depth + 1)]


def middle(lo: End, hi: End) -> Fraction:
    """A short dyadic number in the middle half of a segment; for a ray one twice as far out as its end."""
    if isinstance(lo, float):
        return -middle(-hi, float("inf"))
    if isinstance(hi, float):
        return Fraction(max(1, floor(2 * lo)))
    width = hi - lo
    step = Fraction(1)
    while step > width / 2:
        step /= 2
    while step * 4 <= width:
        step *= 2
    return floor((lo + hi) / 2 / step) * step if lo + hi >= 0 else -floor(-(lo + hi) / 2 / step) * step
