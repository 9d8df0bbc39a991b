"""The greatest z that satisfies rows a z <= c, by linear programming, with an exact proof.

A solver suggests the multipliers of the dual problem. Rounded to rationals, or solved for again in exact
arithmetic, they prove an upper bound (a Farkas certificate); it is the greatest z if all rows hold there. If
not, the suggestion was wrong: a row that does not hold takes the place of the basis, as in the dual simplex
method, in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import frexp

import numpy as np
from numpy.typing import NDArray

from symbolic.pieces.regions.farkas import Multipliers, implies, maximised, upper_bounds
from symbolic.pieces.regions.inequalities import Inequalities, Row

__all__ = ["Extreme", "greatest"]

MOST_PIVOTS = 100


@dataclass(frozen=True)
class Extreme:
    """The greatest z of side * z, or None if it has no bound, and what proves it.

    Attributes
    ----------
    z : Fraction or None
    multipliers : mapping of int to Fraction
        They imply side * z <= the bound; empty where there is none: then every row holds along the ray.
    """

    z: Fraction | None
    multipliers: Multipliers


def greatest(system: Inequalities, side: int, *, finer: int = 0, scales: int = 4) -> Extreme | None:
    """The extreme z (to the right for side 1, to the left for -1); None if no proof was found.

    Parameters
    ----------
    system : Inequalities
        In one unknown, with a solution.
    side : 1 or -1
    finer : int
        The linear program is in units of 2**-finer.
    scales : int
        So many linear programs may be solved, in finer and finer units.
    """
    slopes = system.numbers * side
    rising = np.nonzero(slopes > 0)[0]
    if not rising.size:  # side is a direction of recession
        return Extreme(None, {})
    first = int(rising[0])
    unaided = Fraction(1, int(slopes[first])), Fraction(int(system.bounds[first]), int(slopes[first]))
    for multipliers, bound in chain(
        _suggested(system, side, finer, scales), [({first: unaided[0]}, unaided[1])]
    ):
        for _ in range(MOST_PIVOTS):
            row = _most_violated(system, side * bound)
            if row < 0:
                return _proved(system, side, multipliers)
            slope = int(slopes[row])
            if slope <= 0:  # no solution at all
                return None
            multipliers, bound = {row: Fraction(1, slope)}, Fraction(int(system.bounds[row]), slope)
    return None


def _suggested(
    system: Inequalities, side: int, finer: int, scales: int
) -> Iterator[tuple[Multipliers, Fraction]]:
    """Multipliers that prove some bound, from the dual of a linear program in suitable units."""
    matrix, bounds = system.floats
    guess = np.zeros(len(bounds))
    for _ in range(scales):
        found = maximised(np.array([float(side)]), matrix, np.ldexp(bounds, finer))
        if found is None:
            break
        size, guess = abs(float(found[0][0])), found[1]
        if size > 2.0**-7 or not size < 1:
            break
        finer += 30 if size < 2.0**-30 else -frexp(size)[1]
    yield from upper_bounds(system, {0: side}, guess)


def _proved(system: Inequalities, side: int, multipliers: Multipliers) -> Extreme | None:
    """The extreme z, if the multipliers prove the bound; every row is known to hold there."""
    bound = sum((v * int(system.bounds[k]) for k, v in multipliers.items()), Fraction(0))
    row = Row((0,), (side * bound.denominator,), bound.numerator)
    proof = {k: v * bound.denominator for k, v in multipliers.items()}
    return Extreme(side * bound, multipliers) if implies(system, row, proof) else None


def _violations(system: Inequalities, z: Fraction) -> NDArray[np.object_]:
    """a z - c times the denominator of z, of each row."""
    return np.asarray(system.numbers * z.numerator - system.bounds * z.denominator)


def _most_violated(system: Inequalities, z: Fraction) -> int:
    """The row of which z is farthest beyond, -1 if all hold."""
    beyond = _violations(system, z)
    wrong = np.nonzero(beyond > 0)[0]
    if not wrong.size:
        return -1
    # distances in floats: any violated row would do
    far = [_quotient(int(beyond[k]), abs(int(system.numbers[k])) * z.denominator) for k in wrong.tolist()]
    return int(wrong[int(np.argmax(far))])


def _quotient(value: int, over: int) -> float:
    try:
        return value / over
    except OverflowError:
        return float("inf")
