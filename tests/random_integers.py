"""Random graphs of integers that move: counts, truncated numbers, and arithmetic on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["BOUND", "Growing", "grown"]

INT8, INT32, INT64 = TensorProto.INT8, TensorProto.INT32, TensorProto.INT64
BOUND = {INT8: 2**7, INT32: 2**31, INT64: 2**63}


class Growing:
    """A graph of integers that move, all of one shape (2, 3) or less."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.kind = rng, int(rng.choice([INT8, INT8, INT32, INT64]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes = {"x": (2, 3)}
        if rng.random() < 0.5:
            self.put("Cast", ["x"], (2, 3), to=self.kind)
        else:
            level = self.constant(np.float32(rng.integers(-8, 9) / 4))
            self.put("Cast", [self.put("Greater", ["x", level], (2, 3))], (2, 3), to=self.kind)
        self.integers = [self.nodes[-1].output[0]]

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def whole(self, *shape: int) -> str:
        return self.constant(
            self.rng.integers(-4, 9, size=shape).astype(helper.tensor_dtype_to_np_dtype(self.kind))
        )

    def put(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.shapes[name] = shape
        return name

    def grow(self) -> None:
        """One more operator."""
        a = str(self.rng.choice(self.integers))
        shape = self.shapes[a]
        others = [n for n in self.integers if self.shapes[n] == shape]
        b = str(self.rng.choice(others)) if self.rng.random() < 0.4 else self.whole(*shape)
        ways = [*BINARY, *UNARY, "ReduceMax", "ReduceMin", "Einsum", "ScatterElements"]
        if self.kind != INT8:  # no type of the others
            ways += [*REDUCTIONS, "CumSum", "MatMul", "Gemm"]
        op = str(self.rng.choice(ways))
        if op in BINARY:
            made = self.put(op, [a, b] if self.rng.random() < 0.7 else [b, a], shape)
        elif op in UNARY:
            made = self.put(op, [a], shape)
        elif op.startswith("Reduce") and len(shape) == 2:
            axis = int(self.rng.integers(0, 2))
            made = self.put(op, [a, self.constant(np.array([axis]))], shape[1 - axis : 2 - axis], keepdims=0)
        elif op == "CumSum" and shape:
            flags = {k: int(self.rng.integers(0, 2)) for k in ("exclusive", "reverse")}
            made = self.put(op, [a, self.constant(np.int64(0))], shape, **flags)
        elif op == "MatMul" and len(shape) == 2:
            made = self.put(op, [a, self.whole(shape[1], 2)], (shape[0], 2))
        elif op == "Gemm" and len(shape) == 2:
            made = self.put(op, [a, b], (shape[0], shape[0]), transB=1, alpha=2.0)
        elif op == "Einsum" and len(shape) == 2:
            made = self.put(op, [a, b], (shape[1],), equation="ij,ij->j")
        elif op == "ScatterElements" and len(shape) == 1:
            places = self.constant(self.rng.integers(0, shape[0], size=shape))
            made = self.put(
                op, [b, places, a], shape, axis=0, reduction=str(self.rng.choice(["add", "mul", "max"]))
            )
        else:
            return
        self.integers.append(made)

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "whole",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
            [
                helper.make_tensor_value_info(name, self.kind, list(self.shapes[name]))
                for name in self.integers
            ],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min")
UNARY = ("Neg", "Abs", "Relu", "Sign")
REDUCTIONS = ("ReduceSum", "ReduceProd", "ReduceL1", "ReduceSumSquare")


def grown(seed: int) -> tuple[Growing, onnx.ModelProto, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([3, seed])
    growing = Growing(rng)
    for _ in range(int(rng.integers(2, 7))):
        growing.grow()
    x, direction = (rng.integers(-24, 25, size=(2, 3)).astype(np.float32) / 8 for _ in range(2))
    return growing, growing.model(), x, direction
