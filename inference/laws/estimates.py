"""Selective confidence intervals and estimates of the mean of the statistic, with proved brackets.

P_theta(z <= z_obs) falls as theta rises for every set (see `composite`), so that the theta at which it is a
given number is one number for every completion of the gaps; all of them lie in the bracket that is returned.
It is guessed in float64 and proved at its two ends in ball arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, nextafter

import numpy as np
from flint import arb, ctx
from scipy.optimize import brentq

from inference.digits import at_least, at_most
from inference.laws.caveats import Caveats, caveats_of
from inference.laws.law import MOST_BITS, Law, Runs, ball
from inference.laws.normal import NormalLaw
from inference.laws.p_value import shares
from inference.laws.randomised import RandomisedLaw
from inference.laws.student import StudentLaw
from symbolic.errors import OptionError
from verifier.cells import Cell, joined

__all__ = ["Bracket", "Estimates", "estimates", "with_null"]

FIRST_STEP = 2.0**-40
"""Of a bracket, in standard deviations; it widens until its ends are proved."""
FARTHEST = 2.0**40
"""In standard deviations: an end beyond is called infinite."""


@dataclass(frozen=True)
class Bracket:
    """A number that is proved to lie in [lo, hi]; infinite where nothing is known on that side."""

    lo: float
    hi: float

    def __str__(self) -> str:
        return f"between {at_most(self.lo)} and {at_least(self.hi)}"


@dataclass(frozen=True)
class Estimates:
    """Of eta' mu, in the units of the statistic.

    Attributes
    ----------
    level : Fraction
        Confidence level of the interval.
    lower, upper : Bracket
        Its ends; (lower.lo, upper.hi) covers with at least that confidence.
    median_unbiased : Bracket
        The mean under which P(z <= z_obs) = 1/2.
    maximum_likelihood : Bracket or None
        The mean that maximises the likelihood given the selection; None where the law has no such estimate
        here (t law).
    caveats : Caveats
        What to keep in mind about each of them.
    """

    level: Fraction
    lower: Bracket
    upper: Bracket
    median_unbiased: Bracket
    maximum_likelihood: Bracket | None
    caveats: Caveats

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence interval, rounded outward."""
        return self.lower.lo, self.upper.hi

    def __str__(self) -> str:
        low, high = self.interval
        lines = [
            f"{100 * float(self.level):g} % interval  [{at_most(low)}, {at_least(high)}]. "
            f"{self.caveats.interval}",
            f"median-unbiased  {self.median_unbiased}. {self.caveats.median_unbiased}",
        ]
        if self.maximum_likelihood is not None:
            lines.append(f"max. likelihood  {self.maximum_likelihood}. {self.caveats.maximum_likelihood}")
        return "\n".join(lines)


def with_null(law: Law) -> Callable[[Fraction], Law]:
    """The same law for another null, whose P(z <= z_obs) falls as the null rises.

    Raises
    ------
    OptionError
        For laws of a length, which have no mean to estimate, for the Berger-Boos bound, whose variance is
        known to an interval only, and for t laws with less than 2 degrees of freedom.
    """
    if isinstance(law, StudentLaw):
        if law.degrees_of_freedom < 2:
            raise OptionError("estimates with the t law need at least 2 degrees of freedom.")
        nu = law.degrees_of_freedom
        return lambda null: StudentLaw(law.stat, law.variance, law.scale, null, "two-sided", nu)
    if isinstance(law, RandomisedLaw):
        return lambda null: RandomisedLaw(
            law.stat, law.tested, law.variance, law.factor, law.scale, null, "two-sided"
        )
    if law.family in ("normal", "fission") and isinstance(law, NormalLaw):
        return lambda null: NormalLaw(law.stat, law.variance, law.scale, null, "two-sided")
    if law.family == "berger-boos":
        raise OptionError(
            "the Berger-Boos bound is one of p; for an interval take the t law, which accounts for the scale."
        )
    raise OptionError(f"the {law.family} law has no mean to estimate: ask for no confidence_level.")


def estimates(law: Law, cells: Sequence[Cell], level: Fraction, alternative: str = "two-sided") -> Estimates:
    """Interval and estimates from the cells of a line.

    Parameters
    ----------
    law : Law
        Normal, t or randomised normal.
    cells : sequence of Cell
        A covering of the line in t.
    level : Fraction
        Confidence level, between 0 and 1.
    alternative : str
        "two-sided" (equal-tailed), "greater" (a lower bound) or "less" (an upper bound), as the test's.
    """
    if not 0 < level < 1:
        raise OptionError(f"confidence_level is {level}; it must be between 0 and 1.")
    law_of = with_null(law)
    rest = 1 - level
    tail = rest / 2 if alternative == "two-sided" else rest
    saved = ctx.prec
    try:
        line = _Line(law_of, law.counted(cells), getattr(law, "tested", law.stat), law.sd)
        nothing = Bracket(-inf, -inf), Bracket(inf, inf)
        return Estimates(
            level,
            nothing[0] if alternative == "less" else line.quantile(1 - tail),
            nothing[1] if alternative == "greater" else line.quantile(tail),
            line.quantile(Fraction(1, 2)),
            line.likeliest(law) if isinstance(law, (NormalLaw, RandomisedLaw)) else None,
            caveats_of(law.family),
        )
    finally:
        ctx.prec = saved


