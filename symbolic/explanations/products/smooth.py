"""Smooth functions of one tensor."""

from __future__ import annotations

from math import pi, sqrt

from symbolic.explanations.backward import Step
from symbolic.explanations.graph import Tensor
from symbolic.explanations.products.elementwise import derivative


@derivative("Exp")
def exponential(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return y


@derivative("Log")
def logarithm(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 / x


@derivative("Sqrt")
def root(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 0.5 / y


@derivative("Reciprocal")
def reciprocal(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return -(y * y)


@derivative("Sigmoid")
def sigmoid(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return y * (1.0 - y)


@derivative("Tanh")
def tanh(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 - y * y


@derivative("Sin")
def sine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.same("Cos", x)


@derivative("Cos")
def cosine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return -step.graph.same("Sin", x)


@derivative("Tan")
def tangent(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 + y * y


@derivative("Sinh")
def hyperbolic_sine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.same("Cosh", x)


@derivative("Cosh")
def hyperbolic_cosine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.same("Sinh", x)


@derivative("Asin")
def arc_sine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 / step.graph.same("Sqrt", 1.0 - x * x)


@derivative("Acos")
def arc_cosine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return -1.0 / step.graph.same("Sqrt", 1.0 - x * x)


@derivative("Atan")
def arc_tangent(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 / (1.0 + x * x)


@derivative("Asinh")
def area_sine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 / step.graph.same("Sqrt", x * x + 1.0)


@derivative("Acosh")
def area_cosine(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 / step.graph.same("Sqrt", x * x - 1.0)


@derivative("Atanh")
def area_tangent(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return 1.0 / (1.0 - x * x)


@derivative("Erf")
def error_function(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.same("Exp", -(x * x)) * (2 / sqrt(pi))


@derivative("Softplus")
def softplus(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.same("Sigmoid", x)


@derivative("Softsign")
def softsign(step: Step, x: Tensor, y: Tensor) -> Tensor:
    below = 1.0 + step.graph.same("Abs", x)
    return 1.0 / (below * below)


@derivative("Elu")
def elu(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.where(x > 0.0, 1.0, y + step.node.number("alpha"), like=x)


@derivative("Celu")
def celu(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.where(x > 0.0, 1.0, y / step.node.number("alpha") + 1.0, like=x)


@derivative("Selu")
def selu(step: Step, x: Tensor, y: Tensor) -> Tensor:
    gamma, alpha = step.node.number("gamma"), step.node.number("alpha")
    return step.graph.where(x > 0.0, gamma, y + gamma * alpha, like=x)


@derivative("Mish")
def mish(step: Step, x: Tensor, y: Tensor) -> Tensor:
    """x tanh(softplus(x))."""
    inner = step.graph.same("Tanh", step.graph.same("Softplus", x))
    return inner + x * step.graph.same("Sigmoid", x) * (1.0 - inner * inner)


@derivative("Swish")
def swish(step: Step, x: Tensor, y: Tensor) -> Tensor:
    """x sigmoid(alpha x)."""
    alpha = step.node.number("alpha")
    gate = step.graph.same("Sigmoid", x * alpha)
    return gate + x * alpha * gate * (1.0 - gate)


@derivative("Gelu")
def gelu(step: Step, x: Tensor, y: Tensor) -> Tensor:
    """x times the normal distribution function, or its approximation by tanh."""
    graph = step.graph
    if step.node.text("approximate") == "tanh":
        scale = sqrt(2 / pi)
        inner = graph.same("Tanh", (x + x * x * x * 0.044715) * scale)
        slope = (x * x * (3 * 0.044715) + 1.0) * scale
        return (inner + 1.0) * 0.5 + x * 0.5 * (1.0 - inner * inner) * slope
    density = graph.same("Exp", x * x * -0.5) * (1 / sqrt(2 * pi))
    return (graph.same("Erf", x * (1 / sqrt(2))) + 1.0) * 0.5 + x * density
