"""Linear layers with their neighbours merged: biases, scales and batch normalisation.

Batch normalisation is s y + t, channel by channel, with s = gamma / sqrt(var + eps) and t = beta - s mean.
Behind a layer W x + b it makes (s W) x + s b + t of it, and before one (W s) x + W t + b, where W t depends
on the place if the layer pads with zeros. Mul, Div, Add and Sub with a constant are likewise. What stands
between two layers goes to the one before it. Relevance is shared by the merged weights; the graph of the
prediction stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from symbolic.explanations.backward import Step
from symbolic.explanations.graph import Graph
from symbolic.explanations.linear_layers import LAYERS, Array, Layer
from symbolic.node import Node

__all__ = ["merged_layers"]


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
            affine = _affine(graph, after, layer.output, len(layer.bias), layer.convolves)
            if affine is None:
                break
            layer = layer.then(affine.scale, affine.shift, after.output[0])
            merged.add(after.output[0])
        layers[node.output[0]] = layer
    free = [n for n in nodes if n.output[0] not in merged and n.output[0] not in layers]
    before = _before(graph, free, readers, layers, moving)
    for name, layer in layers.items():
        while layer.source in before:
            affine = before[layer.source]
            layer = layer.after(affine.scale, affine.shift, affine.source)
        layers[name] = layer
    return layers, merged | before.keys()


@dataclass(frozen=True, eq=False)
class _Affine:
    """scale x + shift of every channel; channels along axis 1 or, if not `convolves`, the last one."""

    source: str
    scale: Array
    shift: Array
    convolves: bool


def _before(
    graph: Graph,
    nodes: Sequence[onnx.NodeProto],
    readers: dict[str, list[onnx.NodeProto]],
    layers: dict[str, Layer],
    moving: set[str],
) -> dict[str, _Affine]:
    """Nodes that nothing reads but layers and other such nodes, by their output."""
    found: dict[str, _Affine] = {}
    for node in reversed(nodes):
        name = node.output[0]
        channels = set()
        for reader in readers.get(name, ()):
            layer, other = layers.get(reader.output[0]), found.get(reader.output[0])
            if layer is not None:
                channels.add((layer.inputs, layer.convolves))
            else:
                channels.add((0, False) if other is None else (len(other.scale), other.convolves))
        source = next((other for other in node.input if other in moving), None)
        if len(channels) == 1 and (0, False) not in channels and source is not None:
            affine = _affine(graph, node, source, *channels.pop())
            if affine is not None:
                found[name] = affine
    return found


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
    return Layer(step, weight, bias, proto.input[0], proto.output[0])


def _affine(graph: Graph, node: onnx.NodeProto, name: str, count: int, convolves: bool) -> _Affine | None:
    """What a node does to every channel of a tensor by itself; None if it does anything else."""
    shape = graph.tensor(name).shape or ()
    rank, axis = len(shape), 1 if convolves else len(shape) - 1
    ones, zeros = np.ones(count), np.zeros(count)
    if node.op_type in ("Identity", "Dropout"):
        return _Affine(name, ones, zeros, convolves)
    others = [graph.value(other) for other in node.input if other != name]
    if rank < 2 or shape[axis] != count:  # a scale can also make several channels of one
        return None
    if any(other is None for other in others):
        return None
    if node.op_type == "BatchNormalization":
        decoded = Node.of(node, graph.opset)
        if decoded.flag("training_mode") or axis != 1:
            return None
        gamma, beta, mean, variance = (np.asarray(o, dtype=np.float64) for o in others)
        scale = gamma / np.sqrt(variance + decoded.number("epsilon"))
        return _Affine(name, scale, beta - mean * scale, convolves)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(others) != 1 or others[0] is None:
        return None
    vector = _channelwise(others[0], rank, count, axis)
    first = node.input[0] == name
    if vector is None or (node.op_type == "Div" and not (first and vector.all())):
        return None
    scale, shift = {
        "Add": (ones, vector),
        "Sub": (ones, -vector) if first else (-ones, vector),
        "Mul": (vector, zeros),
        "Div": (1 / np.where(vector == 0, 1, vector), zeros),
    }[node.op_type]
    return _Affine(name, scale, shift, convolves)


def _channelwise(value: Array, rank: int, count: int, axis: int) -> Array | None:
    """A constant that is broadcast over everything but the channels, as a vector."""
    if value.ndim > rank:
        return None
    full = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if any(n != 1 for k, n in enumerate(full.shape) if k != axis):
        return None
    flat = full.ravel().astype(np.float64)
    return np.broadcast_to(flat, (count,)) if len(flat) in (1, count) else None
