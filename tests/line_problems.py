"""Random small piecewise-linear networks with a rational line, for engines that find exact sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import line_functions
import numpy as np
import onnx
import twin
from onnx import TensorProto, helper, numpy_helper

from symbolic.network import Network
from symbolic.pieces.line import RationalLine
from symbolic.pieces.program import Program

INFINITY = float("inf")
Nodes = list[tuple[str, Sequence[str], str] | tuple[str, Sequence[str], str, dict[str, Any]]]


@dataclass(frozen=True)
class Problem:
    """A network with one output, and a line."""

    model: onnx.ModelProto
    line: RationalLine
    shape: tuple[int, ...]

    @property
    def program(self) -> Program:
        network = Network(self.model, {"x": np.zeros(self.shape, np.float32)}, "x", ["y"])
        return network.program

    def at(self, z: Fraction) -> list[Fraction]:
        """The selection at a point, by the twin."""
        x = np.array(self.line.at(z), dtype=object).reshape(self.shape)
        (y,) = twin.outputs_of(self.model, {"x": x})
        return [Fraction(v) for v in y.reshape(-1)]

    def expected(self, observed: Sequence[Fraction], lo: Any, hi: Any) -> list[tuple[Any, Any]]:
        """The truncation set, by whole functions, up to single points."""
        pairs = [list(pair) for pair in zip(self.line.start, self.line.direction, strict=True)]
        x = np.array(pairs, dtype=object).reshape(*self.shape, 2)
        (y,) = line_functions.outputs_on(self.model, x, lo, hi)
        return line_functions.agreeing(y.reshape(-1), observed)


def problem(
    nodes: Nodes,
    constants: dict[str, Any],
    shape: tuple[int, ...],
    line: tuple[Sequence[Any], Sequence[Any]],
    kind: int = TensorProto.BOOL,
) -> Problem:
    """From (operator, inputs, output, attributes)."""
    made = [helper.make_node(n[0], list(n[1]), [n[2]], **(n[3] if len(n) > 3 else {})) for n in nodes]
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(v, dtype=np.float32), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    start, direction = (tuple(Fraction(v) for v in part) for part in line)
    return Problem(model, RationalLine(start, direction), shape)


class Draw:
    """Random numbers: float32 weights, or small multiples of 1/2, which bring ties."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.coarse = bool(self.rng.integers(2))

    def array(self, *shape: int) -> np.ndarray:
        if self.coarse:
            return self.rng.integers(-2, 3, size=shape) / 2
        return self.rng.normal(size=shape).astype(np.float32)

    def line(self, n: int) -> tuple[list[Fraction], list[Fraction]]:
        start, direction = self.array(n), self.array(n)
        direction[0] = direction[0] or 1
        divisor = 1 if self.coarse else 3  # not dyadic
        return [Fraction(float(v)) for v in start], [Fraction(float(v)) / divisor for v in direction]


def dense(seed: int) -> Problem:
    """Relu layers and a threshold."""
    d = Draw(seed)
    n, width = 3, int(d.rng.integers(3, 8))
    constants = {"V": d.array(n, width), "a": d.array(width), "W": d.array(width, width), "b": d.array(width)}
    constants |= {"U": d.array(width, 2), "t": 0.5}
    nodes: Nodes = [
        ("Gemm", ["x", "V", "a"], "h"),
        ("Relu", ["h"], "r"),
        ("Gemm", ["r", "W", "b"], "i"),
        ("Relu", ["i"], "s"),
        ("MatMul", ["s", "U"], "score"),
        ("Greater", ["score", "t"], "y"),
    ]
    return problem(nodes, constants, (1, n), d.line(n))


def pooled(seed: int) -> Problem:
    """Convolution, Relu, MaxPool, and a threshold."""
    d = Draw(seed)
    nodes: Nodes = [
        ("Conv", ["x", "K"], "c"),
        ("Relu", ["c"], "r"),
        ("MaxPool", ["r"], "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Greater", ["p", "t"], "y"),
    ]
    constants = {"K": d.array(2, 1, 3, 3), "t": 0.75}
    return problem(nodes, constants, (1, 1, 6, 6), d.line(36))


def normalised(seed: int) -> Problem:
    """|W x| on the range of its values, above one half."""
    d = Draw(seed)
    nodes: Nodes = [
        ("MatMul", ["x", "W"], "h"),
        ("Abs", ["h"], "s"),
        ("ReduceMax", ["s"], "top", {"keepdims": 1}),
        ("ReduceMin", ["s"], "bottom", {"keepdims": 1}),
        ("Sub", ["s", "bottom"], "above"),
        ("Sub", ["top", "bottom"], "range"),
        ("Mul", ["range", "half"], "level"),
        ("Greater", ["above", "level"], "y"),
    ]
    return problem(nodes, {"W": d.array(3, 5), "half": 0.5}, (1, 3), d.line(3))


def jumping(seed: int) -> Problem:
    """Where and Floor inside, comparisons of every kind at the end."""
    d = Draw(seed)
    nodes: Nodes = [
        ("Gemm", ["x", "V", "a"], "h"),
        ("Greater", ["h", "zero"], "on"),
        ("Where", ["on", "h", "other"], "w"),
        (str(d.rng.choice(["Floor", "Ceil", "Round"])), ["w"], "f"),
        ("MatMul", ["f", "W"], "g"),
        ("Relu", ["g"], "score"),
        (str(d.rng.choice(["Greater", "GreaterOrEqual", "Equal"])), ["score", "zero"], "y"),
    ]
    constants = {"V": d.array(2, 3), "a": d.array(3), "other": d.array(1, 3), "W": d.array(3, 3), "zero": 0.0}
    return problem(nodes, constants, (1, 2), d.line(2))


def classified(seed: int) -> Problem:
    """The class with the greatest score."""
    d = Draw(seed)
    nodes: Nodes = [
        ("Gemm", ["x", "V", "a"], "h"),
        ("Relu", ["h"], "r"),
        ("MatMul", ["r", "W"], "score"),
        ("ArgMax", ["score"], "y", {"axis": 1, "keepdims": 0}),
    ]
    constants = {"V": d.array(3, 6), "a": d.array(6), "W": d.array(6, 4)}
    return problem(nodes, constants, (1, 3), d.line(3), TensorProto.INT64)


FAMILIES: dict[str, Callable[[int], Problem]] = {
    "dense": dense,
    "pooled": pooled,
    "normalised": normalised,
    "jumping": jumping,
    "classified": classified,
}


def worked_example() -> Problem:
    """That of docs/certificate.md; its set is (-5/4, -3/4] and [5/4, inf)."""
    nodes: Nodes = [
        ("Gemm", ["x", "w1", "b1"], "hidden"),
        ("Relu", ["hidden"], "h"),
        ("MatMul", ["h", "w2"], "score"),
        ("Greater", ["score", "half"], "y"),
    ]
    constants = {"w1": [[1, 0, 0], [0, 1, 1]], "b1": [0, 0, -1], "w2": [[1, 0], [0, 1], [0, -2]], "half": 0.5}
    half = Fraction(1, 2)
    return problem(nodes, constants, (1, 2), ([Fraction(9, 8)] * 2, [half, -half]))
