"""Layer-wise relevance propagation with one rule, deep Taylor decomposition, excitation backpropagation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from numpy.typing import ArrayLike

from symbolic.errors import ModelError, OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.linear_layers import Layer
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods import relevance_rules as rules
from symbolic.explanations.methods.relevance_pass import RelevancePass
from symbolic.explanations.methods.relevance_rules import LayerRule

__all__ = [
    "DeepTaylor",
    "DeepTaylorBounded",
    "ExcitationBackprop",
    "LrpAlphaBeta",
    "LrpBounded",
    "LrpEpsilon",
    "LrpFlat",
    "LrpGamma",
    "LrpWSquare",
    "LrpZ",
    "LrpZPlus",
    "require_stabiliser",
]

RATIONAL = "piecewise rational"
FEW_FRACTIONS = "piecewise linear; rational where branches are summed or averaged"
BACH = "Bach, Binder, Montavon, Klauschen, Müller and Samek, 2015"
MONTAVON = "Montavon, Lapuschkin, Binder, Samek and Müller, 2017"


def require_stabiliser(value: float, name: str = "stabiliser") -> None:
    """Refuse a negative one."""
    if not value >= 0:
        raise OptionError(f"{name} is {value}; it must be 0 or larger.")


class _OneRule(Method):
    """The same rule at every linear layer; it begins with the score itself."""

    stabiliser: float
    bias: bool = False

    @abstractmethod
    def rule(self) -> LayerRule:
        """Of every layer."""

    def attribution(self, task: Task) -> Tensor:
        rule = self.rule()
        start = task.weights * task.passage.y
        return RelevancePass(task, self.stabiliser, self.bias).relevance(start, lambda number, layer: rule)


@named("lrp.z", RATIONAL, BACH)
@dataclass(frozen=True)
class LrpZ(_OneRule):
    """Relevance in proportion to contributions (LRP-0).

    Parameters
    ----------
    bias : bool
        Whether biases take their share; without them relevance sums to the score.
    """

    bias: bool = True
    stabiliser = 0.0

    def rule(self) -> LayerRule:
        return rules.epsilon(0.0, self.bias)


@named("lrp.epsilon", RATIONAL, BACH)
@dataclass(frozen=True)
class LrpEpsilon(_OneRule):
    """Relevance in proportion to contributions, less where they cancel.

    Parameters
    ----------
    epsilon : float
        Added to what is divided by, with its sign.
    bias : bool
        Whether biases take their share.
    """

    epsilon: float = 1e-6
    bias: bool = True

    def __post_init__(self) -> None:
        require_stabiliser(self.epsilon, "epsilon")

    @property
    def stabiliser(self) -> float:  # type: ignore[override]
        """Of sums and averages too."""
        return self.epsilon

    def rule(self) -> LayerRule:
        return rules.epsilon(self.epsilon, self.bias)


@dataclass(frozen=True)
class _Stabilised(_OneRule):
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.stabiliser)


@named("lrp.w-square", FEW_FRACTIONS, MONTAVON)
@dataclass(frozen=True)
class LrpWSquare(_Stabilised):
    """Relevance in proportion to squared weights.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    def rule(self) -> LayerRule:
        return rules.w_square(self.stabiliser)


@named("lrp.flat", FEW_FRACTIONS, "Lapuschkin, Wäldchen, Binder, Montavon, Samek and Müller, 2019")
@dataclass(frozen=True)
class LrpFlat(_Stabilised):
    """Relevance evenly over the inputs of every output.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    def rule(self) -> LayerRule:
        return rules.flat(self.stabiliser)


@named("lrp.alpha-beta", RATIONAL, BACH)
@dataclass(frozen=True)
class LrpAlphaBeta(_Stabilised):
    """alpha times the relevance to positive contributions, less beta times it to negative ones.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    alpha, beta : float
        alpha - beta = 1, beta >= 0.
    bias : bool
        Whether the positive parts of biases count among the positive contributions, and so on.
    """

    alpha: float = 2.0
    beta: float = 1.0
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.beta >= 0 and abs(self.alpha - self.beta - 1) < 1e-9):
            raise OptionError(
                f"alpha is {self.alpha} and beta {self.beta}; beta must be 0 or larger, and alpha = 1 + beta."
            )

    def rule(self) -> LayerRule:
        return rules.alpha_beta(self.alpha, self.beta, self.bias, self.stabiliser)


@named("lrp.z-plus", RATIONAL, MONTAVON)
@dataclass(frozen=True)
class LrpZPlus(_Stabilised):
    """Relevance in proportion to positive contributions.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    bias : bool
        Whether positive biases take their share.
    """

    bias: bool = False

    def rule(self) -> LayerRule:
        return rules.z_plus(self.bias, self.stabiliser)


@named("lrp.gamma", RATIONAL, "Montavon, Binder, Lapuschkin, Samek and Müller, 2019")
@dataclass(frozen=True)
class LrpGamma(_Stabilised):
    """Contributions of the sign of their sum count 1 + gamma times.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    gamma : float
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require_stabiliser(self.gamma, "gamma")

    def rule(self) -> LayerRule:
        return rules.gamma(self.gamma, self.stabiliser)


