"""A null that is an interval, |eta' mu - null| <= margin: the p-value of the nearest null in it.

P(z <= z_obs) falls as the null rises. (Normal and randomised laws are one-parameter exponential families. The
t law with nu >= 2 has at t a density that is proportional to
(nu v + (z_obs - t)(z_obs + t - 2 null))**(nu / 2 - 1), which falls left of z_obs and rises right of it.) So
the two-sided p-value rises to 1 at the median-unbiased estimate and falls behind it, and its supremum over an
interval is 1, or that of an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

from flint import arb, ctx

from inference.laws.law import Floats, Law
from inference.laws.p_value import NOTHING, PValue, enclosure, rounded, shares
from inference.laws.student import StudentLaw
from inference.outward import lower, upper
from symbolic.errors import OptionError
from verifier.cells import Cell, End

__all__ = ["CompositeLaw"]


class WithNull(Protocol):
    """A law for any null."""

    def __call__(self, null: Fraction) -> Law: ...


class CompositeLaw(Law):
    """A family of laws whose nulls fill an interval.

    Parameters
    ----------
    law_of : callable
        The two-sided law of a null.
    null, margin : Fraction
        The interval is [null - margin, null + margin].
    """

    def __init__(self, law_of: WithNull, null: Fraction, margin: Fraction) -> None:
        if margin < 0:
            raise OptionError(f"null_margin is {margin}; it must not be negative.")
        self.first, self.last = law_of(null - margin), law_of(null + margin)
        below = getattr(self.first, "tested", self.first.stat) < null
        self.near = self.first if below else self.last
        super().__init__(self.near.stat, self.near.scale, self.near.alternative)
        if self.alternative != "two-sided":
            raise OptionError("null_margin needs the alternative two-sided; shift null_value instead.")
        if isinstance(self.near, StudentLaw) and self.near.degrees_of_freedom < 2:
            raise OptionError("null_margin with the t law needs at least 2 degrees of freedom.")
        self.family = self.near.family  # type: ignore[misc]
        self.at, self.step, self.sd = self.near.at, self.near.step, self.near.sd
        self.null, self.margin = null, margin

    def spec(self) -> dict[str, Any]:
        return self.near.spec() | {"null_value": str(self.null), "null_margin": str(self.margin)}

    @property
    def reach(self) -> float:
        return max(self.first.reach, self.last.reach)

    @property
    def support(self) -> tuple[End, End]:
        ends = self.first.support, self.last.support
        return min(e[0] for e in ends), max(e[1] for e in ends)

    def tail(self, z: Fraction) -> tuple[bool, arb]:
        return self.near.tail(z)

    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        return self.near.log_tails(u)

    def log_density(self, u: Floats) -> Floats:
        return self.near.log_density(u)

    def log_split(self, lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
        return self.near.log_split(lo, hi)

    def naive_log_p(self) -> float:
        inside = (self.first.at > 0) != (self.last.at > 0)
        return 0.0 if inside else max(self.first.naive_log_p(), self.last.naive_log_p())

    def p_value(self, cells: Sequence[Cell]) -> PValue:
        saved = ctx.prec
        try:
            masses = [law.masses(cells) for law in (self.first, self.last)]
            ends = []
            for m in masses:
                if m is None:
                    return NOTHING
                gaps = m.gap_left + m.gap_right
                ends.append((*enclosure("two-sided", m), gaps / (gaps + m.left + m.right), shares(m)))
            low, high = max(e[0] for e in ends), max(e[1] for e in ends)
            half = arb(1) / 2
            # the median-unbiased estimate is in the interval if F is 1/2 or more at the start, or less at
            # the end
            at_first, at_last = ends[0][3], ends[1][3]
            if lower(at_first[0]) >= half and upper(at_last[1]) <= half:
                low = arb(1)
            if upper(at_first[1]) >= half and lower(at_last[0]) <= half:
                high = arb(1)
            gaps_at_p = max(ends, key=lambda e: float(e[1]))[2]  # under the null that gives p
            return rounded(low, high, gaps_at_p)
        finally:
            ctx.prec = saved
