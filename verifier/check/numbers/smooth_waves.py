"""sin, cos and tan."""

from __future__ import annotations

from dataclasses import dataclass

from flint import arb, ctx

from verifier.check.numbers.smooth_branches import Ball, Branch, Function, whole

__all__ = ["COS", "SIN", "TAN"]

FARTHEST = 1 << 12  # the period is not looked for beyond 2**this


def _exponent(*values: arb) -> int:
    """An e with |v| < 2**e for all of them."""
    parts = [v.abs_upper().man_exp() for v in values]
    return max(int(mantissa).bit_length() + int(exponent) for mantissa, exponent in parts)


def _far(f: Ball) -> Ball:
    """`f`, evaluated with all the bits that its argument has before the point."""

    def evaluate(v: arb) -> arb:
        with ctx.extraprec(min(max(_exponent(v), 0), FARTHEST)):
            return f(v)

    return evaluate


@dataclass(frozen=True)
class Wave(Function):
    """sin (quarter 0) or cos (quarter 1): cuts at (k + quarter/2)*pi; the branches are concave, convex."""

    quarter: int = 0

    def limits(self, a: arb, b: arb) -> tuple[arb, arb] | None:
        """[-1, 1] for a range longer than half a period, or one too far out."""
        if b - a > 3 or _exponent(a, b) > FARTHEST:
            return arb(-1), arb(1)
        return None

    def on(self, a: arb, b: arb) -> tuple[list[arb], list[Branch]]:
        """Between cut k and cut k + 1 the function is concave if k + quarter is even."""
        with ctx.extraprec(max(_exponent(a, b), 0)):
            shift = arb(self.quarter) / 2
            k = whole(a / arb.pi() - shift)  # cut k is at most a, and cut k + 3 is beyond b
            cuts = [(k + j + shift) * arb.pi() for j in range(4)]
            first = sum(bool(cut < a) for cut in cuts)
            last = len(cuts) - sum(bool(cut > b) for cut in cuts)
        branches = [self.branches[(k + j - 1 + self.quarter) % 2] for j in range(5)]
        return cuts[first:last], branches[first : last + 1]


@dataclass(frozen=True)
class Tangent(Function):
    """tan: concave and convex around k*pi, undefined half way between these."""

    def on(self, a: arb, b: arb) -> tuple[list[arb], list[Branch]]:
        """The only cut that can lie between the two poles around [a, b]."""
        with ctx.extraprec(max(_exponent(a, b), 0)):
            cut = _pole_before(a) * arb.pi()
            below, above = bool(cut > b), bool(cut < a)
        if below or above:
            return [], [self.branches[above]]
        return [cut], list(self.branches)


def _pole_before(a: arb) -> int:
    """The k with (k - 1/2)*pi <= a < (k + 1/2)*pi, or one less where that is hard to tell."""
    return whole(a / arb.pi() + 0.5)


def _without_pole(a: arb, b: arb) -> bool:
    if _exponent(a, b) > FARTHEST:
        return False
    with ctx.extraprec(max(_exponent(a, b), 0)):
        k = _pole_before(a)
        return bool(a > (k - arb(0.5)) * arb.pi()) and bool(b < (k + arb(0.5)) * arb.pi())


def _secant_square(v: arb) -> arb:
    return 1 + v.tan() ** 2


def _minus_sin(v: arb) -> arb:
    return -v.sin()


def _two(f: Ball, slope: Ball) -> tuple[Branch, Branch]:
    return Branch(_far(f), _far(slope), -1), Branch(_far(f), _far(slope), 1)


SIN = Wave(_two(arb.sin, arb.cos))
COS = Wave(_two(arb.cos, _minus_sin), quarter=1)
TAN = Tangent(_two(arb.tan, _secant_square), defined=_without_pole)
