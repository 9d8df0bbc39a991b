"""Makers of smooth functions, powers, and activations of two and three pieces."""

from __future__ import annotations

import numpy as np
from graph_builder import NUMPY, Builder, Rejected, Tensor
from onnx import TensorProto
from random_operators import SMOOTH, away_from_zero, maker, small

__all__: list[str] = []

BOUNDED = ("Tan", "Asin", "Acos", "Atanh")
SMOOTH |= set(
    "Log Sqrt Tanh Softplus Softsign Mish Erf Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh "
    "Gelu Swish LogSoftmax Elu Selu Celu Pow".split()
)


def number(value: float) -> float:
    """As an attribute holds it: float32, finite."""
    return float(np.clip(np.float32(np.clip(value, -1e38, 1e38)), -1e38, 1e38))


def attribute(b: Builder) -> float:
    """A number, not 0."""
    return number(float(b.numbers([])[()])) or 0.75


@maker("Tanh", "Softplus", "Softsign", "Erf", "Atan", "Asinh", "Sinh", "Cosh", "Sin", "Cos")
def everywhere(b: Builder, name: str) -> object:
    if name in ("Sinh", "Cosh", "Erf", "Asinh") and b.opset < 9:
        raise Rejected("opset")
    return b.node(name, [small(b) if name in ("Sinh", "Cosh") or b.coin(0.7) else b.pick()])


@maker("Mish", since=18)
def mish(b: Builder) -> object:
    return b.node("Mish", [small(b)])


@maker("Gelu", since=20)
def gelu(b: Builder) -> object:
    attributes = {"approximate": b.choose(["none", "tanh"])} if b.coin(0.7) else {}
    return b.node("Gelu", [small(b)], **attributes)


@maker("Swish", since=24)
def swish(b: Builder) -> object:
    attributes = {"alpha": number(float(b.numbers([])[()]))} if b.coin(0.7) else {}
    return b.node("Swish", [small(b)], **attributes)


@maker(*BOUNDED)
def bounded(b: Builder, name: str) -> object:
    if name == "Atanh" and b.opset < 9:
        raise Rejected("opset")
    x = b.pick()
    largest = max(abs(v) for v in b.spread(x))
    if largest >= 0.875:
        scale = 2.0 ** -int(np.ceil(np.log2(float(largest) + 1)) + 1)
        x = b.node("Mul", [x, b.constant(NUMPY[b.type](scale))])[0]
    return b.node(name, [x])


@maker("Log", "Sqrt")
def positive(b: Builder, name: str) -> object:
    return b.node(name, [away_from_zero(b, b.pick())])


@maker("Acosh", since=9)
def acosh(b: Builder) -> object:
    return b.node("Acosh", [above_one(b, b.pick())])


def above_one(b: Builder, x: Tensor) -> Tensor:
    return b.node("Add", [away_from_zero(b, x), b.constant(NUMPY[b.type](1.0))])[0]


@maker("LogSoftmax")
def log_softmax(b: Builder) -> object:
    x = small(b)
    if x.rank == 0:
        raise Rejected("rank")
    return b.node("LogSoftmax", [x], axis=b.integer(-x.rank if b.opset >= 11 else 0, x.rank - 1))


@maker("Elu", "Celu", "Selu")
def exponential_unit(b: Builder, name: str) -> object:
    if name == "Celu" and (b.opset < 12 or b.type != TensorProto.FLOAT):
        raise Rejected("opset")
    attributes = {"alpha": attribute(b)} if b.coin(0.6) else {}
    if name == "Selu" and b.coin(0.4):
        attributes["gamma"] = attribute(b)
    return b.node(name, [small(b)], **attributes)


@maker("ThresholdedRelu", since=10)
def thresholded_relu(b: Builder) -> object:
    x = b.pick()
    return b.node("ThresholdedRelu", [x], **({"alpha": number(b.near(x))} if b.coin(0.8) else {}))


@maker("Shrink", since=9)
def shrink(b: Builder) -> object:
    x = b.pick()
    edge = number(b.near(x))
    attributes = {"lambd": abs(edge) if b.coin(0.8) else edge} if b.coin(0.8) else {}
    if b.coin(0.7):
        attributes["bias"] = attributes.get("lambd", 0.5) if b.coin(0.4) else number(float(b.numbers([])[()]))
    return b.node("Shrink", [x], **attributes)


@maker("Pow")
def power(b: Builder) -> object:
    kind = b.integer(0, 3)
    if kind == 0:  # whole exponents, any base
        x = b.pick()
        exponents = b.rng.integers(0, 4, size=() if b.coin(0.7) else x.shape[-1:])
        return b.node("Pow", [x, b.constant(np.asarray(exponents).astype(NUMPY[b.type]))])
    x = away_from_zero(b, small(b))
    if kind == 1:
        return b.node("Pow", [x, b.constant(NUMPY[b.type](b.choose([-2.0, -1.0, -0.5, 0.5, 1.5, 2.25])))])
    if kind == 2:
        base = np.abs(b.numbers([])) + NUMPY[b.type](0.25)
        return b.node("Pow", [b.constant(base.astype(NUMPY[b.type])), small(b)])
    return b.node("Pow", [x, b.partner(x, moving=1.0)])
