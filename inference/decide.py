"""A line decided by the engine that is asked for, with the exact ends of what it selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import Any

from numpy.typing import NDArray

from inference.ends import FEW_PIECES, MOST_PIECES, bound, decided_gaps, end_points, exact_program
from inference.engines import EXACT, Decided, all_engines, exact_set
from inference.observe import Observation
from inference.prepare import Audited
from inference.searching import FAR, SearchOptions, by_bounds_or_sweep
from symbolic.pieces.line import Binding, RationalLine
from symbolic.pieces.program import Staircase
from verifier.cells import Cell, covering, within
from verifier.goal import Stop
from verifier.search import SearchResult

__all__ = ["decide_line"]

Bindings = dict[Fraction, Binding]

NARROW = 2.0**-16
"""Of the part of the line that matters: narrower gaps are brackets of end points."""
SMALL = 20_000
"""Units of a network whose tails are decided whatever their mass."""
TINY, FEW_CELLS = 500, 512
"""Units of a network of which a few linear pieces are decided faster than bounds come near their ends; and
how many evaluations are worth a trial before."""
MODERATE = 100_000
"""Units of a network whose end points are exact unless somebody objects."""


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
        rays = rays and (options.lo == -inf or options.hi == inf)
        tail = 0 if not rays else MOST_PIECES if options.goal.stop == "exhaustive" else FEW_PIECES
        given = replace(options, exact_rays=rays)

        def searched(given: SearchOptions) -> tuple[str, SearchResult, tuple[Cell, ...], Bindings]:
            name, result = by_bounds_or_sweep(engine, audited, arrays, line, seen, given)
            cells = within(result.cells, options.lo, options.hi)
            if program is None:
                return name, result, cells, {}
            if program.size <= TINY:
                cells = _cut(cells, Fraction(options.reach))
            cells, bound_at = decided_gaps(cells, program, line, observed, options.reach * NARROW, tail)
            whole = covering([cell for cell in cells if cell.verdict != "gap"])
            return name, result, within(whole, options.lo, options.hi), bound_at

        few = replace(options.goal, max_cells=min(options.goal.max_cells, FEW_CELLS))
        short = program is not None and program.size <= TINY
        name, result, found, bindings = searched(replace(given, goal=few) if short else given)
        if short and result.ended_by == "budget":
            # rays are left aside: nothing searches them
            undecided = any(cell.verdict == "gap" and cell.hi - cell.lo < inf for cell in found)
            if not undecided:
                result = replace(result, ended_by="exhaustive")
            elif options.goal.max_cells > FEW_CELLS:
                name, result, found, bindings = searched(given)
        ends = end_points(found, bindings)
        ends = ends if program is None else bound(ends, program, line)
        return Decided(found, result.evaluations, result.ended_by, ends, name)

    def run(engine: str) -> Decided:
        if engine not in EXACT:
            return found_by(engine)
        program = audited.network.program
        stairs = any(isinstance(layer, Staircase) for layer in program.layers)
        part = options.lo, options.hi
        if stairs and engine == "cvxpy":  # which goes from stair to stair
            part = max(options.lo, -Fraction(options.reach)), min(options.hi, Fraction(options.reach))
        elif options.checked and not audited.network.homogeneous:  # the checker could not follow
            far = Fraction(options.reach * FAR)
            part = max(options.lo, -far), min(options.hi, far)
        if not part[0] < part[1]:
            return Decided(within(covering(()), options.lo, options.hi), 0, "exhaustive", (), engine)
        exact = exact_set(
            engine, program, line, observed, part, options.show, options.smt_folder, options.goal.max_cells
        )
        found = within(covering(exact.cells), options.lo, options.hi)
        ends = end_points(found, dict(exact.ends))
        ended: Stop = "budget" if any(cell.verdict == "gap" for cell in exact.cells) else "exhaustive"
        return Decided(found, len(exact.cells), ended, ends, engine)

    return all_engines(run) if options.engine == "all" else run(options.engine)


def _cut(cells: Sequence[Cell], reach: Fraction) -> tuple[Cell, ...]:
    """Gaps that reach beyond the part that matters in two: what is far out need not be decided."""
    found = list(cells)
    for end in (-reach, reach):
        for k, cell in enumerate(found):
            if cell.verdict == "gap" and cell.lo < end < cell.hi:
                found[k : k + 1] = replace(cell, hi=end), replace(cell, lo=end)
                break
    return tuple(found)
