"""Logarithms of tails in float64 that do not underflow: incomplete beta and gamma functions."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincc, betaln, gammainc, gammaincc, gammaln, hyp2f1

from inference.laws.law import Floats

__all__ = ["log_beta_tails", "log_gamma_tails"]

SMALL = 1e-280
"""Below it SciPy's functions are near the end of their range."""


def log_beta_tails(v: Floats, a: float, b: float) -> tuple[Floats, Floats]:
    """Logarithms of I_v(a, b) and of 1 - I_v(a, b), v in [0, 1], to about ten digits.

    References
    ----------
    DLMF 8.17.8 where the function is small.
    """
    v = np.clip(np.asarray(v, dtype=np.float64), 0.0, 1.0)
    with np.errstate(all="ignore"):
        found = []
        for x, p, q, value in ((v, a, b, betainc(a, b, v)), (1 - v, b, a, betaincc(a, b, v))):
            front = p * np.log(x) + q * np.log1p(-x) - np.log(p) - betaln(p, q)
            small = value < SMALL
            series = np.where(small, hyp2f1(p + q, 1.0, p + 1, np.where(small, x, 0.0)), 1.0)
            found.append(np.where(small, np.where(x > 0, front + np.log(series), -np.inf), np.log(value)))
    return found[0], found[1]


def log_gamma_tails(x: Floats, a: float) -> tuple[Floats, Floats]:
    """Logarithms of P(a, x) and Q(a, x), x >= 0, to about ten digits (fewer below 1e-280).

    References
    ----------
    DLMF 8.11.4 and 8.11.2, the first terms as of a geometric series.
    """
    x = np.asarray(x, dtype=np.float64)
    with np.errstate(all="ignore"):
        front = a * np.log(x) - x - gammaln(a)
        low, high = gammainc(a, x), gammaincc(a, x)
        below = front - np.log(a) - np.log1p(-np.minimum(x / (a + 1), 0.999))
        above = front - np.log(x) - np.log1p(-np.minimum((a - 1) / x, 0.999))
        return (
            np.where(x > 0, np.where(low < SMALL, below, np.log(low)), -np.inf),
            np.where(np.isinf(x), -np.inf, np.where(high < SMALL, above, np.log(high))),
        )
