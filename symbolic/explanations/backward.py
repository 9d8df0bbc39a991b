"""The backward pass: from the gradient of an output to that of an input, node by node.

What a node makes of the gradients of its outputs is its *rule*. The default is the vector-Jacobian product
(Griewank and Walther, Evaluating Derivatives, 2008); every method of explanation is a set of other rules at
chosen nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx

from symbolic.errors import ModelError
from symbolic.explanations.graph import Graph, Tensor
from symbolic.node import Node

__all__ = [
    "FLOATING",
    "Gradients",
    "Rule",
    "Step",
    "backward",
    "between",
    "product",
    "products",
    "unbroadcast",
]

FLOATING = frozenset(
    (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
)
Gradients = Sequence[Tensor | None]
"""One per output (or input) of a node; None stands for zero."""


@dataclass(frozen=True, eq=False)
class Step:
    """A node on the way back.

    Attributes
    ----------
    graph : Graph
    node : Node
        With the defaults of its operator set.
    wanted : tuple of bool
        Which inputs depend on what is explained, and so need a gradient.
    """

    graph: Graph
    node: Node
    wanted: tuple[bool, ...]

    @cached_property
    def inputs(self) -> list[Tensor | None]:
        """The node's inputs; None where one is left out."""
        return [self.graph.tensor(name) if name else None for name in self.node.proto.input]

    @cached_property
    def outputs(self) -> list[Tensor]:
        """The node's outputs, without those left out."""
        return [self.graph.tensor(name) for name in self.node.proto.output if name]

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.node.label

    def given(self, index: int = 0) -> Tensor:
        """An input that must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise ModelError(f"{self.label} lacks input {index}.")
        return found

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def wants(self, index: int) -> bool:
        """Whether this input needs a gradient."""
        return index < len(self.wanted) and self.wanted[index]

    def refuse(self, why: str) -> ModelError:
        """An error that names the node."""
        return ModelError(f"{self.label} {why}.")


Rule = Callable[[Step, Gradients], Gradients]
"""From the gradients of a node's outputs to those of its inputs (missing ones at the end are zero)."""

products: dict[str, Rule] = {}
"""Vector-Jacobian products by operator type."""


def product(*names: str) -> Callable[[Rule], Rule]:
    """Register the vector-Jacobian product of operators."""

    def register(rule: Rule) -> Rule:
        products.update((name, rule) for name in names)
        return rule

    return register


def between(nodes: Sequence[onnx.NodeProto], source: str, targets: Iterable[str]) -> set[str]:
    """The tensors that depend on the source and that the targets depend on, both included."""
    after = {source}
    for node in nodes:
        if not after.isdisjoint(node.input):
            after.update(name for name in node.output if name)
    before = set(targets)
    for node in reversed(nodes):
        if not before.isdisjoint(node.output):
            before.update(name for name in node.input if name)
    return after & before


def backward(
    graph: Graph,
    nodes: Sequence[onnx.NodeProto],
    starts: Mapping[str, Tensor],
    source: str,
    rule_of: Callable[[Step], Rule] | None = None,
) -> dict[str, Tensor]:
    """Go back from some tensors to the source.

    Parameters
    ----------
    graph : Graph
        To which the nodes of the gradient are appended.
    nodes : sequence of onnx.NodeProto
        The model's own nodes, in order.
    starts : mapping of str to Tensor
        Gradients to begin with, by the name of the tensor.
    source : str
        What is explained.
    rule_of : callable, optional
        The rule of a node; default: its vector-Jacobian product.

    Returns
    -------
    dict
        The gradient of every tensor on the way (the source is missing where it is zero everywhere).

    Raises
    ------
    ModelError
        A node without a derivative here; the message names it.
    """
    choose = rule_of or default_rule
    path = between(nodes, source, starts)
    found: dict[str, list[Tensor]] = {name: [start] for name, start in starts.items()}
    done: dict[str, Tensor] = {}

    def total(name: str) -> Tensor | None:
        if name not in done and name in found:
            terms = found[name]
            done[name] = terms[0]
            for term in terms[1:]:
                done[name] = done[name] + term
        return done.get(name)

    for proto in reversed(nodes):
        if path.isdisjoint(proto.output) or path.isdisjoint(proto.input):
            continue
        gradients = [total(name) if name in path else None for name in proto.output]
        if all(gradient is None for gradient in gradients):
            continue
        wanted = tuple(_moves(graph, path, name) for name in proto.input)
        if not any(wanted):
            continue
        step = Step(graph, Node.of(proto, graph.opset), wanted)
        for name, gradient in zip(proto.input, choose(step)(step, gradients), strict=False):
            if gradient is not None and name in path:
                found.setdefault(name, []).append(gradient)
    total(source)
    return done


def _moves(graph: Graph, path: set[str], name: str) -> bool:
    """Whether a gradient flows into a tensor: it is on the way, and holds real numbers."""
    return name in path and graph.tensor(name).elem_type in FLOATING


def default_rule(step: Step) -> Rule:
    """The vector-Jacobian product; a ModelError where there is none."""
    found = products.get(step.node.op_type)
    if found is None or step.node.proto.domain not in ("", "ai.onnx"):
        raise step.refuse("has no derivative here")
    return found


def unbroadcast(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient of an operand from that of an elementwise result: summed over what was broadcast."""
    if gradient.shape is not None and gradient.shape == x.shape and None not in gradient.shape:
        return gradient
    shape, whole = x.known_shape, gradient.known_shape
    extra = len(whole) - len(shape)
    graph = gradient.graph
    if extra:
        gradient = graph.sum(gradient, range(extra), keep=False)
    axes = [k for k, n in enumerate(shape) if n == 1 and whole[extra + k] != 1]
    return graph.sum(gradient, axes, keep=True) if axes else gradient
