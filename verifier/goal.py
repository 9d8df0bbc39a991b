"""When a search stops."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

__all__ = ["Goal", "Stop"]

Stop = Literal["precision", "decision", "exhaustive", "budget", "interrupted"]
"""Why a search ended."""


@dataclass(frozen=True, slots=True)
class Goal:
    """When to stop.

    Attributes
    ----------
    stop : "precision", "decision" or "exhaustive"
        The width of the p enclosure, alpha on one side of it, or nothing left but brackets.
    precision : float
        Absolute width of the p enclosure; below p = 1e-3 also one per cent relative.
    alpha : Fraction
        Level of the decision.
    max_cells : int
        Evaluations after which the search ends with what it has.
    """

    stop: Literal["precision", "decision", "exhaustive"] = "precision"
    precision: float = 1e-6
    alpha: Fraction = Fraction(1, 20)
    max_cells: int = 100_000

    def reached(self, inf_p: float, sup_p: float) -> bool:
        """Whether an enclosure of p satisfies the goal (never for an exhaustive search)."""
        if self.stop == "decision":
            return sup_p <= self.alpha or inf_p > self.alpha
        return self.stop == "precision" and self.narrow(inf_p, sup_p)

    def narrow(self, inf_p: float, sup_p: float) -> bool:
        """Whether an enclosure of p is as narrow as ``precision`` asks."""
        return sup_p - inf_p <= self.precision and (sup_p >= 1e-3 or sup_p <= 1.01 * inf_p)
