"""Laws of the length of several contrasts: chi with a known variance, F with an estimated one.

P x, k contrasts of rank k, under H0: P mu = 0. With T**2 = (P x)' (P Sigma P')**-1 P x and the part K x of
the input that P sees, x(s) = x + (s - 1) K x; given the rest and the direction, the density of s >= 0 is
proportional to s**(k - 1) exp(-s**2 T**2 / 2), and s = 1 was observed.

With Sigma = sigma**2 Sigma0 and s0**2 on nu degrees of freedom, q = T0**2 + nu s0**2 is conditioned on too:
the density of s is proportional to s**(k - 1) (q - s**2 T0**2)**(nu / 2 - 1), as of the root of a beta law.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx
from scipy.special import betaln, gammaln

from inference.laws.beta import log_beta_tails, log_gamma_tails
from inference.laws.law import Floats, Law, ball, ratio_float, sqrt_float
from inference.laws.p_value import Alternative
from symbolic.errors import NoHypothesisError, OptionError
from verifier.cells import End

__all__ = ["ChiLaw", "FisherLaw"]

REACH = 10.0
"""Standard deviations beyond what is observed or expected that are looked at first."""


class _LengthLaw(Law):
    """s >= 0 of the line x(s), the observed point being s = 1."""

    def __init__(self, square: Fraction, rank: int, scale: Fraction, alternative: Alternative) -> None:
        super().__init__(Fraction(1), scale, alternative)
        if alternative == "two-sided":
            raise OptionError('a test of several contrasts has the alternative "greater" (or "less").')
        if square <= 0:
            raise NoHypothesisError(
                "all the contrasts are zero at this input: there is no direction to test."
            )
        self.square, self.rank, self.null = square, rank, Fraction(0)
        self.sd = 1 / sqrt_float(square)

    @property
    def support(self) -> tuple[End, End]:
        return -1 / self.scale, np.inf


class ChiLaw(_LengthLaw):
    """The law of s, T s being chi with k degrees of freedom.

    Parameters
    ----------
    square : Fraction
        T**2.
    rank : int
        k.
    scale : Fraction
        Units of s per unit of t.
    alternative : "greater" or "less"
    """

    family = "chi"

    @property
    def mode(self) -> float:
        return float(np.sqrt(self.rank - 1))

    def __init__(self, square: Fraction, rank: int, scale: Fraction, alternative: Alternative) -> None:
        super().__init__(square, rank, scale, alternative)
        self.at: float = sqrt_float(square)
        self.step = ratio_float(scale * Fraction(self.at), 1.0)

    def spec(self) -> dict[str, Any]:
        return {"family": self.family, "null_value": "0", "alternative": self.alternative}

    @property
    def reach(self) -> float:
        return (self.at + float(np.sqrt(self.rank)) + REACH) / self.step

    def tail(self, z: Fraction) -> tuple[bool, arb]:
        if z <= 0:
            return False, arb(0)
        x = z * z * self.square / 2
        a = arb(self.rank) / 2
        if 2 * x < self.rank:
            return False, _lower_gamma(a, ball(x))
        return True, ball(x).gamma_upper(a, regularized=1)

    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        return log_gamma_tails(np.maximum(u, 0.0) ** 2 / 2, self.rank / 2)

    def log_density(self, u: Floats) -> Floats:
        k, inside = self.rank, u > 0
        v = np.where(inside, u, 1.0)
        front = (k / 2 - 1) * np.log(2) + gammaln(k / 2)
        return np.where(inside, (k - 1) * np.log(v) - v * v / 2 - front, -np.inf)


class FisherLaw(_LengthLaw):
    """The law of s given q, F = T**2 / k being as of an F test.

    Parameters
    ----------
    square : Fraction
        T**2 with the estimated covariance s0**2 Sigma0.
    rank : int
        k.
    scale : Fraction
        Units of s per unit of t.
    alternative : "greater" or "less"
    degrees_of_freedom : Fraction
        nu, of the estimate.
    """

    family = "f"

    @property
    def mode(self) -> float:
        # of u**(k - 1) (1 - u**2)**(nu / 2 - 1)
        k, nu = self.rank, self.nu
        return float(np.sqrt((k - 1) / (k + nu - 3))) if nu > 2 and k > 1 else float(nu <= 2)

    def __init__(
        self,
        square: Fraction,
        rank: int,
        scale: Fraction,
        alternative: Alternative,
        degrees_of_freedom: Fraction,
    ) -> None:
        super().__init__(square, rank, scale, alternative)
        self.degrees_of_freedom, self.nu = degrees_of_freedom, float(degrees_of_freedom)
        self.share = square / (square + degrees_of_freedom)
        """v at s = 1, v = s**2 T0**2 / q ~ Beta(k / 2, nu / 2)."""
        self.at = sqrt_float(self.share)
        self.step = ratio_float(scale * Fraction(self.at), 1.0)

    def spec(self) -> dict[str, Any]:
        return {"family": self.family, "null_value": "0", "alternative": self.alternative}

    @property
    def reach(self) -> float:
        return 1.0 / self.step

    @property
    def support(self) -> tuple[End, End]:
        root = Fraction(1 + 2**-40) / Fraction(self.at)
        return -1 / self.scale, (root - 1) / self.scale

    def tail(self, z: Fraction) -> tuple[bool, arb]:
        if z <= 0:
            return False, arb(0)
        v = z * z * self.share
        if v >= 1:
            return True, arb(0)
        a, b = arb(self.rank) / 2, ball(self.degrees_of_freedom) / 2
        if v * (self.rank + self.degrees_of_freedom) < self.rank:
            return False, ball(v).beta_lower(a, b, regularized=True)
        return True, ball(1 - v).beta_lower(b, a, regularized=True)

    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        return log_beta_tails(np.clip(u, 0.0, 1.0) ** 2, self.rank / 2, self.nu / 2)

    def log_density(self, u: Floats) -> Floats:
        k, inside = self.rank, (u > 0) & (u < 1)
        v = np.where(inside, u, 0.5)
        body = (k - 1) * np.log(v) + (self.nu / 2 - 1) * np.log((1 - v) * (1 + v))
        return np.where(inside, np.log(2) + body - betaln(k / 2, self.nu / 2), -np.inf)


def _lower_gamma(a: arb, x: arb) -> arb:
    """P(a, x) for 0 < x < a. All terms of the series are positive, and those left out less than geometric.

    Arb's own gamma_lower loses nearly all its bits there, however many it is given, once a is a few hundred.

    References
    ----------
    DLMF 8.11.4.
    """
    count, term, total = 0, arb(1), arb(1)
    while True:
        count += 1
        term = term * x / (a + count)
        total += term
        if count % 8:
            continue
        ratio = x / (a + count + 1)
        rest = term * ratio / (1 - ratio)
        if rest < total * arb(2) ** -ctx.prec:
            total += rest.union(arb(0))
            return (a * x.log() - x - (a + 1).lgamma()).exp() * total
