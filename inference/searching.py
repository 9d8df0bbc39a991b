"""Cells of a line by bounds or by sweeping: which of the two, and the exact arithmetic behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import exp, inf, nextafter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.ends import exact_program
from inference.exactly import decider
from inference.observe import Observation
from inference.pattern_region import pattern_region
from inference.prepare import Audited
from symbolic.enclosures.line import Line
from symbolic.pieces.arguments import as_double
from symbolic.pieces.line import RationalLine
from verifier.cells import Cell, End, covering, joined, within
from verifier.event import Event
from verifier.goal import Goal
from verifier.search import FARTHEST, Decider, Law, Search, SearchResult, segments_at_once
from verifier.strategy import Strategy

__all__ = ["FAR", "SearchOptions", "by_bounds_or_sweep"]

NEAR = Fraction(1, 2**40)
"""In t: what lies nearer to the observed point than this is decided in one piece with it."""
FAR = 2**20
"""So many times the part that matters: farther out no cell is searched, if exact pieces decide the tails, or
if the graph has no rays."""
MOST_CONFIRMATIONS = 500
"""Evaluations in exact arithmetic; what is left then is no longer claimed."""
MOST_HALVINGS = 8
"""Of a cell that exact arithmetic cannot confirm in one piece."""
TRIAL, HOPELESS = 24, 0.1
"""Where so many evaluations decide less than this part of the null mass, `auto` sweeps: on networks for which
bounds pay they have decided a fifth or more by then, on the others nothing at all."""


class _BoundsDoNotPay(Exception):
    """What ends the search of `auto`."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search is told; see :class:`verifier.search.Search`.

    What is ``checked`` afterwards ends where the checker could not follow.
    """

    law: Law
    goal: Goal
    reach: float
    lo: End = -inf
    hi: End = inf
    budget: int = 2**30
    progress: Callable[[float, float, int], None] | None = None
    engine: str = "auto"
    exact_ends: bool | None = None
    exact_rays: bool = False
    checked: bool = True
    show: Callable[[str], None] | None = None
    smt_folder: str | os.PathLike[str] | None = None
    strategy: Strategy = "mass"


def by_bounds_or_sweep(
    engine: str,
    audited: Audited,
    arrays: Mapping[str, NDArray[Any]],
    line: RationalLine,
    seen: Observation,
    options: SearchOptions,
) -> tuple[str, SearchResult]:
    """Which of the two engines it was, and what it has found."""
    if engine != "sweep":
        try:
            return "search", _searched(audited, arrays, line, seen, options, patient=engine != "auto")
        except _BoundsDoNotPay:
            pass
    swept = _swept(audited, arrays, line, seen, options, leaps=engine == "auto")
    hopeful = _undecided(swept.cells, options) < HOPELESS
    if swept.ended_by != "exhaustive" or (hopeful and options.goal.stop == "exhaustive"):
        return "sweep", swept
    # what the sweep could not tell: if little, by more bits, else by bounds, too
    known = [cell for cell in swept.cells if cell.hi - cell.lo < inf]
    if hopeful:
        options = replace(options, lo=known[0].lo, hi=known[-1].hi)
    else:
        known = [cell for cell in known if cell.verdict != "gap"]
    found = _searched(audited, arrays, line, seen, options, known=known)
    return "sweep" if known else "search", replace(found, evaluations=found.evaluations + swept.evaluations)


def _undecided(cells: Sequence[Cell], options: SearchOptions) -> float:
    """The share of the null mass of the part that is asked for."""
    asked = within(cells, options.lo, options.hi)
    ends = np.array([(as_double(cell.lo), as_double(cell.hi)) for cell in asked])
    mass = options.law.log_mass(ends[:, 0], ends[:, 1])
    gaps = mass[[cell.verdict == "gap" for cell in asked]]
    whole = np.logaddexp.reduce(mass)
    return 1.0 if whole == -inf else exp(np.logaddexp.reduce(gaps, initial=-inf) - whole)


def _swept(
    audited: Audited,
    arrays: Mapping[str, NDArray[Any]],
    line: RationalLine,
    seen: Observation,
    options: SearchOptions,
    leaps: bool,
) -> SearchResult:
    """Find the cells of a line by sweeping it."""
    from verifier.sweep.sweeper import planned
    from verifier.swept import Swept

    network = audited.network
    event = Event(network, Line.of(line.start, line.direction, network.shape), seen.observed)
    return Swept(
        event,
        planned(network.program, dict(zip(audited.outputs, seen.observed, strict=True))),
        line,
        options.law,
        options.goal,
        max(_limit(options.lo, -1.0), -options.reach),
        min(_limit(options.hi, 1.0), options.reach),
        batch=segments_at_once(network, options.budget),
        leaps=leaps,
        progress=options.progress,
    ).run()


def _searched(
    audited: Audited,
    arrays: Mapping[str, NDArray[Any]],
    line: RationalLine,
    seen: Observation,
    options: SearchOptions,
    *,
    patient: bool = True,
    known: Sequence[Cell] = (),
) -> SearchResult:
    """Find the cells of a line by enclosures, but for those that are known.

    Elements of the selection that float64 cannot decide even at the observed input are ties there. Most are
    identities (a constant background, duplicate units) and hold on the whole line: the search first assumes
    so, and every inside cell is then confirmed in exact arithmetic, or dropped. If none is left, the search
    runs again without the assumption.
    """
    network = audited.network
    exact = decider(audited.proto, arrays, network.moving, line.direction, audited.outputs, seen.observed)
    moving = Line.of(line.start, line.direction, network.shape)
    sweeps = None if patient else lambda: _sweeps(audited)
    if audited.has_pattern and not known:
        given = pattern_region(network, moving, exact, options.reach)
        if given:
            return _run(Event(network, moving, seen.observed), options, exact, given)
    if any(tie.any() for tie in seen.ties):
        event = Event(network, moving, seen.observed, seen.ties)
        checked = _confirmed(_run(event, options, exact, known, sweeps), exact, known)
        if checked is not None:
            return checked
    event = Event(network, moving, seen.observed)
    return _settled_at_zero(_run(event, options, exact, known, sweeps), exact)


def _sweeps(audited: Audited) -> bool:
    """Whether a sweep would prove anything."""
    from verifier.swept import is_provable

    program = exact_program(audited.network)
    return program is not None and is_provable(program, audited.outputs)


def _settled_at_zero(found: SearchResult, exact: Decider) -> SearchResult:
    """Decide both sides of the observed point in one piece each, if the search found nothing inside.

    On an accidental tie float64 only creeps towards it.
    """
    if any(cell.verdict == "inside" for cell in found.cells):
        return found
    cells = list(found.cells)
    for side in (-1, 1):
        ends = [e for c in cells for e in (c.lo, c.hi) if isinstance(e, Fraction) and side * e > NEAR]
        if ends:
            far = min(ends, key=abs)
            piece = exact(*sorted((Fraction(0), far)))
            if piece.verdict != "gap":
                cells = [c for c in cells if not (piece.lo <= c.lo and c.hi <= piece.hi)] + [piece]
    return replace(found, cells=covering(cells))


def _run(
    event: Event,
    options: SearchOptions,
    exact: Decider,
    known: Sequence[Cell] = (),
    sweeps: Callable[[], bool] | None = None,
) -> SearchResult:
    """Search; where bounds decide next to nothing and a sweep would, not for long."""
    search = Search(
        event,
        options.law,
        options.goal,
        reach=options.reach,
        lo=_limit(options.lo, -1.0),
        hi=_limit(options.hi, 1.0),
        budget=options.budget,
        refine=exact,
        known=known,
        farthest=options.reach * FAR if options.exact_rays else FARTHEST,
        strategy=options.strategy,
        progress=options.progress,
    )
    if sweeps is None or options.goal.max_cells <= TRIAL:
        return search.run()
    search.goal = replace(options.goal, max_cells=TRIAL)
    found = search.run()
    if found.ended_by != "budget":
        return found
    if _undecided(found.cells, options) > 1 - HOPELESS and sweeps():
        raise _BoundsDoNotPay
    search.goal = options.goal
    return search.run()


def _limit(end: End, side: float) -> float:
    """An end of the part that is asked for as a double, outwards; far out the line goes on to infinity."""
    near = as_double(end)
    if side * near >= FARTHEST:
        return side * inf
    near = side * max(side * near, -FARTHEST)
    outside = near >= end if side > 0 else near <= end
    return near if outside else nextafter(near, side * inf)


def _confirmed(found: SearchResult, exact: Decider, known: Sequence[Cell]) -> SearchResult | None:
    """The result with its inside cells confirmed in exact arithmetic, or parts of them; None if none is."""
    certain = {(cell.lo, cell.hi) for cell in known}
    sure = [cell for cell in found.cells if cell.verdict == "outside" or (cell.lo, cell.hi) in certain]
    cells = [cell for cell in sure if cell.verdict != "gap"]
    waiting = [
        (cell.lo, cell.hi, 0)
        for cell in found.cells
        if cell.verdict == "inside" and (cell.lo, cell.hi) not in certain
    ]
    for _ in range(MOST_CONFIRMATIONS):
        if not waiting:
            break
        lo, hi, depth = waiting.pop(0)  # whole cells first
        if not isinstance(lo, Fraction) or not isinstance(hi, Fraction):
            continue  # a ray: no claim
        cell = exact(lo, hi)
        if cell.verdict != "gap":
            cells.append(cell)
        elif depth < MOST_HALVINGS:
            middle = Fraction(float((lo + hi) / 2))
            if lo < middle < hi:
                waiting += [(lo, middle, depth + 1), (middle, hi, depth + 1)]
    if not any(cell.verdict == "inside" for cell in cells):
        return None
    covered = covering(cells)
    whole = joined(found.cells, "inside") == joined(covered, "inside")
    return replace(found, cells=covered, ended_by=found.ended_by if whole else "exhaustive")
