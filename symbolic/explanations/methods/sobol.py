"""Sobol attribution: how much of the variance of the score is due to the mask of a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto
from scipy.stats import qmc

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.gradients import as_one_input
from symbolic.explanations.methods.perturbation import (
    blended,
    require_rows,
    scores_at,
)
from symbolic.explanations.methods.sobol_estimators import ESTIMATORS
from symbolic.explanations.option_checks import require_number, require_whole
from symbolic.explanations.products.matrices import times_matrix
from symbolic.explanations.regions import Division, Regions, spatial_axes

__all__ = ["Sobol"]


@named(
    "sobol",
    "piecewise rational, quadratic over quadratic; piecewise quadratic where normalised is off (glen: with "
    "square roots)",
    "Fel, Cadene, Chalvidal, Cord, Vigouroux and Serre, 2021",
)
@dataclass(frozen=True, eq=False)
class Sobol(Method):
    """Total-order Sobol indices of masks of regions: the share of variance that a region takes part in.

    The masks are points of a low-discrepancy design in [0, 1]^2d, read as two halves A and B; the network
    runs on A and, for each of d regions, on A with that column of B: samples (d + 1) runs.

    Parameters
    ----------
    regions : int, sequence of int, or array of int
        Cells along the spatial axes, or labels of the places.
    samples : int
        Points of the design; a power of 2 for the Sobol sequence.
    estimator : {"jansen", "homma", "janon", "glen", "saltelli"}
    design : {"sobol", "halton", "latin-hypercube"}
    scramble : bool
        Randomise the two sequences. Latin hypercubes are random in any case.
    seed : int
    perturbation : {"inpainting", "blurring", "amplitude"}
        With masks m: m x + (1 - m) baseline; the same with a box blur of x for the baseline; x (m - 1/2)
        times `strength`, which is nowhere x itself.
    baseline : float or array
        One number, or an array in the shape of one input.
    blur : int
        Places along an axis of the box blur, which reflects at the border.
    strength : float
    normalised : bool
        Divide by the variance. It is the same for all regions by the estimators jansen, homma and saltelli,
        so that the numerator alone has the same ranking; the others are always divided.
    smooth : bool
        Between the middles of cells the map is interpolated cubically, where else every place has the value
        of its region.
    """

    regions: Division = 8
    samples: int = 32
    estimator: Literal["jansen", "homma", "janon", "glen", "saltelli"] = "jansen"
    design: Literal["sobol", "halton", "latin-hypercube"] = "sobol"
    scramble: bool = False
    seed: int = 0
    perturbation: Literal["inpainting", "blurring", "amplitude"] = "inpainting"
    baseline: float | ArrayLike = 0.0
    blur: int = 10
    strength: float = 1.0
    normalised: bool = True
    smooth: bool = False

    def __post_init__(self) -> None:
        require_whole("samples", self.samples, least=2)
        require_whole("blur", self.blur)
        require_number("strength", self.strength, lambda s: s != 0, "a number other than 0")
        for name, known in (("estimator", ESTIMATORS), ("design", DESIGNS), ("perturbation", PERTURBATIONS)):
            if getattr(self, name) not in list(known):
                raise OptionError(f"{name} is {getattr(self, name)!r}: give one of {', '.join(known)}.")
        if self.design == "sobol" and self.samples & (self.samples - 1):
            raise OptionError(f"samples is {self.samples}; the Sobol sequence needs a power of 2.")
        if not self.normalised and not ESTIMATORS[self.estimator].shared:
            raise OptionError(
                f"the estimator {self.estimator} divides by a variance of its own for every region: leave "
                "normalised on, or take jansen, homma or saltelli."
            )

    def attribution(self, task: Task) -> Tensor:
        x, graph = task.x, task.graph
        regions = Regions(x, self.regions)
        count = regions.count
        rows = self.samples * (count + 1)
        require_rows(rows, "take fewer regions or samples")
        a, b = np.split(self.drawn(count), 2, axis=1)
        again = graph.constant(np.eye(count + 1, count, -1, dtype=bool)[:, None], TensorProto.BOOL)
        points = graph.where(again, b, a, like=x)  # (1 + regions, samples, regions), A itself first
        table = graph.node("Reshape", [points, graph.integers([rows, count])], shape=(rows, count))
        inputs = PERTURBATIONS[self.perturbation](self, task, regions.masks(table))
        shape = (count + 1, self.samples, x.known_shape[0])
        scores = graph.node(
            "Reshape", [scores_at(task, inputs, rows), graph.integers([*shape[:2], -1])], shape=shape
        )
        first, others = graph.crop(scores, [0] * 3, [count, 0, 0]), graph.crop(scores, [1, 0, 0], [0] * 3)
        found = ESTIMATORS[self.estimator].index(first, others, self.normalised)
        return regions.spread(graph.transpose(found, [1, 0]), self.smooth)

    def drawn(self, count: int) -> NDArray[np.float64]:
        """The design, (samples, 2 count)."""
        return np.asarray(DESIGNS[self.design](self, 2 * count).random(self.samples))


def _inpainting(method: Sobol, task: Task, masks: Tensor) -> Tensor:
    return blended(task.x, masks, as_one_input(method.baseline, task, "baseline"))


def _blurring(method: Sobol, task: Task, masks: Tensor) -> Tensor:
    blurred = task.x
    for axis in spatial_axes(task.x):
        matrix = task.x.like(_box(task.x.length(axis), method.blur))
        blurred = times_matrix(task.graph, blurred, matrix, axis)
    return blended(task.x, masks, blurred)


def _amplitude(method: Sobol, task: Task, masks: Tensor) -> Tensor:
    return task.x * ((masks - 0.5) * method.strength)


def _box(length: int, width: int) -> NDArray[np.float64]:
    """The mean over a window as a matrix; an even window has one place more before its middle."""
    padded = np.pad(np.eye(length), ((width // 2, (width - 1) // 2), (0, 0)), mode="reflect")
    return np.stack([padded[k : k + width].mean(axis=0) for k in range(length)])


PERTURBATIONS: dict[str, Callable[[Sobol, Task, Tensor], Tensor]] = {
    "inpainting": _inpainting,
    "blurring": _blurring,
    "amplitude": _amplitude,
}
DESIGNS: dict[str, Callable[[Sobol, int], qmc.QMCEngine]] = {
    "sobol": lambda method, d: qmc.Sobol(
        d, scramble=method.scramble, seed=np.random.default_rng(method.seed)
    ),
    "halton": lambda method, d: qmc.Halton(
        d, scramble=method.scramble, seed=np.random.default_rng(method.seed)
    ),
    "latin-hypercube": lambda method, d: qmc.LatinHypercube(d, seed=np.random.default_rng(method.seed)),
}
