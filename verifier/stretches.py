"""Stretches of the line that are still to be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verifier.sweep.rigour import CertifiedSweeper
from verifier.sweep.sweeper import Sweeper

__all__ = ["Part", "Stretch", "joined_parts", "stretches_of"]

Part = tuple[float, float]


@dataclass
class Stretch:
    """A part of the line that is swept from the end next to the observed point.

    Attributes
    ----------
    at, end : float
        What is left.
    rate : float
        Seconds per unit of the line, as measured; 0: not yet.
    width, pause, wait : float, int, int
        Of the next enclosure that is tried; rounds between two trials, and till the next.
    """

    at: float
    end: float
    sweeper: Sweeper | CertifiedSweeper | None = None
    rate: float = 0.0
    width: float = 0.0
    pause: int = 1
    wait: int = 1

    def ends(self, farther: float | None = None) -> tuple[float, float]:
        """What is left, in ascending order."""
        end = self.end if farther is None else farther
        return min(self.at, end), max(self.at, end)


def stretches_of(gaps: Sequence[Part], lo: float, hi: float) -> list[Stretch]:
    """What of some gaps matters, on each side of the observed point."""
    found = []
    for gap in gaps:
        a, b = max(gap[0], lo), min(gap[1], hi)
        if a < min(b, 0.0):
            found.append(Stretch(min(b, 0.0), a))
        if max(a, 0.0) < b:
            found.append(Stretch(max(a, 0.0), b))
    return found


def joined_parts(parts: Sequence[Part]) -> list[Part]:
    """Intervals that adjoin as one."""
    found: list[Part] = []
    for lo, hi in sorted(parts):
        if found and found[-1][1] == lo:
            found[-1] = found[-1][0], hi
        else:
            found.append((lo, hi))
    return found
