"""Rules of layer-wise relevance propagation for linear layers.

Relevance R of the outputs z = W x + b goes to the inputs in proportion to their contributions: with inputs
x', weights W' and bias b' that the rule takes in place of the layer's own, input i gets
x'_i sum_j W'_ij R_j / z'_j. Denominators are kept away from 0 by a stabiliser: z + e sign(z), sign(0) = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.linear_layers import Layer

__all__ = [
    "LayerRule",
    "alpha_beta",
    "bounded",
    "divided",
    "epsilon",
    "excitation",
    "flat",
    "gamma",
    "require_stabiliser",
    "w_square",
    "z_plus",
]

Array = NDArray[Any]
Change = Callable[[Array], Array]


@dataclass(frozen=True)
class Term:
    """Contributions of one kind.

    Attributes
    ----------
    x : str or array
        "x", its parts "+" and "-", or numbers in its place.
    w, b : callable
        What becomes of weights and bias; no bias without one.
    """

    x: Any
    w: Change
    b: Change | None = None


@dataclass(frozen=True)
class Share:
    """Relevance that is shared by the sum of some terms.

    Attributes
    ----------
    terms : tuple of Term
    factor : float
        What part of the relevance.
    sign : int
        Of the sum where it counts: 1 or -1; 0 if it can have both.
    gated : bool
        Only outputs of that sign pass relevance on.
    """

    terms: tuple[Term, ...]
    factor: float = 1.0
    sign: int = 0
    gated: bool = False


LayerRule = Callable[[Layer, Tensor, bool], Tensor]
"""How a linear layer passes relevance back: from the layer, the relevance of its outputs, and whether no
input can be less than 0, to the relevance of its inputs."""


@dataclass(frozen=True)
class ByContributions:
    """Relevance is shared by what inputs contribute.

    Attributes
    ----------
    shares : tuple of Share
    stabiliser : float
        e; 0 divides by 1 where the denominator is 0.
    """

    shares: tuple[Share, ...]
    stabiliser: float

    def __call__(self, layer: Layer, relevance: Tensor, nonnegative: bool) -> Tensor:
        """Relevance of the layer's input."""
        total: Tensor | None = None
        for share in self.shares:
            part = relevance if share.factor == 1 else relevance * share.factor
            if share.gated:
                side = layer.z > 0.0 if share.sign > 0 else layer.z < 0.0
                part = part * side.cast(part.elem_type)
            terms = [t for t in share.terms if not (nonnegative and isinstance(t.x, str) and t.x == "-")]
            if not terms:
                continue
            taken = [(_taken(layer, t, nonnegative), t.w(layer.weight)) for t in terms]
            z = self._z(layer, terms, taken)
            shared = divided(part, z, self.stabiliser, share.sign)
            for x, weight in taken:
                found = x * layer.back(shared, layer.x, weight)
                total = found if total is None else total + found
        if total is None:
            raise layer.step.refuse("gets no relevance by this rule")
        return total

    def _z(self, layer: Layer, terms: list[Term], taken: list[tuple[Tensor, Array]]) -> Tensor:
        if len(terms) == 1 and terms[0] == AS_IT_IS:
            return layer.z
        z: Tensor | None = None
        for term, (x, weight) in zip(terms, taken, strict=True):
            found = layer.apply(x, weight, None if term.b is None else term.b(layer.bias))
            z = found if z is None else z + found
        assert z is not None
        return z


@dataclass(frozen=True)
class ByWeights:
    """The same with 1 for every input: shares are known in advance, and need no stabiliser.

    Attributes
    ----------
    w : callable
        What becomes of weights.
    """

    w: Change

    def __call__(self, layer: Layer, relevance: Tensor, nonnegative: bool) -> Tensor:
        """Relevance of the layer's input."""
        weight = self.w(layer.weight)
        z = layer.of_constant(np.ones(layer.inputs), weight)
        parts = layer.by_output(1 / np.where(z == 0, 1, z))
        return layer.back(relevance * parts, layer.x, weight)


