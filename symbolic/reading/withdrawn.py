"""GroupNormalization of the operator sets 18 to 20: withdrawn from the standard, which still defines it."""

from __future__ import annotations

import onnx
from onnx import AttributeProto

from symbolic.reading.subgraphs import all_nodes

__all__ = ["disguise"]

SINCE, NEXT = 18, 21


def disguise(model: onnx.ModelProto) -> bool:
    """Give such nodes, in place, the name of an operator with the same inputs and output, and say whether
    there are any: onnx's checker and inference refuse all that is withdrawn, however well it is defined.
    """
    found = False
    for body in (model.graph, *model.functions):
        imports = body.opset_import if isinstance(body, onnx.FunctionProto) else model.opset_import
        if not any(o.domain in ("", "ai.onnx") and SINCE <= o.version < NEXT for o in imports):
            continue
        for node in all_nodes(body.node):
            if node.op_type == "GroupNormalization" and node.domain in ("", "ai.onnx"):
                others = [a for a in node.attribute if a.name != "num_groups"]
                groups = [a for a in node.attribute if a.name == "num_groups"]
                if [a.type for a in groups] == [AttributeProto.INT]:
                    node.op_type = "InstanceNormalization"
                    del node.attribute[:]
                    node.attribute.extend(others)
                    found = True
    return found
