"""The nodes of over-conditioning: outputs that name the branch of every piecewise-linear operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from verifier.check.errors import InvalidCertificate

__all__ = ["pattern_nodes"]

SHAPE_ONLY = {"Shape", "Size", "EyeLike"}
SIGNS = {"Relu", "LeakyRelu", "PRelu", "Abs", "Sign"}
DISCRETE = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "ArgMax", "ArgMin"}
LINEAR = {
    "Add",
    "Sub",
    "Sum",
    "Mean",
    "Neg",
    "Identity",
    "Concat",
    "And",
    "Or",
    "Not",
    "Xor",
    "Where",
    "ReduceSum",
    "ReduceMean",
    "AveragePool",
    "GlobalAveragePool",
    "Reshape",
    "Transpose",
    "Slice",
    "Gather",
    "GatherElements",
    "GatherND",
    "Split",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "DepthToSpace",
    "SpaceToDepth",
    "Dropout",
    "Pad",
    "ConvInteger",
    "MatMulInteger",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "BitwiseNot",
    "BitShift",
}
STEPS = {"Floor", "Ceil", "Round", "Hardmax"}  # the value is the piece: real numbers, all of them whole
QUANTISED = {"QuantizeLinear", "QLinearConv", "QLinearMatMul"}  # and here integers
VALUES = STEPS | QUANTISED | DISCRETE | {"Sign", "Cast"}  # where these have a pattern, it is their value
LINEAR_IN_FIRST = {"Expand", "Tile", "Resize", "Upsample", "BatchNormalization", "Div", "DequantizeLinear"}
BILINEAR = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Mul"}
WIDE = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
WHOLE = {
    onnx.TensorProto.DataType.Value(name)
    for name in "BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 INT4 UINT4".split()
}
FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
}


def pattern_nodes(
    rebuilt: Any,
    nodes: list[onnx.NodeProto],
    own: int,
    moving: str,
    needed: set[str],
    types: dict[str, int],
    shape: Callable[[str], tuple[int, ...]],
    stored: dict[str, onnx.TensorProto],
) -> list[str]:
    """Add the pattern nodes for `nodes` (the first `own` are the model's); the names of their outputs.

    `needed` is what the selection is computed from: there, every operator must be piecewise linear.
    """
    moves = {moving}
    for node in nodes:
        if node.op_type not in SHAPE_ONLY and moves & set(node.input):
            moves.update(filter(None, node.output))
    stored = stored | {
        n.output[0]: a.t for n in nodes if n.op_type == "Constant" for a in n.attribute if a.name == "value"
    }
    maker = _Maker(rebuilt, types, shape, stored)
    constant: set[str] = set()  # where the pattern is the observed one
    for index, node in enumerate(nodes):
        outputs = moves & set(node.output)
        if not outputs:
            continue
        varies = [name in moves and name not in constant for name in node.input]
        if not any(varies):
            constant |= outputs
            continue
        before = len(maker.found)
        if not maker.add(node, varies, index < own) and needed & outputs:
            raise InvalidCertificate(
                f"the activation pattern does not determine {node.op_type} node {node.name!r}"
            )
        if len(maker.found) > before:
            constant |= set(node.output[1:] if node.op_type == "MaxPool" else ())
            constant |= outputs if node.op_type in VALUES else set()
    return maker.found


class _Maker:
    def __init__(
        self,
        rebuilt: Any,
        types: dict[str, int],
        shape: Callable[[str], tuple[int, ...]],
        stored: dict[str, onnx.TensorProto],
    ) -> None:
        self.rebuilt, self.types, self.shape, self.stored = rebuilt, types, shape, stored
        self.found: list[str] = []

    def next(self) -> str:
        self.found.append(f"sureline/pattern{len(self.found)}")
        return self.found[-1]

    def compare(self, a: str, b: str, op: str = "Greater") -> None:
        self.rebuilt.node(op, [a, b], self.next())

    def scalar(self, word: str, value: float, kind: int, numbered: bool = False) -> str:
        name = (
            f"sureline/{word}{len(self.found)}"
            if numbered
            else (f"sureline/{word}/{onnx.TensorProto.DataType.Name(kind).lower()}")
        )
        return str(self.rebuilt.constant(name, value, helper.tensor_dtype_to_np_dtype(kind)))

    def add(self, node: onnx.NodeProto, varies: list[bool], of_model: bool) -> bool:
        """Add the patterns of a node; False if it is not piecewise linear in what varies."""
        op, x = node.op_type, node.input[0]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kind = self.kind(x)
        if op in SIGNS:
            if op == "PRelu" and varies[1]:
                return False
            self.compare(x, self.scalar("zero", 0, kind))
            if op == "Sign":
                self.compare(x, self.scalar("zero", 0, kind), "Less")
        elif op in ("ThresholdedRelu", "Shrink"):
            if kind not in WIDE:
                return False
            self.jumps(op, x, attributes, kind)
        elif op == "Clip":
            self.clip(node, attributes, kind, varies)
        elif op == "HardSigmoid":
            self.hard_sigmoid(x, attributes, kind)
        elif op in ("Max", "Min"):
            for i, a in enumerate(node.input):
                for b in node.input[i + 1 :]:
                    self.compare(a, b)
        elif op == "MaxPool":
            pooled = f"sureline/pooled{len(self.found)}"
            self.rebuilt.node("MaxPool", list(node.input), [pooled, self.next()], **attributes)
        elif op in ("ReduceMax", "ReduceMin"):
            self.reduced(node, x, attributes)
        elif op in DISCRETE:
            if of_model:
                self.rebuilt.node("Identity", [node.output[0]], self.next())
        elif op in BILINEAR:
            return not (varies[0] and varies[1])
        elif op in LINEAR_IN_FIRST:
            return varies[0] and not any(varies[1:])
        elif op in STEPS:
            self.rebuilt.node("Cast", [node.output[0]], self.next(), to=onnx.TensorProto.INT64)
        elif op in QUANTISED or op == "Cast" and attributes["to"] in WHOLE and kind not in WHOLE:
            if self.kind(node.output[0]) not in WHOLE:
                return False
            self.rebuilt.node("Identity", [node.output[0]], self.next())
        elif op == "Cast":
            return attributes["to"] in FLOATS or kind not in FLOATS
        else:
            return op in LINEAR
        return True

    def kind(self, name: str) -> int:
        known = {"sureline/score", "sureline/max", "sureline/min", "sureline/shifted", "sureline/missing"}
        if name in known:
            return int(onnx.TensorProto.DOUBLE)
        if name not in self.types:
            raise InvalidCertificate(f"the type of tensor {name!r} is not known")
        return self.types[name]

    def jumps(self, op: str, x: str, attributes: dict[str, Any], kind: int) -> None:
        if op == "Shrink":
            edge = attributes.get("lambd", 0.5)
            self.compare(x, self.scalar("bound", -edge, kind, numbered=True), "Less")
            self.compare(x, self.scalar("bound", edge, kind, numbered=True))
        else:
            self.compare(x, self.scalar("bound", attributes.get("alpha", 1.0), kind, numbered=True))

    def clip(self, node: onnx.NodeProto, attributes: dict[str, Any], kind: int, varies: list[bool]) -> None:
        x = node.input[0]
        if self.rebuilt.opset >= 11:
            for bound in node.input[1:3]:
                if bound:
                    self.compare(x, bound)
            if len(node.input) > 2 and all(node.input[1:3]) and any(varies[1:3]):
                self.compare(node.input[1], node.input[2])
        else:
            for key in ("min", "max"):
                if key in attributes:
                    self.compare(x, self.scalar("bound", attributes[key], kind, numbered=True))

    def hard_sigmoid(self, x: str, attributes: dict[str, Any], kind: int) -> None:
        k = len(self.found)
        alpha = self.scalar("alpha", attributes.get("alpha", np.float32(0.2)), kind, numbered=True)
        beta = self.scalar("beta", attributes.get("beta", np.float32(0.5)), kind, numbered=True)
        scaled = self.rebuilt.node("Mul", [x, alpha], f"sureline/scaled{k}")
        affine = self.rebuilt.node("Add", [scaled, beta], f"sureline/affine{k}")
        self.compare(affine, self.scalar("zero", 0, kind))
        self.compare(affine, self.scalar("one", 1, kind))

    def reduced(self, node: onnx.NodeProto, x: str, attributes: dict[str, Any]) -> None:
        op, dims = "ArgMax" if node.op_type == "ReduceMax" else "ArgMin", self.shape(x)
        axes = list(attributes.get("axes", []))
        if len(node.input) > 1 and node.input[1]:
            if node.input[1] not in self.stored:
                raise InvalidCertificate(f"the axes of {node.op_type} node {node.name!r} are not stored")
            axes = numpy_helper.to_array(self.stored[node.input[1]]).reshape(-1).tolist()
        if not axes:
            if attributes.get("noop_with_empty_axes"):
                return
            axes = list(range(len(dims)))
        axes = sorted(a % len(dims) for a in axes)
        if len(axes) == 1:
            self.rebuilt.node(op, [x], self.next(), axis=axes[0])
            return
        kept = [i for i in range(len(dims)) if i not in axes]
        k = len(self.found)
        flat = self.rebuilt.constant(f"sureline/flat{k}", [*(dims[i] for i in kept), -1], np.int64)
        moved = self.rebuilt.node("Transpose", [x], f"sureline/moved{k}", perm=kept + axes)
        rows = self.rebuilt.node("Reshape", [moved, flat], f"sureline/rows{k}")
        self.rebuilt.node(op, [rows], self.next(), axis=-1, keepdims=0)
