"""The outputs that name the linear piece on which a node works, for every kind of piecewise-linear node."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inference.appending import PREFIX, Appender, Tensor, type_name
from symbolic.errors import ModelError, OptionError
from symbolic.reading.static_shapes import element_types, inferred_shapes

__all__ = ["DISCRETE", "JUMPS", "PIECEWISE", "VALUES", "Pieces"]

_STANDARD = ("", "ai.onnx")
SIGN_PIECES = frozenset({"Relu", "LeakyRelu", "PRelu", "Abs", "Sign"})
DISCRETE = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "ArgMax", "ArgMin"})
JUMPS = frozenset({"ThresholdedRelu", "Shrink"})
# Staircases: the piece is the value. They make real numbers.
STEPS = frozenset({"Floor", "Ceil", "Round", "Hardmax"})
VALUES = STEPS | DISCRETE | {"Sign"}
"""The pattern says what these make."""
PIECEWISE = (
    SIGN_PIECES
    | STEPS
    | DISCRETE
    | JUMPS
    | {"Clip", "HardSigmoid", "Max", "Min", "MaxPool", "ReduceMax", "ReduceMin"}
)


class Pieces:
    """Appends comparisons and indices behind the nodes of a graph; their results are numbered ``outputs``.

    Parameters
    ----------
    proto : onnx.ModelProto
        The graph, extended in place.
    shape_of : callable
        Static shape of a tensor of the model.
    """

    def __init__(self, proto: onnx.ModelProto, shape_of: Callable[[str], tuple[int, ...]]) -> None:
        self.graph = Appender(proto)
        self.stored = _stored(proto.graph)
        self.shape_of = shape_of
        self.types = element_types(proto)
        self.known = {t.name: Tensor(t.name, t.data_type, tuple(t.dims)) for t in proto.graph.initializer}
        self.known.update(_selection_tensors(proto.graph, self.graph.opset, self.tensor))
        self.outputs: list[Tensor] = []

    def tensor(self, name: str) -> Tensor:
        """Type and shape of a tensor."""
        if name in self.known:
            return self.known[name]
        if name not in self.types:
            raise ModelError(f'The element type of tensor "{name}" cannot be inferred.')
        return Tensor(name, self.types[name], tuple(int(n) for n in self.shape_of(name)))

    def _next(self, elem_type: int, shape: tuple[int, ...]) -> str:
        tensor = Tensor(f"{PREFIX}pattern{len(self.outputs)}", elem_type, shape)
        self.outputs.append(tensor)
        return tensor.name

    def _compare(self, left: str, right: str, op_type: str = "Greater") -> None:
        shape = np.broadcast_shapes(self.tensor(left).shape, self.tensor(right).shape)
        name = self._next(TensorProto.BOOL, tuple(int(n) for n in shape))
        self.graph.node(op_type, [left, right], name)

    def _scalar(self, name: str, value: float, elem_type: int) -> str:
        self.known[name] = Tensor(name, elem_type, ())
        return self.graph.scalar(name, value, elem_type)

    def value(self, result: Tensor) -> None:
        """A discrete tensor is its own pattern."""
        self.graph.node("Identity", [result.name], self._next(result.elem_type, result.shape))

    def add(self, node: onnx.NodeProto, kind: str, moving: Collection[str]) -> None:
        """Outputs that name the piece of every element of a node's result; which of its inputs move."""
        x = node.input[0]
        if kind in SIGN_PIECES:
            of_type = self.tensor(x).elem_type
            zero = self._scalar(f"{PREFIX}zero/{type_name(of_type)}", 0.0, of_type)
            self._compare(x, zero)
            if kind == "Sign":
                self._compare(x, zero, "Less")
        elif kind in STEPS:
            result = self.tensor(node.output[0])
            name = self._next(TensorProto.INT64, result.shape)
            self.graph.node("Cast", [result.name], name, to=TensorProto.INT64)
        elif kind in DISCRETE:
            self.value(self.tensor(node.output[0]))
        elif kind in JUMPS:
            self._jumps(node, kind)
        elif kind == "Clip":
            self._clip(node, moving)
        elif kind == "HardSigmoid":
            self._hard_sigmoid(node)
        elif kind in ("Max", "Min"):
            for i, left in enumerate(node.input):
                for right in node.input[i + 1 :]:
                    self._compare(left, right)
        elif kind == "MaxPool":
            self.graph.require_opset(8, "over_conditioning of MaxPool")
            k = len(self.outputs)
            name = self._next(TensorProto.INT64, self.tensor(node.output[0]).shape)
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            self.graph.node("MaxPool", list(node.input), [f"{PREFIX}pooled{k}", name], **attributes)
        else:
            self._reduced(node, "ArgMax" if kind == "ReduceMax" else "ArgMin")

    def _jumps(self, node: onnx.NodeProto, kind: str) -> None:
        given = {a.name: a.f for a in node.attribute}
        edges = [(given.get("alpha", 1.0), "Greater")]
        if kind == "Shrink":
            edge = given.get("lambd", 0.5)
            edges = [(-edge, "Less"), (edge, "Greater")]
        x = self.tensor(node.input[0])
        for value, op_type in edges:
            bound = self._scalar(f"{PREFIX}bound{len(self.outputs)}", value, x.elem_type)
            self._compare(x.name, bound, op_type)

    def _clip(self, node: onnx.NodeProto, moving: Collection[str]) -> None:
        x = node.input[0]
        if self.graph.opset >= 11:
            bounds = [name for name in node.input[1:3] if name]
            for bound in bounds:
                self._compare(x, bound)
            if len(bounds) == 2 and any(bound in moving for bound in bounds):
                self._compare(*bounds)
            return
        of_type = self.tensor(x).elem_type
        for key in ("min", "max"):
            for attribute in node.attribute:
                if attribute.name == key:
                    k = len(self.outputs)
                    self._compare(x, self._scalar(f"{PREFIX}bound{k}", attribute.f, of_type))

    def _hard_sigmoid(self, node: onnx.NodeProto) -> None:
        given = {a.name: a.f for a in node.attribute}
        x = self.tensor(node.input[0])
        k = len(self.outputs)
        alpha = self._scalar(f"{PREFIX}alpha{k}", given.get("alpha", np.float32(0.2)), x.elem_type)
        beta = self._scalar(f"{PREFIX}beta{k}", given.get("beta", np.float32(0.5)), x.elem_type)
        scaled = self.graph.node("Mul", [x.name, alpha], f"{PREFIX}scaled{k}")
        affine = self.graph.node("Add", [scaled, beta], f"{PREFIX}affine{k}")
        self.known[affine] = Tensor(affine, x.elem_type, x.shape)
        for word, value in (("zero", 0.0), ("one", 1.0)):
            self._compare(
                affine, self._scalar(f"{PREFIX}{word}/{type_name(x.elem_type)}", value, x.elem_type)
            )

    def _reduced(self, node: onnx.NodeProto, op_type: str) -> None:
        x = self.tensor(node.input[0])
        rank = len(x.shape)
        axes = self._axes(node, rank)
        if len(axes) == 1:
            shape = tuple(1 if i == axes[0] else n for i, n in enumerate(x.shape))
            self.graph.node(op_type, [x.name], self._next(TensorProto.INT64, shape), axis=axes[0])
        elif axes:
            k = len(self.outputs)
            kept = [i for i in range(rank) if i not in axes]
            dims = [x.shape[i] for i in kept]
            flat = self.graph.constant(f"{PREFIX}flat{k}", np.array([*dims, -1], dtype=np.int64))
            moved = self.graph.node("Transpose", [x.name], f"{PREFIX}moved{k}", perm=kept + axes)
            rows = self.graph.node("Reshape", [moved, flat], f"{PREFIX}rows{k}")
            self.graph.node(op_type, [rows], self._next(TensorProto.INT64, tuple(dims)), axis=-1, keepdims=0)

    def _axes(self, node: onnx.NodeProto, rank: int) -> list[int]:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        axes = list(given.get("axes", []))
        if len(node.input) > 1 and node.input[1]:
            found = self.stored.get(node.input[1])
            if found is None:
                raise OptionError(
                    f"over_conditioning needs stored axes, but those of {node.op_type} "
                    f'(node "{node.name}") are computed.'
                )
            axes = found
        if not axes:
            return [] if given.get("noop_with_empty_axes", 0) else list(range(rank))
        return sorted(int(axis) % rank for axis in axes)


