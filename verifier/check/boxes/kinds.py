"""Which operators are affine in what moves, and which are continuous functions of single elements."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from verifier.check.operators.registry import Node

__all__ = ["is_affine", "is_single"]

_ALL = (frozenset(range(1 << 10)),)
_FIRST = (frozenset({0}),)
_WEIGHED = (frozenset({0, 2}), frozenset({1, 2}))
AFFINE: dict[str, tuple[frozenset[int], ...]] = {
    **dict.fromkeys(("Add", "Concat", "Mean", "Sub", "Sum"), _ALL),
    **dict.fromkeys(
        (
            "AveragePool BatchNormalization Cast CumSum DepthToSpace Div Dropout Expand Flatten Gather "
            "GatherElements GatherND GlobalAveragePool Identity Neg Pad ReduceMean ReduceSum Reshape Resize "
            "Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze Upsample"
        ).split(),
        _FIRST,
    ),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), _WEIGHED),
    **dict.fromkeys(("MatMul", "Mul"), (frozenset({0}), frozenset({1}))),
    "Where": (frozenset({1, 2}),),
}
"""By operator, sets of inputs in all of which together it is affine, the others being constant."""
SINGLE = frozenset(
    (
        "Abs Atan Celu Clip Elu Erf Exp Gelu HardSigmoid HardSwish LeakyRelu Mish PRelu Relu Selu Sigmoid "
        "Softplus Softsign Sqrt Swish Tanh"
    ).split()
)
"""Continuous functions of the elements of the first input, the others being constant."""
REAL = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
)
WIDE = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})


def is_affine(node: Node, moving: Sequence[int]) -> bool:
    """Whether a node is affine in its moving inputs together."""
    if not any(set(moving) <= places for places in AFFINE.get(node.op, ())):
        return False
    if node.op == "Cast":
        return node.get("to") in WIDE and node.kinds[0] in REAL
    return True


def is_single(node: Node, moving: Sequence[int]) -> bool:
    """Whether a node is a continuous function of the single elements of its first input."""
    return node.op in SINGLE and list(moving) == [0]
