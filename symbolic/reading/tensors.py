"""Stored tensors of an untrusted model: their data must be exactly what their dims claim."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from symbolic.errors import ModelError

__all__ = ["all_tensors", "require_consistent", "walk_graphs"]

MAX_DEPTH = 16
_MAX_ELEMENTS = 2**34

_BITS = {
    name: bits
    for names, bits in (
        ("FLOAT INT32 UINT32", 32),
        ("DOUBLE INT64 UINT64 COMPLEX64", 64),
        ("COMPLEX128", 128),
        ("FLOAT16 BFLOAT16 INT16 UINT16", 16),
        ("INT8 UINT8 BOOL FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0", 8),
        ("INT4 UINT4 FLOAT4E2M1", 4),
        ("INT2 UINT2", 2),
    )
    for name in names.split()
}
# Types whose numbers may be in a typed field, and how many entries of that field each takes.
_TYPED = {
    "FLOAT": ("float_data", 1),
    "COMPLEX64": ("float_data", 2),
    "DOUBLE": ("double_data", 1),
    "COMPLEX128": ("double_data", 2),
    "INT64": ("int64_data", 1),
    "UINT32": ("uint64_data", 1),
    "UINT64": ("uint64_data", 1),
}


def walk_graphs(
    proto: onnx.ModelProto,
) -> Iterator[tuple[onnx.GraphProto | onnx.FunctionProto, int]]:
    """Give the main graph, every subgraph and every local function, each with its depth.

    Raises
    ------
    ModelError
        If subgraphs nest deeper than 16.
    """
    waiting: list[tuple[onnx.GraphProto | onnx.FunctionProto, int]] = [(proto.graph, 0)]
    waiting.extend((function, 0) for function in proto.functions)
    while waiting:
        graph, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ModelError(f"The model's subgraphs are nested deeper than {MAX_DEPTH}.")
        yield graph, depth
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append((attribute.g, depth + 1))
                waiting.extend((inner, depth + 1) for inner in attribute.graphs)


def all_tensors(proto: onnx.ModelProto) -> Iterator[TensorProto]:
    """Give every stored tensor of a model: initializers and attributes, subgraphs and functions included."""
    for graph, _ in walk_graphs(proto):
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            sparse = bool(graph.sparse_initializer)
        else:
            attributes.extend(graph.attribute_proto)
            sparse = False
        for attribute in attributes:
            sparse = sparse or attribute.HasField("sparse_tensor") or bool(attribute.sparse_tensors)
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        if sparse:
            raise ModelError("The model stores sparse tensors, which are not supported; store them densely.")


def require_consistent(tensor: TensorProto) -> int:
    """Check a stored tensor's data against its dims.

    Returns
    -------
    int
        The number of bytes of its data, for external data the number that there must be.

    Raises
    ------
    ModelError
        If the sizes disagree, or the type is unknown.
    """
    called = f'The stored tensor "{tensor.name}"'
    count = 1
    for length in tensor.dims:
        if length < 0:
            raise ModelError(f"{called} has a negative dimension.")
        count *= length
        if count > _MAX_ELEMENTS:
            raise ModelError(f"{called} claims more than {_MAX_ELEMENTS} elements.")
    try:
        kind = TensorProto.DataType.Name(tensor.data_type)
    except ValueError:
        raise ModelError(f"{called} has an unknown element type ({tensor.data_type}).") from None
    if tensor.HasField("segment") or (kind == "STRING" and tensor.data_location == TensorProto.EXTERNAL):
        raise ModelError(f"{called} is stored in pieces or as external strings, which is not supported.")
    if kind == "STRING":
        if len(tensor.string_data) != count:
            raise ModelError(f"{called} claims {count} strings and holds {len(tensor.string_data)}.")
        return sum(map(len, tensor.string_data))
    if kind not in _BITS:
        raise ModelError(f"{called} has no element type that can be read ({kind}).")
    size = (count * _BITS[kind] + 7) // 8
    if tensor.data_location == TensorProto.EXTERNAL:
        return size
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != size:
            raise ModelError(
                f"{called} claims {count} elements ({size} bytes) and holds {len(tensor.raw_data)} bytes."
            )
        return size
    field, each = _TYPED.get(kind, ("int32_data", 1))
    wanted = count * each
    if field == "int32_data" and _BITS[kind] < 8:
        wanted = size
    held = len(getattr(tensor, field))
    if held != wanted:
        raise ModelError(f"{called} claims {count} elements and holds {held}.")
    return size
