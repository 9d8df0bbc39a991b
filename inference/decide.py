"""Running the search on an audited graph, with the exact arithmetic behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import exp, inf, isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.ends import FEW_PIECES, MOST_PIECES, bound, decided_gaps, end_points, exact_program
from inference.engines import EXACT, Decided, all_engines, exact_set
from inference.exactly import decider
from inference.observe import Observation
from inference.pattern_region import pattern_region
from inference.prepare import Audited
from symbolic.enclosures.line import Line
from symbolic.pieces.line import Binding, RationalLine
from verifier.cells import Cell, End, covering, joined
from verifier.event import Event
from verifier.goal import Goal
from verifier.search import FARTHEST, Decider, Law, Search, SearchResult, segments_at_once

__all__ = ["SearchOptions", "decide_line"]

NEAR = Fraction(1, 2**40)
"""In t: what lies nearer to the observed point than this is decided in one piece with it."""
NARROW = 2.0**-16
"""Of the part of the line that matters: narrower gaps are brackets of end points."""
SMALL = 20_000
"""Units of a network whose tails are decided whatever their mass."""
MODERATE = 100_000
"""Units of a network whose end points are exact unless somebody objects."""
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
    """What a search is told; see :class:`verifier.search.Search`."""

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
    show: Callable[[str], None] | None = None
    smt_folder: str | os.PathLike[str] | None = None


def decide_line(
    audited: Audited,
    arrays: Mapping[str, NDArray[Any]],
    start: Sequence[Fraction],
    beta: Sequence[Fraction],
    seen: Observation,
    options: SearchOptions,
) -> Decided:
    """Find the cells of a line, with the engine that the options name.

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
    line = RationalLine(tuple(start), tuple(beta))
    observed = {
        name: [Fraction(int(v)) for v in values.reshape(-1)]
        for name, values in zip(audited.outputs, seen.observed, strict=True)
    }

    def found_by(engine: str) -> Decided:
        program = None if options.exact_ends is False else exact_program(audited.network)
        if program is not None and program.size > MODERATE and not options.exact_ends:
            program = None
        rays = program is not None and audited.network.homogeneous and program.size <= SMALL
        rays = rays and isinf(options.lo) and isinf(options.hi)
        given = replace(options, exact_rays=rays)
        engine, searched = _by_bounds_or_sweep(engine, audited, arrays, line, seen, given)
        found = searched.cells
        bindings: dict[Fraction, Binding] = {}
        if program is not None:
            tail = 0 if not rays else MOST_PIECES if options.goal.stop == "exhaustive" else FEW_PIECES
            found, bindings = decided_gaps(found, program, line, observed, options.reach * NARROW, tail)
        ends = end_points(found, bindings)
        ends = ends if program is None else bound(ends, program, line)
        return Decided(found, searched.evaluations, searched.ended_by, ends, engine)

    def run(engine: str) -> Decided:
        if engine not in EXACT:
            return found_by(engine)
        part = options.lo, options.hi
        if not audited.network.homogeneous:  # the checker could not follow
            far = Fraction(options.reach * FAR)
            part = max(options.lo, -far), min(options.hi, far)
        program = audited.network.program
        exact = exact_set(engine, program, line, observed, part, options.show, options.smt_folder)
        found = covering(exact.cells)
        ends = end_points(found, dict(exact.ends))
        return Decided(found, len(exact.cells), "exhaustive", ends, engine)

    return all_engines(run) if options.engine == "all" else run(options.engine)


def _by_bounds_or_sweep(
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
            patient = engine != "auto"
            return "search", _searched(audited, arrays, line.start, line.direction, seen, options, patient)
        except _BoundsDoNotPay:
            pass
    return "sweep", _swept(audited, arrays, line, seen, options, leaps=engine == "auto")


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
    found = Swept(
        event,
        planned(network.program, dict(zip(audited.outputs, seen.observed, strict=True))),
        line,
        options.law,
        options.goal,
        max(float(options.lo), -options.reach),
        min(float(options.hi), options.reach),
        batch=segments_at_once(network, options.budget),
        leaps=leaps,
        progress=options.progress,
    ).run()
    if found.ended_by != "exhaustive" or options.goal.stop == "exhaustive":
        return found
    # what the sweep could not tell, by more bits
    exact = decider(audited.proto, arrays, network.moving, line.direction, audited.outputs, seen.observed)
    known = [cell for cell in found.cells if not isinf(cell.hi - cell.lo)]
    refined = _run(event, replace(options, lo=known[0].lo, hi=known[-1].hi), exact, known)
    return replace(refined, evaluations=refined.evaluations + found.evaluations)


def _searched(
    audited: Audited,
    arrays: Mapping[str, NDArray[Any]],
    start: Sequence[Fraction],
    beta: Sequence[Fraction],
    seen: Observation,
    options: SearchOptions,
    patient: bool,
) -> SearchResult:
    """Find the cells of a line by enclosures.

    Elements of the selection that float64 cannot decide even at the observed input are ties there. Most are
    identities (a constant background, duplicate units) and hold on the whole line: the search first assumes
    so, and every inside cell is then confirmed in exact arithmetic, or dropped. If none is left, the search
    runs again without the assumption.
    """
    exact = decider(audited.proto, arrays, audited.network.moving, beta, audited.outputs, seen.observed)
    line = Line.of(start, beta, audited.network.shape)
    sweeps = None if patient else lambda: _sweeps(audited)
    if audited.primary < len(audited.outputs):
        known = pattern_region(audited.network, line, exact, options.reach)
        if known:
            return _run(Event(audited.network, line, seen.observed), options, exact, known)
    if any(tie.any() for tie in seen.ties):
        found = _run(Event(audited.network, line, seen.observed, seen.ties), options, exact, (), sweeps)
        checked = _confirmed(found, exact)
        if checked is not None:
            return checked
    event = Event(audited.network, line, seen.observed)
    return _settled_at_zero(_run(event, options, exact, (), sweeps), exact)


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
        lo=float(options.lo),
        hi=float(options.hi),
        budget=options.budget,
        refine=exact,
        known=known,
        farthest=options.reach * FAR if options.exact_rays else FARTHEST,
        progress=options.progress,
    )
    if sweeps is None or options.goal.max_cells <= TRIAL:
        return search.run()
    search.goal = replace(options.goal, max_cells=TRIAL)
    found = search.run()
    if found.ended_by != "budget":
        return found
    cells = [(float(c.lo), float(c.hi)) for c in found.cells if c.verdict != "gap"]
    decided = sum(exp(options.law.log_mass(*np.array([cell]).T)[0]) for cell in cells)
    if decided < HOPELESS and sweeps():
        raise _BoundsDoNotPay
    search.goal = options.goal
    return search.run()


def _confirmed(found: SearchResult, exact: Decider) -> SearchResult | None:
    """The result with its inside cells confirmed in exact arithmetic, or parts of them; None if none is."""
    cells = [cell for cell in found.cells if cell.verdict == "outside"]
    waiting = [(cell.lo, cell.hi, 0) for cell in found.cells if cell.verdict == "inside"]
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