@named("lrp.bounded", RATIONAL, MONTAVON)
@dataclass(frozen=True, eq=False)
class LrpBounded(Method):
    """z^B at the first layers, for inputs between bounds, and z-plus at the others.

    Parameters
    ----------
    low, high : float or array
        Bounds of the inputs; arrays are broadcast to the shape of one input.
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    low: float | ArrayLike = 0.0
    high: float | ArrayLike = 1.0
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.stabiliser)
        rules.bounded(self.low, self.high)

    def attribution(self, task: Task) -> Tensor:
        way = RelevancePass(task, self.stabiliser, bias=False)
        box, plus = rules.bounded(self.low, self.high, self.stabiliser), rules.z_plus(False, self.stabiliser)

        def rule(number: int, layer: Layer) -> LayerRule:
            return box if layer.step.outputs[0].name in way.first else plus

        return way.relevance(task.weights * task.passage.y, rule)


@named("excitation-backprop", RATIONAL, "Zhang, Lin, Brandt, Shen and Sclaroff, 2016")
@dataclass(frozen=True)
class ExcitationBackprop(_Stabilised):
    """The probability of every neuron to win, from the explained class down, through positive weights.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    def rule(self) -> LayerRule:
        return rules.excitation(self.stabiliser)

    def attribution(self, task: Task) -> Tensor:
        rule = self.rule()
        return RelevancePass(task, self.stabiliser, False).relevance(task.weights, lambda number, layer: rule)


ALLOWED = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Conv", "ConvTranspose", "Dropout",
    "Flatten", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Identity", "MatMul", "MaxPool", "Pad",
    "ReduceMean", "Relu", "Reshape", "Slice", "Split", "Squeeze", "Sum", "Transpose", "Unsqueeze",
))  # fmt: skip
"""Operators of networks that deep Taylor decomposition is defined for."""


@named("deep-taylor", RATIONAL, MONTAVON)
@dataclass(frozen=True)
class DeepTaylor(Method):
    """Deep Taylor decomposition of a ReLU network: z-plus before a ReLU, w-square at other layers.

    It begins with the score where that is positive.

    Parameters
    ----------
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.stabiliser)

    def attribution(self, task: Task) -> Tensor:
        return _deep_taylor(task, self.stabiliser, None)


@named("deep-taylor.bounded", RATIONAL, MONTAVON)
@dataclass(frozen=True, eq=False)
class DeepTaylorBounded(Method):
    """Deep Taylor decomposition with z^B at the first layers, for inputs between bounds.

    Parameters
    ----------
    low, high : float or array
        Bounds of the inputs; arrays are broadcast to the shape of one input.
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    low: float | ArrayLike = 0.0
    high: float | ArrayLike = 1.0
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.stabiliser)
        rules.bounded(self.low, self.high)

    def attribution(self, task: Task) -> Tensor:
        return _deep_taylor(task, self.stabiliser, rules.bounded(self.low, self.high, self.stabiliser))


def _deep_taylor(task: Task, stabiliser: float, box: LayerRule | None) -> Tensor:
    for node in task.passage.between:
        if node.op_type not in ALLOWED:
            raise ModelError(
                f"{node.op_type} node {node.name or node.output[0]!r} does not belong to a ReLU network, "
                "which deep Taylor decomposition is defined for: take a rule of LRP, such as lrp.epsilon."
            )
    way = RelevancePass(task, stabiliser, bias=False)
    readers = {name: node for node in task.passage.between for name in node.input}
    plus, square = rules.z_plus(False, stabiliser), rules.w_square(stabiliser)

    def rule(number: int, layer: Layer) -> LayerRule:
        if box is not None and layer.step.outputs[0].name in way.first:
            return box
        after = readers.get(layer.output)
        return plus if after is not None and after.op_type == "Relu" else square

    score = task.weights * task.passage.y
    return way.relevance(task.graph.same("Relu", score), rule)
