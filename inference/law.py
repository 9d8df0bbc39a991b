"""The truncated normal law of the statistic: approximate masses for the search, proved bounds for the answer.

With s**2 = eta' Sigma eta the selective law of z is N(null, s**2) restricted to the truncation set. Undecided
cells are completed in the worst way on either side of the observed value (Shiraishi et al., 2023, bound the
p-value of a partly searched line in this way).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray
from scipy.special import log_ndtr

from inference.outward import GREATEST_POWER, decimal_down, decimal_up, float_down, float_up, lower, upper
from symbolic.errors import OptionError
from verifier.cells import Cell, End, joined

__all__ = ["ALTERNATIVES", "Alternative", "NormalLaw", "PValue"]

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "less", "greater"]
ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "less", "greater")
TINIEST = 1e-290
MOST_BITS = 1 << 15


@dataclass(frozen=True)
class PValue:
    """A proved enclosure of the selective p-value; everything is rounded outward.

    Attributes
    ----------
    inf_p, sup_p : float
        Bounds; inf_p is 0.0 only below 5e-324 or if nothing is certified.
    log_inf_p, log_sup_p : float
        Bounds of the natural logarithm.
    decimals : dict
        The four bounds as decimal strings, rounded outward at 17 digits, as the certificate holds them.
    gap_mass : float
        Upper bound of the share of gaps in (gaps + certified inside), under the null.
    """

    inf_p: float
    sup_p: float
    log_inf_p: float
    log_sup_p: float
    decimals: dict[str, str]
    gap_mass: float


class NormalLaw:
    """N(null, variance) along z = stat + scale t.

    Parameters
    ----------
    stat, variance, scale, null : Fraction
        Exact parameters.
    alternative : str
        "two-sided" (equal-tailed), "less" or "greater", with SciPy's meaning.
    """

    def __init__(
        self, stat: Fraction, variance: Fraction, scale: Fraction, null: Fraction, alternative: Alternative
    ) -> None:
        if alternative not in ALTERNATIVES:
            raise OptionError(f"alternative is {alternative!r}; choose one of {', '.join(ALTERNATIVES)}.")
        self.stat, self.variance, self.scale, self.null = stat, variance, scale, null
        self.alternative = alternative
        self.sd = sqrt_float(variance)
        try:
            self._at = ratio_float(stat - null, self.sd)
        except OverflowError:
            raise OptionError("null_value is too many standard deviations away from the statistic.") from None
        self._step = ratio_float(scale, self.sd)

    def log_mass(self, lo: Floats, hi: Floats) -> Floats:
        """Logarithm of the mass of intervals of t, to about ten digits (no bound)."""
        with np.errstate(all="ignore"):
            a, b = self._at + self._step * lo, self._at + self._step * hi
            flip = a > 0
            a, b = np.where(flip, -b, a), np.where(flip, -a, b)
            la, lb = log_ndtr(a), log_ndtr(b)
            wide = lb + np.log1p(-np.exp(np.minimum(la - lb, 0.0)))
            width = (hi - lo) * self._step
            middle = (a + b) / 2
            narrow = -middle * middle / 2 - 0.5 * np.log(2 * np.pi) + np.log(width)
            use_narrow = (width * (1 + np.abs(middle)) < 1e-4) & np.isfinite(middle)
            mass = np.where(use_narrow, narrow, wide)
        return np.where((hi > lo) & ~np.isnan(mass), mass, -np.inf)  # NaN: beyond the reach of doubles

    def bounds(self, left: float, right: float, gap_left: float, gap_right: float) -> tuple[float, float]:
        """Approximate enclosure of p from log-masses, for the search."""
        if left == -np.inf and right == -np.inf:
            return 0.0, 1.0
        top = max(left, right, gap_left, gap_right)
        m = [arb(0) if v == -np.inf else arb(v - top).exp() for v in (left, right, gap_left, gap_right)]
        low, high = _enclosure(self.alternative, m[0], m[1], m[2], m[3])
        if 0 < high < TINIEST:  # keep the proportion of bounds that doubles cannot hold
            return TINIEST * float((low / high).mid()), TINIEST
        return float(low.mid()), min(1.0, float(high.mid()))

    def p_value(self, cells: Sequence[Cell]) -> PValue:
        """Proved bounds of the selective p-value.

        Parameters
        ----------
        cells : sequence of Cell
            A covering of the line in t; z_obs is t = 0.

        Returns
        -------
        PValue
        """
        inside, gaps = joined(cells, "inside"), joined(cells, "gap")
        bits = 192
        saved = ctx.prec
        try:
            while True:
                ctx.prec = bits
                table = _Tails(self)
                left, right = table.split(inside)
                gap_left, gap_right = table.split(gaps)
                certain = left + right
                sharp = all(m.rel_accuracy_bits() > 80 for m in (left, right) if m != 0)
                if not inside or (certain > 0 and sharp) or bits >= MOST_BITS:
                    break
                bits *= 2
            if not (inside and certain > 0):
                nothing = {"inf_p": "0", "sup_p": "1", "log_inf_p": "-inf", "log_sup_p": "0"}
                return PValue(0.0, 1.0, -np.inf, 0.0, nothing, 1.0)
            low, high = _enclosure(self.alternative, left, right, gap_left, gap_right)
            return _rounded(low, high, gap_left + gap_right, certain)
        finally:
            ctx.prec = saved


def _rounded(low: arb, high: arb, gaps: arb, certain: arb) -> PValue:
    if not high < 1:
        high = arb(1)
    if not high > 0:  # the observed value is an end of the set: say "tiny" rather than "never"
        high = upper(high).max(arb(10) ** -400)
    smallest = arb(10) ** -GREATEST_POWER
    if not high > smallest:
        high = smallest
    positive = low > 0
    log_low = low.log() if positive else arb(0)
    log_high = high.log()
    decimals = {
        "inf_p": decimal_down(low) if positive else "0",
        "sup_p": decimal_up(high),
        "log_inf_p": decimal_down(log_low) if positive else "-inf",
        "log_sup_p": decimal_up(log_high),
    }
    share = min(1.0, max(0.0, float_up(gaps / (gaps + certain))))
    return PValue(
        max(0.0, float_down(low)) if positive else 0.0,
        min(1.0, float_up(high)),
        float_down(log_low) if positive else -np.inf,
        min(0.0, float_up(log_high)),
        decimals,
        share,
    )


def _enclosure(
    alternative: Alternative, left: arb, right: arb, gap_left: arb, gap_right: arb
) -> tuple[arb, arb]:
    """Lower and upper end (balls of radius 0) of the p-values that completions of the gaps can give."""
    low, high = left + right + gap_right, left + gap_left + right
    f_lo, f_hi = left / low, (left + gap_left) / high  # P(z <= z_obs), least and greatest
    g_lo, g_hi = right / high, (right + gap_right) / low  # the other tail, without cancellation
    if alternative == "less":
        return lower(f_lo), upper(f_hi)
    if alternative == "greater":
        return lower(g_lo), upper(g_hi)
    inf_p = 2 * min(lower(f_lo), lower(g_lo))
    half = arb(1) / 2
    if lower(f_lo) <= half and upper(f_hi) >= half:
        return inf_p, arb(1)
    least = min(upper(f_lo), upper(g_hi))  # F = f_lo, 1 - F = g_hi
    most = min(upper(f_hi), upper(g_lo))  # F = f_hi, 1 - F = g_lo
    return inf_p, 2 * max(least, most)


class _Tails:
    """Masses of intervals from tails on the stable side, each end evaluated once."""

    def __init__(self, law: NormalLaw) -> None:
        self.law = law
        self.root = (2 * _ball(law.variance)).sqrt()
        self.known: dict[End, tuple[bool, arb]] = {}

    def tail(self, t: End) -> tuple[bool, arb]:
        """(z >= null, mass beyond z on that side)."""
        if t not in self.known:
            if isinstance(t, float):
                self.known[t] = (t > 0, arb(0))
            else:
                z = self.law.stat + self.law.scale * t - self.law.null
                self.known[t] = (z >= 0, (_ball(abs(z)) / self.root).erfc() / 2)
        return self.known[t]

    def mass(self, lo: End, hi: End) -> arb:
        """Mass of (lo, hi), at least 0."""
        (right_lo, a), (right_hi, b) = self.tail(lo), self.tail(hi)
        if right_lo:
            return a - b
        return b - a if not right_hi else 1 - a - b

    def split(self, runs: Iterable[tuple[End, End]]) -> tuple[arb, arb]:
        """Mass of a union of intervals left and right of the observed value."""
        zero = Fraction(0)
        left, right = arb(0), arb(0)
        for lo, hi in runs:
            if lo < 0:
                left += self.mass(lo, min(hi, zero))
            if hi > 0:
                right += self.mass(max(lo, zero), hi)
        return left, right


def _ball(x: Fraction) -> arb:
    return arb(x.numerator) / x.denominator


def sqrt_float(x: Fraction) -> float:
    """Square root of a positive rational of any size, to nearly full precision."""
    shift = (x.numerator.bit_length() - x.denominator.bit_length()) // 2
    return float(np.ldexp(float(x / Fraction(4) ** shift) ** 0.5, shift))


def ratio_float(x: Fraction, y: float) -> float:
    """x / y without intermediate overflow."""
    return float(x / Fraction(y))
