"""A model that grows: tensors with types and shapes, and arithmetic on them that appends nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from symbolic.errors import ModelError
from symbolic.reading.static_shapes import inferred

__all__ = ["PREFIX", "Dim", "Graph", "Shape", "Tensor", "broadcast"]

PREFIX = "explain/"
"""How the names of what is appended begin."""
Dim = int | str | None
"""A length: known, the same as others of this name, or unknown."""
Shape = tuple[Dim, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a graph. Its operators append nodes; floats and arrays become constants of its type."""

    graph: Graph
    name: str
    elem_type: int
    shape: Shape | None

    @property
    def rank(self) -> int:
        """Number of axes.

        Raises
        ------
        ModelError
            It is not known.
        """
        return len(self.known_shape)

    @property
    def known_shape(self) -> Shape:
        """The shape, some lengths of which may be unknown; a ModelError without a known rank."""
        if self.shape is None:
            raise ModelError(
                f"the shape of {self.name!r} is not known: give the shape of the model's input "
                "(shapes=, --shape)."
            )
        return self.shape

    def length(self, axis: int) -> int:
        """A length that must be a known number; a ModelError otherwise."""
        found = self.known_shape[axis]
        if not isinstance(found, int):
            raise ModelError(
                f"axis {axis} of {self.name!r} has no fixed length: give the shape of the model's input "
                "(shapes=, --shape)."
            )
        return found

    def __add__(self, other: Operand) -> Tensor:
        return self._with("Add", other)

    def __radd__(self, other: Operand) -> Tensor:
        return self._with("Add", other)

    def __sub__(self, other: Operand) -> Tensor:
        return self._with("Sub", other)

    def __rsub__(self, other: Operand) -> Tensor:
        return self.like(other)._with("Sub", self)

    def __mul__(self, other: Operand) -> Tensor:
        return self._with("Mul", other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self._with("Mul", other)

    def __truediv__(self, other: Operand) -> Tensor:
        return self._with("Div", other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self.like(other)._with("Div", self)

    def __neg__(self) -> Tensor:
        return self.graph.same("Neg", self)

    def __gt__(self, other: Operand) -> Tensor:
        return self._with("Greater", other, TensorProto.BOOL)

    def __lt__(self, other: Operand) -> Tensor:
        return self._with("Less", other, TensorProto.BOOL)

    def __ge__(self, other: Operand) -> Tensor:
        return self._with("GreaterOrEqual", other, TensorProto.BOOL)

    def __and__(self, other: Tensor) -> Tensor:
        return self._with("And", other)

    def __or__(self, other: Tensor) -> Tensor:
        return self._with("Or", other)

    def power(self, exponent: Operand) -> Tensor:
        """Element by element."""
        return self._with("Pow", exponent)

    def like(self, value: Operand) -> Tensor:
        """A number or an array as a constant of this type; a tensor as it is."""
        return value if isinstance(value, Tensor) else self.graph.constant(value, self.elem_type)

    def cast(self, elem_type: int) -> Tensor:
        """The tensor in another element type."""
        if self.elem_type == elem_type:
            return self
        return self.graph.node("Cast", [self], to=elem_type, shape=self.shape, elem_type=elem_type)

    def _with(self, op_type: str, other: Operand, elem_type: int | None = None) -> Tensor:
        second = self.like(other)
        shape = broadcast(self.shape, second.shape)
        return self.graph.node(op_type, [self, second], shape=shape, elem_type=elem_type or self.elem_type)


Operand = Tensor | ArrayLike


def broadcast(first: Shape | None, second: Shape | None) -> Shape | None:
    """The shape of an elementwise result."""
    if first is None or second is None:
        return None
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)
    found: list[Dim] = []
    for a, b in pairs:
        found.append(b if a == 1 else a if b == 1 or a == b else a if isinstance(a, int) else b)
    return tuple(found)


class Graph:
    """A copy of a model to which nodes are appended.

    Parameters
    ----------
    proto : onnx.ModelProto
        Without local functions. It is changed: hand in a copy.

    Raises
    ------
    ModelError
        Its shapes contradict each other.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        self.opset = next(int(o.version) for o in proto.opset_import if o.domain in ("", "ai.onnx"))
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], Tensor] = {}
        self._made: dict[tuple[Any, ...], list[Tensor]] = {}
        self._repeated: dict[tuple[str, int], Tensor] = {}
        self._lengths: dict[str, Tensor] = {}
        self._count = 0
        seen = inferred(proto).graph
        self._take((*seen.value_info, *seen.output, *seen.input))
        for stored in proto.graph.initializer:
            self._tensors[stored.name] = Tensor(
                self, stored.name, int(stored.data_type), tuple(int(n) for n in stored.dims)
            )
        self._stored = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._written = {
            node.output[0]: node for node in proto.graph.node if node.op_type == "Constant" and node.output
        }

    def _take(self, values: Iterable[onnx.ValueInfoProto]) -> None:
        for value in values:
            if value.type.HasField("tensor_type"):
                kind = value.type.tensor_type
                shape = tuple(map(_dim, kind.shape.dim)) if kind.HasField("shape") else None
                self._tensors[value.name] = Tensor(self, value.name, int(kind.elem_type), shape)

    def adopt(self, nodes: Iterable[onnx.NodeProto], values: Iterable[onnx.ValueInfoProto]) -> None:
        """Append nodes as they are, and learn the types and shapes of what they make."""
        self.proto.graph.node.extend(nodes)
        self._take(values)

    def tensor(self, name: str) -> Tensor:
        """A tensor of the model, by name; a ModelError if its type is not known."""
        if name not in self._tensors:
            raise ModelError(f"the type of the tensor {name!r} is not known.")
        return self._tensors[name]

    def value(self, name: str) -> NDArray[Any] | None:
        """The value of a stored constant; None of anything else."""
        if name in self._stored:
            return np.asarray(numpy_helper.to_array(self._stored[name]))
        node = self._written.get(name)
        if node is None:
            return None
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if "value" in given:
            return np.asarray(numpy_helper.to_array(given["value"]))
        for key, kind in (("value_float", np.float32), ("value_int", np.int64),
                          ("value_floats", np.float32), ("value_ints", np.int64)):  # fmt: skip
            if key in given:
                return np.asarray(given[key], dtype=kind)
        return None

    def constant(self, value: ArrayLike, elem_type: int) -> Tensor:
        """A constant, stored once."""
        array = np.asarray(value).astype(helper.tensor_dtype_to_np_dtype(elem_type), order="C")
        key = (array.tobytes(), str(array.dtype), array.shape)
        if key not in self._constants:
            name = self.fresh("constant")
            stored = numpy_helper.from_array(array, name)
            self.proto.graph.initializer.append(stored)
            self._stored[name] = self.proto.graph.initializer[-1]
            self._constants[key] = self._tensors[name] = Tensor(self, name, elem_type, array.shape)
        return self._constants[key]

    def integers(self, values: Sequence[int] | int) -> Tensor:
        """A constant of 64-bit integers."""
        return self.constant(np.asarray(values, dtype=np.int64), TensorProto.INT64)

    def node(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        *,
        shape: Shape | None = None,
        elem_type: int | None = None,
        **attributes: Any,
    ) -> Tensor:
        """Append a node with one output, of the type of its first input; the same node is made once."""
        found = self.nodes(op_type, inputs, [(elem_type, shape)], **attributes)
        return found[0]

    def nodes(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[tuple[int | None, Shape | None]],
        **attributes: Any,
    ) -> list[Tensor]:
        """Append a node with several outputs, of these types and shapes."""
        names = tuple("" if tensor is None else tensor.name for tensor in inputs)
        key = (op_type, names, repr(sorted(attributes.items())), len(outputs))
        if key not in self._made:
            first = next((tensor.elem_type for tensor in inputs if tensor is not None), TensorProto.FLOAT)
            fresh = [self.fresh(op_type) for _ in outputs]
            made = helper.make_node(op_type, list(names), fresh, name=fresh[0])
            made.attribute.extend(helper.make_attribute(k, attributes[k]) for k in sorted(attributes))
            self.proto.graph.node.append(made)
            tensors = [
                Tensor(self, name, kind or first, shape)
                for name, (kind, shape) in zip(fresh, outputs, strict=True)
            ]
            self._tensors.update((tensor.name, tensor) for tensor in tensors)
            self._made[key] = tensors
        return list(self._made[key])

    def same(self, op_type: str, x: Tensor, **attributes: Any) -> Tensor:
        """A node whose output is like its input."""
        return self.node(op_type, [x], shape=x.shape, **attributes)

    def where(self, condition: Tensor, first: Operand, second: Operand, like: Tensor) -> Tensor:
        """`first` where the condition holds, else `second`."""
        a, b = like.like(first), like.like(second)
        shape = broadcast(condition.shape, broadcast(a.shape, b.shape))
        return self.node("Where", [condition, a, b], shape=shape, elem_type=like.elem_type)

    def repeat(self, x: Tensor, count: int) -> Tensor:
        """x one after the other along its first axis, so many times: (count N, ...)."""
        if count == 1:
            return x
        if (x.name, count) not in self._repeated:
            zeros = x.like(np.zeros((count, *[1] * x.rank)))
            wide = x | zeros if x.elem_type == TensorProto.BOOL else x + zeros
            first = x.known_shape[0]
            length = first * count if isinstance(first, int) else f"{count}*{first}" if first else None
            shape = (length, *x.known_shape[1:])
            lengths = self._times_first(self.shape_of(x), count, x.rank)
            made = self.node("Reshape", [wide, lengths], shape=shape, allowzero=1)
            self._repeated[x.name, count] = made
            self._lengths[made.name] = lengths
        return self._repeated[x.name, count]

    def _times_first(self, lengths: Tensor, count: int, rank: int) -> Tensor:
        known = self.value(lengths.name)
        factors = np.array([count, *[1] * (rank - 1)], dtype=np.int64)
        return self.integers(list(known * factors)) if known is not None else lengths * factors

    def shape_of(self, x: Tensor) -> Tensor:
        """The lengths of a tensor when it runs."""
        if x.shape is not None and all(isinstance(n, int) for n in x.shape):
            return self.integers([int(n) for n in x.shape])  # type: ignore[arg-type]
        if x.name in self._lengths:  # without the tensor itself
            return self._lengths[x.name]
        rank = None if x.shape is None else (len(x.shape),)
        return self.node("Shape", [x], shape=rank, elem_type=TensorProto.INT64)

    def reshape(self, x: Tensor, like: Tensor) -> Tensor:
        """The elements of x in the shape of another tensor."""
        if x.shape is not None and x.shape == like.shape and None not in x.shape:
            return x
        return self.node("Reshape", [x, self.shape_of(like)], shape=like.shape, allowzero=1)

    def expand(self, x: Tensor, like: Tensor) -> Tensor:
        """x, broadcast to the shape of another tensor."""
        if x.shape is not None and x.shape == like.shape and None not in x.shape:
            return x
        return self.node("Expand", [x, self.shape_of(like)], shape=like.shape)

    def crop(self, x: Tensor, begin: Sequence[int], end: Sequence[int]) -> Tensor:
        """x without some elements at the beginning and the end of every axis."""
        cut = [k for k, both in enumerate(zip(begin, end, strict=True)) if any(both)]
        if not cut:
            return x
        shape: list[Dim] = list(x.known_shape)
        for k in cut:
            length = shape[k]
            shape[k] = length - begin[k] - end[k] if isinstance(length, int) else None
        ends = [-end[k] if end[k] else np.iinfo(np.int64).max for k in cut]
        given = [self.integers(v) for v in ([begin[k] for k in cut], ends, cut)]
        return self.node("Slice", [x, *given], shape=tuple(shape))

    def pad(self, x: Tensor, begin: Sequence[int], end: Sequence[int]) -> Tensor:
        """x with zeros before and behind every axis; negative numbers cut off."""
        x = self.crop(x, [max(-n, 0) for n in begin], [max(-n, 0) for n in end])
        pads = [max(n, 0) for n in (*begin, *end)]
        if not any(pads):
            return x
        half = len(begin)
        shape = tuple(
            n + pads[k] + pads[half + k]
            if isinstance(n, int)
            else n
            if pads[k] + pads[half + k] == 0
            else None
            for k, n in enumerate(x.known_shape)
        )
        return self.node("Pad", [x, self.integers(pads)], shape=shape)

    def sum(self, x: Tensor, axes: Sequence[int] | None, keep: bool) -> Tensor:
        """The sum over axes, or over all of them (None)."""
        if axes is not None and not axes:  # ReduceSum takes no axes for all
            return x
        shape = None
        if x.shape is not None:
            gone = set(range(x.rank) if axes is None else (a % x.rank for a in axes))
            shape = tuple(1 if k in gone else n for k, n in enumerate(x.shape) if keep or k not in gone)
        given = [x] if axes is None else [x, self.integers(list(axes))]
        return self.node("ReduceSum", given, shape=shape, keepdims=int(keep))

    def transpose(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """x with its axes in another order."""
        shape = tuple(x.known_shape[k] for k in order)
        return self.node("Transpose", [x], shape=shape, perm=list(order))

    def output(self, x: Tensor, name: str) -> Tensor:
        """Declare an output of the graph, under a name of its own."""
        made = helper.make_node("Identity", [x.name], [name], name=name)
        self.proto.graph.node.append(made)
        shape = None if x.shape is None else list(x.shape)
        self.proto.graph.output.append(helper.make_tensor_value_info(name, x.elem_type, shape))
        self._tensors[name] = Tensor(self, name, x.elem_type, x.shape)
        return self._tensors[name]

    def fresh(self, what: str) -> str:
        """A name that nothing has."""
        what = what.removeprefix(PREFIX)
        while True:
            self._count += 1
            name = f"{PREFIX}{what}_{self._count}"
            if name not in self._tensors:
                return name


def _dim(entry: Any) -> Dim:
    if entry.HasField("dim_value"):
        return int(entry.dim_value)
    return str(entry.dim_param) or None
