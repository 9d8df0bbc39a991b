"""The operators of ONNX on forms and discrete tensors: the registry, and the elementwise ones.

An operator is a function ``(context, node, inputs) -> outputs``. Inputs are `Form` (real tensors),
`Discrete` (boolean and integer tensors) or None (left out). Its meaning is that of real arithmetic on the
stored constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from .check_discrete import COMPARISONS, LOGIC, Discrete, logical_not, sign, to_form, to_integer
from .check_errors import InvalidCertificate, NotHomogeneous
from .check_integers import Arithmetic, Array, Form
from .check_relaxations import absolute, maximum, minimum, relu, select
from .check_smooth import FUNCTIONS, smooth

__all__ = ["OPERATORS", "TRAITS", "Context", "Node", "Value", "fractions", "operator", "whole_numbers"]

Value = Form | Discrete
LARGEST_TENSOR = 1 << 26


@dataclass(frozen=True)
class Node:
    """A node of the graph with its attributes, the standard's defaults filled in."""

    index: int
    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    proto: onnx.NodeProto
    attributes: dict[str, Any]
    kinds: tuple[int, ...] = ()  # the element types of the inputs, 0 where not known

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute called `name`."""
        return self.attributes.get(name, default)

    def refuse(self, why: str) -> InvalidCertificate:
        """An error that names this node."""
        return InvalidCertificate(f"cannot evaluate {self.op} node {self.name or self.outputs[0]!r}: {why}")


@dataclass
class Context:
    """What an evaluation needs besides the values.

    The arithmetic, the names of the tensors that move, a ray's scale, and what is computed once per node and
    precision (`cache`) or once per node (`maps`). Only what does not move may be cached.
    """

    ar: Arithmetic
    moves: set[str]
    scale: Form | None = None
    cache: dict[Any, Any] = field(default_factory=dict)
    maps: dict[Any, Any] = field(default_factory=dict)

    def once(self, node: Node, make: Callable[[], Any], exact: bool = False) -> Any:
        """`make()`, computed once per node (for every precision if it is `exact`, an index map)."""
        store = self.maps if exact else self.cache
        if node.index not in store:
            store[node.index] = make()
        return store[node.index]

    def number(self, value: Any) -> Form:
        """A constant scalar: a Fraction, an integer or a float that is one exactly."""
        return self.ar.constant(np.array(Fraction(value), dtype=object))

    def alike(self, *values: Value) -> list[Form]:
        """Forms of one degree: on a ray, constants added to moving values are multiplied by the scale."""
        forms = [to_form(self.ar, v) for v in values]
        degree = max(f.degree for f in forms)
        return [f if f.degree == degree else self.lifted(f) for f in forms]

    def lifted(self, a: Form) -> Form:
        """`a` times the scale of the ray."""
        if self.scale is None:
            raise NotHomogeneous("no ray")
        return self.ar.multiply(a, self.scale)

    def product(self, a: Form, b: Form) -> Form:
        """a * b, of degree one at most."""
        if a.degree + b.degree > 1:
            raise NotHomogeneous("Mul")
        return self.ar.multiply(a, b)

    def quotient(self, a: Form, b: Form) -> Form:
        """a / b."""
        inverse = self.ar.inverse(b)
        return self.product(a, smooth(self.ar, "Reciprocal", b) if inverse is None else inverse)


Operator = Callable[[Context, Node, list[Any]], Any]
OPERATORS: dict[str, Operator] = {}


@dataclass(frozen=True)
class Traits:
    """What the evaluation of a graph must know of an operator beside its function."""

    still: tuple[int, ...] = ()
    elementwise: bool = False
    ties: bool = False
    wraps: bool = False
    absorbs: tuple[int, ...] = ()


TRAITS: dict[str, Traits] = {}


def operator(
    *names: str,
    still: tuple[int, ...] = (),
    elementwise: bool = False,
    ties: bool = False,
    wraps: bool = False,
    absorbs: tuple[int, ...] = (),
) -> Callable[[Operator], Operator]:
    """Register an operator under the names of the standard.

    `still`: the inputs that must not depend on the moving input (weights, and what fixes shapes and places
    of elements): only of these may anything be cached. `elementwise`: each element of the one output is a
    function of the operands at its place, so that equal operands give equal results. `ties`: what it does
    depends on which of two inputs is greater, so that it must know where they are the same. `wraps`: on
    integers it overflows, silently and by type. `absorbs`: inputs of which, where they are constant, only the
    shape is looked at once `Context.once` holds what was made of them.
    """

    def register(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        TRAITS.update(dict.fromkeys(names, Traits(still, elementwise, ties, wraps, absorbs)))
        return function

    return register


def whole_numbers(node: Node, value: Value | None) -> Array:
    """The known integers of a constant (shapes, axes, indices)."""
    if not isinstance(value, Discrete) or value.lo.shape[-1] != 1 or (value.lo != value.hi).any():
        raise node.refuse("a shape, axis or index is not constant")
    return value.lo[..., 0]


def fractions(node: Node, value: Value | None) -> list[Fraction]:
    """The exact numbers of a flat constant."""
    if not isinstance(value, Form) or value.c.shape[-1] != 1 or value.r.any() or value.d.any():
        raise node.refuse("a number is not an exact constant")
    return [int(c) * Fraction(2) ** value.e for c in value.c.flat]


def _integers_only(inputs: list[Any]) -> bool:
    return all(isinstance(v, Discrete) for v in inputs if v is not None)


STEPS: dict[str, Callable[[Arithmetic, Form, Form], Form]] = {
    **dict.fromkeys(("Add", "Sum", "Mean"), Arithmetic.add),
    "Sub": Arithmetic.subtract,
    "Max": maximum,
    "Min": minimum,
}


@operator("Max", "Min", elementwise=True, ties=True)
@operator("Sub", elementwise=True, ties=True, wraps=True)
@operator("Add", "Mul", "Div", "Sum", "Neg", "Abs", elementwise=True, wraps=True)
@operator("Relu", "Mean", elementwise=True)
def _arithmetic(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    ar = ctx.ar
    if _integers_only(inputs):
        if node.op == "Div" or node.op == "Mean":
            a, b = (whole_numbers(node, v) for v in inputs)
            if not b.all():
                raise node.refuse("division of integers by zero")
            return Discrete.known(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))
        return to_integer(ar, _reals(ctx, node, [to_form(ar, v) for v in inputs]), truncate=False)
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
@operator("PRelu", still=(1,), elementwise=True)
def _two_slopes(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    v = inputs[0]
    slope = inputs[1] if node.op == "PRelu" else ctx.number(node.get("alpha"))
    below = ctx.product(v, slope)
    one = ctx.number(1)
    less = COMPARISONS["LessOrEqual"](ctx.ar, slope, one)
    if less.lo.all():
        return maximum(ctx.ar, v, below)
    return select(ctx.ar, less.lo, less.hi, maximum(ctx.ar, v, below), minimum(ctx.ar, v, below))


def _clipped(ctx: Context, v: Form, low: Value | None, high: Value | None) -> Form:
    for bound, cut in ((low, maximum), (high, minimum)):
        if bound is not None:
            v = cut(ctx.ar, *ctx.alike(v, bound))
    return v


@operator("Clip", elementwise=True)
def _clip(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    low, high = ([*inputs, None, None] + [None])[1:3]
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
