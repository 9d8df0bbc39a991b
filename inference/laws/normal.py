"""The normal law: the variance is known."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb
from scipy.special import log_ndtr

from inference.laws.law import Floats, Law, ball, ratio_float, sqrt_float
from inference.laws.p_value import Alternative
from symbolic.errors import OptionError

__all__ = ["NormalLaw"]

REACH = 10.0
"""Standard deviations beyond the observed value that are looked at first, as in si4onnx."""


class NormalLaw(Law):
    """N(null, variance).

    Parameters
    ----------
    stat, variance, scale, null : Fraction
        Exact parameters; the variance is that of the statistic.
    alternative : str
        "two-sided" (equal-tailed), "less" or "greater".
    """

    family = "normal"

    def __init__(
        self, stat: Fraction, variance: Fraction, scale: Fraction, null: Fraction, alternative: Alternative
    ) -> None:
        super().__init__(stat, scale, alternative)
        self.variance, self.null = variance, null
        self.sd = sqrt_float(variance)
        try:
            self.at = ratio_float(stat - null, self.sd)
        except OverflowError:
            raise OptionError("stat is too many standard deviations away from null_value.") from None
        self.step = ratio_float(scale, self.sd)

    def spec(self) -> dict[str, Any]:
        return {"family": self.family, "null_value": str(self.null), "alternative": self.alternative}

    @property
    def reach(self) -> float:
        return (REACH + abs(self.at)) / self.step

    def tail(self, z: Fraction) -> tuple[bool, arb]:
        away = z - self.null
        return away >= 0, (ball(abs(away)) / (2 * self.ball_variance()).sqrt()).erfc() / 2

    def ball_variance(self) -> arb:
        """The variance with the bits of the context."""
        return ball(self.variance)

    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        return log_ndtr(u), log_ndtr(-u)

    def log_density(self, u: Floats) -> Floats:
        return np.asarray(-u * u / 2 - 0.5 * np.log(2 * np.pi))
