"""Static input shapes, and what ONNX's own inference says about types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto

from symbolic.errors import InputError, ModelError
from symbolic.reading.ml_types import hidden, restored
from symbolic.reading.withdrawn import disguise

__all__ = [
    "copied",
    "element_types",
    "free_inputs",
    "inferred",
    "inferred_shapes",
    "static_inputs",
    "without_large_tensors",
]

# Larger constants say nothing about shapes, and inference copies every byte that it is handed.
_KEPT_ELEMENTS = 1024
_CHECKED_ELEMENTS = 2**16
_LONGEST_VECTOR = 2**20


def copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy of a model."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    return result


def free_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Give the graph's inputs that are not initializers, in order."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def static_inputs(proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """Give a copy of a model whose inputs have static shapes.

    Parameters
    ----------
    proto : onnx.ModelProto
    shapes : mapping
        Shape of each input by name; an input that is left out must be static already.

    Raises
    ------
    InputError
        If a dynamic dimension gets no value, or a static one another value.
    """
    result = copied(proto)
    known = {value.name for value in free_inputs(result.graph)}
    for name in shapes:
        if name not in known:
            raise InputError(f'The model has no input "{name}"; its inputs are {", ".join(sorted(known))}.')
    for value in free_inputs(result.graph):
        if not value.type.HasField("tensor_type"):
            raise ModelError(f'The input "{value.name}" is not a tensor.')
        tensor = value.type.tensor_type
        shape = shapes.get(value.name)
        if shape is None:
            _require_static(value)
            continue
        if not tensor.HasField("shape"):
            tensor.shape.SetInParent()
            for length in shape:
                tensor.shape.dim.add().dim_value = int(length)
        declared = list(tensor.shape.dim)
        if len(declared) != len(shape) or any(
            d.HasField("dim_value") and d.dim_value != n for d, n in zip(declared, shape, strict=True)
        ):
            words = ", ".join(
                str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in declared
            )
            raise InputError(
                f'The model\'s input "{value.name}" has shape ({words}); it cannot be {tuple(shape)}.'
            )
        for d, n in zip(declared, shape, strict=True):
            d.dim_value = int(n)
    return result


def _require_static(value: onnx.ValueInfoProto) -> None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise InputError(f'The input "{value.name}" declares no shape: give a value for this input.')
    for axis, d in enumerate(tensor.shape.dim):
        if not d.HasField("dim_value"):
            called = f' "{d.dim_param}"' if d.dim_param else ""
            raise InputError(
                f'The input "{value.name}" has a dynamic dimension{called} (axis {axis}) with no value: '
                "give a value "
                "for this input."
            )


def inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy with inferred types and shapes (`value_info`); large constants appear as inputs in it.

    Shapes that the model itself declares for inner tensors and outputs are not believed: they are often
    stale.

    Raises
    ------
    ModelError
        If the inference finds a contradiction.
    """
    slim = onnx.ModelProto()
    slim.ir_version = max(proto.ir_version, 4)
    slim.opset_import.extend(proto.opset_import)
    slim.functions.extend(proto.functions)
    graph = slim.graph
    graph.name = proto.graph.name or "graph"
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    _take_constants(proto.graph, graph, _KEPT_ELEMENTS)
    some_hidden, some_disguised = hidden(slim), disguise(slim)
    try:
        found = onnx.shape_inference.infer_shapes(slim)
        if not _has_long_vector(found.graph):  # following values takes memory for every entry of a vector
            found = onnx.shape_inference.infer_shapes(slim, data_prop=True)
    except Exception as error:  # the C++ side raises several types, some of them bare
        raise ModelError(f"The shapes in the model contradict each other ({_first_line(error)}).") from None
    found = restored(found) if some_hidden else found
    if some_disguised:
        for target, source in ((found.graph.node, proto.graph.node), (found.functions, proto.functions)):
            del target[:]
            target.extend(source)
    return found


def _has_long_vector(graph: onnx.GraphProto) -> bool:
    shapes = (v.type.tensor_type.shape.dim for v in (*graph.input, *graph.value_info, *graph.output))
    return any(len(dims) == 1 and dims[0].dim_value > _LONGEST_VECTOR for dims in shapes)


def without_large_tensors(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy with all fields, but large initializers are inputs in it."""
    slim = onnx.ModelProto()
    _take_fields(proto, slim, "graph")
    _take_fields(proto.graph, slim.graph, "initializer")
    _take_constants(proto.graph, slim.graph, _CHECKED_ELEMENTS)
    return slim


def _take_fields(source: Any, target: Any, skipped: str) -> None:
    for entry, value in source.ListFields():
        if entry.name == skipped:
            continue
        if hasattr(value, "extend"):
            getattr(target, entry.name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(target, entry.name).CopyFrom(value)
        else:
            setattr(target, entry.name, value)


def _take_constants(source: onnx.GraphProto, target: onnx.GraphProto, most: int) -> None:
    """The initializers of up to so many elements, the others as inputs."""
    named = {value.name for value in target.input}
    for tensor in source.initializer:
        count = 1
        for n in tensor.dims:
            count *= n
        if count <= most:
            target.initializer.append(tensor)
        elif tensor.name not in named:
            target.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _values(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    graph = proto.graph
    return [*graph.value_info, *graph.output, *graph.input]


def element_types(proto: onnx.ModelProto) -> dict[str, int]:
    """Give the ONNX element type of every tensor of the main graph that inference can type."""
    types = {tensor.name: int(tensor.data_type) for tensor in proto.graph.initializer}
    for value in _values(inferred(proto)):
        elem_type = value.type.tensor_type.elem_type
        if value.type.HasField("tensor_type") and elem_type != TensorProto.UNDEFINED:
            types.setdefault(value.name, int(elem_type))
    return types


def inferred_shapes(proto: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Give the shape of every tensor of the main graph whose shape inference knows completely."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    for value in _values(inferred(proto)):
        tensor = value.type.tensor_type
        if value.type.HasField("tensor_type") and tensor.HasField("shape"):
            if all(d.HasField("dim_value") for d in tensor.shape.dim):
                shapes.setdefault(value.name, tuple(int(d.dim_value) for d in tensor.shape.dim))
    return shapes
