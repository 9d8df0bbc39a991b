"""The exact t law on the line: the variance is estimated from data that the contrast does not use.

Sigma = sigma**2 Sigma0, T = eta' x, c = eta' Sigma0 eta and nu s**2 / sigma**2 ~ chi2(nu), independent of x.
Given the nuisance along the line and q = (T - null)**2 / c + nu s**2, the density of T is proportional to
(q - (t - null)**2 / c)**(nu / 2 - 1): a symmetric beta law on |t - null| <= sqrt(c q), without sigma. Without
a selection its p-value is that of Student's t test.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb
from scipy.special import betaincinv, betaln

from inference.laws.beta import log_beta_tails
from inference.laws.law import Floats, Law, ball, ratio_float, sqrt_float
from inference.laws.p_value import Alternative
from symbolic.errors import OptionError
from verifier.cells import End

__all__ = ["StudentLaw"]

NEGLIGIBLE = 1e-24
"""Null mass of what is looked at last."""


class StudentLaw(Law):
    """The law of T given q.

    Parameters
    ----------
    stat, scale, null : Fraction
        As of a normal law.
    variance : Fraction
        The estimated variance of the statistic, s**2 c.
    degrees_of_freedom : Fraction
        nu, of the estimate.
    alternative : str
        "two-sided" (equal-tailed), "less" or "greater".
    """

    family = "t"

    def __init__(
        self,
        stat: Fraction,
        variance: Fraction,
        scale: Fraction,
        null: Fraction,
        alternative: Alternative,
        degrees_of_freedom: Fraction,
    ) -> None:
        super().__init__(stat, scale, alternative)
        self.variance, self.null, self.degrees_of_freedom = variance, null, degrees_of_freedom
        self.square = (stat - null) ** 2 + degrees_of_freedom * variance
        """c q, whose root is half the width of the support."""
        self.sd = sqrt_float(variance)
        radius = sqrt_float(self.square)
        try:
            self.at = ratio_float(stat - null, radius)
            self.nu = float(degrees_of_freedom)
        except OverflowError:
            raise OptionError("stat is too many standard deviations away from null_value.") from None
        self.step = ratio_float(scale, radius)

    def spec(self) -> dict[str, Any]:
        return {"family": self.family, "null_value": str(self.null), "alternative": self.alternative}

    @property
    def reach(self) -> float:
        far = float(np.sqrt(1 - betaincinv(self.nu / 2, 0.5, NEGLIGIBLE)))
        return (far + abs(self.at)) / self.step

    @property
    def support(self) -> tuple[End, End]:
        root = Fraction(1 + 2**-40) * Fraction(sqrt_float(self.square))
        return tuple((self.null + side * root - self.stat) / self.scale for side in (-1, 1))  # type: ignore[return-value]

    def tail(self, z: Fraction) -> tuple[bool, arb]:
        away = z - self.null
        rest = 1 - away**2 / self.square
        if rest <= 0:
            return away > 0, arb(0)
        half = arb(1) / 2
        return away >= 0, ball(rest).beta_lower(ball(self.degrees_of_freedom) / 2, half, regularized=True) / 2

    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        size = np.minimum(np.abs(u), 1.0)
        near, _ = log_beta_tails((1 - size) * (1 + size), self.nu / 2, 0.5)
        near = near - np.log(2)
        other = np.log1p(-np.exp(near))
        return np.where(u < 0, near, other), np.where(u < 0, other, near)

    def log_density(self, u: Floats) -> Floats:
        inside = np.abs(u) < 1
        rest = np.where(inside, (1 - u) * (1 + u), 1.0)
        return np.where(inside, (self.nu / 2 - 1) * np.log(rest) - betaln(self.nu / 2, 0.5), -np.inf)
