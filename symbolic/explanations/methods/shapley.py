"""Shapley values of regions: over all coalitions, or by weighted least squares on some."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.gradients import LINEAR
from symbolic.explanations.methods.perturbation import from_coalitions, require_rows
from symbolic.explanations.option_checks import require_whole
from symbolic.explanations.regions import Division, Regions

__all__ = ["ExactShapley", "KernelShap", "all_coalitions"]

MOST_REGIONS = 12
"""Of exact Shapley values: the network runs on 2^12 coalitions."""


@named("shapley.exact", LINEAR, "Shapley, 1953")
@dataclass(frozen=True, eq=False)
class ExactShapley(Method):
    """Shapley values of at most 12 regions over all coalitions; they sum to f(x) - f(baseline).

    Every place has the value of its region.

    Parameters
    ----------
    regions : int, sequence of int, or array of int
        The players: cells along the spatial axes, or labels of the places.
    baseline : float or array
        What places hold that are not in a coalition: one number, or an array in the shape of one input.
    """

    regions: Division = 3
    baseline: float | ArrayLike = 0.0

    def attribution(self, task: Task) -> Tensor:
        regions = Regions(task.x, self.regions)
        count = regions.count
        if count > MOST_REGIONS:
            raise OptionError(
                f"exact Shapley values of {count} regions need 2^{count} runs of the network: take at most "
                f"{MOST_REGIONS} regions, or kernel-shap."
            )
        inside = all_coalitions(count)
        size = inside.sum(axis=1).astype(int)
        shares = np.array(
            [1 / (count * comb(count - 1, k)) for k in range(count)]
        )  # k others were there before
        joined, missing = shares[np.maximum(size - 1, 0)], shares[np.minimum(size, count - 1)]
        matrix = np.where(inside.T > 0, joined, -missing)
        return from_coalitions(task, regions, inside, matrix, self.baseline)


@named("kernel-shap", LINEAR, "Lundberg and Lee, 2017; paired as Covert and Lee, 2021")
@dataclass(frozen=True, eq=False)
class KernelShap(Method):
    """Shapley values of regions by weighted least squares; they sum to f(x) - f(baseline) in any case.

    All coalitions are taken where `samples` allows it, and then the values are exact. Otherwise coalitions
    are drawn from the Shapley kernel, each with its complement, once and for all.

    Parameters
    ----------
    regions : int, sequence of int, or array of int
        The players: cells along the spatial axes, or labels of the places.
    samples : int
        Coalitions, complements included; those drawn twice run once.
    seed : int
    baseline : float or array
        What places hold that are not in a coalition: one number, or an array in the shape of one input.
    """

    regions: Division = 8
    samples: int = 1024
    seed: int = 0
    baseline: float | ArrayLike = 0.0

    def __post_init__(self) -> None:
        require_whole("samples", self.samples, least=2)

    def attribution(self, task: Task) -> Tensor:
        regions = Regions(task.x, self.regions)
        require_rows(min(self.samples, 2**regions.count), "take fewer samples")
        inside, weights = self.drawn(regions.count)
        return from_coalitions(task, regions, inside, _least_squares(inside, weights), self.baseline)

    def drawn(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coalitions, (S, regions), the empty one first and the whole one last, and weights of the others."""
        sizes = np.arange(1, count)
        if 2**count <= self.samples:
            inside = all_coalitions(count)
            order = np.argsort(inside.sum(axis=1), kind="stable")
            inside = inside[order]
            kernel = [0.0, *((count - 1) / (comb(count, k) * k * (count - k)) for k in map(int, sizes))]
            return inside, np.array(kernel)[inside[1:-1].sum(axis=1).astype(int)]
        rng = np.random.default_rng(self.seed)
        mass = 1 / (sizes * (count - sizes))
        drawn = rng.choice(sizes, self.samples // 2, p=mass / mass.sum())
        ranks = rng.random((len(drawn), count)).argsort(axis=1).argsort(axis=1)
        half = ranks < drawn[:, None]
        inner, times = np.unique(np.concatenate([half, ~half]), axis=0, return_counts=True)
        inside = np.concatenate([np.zeros((1, count)), inner, np.ones((1, count))])
        return inside, times.astype(np.float64)


def all_coalitions(count: int) -> NDArray[np.float64]:
    """(2^count, count): the bits of 0, 1, 2, ..."""
    return ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(np.float64)


def _least_squares(inside: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix that takes scores y to the phi with 1'phi = y[-1] - y[0] that fits the others best.

    phi = (y[-1] - y[0]) / d + Q t, where the columns of Q are orthonormal and sum to 0, leaves t free.
    """
    rows, count = inside.shape
    made = np.zeros((count, rows))
    made[:, [0, -1]] = [-1 / count, 1 / count]
    inner = inside[1:-1]
    if count == 1:
        return made
    free = np.linalg.svd(np.ones((1, count)))[2][1:].T
    roots = np.sqrt(weights / weights.max(initial=1.0))[:, None]
    system = roots * inner @ free
    if np.linalg.matrix_rank(system) < count - 1:
        raise OptionError(f"the coalitions drawn do not determine {count} regions: take more samples.")
    fitted = free @ np.linalg.pinv(system) * roots.T  # to y - y[0] - (share of the regions) (y[-1] - y[0])
    share = inner.mean(axis=1)
    made[:, 1:-1] = fitted
    made[:, 0] -= fitted @ (1 - share)
    made[:, -1] -= fitted @ share
    return made
