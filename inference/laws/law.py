"""What every truncated law has in common: approximate masses for the search, proved bounds for the answer.

A law is that of a statistic z under the null, before the truncation; along the line z = stat + scale t. A
family adds its standard variable u (affine in t), the logarithms of its tails and density at u in float64,
and its tail at a rational z as a ball.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from inference.laws.p_value import ALTERNATIVES, NOTHING, Alternative, Masses, PValue, enclosure, rounded
from symbolic.errors import OptionError
from verifier.cells import Cell, End, joined

__all__ = ["Floats", "Law", "Runs", "ball", "ratio_float", "sqrt_float"]

Floats = NDArray[np.float64]
Runs = Sequence[tuple[End, End]]
TINIEST = 1e-290
FIRST_BITS, MOST_BITS = 192, 1 << 15
SHARP = 80
"""Bits of a mass that suffice for bounds of p to 17 digits."""


class Law(ABC):
    """The law of z = stat + scale t under the null.

    Parameters
    ----------
    stat, scale : Fraction
        The line's coordinate.
    alternative : str
        "two-sided" (equal-tailed), "less" or "greater", with SciPy's meaning.
    """

    family: ClassVar[str]
    null: Fraction
    sd: float
    """Of the statistic, in the units of z; an estimate where the variance is one."""
    at: float
    """The standard variable u at t = 0."""
    step: float
    """And per unit of t."""

    def __init__(self, stat: Fraction, scale: Fraction, alternative: Alternative) -> None:
        if alternative not in ALTERNATIVES:
            raise OptionError(f"alternative is {alternative!r}; choose one of {', '.join(ALTERNATIVES)}.")
        self.stat, self.scale, self.alternative = stat, scale, alternative

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The certificate's "law" entry; numbers as exact strings."""

    @property
    def mode(self) -> float:
        """The u of the greatest density."""
        return 0.0

    @property
    @abstractmethod
    def reach(self) -> float:
        """How far from t = 0 the part of the line that matters extends."""

    @property
    def support(self) -> tuple[End, End]:
        """All t that the law gives mass to."""
        return -np.inf, np.inf

    @abstractmethod
    def tail(self, z: Fraction) -> tuple[bool, arb]:
        """One tail at z: (whether it is the upper one, its mass)."""

    @abstractmethod
    def log_tails(self, u: Floats) -> tuple[Floats, Floats]:
        """Logarithms of the lower and the upper tail, to about ten digits (no bound)."""

    @abstractmethod
    def log_density(self, u: Floats) -> Floats:
        """Logarithm of the density at u, likewise."""

    def naive_log_p(self) -> float:
        """Logarithm of the p-value that ignores the selection (a float64 approximation)."""
        lower_tail, upper_tail = (float(v[0]) for v in self.log_tails(np.array([self.at])))
        if self.alternative == "two-sided":
            return min(0.0, float(np.log(2.0)) + min(lower_tail, upper_tail))
        return lower_tail if self.alternative == "less" else upper_tail

    def log_mass(self, lo: Floats, hi: Floats) -> Floats:
        """Logarithm of the mass of intervals of t, to about ten digits (no bound)."""
        with np.errstate(all="ignore"):
            a, b = self.at + self.step * lo, self.at + self.step * hi
            (lower_a, upper_a), (lower_b, upper_b) = self.log_tails(a), self.log_tails(b)
            below = lower_b < upper_a  # the interval has less below its end than above its start
            near, far = np.where(below, lower_b, upper_a), np.where(below, lower_a, upper_b)
            wide = near + np.log1p(-np.exp(np.minimum(far - near, 0.0)))
            # a difference of tails that agree in many digits is worth less than the density in the middle
            width = (hi - lo) * self.step
            flat = (np.exp(far - near) > 1 - 1e-5) & np.isfinite(width)
            mass = np.where(flat, self.log_density((a + b) / 2) + np.log(width), wide)
        return np.where((hi > lo) & ~np.isnan(mass), mass, -np.inf)  # NaN: beyond the reach of doubles

    def log_split(self, lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
        """Logarithms of the masses of intervals that speak for "at most as large" and "larger"."""
        return self.log_mass(np.minimum(lo, 0), np.minimum(hi, 0)), self.log_mass(
            np.maximum(lo, 0), np.maximum(hi, 0)
        )

    def bounds(self, left: float, right: float, gap_left: float, gap_right: float) -> tuple[float, float]:
        """Approximate enclosure of p from log-masses, for the search."""
        if left == -np.inf and right == -np.inf:
            return 0.0, 1.0
        top = max(left, right, gap_left, gap_right)
        m = [arb(0) if v == -np.inf else arb(v - top).exp() for v in (left, right, gap_left, gap_right)]
        low, high = enclosure(self.alternative, Masses(*m))
        if 0 < high < TINIEST:  # keep the proportion of bounds that doubles cannot hold
            return TINIEST * float((low / high).mid()), TINIEST
        return float(low.mid()), min(1.0, float(high.mid()))

    def split(self, runs: Runs) -> tuple[arb, arb]:
        """Null mass of a union of intervals of t that speaks for "at most as large" and "larger", as balls of
        the precision of the context."""
        known: dict[End, tuple[bool, arb]] = {}

        def tail(t: End) -> tuple[bool, arb]:
            if t not in known:
                if isinstance(t, float):
                    known[t] = t > 0, arb(0)
                else:
                    known[t] = self.tail(self.stat + self.scale * t)
            return known[t]

        def mass(lo: End, hi: End) -> arb:
            (right_lo, a), (right_hi, b) = tail(lo), tail(hi)
            if right_lo:
                return a - b
            return b - a if not right_hi else 1 - a - b

        zero = Fraction(0)
        left, right = arb(0), arb(0)
        for lo, hi in runs:
            if lo < 0:
                left += mass(lo, min(hi, zero))
            if hi > 0:
                right += mass(max(lo, zero), hi)
        return left, right

    def counted(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        """The cells that the law is truncated to."""
        return cells

    def masses(self, cells: Sequence[Cell]) -> Masses | None:
        """Masses with enough bits; None if nothing is certified to have any."""
        cells = self.counted(cells)
        inside, gaps = joined(cells, "inside"), joined(cells, "gap")
        bits = FIRST_BITS
        while inside:
            ctx.prec = bits
            left, right = self.split(inside)
            sharp = all(m.rel_accuracy_bits() > SHARP for m in (left, right) if not m.is_zero())
            if (left + right > 0 and sharp) or bits >= MOST_BITS:
                if not left + right > 0:
                    return None
                return Masses(left, right, *self.split(gaps))
            bits *= 2
        return None

    def p_value(self, cells: Sequence[Cell]) -> PValue:
        """Proved bounds of the selective p-value.

        Parameters
        ----------
        cells : sequence of Cell
            A covering of the line in t; what was observed is t = 0.

        Returns
        -------
        PValue
        """
        saved = ctx.prec
        try:
            m = self.masses(cells)
            if m is None:
                return NOTHING
            gaps = m.gap_left + m.gap_right
            return rounded(*enclosure(self.alternative, m), gaps / (gaps + m.left + m.right))
        finally:
            ctx.prec = saved


def ball(x: Fraction) -> arb:
    """A rational as a ball of the context's precision."""
    return arb(x.numerator) / x.denominator


def sqrt_float(x: Fraction) -> float:
    """Square root of a positive rational of any size, to nearly full precision."""
    shift = (x.numerator.bit_length() - x.denominator.bit_length()) // 2
    return float(np.ldexp(float(x / Fraction(4) ** shift) ** 0.5, shift))


def ratio_float(x: Fraction, y: float) -> float:
    """x / y without intermediate overflow."""
    return float(x / Fraction(y))
