"""Confidence intervals and estimates: every claimed end is proved by one evaluation of the law.

F(theta) = P(z <= z_obs) falls as the mean theta rises, for every set that the gaps leave possible: it is
enough that F is above (below) the wanted share at the lower (upper) end of what is claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import inf

from flint import arb, ctx

from verifier.check.claims.laws.families import End, Family, Normal, Randomised, Student, ball, mass
from verifier.check.claims.laws.law import PRECISIONS, Cells, Law, shares

__all__ = ["Estimates", "confirm_estimates"]

Bracket = tuple[End, End]


@dataclass(frozen=True)
class Estimates:
    """What is claimed; `likeliest` is None where nothing is."""

    level: Fraction
    lower: Bracket
    upper: Bracket
    median: Bracket
    likeliest: Bracket | None


def confirm_estimates(law: Law, claims: Estimates, inside: Cells, gaps: Cells) -> str | None:
    """The first estimate that is not confirmed, or None."""
    family = law.family
    if law.other is not None or not isinstance(family, (Normal, Student, Randomised)):
        return "estimates"
    if isinstance(family, Student) and family.nu < 2:
        return "estimates"
    rest = 1 - claims.level
    if law.alternative == "two-sided":
        rest /= 2
    wanted = {"lower": (claims.lower, 1 - rest), "upper": (claims.upper, rest)}
    if law.alternative == "less" and claims.lower == (-inf, -inf):
        del wanted["lower"]
    if law.alternative == "greater" and claims.upper == (inf, inf):
        del wanted["upper"]
    wanted["median_unbiased"] = (claims.median, Fraction(1, 2))
    for name, (bracket, share) in wanted.items():

        def falls(theta: Fraction, share: Fraction = share) -> tuple[bool, bool]:
            low, high = shares(law, _moved(law, theta), inside, gaps)
            return bool(low[0] > ball(share)), bool(high[0] < ball(share))

        if not _between(bracket, falls):
            return name
    if claims.likeliest is not None:
        if isinstance(family, Student):
            return "maximum_likelihood"
        if not _between(claims.likeliest, lambda theta: _mean_is_off(law, theta, inside, gaps)):
            return "maximum_likelihood"
    return None


def _between(bracket: Bracket, falls: Callable[[Fraction], tuple[bool, bool]]) -> bool:
    """Whether a falling function is proved to be positive where a bracket starts and negative at its end."""
    if bracket[0] == inf or bracket[1] == -inf or not bracket[0] <= bracket[1]:
        return False
    for side, end in enumerate(bracket):
        if isinstance(end, float):
            continue
        before = ctx.prec
        try:
            for ctx.prec in PRECISIONS:
                if falls(end)[side]:
                    break
            else:
                return False
        finally:
            ctx.prec = before
    return True


def _moved(law: Law, theta: Fraction) -> Family:
    """The family with another mean."""
    family = law.family
    if isinstance(family, Student):
        v = family.square - (law.stat - family.null) ** 2  # nu v
        return Student((law.stat - theta) ** 2 + v, theta, family.nu)
    if isinstance(family, Randomised):
        return Randomised(family.q, theta, family.factor, family.tested)
    if isinstance(family, Normal):
        return Normal(family.q, theta)
    raise TypeError("this law has no mean")


def _mean_is_off(law: Law, theta: Fraction, inside: Cells, gaps: Cells) -> tuple[bool, bool]:
    """Whether theta is proved to be below, and above, the maximum of the likelihood: the mean given the
    selection is then below, or above, what was observed, however the gaps are completed."""
    moved = _moved(law, theta)
    target = law.stat
    whole = moved
    if isinstance(moved, Randomised):
        # the mean of eta'x given z is theta + (z - theta) / (1 + factor)
        target, whole = theta + (1 + moved.factor) * (moved.tested - theta), moved.whole
    if not isinstance(whole, Normal):
        raise TypeError("this law has no likelihood")
    below, above = _moments(law, whole, target, inside)
    gap_below, gap_above = _moments(law, whole, target, gaps)
    return bool(above + gap_above < below), bool(above > below + gap_below)


def _moments(law: Law, normal: Normal, target: Fraction, cells: Cells) -> tuple[arb, arb]:
    """The integrals of |z - target| below and above the target."""
    sums = [arb(0), arb(0)]
    for lo, hi in cells:
        a, b = law.z(lo), law.z(hi)
        for side, (p, q) in enumerate(((a, min(b, target)), (max(a, target), b))):
            if p < q:
                drift = ball(normal.null - target) * mass(normal, p, q)
                moment = drift + _density(normal, p) - _density(normal, q)
                sums[side] += (moment if side else -moment).max(arb(0))
    return sums[0], sums[1]


def _density(normal: Normal, z: End) -> arb:
    """The variance times the density at z."""
    if isinstance(z, float):
        return arb(0)
    q = ball(normal.q)
    return (q / (2 * arb.pi())).sqrt() * (-(ball(z - normal.null) ** 2) / (2 * q)).exp()
