"""What every comparator is: a name and one method."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from inference.study.drawn import Drawn
from inference.study.truncated import Intervals

__all__ = ["Answer", "Comparator", "Skipped"]


class Skipped(Exception):
    """This comparator cannot be asked here; the reason is recorded, and nothing is counted."""


@dataclass(frozen=True)
class Answer:
    """What a tool said of one draw.

    Attributes
    ----------
    p : float
        Rejected when it is at most the level.
    low : float
        Lower bound, where the tool gives two.
    intervals : sequence of (lo, hi), optional
        The truncation set it found, in units of the statistic.
    interval : (lo, hi), optional
        Confidence interval at 95 %.
    passes : float, optional
        Runs of the network; None: derived from the seconds.
    seconds : float, optional
        Where the clock around the call would be wrong.
    """

    p: float
    low: float = math.nan
    intervals: Intervals | None = None
    interval: tuple[float, float] | None = None
    passes: float | None = None
    seconds: float | None = None


class Comparator(ABC):
    """One way to a p-value."""

    name: str
    """As in the configuration, with its number."""

    @abstractmethod
    def answer(self, drawn: Drawn) -> Answer:
        """Test one draw.

        Raises
        ------
        Skipped
            It cannot be asked here.
        """
