"""The line of inputs that the test statistic moves along, in exact rationals.

One contrast: x(z) = x_obs + b (z - z_obs), along which eta' x = z changes and nothing that is independent of
it. Several contrasts P x: x(s) = x_obs + (s - 1) K x_obs, along which the length of P x changes and neither
its direction nor anything that is independent of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from flint import fmpq, fmpq_mat

from inference.noise import Noise
from symbolic.errors import NoHypothesisError, NoiseError

__all__ = ["ExactLine", "line_of", "line_of_length"]


@dataclass(frozen=True)
class ExactLine:
    """x(t) = x_obs + beta t with z = z_obs + scale t; of several contrasts z is s, and z_obs 1.

    Attributes
    ----------
    observed : tuple of Fraction
        x_obs.
    eta : tuple of Fraction
        The contrast, or the rows of several one after the other.
    stat : Fraction
        z_obs = eta' x_obs, in the units of the input; 1 of several contrasts.
    variance : Fraction
        eta' Sigma eta; of several contrasts 1 / T**2.
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
    rank: int = 1
    """Number of contrasts."""

    @property
    def square(self) -> Fraction:
        """T**2 = (P x)' (P Sigma P')**-1 P x, of several contrasts."""
        return 1 / self.variance

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
    per_unit = [m / variance for m in moved]
    scale, beta = _scaled(per_unit, variance)
    return ExactLine(tuple(observed), tuple(eta), _dot(observed, eta), variance, scale, beta)


def line_of_length(
    observed: Sequence[Fraction], rows: Sequence[Sequence[Fraction]], noise: Noise
) -> ExactLine:
    """Build the line of several contrasts.

    Parameters
    ----------
    observed : sequence of Fraction
        The noise vector as observed, n numbers.
    rows : sequence of sequences of Fraction
        k contrasts of n numbers each.
    noise : Noise
        Sigma.

    Raises
    ------
    NoHypothesisError
        If they are linearly dependent, or all zero at the observed input.
    """
    moved = [noise.times(row) for row in rows]
    values = [_dot(observed, row) for row in rows]
    square = fmpq_mat([[_fmpq(_dot(m, row)) for row in rows] for m in moved])
    try:
        weights = square.solve(fmpq_mat([[_fmpq(v)] for v in values]))
    except ZeroDivisionError:
        raise NoHypothesisError(
            "the contrasts are linearly dependent: drop those that follow from others."
        ) from None
    solved = [Fraction(int(weights[i, 0].p), int(weights[i, 0].q)) for i in range(len(rows))]
    length = _dot(values, solved)
    if length <= 0:
        raise NoHypothesisError("all the contrasts are zero at this input: there is no direction to test.")
    turned = [_dot(column, solved) for column in zip(*moved, strict=True)]
    scale, beta = _scaled(turned, 1 / length)
    eta = tuple(v for row in rows for v in row)
    return ExactLine(tuple(observed), eta, Fraction(1), 1 / length, scale, beta, len(rows))


def _scaled(direction: Sequence[Fraction], variance: Fraction) -> tuple[Fraction, tuple[Fraction, ...]]:
    """(scale, beta = scale direction): the scale is about sqrt(variance), and beta of small dyadic numbers
    where it can be."""
    common = lcm(*{d.denominator for d in direction})
    whole = [d.numerator * (common // d.denominator) for d in direction]
    unit = Fraction(common, gcd(*whole))
    square = unit * unit / variance
    power = Fraction(2) ** -((square.numerator.bit_length() - square.denominator.bit_length()) // 2)
    steps = {w: Fraction(w, common) * unit * power for w in set(whole)}
    return unit * power, tuple(steps[w] for w in whole)


def _fmpq(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    """Exact inner product over common denominators (one reduction at the end)."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x.numerator and y.numerator]
    if not pairs:
        return Fraction(0)
    da, db = lcm(*{x.denominator for x, _ in pairs}), lcm(*{y.denominator for _, y in pairs})
    total = sum(x.numerator * (da // x.denominator) * (y.numerator * (db // y.denominator)) for x, y in pairs)
    return Fraction(total, da * db)
