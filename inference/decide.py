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
from verifier.cells import covering, within

__all__ = ["decide_line"]

NARROW = 2.0**-16
"""Of the part of the line that matters: narrower gaps are brackets of end points."""
SMALL = 20_000
"""Units of a network whose tails are decided whatever their mass."""
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
        given = replace(options, exact_rays=rays)
        engine, searched = by_bounds_or_sweep(engine, audited, arrays, line, seen, given)
        found = within(searched.cells, options.lo, options.hi)
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
        exact = exact_set(engine, program, line, observed, part, options.show, options.smt_folder)
        found = within(covering(exact.cells), options.lo, options.hi)
        ends = end_points(found, dict(exact.ends))
        return Decided(found, len(exact.cells), "exhaustive", ends, engine)

    return all_engines(run) if options.engine == "all" else run(options.engine)