def divided(relevance: Tensor, z: Tensor, stabiliser: float, sign: int = 0) -> Tensor:
    """R / (z + e sign(z)), sign(0) = 1; without e, 1 in place of a z of 0.

    It is written with a denominator that is e or more, which bounds over many inputs can follow. Where the
    sign of z is known, what rounding or a gate leaves of the other one counts as 0.
    """
    graph = z.graph
    if not stabiliser:
        zero = graph.node("Equal", [z, z.like(0.0)], shape=z.shape, elem_type=TensorProto.BOOL)
        return relevance / (z + zero.cast(z.elem_type))
    if sign:
        size = graph.same("Relu", z if sign > 0 else -z)
        return (relevance if sign > 0 else -relevance) / (size + stabiliser)
    positive = (z >= 0.0).cast(z.elem_type)
    return relevance * (positive * 2.0 - 1.0) / (graph.same("Abs", z) + stabiliser)


def require_stabiliser(value: float, name: str = "stabiliser") -> None:
    """Refuse one that is negative or not finite."""
    if not 0 <= value < inf:
        raise OptionError(f"{name} is {value}; it must be a number that is 0 or larger.")


def _taken(layer: Layer, term: Term, nonnegative: bool) -> Tensor:
    """What a term takes for the input."""
    x = layer.x
    if not isinstance(term.x, str):
        values = np.asarray(term.x, dtype=np.float64)
        shape = (1, *(x.length(axis) for axis in range(1, x.rank)))
        try:
            return x.like(np.broadcast_to(values, shape))
        except ValueError:
            raise OptionError(
                f"bounds of the shape {values.shape} do not fit inputs of {shape[1:]}."
            ) from None
    if term.x == "x" or nonnegative:
        return x
    positive = x.graph.same("Relu", x)
    return positive if term.x == "+" else x - positive


def _same(a: Array) -> Array:
    return a


def _positive(a: Array) -> Array:
    return np.maximum(a, 0)


def _negative(a: Array) -> Array:
    return np.minimum(a, 0)


AS_IT_IS = Term("x", _same, _same)


def epsilon(e: float, bias: bool = True, stabiliser: float = 1e-6) -> LayerRule:
    """Contributions as they are; e is the stabiliser. With a bias, it takes its share of the relevance."""
    return ByContributions((Share((AS_IT_IS if bias else Term("x", _same),)),), e)


def alpha_beta(alpha: float, beta: float, bias: bool = True, stabiliser: float = 1e-6) -> LayerRule:
    """alpha times the positive contributions, less beta times the negative ones, each over its sum."""
    up, down = (_positive, _negative) if bias else (None, None)
    shares = (
        Share((Term("+", _positive, up), Term("-", _negative)), alpha, 1),
        Share((Term("+", _negative, down), Term("-", _positive)), -beta, -1),
    )
    return ByContributions(shares if beta else shares[:1], stabiliser)


def z_plus(bias: bool = False, stabiliser: float = 1e-6) -> LayerRule:
    """Positive contributions alone."""
    return alpha_beta(1.0, 0.0, bias, stabiliser)


def gamma(g: float, stabiliser: float = 1e-6) -> LayerRule:
    """Contributions of the output's sign count 1 + gamma times."""

    def more(part: Change) -> Change:
        return lambda a: a + g * part(a)

    up, down = more(_positive), more(_negative)
    shares = (
        Share((Term("+", up, up), Term("-", down)), sign=1, gated=True),
        Share((Term("+", down, down), Term("-", up)), sign=-1, gated=True),
    )
    return ByContributions(shares, stabiliser)


def w_square() -> LayerRule:
    """By squared weights, whatever the inputs."""
    return ByWeights(np.square)


def flat() -> LayerRule:
    """Evenly over the inputs that an output sees."""
    return ByWeights(np.ones_like)


def bounded(low: ArrayLike, high: ArrayLike, stabiliser: float = 1e-6) -> LayerRule:
    """Of inputs between bounds: x W - low W+ - high W- (z^B)."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if (low > high).any():
        raise OptionError("low should not be greater than high.")
    terms = (
        Term("x", _same),
        Term(-low, _positive),
        Term(-high, _negative),
    )
    return ByContributions((Share(terms),), stabiliser)


def excitation(stabiliser: float = 1e-6) -> LayerRule:
    """Inputs through positive weights alone."""
    return ByContributions((Share((Term("x", _positive),)),), stabiliser)
