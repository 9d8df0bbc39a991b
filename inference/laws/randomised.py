"""The normal law after a randomised selection: what was selected was x + omega, what is tested is x.

omega ~ N(0, tau**2 Sigma), independent of x. The coordinate of the line of x + omega is W = eta'(x + omega).
Given the nuisance, T = eta' x and W are bivariate normal. T given that W lies in the truncation set has
P(T <= t) = E[h(W) | W in the set], h(w) = P(T <= t | W = w) (Tian and Taylor, 2018): masses are integrals.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import acb, arb
from scipy.special import log_ndtr

from inference.laws.law import Floats, Law, Runs, ball, ratio_float, sqrt_float
from inference.laws.normal import REACH
from inference.laws.p_value import Alternative
from verifier.cells import End

__all__ = ["RandomisedLaw"]

FAR = 26
"""Standard deviations beyond which an integral is only bounded: there is less than 2**-480 of the mass."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)


class RandomisedLaw(Law):
    """T = eta' x given the selection at x + omega.

    Parameters
    ----------
    stat : Fraction
        W = eta'(x + omega), at t = 0.
    tested : Fraction
        T = eta' x.
    variance : Fraction
        Of T.
    factor : Fraction
        tau**2.
    scale, null, alternative
        As of a normal law.
    """

    family = "randomised-normal"

    def __init__(
        self,
        stat: Fraction,
        tested: Fraction,
        variance: Fraction,
        factor: Fraction,
        scale: Fraction,
        null: Fraction,
        alternative: Alternative,
    ) -> None:
        super().__init__(stat, scale, alternative)
        self.tested, self.variance, self.factor, self.null = tested, variance, factor, null
        self.sd = sqrt_float(variance)
        self.whole = variance * (1 + factor)
        """The variance of W."""
        root = sqrt_float(self.whole)
        self.at, self.step = ratio_float(stat - null, root), ratio_float(scale, root)
        # h(w) = Phi(high - slope u), u = (w - null) / root
        self.slope = sqrt_float(1 / factor)
        self.high = ratio_float(tested - null, self.sd) * sqrt_float(1 + 1 / factor)

    def spec(self) -> dict[str, Any]:
        return {"family": self.family, "null_value": str(self.null), "alternative": self.alternative}

    @property
    def reach(self) -> float:
        return (REACH + abs(self.at)) / self.step

    def tail(self, z: Fraction) -> tuple[bool, arb]:
        away = z - self.null
        return away >= 0, (ball(abs(away)) / (2 * ball(self.whole)).sqrt()).erfc() / 2

    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        return log_ndtr(u), log_ndtr(-u)

    def log_density(self, u: Floats) -> Floats:
        return np.asarray(-u * u / 2 - 0.5 * np.log(2 * np.pi))

    def naive_log_p(self) -> float:
        """Of T, as if nothing had been selected."""
        low, high = (
            float(log_ndtr(side * ratio_float(self.tested - self.null, self.sd))) for side in (1, -1)
        )
        if self.alternative == "two-sided":
            return min(0.0, float(np.log(2.0)) + min(low, high))
        return low if self.alternative == "less" else high

    def log_split(self, lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
        edge = self.high / self.slope  # where h falls
        with np.errstate(all="ignore"):
            first, last = min(edge, 0.0, self.at) - 12, max(edge, 0.0, self.at) + 12
            a = np.clip(self.at + self.step * lo, first, last)
            b = np.clip(self.at + self.step * hi, first, last)
            parts: list[list[Floats]] = [[], []]
            for p, q in (
                (np.minimum(a, edge), np.minimum(b, edge)),
                (np.maximum(a, edge), np.maximum(b, edge)),
            ):
                width = (q - p) / 2
                u = (p + q)[:, None] / 2 + width[:, None] * NODES
                density = self.log_density(u) + np.log(WEIGHTS) + np.log(width)[:, None]
                for side, found in ((1, parts[0]), (-1, parts[1])):
                    logs = density + log_ndtr(side * (self.high - self.slope * u))
                    found.append(np.where(q > p, np.logaddexp.reduce(logs, axis=1), -np.inf))
        return np.logaddexp(*parts[0]), np.logaddexp(*parts[1])

    def split(self, runs: Runs) -> tuple[arb, arb]:
        root = ball(self.whole).sqrt()
        slope = 1 / ball(self.factor).sqrt()
        high = ball(self.tested - self.null) / ball(self.variance).sqrt() * (1 + 1 / ball(self.factor)).sqrt()
        edge = int(float(abs(self.high) / self.slope)) + 1
        far = arb(max(edge, int(abs(self.at)) + 1) + FAR)

        def u(t: End) -> arb:
            if isinstance(t, float):
                return far if t > 0 else -far
            return ball(self.stat + self.scale * t - self.null) / root

        left, right = arb(0), arb(0)
        for lo, hi in runs:
            a, b = u(lo), u(hi)
            for ray in (lo, hi):
                if isinstance(ray, float):  # what is beyond `far` speaks for one of the two, or both
                    beyond = (far / arb(2).sqrt()).erfc() / 2
                    left, right = left + beyond.union(arb(0)), right + beyond.union(arb(0))
            if lo == -np.inf and not b > -far or hi == np.inf and not a < far:
                continue
            left += _integral(slope, high, 1, a, b)
            right += _integral(slope, high, -1, a, b)
        return left, right


def _integral(slope: arb, high: arb, side: int, a: arb, b: arb) -> arb:
    """The integral of Phi(side (high - slope u)) phi(u) from a to b, at least 0."""
    root = arb(2).sqrt()
    norm = 1 / (2 * (2 * arb.pi()).sqrt())

    def integrand(u: acb, _: bool) -> acb:
        return (side * (slope * u - high) / root).erfc() * (-u * u / 2).exp() * norm

    # entire, so that nothing need be verified; relative accuracy is asked for, however small the integral
    found: arb = acb.integral(integrand, acb(a), acb(b), abs_tol=arb(2) ** -60_000, use_heap=True).real
    return found.max(arb(0))
