"""Bounds of p from the masses left and right of what was observed, whatever the gaps hold.

Gaps are completed in the worst way (Shiraishi et al., 2023, bound the p-value of a partly searched line so).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from flint import arb

from inference.outward import GREATEST_POWER, decimal_down, decimal_up, float_down, float_up, lower, upper

__all__ = [
    "ALTERNATIVES",
    "NOTHING",
    "Alternative",
    "Decision",
    "Masses",
    "PValue",
    "enclosure",
    "rounded",
    "shares",
]

Alternative = Literal["two-sided", "less", "greater"]
Decision = Literal["reject", "accept", "undecided"]
ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "less", "greater")


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

    def decision(self, level: Fraction) -> Decision:
        """What is proved about a test at a level, whatever the gaps hold."""
        if Fraction(self.decimals["sup_p"]) <= level:
            return "reject"
        return "accept" if Fraction(self.decimals["inf_p"]) > level else "undecided"


NOTHING = PValue(
    0.0, 1.0, -np.inf, 0.0, {"inf_p": "0", "sup_p": "1", "log_inf_p": "-inf", "log_sup_p": "0"}, 1.0
)
"""What is known of p when nothing is certified inside."""


@dataclass(frozen=True)
class Masses:
    """Balls of the null mass certified inside and undecided, at most and beyond what was observed."""

    left: arb
    right: arb
    gap_left: arb
    gap_right: arb


def shares(m: Masses) -> tuple[arb, arb, arb, arb]:
    """(F_lo, F_hi, G_lo, G_hi): the least and greatest P(z <= z_obs), and of the other tail without
    cancellation, over all completions of the gaps."""
    low, high = m.left + m.right + m.gap_right, m.left + m.gap_left + m.right
    return m.left / low, (m.left + m.gap_left) / high, m.right / high, (m.right + m.gap_right) / low


def enclosure(alternative: Alternative, m: Masses) -> tuple[arb, arb]:
    """Lower and upper end (balls of radius 0) of the p-values that completions of the gaps can give."""
    f_lo, f_hi, g_lo, g_hi = shares(m)
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


def rounded(low: arb, high: arb, gap_share: arb) -> PValue:
    """Bounds of p as floats, logarithms and decimals, all rounded outward."""
    low = low.min(arb(1))
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
    return PValue(
        max(0.0, float_down(low)) if positive else 0.0,
        min(1.0, float_up(high)),
        float_down(log_low) if positive else -np.inf,
        min(0.0, float_up(log_high)),
        decimals,
        min(1.0, max(0.0, float_up(gap_share))),
    )
