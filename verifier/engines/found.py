"""What an exact engine finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from symbolic.pieces.line import Binding
from verifier.cells import Cell

__all__ = ["ExactSet", "Observed", "differing"]

Observed = Mapping[str, Sequence[Fraction]]
"""The observed selection: the elements of every discrete output, flat."""


@dataclass(frozen=True)
class ExactSet:
    """Cells that cover a part of the line, and the exact end points between them.

    Attributes
    ----------
    cells : tuple of Cell
        Sorted and without holes; gaps only where the engine gave up.
    ends : tuple of (Fraction, Binding)
        Where the selection changes, and what binds there.
    """

    cells: tuple[Cell, ...]
    ends: tuple[tuple[Fraction, Binding], ...] = ()


def differing(values: Observed, observed: Observed) -> tuple[int, int] | None:
    """The first output and element that differ; None if all are equal."""
    for k, (name, seen) in enumerate(observed.items()):
        for element, (value, other) in enumerate(zip(values[name], seen, strict=True)):
            if value != other:
                return k, element
    return None
