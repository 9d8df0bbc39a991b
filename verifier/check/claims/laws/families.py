"""Null laws of the coordinate z of a line: each says what lies at most and beyond a rational z, as balls.

Whichever of the two is the smaller one keeps its relative accuracy, at 40 standard deviations too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from flint import acb, arb, ctx, fmpq

__all__ = [
    "Chi",
    "Family",
    "Fisher",
    "Normal",
    "Randomised",
    "Student",
    "ball",
    "gamma_below",
    "mass",
    "sides",
]

End = Fraction | float
"""Rational, or minus or plus infinity."""
BEYOND = 30
"""Standard deviations of a normal law, of which less than 2**-600 lies beyond."""


class Family(Protocol):
    """A null law, before the truncation."""

    def is_high(self, z: Fraction) -> bool:
        """Whether z is where the upper tail is the one to compute."""

    def below(self, z: Fraction) -> arb:
        """The mass at most z, where z is not high."""

    def beyond(self, z: Fraction) -> arb:
        """The mass beyond z, where z is high."""


@dataclass(frozen=True)
class Normal:
    """N(null, q times a factor)."""

    q: Fraction
    null: Fraction

    def is_high(self, z: Fraction) -> bool:
        return z >= self.null

    def below(self, z: Fraction) -> arb:
        return self._tail(self.null - z)

    def beyond(self, z: Fraction) -> arb:
        return self._tail(z - self.null)

    def _tail(self, away: Fraction) -> arb:
        return (ball(away) / (2 * ball(self.q)).sqrt()).erfc() / 2


@dataclass(frozen=True)
class Student:
    """z given (z_obs - null)**2 + nu v: a symmetric beta law, v being the estimated variance of z."""

    square: Fraction
    null: Fraction
    nu: Fraction

    def is_high(self, z: Fraction) -> bool:
        return z >= self.null

    def below(self, z: Fraction) -> arb:
        return self._tail(self.null - z)

    def beyond(self, z: Fraction) -> arb:
        return self._tail(z - self.null)

    def _tail(self, away: Fraction) -> arb:
        """What lies more than `away` >= 0 to one side."""
        rest = 1 - away * away / self.square
        return _beta(rest, self.nu / 2, Fraction(1, 2)) / 2


@dataclass(frozen=True)
class Chi:
    """z >= 0 with z**2 times `square` chi-square on `rank` degrees of freedom."""

    square: Fraction
    rank: int

    def is_high(self, z: Fraction) -> bool:
        return z > 0 and z * z * self.square > self.rank

    def below(self, z: Fraction) -> arb:
        return arb(0) if z <= 0 else gamma_below(self._half(z), Fraction(self.rank, 2))

    def beyond(self, z: Fraction) -> arb:
        return arb(1) if z <= 0 else self._half(z).gamma_upper(arb(self.rank) / 2, regularized=1)

    def _half(self, z: Fraction) -> arb:
        return ball(z * z * self.square / 2)


@dataclass(frozen=True)
class Fisher:
    """z >= 0 with z**2 times `share` of a beta law with parameters rank / 2 and nu / 2."""

    share: Fraction
    rank: int
    nu: Fraction

    def is_high(self, z: Fraction) -> bool:
        return z > 0 and z * z * self.share * (self.rank + self.nu) > self.rank

    def below(self, z: Fraction) -> arb:
        return arb(0) if z <= 0 else _beta(z * z * self.share, Fraction(self.rank, 2), self.nu / 2)

    def beyond(self, z: Fraction) -> arb:
        return arb(1) if z <= 0 else _beta(1 - z * z * self.share, self.nu / 2, Fraction(self.rank, 2))


@dataclass(frozen=True)
class Randomised:
    """z = eta'(x + omega), normal with variance q (1 + factor); tested is eta' x, normal with variance q."""

    q: Fraction
    null: Fraction
    factor: Fraction
    tested: Fraction

    @property
    def whole(self) -> Normal:
        """The law of z."""
        return Normal(self.q * (1 + self.factor), self.null)

    def is_high(self, z: Fraction) -> bool:
        return z >= self.null

    def below(self, z: Fraction) -> arb:
        return self.whole.below(z)

    def beyond(self, z: Fraction) -> arb:
        return self.whole.beyond(z)

    def sides(self, lo: End, hi: End) -> tuple[arb, arb]:
        """The mass of z in (lo, hi) with eta' x at most, and beyond, what was observed."""
        # given z, eta' x is normal with mean null + (z - null) / (1 + factor), variance q factor / (1 +
        # factor)
        root = (2 * ball(self.whole.q)).sqrt()
        spread = (2 * ball(self.q * self.factor / (1 + self.factor))).sqrt()
        gap, turn = ball(self.tested - self.null) / spread, root / (spread * ball(1 + self.factor))
        far = arb(max(abs((gap / turn).mid()).ceil(), arb(1)).ceil() + BEYOND)
        ends, lost = [], arb(0)
        for end in (lo, hi):
            if isinstance(end, float):
                ends.append(far if end > 0 else -far)
                lost += (far.erfc() / 2).union(arb(0))
            else:
                ends.append(ball(end - self.null) / root)
        if isinstance(lo, float) and not ends[1] > -far or isinstance(hi, float) and not ends[0] < far:
            return lost, lost
        return tuple(lost + _product(side, gap, turn, *ends) for side in (1, -1))  # type: ignore[return-value]