class _Line:
    """One truncation set under all nulls."""

    def __init__(
        self, law_of: Callable[[Fraction], Law], cells: Sequence[Cell], stat: Fraction, sd: float
    ) -> None:
        self.law_of, self.cells = law_of, cells
        self.runs: tuple[Runs, Runs] = joined(cells, "inside"), joined(cells, "gap")
        self.stat, self.sd = stat, sd

    def quantile(self, share: Fraction) -> Bracket:
        """The null at which P(z <= z_obs) is a share."""

        def excess(null: float) -> float:
            """About logit F - logit share, which falls."""
            law = self.law_of(Fraction(null))
            ends = np.array([(float(a), float(b)) for a, b in self.runs[0]]).reshape(-1, 2)
            left, right = (np.logaddexp.reduce(v, initial=-inf) for v in law.log_split(*ends.T))
            logit = float(np.log(float(share)) - np.log1p(-float(share)))
            return float(max(left, -1e9) - max(right, -1e9)) - logit

        def sign(null: Fraction) -> tuple[bool, bool]:
            """Whether F is proved to be above, and below, the share for all completions."""
            m = self.law_of(null).masses(self.cells)
            if m is None:
                return False, False
            f_lo, f_hi, _, _ = shares(m)
            wanted = ball(share)
            return bool(f_lo > wanted), bool(f_hi < wanted)

        return self._bracket(excess, sign)

    def likeliest(self, law: NormalLaw | RandomisedLaw) -> Bracket:
        """The null under which the expectation given the selection is what was observed."""
        factor = law.factor if isinstance(law, RandomisedLaw) else Fraction(0)
        variance = law.variance * (1 + factor)

        def target(null: Fraction) -> Fraction:
            # E[T | W] = null + (W - null) / (1 + factor), which is T on average where W is this on average
            return null + (1 + factor) * (self.stat - null)

        def excess(null: float) -> float:
            below, above, _, _ = self._moments(Fraction(null), variance, target, law, 64)
            return float((below - above).mid())

        def sign(null: Fraction) -> tuple[bool, bool]:
            bits = 192
            while True:
                below, above, gap_below, gap_above = self._moments(null, variance, target, law, bits)
                high, low = below - above - gap_above, below + gap_below - above
                if high > 0 or low < 0 or bits > 4 * 192 or bits >= MOST_BITS:
                    return bool(high > 0), bool(low < 0)
                bits *= 2

        return self._bracket(excess, sign)

    def _moments(
        self,
        null: Fraction,
        variance: Fraction,
        target: Callable[[Fraction], Fraction],
        law: Law,
        bits: int,
    ) -> tuple[arb, arb, arb, arb]:
        """Integrals of |z - target| over what is inside and undecided, below and above the target."""
        ctx.prec = bits
        middle, root = target(null), ball(variance).sqrt()
        found = []
        for runs in self.runs:
            sums = [arb(0), arb(0)]
            for lo, hi in runs:
                ends = [e if isinstance(e, float) else law.stat + law.scale * e for e in (lo, hi)]
                parts = (ends[0], min(ends[1], middle)), (max(ends[0], middle), ends[1])
                for side, (a, b) in enumerate(parts):
                    if a < b:
                        sums[side] += abs(_moment(a, b, null, root, middle))
            found += sums
        return found[0], found[1], found[2], found[3]

    def _bracket(
        self, excess: Callable[[float], float], sign: Callable[[Fraction], tuple[bool, bool]]
    ) -> Bracket:
        """Where a falling function is zero: a guess, and around it what is proved."""
        guess = float(self.stat)
        found = []
        for side in (-1, 1):
            width = self.sd
            while side * excess(guess + side * width) >= 0 and width < FARTHEST * self.sd:
                width *= 2
            found.append(guess + side * width)
        low, high = found
        if excess(low) > 0 > excess(high):
            low = high = float(brentq(excess, low, high, xtol=1e-13 * self.sd, rtol=1e-15))
        elif excess(low) <= 0:
            high = low
        else:
            low = high
        return Bracket(self._proved(low, -1, sign), self._proved(high, 1, sign))

    def _proved(self, start: float, side: int, sign: Callable[[Fraction], tuple[bool, bool]]) -> float:
        """The first double from a guess outward at which the sign is proved."""
        step = FIRST_STEP * self.sd
        while step < FARTHEST * self.sd:
            at = nextafter(start + side * step, side * inf)
            if sign(Fraction(at))[0 if side < 0 else 1]:
                return at
            step *= 4
        return side * inf


def _moment(a: Fraction | float, b: Fraction | float, null: Fraction, root: arb, middle: Fraction) -> arb:
    """The integral of z - middle from a to b under N(null, root**2)."""
    mass, edge = arb(0), arb(0)
    tails = []
    for end in (a, b):
        if isinstance(end, float):
            tails.append((end > 0, arb(0)))
            continue
        u = ball(end - null) / root
        tails.append((end >= null, (abs(u) / arb(2).sqrt()).erfc() / 2))
        density = (-u * u / 2).exp() / (2 * arb.pi()).sqrt() * root
        edge += density if end == a else -density
    (upper_a, p), (upper_b, q) = tails
    mass = p - q if upper_a else (q - p if not upper_b else 1 - p - q)
    return ball(null - middle) * mass + edge
