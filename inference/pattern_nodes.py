"""Further discrete outputs that fix the activation pattern, for over-conditioning.

Every piecewise-linear node that depends on the moving input gets outputs that name its piece; a smooth node
has none, so a graph with one upstream of the selection is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inference.appending import PREFIX, Appender, Tensor, type_name
from symbolic.errors import ModelError, OptionError
from symbolic.reading.static_shapes import element_types, inferred_shapes

__all__ = ["append_pattern", "moving_tensors"]

_STANDARD = ("", "ai.onnx")
# The result depends on the shape of the input, not on its values.
_CUTS = frozenset({"Shape", "Size", "EyeLike"})
_SIGN_PIECES = frozenset({"Relu", "LeakyRelu", "PRelu", "Abs", "Sign"})
_DISCRETE = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "ArgMax", "ArgMin"})
# Their edges are float32 attributes: the comparison is the same in these types only.
_JUMPS = frozenset({"ThresholdedRelu", "Shrink"})
_WIDE = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})
# Staircases: the piece is the value. Those of the first kind make real numbers, the others integers.
_STEPS = frozenset({"Floor", "Ceil", "Round", "Hardmax"})
_QUANTISED = frozenset({"QuantizeLinear", "QLinearConv", "QLinearMatMul"})
_PIECEWISE = (
    _SIGN_PIECES
    | _STEPS
    | _DISCRETE
    | _JUMPS
    | {"Clip", "HardSigmoid", "Max", "Min", "MaxPool", "ReduceMax", "ReduceMin"}
)
# Linear in all inputs together, or fixed by patterns already there (logic, Where, indices).
_LINEAR = frozenset(
    "Add Sub Sum Mean Neg Identity Concat And Or Not Xor Where ReduceSum ReduceMean AveragePool "
    "GlobalAveragePool Reshape Transpose Slice Gather GatherElements GatherND Split Flatten Squeeze "
    "Unsqueeze DepthToSpace "
    "SpaceToDepth Dropout Pad ConvInteger MatMulInteger BitwiseAnd BitwiseOr BitwiseXor BitwiseNot "
    "BitShift".split()
)
# Linear in the first input alone.
_LINEAR_IN_FIRST = frozenset("Expand Tile Resize Upsample BatchNormalization DequantizeLinear".split())
# Linear in each of the first two inputs while the other stands still.
_BILINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Mul"})
_WHOLE = frozenset(
    TensorProto.DataType.Value(name)
    for name in "BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 INT4 UINT4".split()
)


def moving_tensors(proto: onnx.ModelProto | onnx.GraphProto, source: str | Iterable[str]) -> set[str]:
    """Give the names of the tensors whose values depend on the tensor(s) `source`, themselves included."""
    graph = proto.graph if isinstance(proto, onnx.ModelProto) else proto
    moving = {source} if isinstance(source, str) else set(source)
    for node in graph.node:
        if node.op_type in _CUTS and node.domain in _STANDARD:
            continue
        if any(name in moving for name in _used(node)):
            moving.update(name for name in node.output if name)
    return moving


def _used(node: onnx.NodeProto) -> set[str]:
    """Names that a node reads, in its subgraphs too."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            for inner in graph.node:
                names |= _used(inner)
            names.update(value.name for value in graph.output)
    names.discard("")
    return names


