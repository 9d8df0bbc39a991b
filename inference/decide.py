"""Running the search on an audited graph, with the exact arithmetic behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.exactly import Decider, decider
from inference.observe import Observation
from inference.prepare import Audited
from symbolic.network import Line
from verifier.event import Event
from verifier.search import Goal, Law, Search, SearchResult

__all__ = ["SearchOptions", "decide_line"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search is told; see :class:`verifier.search.Search`."""

    law: Law
    goal: Goal
    reach: float
    lo: float = -np.inf
    hi: float = np.inf
    budget: int = 2**30
    progress: Callable[[float, float, int], None] | None = None


def decide_line(
    audited: Audited,
    arrays: Mapping[str, NDArray[Any]],
    start: Sequence[Fraction],
    beta: Sequence[Fraction],
    seen: Observation,
    options: SearchOptions,
) -> SearchResult:
    """Find the cells of a line.

    Elements of the selection that float64 cannot decide even at the observed input are ties there. Most are identities (a
    constant background, duplicate units) and hold on the whole line: the search first assumes so, and every inside cell
    is then confirmed in exact arithmetic. If one is not, the search runs again without the assumption.

    Parameters
    ----------
    audited : Audited
        The graph.
    arrays : mapping
        Every model input.
    start, beta : sequence of Fraction
        x(t) = start + beta t, flat.
    seen : Observation
        The event.
    options : SearchOptions
    """
    exact = decider(audited.proto, arrays, audited.network.moving, beta, audited.outputs, seen.observed)
    line = Line.of(start, beta, audited.network.shape)
    if any(tie.any() for tie in seen.ties):
        found = _run(Event(audited.network, line, seen.observed, seen.ties), options, exact)
        checked = _confirmed(found, exact)
        if checked is not None:
            return checked
    return _run(Event(audited.network, line, seen.observed), options, exact)


def _run(event: Event, options: SearchOptions, exact: Decider) -> SearchResult:
    return Search(
        event,
        options.law,
        options.goal,
        reach=options.reach,
        lo=options.lo,
        hi=options.hi,
        budget=options.budget,
        refine=exact,
        progress=options.progress,
    ).run()


def _confirmed(found: SearchResult, exact: Decider) -> SearchResult | None:
    """The result if exact arithmetic confirms every inside cell, else None."""
    for cell in found.cells:
        if cell.verdict == "inside":
            if not isinstance(cell.lo, Fraction) or not isinstance(cell.hi, Fraction):
                return None
            if exact(cell.lo, cell.hi).verdict != "inside":
                return None
    return found
