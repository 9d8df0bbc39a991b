"""The gradient and what is made of it: sensitivity, input x gradient, smoothed and integrated gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symbolic.errors import OptionError
from symbolic.explanations.backward import Gradients, Rule, Step, default_rule
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.option_checks import as_numbers, require_whole
from symbolic.explanations.passage import folded_batch, spread_batch

__all__ = [
    "Deconvnet",
    "Gradient",
    "GuidedBackprop",
    "InputXGradient",
    "IntegratedGradients",
    "SmoothGrad",
    "as_one_input",
    "gradients_at",
]

CONSTANT, LINEAR = "piecewise constant", "piecewise linear"


@named("gradient", CONSTANT, "Simonyan, Vedaldi and Zisserman, 2014")
@dataclass(frozen=True)
class Gradient(Method):
    """The gradient of the score.

    Parameters
    ----------
    post : {"none", "abs", "square"}
        What is done with it, element by element.
    """

    post: Literal["none", "abs", "square"] = "none"

    def __post_init__(self) -> None:
        if self.post not in ("none", "abs", "square"):
            raise OptionError(f"post is {self.post!r}: give 'none', 'abs' or 'square'.")

    def attribution(self, task: Task) -> Tensor:
        found = task.passage.gradient(task.weights)
        if self.post == "abs":
            return task.graph.same("Abs", found)
        return found * found if self.post == "square" else found


@named("input-x-gradient", LINEAR, "Shrikumar, Greenside and Kundaje, 2016")
@dataclass(frozen=True)
class InputXGradient(Method):
    """The gradient times the input, element by element."""

    def attribution(self, task: Task) -> Tensor:
        return task.passage.gradient(task.weights) * task.x


@named("smoothgrad", CONSTANT, "Smilkov, Thorat, Kim, Viegas and Wattenberg, 2017")
@dataclass(frozen=True)
class SmoothGrad(Method):
    """The mean gradient over frozen noise around the input; the class is that of the clean input.

    Parameters
    ----------
    samples : int
    noise : float
        Standard deviation, in units of the input.
    seed : int
        Of the noise, which is drawn once and stored in the graph.
    """

    samples: int = 64
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("samples", self.samples)
        if not self.noise > 0:
            raise OptionError(f"noise is {self.noise}; it must be larger than 0.")

    def attribution(self, task: Task) -> Tensor:
        rng = np.random.default_rng(self.seed)
        shape = [task.x.length(axis) for axis in range(1, task.x.rank)]
        drawn = self.noise * rng.standard_normal((self.samples, 1, *shape))
        return _mean_gradient(task, task.x + drawn, np.full(self.samples, 1 / self.samples))


Rules = Literal["left", "right", "trapezoid", "gauss-legendre"]


@named("integrated-gradients", LINEAR, "Sundararajan, Taly and Yan, 2017")
@dataclass(frozen=True, eq=False)
class IntegratedGradients(Method):
    """The mean gradient on the way from a baseline, times the difference to it.

    Parameters
    ----------
    steps : int
        Points on the way.
    baseline : float or array
        One number, or an array in the shape of one input.
    rule : {"gauss-legendre", "trapezoid", "left", "right"}
        Where the points are, and their weights.
    """

    steps: int = 64
    baseline: float | ArrayLike = 0.0
    rule: Rules = "gauss-legendre"

    def __post_init__(self) -> None:
        require_whole("steps", self.steps)
        if self.rule not in QUADRATURES:
            raise OptionError(f"rule is {self.rule!r}: give one of {', '.join(QUADRATURES)}.")

    def attribution(self, task: Task) -> Tensor:
        baseline = as_one_input(self.baseline, task, "baseline")
        places, weights = QUADRATURES[self.rule](self.steps)
        away = task.x - baseline
        column = places.reshape(-1, *[1] * task.x.rank)
        return _mean_gradient(task, away * column + baseline, weights) * away


def _left(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.arange(n) / n, np.full(n, 1 / n)


def _right(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.arange(1, n + 1) / n, np.full(n, 1 / n)


def _trapezoid(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if n < 2:
        raise OptionError("the trapezoid rule needs two steps.")
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, n), weights


def _gauss_legendre(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places, weights = np.polynomial.legendre.leggauss(n)
    return (places + 1) / 2, weights / 2


QUADRATURES: dict[str, Callable[[int], tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
    "gauss-legendre": _gauss_legendre,
    "trapezoid": _trapezoid,
    "left": _left,
    "right": _right,
}


@named("deconvnet", CONSTANT, "Zeiler and Fergus, 2014")
@dataclass(frozen=True)
class Deconvnet(Method):
    """The gradient where every ReLU passes back what is positive, whatever it passed forward."""

    def attribution(self, task: Task) -> Tensor:
        return task.passage.gradient(task.weights, _at_relus(task, lambda step, back: back))


@named("guided-backprop", CONSTANT, "Springenberg, Dosovitskiy, Brox and Riedmiller, 2015")
@dataclass(frozen=True)
class GuidedBackprop(Method):
    """The gradient where every ReLU that passed something forward passes back what is positive."""

    def attribution(self, task: Task) -> Tensor:
        def guided(step: Step, back: Tensor) -> Tensor:
            return step.graph.where(step.given() > 0.0, back, 0.0, like=back)

        return task.passage.gradient(task.weights, _at_relus(task, guided))


def _at_relus(task: Task, then: Callable[[Step, Tensor], Tensor]) -> Callable[[Step], Rule]:
    """The product everywhere but at ReLUs, where the positive part goes on."""

    def at_relu(step: Step, gradients: Gradients) -> Gradients:
        gradient = gradients[0]
        return [None if gradient is None else then(step, step.graph.same("Relu", gradient))]

    if not any(node.op_type == "Relu" for node in task.passage.nodes):
        raise OptionError("the network has no ReLU, which this method is about.")
    return lambda step: at_relu if step.node.op_type == "Relu" else default_rule(step)


def _mean_gradient(task: Task, inputs: Tensor, weights: NDArray[np.float64]) -> Tensor:
    """The weighted sum of gradients at (S, N, ...) inputs."""
    column = weights.reshape(-1, *[1] * task.x.rank)
    return task.graph.sum(gradients_at(task, inputs, len(weights)) * column, [0], keep=False)


def gradients_at(task: Task, inputs: Tensor, count: int) -> Tensor:
    """The gradients at (S, N, ...) inputs, for the class chosen at the clean input."""
    copy = task.passage.at(folded_batch(inputs), count)
    found = copy.gradient(task.graph.repeat(task.weights, count))
    return spread_batch(found, count, task.x.known_shape[0])


def as_one_input(value: float | ArrayLike, task: Task, name: str) -> NDArray[np.float64]:
    """A number, or an array in the shape of one input, with an axis for the batch.

    Raises
    ------
    OptionError
        It has another shape, or holds what is no finite number.
    """
    array = as_numbers(name, value)
    if array.ndim == 0:
        return array
    shape = task.x.known_shape
    if array.ndim == len(shape) and array.shape[0] == 1:
        array = array[0]
    if array.ndim != len(shape) - 1 or any(
        isinstance(n, int) and n != m for n, m in zip(shape[1:], array.shape, strict=True)
    ):
        raise OptionError(f"the {name} has the shape {array.shape}; one input has {tuple(shape[1:])}.")
    return array[None]
