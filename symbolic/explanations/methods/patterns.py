"""PatternNet and PatternAttribution: gradients that follow the signals of units instead of their weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from symbolic.errors import OptionError
from symbolic.explanations.backward import Gradients, Rule, Step, default_rule
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.gradients import CONSTANT, LINEAR
from symbolic.explanations.pattern_file import Patterns, layer_names
from symbolic.explanations.pattern_fitting import is_layer
from symbolic.explanations.products.normalisation import batch_factor

__all__ = ["PatternAttribution", "PatternNet"]

PAPER = "Kindermans, Schuett, Alber, Mueller, Erhan, Kim and Daehne, 2018"
PRODUCTS = ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul")
"""Linear in one operand where the other stands still: they need a pattern."""


@dataclass(frozen=True, eq=False)
class _Patterned(Method):
    """What both methods share.

    BatchNormalization is a layer whose units have one input each: the pattern of a weight s is 1 / s. That
    gives what folding it into the layer before gives, and is also defined where it follows no layer.
    """

    patterns: Patterns | Path | str | None = None

    def options(self) -> dict[str, Any]:
        return {"patterns": "none" if self.patterns is None else str(self._known())}

    def _known(self) -> Patterns:
        if self.patterns is None:
            raise OptionError(
                "this method needs patterns of the network (patterns=, --patterns): fit them with "
                "sl.fit_patterns or sureline fit-patterns."
            )
        if isinstance(self.patterns, Patterns):
            return self.patterns
        if not isinstance(self.patterns, (str, os.PathLike)):
            raise OptionError(
                f"patterns is of type {type(self.patterns).__name__}; give sl.Patterns or a path."
            )
        return Patterns.load(self.patterns)

    def _rules(self, task: Task, attributes: bool) -> Callable[[Step], Rule]:
        """Gradients, where layers have patterns (or patterns times weights) in place of their weights."""
        nodes, known = task.passage.nodes, self._known()
        known.require(task.graph, nodes)
        names = layer_names(nodes)

        def layer(step: Step, gradients: Gradients) -> Gradients:
            weight = step.given(1)
            pattern = known.arrays[names[step.node.proto.output[0]]]
            stored = np.asarray(task.graph.value(weight.name), dtype=np.float64)
            if attributes:
                value = stored * pattern
            else:  # the product multiplies by alpha, which belongs to the weights
                value = pattern / (step.node.number("alpha") if step.node.op_type == "Gemm" else 1.0)
            again = _Replaced(step.graph, step.node, step.wanted, weight.like(value))
            return default_rule(again)(again, gradients)

        def normalisation(step: Step, gradients: Gradients) -> Gradients:
            default_rule(step)(step, gradients)  # refuses what has no derivative
            factor = task.graph.value(batch_factor(step).name)
            if factor is None:
                raise step.refuse("has statistics that are no stored constants, and so has no pattern")
            inverse = np.where(factor == 0, 0.0, 1.0 / np.where(factor == 0, 1.0, factor))
            value = factor * inverse if attributes else inverse
            return [None if g is None else g if (value == 1).all() else g * value for g in gradients[:1]]

        def rule_of(step: Step) -> Rule:
            if step.node.op_type == "BatchNormalization":
                return normalisation
            if step.node.op_type not in PRODUCTS or sum(step.wanted) != 1:
                return default_rule(step)
            if not is_layer(step):
                raise step.refuse("is linear in another way than those that patterns are fitted to")
            return layer

        return rule_of


@named("pattern-net", CONSTANT, PAPER)
@dataclass(frozen=True, eq=False)
class PatternNet(_Patterned):
    """The gradient with patterns in place of weights: the signal in the input that moves the score.

    All operators but Conv, Gemm, MatMul and BatchNormalization pass back gradients; nothing is rescaled on
    the way.

    Parameters
    ----------
    patterns : Patterns or path
        Of this network, from `fit_patterns`.
    """

    def attribution(self, task: Task) -> Tensor:
        return task.passage.gradient(task.weights, self._rules(task, attributes=False))


@named("pattern-attribution", LINEAR, PAPER)
@dataclass(frozen=True, eq=False)
class PatternAttribution(_Patterned):
    """The score, shared out by weights times patterns: how much each signal in the input contributes to it.

    It starts with the score itself (of a contrast with both, the second one negative), and goes back as
    `pattern-net` does, with the products of weights and patterns in place of weights.

    Parameters
    ----------
    patterns : Patterns or path
        Of this network, from `fit_patterns`.
    """

    def attribution(self, task: Task) -> Tensor:
        start = task.weights * task.passage.y
        return task.passage.gradient(start, self._rules(task, attributes=True))


@dataclass(frozen=True, eq=False)
class _Replaced(Step):
    """A layer with another tensor in place of its weights."""

    weight: Tensor

    @property
    def inputs(self) -> list[Tensor | None]:
        found = [self.graph.tensor(name) if name else None for name in self.node.proto.input]
        return [found[0], self.weight, *found[2:]]
