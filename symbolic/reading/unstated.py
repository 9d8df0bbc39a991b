"""Outputs whose type or shape a model does not state: what the standard's inference finds stands for it."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from symbolic.errors import ModelError
from symbolic.reading.static_shapes import free_inputs, inferred

__all__ = ["fill_gaps", "require_input_types", "state_types"]


def require_input_types(graph: onnx.GraphProto) -> None:
    """Refuse inputs of which nothing could tell the element type."""
    for value in free_inputs(graph):
        kind = value.type
        known = kind.WhichOneof("value")
        if known is None or known == "tensor_type" and not kind.tensor_type.elem_type:
            raise ModelError(f'The input "{value.name}" states no element type.')


def fill_gaps(graph: onnx.GraphProto) -> None:
    """Put something in every gap of the types of inputs and outputs, in place: onnx's checker asks for them
    all, and then looks at none.
    """
    for value in (*graph.input, *graph.output):
        _fill(value.type)


def _fill(kind: onnx.TypeProto) -> None:
    known = kind.WhichOneof("value") or "tensor_type"
    inner = getattr(kind, known)
    if known in ("tensor_type", "sparse_tensor_type"):
        inner.elem_type = inner.elem_type or TensorProto.FLOAT
        inner.shape.SetInParent()
    elif known in ("sequence_type", "optional_type"):
        _fill(inner.elem_type)


def state_types(proto: onnx.ModelProto) -> None:
    """Give every output without an element type the one that inference finds, in place; where it finds none
    there is no type at all, which runtimes read too.
    """
    gaps = [value for value in proto.graph.output if not _is_whole(value.type)]
    if not gaps:
        return
    found = {value.name: value.type for value in inferred(proto).graph.output}
    for value in gaps:
        kind = found[value.name]
        value.ClearField("type")
        if _is_whole(kind):
            value.type.CopyFrom(kind)
            if kind.HasField("tensor_type"):  # the shape may hold for other inputs alone
                value.type.tensor_type.ClearField("shape")


def _is_whole(kind: onnx.TypeProto) -> bool:
    """Whether a type says what its elements are."""
    known = kind.WhichOneof("value")
    if known is None:
        return False
    inner = getattr(kind, known)
    if known in ("sequence_type", "optional_type"):
        return _is_whole(inner.elem_type)
    return known in ("map_type", "opaque_type") or bool(inner.elem_type)
