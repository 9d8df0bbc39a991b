"""Cells of the line: intervals with a verdict. Together they cover it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

__all__ = ["Cell", "End", "Verdict", "covering", "joined", "within"]

Verdict = Literal["inside", "outside", "gap"]
End = Fraction | float
"""An exact dyadic rational in t, or -inf, inf as floats."""


@dataclass(frozen=True, slots=True)
class Cell:
    """An open interval of the coordinate t.

    Attributes
    ----------
    lo, hi : Fraction or float
        Exact ends (a float is the dyadic rational it is), -inf and inf for rays.
    verdict : "inside", "outside" or "gap"
        Whether every point has the observed selection, no point has it, or nothing is claimed.
    output, element : int
        For "outside": the output and the flat element that differ everywhere on the cell.
    """

    lo: End
    hi: End
    verdict: Verdict
    output: int = -1
    element: int = -1


def covering(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Sort decided cells and fill what lies between them, and out to infinity, with one gap each."""
    result: list[Cell] = []
    at: End = float("-inf")
    for cell in sorted((c for c in cells if c.verdict != "gap"), key=lambda c: c.lo):
        if cell.lo > at:
            result.append(Cell(at, cell.lo, "gap"))
        elif cell.lo < at:
            raise ValueError("decided cells overlap")
        result.append(cell)
        at = cell.hi
    if at < float("inf"):
        result.append(Cell(at, float("inf"), "gap"))
    return tuple(result)


def joined(cells: Sequence[Cell], *verdicts: Verdict) -> list[tuple[End, End]]:
    """Maximal runs of adjoining cells with one of the verdicts (single points between them are null sets)."""
    runs: list[tuple[End, End]] = []
    for cell in cells:
        if cell.verdict in verdicts:
            if runs and runs[-1][1] == cell.lo:
                runs[-1] = (runs[-1][0], cell.hi)
            else:
                runs.append((cell.lo, cell.hi))
    return runs


def within(cells: Sequence[Cell], lo: End, hi: End) -> tuple[Cell, ...]:
    """The parts of cells in an interval."""
    met = (cell for cell in cells if cell.lo < hi and cell.hi > lo)
    return tuple(replace(cell, lo=max(cell.lo, lo), hi=min(cell.hi, hi)) for cell in met)
