"""The p-value of a truncated law from the certified cells, in ball arithmetic.

Masses are differences of whichever tail is small, so they keep their relative accuracy far out; for very
narrow sets the precision is raised until it is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, ctx

from verifier.check.claims.laws.families import End, Family, ball, mass, sides

__all__ = ["PRECISIONS", "Bounds", "Cells", "Law", "bounds", "confirm", "masses", "shares"]

PRECISIONS = (128, 256, 512, 1024, 2048)
Cells = Sequence[tuple[End, End]]


@dataclass(frozen=True)
class Law:
    """z = stat + scale*t of a family; the cells are given in t.

    Where the null is an interval, `family` is that of its end nearest the observed value, `other` that of the
    other end, and `rising` says that `other` is the greater null.
    """

    stat: Fraction
    scale: Fraction
    family: Family
    alternative: str
    other: Family | None = None
    rising: bool = False

    def z(self, t: End) -> End:
        """The coordinate of the law."""
        return t if isinstance(t, float) else self.stat + self.scale * t


@dataclass(frozen=True)
class Bounds:
    """Balls that hold the least and the greatest p; None where it is certainly 0."""

    least: arb | None
    most: arb


def confirm(law: Law, inside: Cells, gaps: Cells, claims: dict[str, Fraction | None]) -> str | None:
    """The first of the claims inf_p, sup_p, log_inf_p, log_sup_p that is not confirmed, or None.

    None as a claim of log_inf_p is minus infinity. A claim is confirmed if it is at most (at least) every
    number of the ball of the least (greatest) p.
    """
    failed: str | None = None
    before = ctx.prec
    try:
        for precision in PRECISIONS:
            ctx.prec = precision
            p = bounds(law, inside, gaps)
            failed = next((name for name, claim in claims.items() if not holds(name, claim, p)), None)
            if failed is None:
                break
    finally:
        ctx.prec = before
    return failed


def holds(name: str, claim: Fraction | None, p: Bounds) -> bool:
    """Whether a claim follows from bounds of p."""
    upper, logarithm = "sup" in name, name.startswith("log")
    p_ball = p.most if upper else p.least
    if not upper and (claim is None or claim == 0 and not logarithm):
        return True  # p >= 0
    if upper and claim is not None and claim >= (0 if logarithm else 1):
        return True  # p <= 1
    if p_ball is None or claim is None:
        return False
    if logarithm and p_ball.is_zero():
        return upper
    if logarithm:
        p_ball = p_ball.upper().log() if upper else p_ball.log()
    return bool(ball(claim) >= p_ball if upper else ball(claim) <= p_ball)


def bounds(law: Law, inside: Cells, gaps: Cells, wrong: arb | int = 0) -> Bounds:
    """The least and the greatest p, if cells of up to `wrong` null mass may be claimed falsely."""
    if not inside:
        return Bounds(None, arb(1))
    low, high = shares(law, law.family, inside, gaps, wrong)
    found = _p(law.alternative, low, high)
    if law.other is None:
        return found
    other_low, other_high = shares(law, law.other, inside, gaps, wrong)
    other = _p(law.alternative, other_low, other_high)
    # F falls as the null rises: 1/2 is taken between the two nulls if F is not less at the lesser one, and
    # not more at the greater one
    first, last = ((low, high), (other_low, other_high))[:: 1 if law.rising else -1]
    if first[0][0] >= first[0][1] and last[1][0] <= last[1][1]:
        return Bounds(arb(1), arb(1))
    excluded = first[1][0] < first[1][1] or last[0][0] > last[0][1]
    least = max(
        (b for b in (found.least, other.least) if b is not None), key=lambda b: b.lower(), default=None
    )
    return Bounds(least, found.most.max(other.most) if excluded else arb(1))


def shares(
    law: Law, family: Family, inside: Cells, gaps: Cells, wrong: arb | int = 0
) -> tuple[tuple[arb, arb], tuple[arb, arb]]:
    """(F_lo, 1 - F_lo) and (F_hi, 1 - F_hi), F being the share at most as large as what was observed."""
    left, right = _sides(law, family, inside)
    gap_left, gap_right = _sides(law, family, gaps)
    below = _least_share(left, right + gap_right, arb(wrong))
    above = _least_share(right, left + gap_left, arb(wrong))
    return below, (above[1], above[0])


def _p(alternative: str, low: tuple[arb, arb], high: tuple[arb, arb]) -> Bounds:
    if alternative == "less":
        least, most = low[0], high[0]
    elif alternative == "greater":
        least, most = high[1], low[1]
    else:
        least = 2 * low[0].min(high[1])
        most = arb(1)
        if low[0] > low[1] or high[0] < high[1]:  # one half is not between F_lo and F_hi
            most = 2 * low[0].min(low[1]).max(high[0].min(high[1]))
    return Bounds(None if least.is_zero() else least, most.min(arb(1)))


def _least_share(own: arb, other: arb, wrong: arb) -> tuple[arb, arb]:
    """The least share of `own` in own + other, and the rest of 1, if `wrong` may be taken from own or added
    to other. (In between, the share is monotone in what is taken, so one of the two is the worst.)
    """
    most = other + wrong
    share, rest = own / (own + most), most / (own + most)
    if wrong.is_zero():
        return share, rest
    kept = own - wrong
    if not kept > 0:
        return arb(0), arb(1)
    return share.min(kept / (kept + other)), rest.max(other / (kept + other))


def masses(law: Law, cells: Cells) -> list[arb]:
    """The null mass of each cell."""
    return [mass(law.family, law.z(lo), law.z(hi)) for lo, hi in cells]


def _sides(law: Law, family: Family, intervals: Cells) -> tuple[arb, arb]:
    """The null masses on both sides of what was observed."""
    return sides(family, law.stat, [(law.z(lo), law.z(hi)) for lo, hi in joined(intervals)])


def joined(intervals: Cells) -> Cells:
    """Adjacent intervals as one, but for those that meet where something was observed."""
    found: list[tuple[End, End]] = []
    for lo, hi in intervals:
        if found and found[-1][1] == lo and lo != 0:
            found[-1] = found[-1][0], hi
        else:
            found.append((lo, hi))
    return found
