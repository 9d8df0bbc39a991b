"""p as a function of the variance: certified over whole intervals of variance factors.

The truncation set and the line stay the same when Sigma becomes k Sigma, but p(k) is not monotone: to
over-estimate a variance is not safe. Over an interval K of factors P(z <= z_obs) is enclosed to second order,
F(m) + (K - m) F'(K), with m in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any, Literal

from flint import arb, ctx
from scipy.stats import chi2

from inference.digits import at_least, at_most
from inference.laws.law import FIRST_BITS, Runs, ball, ratio_float, sqrt_float
from inference.laws.normal import NormalLaw
from inference.laws.p_value import NOTHING, PValue, rounded
from inference.outward import lower, upper
from symbolic.errors import OptionError
from verifier.cells import Cell, End, joined

__all__ = ["BergerBoosLaw", "ScaleRange", "p_over", "scale_range"]

FARTHEST = 64.0
"""The greatest factor that is tried, and its inverse the least."""
LEAST_STEP = 2.0**-14
"""Relative: an end of the range is found this closely."""
MOST_PARTS = 1 << 12
ENOUGH = 1e-6
"""Relative: how well the supremum over factors is found."""


@dataclass(frozen=True)
class ScaleRange:
    """The decision at a level is proved to be the same for every variance factor in [low, high].

    Attributes
    ----------
    level : Fraction
    decision : "reject" or "accept"
    low, high : Fraction
        Around 1. At 1/64 and 64 the range was not followed further.
    """

    level: Fraction
    decision: Literal["reject", "accept"]
    low: Fraction
    high: Fraction

    def __str__(self) -> str:
        return f"{self.decision} for every variance factor in {self.factors}"

    @property
    def factors(self) -> str:
        """The range in few digits, rounded inward, and where it is not its end but that of the search."""
        ends = [e for e in (self.low, self.high) if e in (1 / FARTHEST, FARTHEST)]
        more = f" (not followed beyond {' and '.join(map(str, ends))})" if ends else ""
        return f"[{at_least(self.low)}, {at_most(self.high)}]{more}"


def scale_range(law: NormalLaw, cells: Sequence[Cell], level: Fraction) -> ScaleRange | None:
    """The largest interval of variance factors around 1 on which the decision is proved to be the same.

    Parameters
    ----------
    law : NormalLaw
        At factor 1.
    cells : sequence of Cell
        A covering of the line in t.
    level : Fraction

    Returns
    -------
    ScaleRange or None
        None if there is no decision at factor 1. Each end is within 2**-14 of the true one, or less.
    """
    one, cells = Fraction(1), law.counted(cells)
    for decision in ("reject", "accept"):
        if _proved(law, cells, one, one, level, decision):
            ends = [_walk(law, cells, level, decision, side) for side in (-1, 1)]
            return ScaleRange(level, decision, *ends)
    return None


def _walk(law: NormalLaw, cells: Sequence[Cell], level: Fraction, decision: str, side: int) -> Fraction:
    """How far the decision holds, in steps that shrink where it cannot be proved and grow where it can."""
    at, step = Fraction(1), 0.25
    while step >= LEAST_STEP and float(at) ** side < FARTHEST:
        ahead = Fraction(min(max(float(at) * (1 + step) ** side, 1 / FARTHEST), FARTHEST))
        if _proved(law, cells, min(at, ahead), max(at, ahead), level, decision):
            at, step = ahead, step * 1.5
        else:
            step /= 2
    return at


def _proved(
    law: NormalLaw, cells: Sequence[Cell], low: Fraction, high: Fraction, level: Fraction, decision: str
) -> bool:
    p = p_over(law, cells, low, high)
    if p is None:
        return False
    return bool(p[1] <= ball(level)) if decision == "reject" else bool(p[0] > ball(level))


def p_over(law: NormalLaw, cells: Sequence[Cell], low: Fraction, high: Fraction) -> tuple[arb, arb] | None:
    """Bounds of p for all variance factors in [low, high]; None if nothing is certified inside."""
    saved = ctx.prec
    try:
        ctx.prec = FIRST_BITS
        inside, gaps = joined(cells, "inside"), joined(cells, "gap")
        if not inside:
            return None
        middle, near = ball((low + high) / 2), _near(law, inside)
        whole = ball(low).union(ball(high))
        moved = whole - middle
        at = [_split(law, runs, middle, near) for runs in (inside, gaps)]
        on = [_split(law, runs, whole, near) for runs in (inside, gaps)]

        def share(own: int, other: int, own_gaps: bool, other_gaps: bool) -> arb:
            """own / (own + other), each with its gaps or without, over all factors."""

            def of(source: list[list[tuple[arb, arb]]], side: int, gap: bool, k: int) -> arb:
                return source[0][side][k] + (source[1][side][k] if gap else 0)

            a, b = of(at, own, own_gaps, 0), of(at, other, other_gaps, 0)
            va, vb = (of(on, *part, 0).max(arb(0)) for part in ((own, own_gaps), (other, other_gaps)))
            da, db = of(on, own, own_gaps, 1), of(on, other, other_gaps, 1)
            if not a + b > 0 or not va + vb > 0:
                return arb("nan")
            return a / (a + b) + moved * (da * vb - va * db) / (va + vb) ** 2

        f_lo, f_hi = share(0, 1, False, True), share(0, 1, True, False)
        g_lo, g_hi = share(1, 0, False, True), share(1, 0, True, False)
        if not all(v.is_finite() for v in (f_lo, f_hi, g_lo, g_hi)):
            return arb(0), arb(1)
        return _two_sided_or_one(law.alternative, f_lo, f_hi, g_lo, g_hi)
    finally:
        ctx.prec = saved


def _two_sided_or_one(alternative: str, f_lo: arb, f_hi: arb, g_lo: arb, g_hi: arb) -> tuple[arb, arb]:
    if alternative == "less":
        return lower(f_lo), upper(f_hi)
    if alternative == "greater":
        return lower(g_lo), upper(g_hi)
    # 2 min(F, 1 - F) <= 2 F and <= 2 (1 - F), whichever completion and factor it is
    return 2 * min(lower(f_lo), lower(g_lo)), min(arb(1), 2 * upper(f_hi), 2 * upper(g_hi))


def _split(law: NormalLaw, runs: Runs, factor: arb, near: Fraction) -> list[tuple[arb, arb]]:
    """(value, derivative) of the masses left and right of what was observed, under a variance factor.

    All are multiplied by exp(near / (2 variance)), which no share notices; `near` is the square of the
    distance of the null from the set, so that what is left depends little on the factor.
    """
    variance = 2 * ball(law.variance) * factor

    def tail(t: End) -> tuple[bool, arb, arb]:
        if isinstance(t, float):
            return t > 0, arb(0), arb(0)
        away = law.stat + law.scale * t - law.null
        value, slope = _scaled_erfc(ball(abs(away)) / variance.sqrt())
        excess = ball(away * away - near) / variance
        weight = (-excess).exp() / (2 * factor)
        # d/dk of exp(-excess) e(u) / 2, with u' = -u / (2 k)
        turn = ball(abs(away)) / variance.sqrt() / 2
        return away >= 0, weight * factor * value, weight * (excess * value - turn * slope)

    def thin(lo: Fraction, hi: Fraction) -> tuple[arb, arb]:
        """Width times density, which does not cancel as a difference of tails does."""
        ends = [ball(law.stat + law.scale * t - law.null) for t in (lo, hi)]
        excess = (ends[0].union(ends[1]) ** 2 - ball(near)) / variance
        value = (-excess).exp() / (arb.pi() * variance).sqrt() * ball(law.scale * (hi - lo))
        return value, value * (excess - arb(1) / 2) / factor

    def mass(lo: End, hi: End) -> tuple[arb, arb]:
        plain = difference(lo, hi)
        if isinstance(lo, float) or isinstance(hi, float):
            return plain
        if (law.stat + law.scale * lo < law.null) != (law.stat + law.scale * hi < law.null):
            return plain
        value, slope = (
            b if not a.is_finite() else a if not b.is_finite() else a.intersection(b)
            for a, b in zip(plain, thin(lo, hi), strict=True)
        )
        return value, slope

    def difference(lo: End, hi: End) -> tuple[arb, arb]:
        (upper_a, a, da), (upper_b, b, db) = tail(lo), tail(hi)
        if upper_a:
            return a - b, da - db
        if not upper_b:
            return b - a, db - da
        whole = (ball(near) / variance).exp()
        return whole - a - b, -whole * ball(near) / variance / factor - da - db

    zero = Fraction(0)
    found = [[arb(0), arb(0)], [arb(0), arb(0)]]
    for lo, hi in runs:
        for side, (a, b) in enumerate(((lo, min(hi, zero)), (max(lo, zero), hi))):
            if a < b:
                for k, part in enumerate(mass(a, b)):
                    found[side][k] += part
    return [(value, slope) for value, slope in found]


def _scaled_erfc(u: arb) -> tuple[arb, arb]:
    """exp(u**2) erfc(u) and its derivative; the one falls and the other rises, so their ends enclose them."""
    ends = lower(u), upper(u)
    values = [(v * v).exp() * v.erfc() for v in ends]
    slopes = [2 * v * e - 2 / arb.pi().sqrt() for v, e in zip(ends, values, strict=True)]
    return values[0].union(values[1]), slopes[0].union(slopes[1])


def _near(law: NormalLaw, runs: Runs) -> Fraction:
    """The square of the distance of the null from a set of intervals of t."""
    null = (law.null - law.stat) / law.scale
    if any(lo < null < hi for lo, hi in runs):
        return Fraction(0)
    return min((abs(t - null) * law.scale) ** 2 for run in runs for t in run if isinstance(t, Fraction))


class BergerBoosLaw(NormalLaw):
    """The greatest p over a confidence set of the variance, plus what it may miss (Berger and Boos, 1994).

    Parameters
    ----------
    stat, variance, scale, null, alternative
        As of a normal law; the variance is the estimated one.
    degrees_of_freedom : Fraction
        nu, of the estimate.
    gamma : Fraction
        The probability that the confidence set misses the variance.
    """

    family = "berger-boos"

    def __init__(
        self, *arguments: Any, degrees_of_freedom: Fraction, gamma: Fraction = Fraction(1, 1000)
    ) -> None:
        super().__init__(*arguments)
        if not 0 < gamma < 1:
            raise OptionError(f"gamma is {gamma}; it must be between 0 and 1.")
        self.degrees_of_freedom, self.gamma = degrees_of_freedom, gamma
        nu = float(degrees_of_freedom)
        # sigma**2 = s**2 nu / chi2; rounded outward by far more than SciPy errs, and proved by the checker
        low, high = (nu / chi2.isf(g, nu) for g in (float(gamma) / 2, 1 - float(gamma) / 2))
        self.factors = Fraction(low * (1 - 1e-9)), Fraction(high * (1 + 1e-9))
        self.witness = Fraction(1)
        # the search weighs gaps as under the greatest variance, where far ones weigh most
        widest = sqrt_float(self.variance * self.factors[1])
        self.at, self.step = ratio_float(self.stat - self.null, widest), ratio_float(self.scale, widest)

    def naive_log_p(self) -> float:
        plain = NormalLaw(self.stat, self.variance, self.scale, self.null, self.alternative)
        return plain.naive_log_p()

    def spec(self) -> dict[str, Any]:
        return super().spec() | {
            "gamma": str(self.gamma),
            "factors": [str(k) for k in self.factors],
            "witness": str(self.witness),
        }

    def p_value(self, cells: Sequence[Cell]) -> PValue:
        """Bounds of gamma + sup p; the lower one is that of a single factor, the witness."""
        parts = [(self.factors[0] + (self.factors[1] - self.factors[0]) * Fraction(k, 64)) for k in range(65)]
        saved = ctx.prec
        try:
            ctx.prec = FIRST_BITS
            pending = list(zip(parts, parts[1:], strict=False))
            known = [(p_over(self, cells, k, k), k) for k in parts]
            if any(p is None for p, _ in known):
                return NOTHING
            least, self.witness = max(
                ((p[0], k) for p, k in known if p is not None), key=lambda e: float(e[0])
            )
            most, done = arb(0), 0
            while pending:
                low, high = pending.pop()
                p = p_over(self, cells, low, high)
                done += 1
                close = least + ENOUGH * (least + ball(self.gamma))
                if p is not None and (p[1] <= most or p[1] <= close):
                    most = max(most, p[1])
                elif done > MOST_PARTS:
                    most = arb(1)
                    break
                else:
                    middle = Fraction(sqrt(float(low) * float(high)))
                    pending += [(low, middle), (middle, high)]
                    here = p_over(self, cells, middle, middle)
                    if here is not None and here[0] > least:
                        least, self.witness = here[0], middle
            gamma = ball(self.gamma)
            m = self.masses(cells)
            share = (
                arb(1)
                if m is None
                else (m.gap_left + m.gap_right) / (m.gap_left + m.gap_right + m.left + m.right)
            )
            return rounded(lower(least + gamma), upper(most + gamma), share)
        finally:
            ctx.prec = saved
