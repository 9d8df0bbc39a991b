"""What the set that an exact engine found must satisfy."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from line_problems import INFINITY, Problem

from verifier.cells import joined
from verifier.engines.found import ExactSet

__all__ = ["inside", "points", "require_true"]


def inside(found: ExactSet) -> list[tuple[Any, Any]]:
    """The truncation set."""
    return joined(found.cells, "inside")


def require_true(case: Problem, observed: list[Fraction], found: ExactSet, lo: Any, hi: Any) -> None:
    """The cells cover (lo, hi) without a gap and are true; the ends are those of the set."""
    cells, expected = found.cells, case.expected(observed, lo, hi)
    assert (cells[0].lo, cells[-1].hi) == (lo, hi)
    assert all(a.hi == b.lo for a, b in pairwise(cells))
    assert all(c.verdict != "gap" for c in cells)
    assert inside(found) == expected
    assert [z for z, _ in found.ends] == [z for run in expected for z in run if lo < z < hi]
    for cell in cells:
        for z in points(cell.lo, cell.hi):
            values = case.at(z)
            if cell.verdict == "inside":
                assert values == observed
            else:
                assert values[cell.element] != observed[cell.element]


def points(lo: Any, hi: Any) -> list[Fraction]:
    """Points of an open cell: its middle, and multiples of 1/4, where coarse networks have their ties."""
    some = [Fraction(k, 4) for k in range(-12, 13)]
    if lo != -INFINITY and hi != INFINITY:
        some.append((lo + hi) / 2)
    return [z for z in some if lo < z < hi]
