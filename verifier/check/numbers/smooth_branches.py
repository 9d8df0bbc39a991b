"""Functions of one variable in ball arithmetic, cut where their curvature changes its sign."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from flint import arb, arb_series, ctx

__all__ = [
    "REACH",
    "Ball",
    "Branch",
    "Function",
    "Series",
    "everywhere",
    "odd",
    "one",
    "root",
    "whole",
    "within",
]

Ball = Callable[[arb], arb]
Domain = Callable[[arb, arb], bool]
Series = Callable[[arb_series], arb_series]
REACH = 1 << 14  # exp(v) for v beyond this is left undecided


@dataclass(frozen=True)
class Branch:
    """A stretch on which a function is convex (bend 1) or concave (bend -1).

    `f` and its derivative `slope` hold on the closed stretch (one-sided at its ends). `touch` gives a point
    where the slope is about s, of any quality; without it, one is looked for.
    """

    f: Ball
    slope: Ball
    bend: int
    touch: Ball | None = None


def everywhere(a: arb, b: arb) -> bool:
    """The domain of all real numbers."""
    return True


def within(low: int, high: int) -> Domain:
    """The domain low <= v <= high."""
    return lambda a, b: bool(a >= low and b <= high)


@dataclass(frozen=True)
class Function:
    """Branches, and between neighbours a cut: a ball, at the present precision, around where they meet.

    `defined` says whether the function certainly is on all of [a, b]. `series`, if given, is the function of
    power series. `power`, if given: f(2**m * v) = 2**(m*power) * f(v).
    """

    branches: tuple[Branch, ...]
    cuts: tuple[Callable[[], arb], ...] = ()
    defined: Domain = everywhere
    series: Series | None = None
    power: Fraction | None = None

    def limits(self, a: arb, b: arb) -> tuple[arb, arb] | None:
        """Bounds where nothing better than a constant form is wanted; else None."""
        return None

    def on(self, a: arb, b: arb) -> tuple[list[arb], list[Branch]]:
        """The cuts that may lie in [a, b], in order, and the branches around them."""
        cuts = [cut() for cut in self.cuts]
        first = sum(bool(cut.upper() < a) for cut in cuts)
        last = len(cuts) - sum(bool(cut.lower() > b) for cut in cuts)
        return cuts[first:last], list(self.branches[first : last + 1])


def whole(v: arb) -> int:
    """The whole part of a lower bound."""
    mantissa, exponent = map(int, v.lower().floor().man_exp())  # a whole number: exponent >= 0
    return mantissa << exponent


def zero() -> arb:
    """The cut at 0."""
    return arb(0)


def one(
    f: Ball,
    slope: Ball,
    bend: int,
    touch: Ball | None = None,
    defined: Domain = everywhere,
) -> Function:
    """A function whose curvature has one sign."""
    return Function((Branch(f, slope, bend, touch),), (), defined)


def odd(
    f: Ball,
    slope: Ball,
    bend: int,
    touch: Ball | None = None,
    defined: Domain = everywhere,
) -> Function:
    """A function with an even slope, which bends this way below 0; `touch` gives the positive place."""
    right = Branch(f, slope, -bend, touch)
    left = replace(right, bend=bend, touch=None if touch is None else lambda s: -touch(s))
    return Function((left, right), (zero,), defined)


@functools.lru_cache(maxsize=64)
def root(falling: Ball, low: int, high: int, bits: int) -> arb:
    """A ball around the only zero of a falling function in [low, high]."""
    with ctx.workprec(bits + 20):
        a, b = arb(low), arb(high)
        for _ in range(bits):
            middle = ((a + b) / 2).mid()
            value = falling(middle)
            if value > 0:
                a = middle
            elif value < 0:
                b = middle
            else:
                break
        return a.union(b)
