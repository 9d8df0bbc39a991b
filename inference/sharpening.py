"""More of a line decided for estimates: what has no mass under the null matters under other means."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from fractions import Fraction
from math import isfinite

from inference.ends import end_points
from inference.engines import Decided
from inference.laws.estimates import Estimates, estimates, with_null
from inference.laws.law import Law
from verifier.cells import covering, within

__all__ = ["merged", "sharpened"]

ENOUGH = 1e-3
"""Width of a bracket, in standard deviations of the statistic."""
ROUNDS = 8
"""Further searches at most."""
STEP = 4
"""Standard deviations beyond the known end of a bracket that is infinite on the other side."""


def sharpened(found: Decided, law: Law, level: Fraction, decide: Callable[[Law], Decided]) -> Decided:
    """Decide more of a line until the interval's ends and the median-unbiased estimate are known well.

    Parameters
    ----------
    found : Decided
        What the search under the null has found.
    law : Law
        The null law; normal, t or randomised.
    level : Fraction
        Of the interval.
    decide : callable
        Searches the same line under another law.
    """
    law_of = with_null(law)
    found = replace(found, cells=covering(found.cells))  # nothing is known beyond the null law's support
    tried: set[Fraction] = set()
    while len(tried) < ROUNDS and found.ended_by in ("precision", "exhaustive"):
        mean = _next(estimates(law, found.cells, level, law.alternative), law.sd, tried)
        if mean is None:
            break
        tried.add(mean)
        found = merged(found, decide(law_of(mean)))
    return found


def merged(first: Decided, second: Decided) -> Decided:
    """What either of two searches of a line has decided; cells of the second only in gaps of the first."""
    gaps = [cell for cell in first.cells if cell.verdict == "gap"]
    more = [part for gap in gaps for part in within(second.cells, gap.lo, gap.hi)]
    cells = covering([cell for cell in (*first.cells, *more) if cell.verdict != "gap"])
    exact = [end for end in (*first.ends, *second.ends) if end.exact and end.binding is not None]
    bindings = {end.lo: end.binding for end in exact if end.binding is not None}
    searched = first.evaluations + second.evaluations
    return replace(first, cells=cells, ends=end_points(cells, bindings), evaluations=searched)


def _next(known: Estimates, sd: float, tried: Set[Fraction]) -> Fraction | None:
    """A mean under which what widens a bracket has mass: at its ends, or in its middle."""
    brackets = [known.lower, known.upper, known.median_unbiased]
    for bracket in sorted(brackets, key=lambda b: b.hi - b.lo if b.lo < b.hi else 0.0, reverse=True):
        if not bracket.hi - bracket.lo > ENOUGH * sd:
            continue
        ends = [Fraction(end) for end in (bracket.lo, bracket.hi) if isfinite(end)]
        if len(ends) == 1:
            ends.append(ends[0] + (STEP if isfinite(bracket.lo) else -STEP) * Fraction(sd))
        ends += [sum(ends, Fraction(0)) / 2] if ends else []
        for mean in ends:
            if mean not in tried:
                return mean
    return None
