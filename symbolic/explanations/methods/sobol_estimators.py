"""Estimators of total-order Sobol indices, as graphs.

a are the scores at n points, (1, n, N), and c those at the same points with one coordinate drawn again,
(d, n, N); means are over n. Estimators take a and c to (d, N).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from symbolic.explanations.graph import Tensor

__all__ = ["ESTIMATORS", "Estimator"]


@dataclass(frozen=True)
class Estimator:
    """An index is a numerator over a denominator.

    Attributes
    ----------
    numerator, denominator : callable
        Of a and c.
    shared : bool
        The denominator is the same for all coordinates: it does not change their order.
    source : str
    """

    numerator: Callable[[Tensor, Tensor], Tensor]
    denominator: Callable[[Tensor, Tensor], Tensor]
    shared: bool
    source: str

    def index(self, a: Tensor, c: Tensor, normalised: bool) -> Tensor:
        """The index of every coordinate, or its numerator; where nothing varies, the denominator is 1."""
        above = self.numerator(a, c)
        if not normalised:
            return above
        below = self.denominator(a, c)
        return above / a.graph.where(below > 0.0, below, 1.0, like=below)


def _mean(x: Tensor, keep: bool = False) -> Tensor:
    return x.graph.sum(x, [1], keep=keep) / float(x.length(1))


def _centred(x: Tensor) -> Tensor:
    return x - _mean(x, keep=True)


def _variance(a: Tensor, c: Tensor) -> Tensor:
    """Of the scores at the n points, unbiased."""
    away = _centred(a)
    return a.graph.sum(away * away, [1], keep=False) / float(a.length(1) - 1)


def _jansen(a: Tensor, c: Tensor) -> Tensor:
    """mean (a - c)^2 / 2"""
    away = c - a
    return _mean(away * away) / 2.0


def _homma(a: Tensor, c: Tensor) -> Tensor:
    """variance - mean ac + (mean a)^2, where the large part of both means has been taken away."""
    middle = _mean(a, keep=True)
    rest = c - middle
    return _variance(a, c) - _mean((a - middle) * rest) - _mean(middle * rest)


def _pooled(a: Tensor, c: Tensor) -> Tensor:
    """mean (a^2 + c^2) / 2 - m^2, where m is the mean of a and c together."""
    middle = (_mean(a, keep=True) + _mean(c, keep=True)) / 2.0
    one, two = a - middle, c - middle
    return _mean(one * one + two * two) / 2.0


def _spread(a: Tensor, c: Tensor) -> Tensor:
    """The product of both standard deviations."""
    one, two = _centred(a), _centred(c)
    return a.graph.same("Sqrt", _mean(one * one) * _mean(two * two))


def _glen(a: Tensor, c: Tensor) -> Tensor:
    """The product of both standard deviations, less the covariance."""
    return _spread(a, c) - _mean(_centred(a) * _centred(c))


ESTIMATORS = {
    "jansen": Estimator(_jansen, _variance, True, "Jansen, 1999"),
    "homma": Estimator(_homma, _variance, True, "Homma and Saltelli, 1996"),
    "janon": Estimator(_jansen, _pooled, False, "Janon, Klein, Lagnoux, Nodet and Prieur, 2014"),
    "glen": Estimator(_glen, _spread, False, "Glen and Isaacs, 2012"),
    "saltelli": Estimator(_homma, _variance, True, "Saltelli et al., 2008"),
}
"""Janon's numerator, its denominator less (mean ac - m^2), is Jansen's; Saltelli's index is Homma's."""
