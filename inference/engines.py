"""The engines that decide a line, by name, and what one of them found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from inference.ends import EndPoint
from symbolic.errors import EngineError, ModelError, OptionError
from symbolic.pieces.line import RationalLine
from symbolic.pieces.program import Program
from verifier.cells import Cell, End
from verifier.engines.found import ExactSet, Observed
from verifier.goal import Stop

__all__ = [
    "ENGINES",
    "EXACT",
    "Comparison",
    "Decided",
    "Engine",
    "agreed",
    "all_engines",
    "contradiction",
    "exact_set",
    "require_engine",
]

Engine = Literal["auto", "search", "sweep", "z3", "cvxpy", "all"]
ENGINES: tuple[str, ...] = get_args(Engine)
EXACT = {"z3": "verifier.engines.smt", "cvxpy": "verifier.engines.lp"}
"""Engines that find the whole set in exact arithmetic, and their modules."""
LARGEST = {"z3": 1_000, "cvxpy": 20_000}
"""Units with branches that each may have."""
COMPARED = ("search", "sweep", "z3", "cvxpy")
"""What "all" runs."""


@dataclass(frozen=True)
class Comparison:
    """One engine among several: how many cells and exact ends it found in which time, or why it could not."""

    engine: str
    cells: int = 0
    exact_ends: int = 0
    seconds: float = 0.0
    refused: str = ""


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
    compared : tuple of Comparison
        What every engine made of the line, where all were asked.
    """

    cells: tuple[Cell, ...]
    evaluations: int
    ended_by: Stop
    ends: tuple[EndPoint, ...] = ()
    engine: str = "search"
    compared: tuple[Comparison, ...] = ()


def require_engine(engine: str, smt_folder: Any = None) -> None:
    """Raise OptionError for a name that is none, or a folder that no engine would fill."""
    if engine not in ENGINES:
        raise OptionError(f"engine is {engine!r}; choose one of {', '.join(ENGINES)}.")
    if smt_folder is not None and engine not in ("z3", "all"):
        raise OptionError("only the z3 engine writes SMT-LIB files: add engine z3 (or all).")
    if smt_folder is not None and Path(smt_folder).exists() and not Path(smt_folder).is_dir():
        raise OptionError(f"{smt_folder} is a file; name a folder for the SMT-LIB files.")


def fits(engine: str, program: Program) -> None:
    """Raise ModelError if a network is too large for an engine to be worth waiting for."""
    branches = sum(layer.size for _, layer in program.guarded())
    if branches > LARGEST[engine]:
        raise ModelError(
            f"the network has {branches} units with branches, too many for the {engine} engine, which "
            f"takes {LARGEST[engine]}; use engine='search'."
        )


def exact_set(
    engine: str,
    program: Program,
    line: RationalLine,
    observed: Observed,
    part: tuple[End, End],
    progress: Callable[[str], None] | None = None,
    smt_folder: str | os.PathLike[str] | None = None,
    most: int | None = None,
) -> ExactSet:
    """Run an exact engine on a part of the line, for so many pieces or segments."""
    program.require_exact()
    program.require_held()
    fits(engine, program)
    module = import_module(EXACT[engine])
    more = {"smt_folder": smt_folder} if engine == "z3" else {}
    found: ExactSet = module.truncation_set(
        program, line, observed, *part, progress=progress, most=most, **more
    )
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


def all_engines(run: Callable[[str], Decided]) -> Decided:
    """What the first engine finds, with every engine that can be asked in agreement."""
    found: dict[str, Decided] = {}
    compared = []
    for engine in COMPARED:
        started = time.perf_counter()
        try:
            one = found[engine] = run(engine)
        except ModelError as error:
            compared.append(Comparison(engine, refused=str(error)))
            continue
        exact = sum(end.exact for end in one.ends)
        compared.append(Comparison(engine, len(one.cells), exact, time.perf_counter() - started))
    agreed(found)
    return replace(found[COMPARED[0]], compared=tuple(compared))


def agreed(found: Mapping[str, Decided]) -> None:
    """Raise EngineError if two engines contradict each other."""
    for (first, mine), (second, theirs) in combinations(found.items(), 2):
        where = contradiction(mine.cells, theirs.cells)
        if where is not None:
            raise EngineError(
                f"the engines {first} and {second} contradict each other between t = {float(where[0])!r} "
                f"and {float(where[1])!r}: one of them is wrong; please report this with both certificates.",
                {first: mine, second: theirs},
            )
