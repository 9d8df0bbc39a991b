"""What the elements of a tensor never leave, wherever the input is: a Relu and a square are not negative.

An affine form c + d tau +- r cannot say so: near 0 it reaches below. Functions that are undefined there
(roots, logarithms, quotients) read the limits besides. They hold for the real-number function of the graph,
wherever it is defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from onnx import TensorProto

from symbolic.enclosures.values import Affine, Const, Value
from symbolic.node import Node

__all__ = ["Limits", "limits_of"]

Number = Fraction | float
"""Exact; the floats are infinities."""
LARGEST = Fraction(np.finfo(np.float64).max)
LONGEST = 256
"""Bits of a number that is still kept."""


@dataclass(frozen=True)
class Limits:
    """least <= every element <= most."""

    least: Number = -math.inf
    most: Number = math.inf

    def on(self, value: Value) -> Value:
        """A value that knows its limits."""
        if not isinstance(value, Affine) or self == ANY:
            return value
        return Affine(value.c, value.d, value.r, least=_below(self.least), most=-_below(-self.most))

    def hull(self, other: Limits) -> Limits:
        return Limits(min(self.least, other.least), max(self.most, other.most))

    def plus(self, other: Limits) -> Limits:
        return Limits(_sum_of(self.least, other.least), _sum_of(self.most, other.most))

    def negative(self) -> Limits:
        return Limits(-self.most, -self.least)

    def times(self, other: Limits) -> Limits:
        ends = [_product(a, b) for a in (self.least, self.most) for b in (other.least, other.most)]
        return Limits(min(ends), max(ends))

    def over(self, other: Limits) -> Limits:
        if other.least > 0:
            return self.times(Limits(_inverse(other.most), _inverse(other.least)))
        return NOT_NEGATIVE if self.least >= 0 and other.least >= 0 else ANY

    def size(self) -> Limits:
        """Of absolute values."""
        if self.least >= 0:
            return self
        return Limits(max(Fraction(0), -self.most), max(-self.least, self.most))

    def kept(self) -> Limits:
        """Without numbers that have become too long."""
        return Limits(_short(self.least), -_short(-self.most))


Given = Callable[[int], Limits]
"""The limits of an input of a node."""
Rule = Callable[[Node, Given], Limits]
ANY = Limits()
ZERO = Limits(Fraction(0), Fraction(0))
SHARE = Limits(Fraction(0), Fraction(1))
NOT_NEGATIVE = Limits(Fraction(0))
NOT_POSITIVE = NOT_NEGATIVE.negative()
WITHIN_ONE = Limits(Fraction(-1), Fraction(1))


def limits_of(node: Node, given: Sequence[Value | None], known: dict[str, Limits]) -> list[Limits]:
    """The limits of the outputs of a node.

    Parameters
    ----------
    node : Node
    given : sequence of Value
        Its inputs.
    known : dict
        The limits of tensors that move, by name.
    """

    def at(k: int) -> Limits:
        value = given[k]
        return _of_constant(value) if isinstance(value, Const) else known.get(node.proto.input[k], ANY)

    rule = RULES.get(node.op_type)
    first = ANY if rule is None else rule(node, at).kept()
    others = first if node.op_type == "Split" else ANY
    return [first, *(others for _ in node.proto.output[1:])]


def _of_constant(value: Const) -> Limits:
    if not value.value.size:
        return ANY
    if not value.is_float:
        return Limits(Fraction(int(np.min(value.value))), Fraction(int(np.max(value.value))))
    with np.errstate(all="ignore"):
        least, most = float(np.min(value.value)), float(np.max(value.value))
        if value.radius is not None:
            spread = float(np.max(value.radius))
            least, most = np.nextafter(least - spread, -math.inf), np.nextafter(most + spread, math.inf)
    return Limits(
        Fraction(least) if math.isfinite(least) else -math.inf,
        Fraction(most) if math.isfinite(most) else math.inf,
    )


def _sum_of(a: Number, b: Number) -> Number:
    return a if isinstance(a, float) else b if isinstance(b, float) else a + b


def _product(a: Number, b: Number) -> Number:
    if a == 0 or b == 0:
        return Fraction(0)
    if isinstance(a, float) or isinstance(b, float):
        return math.inf if (a > 0) == (b > 0) else -math.inf
    return a * b


def _inverse(a: Number) -> Number:
    return Fraction(0) if isinstance(a, float) else 1 / a


def _short(a: Number) -> Number:
    """A lower bound of not too many digits."""
    if isinstance(a, float) or max(a.numerator.bit_length(), a.denominator.bit_length()) <= LONGEST:
        return a
    return Fraction(0) if a > 0 else -math.inf


def _root(a: Number) -> Number:
    """A lower bound of a square root."""
    if isinstance(a, float) or a <= 0:
        return Fraction(0)
    return Fraction(math.isqrt((a.numerator << 2 * LONGEST) // a.denominator), 1 << LONGEST)


def _below(a: Number) -> float:
    """The greatest float that is no greater, or the one before it."""
    if isinstance(a, float):
        return a
    if abs(a) > LARGEST:
        return float(LARGEST) if a > 0 else -math.inf
    nearest = float(a)
    return nearest if nearest <= a else float(np.nextafter(nearest, -math.inf))


def _inputs(node: Node) -> range:
    return range(len(node.proto.input))


def _first(node: Node, at: Given) -> Limits:
    return at(0)


def _hull(node: Node, at: Given) -> Limits:
    found = [at(k) for k in _inputs(node)]
    return Limits(min(f.least for f in found), max(f.most for f in found))


def _sum(node: Node, at: Given) -> Limits:
    found = at(0)
    for k in _inputs(node)[1:]:
        found = found.plus(at(k))
    return found


def _product_of_two(node: Node, at: Given) -> Limits:
    if node.proto.input[0] == node.proto.input[1]:
        size = at(0).size()
        return size.times(size)
    return at(0).times(at(1))


def _power(node: Node, at: Given) -> Limits:
    base, exponent = at(0), at(1)
    is_even = exponent.least == exponent.most and exponent.least % 2 == 0
    return NOT_NEGATIVE if is_even or base.least >= 0 else ANY


def _total(node: Node, at: Given) -> Limits:
    """A sum of any number of elements."""
    return NOT_NEGATIVE if at(0).least >= 0 else NOT_POSITIVE if at(0).most <= 0 else ANY


def _products(node: Node, at: Given) -> Limits:
    """Sums of products of elements of all inputs."""
    there = [k for k in _inputs(node) if node.proto.input[k]]
    return NOT_NEGATIVE if all(at(k).least >= 0 for k in there) else ANY


def _gemm(node: Node, at: Given) -> Limits:
    positive = node.number("alpha") >= 0 and node.number("beta") >= 0
    return _products(node, at) if positive else ANY


def _clip(node: Node, at: Given) -> Limits:
    found = at(0)
    if (low := _end(node, at, 1, "min")) is not None:
        found = Limits(max(found.least, low.least), max(found.most, low.most))
    if (high := _end(node, at, 2, "max")) is not None:
        found = Limits(min(found.least, high.least), min(found.most, high.most))
    return found


def _end(node: Node, at: Given, k: int, name: str) -> Limits | None:
    """An end of Clip: an input, or an attribute in old operator sets."""
    if node.opset >= 11:
        return at(k) if k in _inputs(node) and node.proto.input[k] else None
    number = node.attributes.get(name)
    if number is None or not math.isfinite(number):
        return None
    return Limits(Fraction(number), Fraction(number))


def _cast(node: Node, at: Given) -> Limits:
    """Only these casts keep every number."""
    wide = (TensorProto.FLOAT, TensorProto.DOUBLE)
    narrow = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return at(0) if node.attributes.get("to") in wide and node.input_type(0) in (*wide, *narrow) else ANY


def _norm(node: Node, at: Given) -> Limits:
    """What reduces nothing may leave its elements as they are."""
    return ANY if node.flag("noop_with_empty_axes") else NOT_NEGATIVE


def _fixed(limits: Limits) -> Rule:
    return lambda node, at: limits


_SAME = (
    "Compress Dropout Expand Flatten Gather GatherElements GatherND GlobalAveragePool GlobalMaxPool Identity "
    "MaxPool ReduceMax ReduceMean ReduceMin Reshape ReverseSequence Slice Split Squeeze Tile TopK Transpose "
    "Unsqueeze DepthToSpace SpaceToDepth"
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _first),
    **dict.fromkeys(("Trilu", "AveragePool"), lambda node, at: at(0).hull(ZERO)),  # it may add zeros
    **dict.fromkeys(("Concat", "Mean"), _hull),
    **dict.fromkeys(("Add", "Sum"), _sum),
    **dict.fromkeys(("MatMul", "Conv", "ConvTranspose", "Einsum"), _products),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Softmax", "Hardmax"), _fixed(SHARE)),
    **dict.fromkeys(("Tanh", "Erf", "Sin", "Cos", "Softsign", "Sign"), _fixed(WITHIN_ONE)),
    **dict.fromkeys(("Exp", "Softplus", "Cosh", "LpPool", "GlobalLpPool"), _fixed(NOT_NEGATIVE)),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare"), _norm),
    "Abs": lambda node, at: at(0).size(),
    "Cast": _cast,
    "Clip": _clip,
    "Div": lambda node, at: at(0).over(at(1)),
    "Gemm": _gemm,
    "LogSoftmax": _fixed(NOT_POSITIVE),
    "Max": lambda node, at: Limits(
        max(at(k).least for k in _inputs(node)), max(at(k).most for k in _inputs(node))
    ),
    "Min": lambda node, at: Limits(
        min(at(k).least for k in _inputs(node)), min(at(k).most for k in _inputs(node))
    ),
    "Mul": _product_of_two,
    "Neg": lambda node, at: at(0).negative(),
    "Pow": _power,
    "Reciprocal": lambda node, at: Limits(Fraction(1), Fraction(1)).over(at(0)),
    "ReduceSum": _total,
    "Relu": lambda node, at: Limits(max(at(0).least, Fraction(0)), max(at(0).most, Fraction(0))),
    "Sqrt": lambda node, at: Limits(_root(at(0).least)),
    "Sub": lambda node, at: at(0).plus(at(1).negative()),
    "Where": lambda node, at: at(1).hull(at(2)),
}
