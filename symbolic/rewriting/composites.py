"""Composite operators of the standard, replaced by the function bodies that the standard defines for them.

One level at a time: a body may depend on the types of its inputs, which are inferred between two levels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import onnx
import onnx.inliner
from onnx import helper

from symbolic.errors import ModelError
from symbolic.reading.static_shapes import inferred

__all__ = ["composite_names", "expanded"]

DOMAIN = "sureline.expanded"
LEVELS = 12
DRAWN = {"Bernoulli"}
"""Random by its definition: never expanded."""


@cache
def composite_names(opset: int) -> frozenset[str]:
    """The operators that this version of the standard defines by a function body."""
    # the stubs know half of the attributes
    schemas: Sequence[Any] = onnx.defs.get_all_schemas_with_history()
    return frozenset(
        schema.name
        for schema in schemas
        if schema.domain == ""
        and schema.since_version <= opset
        and (schema.has_function or schema.has_context_dependent_function)
        and schema.name not in DRAWN
    )


def expanded(proto: onnx.ModelProto, known: Collection[str]) -> onnx.ModelProto:
    """Give the model with every composite operator outside `known` replaced by its definition.

    Parameters
    ----------
    proto : onnx.ModelProto
        Without local functions.
    known : collection of str
        Operators that have a meaning of their own here.

    Returns
    -------
    onnx.ModelProto
        The same object where there is nothing to replace; else large constants appear as inputs in it.

    Raises
    ------
    ModelError
        If a definition cannot be had: the types of the inputs cannot be inferred.
    """
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
    wanted = composite_names(opset) - set(known)
    if not any(_is_wanted(node, wanted) for node in proto.graph.node):
        return proto
    light = inferred(proto)  # without large weights
    for _ in range(LEVELS):
        if not any(_is_wanted(node, wanted) for node in light.graph.node):
            break
        light = _one_level(light, wanted, opset)
    else:
        raise ModelError("The definitions of the model's composite operators do not come to an end.")
    return light


def _is_wanted(node: onnx.NodeProto, wanted: Collection[str]) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in wanted


def _one_level(model: onnx.ModelProto, wanted: Collection[str], opset: int) -> onnx.ModelProto:
    """Make every wanted node a call of a local function, and inline these."""
    graph = model.graph
    types = {value.name: value.type for value in [*graph.input, *graph.value_info, *graph.output]}
    types |= {
        tensor.name: helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        for tensor in graph.initializer
    }
    calls = onnx.ModelProto()
    calls.CopyFrom(model)
    calls.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    calls.ir_version = max(calls.ir_version, 10)
    for number, node in enumerate(calls.graph.node):
        if not _is_wanted(node, wanted):
            continue
        body = _definition(node, opset, types)
        body.domain, body.name = DOMAIN, f"{node.op_type}_{number}"
        calls.functions.append(body)
        given = {attribute.name for attribute in node.attribute}
        for name, declared in onnx.defs.get_schema(node.op_type, opset).attributes.items():
            if declared.default_value.name and name not in given:
                node.attribute.append(declared.default_value)
        node.domain, node.op_type = DOMAIN, body.name
    try:
        flat = onnx.inliner.inline_local_functions(calls)
    except Exception as error:  # the C++ side raises several types
        raise ModelError(
            f"The definitions of the standard cannot be inserted ({str(error)[:200]})."
        ) from None
    kept = [entry for entry in flat.opset_import if entry.domain != DOMAIN]
    del flat.opset_import[:]
    flat.opset_import.extend(kept)
    return inferred(flat)


def _definition(node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]) -> onnx.FunctionProto:
    """The standard's definition of a node, in the words of the model's operator set."""
    schema: Any = onnx.defs.get_schema(node.op_type, opset)
    label = f"{node.op_type} node {node.name or node.output[0]!r}"
    fixed = schema.has_function
    versions = schema.function_opset_versions if fixed else schema.context_dependent_function_opset_versions
    given = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
    for version in sorted(versions, key=lambda v: (v > opset, abs(v - opset))):
        body = onnx.FunctionProto()
        try:
            body.ParseFromString(
                schema.get_function_with_opset_version(version)
                if fixed
                else schema.get_context_dependent_function_with_opset_version(
                    version, node.SerializeToString(), given
                )
            )
        except Exception as error:  # the C++ side raises several types
            raise ModelError(
                f"{label}: the standard's definition cannot be used ({str(error)[:200]})."
            ) from None
        if body.node and all(_reads_alike(inner, version, opset) for inner in body.node):
            del body.opset_import[:]
            body.opset_import.append(helper.make_opsetid("", opset))
            return body
    raise ModelError(f"{label}: the standard has no definition for operator set {opset} and these types.")


def _reads_alike(node: onnx.NodeProto, written: int, read: int) -> bool:
    """Whether a node means the same in two operator sets, as far as arity and attributes tell."""
    try:
        old, new = (onnx.defs.get_schema(node.op_type, v) for v in (written, read))
    except onnx.defs.SchemaError:
        return False
    if old.since_version == new.since_version:
        return True
    given = {attribute.name for attribute in node.attribute}
    if not given <= set(new.attributes) or not new.min_input <= len(node.input) <= new.max_input:
        return False
    defaults = [
        {
            name: attribute.default_value.SerializeToString()
            for name, attribute in schema.attributes.items()
            if name not in given and name in old.attributes
        }
        for schema in (old, new)
    ]
    return defaults[0] == defaults[1]
