"""Products of a tensor with a function of itself: Swish, GELU and Mish as exporters write them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from symbolic.explanations.backward import backward
from symbolic.explanations.graph import Graph, Tensor
from symbolic.explanations.products.elementwise import DERIVATIVES

__all__ = ["SelfGate", "self_gates"]

ARITHMETIC = frozenset(("Add", "Div", "Mul", "Pow", "Sub"))
LONGEST = 32
"""Nodes that make f(x) of x."""


@dataclass(frozen=True, eq=False)
class SelfGate:
    """x f(x), a function of single elements as a whole.

    Attributes
    ----------
    x : str
    y : str
        The product.
    nodes : tuple of onnx.NodeProto
        From x to y, in order.
    """

    x: str
    y: str
    nodes: tuple[onnx.NodeProto, ...]

    def tangent(self, graph: Graph) -> Tensor | None:
        """The derivative by x, (N, ...)."""
        y = graph.tensor(self.y)
        return backward(graph, self.nodes, {self.y: graph.expand(y.like(1.0), y)}, self.x).get(self.x)


def self_gates(graph: Graph, nodes: Sequence[onnx.NodeProto], moving: set[str]) -> dict[str, SelfGate]:
    """All of a network, by the name of the product; `moving` are the tensors that follow its input."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        if node.op_type != "Mul" or not moving.issuperset(node.input):
            continue
        y, (a, b) = node.output[0], node.input
        if a == b or graph.tensor(y).shape is None:
            continue
        for x, other in ((a, b), (b, a)):
            names = _made_from(graph, makers, moving, other, x)
            if names is not None:
                inner = (n for n in nodes if n.output[0] in names)
                found[y] = SelfGate(x, y, (*inner, node))
                break
    return found


def _made_from(
    graph: Graph, makers: dict[str, onnx.NodeProto], moving: set[str], last: str, x: str
) -> set[str] | None:
    """The tensors from x to the last one; None if that is not made of x alone, element by element."""
    shape, found, ahead = graph.tensor(x).shape, set[str](), [last]
    while ahead:
        name = ahead.pop()
        if name == x or name in found:
            continue
        node = makers.get(name)
        if (
            node is None
            or node.op_type not in DERIVATIVES.keys() | ARITHMETIC
            or graph.tensor(name).shape != shape
            or len(found) == LONGEST
        ):
            return None
        found.add(name)
        ahead += [operand for operand in node.input if operand in moving]
    return found
