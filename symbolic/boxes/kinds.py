"""How operators pass a box: which of them are affine, functions of single elements, bilinear, or maxima.

What stands in no table is passed by its rule for intervals, which forgets the linear part.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from symbolic.enclosures.values import Const, Range, Value
from symbolic.node import Node

__all__ = ["EXTREMA", "is_affine", "is_bilinear", "is_monotone", "is_single"]

_FIRST = (frozenset((0,)),)
_ALL = (frozenset(range(1 << 10)),)
_FACTORS = (frozenset((0, 2)), frozenset((1, 2)))
_TARGET_AND_UPDATES = (frozenset((0, 2)),)
AFFINE: dict[str, tuple[frozenset[int], ...]] = {
    **dict.fromkeys(
        (
            "AveragePool Cast Col2Im Compress CumSum DepthToSpace Div Dropout Expand Flatten Gather "
            "GatherElements GatherND GlobalAveragePool GridSample Identity Neg ReduceMean ReduceSum Reshape "
            "Resize ReverseSequence Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze Upsample"
        ).split(),
        _FIRST,
    ),
    **dict.fromkeys(("Add", "Concat", "Mean", "Sub", "Sum"), _ALL),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), _FACTORS),
    **dict.fromkeys(("MatMul", "Mul"), (frozenset((0,)), frozenset((1,)))),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _TARGET_AND_UPDATES),
    "BatchNormalization": (frozenset((0, 2, 3)), frozenset((1, 2))),
    "Einsum": tuple(frozenset((k,)) for k in range(64)),
    "Pad": (frozenset((0, 2)),),
    "TensorScatter": (frozenset((0, 1)),),
    "Where": (frozenset((1, 2)),),
}
"""By operator, sets of inputs in all of which together it is affine, the others being constant."""
BILINEAR = frozenset(("Conv", "ConvTranspose", "Div", "Einsum", "Gemm", "MatMul", "Mul"))
"""Linear in each of the first two inputs, plus a constant; Div is, once the second is inverted."""
SINGLE = frozenset(
    (
        "Abs Acos Acosh Asin Asinh Atan Atanh Celu Clip Cos Cosh Elu Erf Exp Gelu HardSigmoid HardSwish "
        "LeakyRelu Log Mish PRelu Pow Reciprocal Relu Selu Sigmoid Sin Sinh Softplus Softsign Sqrt Swish Tan "
        "Tanh"
    ).split()
)
"""Continuous functions of the elements of the first input, the others being constant."""
OF_TWO = frozenset(("Div", "Max", "Min", "Pow"))
"""Continuous functions of the elements of any one input, the others being constant."""
EXTREMA = frozenset(("GlobalMaxPool", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin"))
"""Non-decreasing in every element."""
_ADDING = (b"none", b"add", "none", "add", None)
_WIDE = (TensorProto.FLOAT, TensorProto.DOUBLE)
_REAL = (*_WIDE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def is_affine(node: Node, moving: Sequence[int]) -> bool:
    """Whether a node is affine in its moving inputs together."""
    kind, places = node.op_type, frozenset(moving)
    if not any(places <= allowed for allowed in AFFINE.get(kind, ())):
        return False
    if kind == "Cast":
        return node.attributes.get("to") in _WIDE and node.input_type(0) in _REAL
    if kind in ("ScatterElements", "ScatterND"):
        return node.attributes.get("reduction") in _ADDING
    return True


def is_single(node: Node, moving: Sequence[int]) -> bool:
    """Whether a node is a continuous function of the single elements of one tensor."""
    kind, names = node.op_type, {node.proto.input[k] for k in moving}
    if kind == "Mul":
        return len(moving) == 2 and len(names) == 1
    if len(moving) != 1:
        return False
    return (kind in SINGLE and moving[0] == 0) or kind in OF_TWO


def is_bilinear(node: Node, moving: Sequence[int]) -> bool:
    """Whether a node is bilinear in its first two inputs, which move."""
    return node.op_type in BILINEAR and tuple(moving) == (0, 1)


def is_monotone(node: Node, given: Sequence[Value | None]) -> bool:
    """Whether the first output of a node is non-decreasing in all elements of its inputs, and alone."""
    outputs = [name for name in node.proto.output if name]
    data = given if node.op_type in ("Max", "Min") else given[:1]
    whole = any(isinstance(v, Range) or (isinstance(v, Const) and not v.is_float) for v in data)
    return node.op_type in EXTREMA and len(outputs) == 1 and not whole
