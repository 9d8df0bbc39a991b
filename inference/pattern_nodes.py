"""Further discrete outputs that fix the activation pattern, for over-conditioning.

Every piecewise-linear node that depends on the moving input gets outputs that name its piece; a smooth node
has none, so a graph with one upstream of the selection is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from inference.appending import PREFIX
from inference.pattern_pieces import DISCRETE, JUMPS, PIECEWISE, VALUES, Pieces
from symbolic.errors import ModelError, OptionError

__all__ = ["append_pattern", "moving_tensors"]

_STANDARD = ("", "ai.onnx")
# The result depends on the shape of the input, not on its values.
_CUTS = frozenset({"Shape", "Size", "EyeLike"})
# The edges of a jump are float32 attributes: the comparison is the same in these types only.
_WIDE = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})
_QUANTISED = frozenset({"QuantizeLinear", "QLinearConv", "QLinearMatMul"})
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
# Linear in each of the first two inputs while the other is constant.
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
    for tensor in maker.pieces.outputs:
        maker.pieces.graph.output(tensor)
    return tuple(tensor.name for tensor in maker.pieces.outputs)


@dataclass(frozen=True)
class _Place:
    """A node's name for messages, and whether the selection depends on it."""

    words: str
    matters: bool


class _PatternMaker:
    """Finds the nodes that get pattern nodes, and those that have no pattern."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        moving: set[str],
        shape_of: Callable[[str], tuple[int, ...]],
        upstream: Collection[str],
    ) -> None:
        self.pieces = Pieces(proto, shape_of)
        self.moving = moving_tensors(proto.graph, moving)
        self.upstream = upstream
        self.constant: set[str] = set()  # on a piece: computed from what the pattern names

    def add(self, node: onnx.NodeProto) -> None:
        """Append the patterns of one node."""
        own = node.output[0].startswith(PREFIX)
        if not any(name in self.moving for name in node.output):
            return
        if not (_used(node) & self.moving) - self.constant:
            self.constant.update(node.output)
            return
        data = [name for name in node.input if name in self.moving and name not in self.constant]
        place = _Place(
            f'{node.op_type} (node "{node.name or node.output[0]}")',
            any(name in self.upstream for name in node.output),
        )
        kind = node.op_type if node.domain in _STANDARD else ""
        if kind in PIECEWISE:
            if kind == "PRelu" and node.input[1] in data:
                self._refuse(place)
            elif kind in JUMPS and self.pieces.tensor(node.input[0]).elem_type not in _WIDE:
                self._refuse(place)
            elif not (own and kind in DISCRETE):
                self.pieces.add(node, kind, data)
                if kind in VALUES:
                    self.constant.update(node.output)
                elif kind == "MaxPool":
                    self.constant.update(node.output[1:])
        elif kind in _BILINEAR:
            if node.input[0] in data and node.input[1] in data:
                self._refuse(place)
        elif kind == "Div":
            if node.input[1] in data:
                self._refuse(place)
        elif kind in _LINEAR_IN_FIRST:
            if data != [node.input[0]]:
                self._refuse(place)
        elif kind == "Cast" or kind in _QUANTISED:
            made, given = self.pieces.tensor(node.output[0]), self.pieces.tensor(node.input[0])
            if made.elem_type in _WHOLE and (kind != "Cast" or given.elem_type not in _WHOLE):
                self.pieces.value(made)
                self.constant.add(made.name)
            elif kind != "Cast":
                self._refuse(place)
        elif kind not in _LINEAR:
            self._refuse(place)

    def _refuse(self, place: _Place) -> None:
        if place.matters:
            raise OptionError(
                f"over_conditioning has no activation pattern for {place.words}, which lies between the "
                'input and the selection; use inference_mode="parametric".'
            )


def _upstream(graph: onnx.GraphProto, targets: Sequence[str]) -> set[str]:
    needed = set(targets)
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed |= _used(node)
    return needed
