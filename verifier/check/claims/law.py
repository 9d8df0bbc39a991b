"""The p-value of a truncated normal law from the certified cells, in ball arithmetic.

Masses are differences of the complementary error function in whichever tail is stable, so they keep their
relative accuracy at 40 standard deviations; for very narrow sets the precision is raised until it is
enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, ctx, fmpq

__all__ = ["PRECISIONS", "Bounds", "Law", "bounds", "confirm", "masses"]

PRECISIONS = (128, 256, 512, 1024, 2048)
End = Fraction | float


@dataclass(frozen=True)
class Law:
    """z ~ N(null, q) at z = stat + scale*t; the cells are given in t."""

    stat: Fraction
    scale: Fraction
    q: Fraction
    null: Fraction
    alternative: str


@dataclass(frozen=True)
class Bounds:
    """Balls that hold the least and the greatest p; None where it is certainly 0."""

    least: arb | None
    most: arb


def confirm(
    law: Law,
    inside: Sequence[tuple[End, End]],
    gaps: Sequence[tuple[End, End]],
    claims: dict[str, Fraction | None],
) -> str | None:
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
            failed = next((name for name, claim in claims.items() if not _holds(name, claim, p)), None)
            if failed is None:
                break
    finally:
        ctx.prec = before
    return failed


def _holds(name: str, claim: Fraction | None, p: Bounds) -> bool:
    upper, logarithm = "sup" in name, name.startswith("log")
    ball = p.most if upper else p.least
    if not upper and (claim is None or claim == 0 and not logarithm):
        return True  # p >= 0
    if ball is None or claim is None:
        return False
    if logarithm and ball.is_zero():
        return upper
    if logarithm:
        ball = ball.upper().log() if upper else ball.log()
    return bool(_ball(claim) >= ball if upper else _ball(claim) <= ball)


def bounds(
    law: Law, inside: Sequence[tuple[End, End]], gaps: Sequence[tuple[End, End]], wrong: arb | int = 0
) -> Bounds:
    """The least and the greatest p, if cells of up to `wrong` twice the null mass may be claimed falsely."""
    left, right = _masses(law, inside)
    gap_left, gap_right = _masses(law, gaps)
    one = arb(1)
    if not inside:
        return Bounds(None, one)
    low = _least_share(left, right + gap_right, arb(wrong))  # F_lo, 1 - F_lo
    high = _least_share(right, left + gap_left, arb(wrong))[::-1]  # F_hi, 1 - F_hi
    if law.alternative == "less":
        least, most = low[0], high[0]
    elif law.alternative == "greater":
        least, most = high[1], low[1]
    else:
        least = 2 * low[0].min(high[1])
        most = one
        if low[0] > low[1] or high[0] < high[1]:  # one half is not between F_lo and F_hi
            most = 2 * low[0].min(low[1]).max(high[0].min(high[1]))
    return Bounds(None if least.is_zero() else least, most.min(one))


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


def masses(law: Law, cells: Sequence[tuple[End, End]]) -> list[arb]:
    """Twice the null mass of each cell."""
    root = (2 * _ball(law.q)).sqrt()
    return [_mass(_standard(law, lo, root), _standard(law, hi, root)) for lo, hi in cells]


def _masses(law: Law, intervals: Sequence[tuple[End, End]]) -> tuple[arb, arb]:
    """Twice the null masses left and right of t = 0; adjacent intervals are joined first."""
    joined: list[list[End]] = []
    for lo, hi in intervals:
        if joined and joined[-1][1] == lo and lo != 0:
            joined[-1][1] = hi
        else:
            joined.append([lo, hi])
    sums = [arb(0), arb(0)]
    root = (2 * _ball(law.q)).sqrt()
    for lo, hi in joined:
        for side, a, b in ((0, lo, min(hi, Fraction(0))), (1, max(lo, Fraction(0)), hi)):
            if a < b:
                sums[side] += _mass(_standard(law, a, root), _standard(law, b, root))
    return sums[0], sums[1]


def _standard(law: Law, t: End, root: arb) -> arb | float:
    """(z - null) / sqrt(2 q)."""
    if isinstance(t, float):
        return t
    return _ball(law.stat + law.scale * t - law.null) / root


def _mass(a: arb | float, b: arb | float) -> arb:
    """Twice the mass between a and b, in units of sqrt(2) standard deviations."""
    if isinstance(a, float):
        return arb(2) if isinstance(b, float) else (-b).erfc()
    if isinstance(b, float):
        return a.erfc()
    mass = (-b).erfc() - (-a).erfc() if b < 0 else a.erfc() - b.erfc()
    return mass.max(arb(0))


def _ball(v: Fraction) -> arb:
    return arb(fmpq(v.numerator, v.denominator))
