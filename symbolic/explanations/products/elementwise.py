"""Functions of one tensor, element by element: their registry, and those that are piecewise linear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from symbolic.explanations.backward import Gradients, Step, product, unbroadcast
from symbolic.explanations.graph import Tensor

__all__ = ["DERIVATIVES", "derivative"]

Derivative = Callable[[Step, Tensor, Tensor], Tensor | None]
"""From a node, its input and its output to f'(x); None where that is zero nearly everywhere."""
DERIVATIVES: dict[str, Derivative] = {}
"""Of functions of one tensor, by operator type."""
NOWHERE = (
    "Ceil", "Floor", "Round", "Sign", "IsNaN", "IsInf", "ArgMax", "ArgMin", "Shape", "Size", "NonZero",
    "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Hardmax",
    "ConstantOfShape", "EyeLike", "BitCast", "OneHot", "Range",
)  # fmt: skip


def derivative(*names: str) -> Callable[[Derivative], Derivative]:
    """Register f', and with it the product gradient * f'(x)."""

    def register(of: Derivative) -> Derivative:
        def rule(step: Step, gradients: Gradients) -> Gradients:
            gradient = gradients[0]
            slope = of(step, step.given(), step.outputs[0])
            return [None if gradient is None or slope is None else gradient * slope]

        DERIVATIVES.update((name, of) for name in names)
        product(*names)(rule)
        return of

    return register


def gated(*names: str) -> Callable[[Callable[[Step, Tensor], Tensor]], Callable[[Step, Tensor], Tensor]]:
    """Register a function whose slope is 1 where a condition holds, else 0: the gradient is copied there."""

    def register(passes: Callable[[Step, Tensor], Tensor]) -> Callable[[Step, Tensor], Tensor]:
        def rule(step: Step, gradients: Gradients) -> Gradients:
            gradient = gradients[0]
            if gradient is None:
                return [None]
            return [step.graph.where(passes(step, step.given()), gradient, 0.0, like=gradient)]

        def slope(step: Step, x: Tensor, y: Tensor) -> Tensor:
            return passes(step, x).cast(x.elem_type)

        DERIVATIVES.update((name, slope) for name in names)
        product(*names)(rule)
        return passes

    return register


@gated("Relu")
def relu(step: Step, x: Tensor) -> Tensor:
    """At 0 the slope is 0, as in PyTorch and TensorFlow."""
    return x > 0.0


@gated("ThresholdedRelu")
def thresholded_relu(step: Step, x: Tensor) -> Tensor:
    """x beyond alpha, else 0."""
    return x > step.node.number("alpha")


@gated("Shrink")
def shrink(step: Step, x: Tensor) -> Tensor:
    """x moved towards 0 by a bias, 0 within lambd."""
    reach = step.node.number("lambd")
    return (x > reach) | (x < -reach)


@gated("Clip")
def clip(step: Step, x: Tensor) -> Tensor:
    """At its ends the slope is 0, as of Relu (and of PyTorch's ReLU6, not of its clamp)."""
    inside = None
    for index, beyond in ((1, x.__gt__), (2, x.__lt__)):
        if step.has(index):
            one = beyond(step.given(index))
            inside = one if inside is None else inside & one
    return inside if inside is not None else x >= x


@product("Clip")
def clipped(step: Step, gradients: Gradients) -> Gradients:
    """A bound that depends on the input gets what it replaces; the upper bound wins where they cross."""
    gradient, x, graph = gradients[0], step.given(), step.graph
    if gradient is None:
        return []
    low, high = (step.given(k) if step.has(k) else None for k in (1, 2))
    above = None if high is None else x > high if low is None else (x > high) | (low > high)
    passed = graph.where(clip(step, x), gradient, 0.0, like=gradient)
    bounds: list[Tensor | None] = [None, None]
    if low is not None and step.wants(1):
        here = graph.where(x < low, gradient, 0.0, like=gradient)
        mine = here if above is None else graph.where(above, 0.0, here, like=gradient)
        bounds[0] = unbroadcast(mine, low)
    if high is not None and above is not None and step.wants(2):
        bounds[1] = unbroadcast(graph.where(above, gradient, 0.0, like=gradient), high)
    return [passed, *bounds]


@gated("HardSigmoid")
def hard_sigmoid(step: Step, x: Tensor) -> Tensor:
    """Its slope is alpha; see `_hard_sigmoid`."""
    line = x * step.node.number("alpha") + step.node.number("beta")
    return (line > 0.0) & (line < 1.0)


@derivative("HardSigmoid")
def _hard_sigmoid(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return hard_sigmoid(step, x).cast(x.elem_type) * step.node.number("alpha")


@derivative("LeakyRelu")
def leaky_relu(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.where(x > 0.0, 1.0, step.node.number("alpha"), like=x)


@derivative("HardSwish")
def hard_swish(step: Step, x: Tensor, y: Tensor) -> Tensor:
    middle = step.graph.where(x > -3.0, x / 3.0 + 0.5, 0.0, like=x)
    return step.graph.where(x < 3.0, middle, 1.0, like=x)


@derivative("Abs")
def absolute(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return step.graph.same("Sign", x)


@derivative("Neg")
def negative(step: Step, x: Tensor, y: Tensor) -> Tensor:
    return x.like(-1.0)


@product("Identity")
def identity(step: Step, gradients: Gradients) -> Gradients:
    return [gradients[0]]


@product("Dropout")
def dropout(step: Step, gradients: Gradients) -> Gradients:
    """The identity, unless in training mode."""
    training = step.graph.value(step.given(2).name) if step.has(2) else np.zeros(1)
    if training is None or training.any():
        raise step.refuse("is in training mode: it is random")
    return [gradients[0]]


@product("Cast", "CastLike")
def cast(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    return [None if gradient is None else gradient.cast(step.given().elem_type)]


@product(*NOWHERE)
def step_function(step: Step, gradients: Gradients) -> Gradients:
    """Zero wherever there is a derivative."""
    if step.node.op_type in ("OneHot", "Range") and any(map(step.wants, (0, 1, 2))):
        raise step.refuse("takes values that depend on the input, and has no derivative here")
    return []
