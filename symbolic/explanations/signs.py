"""Which tensors cannot be negative, from the operators that make them."""

from __future__ import annotations

import onnx

from symbolic.explanations.graph import Tensor

__all__ = ["never_negative"]

NONNEGATIVE = frozenset(("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus"))
KEEP_SIGN = frozenset((
    "AveragePool", "Cast", "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather",
    "GlobalAveragePool", "GlobalMaxPool", "Identity", "MaxPool", "ReduceMax", "ReduceMean", "ReduceSum",
    "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
))  # fmt: skip
FIRST_ONLY = KEEP_SIGN - {"Concat"}
"""Their other inputs are shapes and places."""


def never_negative(x: Tensor) -> bool:
    """Whether a tensor is at least 0 whatever the input; False where that is not seen."""
    graph = x.graph
    makers = {out: node for node in graph.proto.graph.node for out in node.output}
    names, seen = [x.name], set[str]()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        node = makers.get(name)
        if node is None:
            value = graph.value(name)
            if value is None or not (value >= 0).all():
                return False
        elif node.op_type in KEEP_SIGN:
            names += node.input[:1] if node.op_type in FIRST_ONLY else node.input
        elif node.op_type not in NONNEGATIVE and not _is_cut_above_zero(node):
            return False
    return True


def _is_cut_above_zero(node: onnx.NodeProto) -> bool:
    """A ThresholdedRelu keeps what is above alpha, 1 unless it says otherwise."""
    return node.op_type == "ThresholdedRelu" and all(a.f >= 0 for a in node.attribute if a.name == "alpha")
