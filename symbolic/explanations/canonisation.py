"""Linear layers with what follows them merged: biases, scales and batch normalisation.

W x + b followed by gamma (y - mean) / sqrt(var + eps) + beta is (s W) x + s (b - mean) + beta with
s = gamma / sqrt(var + eps), channel by channel. Relevance is shared by the merged weights; the graph of the
prediction stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.explanations.backward import Step, default_rule
from symbolic.explanations.graph import Graph, Tensor
from symbolic.node import Node

__all__ = ["LAYERS", "Layer", "merged_layers"]

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """x -> W x + b.

    Attributes
    ----------
    step : Step
        Of the node that multiplies by the weights.
    weight : array
        Scaled, as the node stores it (of a Gemm with alpha in it).
    bias : array of shape (outputs,)
    output : str
        The tensor behind everything that was merged.
    """

    step: Step
    weight: Array
    bias: Array
    output: str

    @property
    def x(self) -> Tensor:
        """What goes in."""
        return self.step.given()

    @property
    def z(self) -> Tensor:
        """What comes out."""
        return self.step.graph.tensor(self.output)

    def then(self, scale: Array, shift: Array, output: str) -> Layer:
        """The layer with a scale and a shift of every output merged."""
        return replace(self, weight=self._scaled(scale), bias=self.bias * scale + shift, output=output)

    def _scaled(self, scale: Array) -> Array:
        kind, w = self.step.node.op_type, self.weight
        if kind == "ConvTranspose":  # (inputs, outputs / groups, ...)
            group = int(self.step.node.attributes.get("group", 1))
            parts = w.reshape(group, -1, *w.shape[1:])
            factor = scale.reshape(group, 1, -1, *[1] * (w.ndim - 2))
            return np.asarray((parts * factor).reshape(w.shape))
        if kind == "Conv" or (kind == "Gemm" and self.step.node.flag("transB")):
            return np.asarray(w * scale.reshape(-1, *[1] * (w.ndim - 1)))
        return np.asarray(w * scale)

    def apply(self, x: Tensor, weight: Array, bias: Array | None) -> Tensor:
        """The layer with other weights, on another input."""
        made = self._node(x, weight)
        if bias is None or not bias.any():
            return made
        rest = made.rank - 2 if self.step.node.op_type in ("Conv", "ConvTranspose") else 0
        return made + bias.reshape(-1, *[1] * rest)

    def back(self, relevance: Tensor, x: Tensor, weight: Array) -> Tensor:
        """The transpose of the layer with other weights."""
        again = _Replaced(self.step.graph, self._plain(), (True, False), x, x.like(weight))
        found = default_rule(again)(again, [relevance])[0]
        if found is None:
            raise self.step.refuse("passes nothing back")
        return found

    def _plain(self) -> Node:
        """The node without the factors of a Gemm, which are in the weights."""
        node = self.step.node
        if node.op_type != "Gemm":
            return node
        return replace(node, attributes={**node.attributes, "alpha": 1.0, "beta": 1.0})

    def _node(self, x: Tensor, weight: Array) -> Tensor:
        graph, node = self.step.graph, self.step.node
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.proto.attribute}
        given = {k: v for k, v in given.items() if k not in ("alpha", "beta")}
        shape = (x.known_shape[0], *graph.tensor(node.proto.output[0]).known_shape[1:])
        return graph.node(node.op_type, [x, x.like(weight)], shape=shape, **given)


@dataclass(frozen=True, eq=False)
class _Replaced(Step):
    """A layer with another input and other weights, and without a bias."""

    x: Tensor
    weight: Tensor

    @property
    def inputs(self) -> list[Tensor | None]:
        return [self.x, self.weight]


def merged_layers(
    graph: Graph, nodes: Sequence[onnx.NodeProto], end: str, moving: set[str]
) -> tuple[dict[str, Layer], set[str]]:
    """The linear layers of a network.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of onnx.NodeProto
        In order.
    end : str
        The scores: nothing behind them is merged.
    moving : set of str
        Tensors that depend on what is explained.

    Returns
    -------
    dict, set
        Layers by the first output of their node, in order, and the outputs of the nodes merged into them.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    layers: dict[str, Layer] = {}
    merged: set[str] = set()
    for node in nodes:
        layer = _layer(graph, node, moving)
        if layer is None:
            continue
        while layer.output != end and len(readers.get(layer.output, ())) == 1:
            after = readers[layer.output][0]
            found = _affine(graph, after, layer)
            if found is None:
                break
            layer = layer.then(*found, output=after.output[0])
            merged.add(after.output[0])
        layers[node.output[0]] = layer
    return layers, merged


def _layer(graph: Graph, proto: onnx.NodeProto, moving: set[str]) -> Layer | None:
    if proto.op_type not in LAYERS or proto.input[0] not in moving or proto.input[1] in moving:
        return None
    weight = graph.value(proto.input[1])
    node = Node.of(proto, graph.opset)
    if weight is None or (proto.op_type == "MatMul" and weight.ndim != 2):
        return None
    step = Step(graph, node, (True, False, False)[: len(proto.input)])
    weight = weight.astype(np.float64)
    bias = np.zeros(int(step.outputs[0].length(1 if "Conv" in node.op_type else -1)))
    if node.op_type == "Gemm":
        if node.flag("transA"):
            return None
        weight = weight * node.number("alpha")
    if step.has(2):
        stored = graph.value(proto.input[2])
        if stored is None or stored.ndim > 1 and stored.shape[0] != 1:
            return None
        bias = bias + stored.astype(np.float64).ravel() * (
            node.number("beta") if node.op_type == "Gemm" else 1.0
        )
    return Layer(step, weight, bias, proto.output[0])


def _affine(graph: Graph, node: onnx.NodeProto, layer: Layer) -> tuple[Array, Array] | None:
    """Scale and shift of a node that maps every channel by itself; None if it does not."""
    count, name = len(layer.bias), layer.output
    ones, zeros = np.ones(count), np.zeros(count)
    if node.op_type in ("Identity", "Dropout"):
        return ones, zeros
    others = [graph.value(other) for other in node.input if other != name]
    if any(other is None for other in others):
        return None
    if node.op_type == "BatchNormalization":
        decoded = Node.of(node, graph.opset)
        channels_first = "Conv" in layer.step.node.op_type or graph.tensor(name).rank == 2
        if decoded.flag("training_mode") or not channels_first:
            return None
        gamma, beta, mean, variance = (np.asarray(o, dtype=np.float64) for o in others)
        scale = gamma / np.sqrt(variance + decoded.number("epsilon"))
        return scale, beta - mean * scale
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(others) != 1 or others[0] is None:
        return None
    vector = _channelwise(others[0], graph.tensor(name).rank, layer)
    if vector is None or graph.tensor(node.output[0]).rank != graph.tensor(name).rank:
        return None
    first = node.input[0] == name
    if node.op_type == "Add":
        return ones, vector
    if node.op_type == "Mul":
        return vector, zeros
    if node.op_type == "Sub":
        return (ones, -vector) if first else (-ones, vector)
    return (1 / vector, zeros) if first and vector.all() else None


def _channelwise(value: Array, rank: int, layer: Layer) -> Array | None:
    """A constant that is broadcast over everything but the channels, as a vector."""
    if value.ndim > rank:
        return None
    axis = 1 if "Conv" in layer.step.node.op_type else rank - 1
    full = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if any(n != 1 for k, n in enumerate(full.shape) if k != axis):
        return None
    flat = full.ravel().astype(np.float64)
    return np.broadcast_to(flat, layer.bias.shape) if len(flat) in (1, len(layer.bias)) else None
