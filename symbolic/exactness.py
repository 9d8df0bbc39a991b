"""How a network's numbers are held: exact rationals, balls around irrational constants, or enclosures."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Exactness"]

NAMED = 4


@dataclass(frozen=True)
class Exactness:
    """What stands between an audited graph and exact rational arithmetic.

    Attributes
    ----------
    enclosed : tuple of str
        Nodes that are not piecewise linear in what moves.
    irrational : tuple of str
        Nodes whose constants are no rational numbers (the square root of a variance, sines and cosines, an
        exponential of a constant): they are balls, as narrow as the precision in use.
    """

    enclosed: tuple[str, ...] = ()
    irrational: tuple[str, ...] = ()

    @property
    def rational(self) -> bool:
        """Whether everything is piecewise linear with rational numbers."""
        return not self.enclosed and not self.irrational

    def __str__(self) -> str:
        if self.enclosed:
            return f"by enclosures: {_some(self.enclosed)}"
        if self.irrational:
            return f"piecewise linear, irrational constants as balls: {_some(self.irrational)}"
        return "piecewise linear with rational numbers, decided exactly"


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