def _stored(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Small stored integer tensors, of initializers and Constant nodes."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in _STANDARD:
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensors[node.output[0]] = attribute.t
    return {
        name: numpy_helper.to_array(tensor).ravel().tolist()
        for name, tensor in tensors.items()
        if tensor.data_type == TensorProto.INT64 and len(tensor.dims) <= 1
    }


def _selection_tensors(
    graph: onnx.GraphProto, opset: int, model_tensor: Callable[[str], Tensor]
) -> dict[str, Tensor]:
    """Types and shapes of the selection nodes' tensors, by inference on those nodes alone."""
    nodes = [node for node in graph.node if node.output[0].startswith(PREFIX)]
    made = {name for node in nodes for name in node.output}
    stored = [tensor for tensor in graph.initializer if tensor.name.startswith(PREFIX)]
    made.update(tensor.name for tensor in stored)
    used = dict.fromkeys(name for node in nodes for name in node.input if name not in made)
    part = helper.make_graph(
        nodes,
        "selection",
        [helper.make_tensor_value_info(t.name, t.elem_type, t.shape) for t in map(model_tensor, used)],
        [value for value in graph.output if value.name.startswith(PREFIX)],
        stored,
    )
    model = helper.make_model(part, opset_imports=[helper.make_opsetid("", opset)])
    types, shapes = element_types(model), inferred_shapes(model)
    return {
        name: Tensor(name, types[name], shapes[name]) for name in made if name in types and name in shapes
    }