def _product(side: int, gap: arb, turn: arb, lo: arb, hi: arb) -> arb:
    """The integral of erfc(side (turn v - gap)) / 2 times exp(-v**2) / sqrt(pi)."""

    def integrand(v: acb, _: bool) -> acb:
        return (side * (turn * v - gap)).erfc() * (-v * v).exp()

    found = acb.integral(integrand, acb(lo), acb(hi), abs_tol=arb(2) ** -100_000, use_heap=True).real
    value: arb = found / (2 * arb.pi().sqrt())
    return value.max(arb(0))


def gamma_below(x: arb, shape: Fraction) -> arb:
    """The mass that a gamma law of this shape, scale 1, has below x, 0 < x < shape + 1.

    It is density(x) x / shape times a sum of positive terms that starts with 1; the ratio of a term to the
    one before, x / (shape + n), falls with n. So less than (last term) q / (1 - q) is missing, q being the
    next ratio.
    """
    a = ball(shape)
    terms = total = arb(1)
    n = 1
    while True:
        q = x / (a + n)
        if not q < 1:
            return arb(0).union(arb(1))
        missing = terms * q / (1 - q)
        if n % 16 == 0 and missing < total * arb(2) ** -ctx.prec:
            break
        terms = terms * q
        total = total + terms
        n += 1
    density = ((a - 1) * x.log() - x - a.lgamma()).exp()
    return density * x / a * (total + arb(0).union(missing))


def _beta(x: Fraction, a: Fraction, b: Fraction) -> arb:
    """The regularised incomplete beta function, 0 for x <= 0 and 1 for x >= 1."""
    if x <= 0:
        return arb(0)
    if x >= 1:
        return arb(1)
    return ball(x).beta_lower(ball(a), ball(b), regularized=True)


def mass(family: Family, lo: End, hi: End) -> arb:
    """The mass between two ends, from the tails that are small there."""
    high = [end > 0 if isinstance(end, float) else family.is_high(end) for end in (lo, hi)]
    tails = [
        arb(0) if isinstance(end, float) else family.beyond(end) if up else family.below(end)
        for end, up in zip((lo, hi), high, strict=True)
    ]
    if high[0]:
        found = tails[0] - tails[1]
    elif high[1]:
        found = 1 - tails[0] - tails[1]
    else:
        found = tails[1] - tails[0]
    return found.max(arb(0))


def sides(family: Family, at: Fraction, intervals: Sequence[tuple[End, End]]) -> tuple[arb, arb]:
    """The masses that speak for "at most as large" and for "larger" than what was observed, z = `at`."""
    sums = [arb(0), arb(0)]
    for lo, hi in intervals:
        if isinstance(family, Randomised):
            parts: Sequence[arb] = family.sides(lo, hi)
        else:
            halves = (lo, min(hi, at)), (max(lo, at), hi)
            parts = [mass(family, a, b) if a < b else arb(0) for a, b in halves]
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
    return sums[0], sums[1]


def ball(v: Fraction) -> arb:
    """A rational as a ball."""
    return arb(fmpq(v.numerator, v.denominator))
