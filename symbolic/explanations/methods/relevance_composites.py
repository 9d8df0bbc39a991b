"""Composites: rules of layer-wise relevance propagation by the type, the name or the place of a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from numpy.typing import ArrayLike

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.linear_layers import LAYERS, Layer
from symbolic.explanations.method import Task, named
from symbolic.explanations.methods import relevance_rules as rules
from symbolic.explanations.methods.relevance import RATIONAL
from symbolic.explanations.methods.relevance_pass import RelevanceMethod, RelevancePass
from symbolic.explanations.methods.relevance_rules import LayerRule, require_stabiliser
from symbolic.explanations.methods.relevance_words import rule_from_words
from symbolic.explanations.option_checks import require_whole

__all__ = [
    "LrpComposite",
    "LrpEpsilonAlpha2Beta1",
    "LrpEpsilonGammaBox",
    "LrpEpsilonPlus",
    "LrpPresetA",
    "LrpPresetB",
]

KOHLBRENNER = "Kohlbrenner, Bauer, Nakajima, Binder, Samek and Lapuschkin, 2020"
DENSE = ("Gemm", "MatMul")


def attributed(
    task: Task, stabiliser: float, rule_of: Callable[[RelevancePass, int, Layer], LayerRule]
) -> Tensor:
    """Relevance of the input, beginning with the score."""
    way = RelevancePass(task, stabiliser)
    return way.relevance(lambda number, layer: rule_of(way, number, layer))


@dataclass(frozen=True)
class _ByType(RelevanceMethod):
    """Epsilon at dense layers, another rule at convolutions, and the flat one near the input if wanted.

    Attributes
    ----------
    epsilon : float
        At dense layers.
    flat : bool
        Whether the first layers get the flat rule.
    until : int, optional
        The flat rule for the layers 0 to `until`, counted from the input.
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but epsilon.
    """

    epsilon: float = 1e-6
    flat: bool = False
    until: int | None = None
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.epsilon, "epsilon")
        require_stabiliser(self.stabiliser)
        if self.until is not None:
            require_whole("until", self.until, least=0)

    def convolution(self) -> LayerRule:
        """The rule of convolutions."""
        raise NotImplementedError

    def attribution(self, task: Task) -> Tensor:
        dense, convolution = rules.epsilon(self.epsilon), self.convolution()
        flat = rules.flat()

        def rule(way: RelevancePass, number: int, layer: Layer) -> LayerRule:
            if (self.flat and way.is_first(layer)) or (self.until is not None and number <= self.until):
                return flat
            return dense if layer.step.node.op_type in DENSE else convolution

        return attributed(task, self.stabiliser, rule)


@named("lrp.preset-a", RATIONAL, "Lapuschkin, Binder, Müller and Samek, 2017")
@dataclass(frozen=True)
class LrpPresetA(_ByType):
    """Epsilon 0.1 at dense layers, alpha 1 and beta 0 at convolutions.

    Parameters
    ----------
    epsilon : float
        At dense layers.
    flat : bool
        Whether the first layers get the flat rule.
    until : int, optional
        The flat rule for the layers 0 to `until`, counted from the input.
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but epsilon.
    """

    epsilon: float = 0.1

    def convolution(self) -> LayerRule:
        return rules.alpha_beta(1.0, 0.0, True, self.stabiliser)


@named("lrp.preset-b", RATIONAL, "Lapuschkin, Binder, Müller and Samek, 2017")
@dataclass(frozen=True)
class LrpPresetB(_ByType):
    """Epsilon 0.1 at dense layers, alpha 2 and beta 1 at convolutions.

    Parameters
    ----------
    epsilon : float
        At dense layers.
    flat : bool
        Whether the first layers get the flat rule.
    until : int, optional
        The flat rule for the layers 0 to `until`, counted from the input.
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but epsilon.
    """

    epsilon: float = 0.1

    def convolution(self) -> LayerRule:
        return rules.alpha_beta(2.0, 1.0, True, self.stabiliser)


@named("lrp.epsilon-plus", RATIONAL, KOHLBRENNER)
@dataclass(frozen=True)
class LrpEpsilonPlus(_ByType):
    """Epsilon at dense layers, z-plus at convolutions.

    Parameters
    ----------
    epsilon : float
        At dense layers.
    flat : bool
        Whether the first layers get the flat rule.
    until : int, optional
        The flat rule for the layers 0 to `until`, counted from the input.
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but epsilon.
    """

    def convolution(self) -> LayerRule:
        return rules.z_plus(True, self.stabiliser)


@named("lrp.epsilon-alpha2-beta1", RATIONAL, KOHLBRENNER)
@dataclass(frozen=True)
class LrpEpsilonAlpha2Beta1(_ByType):
    """Epsilon at dense layers, alpha 2 and beta 1 at convolutions.

    Parameters
    ----------
    epsilon : float
        At dense layers.
    flat : bool
        Whether the first layers get the flat rule.
    until : int, optional
        The flat rule for the layers 0 to `until`, counted from the input.
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but epsilon.
    """

    def convolution(self) -> LayerRule:
        return rules.alpha_beta(2.0, 1.0, True, self.stabiliser)


@named("lrp.epsilon-gamma-box", RATIONAL, "Montavon, Binder, Lapuschkin, Samek and Müller, 2019")
@dataclass(frozen=True, eq=False)
class LrpEpsilonGammaBox(RelevanceMethod):
    """Epsilon at dense layers, gamma at convolutions, z^B at the first layers.

    Parameters
    ----------
    low, high : float or array
        Bounds of the inputs; arrays are broadcast to the shape of one input.
    epsilon, gamma : float
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but epsilon.
    """

    low: float | ArrayLike = 0.0
    high: float | ArrayLike = 1.0
    epsilon: float = 1e-6
    gamma: float = 0.25
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("epsilon", "gamma", "stabiliser"):
            require_stabiliser(getattr(self, name), name)
        rules.bounded(self.low, self.high)

    def attribution(self, task: Task) -> Tensor:
        dense, convolution = rules.epsilon(self.epsilon), rules.gamma(self.gamma, self.stabiliser)
        box = rules.bounded(self.low, self.high, self.stabiliser)

        def rule(way: RelevancePass, number: int, layer: Layer) -> LayerRule:
            if way.is_first(layer):
                return box
            return dense if layer.step.node.op_type in DENSE else convolution

        return attributed(task, self.stabiliser, rule)


Words = str | Mapping[str, str]


@named("lrp.composite", RATIONAL, KOHLBRENNER)
@dataclass(frozen=True, eq=False)
class LrpComposite(RelevanceMethod):
    """A rule of LRP for every layer, by its type, its name or its place.

    Parameters
    ----------
    rules : str or mapping
        As "first=flat; Conv=alpha-beta:2,1; head*=epsilon:0.01; *=z-plus" or {"Conv": "z-plus", ...}: what is
        left of = is "first" (no layer before it), a type of operator, "Dense" (Gemm and MatMul), or a pattern
        of node names with * and ?; the first that fits counts. Rules are z, epsilon[:E], gamma[:G],
        alpha-beta[:A,B], z-plus, w-square, flat, bounded:LOW,HIGH and excitation; biases take their share.
    stabiliser : float
        Added to what is divided by, with its sign, in all rules but z and epsilon.
    """

    rules: Words = "Conv*=z-plus; Dense=epsilon"
    stabiliser: float = 1e-6

    def __post_init__(self) -> None:
        require_stabiliser(self.stabiliser)
        self._parsed()

    def attribution(self, task: Task) -> Tensor:
        parsed = self._parsed()

        def rule(way: RelevancePass, number: int, layer: Layer) -> LayerRule:
            node = layer.step.node
            for pattern, found in parsed:
                kinds = DENSE if pattern == "Dense" else [k for k in LAYERS if fnmatch(k, pattern)]
                named = fnmatch(node.proto.name, pattern)
                if node.op_type in kinds or named or (pattern == "first" and way.is_first(layer)):
                    return found
            raise layer.step.refuse("fits none of the rules: end them with *=epsilon, or another one")

        return attributed(task, self.stabiliser, rule)

    def _parsed(self) -> list[tuple[str, LayerRule]]:
        if isinstance(self.rules, Mapping):
            pairs = list(self.rules.items())
            if not all(isinstance(text, str) for pair in pairs for text in pair):
                raise OptionError("rules should map patterns of layers to rules, as {'Conv*': 'z-plus'}.")
        elif not isinstance(self.rules, str):
            raise OptionError(f"rules is {self.rules!r}; give a text such as 'Conv*=z-plus; *=epsilon'.")
        else:
            parts = [part.partition("=") for part in self.rules.split(";") if part.strip()]
            pairs = [(pattern, words) for pattern, _, words in parts]
        if not pairs:
            raise OptionError("rules is empty: give one such as *=epsilon.")
        return [(p.strip(), rule_from_words(w.strip(), self.stabiliser)) for p, w in pairs]
