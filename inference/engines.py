"""The engines that decide a line, by name, and what one of them found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Literal, get_args

from inference.ends import EndPoint
from symbolic.errors import EngineError, OptionError
from symbolic.pieces.line import RationalLine
from symbolic.pieces.program import Program
from verifier.cells import Cell, End
from verifier.engines.found import ExactSet, Observed
from verifier.goal import Stop

__all__ = ["ENGINES", "EXACT", "Decided", "Engine", "contradiction", "exact_set", "require_engine"]

Engine = Literal["auto", "search", "sweep", "z3", "cvxpy", "all"]
ENGINES: tuple[str, ...] = get_args(Engine)
EXACT = {"z3": "verifier.engines.smt", "cvxpy": "verifier.engines.lp"}
"""Engines that find the whole set in exact arithmetic, and their modules."""


@dataclass(frozen=True)
class Decided:
    """A line with verdicts.

    Attributes
    ----------
    cells : tuple of Cell
        Covering the line.
    evaluations : int
        Segments that were looked at.
    ended_by : str
        Why the engine stopped.
    ends : tuple of EndPoint
        Of the truncation set.
    engine : str
        Which one it was.
    """

    cells: tuple[Cell, ...]
    evaluations: int
    ended_by: Stop
    ends: tuple[EndPoint, ...] = ()
    engine: str = "search"


def require_engine(engine: str) -> None:
    """Raise OptionError for a name that is none."""
    if engine not in ENGINES:
        raise OptionError(f"engine is {engine!r}; choose one of {', '.join(ENGINES)}.")


def exact_set(
    engine: str,
    program: Program,
    line: RationalLine,
    observed: Observed,
    part: tuple[End, End],
    progress: Callable[[str], None] | None = None,
) -> ExactSet:
    """Run an exact engine on a part of the line."""
    module = import_module(EXACT[engine])
    found: ExactSet = module.truncation_set(program, line, observed, *part, progress=progress)
    return found


def contradiction(first: Sequence[Cell], second: Sequence[Cell]) -> tuple[Fraction | float, ...] | None:
    """An open interval that is inside in one list of cells and outside in the other."""
    mine = [c for c in first if c.verdict != "gap"]
    theirs = [c for c in second if c.verdict != "gap"]
    k = 0
    for cell in mine:
        while k < len(theirs) and theirs[k].hi <= cell.lo:
            k += 1
        for other in theirs[k:]:
            if other.lo >= cell.hi:
                break
            if other.verdict != cell.verdict:
                return max(cell.lo, other.lo), min(cell.hi, other.hi)
    return None


def disagreement(names: tuple[str, str], where: tuple[Fraction | float, ...]) -> EngineError:
    """The error to raise."""
    first, second = names
    return EngineError(
        f"the engines {first} and {second} contradict each other between t = {float(where[0])!r} and "
        f"{float(where[1])!r}: one of them is wrong; please report this with both certificates."
    )
