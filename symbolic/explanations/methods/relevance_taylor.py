"""Deep Taylor decomposition: which networks it is defined for, and the rule of every layer."""

from __future__ import annotations

import onnx

from symbolic.errors import ModelError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.linear_layers import Layer
from symbolic.explanations.method import Task
from symbolic.explanations.methods import relevance_rules as rules
from symbolic.explanations.methods.relevance_pass import RelevancePass
from symbolic.explanations.methods.relevance_rules import LayerRule

__all__ = ["deep_taylor"]

COMMUTING = frozenset((
    "Cast", "Dropout", "Flatten", "GlobalMaxPool", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose",
    "Unsqueeze",
))  # fmt: skip
"""Before a ReLU they are the same as behind it."""
ALLOWED = COMMUTING | {
    "Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "ConvTranspose", "Gemm",
    "GlobalAveragePool", "MatMul", "Pad", "ReduceMean", "Relu", "Slice", "Split", "Sum",
}  # fmt: skip
"""Operators of networks that deep Taylor decomposition is defined for, beside what is merged into layers."""


def deep_taylor(task: Task, stabiliser: float, box: LayerRule | None) -> Tensor:
    """Relevance of the input: z-plus before a ReLU, w-square at other layers, `box` at the first ones.

    Raises
    ------
    ModelError
        The network has another function than ReLU; the message names its node.
    """
    way = RelevancePass(task, stabiliser, bias=False)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in task.passage.between:
        if node.op_type not in ALLOWED and node.output[0] not in way.merged:
            raise ModelError(
                f"{node.op_type} node {node.name or node.output[0]!r} does not belong to a ReLU network, "
                "which deep Taylor decomposition is defined for: take a rule of LRP, such as lrp.epsilon."
            )
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def rectified(name: str) -> bool:
        after = readers.get(name, [])
        return bool(after) and all(
            node.op_type == "Relu" or (node.op_type in COMMUTING and rectified(node.output[0]))
            for node in after
        )

    plus, square = rules.z_plus(False, stabiliser), rules.w_square()

    def rule(number: int, layer: Layer) -> LayerRule:
        if box is not None and way.is_first(layer):
            return box
        return plus if rectified(layer.output) else square

    score = task.weights * task.passage.y
    return way.relevance(rule, task.graph.same("Relu", score))
