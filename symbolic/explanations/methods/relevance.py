"""Layer-wise relevance propagation with one rule, deep Taylor decomposition, excitation backpropagation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from numpy.typing import ArrayLike

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Task, named
from symbolic.explanations.methods import relevance_rules as rules
from symbolic.explanations.methods.relevance_pass import RelevanceMethod, RelevancePass
from symbolic.explanations.methods.relevance_rules import LayerRule, require_stabiliser
from symbolic.explanations.methods.relevance_taylor import deep_taylor

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
]

RATIONAL = "piecewise rational"
FEW_FRACTIONS = "piecewise linear; rational where branches are summed or averaged"
BACH = "Bach, Binder, Montavon, Klauschen, Müller and Samek, 2015"
MONTAVON = "Montavon, Lapuschkin, Binder, Samek and Müller, 2017"


class _OneRule(RelevanceMethod):
    """The same rule at every linear layer; it begins with the score itself."""

    stabiliser: float
    bias: bool = False

    @abstractmethod
    def rule(self) -> LayerRule:
        """Of every layer."""

    def attribution(self, task: Task) -> Tensor:
        rule, way = self.rule(), RelevancePass(task, self.stabiliser, self.bias)
        return way.relevance(lambda number, layer: rule, self.start(task))

    def start(self, task: Task) -> Tensor | None:
        """Relevance of the scores, if it is not the score."""
        return None


@named("lrp.z", RATIONAL, BACH)
@dataclass(frozen=True)
class LrpZ(_OneRule):
    """Relevance in proportion to contributions (LRP-0).

    Parameters
    ----------
    bias : bool
        Whether biases take their share, as in input times gradient; without it relevance sums to the score.
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
        Added to sums of branches and averages, with their sign; layers need none.
    """

    def rule(self) -> LayerRule:
        return rules.w_square()


@named("lrp.flat", FEW_FRACTIONS, "Lapuschkin, Wäldchen, Binder, Montavon, Samek and Müller, 2019")
@dataclass(frozen=True)
class LrpFlat(_Stabilised):
    """Relevance evenly over the inputs of every output.

    Parameters
    ----------
    stabiliser : float
        Added to sums of branches and averages, with their sign; layers need none.
    """

    def rule(self) -> LayerRule:
        return rules.flat()


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
            how = "beta must be 0 or larger, alpha = 1 + beta"
            raise OptionError(f"alpha is {self.alpha} and beta is {self.beta}; {how}.")

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


@dataclass(frozen=True, eq=False)
class _Boxed(RelevanceMethod):
    low: float | ArrayLike = 0.0
    high: float | ArrayLike = 1.0
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.stabiliser)
        rules.bounded(self.low, self.high)

    @property
    def box(self) -> LayerRule:
        """Of the first layers."""
        return rules.bounded(self.low, self.high, self.stabiliser)


@named("lrp.bounded", RATIONAL, MONTAVON)
@dataclass(frozen=True, eq=False)
class LrpBounded(_Boxed):
    """z^B at the first layers, for inputs between bounds, and z-plus at the others.

    Parameters
    ----------
    low, high : float or array
        Bounds of the inputs; arrays are broadcast to the shape of one input.
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    def attribution(self, task: Task) -> Tensor:
        way = RelevancePass(task, self.stabiliser, bias=False)
        box, plus = self.box, rules.z_plus(False, self.stabiliser)
        return way.relevance(lambda number, layer: box if way.is_first(layer) else plus)


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

    def start(self, task: Task) -> Tensor:
        return task.weights


@named("deep-taylor", RATIONAL, MONTAVON)
@dataclass(frozen=True)
class DeepTaylor(RelevanceMethod):
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
        return deep_taylor(task, self.stabiliser, None)


@named("deep-taylor.bounded", RATIONAL, MONTAVON)
@dataclass(frozen=True, eq=False)
class DeepTaylorBounded(_Boxed):
    """Deep Taylor decomposition with z^B at the first layers, for inputs between bounds.

    Parameters
    ----------
    low, high : float or array
        Bounds of the inputs; arrays are broadcast to the shape of one input.
    stabiliser : float
        Added to what is divided by, with its sign.
    """

    def attribution(self, task: Task) -> Tensor:
        return deep_taylor(task, self.stabiliser, self.box)
