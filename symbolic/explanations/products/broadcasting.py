"""Operators on several tensors that broadcast."""

from __future__ import annotations

from symbolic.explanations.backward import Gradients, Step, product, unbroadcast
from symbolic.explanations.graph import Tensor


def _each(step: Step, *gradients: Tensor | None) -> Gradients:
    """Gradients of the broadcast operands."""
    return [
        None if gradient is None or not step.wants(k) else unbroadcast(gradient, step.given(k))
        for k, gradient in enumerate(gradients)
    ]


@product("Add", "Sum")
def addition(step: Step, gradients: Gradients) -> Gradients:
    return _each(step, *[gradients[0]] * len(step.inputs))


@product("Mean")
def mean(step: Step, gradients: Gradients) -> Gradients:
    gradient, count = gradients[0], len(step.inputs)
    return _each(step, *[None if gradient is None else gradient / float(count)] * count)


@product("Sub")
def subtraction(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    return _each(step, gradient, None if gradient is None or not step.wants(1) else -gradient)


@product("Mul")
def multiplication(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    a, b = step.given(0), step.given(1)
    return _each(step, gradient * b if step.wants(0) else None, gradient * a if step.wants(1) else None)


@product("Div")
def division(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    b, quotient = step.given(1), step.outputs[0]
    return _each(
        step,
        gradient / b if step.wants(0) else None,
        -(gradient * quotient / b) if step.wants(1) else None,
    )


@product("Pow")
def power(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    x, exponent = step.given(0), step.given(1).cast(step.given(0).elem_type)
    base = over = None
    if step.wants(0):
        base = gradient * exponent * x.power(exponent - 1.0)
    if step.wants(1):
        over = (gradient * step.outputs[0] * step.graph.same("Log", x)).cast(step.given(1).elem_type)
    return _each(step, base, over)


@product("Mod")
def remainder(step: Step, gradients: Gradients) -> Gradients:
    """x - d trunc(x / d): the number of whole parts does not move."""
    gradient = gradients[0]
    if gradient is None:
        return []
    a, b, rest = step.given(0), step.given(1), step.outputs[0]
    return _each(step, gradient, -(gradient * ((a - rest) / b)) if step.wants(1) else None)


@product("PRelu")
def parametric_relu(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    x, slope = step.given(0), step.given(1)
    positive = x > 0.0
    return _each(
        step,
        step.graph.where(positive, gradient, gradient * slope, like=gradient),
        step.graph.where(positive, 0.0, gradient * x, like=gradient) if step.wants(1) else None,
    )


@product("Where")
def choice(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    condition, where = step.given(0), step.graph.where
    return _each(
        step,
        None,
        where(condition, gradient, 0.0, like=gradient) if step.wants(1) else None,
        where(condition, 0.0, gradient, like=gradient) if step.wants(2) else None,
    )


@product("Max", "Min")
def extremum(step: Step, gradients: Gradients) -> Gradients:
    """The gradient goes to the winner; of equal operands to the first."""
    gradient, graph = gradients[0], step.graph
    if gradient is None:
        return []
    best, taken = step.given(0), []
    for k in range(1, len(step.inputs)):
        operand = step.given(k)
        wins = operand > best if step.node.op_type == "Max" else operand < best
        taken.append(wins)
        best = graph.where(wins, operand, best, like=best)
    found: list[Tensor | None] = []
    for wins in reversed(taken):
        found.insert(0, graph.where(wins, gradient, 0.0, like=gradient))
        gradient = graph.where(wins, 0.0, gradient, like=gradient)
    return _each(step, gradient, *found)
