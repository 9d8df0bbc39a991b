"""Operators that act element by element: arithmetic, comparisons, logic, activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import (
    COMPARISONS,
    LOGIC,
    Discrete,
    logical_not,
    sign,
    to_form,
    to_integer,
)
from verifier.check.numbers.integers import Arithmetic, Form
from verifier.check.numbers.relaxations import absolute, maximum, minimum, relu, select
from verifier.check.numbers.smooth import FUNCTIONS, smooth
from verifier.check.operators.registry import Context, Node, Value, operator
from verifier.check.operators.whole import divided_integers, like, whole

__all__: list[str] = []


def _integers_only(inputs: list[Any]) -> bool:
    return all(isinstance(v, Discrete) for v in inputs if v is not None)


STEPS: dict[str, Callable[[Arithmetic, Form, Form], Form]] = {
    **dict.fromkeys(("Add", "Sum", "Mean"), Arithmetic.add),
    "Sub": Arithmetic.subtract,
    "Max": maximum,
    "Min": minimum,
}


@operator("Max", "Min", elementwise=True, ties=True)
@operator("Sub", elementwise=True, ties=True)
@operator("Add", "Mul", "Div", "Sum", "Neg", "Abs", "Relu", "Mean", elementwise=True)
def _arithmetic(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    ar = ctx.ar
    if _integers_only(inputs):
        if node.op == "Div":
            return divided_integers(ctx, node, *inputs)
        if node.op == "Mean":
            raise node.refuse("a mean of integers is not defined")
        return whole(ctx, node, _reals(ctx, node, [to_form(ar, v) for v in inputs]))
    return _reals(ctx, node, [to_form(ar, v) for v in inputs])


def _reals(ctx: Context, node: Node, v: list[Form]) -> Form:
    ar = ctx.ar
    if node.op == "Mul":
        return ctx.product(*v)
    if node.op == "Div":
        return ctx.quotient(*v)
    v = ctx.alike(*v)
    if node.op == "Neg":
        return ar.negative(v[0])
    if node.op in ("Abs", "Relu"):
        return (absolute if node.op == "Abs" else relu)(ar, v[0])
    total = v[0]
    for x in v[1:]:
        total = STEPS[node.op](ar, total, x)
    return total if node.op != "Mean" else ctx.product(total, ctx.number(Fraction(1, len(v))))


@operator("LeakyRelu", elementwise=True)
@operator("PRelu", elementwise=True)
def _two_slopes(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    v = to_form(ctx.ar, inputs[0])
    slope = to_form(ctx.ar, inputs[1]) if node.op == "PRelu" else ctx.number(node.get("alpha"))
    moves = node.op == "PRelu" and node.inputs[1] in ctx.moves
    return like(ctx, node, inputs[0], (_freely_bent if moves else _bent)(ctx, v, slope))


def _bent(ctx: Context, v: Form, slope: Form) -> Form:
    """v above zero, slope * v below."""
    below = ctx.product(v, slope)
    one = ctx.number(1)
    less = COMPARISONS["LessOrEqual"](ctx.ar, slope, one)
    if less.lo.all():
        return maximum(ctx.ar, v, below)
    return select(ctx.ar, less.lo, less.hi, maximum(ctx.ar, v, below), minimum(ctx.ar, v, below))


def _freely_bent(ctx: Context, v: Form, slope: Form) -> Form:
    """v + (1 - slope) max(-v, 0)."""
    factor = ctx.ar.subtract(*ctx.alike(ctx.number(1), slope))
    return ctx.ar.add(*ctx.alike(v, ctx.product(factor, relu(ctx.ar, ctx.ar.negative(v)))))


def _clipped(ctx: Context, v: Form, low: Value | None, high: Value | None) -> Form:
    for bound, cut in ((low, maximum), (high, minimum)):
        if bound is not None:
            v = cut(ctx.ar, *ctx.alike(v, bound))
    return v


@operator("Clip", elementwise=True)
def _clip(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    low, high = [*inputs, None, None][1:3]
    if any(v is not None and math.prod(v.shape) != 1 for v in (low, high)):
        raise node.refuse("its min or its max is not a scalar")
    low, high = (v if v is None else v.each(lambda a: a.reshape(a.shape[-1])) for v in (low, high))
    if node.opset < 11:
        low, high = (None if node.get(k) is None else ctx.number(node.get(k)) for k in ("min", "max"))
    out = _clipped(ctx, to_form(ctx.ar, inputs[0]), low, high)
    return to_integer(ctx.ar, out, truncate=False) if isinstance(inputs[0], Discrete) else out


@operator("HardSigmoid", "HardSwish", elementwise=True)
def _hard(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    alpha, beta = (node.get("alpha"), node.get("beta")) if node.op == "HardSigmoid" else (Fraction(1, 6), 0.5)
    line = ctx.product(inputs[0], ctx.number(alpha))
    gate = _clipped(ctx, ctx.ar.add(*ctx.alike(line, ctx.number(beta))), ctx.number(0), ctx.number(1))
    return gate if node.op == "HardSigmoid" else ctx.product(inputs[0], gate)


@operator(*FUNCTIONS, elementwise=True)
def _smooth(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    return smooth(ctx.ar, node.op, inputs[0])


@operator(*COMPARISONS, elementwise=True, ties=True)
def _compare(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    values = inputs if _integers_only(inputs) else ctx.alike(*inputs)
    return COMPARISONS[node.op](ctx.ar, *values)


@operator(*LOGIC, elementwise=True)
def _logic(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    return LOGIC[node.op](*inputs)


@operator("Not", elementwise=True)
def _not(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    return logical_not(inputs[0])


@operator("Sign", elementwise=True)
def _sign(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    signs = sign(to_form(ctx.ar, inputs[0]))
    return signs if isinstance(inputs[0], Discrete) else to_form(ctx.ar, signs)


@operator("Where", elementwise=True)
def _where(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    condition, a, b = inputs
    if _integers_only([a, b]):
        yes, no = condition.lo != 0, condition.hi == 0
        return Discrete(
            np.where(yes, a.lo, np.where(no, b.lo, np.minimum(a.lo, b.lo))),
            np.where(yes, a.hi, np.where(no, b.hi, np.maximum(a.hi, b.hi))),
        )
    return select(ctx.ar, condition.lo, condition.hi, *ctx.alike(a, b))
