"""Element types that ONNX's own inference crashes on, where the type of an input is not known.

The operators are those of ai.onnx.ml, and EyeLike. Their nodes are hidden from it, and what they make is
declared.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from symbolic.errors import ModelError
from symbolic.reading.subgraphs import all_nodes

__all__ = ["hidden", "ml_output_types", "require_harmless", "restored"]

ML = "ai.onnx.ml"
HIDDEN = "sureline.hidden"
REAL = ("FeatureVectorizer", "LinearRegressor", "Normalizer", "Scaler", "TreeEnsembleRegressor")
CLASSIFIERS = ("LinearClassifier", "TreeEnsembleClassifier")


def ml_output_types(node: onnx.NodeProto) -> dict[str, int]:
    """The element types of a node's outputs, as far as the node alone tells them."""
    given = {a.name for a in node.attribute}
    kinds: list[int] = []
    if node.op_type in REAL or node.op_type == "LabelEncoder" and "values_floats" in given:
        kinds = [TensorProto.FLOAT]
    elif node.op_type in CLASSIFIERS:
        strings = "classlabels_strings" in given
        kinds = [TensorProto.STRING if strings else TensorProto.INT64, TensorProto.FLOAT]
    elif node.op_type == "LabelEncoder" and "values_int64s" in given:
        kinds = [TensorProto.INT64]
    elif node.op_type == "EyeLike":
        kinds = [a.i for a in node.attribute if a.name == "dtype"]
    elif node.op_type == "TreeEnsemble":
        kinds = [a.t.data_type for a in node.attribute if a.name == "leaf_weights"]
    return {name: kind for name, kind in zip(node.output, kinds, strict=False) if name}


def require_harmless(model: onnx.ModelProto) -> None:
    """Refuse what makes ONNX's inference end the process: a Split that contradicts itself."""
    for body in (model.graph, *model.functions):
        for node in all_nodes(body.node):
            stated = [a.i for a in node.attribute if a.name == "num_outputs"]
            if node.op_type == "Split" and stated and stated[0] != len(node.output):
                raise ModelError(
                    f"Split node {node.name!r} has {len(node.output)} outputs, not {stated[0]} as it says."
                )


def hidden(model: onnx.ModelProto) -> bool:
    """Hide these nodes from inference, in place; whether there are any."""
    found = False
    for body in (model.graph, *model.functions):
        for node in all_nodes(body.node):
            if node.domain == ML or node.op_type == "EyeLike":
                node.domain, found = HIDDEN, True
    if not found:
        return False
    declared = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        if node.domain == HIDDEN:
            for name, kind in ml_output_types(node).items():
                if name not in declared:
                    model.graph.value_info.append(helper.make_tensor_value_info(name, kind, None))
    for holder in (model, *model.functions):
        holder.opset_import.append(helper.make_opsetid(HIDDEN, 1))
    return True


def restored(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undo `hidden`, in place."""
    for body in (model.graph, *model.functions):
        for node in all_nodes(body.node):
            if node.domain == HIDDEN:
                node.domain = "" if node.op_type == "EyeLike" else ML
    for holder in (model, *model.functions):
        kept = [entry for entry in holder.opset_import if entry.domain != HIDDEN]
        del holder.opset_import[:]
        holder.opset_import.extend(kept)
    return model
