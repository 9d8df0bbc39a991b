"""Operators that the standard defines by a function: their definitions in place of them.

A definition keeps the operator set that it was written for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import onnx
from onnx import helper

from verifier.check.errors import InvalidCertificate
from verifier.check.graph.inference import node_types
from verifier.check.graph.names import Names, insert, needed_for
from verifier.check.graph.nodes import STANDARD, Versioned

__all__ = ["definition", "element_kinds", "is_composite", "output_types"]

Types = dict[str, onnx.TypeProto]


def is_composite(node: onnx.NodeProto, opset: int, known: Collection[str]) -> bool:
    """Whether the node is outside `known`, but defined by a function."""
    if node.domain not in STANDARD or node.op_type in known:
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
    version = next((o.version for o in body.opset_import if o.domain in STANDARD), opset)
    return [(inner, version) for inner in needed_for(nodes, asked.values())]


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


def output_types(node: onnx.NodeProto, opset: int, types: Mapping[str, onnx.TypeProto]) -> Types:
    """What the standard infers of the outputs of a node; nothing where it cannot."""
    known = {name: types.get(name, onnx.TypeProto()) for name in node.input if name}
    try:
        return node_types(node, opset, known)
    except Exception:  # a type is no part of a claim: without it a definition is refused, or has its default
        return {}


def element_kinds(
    model: onnx.ModelProto, stored: Mapping[str, Any], nodes: Iterable[Versioned]
) -> dict[str, int]:
    """The element type of every tensor that some nodes make or read, by the standard's inference."""
    kinds: dict[str, int] = {name: helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in stored.items()}
    kinds |= {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    kinds |= {t.name: t.data_type for t in model.graph.initializer}
    for node, version in nodes:
        types = {n: helper.make_tensor_type_proto(kinds[n], None) for n in node.input if kinds.get(n)}
        for name, kind in output_types(node, version, types).items():
            kinds[name] = kind.tensor_type.elem_type
    return kinds
