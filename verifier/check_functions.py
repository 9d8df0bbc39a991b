"""Operators that the standard defines by a function: their definitions in place of them.

The graph is walked once, in order, with the types of its tensors; the nodes of a definition are walked in
the same way. They keep the operator set that the definition was written for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .check_errors import InvalidCertificate
from .check_integers import Array
from .check_names import Names, insert

__all__ = ["Versioned", "definition", "is_composite", "output_types", "typed", "without_composites"]

Versioned = tuple[onnx.NodeProto, int]
"""A node, and the operator set by which it is read."""
Types = dict[str, onnx.TypeProto]
DEPTH = 16
SMALL = 256  # constants of at most so many elements say something about shapes


def is_composite(node: onnx.NodeProto, opset: int, known: Collection[str]) -> bool:
    """Whether the node is outside `known`, but defined by a function."""
    if node.domain not in ("", "ai.onnx") or node.op_type in known:
        return False
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def definition(
    node: onnx.NodeProto, opset: int, types: Mapping[str, onnx.TypeProto], names: Names
) -> list[Versioned]:
    """The nodes that the standard puts in place of a composite node."""
    schema: Any = onnx.defs.get_schema(node.op_type, opset)
    body = _body(schema, node, opset, types)
    given = {a.name: a for a in node.attribute}
    for name, declared in schema.attributes.items():
        if declared.default_value.name:
            given.setdefault(name, declared.default_value)
    called = dict.fromkeys(body.input, "")
    called.update(zip(body.input, node.input, strict=False))
    made = {name for inner in body.node for name in inner.output}
    asked = {formal: actual for formal, actual in zip(body.output, node.output, strict=False) if actual}
    called.update((formal, actual) for formal, actual in asked.items() if formal in made)
    nodes = insert(body.node, called, names, given)
    nodes.extend(
        helper.make_node("Identity", [called[formal]], [actual])
        for formal, actual in asked.items()
        if formal not in made
    )
    version = next((o.version for o in body.opset_import if o.domain in ("", "ai.onnx")), opset)
    return [(inner, version) for inner in _needed(nodes, set(asked.values()))]


def _body(
    schema: Any, node: onnx.NodeProto, opset: int, types: Mapping[str, onnx.TypeProto]
) -> onnx.FunctionProto:
    """The definition for the operator set: the newest that is not newer, else the oldest."""
    fixed = schema.has_function
    versions = schema.function_opset_versions if fixed else schema.context_dependent_function_opset_versions
    version = max((v for v in versions if v <= opset), default=min(versions))
    body = onnx.FunctionProto()
    try:
        if fixed:
            body.ParseFromString(schema.get_function_with_opset_version(version))
        else:
            given = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
            body.ParseFromString(
                schema.get_context_dependent_function_with_opset_version(
                    version, node.SerializeToString(), given
                )
            )
    except Exception as error:  # the C++ side raises many kinds
        raise _refused(node, str(error)[:200]) from error
    if not body.node:
        raise _refused(node, "the standard defines it for other types")
    return body


def _refused(node: onnx.NodeProto, why: str) -> InvalidCertificate:
    return InvalidCertificate(
        f"the definition of {node.op_type} node {node.name or node.output[0]!r} cannot be used: {why}"
    )


def _needed(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """What the outputs need of a definition."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted.update(_reads(node))
            kept.append(node)
    return kept[::-1]


def _reads(node: onnx.NodeProto) -> set[str]:
    """All names that a node and its subgraphs mention as inputs or results."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            names.update(value.name for value in graph.output)
            names.update(*(_reads(inner) for inner in graph.node))
    return names


# ---- types -----------------------------------------------------------------------------------------------


def typed(array: Array) -> onnx.TypeProto:
    """The type of an array."""
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def output_types(
    node: onnx.NodeProto, opset: int, types: Types, data: Mapping[str, onnx.TensorProto]
) -> Types:
    """What the standard infers of the outputs of a node; nothing where it cannot."""
    known = {name: types.get(name, onnx.TypeProto()) for name in _reads(node) if name}
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
        imports = [helper.make_opsetid(node.domain, opset)]
        return onnx.shape_inference.infer_node_outputs(schema, node, known, dict(data), None, imports)
    except Exception:  # a type is no part of a claim: without it a definition is refused, or has its default
        return {}


def without_composites(
    model: onnx.ModelProto, inputs: Mapping[str, Array], known: Collection[str]
) -> list[Versioned]:
    """The nodes of the graph, with definitions in place of the composite operators outside `known`.

    `inputs` are values of all inputs of the graph.
    """
    versions = {o.domain: o.version for o in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 1))
    versions |= {"": opset, "ai.onnx": opset}
    graph = model.graph
    read = [(node, versions.get(node.domain, 1)) for node in graph.node]
    if not any(is_composite(node, opset, known) for node in graph.node):
        return read
    types = {t.name: helper.make_tensor_type_proto(t.data_type, t.dims) for t in graph.initializer}
    types |= {name: typed(np.asarray(array)) for name, array in inputs.items()}
    data = {t.name: t for t in graph.initializer if np.prod(t.dims) <= SMALL}
    names = Names.of(graph)

    def walk(node: onnx.NodeProto, version: int, depth: int) -> Iterator[Versioned]:
        if is_composite(node, version, known):
            if depth == DEPTH:
                raise _refused(node, "definitions use each other too deep")
            for inner, its in definition(node, version, types, names):
                yield from walk(inner, its, depth + 1)
            return
        types.update(output_types(node, version, types, data))
        if node.op_type == "Constant":
            data.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
        yield node, version

    return [found for node, version in read for found in walk(node, version, 0)]
