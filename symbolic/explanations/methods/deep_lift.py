"""DeepLIFT, DeepSHAP and expected gradients: attributions of the difference to references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.deep_lift_rules import Multipliers
from symbolic.explanations.methods.gradients import LINEAR, gradients_at
from symbolic.explanations.passage import spread_batch
from symbolic.explanations.references import References

__all__ = ["DeepLift", "DeepShap", "ExpectedGradients"]

RATIONAL = "piecewise rational"


@named("deeplift", RATIONAL, "Shrikumar, Greenside and Kundaje, 2017 (rescale rule)")
@dataclass(frozen=True, eq=False)
class DeepLift(Method):
    """Differences to one reference, passed back by the rescale rule; they sum to f(x) - f(reference).

    Parameters
    ----------
    baseline : float or array
        The reference: one number, or an array in the shape of one input.
    """

    baseline: float | ArrayLike = 0.0

    def attribution(self, task: Task) -> Tensor:
        return _attribution(task, References(task, self.baseline))


@named("deepshap", RATIONAL, "Lundberg and Lee, 2017; Chen, Lundberg and Lee, 2022")
@dataclass(frozen=True, eq=False)
class DeepShap(Method):
    """The mean of DeepLIFT over a background set; it sums to f(x) - mean of f(background).

    The activations at the background are constants of the graph: x runs forward once, and only multipliers
    run per reference.

    Parameters
    ----------
    background : array of shape (R, ...)
        The references.
    """

    background: ArrayLike | None = None

    def attribution(self, task: Task) -> Tensor:
        return _attribution(task, References(task, _required(self.background)))


@named("expected-gradients", LINEAR, "Erion, Janizek, Sturmfels, Lundberg and Lee, 2021")
@dataclass(frozen=True, eq=False)
class ExpectedGradients(Method):
    """Gradients at frozen random places between the input and references, times the difference to them.

    Parameters
    ----------
    background : array of shape (R, ...)
        The references.
    samples : int
        How many pairs of a reference and a place are drawn; references are taken in turn.
    seed : int
    """

    background: ArrayLike | None = None
    samples: int = 64
    seed: int = 0

    def attribution(self, task: Task) -> Tensor:
        references = References(task, _required(self.background))
        if self.samples < 1:
            raise OptionError(f"samples is {self.samples}; it must be 1 or larger.")
        rng = np.random.default_rng(self.seed)
        taken = references.inputs[rng.permutation(self.samples) % references.count][:, None]
        places = rng.random((self.samples, *[1] * task.x.rank))
        away = task.x - taken
        gradients = gradients_at(task, away * places + taken, self.samples)
        return task.graph.sum(gradients * away, [0], keep=False) / float(self.samples)


def _required(background: ArrayLike | None) -> ArrayLike:
    if background is None:
        raise OptionError("this method needs a background of reference inputs (background=, --background).")
    return background


def _attribution(task: Task, references: References) -> Tensor:
    """The mean over references of multiplier times difference."""
    graph, count = task.graph, references.count
    multipliers = Multipliers(task, references)
    found = task.passage.gradient(graph.repeat(task.weights, count), multipliers.rule_of)
    spread = spread_batch(found, count, task.x.known_shape[0])
    return graph.sum(spread * multipliers.difference(task.passage.source), [0], keep=False) / float(count)