def append_pattern(
    proto: onnx.ModelProto,
    moving: set[str],
    shape_of: Callable[[str], tuple[int, ...]],
    *,
    selection: Sequence[str] | None = None,
    upstream: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Append the activation pattern behind a selection, as outputs "sureline/pattern0", ...

    Parameters
    ----------
    proto : onnx.ModelProto
        As `append_selection` returned it; it is extended in place.
    moving : set of str
        The tensors that depend on the moving input (what depends on them in `proto`
        is found here).
    shape_of : callable
        Static shape of a tensor of the model.
    selection : sequence of str, optional
        The outputs that are the selection; default: "sureline/selection" if there is one, else all outputs.
    upstream : collection of str, optional
        The tensors that the selection is computed from, where that is known to be fewer than the graph says.

    Returns
    -------
    tuple of str
        The names of the new outputs.

    Raises
    ------
    OptionError
        If a node between the input and the selection is not piecewise linear.
    """
    names = [value.name for value in proto.graph.output]
    if selection is None:
        own = f"{PREFIX}selection"
        selection = [own] if own in names else names
    if upstream is None:
        upstream = _upstream(proto.graph, selection)
    maker = _PatternMaker(proto, moving, shape_of, upstream)
    for node in list(proto.graph.node):
        try:
            maker.add(node)
        except (ValueError, TypeError, LookupError) as error:
            if isinstance(error, OptionError):
                raise
            # A node with too few inputs, shapes that do not go together, an axis out of range, ...
            raise ModelError(f'{node.op_type} (node "{node.name}") is not valid ONNX ({error}).') from None
    for tensor in maker.outputs:
        maker.graph.output(tensor)
    return tuple(tensor.name for tensor in maker.outputs)


@dataclass(frozen=True)
class _Place:
    """A node's name for messages, and whether the selection depends on it."""

    words: str
    matters: bool


class _PatternMaker:
    """Builds the pattern nodes, numbered over the nodes of the graph in order."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        moving: set[str],
        shape_of: Callable[[str], tuple[int, ...]],
        upstream: Collection[str],
    ) -> None:
        self.graph = Appender(proto)
        self.moving = moving_tensors(proto.graph, moving)
        self.upstream = upstream
        self.stored = _stored(proto.graph)
        self.shape_of = shape_of
        self.types = element_types(proto)
        self.known = {t.name: Tensor(t.name, t.data_type, tuple(t.dims)) for t in proto.graph.initializer}
        self.known.update(_selection_tensors(proto.graph, self.graph.opset, self._tensor))
        self.outputs: list[Tensor] = []

    def add(self, node: onnx.NodeProto) -> None:
        """Append the patterns of one node."""
        data = [name for name in node.input if name in self.moving]
        own = node.output[0].startswith(PREFIX)
        if not any(name in self.moving for name in node.output):
            return
        place = _Place(
            f'{node.op_type} (node "{node.name or node.output[0]}")',
            any(name in self.upstream for name in node.output),
        )
        kind = node.op_type if node.domain in _STANDARD else ""
        if kind in _PIECEWISE:
            if kind == "PRelu" and node.input[1] in self.moving:
                self._refuse(place)
            elif kind in _JUMPS and self._tensor(node.input[0]).elem_type not in _WIDE:
                self._refuse(place)
            elif not (own and kind in _DISCRETE):
                self._pieces(node, kind)
        elif kind in _BILINEAR:
            if node.input[0] in self.moving and node.input[1] in self.moving:
                self._refuse(place)
        elif kind == "Div":
            if node.input[1] in self.moving:
                self._refuse(place)
        elif kind in _LINEAR_IN_FIRST:
            if data != [node.input[0]]:
                self._refuse(place)
        elif kind == "Cast" or kind in _QUANTISED:
            made, given = self._tensor(node.output[0]), self._tensor(node.input[0])
            if made.elem_type in _WHOLE and (kind != "Cast" or given.elem_type not in _WHOLE):
                self._value(made)
            elif kind != "Cast":
                self._refuse(place)
        elif kind not in _LINEAR:
            self._refuse(place)

    def _refuse(self, place: _Place) -> None:
        if place.matters:
            raise OptionError(
                f"over_conditioning needs a piecewise-linear graph, but {place.words} lies between the "
                "input and the "
                'selection; use inference_mode="parametric".'
            )

    def _tensor(self, name: str) -> Tensor:
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
        shape = np.broadcast_shapes(self._tensor(left).shape, self._tensor(right).shape)
        name = self._next(TensorProto.BOOL, tuple(int(n) for n in shape))
        self.graph.node(op_type, [left, right], name)

    def _scalar(self, name: str, value: float, elem_type: int) -> str:
        self.known[name] = Tensor(name, elem_type, ())
        return self.graph.scalar(name, value, elem_type)

    def _value(self, result: Tensor) -> None:
        """A discrete tensor is its own pattern."""
        self.graph.node("Identity", [result.name], self._next(result.elem_type, result.shape))

    def _pieces(self, node: onnx.NodeProto, kind: str) -> None:
        x = node.input[0]
        if kind in _SIGN_PIECES:
            of_type = self._tensor(x).elem_type
            zero = self._scalar(f"{PREFIX}zero/{type_name(of_type)}", 0.0, of_type)
            self._compare(x, zero)
            if kind == "Sign":
                self._compare(x, zero, "Less")
        elif kind in _STEPS:
            result = self._tensor(node.output[0])
            name = self._next(TensorProto.INT64, result.shape)
            self.graph.node("Cast", [result.name], name, to=TensorProto.INT64)
        elif kind in _DISCRETE:
            self._value(self._tensor(node.output[0]))
        elif kind in _JUMPS:
            self._jumps(node, kind)
        elif kind == "Clip":
            self._clip(node)
        elif kind == "HardSigmoid":
            self._hard_sigmoid(node)
        elif kind in ("Max", "Min"):
            for i, left in enumerate(node.input):
                for right in node.input[i + 1 :]:
                    self._compare(left, right)
        elif kind == "MaxPool":
            self.graph.require_opset(8, "over_conditioning of MaxPool")
            k = len(self.outputs)
            name = self._next(TensorProto.INT64, self._tensor(node.output[0]).shape)
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
        x = self._tensor(node.input[0])
        for value, op_type in edges:
            bound = self._scalar(f"{PREFIX}bound{len(self.outputs)}", value, x.elem_type)
            self._compare(x.name, bound, op_type)

    def _clip(self, node: onnx.NodeProto) -> None:
        x = node.input[0]
        if self.graph.opset >= 11:
            for bound in node.input[1:3]:
                if bound:
                    self._compare(x, bound)
            return
        of_type = self._tensor(x).elem_type
        for key in ("min", "max"):
            for attribute in node.attribute:
                if attribute.name == key:
                    k = len(self.outputs)
                    self._compare(x, self._scalar(f"{PREFIX}bound{k}", attribute.f, of_type))

    def _hard_sigmoid(self, node: onnx.NodeProto) -> None:
        given = {a.name: a.f for a in node.attribute}
        x = self._tensor(node.input[0])
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
        x = self._tensor(node.input[0])
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


def _upstream(graph: onnx.GraphProto, targets: Sequence[str]) -> set[str]:
    needed = set(targets)
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed |= _used(node)
    return needed


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
