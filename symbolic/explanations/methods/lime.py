"""LIME: a linear model of the network around an input, on its regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.gradients import LINEAR
from symbolic.explanations.methods.perturbation import (
    from_coalitions,
    require_rows,
)
from symbolic.explanations.option_checks import require_number, require_whole
from symbolic.explanations.regions import Division, Regions

__all__ = ["Lime", "ridge"]


@named("lime", LINEAR, "Ribeiro, Singh and Guestrin, 2016")
@dataclass(frozen=True, eq=False)
class Lime(Method):
    """The coefficients of a ridge regression of the score on which regions are kept, near the input.

    Regions are kept or not by a fair coin; the first sample keeps all. A sample z of d regions weighs
    exp(-D^2 / (2 width^2)), D = 1 - cos(z, 1) = 1 - sqrt(sum z / d). The intercept is not penalised.

    Parameters
    ----------
    regions : int, sequence of int, or array of int
        Cells along the spatial axes, or labels of the places.
    samples : int
    seed : int
        Of the samples, which are drawn once and stored.
    width : float
        Of the kernel.
    alpha : float
        The penalty on the squared coefficients, beside the weighted sum of squares.
    baseline : float or array
        What a region that is not kept holds: one number, or an array in the shape of one input.
    """

    regions: Division = 8
    samples: int = 1000
    seed: int = 0
    width: float = 0.25
    alpha: float = 1.0
    baseline: float | ArrayLike = 0.0

    def __post_init__(self) -> None:
        require_whole("samples", self.samples, least=2)
        require_number("width", self.width, lambda w: w > 0, "a number larger than 0")
        require_number("alpha", self.alpha, lambda a: a >= 0, "a number, 0 or larger")
        require_rows(self.samples, "take fewer samples")

    def attribution(self, task: Task) -> Tensor:
        regions = Regions(task.x, self.regions)
        kept, weights = self.drawn(regions.count)
        return from_coalitions(task, regions, kept, ridge(kept, weights, self.alpha), self.baseline)

    def drawn(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Which regions are kept, (samples, regions), and what every sample weighs."""
        kept = np.random.default_rng(self.seed).integers(0, 2, (self.samples, count)).astype(np.float64)
        kept[0] = 1
        distance = 1 - np.sqrt(kept.mean(axis=1))
        return kept, np.exp(-((distance / self.width) ** 2) / 2)


def ridge(samples: NDArray[np.float64], weights: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """The matrix that takes scores to coefficients, (regions, samples)."""
    centred = samples - weights @ samples / weights.sum()
    weighted = centred.T * weights
    system = weighted @ centred + alpha * np.eye(samples.shape[1])
    if np.linalg.matrix_rank(system, hermitian=True) < len(system):
        raise OptionError("the samples do not determine the coefficients: take more, or a larger alpha.")
    return np.linalg.solve(system, weighted)
