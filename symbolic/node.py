"""One operator instance of a graph, and how operators are registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from symbolic.enclosures.values import Batch, Const, Range, Value, holds_integers
from symbolic.errors import ModelError

__all__ = [
    "ML",
    "Absorbing",
    "Builder",
    "Inputs",
    "Node",
    "Rule",
    "constant",
    "evaluate_exactly",
    "given_to",
    "is_registered",
    "moves_integers",
    "one_moves",
    "operator",
    "operators",
    "require_types",
    "required",
]

ML = "ai.onnx.ml"
"""The domain of the standard's operators for classical machine learning."""

Inputs = Sequence[Value | None]
Rule = Callable[[Batch, Inputs], tuple[Value, ...]]
"""Encloses the outputs of a node on a batch of segments."""
Builder = Callable[["Node", Inputs], Rule]
"""Prepares a rule, given values of the inputs at one point (their shapes, and the constants among them)."""
Question = Callable[["Node", Inputs], bool]
"""What depends on a node and on which of its inputs move."""


@dataclass(frozen=True)
class Absorbing:
    """A rule that holds some of the node's constants itself, in its own layout, and never asks for them."""

    rule: Rule
    absorbed: tuple[int, ...]

    def __call__(self, batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return self.rule(batch, values)


@dataclass(frozen=True)
class Node:
    """An ONNX node with decoded attributes; absent ones have the default of the operator's schema.

    Floats are float32 values, defaults too. An attribute without a default in the schema, or that the
    operator set does not know yet, is missing. ``types`` are the element types of tensors by name, as far as
    inference knows them.
    """

    proto: onnx.NodeProto
    opset: int
    attributes: Mapping[str, Any]
    types: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, proto: onnx.NodeProto, opset: int, types: Mapping[str, int] | None = None) -> Node:
        """Decode a node; ``opset`` is the version of the operator set of its domain.

        Raises
        ------
        ModelError
            If the operator set has no such operator.
        """
        given = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        attributes = {**_defaults(proto.op_type, opset, _domain(proto)), **given}
        return cls(proto, opset, attributes, types or {})

    @property
    def op_type(self) -> str:
        return self.proto.op_type

    @property
    def label(self) -> str:
        """How error messages name the node."""
        return f"{self.op_type} node {self.proto.name or self.proto.output[0]!r}"

    def input_type(self, index: int) -> int | None:
        """The ONNX element type of an input, where it is known."""
        return self.types.get(self.proto.input[index]) if index < len(self.proto.input) else None

    @property
    def output_type(self) -> int | None:
        """The ONNX element type of the first output, where it is known."""
        return self.types.get(self.proto.output[0])

    def text(self, name: str, default: str = "") -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def flag(self, name: str) -> bool:
        """A switch; off where the operator set does not know it."""
        return bool(self.attributes.get(name, 0))

    def number(self, name: str) -> float:
        """A float attribute that has a value or a default."""
        return float(self.attributes[name])

    def finite(self, name: str) -> float:
        """Such an attribute; a ModelError if it is no real number."""
        value = self.number(name)
        if not np.isfinite(value):
            raise ModelError(f"{self.label}: its {name} is {value}, no real number.")
        return value

    def axis(self, rank: int, given: int | None = None) -> int:
        """An axis (by default the attribute of this name) of a tensor, counted from the front.

        Raises
        ------
        ModelError
            If there is no such axis.
        """
        axis = int(self.attributes["axis"]) if given is None else given
        if not -rank <= axis < rank:
            raise ModelError(f"{self.label}: there is no axis {axis} in rank {rank}.")
        return axis % rank

    def integers(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """A list of integers."""
        return tuple(int(v) for v in self.attributes.get(name, default))


def _domain(proto: onnx.NodeProto) -> str:
    """The domain of a node; the default one has two names."""
    return "" if proto.domain == "ai.onnx" else proto.domain


@cache
def _defaults(op_type: str, opset: int, domain: str) -> dict[str, Any]:
    """Default values of attributes by the ONNX schema."""
    try:
        declared = onnx.defs.get_schema(op_type, opset, domain).attributes
    except onnx.defs.SchemaError:
        called = f"{domain or 'ONNX'} operator set {opset}"
        raise ModelError(f"{op_type} does not exist in {called}.") from None
    values = {name: attribute.default_value for name, attribute in declared.items()}
    return {name: helper.get_attribute_value(value) for name, value in values.items() if value.name}


@dataclass(frozen=True)
class Operator:
    """What the registry knows of an operator type."""

    build: Builder
    exact: bool | Question
    homogeneous: bool | Question
    wraps: bool
    irrational: bool
    domain: str

    def is_exact(self, node: Node, inputs: Inputs) -> bool:
        """Whether a node with these inputs is piecewise linear in those that move."""
        if self.wraps and moves_integers(inputs):
            return True
        return self.exact if isinstance(self.exact, bool) else self.exact(node, inputs)

    def is_homogeneous(self, node: Node, inputs: Inputs) -> bool:
        """Whether a node with these inputs is positively homogeneous; integers have no scale."""
        if self.wraps and moves_integers(inputs):
            return True
        return self.homogeneous if isinstance(self.homogeneous, bool) else self.homogeneous(node, inputs)


operators: dict[str, Operator] = {}
"""By operator type: no name stands for two operators of different domains."""


def is_registered(proto: onnx.NodeProto) -> bool:
    """Whether the registry has the operator of a node, in the domain of the node."""
    found = operators.get(proto.op_type)
    return found is not None and found.domain == _domain(proto)


def operator(
    *names: str,
    exact: bool | Question = True,
    homogeneous: bool | Question = True,
    wraps: bool = False,
    irrational: bool = False,
    domain: str = "",
) -> Callable[[Builder], Builder]:
    """Register a builder.

    Parameters
    ----------
    *names : str
        ONNX operator types.
    exact : bool or callable
        Piecewise linear in moving inputs (decided exactly in the limit of small segments), not only enclosed.
        A function of (node, inputs) where it depends on them.
    homogeneous : bool or callable
        Scaling all moving inputs and added constants by s > 0 scales the output by s (or leaves a discrete
        output as it is): such operators can be decided on rays. A function of (node, inputs) where it
        depends on them.
    wraps : bool
        Of integers it makes integers, and may overflow, silently and by type. Its rule is for real numbers:
        integers that move are real numbers to it, and what it makes of them is known where the type holds it.
    irrational : bool
        Its own constants are irrational numbers (a square root, sines and cosines).
    domain : str
        The operators' domain; the default is the standard's own.
    """

    def register(build: Builder) -> Builder:
        for name in names:
            operators[name] = Operator(build, exact, homogeneous, wraps, irrational, domain)
        return build

    return register


def given_to(node: Node, known: Mapping[str, Value]) -> list[Value | None]:
    """The inputs of a node."""
    return [known.get(name) if name else None for name in node.proto.input]


def required(node: Node, inputs: Inputs, index: int = 0) -> Value:
    """Input number ``index``; a ModelError if the node lacks it."""
    value = inputs[index] if index < len(inputs) else None
    if value is None:
        raise ModelError(f"{node.label} lacks input {index}.")
    return value


def require_types(node: Node, inputs: Inputs) -> None:
    """A ModelError if integers stand where the standard, in its last version, allows only real numbers."""
    reals = _of_reals(node.op_type, _domain(node.proto))
    for k, value in enumerate(inputs):
        if holds_integers(value) and reals[min(k, len(reals) - 1)]:
            raise ModelError(f"{node.label}: its input {k} holds integers, and must hold real numbers.")


@cache
def _of_reals(op_type: str, domain: str) -> tuple[bool, ...]:
    """Of each input, whether all its types are of real numbers; the last one may stand for more."""
    inputs = onnx.defs.get_schema(op_type, domain=domain).inputs
    return tuple(not any("int" in kind or "bool" in kind for kind in i.types) for i in inputs) or (False,)


def moves_integers(inputs: Inputs) -> bool:
    """Whether some input is of integers or booleans that move."""
    return any(isinstance(v, Range) and holds_integers(v) for v in inputs)


def one_moves(node: Node, inputs: Inputs) -> bool:
    """Whether at most one input moves: then a product is homogeneous."""
    return sum(not isinstance(v, Const) for v in inputs if v is not None) <= 1


def constant(node: Node, inputs: Inputs, index: int, what: str) -> Const | None:
    """Input number ``index`` as a constant (None if absent); a moving one is a ModelError."""
    value = inputs[index] if index < len(inputs) else None
    if value is None or isinstance(value, Const):
        return value
    raise ModelError(f"{node.label}: its {what} must not depend on the audited input.")


def evaluate_exactly(node: Node, arrays: Sequence[NDArray[Any] | None]) -> list[NDArray[Any]]:
    """Run ONNX's reference operator (used on integers, booleans and index arrays only, where it is exact)."""
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.ClearField("input")
    infos, feeds = [], {}
    for k, array in enumerate(arrays):
        proto.input.append("" if array is None else f"in{k}")
        if array is not None:
            infos.append(
                helper.make_tensor_value_info(
                    f"in{k}", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
            )
            feeds[f"in{k}"] = array
    outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
    graph = helper.make_graph([proto], "node", infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, feeds)]
