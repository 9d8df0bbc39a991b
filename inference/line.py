"""The line of inputs that the test statistic moves along, in exact rationals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from inference.noise import Noise
from symbolic.errors import NoHypothesisError, NoiseError

__all__ = ["ExactLine", "line_of"]


@dataclass(frozen=True)
class ExactLine:
    """x(z) = x_obs + b (z - z_obs), also as x(t) = x_obs + beta t with z = z_obs + scale t.

    Attributes
    ----------
    observed : tuple of Fraction
        x_obs.
    eta : tuple of Fraction
        The contrast.
    stat : Fraction
        z_obs = eta' x_obs, in the units of the input.
    variance : Fraction
        eta' Sigma eta.
    scale : Fraction
        Units of z per unit of t, about one standard deviation; chosen so that ``beta`` consists of small
        dyadic numbers where possible, which makes evaluation at dyadic t exact.
    beta : tuple of Fraction
        Direction per unit of t, scale Sigma eta / variance.
    """

    observed: tuple[Fraction, ...]
    eta: tuple[Fraction, ...]
    stat: Fraction
    variance: Fraction
    scale: Fraction
    beta: tuple[Fraction, ...]

    def z(self, t: Fraction | float) -> Fraction | float:
        """The value of the statistic at t (infinite ends stay infinite)."""
        return t if isinstance(t, float) else self.at(t)

    def at(self, t: Fraction) -> Fraction:
        """The same for a finite t."""
        return self.stat + self.scale * t


def line_of(observed: Sequence[Fraction], eta: Sequence[Fraction], noise: Noise) -> ExactLine:
    """Build the line.

    Parameters
    ----------
    observed : sequence of Fraction
        The noise vector as observed, n numbers.
    eta : sequence of Fraction
        The contrast, n numbers.
    noise : Noise
        Sigma.

    Raises
    ------
    NoHypothesisError
        If the contrast is zero.
    NoiseError
        If eta' Sigma eta is not positive.
    """
    if not any(eta):
        raise NoHypothesisError("the contrast is zero: there is nothing to compare.")
    moved = noise.times(eta)
    variance = _dot(moved, eta)
    if variance <= 0:
        raise NoiseError("the variance of the test statistic is not positive; check the covariance.")
    common = lcm(*{m.denominator for m in moved})
    whole = [m.numerator * (common // m.denominator) for m in moved]
    divisor = gcd(*whole)
    # beta = 2**k whole / divisor belongs to scale = 2**k common variance / divisor, about sqrt(variance)
    unit = common * variance / divisor
    square = unit * unit / variance
    k = -((square.numerator.bit_length() - square.denominator.bit_length()) // 2)
    power = Fraction(2) ** k
    steps = {w: w // divisor * power for w in set(whole)}
    beta = tuple(steps[w] for w in whole)
    return ExactLine(tuple(observed), tuple(eta), _dot(observed, eta), variance, unit * power, beta)


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    """Exact inner product over common denominators (one reduction at the end)."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x.numerator and y.numerator]
    if not pairs:
        return Fraction(0)
    da, db = lcm(*{x.denominator for x, _ in pairs}), lcm(*{y.denominator for _, y in pairs})
    total = sum(x.numerator * (da // x.denominator) * (y.numerator * (db // y.denominator)) for x, y in pairs)
    return Fraction(total, da * db)
