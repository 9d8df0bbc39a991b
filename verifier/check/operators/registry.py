"""The registry of ONNX operators on forms and discrete tensors, and what they are given.

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

from verifier.check.errors import InvalidCertificate, NotHomogeneous
from verifier.check.graph.cases import Case
from verifier.check.numbers.discrete import (
    Discrete,
    to_form,
)
from verifier.check.numbers.integers import Arithmetic, Array, Form
from verifier.check.numbers.smooth import smooth

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

    def axis(self, rank: int, given: int | None = None) -> int:
        """An axis of a tensor (the attribute, if none is given), counted from the front."""
        axis = int(self.get("axis", 0) if given is None else given)
        if axis not in range(-rank, rank):
            raise self.refuse(f"a tensor of rank {rank} has no axis {axis}")
        return axis % rank

    def refuse(self, why: str) -> InvalidCertificate:
        """An error that names this node."""
        return InvalidCertificate(f"cannot evaluate {self.op} node {self.name or self.outputs[0]!r}: {why}")


@dataclass
class Context:
    """What an evaluation needs besides the values.

    The arithmetic, the names of the tensors that move, a ray's scale, what is computed once per node and
    precision (`cache`) or once per node (`maps`), and what is supposed (`case`). Only what does not move may
    be cached.
    """

    ar: Arithmetic
    moves: set[str]
    scale: Form | None = None
    cache: dict[Any, Any] = field(default_factory=dict)
    maps: dict[Any, Any] = field(default_factory=dict)
    case: Case | None = None

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
    absorbs: tuple[int, ...] = ()


TRAITS: dict[str, Traits] = {}


def operator(
    *names: str,
    still: tuple[int, ...] = (),
    elementwise: bool = False,
    ties: bool = False,
    absorbs: tuple[int, ...] = (),
) -> Callable[[Operator], Operator]:
    """Register an operator under the names of the standard.

    `still`: the inputs that must not depend on the moving input (weights, and what fixes shapes and places
    of elements): only of these may anything be cached. `elementwise`: each element of the one output is a
    function of the operands at its place, so that equal operands give equal results. `ties`: what it does
    depends on which of two inputs is greater, so that it must know where they are the same. `absorbs`: inputs
    of which, where they are constant, only the shape is looked at once `Context.once` holds what was made of
    them.
    """

    def register(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        TRAITS.update(dict.fromkeys(names, Traits(still, elementwise, ties, absorbs)))
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
