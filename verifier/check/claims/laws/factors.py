"""Claims about a normal law for all variance factors of an interval.

Over a small interval of factors F is enclosed by Taylor's theorem, F(m) + (k - m) F'(all of the interval),
the derivative being that of power series with balls as coefficients; an interval that is too large is
halved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, arb_series, ctx

from verifier.check.claims.laws.families import End, Normal, ball, gamma_below
from verifier.check.claims.laws.law import PRECISIONS, Bounds, Cells, Law, holds, joined

__all__ = ["BergerBoos", "confirm_berger_boos", "confirm_factors"]

MOST_PARTS = 1 << 12


@dataclass(frozen=True)
class BergerBoos:
    """p is gamma plus the greatest p of the factors in [low, high]; that of the witness is one of them."""

    gamma: Fraction
    low: Fraction
    high: Fraction
    witness: Fraction
    nu: Fraction


def confirm_factors(
    law: Law, low: Fraction, high: Fraction, level: Fraction, rejects: bool, inside: Cells, gaps: Cells
) -> bool:
    """Whether the decision at a level is the same for all variance factors in [low, high]."""

    def decided(p: Bounds) -> bool:
        if rejects:
            return bool(p.most <= ball(level))
        return p.least is not None and bool(p.least > ball(level))

    return _everywhere(law, low, high, inside, gaps, decided)


def confirm_berger_boos(
    law: Law, claim: BergerBoos, inside: Cells, gaps: Cells, claims: dict[str, Fraction | None]
) -> str | None:
    """The first claim of p that is not confirmed, or None."""
    if not claim.low <= claim.witness <= claim.high or not _covers(claim):
        return "factors"
    if not inside:
        return next((n for n, c in claims.items() if not holds(n, c, Bounds(None, arb(1)))), None)
    gamma = claim.gamma

    def raised(p: Bounds) -> Bounds:
        least = ball(gamma) if p.least is None else (p.least + ball(gamma)).min(arb(1))
        return Bounds(least, (p.most + ball(gamma)).min(arb(1)))

    for name, value in claims.items():

        def confirmed(p: Bounds, name: str = name, value: Fraction | None = value) -> bool:
            return holds(name, value, raised(p))

        ends = (claim.low, claim.high) if "sup" in name else (claim.witness, claim.witness)
        if not _everywhere(law, *ends, inside, gaps, confirmed):
            return name
    return None


def _covers(claim: BergerBoos) -> bool:
    """Whether the factors miss the variance with a probability of gamma at most, nu s**2 / sigma**2 being
    chi-square with nu degrees of freedom."""
    if not 0 < claim.low < 1 < claim.high:
        return False
    before = ctx.prec
    try:
        for precision in PRECISIONS:
            ctx.prec = precision
            half = ball(claim.nu) / 2
            missed = gamma_below(half / ball(claim.high), claim.nu / 2)
            missed += (half / ball(claim.low)).gamma_upper(half, regularized=1)
            if missed <= ball(claim.gamma):
                return True
        return False
    finally:
        ctx.prec = before


def _everywhere(
    law: Law, low: Fraction, high: Fraction, inside: Cells, gaps: Cells, confirmed: Callable[[Bounds], bool]
) -> bool:
    """Whether something follows from the bounds of p on every part of an interval of factors."""
    if not 0 < low <= high or not inside or not isinstance(law.family, Normal):
        return False
    inside, gaps = joined(inside), joined(gaps)
    before = ctx.prec
    ctx.prec = PRECISIONS[1]
    try:
        pending, done = [(low, high)], 0
        while pending:
            a, b = pending.pop()
            done += 1
            if confirmed(_over(law, a, b, inside, gaps)):
                continue
            if done > MOST_PARTS or a == b:
                return False
            middle = _middle(a, b)
            pending += [(a, middle), (middle, b)]
        return True
    finally:
        ctx.prec = before


def _middle(low: Fraction, high: Fraction) -> Fraction:
    """A number between two others: a power of two near their geometric mean, where they are far apart."""
    if high <= 4 * low:
        return (low + high) / 2
    bits = [v.numerator.bit_length() - v.denominator.bit_length() for v in (low, high)]
    return min(max(Fraction(2) ** (sum(bits) // 2), 2 * low), high / 2)


def _over(law: Law, low: Fraction, high: Fraction, inside: Cells, gaps: Cells) -> Bounds:
    """Bounds of p for all factors in [low, high]."""
    if high > 4 * low:
        return Bounds(None, arb(1))
    middle = ball((low + high) / 2)
    whole = ball(low).union(ball(high))
    moved = whole - middle
    away = _away(law, inside)
    at_middle = [_sides(law, middle, cells, away) for cells in (inside, gaps)]
    on_all = [_sides(law, whole, cells, away) for cells in (inside, gaps)]

    def share(own: int, gap_of_own: bool) -> arb:
        """own / (own + other), with the gaps of the one or of the other."""
        parts = []
        for left_right, gap in (at_middle, on_all):
            mine, rest = left_right[own], left_right[1 - own]
            parts.append((mine + gap[own], rest) if gap_of_own else (mine, rest + gap[1 - own]))
        plain = _plain_share(*(series[0] for series in parts[1]))
        if not all((mine + rest)[0] > 0 for mine, rest in parts):
            return plain
        at, on = (mine / (mine + rest) for mine, rest in parts)
        taylor = at[0] + moved * on[1]
        return _both(taylor, plain)

    f_lo, f_hi, g_lo, g_hi = share(0, False), share(0, True), share(1, False), share(1, True)
    if law.alternative == "less":
        least, most = f_lo, f_hi
    elif law.alternative == "greater":
        least, most = g_lo, g_hi
    else:
        least, most = 2 * f_lo.min(g_lo), 2 * f_hi.min(g_hi)
    return Bounds(least if least > 0 else None, most.min(arb(1)) if most.is_finite() else arb(1))


def _plain_share(own: arb, other: arb) -> arb:
    """own / (own + other) of masses that are known to balls: it rises with own and falls with other."""
    ends = []
    for mine, rest in ((own.lower(), other.upper()), (own.upper(), other.lower())):
        mine, rest = mine.max(arb(0)), rest.max(arb(0))
        ends.append(mine / (mine + rest) if mine + rest > 0 else arb(0).union(arb(1)))
    found = ends[0].union(ends[1])
    return found if found.is_finite() else arb(0).union(arb(1))


def _sides(law: Law, factor: arb, cells: Cells, away: Fraction) -> list[arb_series]:
    """Null masses left and right of what was observed, as series of length 2 in the factor.

    All are multiplied by exp(away**2 / (2 q factor)), which leaves shares as they are: with `away` the
    distance of the null from what is certified, this takes out what changes fastest.
    """
    family = law.family
    if not isinstance(family, Normal):
        raise TypeError("only a normal law has variance factors")
    twice, null = arb_series([factor, 1], 2) * (2 * ball(family.q)), family.null
    root = twice.sqrt()

    def tail(z: Fraction) -> arb_series:
        """What lies beyond z, on its side of the null."""
        distance = abs(z - null)
        weight = (ball(away * away - distance * distance) / twice).exp()
        return weight * _scaled_erfc(ball(distance) / root) / 2

    def thin(lo: Fraction, hi: Fraction) -> arb_series:
        """Width times density, which does not cancel as a difference of tails does."""
        square = (ball(lo - null).union(ball(hi - null))) ** 2
        density = ((ball(away * away) - square) / twice).exp() / (root * arb.pi().sqrt())
        return density * ball(hi - lo)

    def between(lo: End, hi: End) -> arb_series:
        plain = difference(lo, hi)
        if isinstance(lo, float) or isinstance(hi, float) or (lo < null) != (hi < null):
            return plain
        other = thin(lo, hi)
        return arb_series([_both(plain[k], other[k]) for k in (0, 1)], 2)

    def difference(lo: End, hi: End) -> arb_series:
        high = [end > null for end in (lo, hi)]
        tails = [arb_series([0], 2) if isinstance(end, float) else tail(end) for end in (lo, hi)]
        if high[0]:
            return tails[0] - tails[1]
        if not high[1]:
            return tails[1] - tails[0]
        return (ball(away * away) / twice).exp() - tails[0] - tails[1]

    sums = [arb_series([0], 2), arb_series([0], 2)]
    for lo, hi in cells:
        a, b = law.z(lo), law.z(hi)
        for side, (p, q) in enumerate(((a, min(b, law.stat)), (max(a, law.stat), b))):
            if p < q:
                sums[side] += between(p, q)
    return sums


def _both(first: arb, second: arb) -> arb:
    """What is in two enclosures of one number."""
    if not (first.is_finite() and second.is_finite()):
        return first if first.is_finite() else second
    return first.intersection(second)


def _scaled_erfc(x: arb_series) -> arb_series:
    """exp(x**2) erfc(x), which falls, with a derivative that rises: both are enclosed by their ends."""
    ends = [arb(x[0].lower().mid()), arb(x[0].upper().mid())]
    values = [(v * v).exp() * v.erfc() for v in ends]
    slopes = [2 * v * value - 2 / arb.pi().sqrt() for v, value in zip(ends, values, strict=True)]
    return arb_series([values[0].union(values[1]), slopes[0].union(slopes[1]) * x[1]], 2)


def _away(law: Law, cells: Cells) -> Fraction:
    """The distance of the null from the cells."""
    null = getattr(law.family, "null", Fraction(0))
    ends = [(law.z(lo), law.z(hi)) for lo, hi in cells]
    if any(lo < null < hi for lo, hi in ends):
        return Fraction(0)
    return min(Fraction(abs(z - null)) for pair in ends for z in pair if not isinstance(z, float))
