"""The standard's inference of types, except where it crashes on inputs of unknown type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import onnx
from onnx import TensorProto, helper

from verifier.check.graph.subgraphs import all_nodes

__all__ = ["contradicts", "inferred", "node_types", "without_withdrawn"]

ML = "ai.onnx.ml"
DEFAULT = ("", "ai.onnx")
UNREAD = "unread"
SMALL = 1024  # constants of at most so many elements say something about shapes
FLOATS = {"FeatureVectorizer", "LinearRegressor", "Normalizer", "Scaler", "TreeEnsembleRegressor"}


def _kinds(node: onnx.NodeProto) -> list[int]:
    """Element types of the outputs of a node that `_crashes`, where its attributes tell them."""
    names = {a.name: a for a in node.attribute}
    if node.op_type == "EyeLike":
        return [names["dtype"].i] if "dtype" in names else []
    if node.op_type.endswith("Classifier"):
        named = "classlabels_strings" in names
        return [TensorProto.STRING if named else TensorProto.INT64, TensorProto.FLOAT]
    if node.op_type == "TreeEnsemble" and "leaf_weights" in names:
        return [names["leaf_weights"].t.data_type]
    if node.op_type in FLOATS or "values_floats" in names:
        return [TensorProto.FLOAT]
    return [TensorProto.INT64] if "values_int64s" in names else []


def _declared(node: onnx.NodeProto) -> dict[str, int]:
    return {name: kind for name, kind in zip(node.output, _kinds(node), strict=False) if name}


def node_types(
    node: onnx.NodeProto, opset: int, known: Mapping[str, onnx.TypeProto]
) -> dict[str, onnx.TypeProto]:
    """What is inferred of the outputs of one node; it may raise what the C++ side raises."""
    if _crashes(node):
        return {name: helper.make_tensor_type_proto(kind, None) for name, kind in _declared(node).items()}
    if is_withdrawn(node, opset):
        node = _renamed(node)
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    imports = [helper.make_opsetid(node.domain, opset)]
    return onnx.shape_inference.infer_node_outputs(schema, node, dict(known), None, None, imports)


def inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph with the types of its tensors, large weights as inputs; it may raise what the C++ side
    raises.
    """
    copy = without_withdrawn(_light(model))
    bodies = (model.graph, *model.functions)
    if not any(_crashes(node) for body in bodies for node in all_nodes(body.node)):
        return onnx.shape_inference.infer_shapes(copy, strict_mode=False).graph
    known = {v.name for v in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        if _crashes(node):
            copy.graph.value_info.extend(
                helper.make_tensor_value_info(name, kind, None)
                for name, kind in _declared(node).items()
                if name not in known
            )
    for body in (copy.graph, *copy.functions):
        _hide(body.node)
    for holder in (copy, *copy.functions):
        holder.opset_import.append(helper.make_opsetid(UNREAD, 1))
    return onnx.shape_inference.infer_shapes(copy, strict_mode=False).graph


def is_withdrawn(node: onnx.NodeProto, opset: int) -> bool:
    """A GroupNormalization of the operator sets 18 to 20: onnx refuses it, but the standard defines it."""
    if node.op_type != "GroupNormalization" or node.domain not in DEFAULT or not 18 <= opset <= 20:
        return False
    return [a.type for a in node.attribute if a.name == "num_groups"] == [onnx.AttributeProto.INT]


def without_withdrawn(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or a copy in which such nodes are of an operator with the same inputs and output."""
    if not any(is_withdrawn(node, opset) for node, opset in _versioned(model)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node, opset in _versioned(copy):
        if is_withdrawn(node, opset):
            node.CopyFrom(_renamed(node))
    return copy


def _versioned(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, int]]:
    """All nodes with the version of the default operator set by which they are read."""
    for body, imports in ((model.graph, model), *((f, f) for f in model.functions)):
        opset = next((o.version for o in imports.opset_import if o.domain in DEFAULT), 0)
        yield from ((node, opset) for node in all_nodes(body.node))


def _renamed(node: onnx.NodeProto) -> onnx.NodeProto:
    kept = [a for a in node.attribute if a.name != "num_groups"]
    made = onnx.NodeProto(op_type="InstanceNormalization", name=node.name)
    made.input.extend(node.input)
    made.output.extend(node.output)
    made.attribute.extend(kept)
    return made


def contradicts(nodes: Iterable[onnx.NodeProto]) -> bool:
    """Whether a Split says another number of outputs than it has: the inference would end the process."""
    return any(
        node.op_type == "Split" and attribute.name == "num_outputs" and attribute.i != len(node.output)
        for node in all_nodes(nodes)
        for attribute in node.attribute
    )


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which large weights are inputs."""
    copy = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    graph, made = model.graph, copy.graph
    made.name = graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(made, field).extend(getattr(graph, field))
    named = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= SMALL:
            made.initializer.append(tensor)
        elif tensor.name not in named:
            made.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return copy


def _crashes(node: onnx.NodeProto) -> bool:
    return node.domain == ML or node.op_type == "EyeLike"


def _hide(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in all_nodes(nodes):
        node.domain = UNREAD if _crashes(node) else node.domain
