"""Around the observed point: the interval on which the activation pattern stays, for over-conditioning.

It is one interval of the line, as the inputs with one pattern form a polytope. Its ends are found from values
and slopes at the observed point, in float64 and without bounds; the cell between them, a little shortened, is
then proved in the checker's arithmetic. Nothing found here is claimed unproved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from symbolic.enclosures.line import Line
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Range, Value
from symbolic.network import Network
from symbolic.operators.extremum import rivals
from verifier.cells import Cell
from verifier.search import Decider

__all__ = ["ends_around", "pattern_region"]

STEP = 2.0**-200
"""In t: so near to a point no unit changes its piece."""
NOISE = 2.0**-40
"""Relative to the largest of their tensor: what is smaller in value and slope is a tie."""
BLUR = 2.0**-44
"""What rounding may have made of a value, relative to the largest of its tensor."""
WIDER = (1.0, 2.0**8, 2.0**16)
"""Blurs of an end that are left undecided: ever more, until what lies beyond can be proved."""
BEYOND = 2.0**10
"""Blurs from an end to where the next pattern is looked at."""
INDEXED = frozenset({"MaxPool", "ArgMax", "ArgMin"})


@dataclass(frozen=True)
class End:
    """Where a pattern ends, and how far off that may be."""

    at: float
    blur: float

    def moved(self, blurs: float) -> float:
        """The point so many blurs farther from the observed one."""
        return self.at + float(np.sign(self.at)) * blurs * self.blur


def pattern_region(network: Network, line: Line, decide: Decider, reach: float) -> list[Cell]:
    """The cells next to the observed point: one inside, then on either side a sliver and one outside.

    Just outside only one unit differs, and by little: there too a cell is decided best in which no unit
    changes its piece.

    Parameters
    ----------
    network : Network
        Its outputs are the selection and the pattern.
    line : Line
        The line.
    decide : callable
        Proves a verdict for a cell.
    reach : float
        Half-width in t of the part of the line that matters.

    Returns
    -------
    list of Cell
        Empty if nothing could be proved; a gap is worth a search.
    """
    ends = ends_around(network, line, 0.0, reach)
    for blurs in WIDER:
        lo, hi = (end.moved(-blurs) for end in ends)
        if lo < 0 < hi:
            inside = decide(Fraction(lo), Fraction(hi), thorough=True)
            if inside.verdict == "inside":
                sides = zip(ends, (Fraction(lo), Fraction(hi)), strict=True)
                parts = [_beyond(network, line, decide, reach, end, edge) for end, edge in sides if end.blur]
                return [inside, *(cell for part in parts for cell in part)]
    return []


def _beyond(
    network: Network, line: Line, decide: Decider, reach: float, end: End, edge: Fraction
) -> list[Cell]:
    """The sliver between what is proved inside and what is proved outside, and the latter."""
    past = ends_around(network, line, end.moved(BEYOND), reach)[int(end.at > 0)]
    far, near = past.moved(-BEYOND), end.moved(WIDER[0])
    for blurs in WIDER:
        near = end.moved(blurs)
        if abs(near) < abs(far):
            a, b = sorted((Fraction(near), Fraction(far)))
            outside = decide(a, b, thorough=True)
            if outside.verdict == "outside":
                return [_sliver(edge, near), outside]
    return [_sliver(edge, near)]


def _sliver(edge: Fraction, near: float) -> Cell:
    lo, hi = sorted((edge, Fraction(near)))
    return Cell(lo, hi, "gap")


def ends_around(network: Network, line: Line, at: float, reach: float) -> tuple[End, End]:
    """Between which t, not beyond ``reach``, the activation pattern is that of ``at`` (not proved)."""
    ends = [End(-reach, 0.0), End(reach, 0.0)]
    for value, slope in _guards(network, line, at):
        with np.errstate(all="ignore"):
            scale = np.abs(value[np.isfinite(value)]).max(initial=0.0)
            tie = (np.abs(value) <= NOISE * scale) & (np.abs(slope) <= NOISE * np.abs(slope).max(initial=0.0))
            away = np.where(tie | (slope == 0), np.nan, -value / slope).reshape(-1)
        for k, sign in enumerate((-1.0, 1.0)) if away.size else ():
            distance = np.where(sign * away >= 0, np.abs(away), np.inf)
            nearest = int(distance.argmin())
            found = at + sign * float(distance[nearest])
            if sign * found < sign * ends[k].at:
                steepness = abs(float(slope.reshape(-1)[nearest]))
                ends[k] = End(found, BLUR * (float(scale) / steepness + abs(found)))
    return ends[0], ends[1]


def _guards(network: Network, line: Line, at: float) -> Iterator[tuple[Array, Array]]:
    """Values and slopes in t of everything whose sign tells a piece from its neighbours."""
    start, slope = line.start + line.direction * at, line.direction * STEP
    values: dict[str, Value] = {network.moving: Affine(start[None], slope[None], np.zeros_like(slope[None]))}
    for step in network.steps:
        given = [(network.constants.get(n) or values.get(n)) if n else None for n in step.inputs]
        with np.errstate(all="ignore"):
            results = [_sharp(value) for value in step.rule(Batch(1), given)]
        for name, value in zip(step.outputs, results, strict=False):
            if name and name not in network.constants:
                values[name] = value
            if name in network.outputs and isinstance(value, Range) and value.margin is not None:
                yield value.margin.c, value.margin.d / STEP
        if step.node.op_type in INDEXED and isinstance(results[-1], Range) and isinstance(given[0], Affine):
            stack = rivals(step.node, given[0])
            first = stack.c.argmax(axis=0)[None]
            with np.errstate(invalid="ignore"):
                lead, gain = (np.take_along_axis(v, first, axis=0) - v for v in (stack.c, stack.d))
            yield lead, gain / STEP
        for name in step.last_uses:
            values.pop(name, None)


def _sharp(value: Value) -> Value:
    """A value without its remainder."""
    if isinstance(value, Affine):
        return Affine(value.c, value.d, np.zeros_like(value.r))
    if isinstance(value, Range) and value.margin is not None:
        c, d = value.margin.c, value.margin.d
        return replace(value, margin=Affine(c, d, np.zeros_like(d)))
    return value
