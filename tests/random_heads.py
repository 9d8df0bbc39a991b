"""Random small networks whose last steps are monotone functions, moves and normalisations before a head."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import twin
from onnx import TensorProto, helper, numpy_helper
from quicktions import Fraction
from random_graphs import Case

INCREASING = "Sigmoid Tanh Exp Softplus Softsign Erf Atan Asinh Sinh Elu Celu Selu LeakyRelu".split()
POSITIVE = {"Sigmoid", "Exp", "Softplus", "Softmax"}
AFTER_POSITIVE = ["Log", "Sqrt", "Reciprocal"]
LEVELS = [0.0, 1.0, -1.0, 0.5, 0.8, 1.5, -0.25, 2.0**-30, 1 - 2.0**-30, 1e-320, 40.0]


@dataclass
class Maker:
    """A chain of nodes under construction; ``shape`` is that of its last tensor."""

    rng: np.random.Generator
    opset: int
    shape: tuple[int, ...] = (2, 3)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, np.ndarray] = field(default_factory=dict)
    last: str = "x"
    positive: bool = False

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def constant(self, value: Any) -> str:
        name = f"c{len(self.stored)}"
        self.stored[name] = np.asarray(value)
        return name

    def node(
        self, op_type: str, *inputs: str, shape: tuple[int, ...] | None = None, **attributes: Any
    ) -> str:
        """Append a node; inputs "" first means the last tensor."""
        made = f"t{len(self.nodes)}"
        names = [name or self.last for name in inputs or ("",)]
        self.nodes.append(helper.make_node(op_type, names, [made], name=made, **attributes))
        self.last, self.shape = made, self.shape if shape is None else shape
        self.positive = op_type in POSITIVE or self.positive and op_type in MOVES
        return made

    def number(self) -> float:
        return float(self.pick([-2.0, -0.75, 0.5, 1.0, 3.0]))


def _transpose(m: Maker) -> None:
    order = [int(k) for k in m.rng.permutation(len(m.shape))]
    m.node("Transpose", shape=tuple(m.shape[k] for k in order), perm=order)


def _reshape(m: Maker) -> None:
    size = int(np.prod(m.shape))
    shape = m.pick([s for s in ((size,), (1, size), (2, size // 2), (size // 2, 2)) if np.prod(s) == size])
    m.node("Reshape", "", m.constant(np.array(shape)), shape=shape)


def _gather(m: Maker) -> None:
    axis = int(m.rng.integers(len(m.shape)))
    index = m.rng.integers(0, m.shape[axis], size=int(m.rng.integers(2, 4)))
    shape = (*m.shape[:axis], len(index), *m.shape[axis + 1 :])
    m.node("Gather", "", m.constant(index), shape=shape, axis=axis)


def _slice(m: Maker) -> None:
    if m.shape[-1] > 1:
        numbers = [m.constant(np.array([k])) for k in (1, m.shape[-1], -1)]
        m.node("Slice", "", *numbers, shape=(*m.shape[:-1], m.shape[-1] - 1))


def _unsqueeze(m: Maker) -> None:
    m.node("Unsqueeze", "", m.constant(np.array([0])), shape=(1, *m.shape))


def _cast(m: Maker) -> None:
    m.node("Cast", to=TensorProto.DOUBLE)


def _number(m: Maker) -> None:
    kind = m.pick(["Add", "Sub", "Mul", "Div"])
    given = ["", m.constant(m.number())]
    m.node(kind, *(given if kind == "Div" or m.rng.random() < 0.7 else given[::-1]))


def _softmax(m: Maker) -> None:
    m.node(m.pick(["Softmax", "LogSoftmax"]), axis=int(m.rng.integers(-len(m.shape), len(m.shape))))


def _function(m: Maker) -> None:
    kinds = INCREASING + (AFTER_POSITIVE * 4 if m.positive else [])
    m.node(m.pick(kinds))


MOVES = {"Transpose", "Reshape", "Gather", "Slice", "Unsqueeze", "Cast"}
STEPS = [_transpose, _reshape, _gather, _slice, _unsqueeze, _cast, _number, _softmax, _softmax]
STEPS += [_function] * 6 + [lambda m: m.node("Neg") and None]


def _head(m: Maker, exact: dict[str, np.ndarray]) -> str:
    if m.rng.random() < 0.5:
        axis = int(m.rng.integers(-len(m.shape), len(m.shape)))
        options = {
            "axis": axis,
            "keepdims": int(m.rng.integers(2)),
            "select_last_index": int(m.rng.integers(2)),
        }
        return m.node(m.pick(["ArgMax", "ArgMin"]), **options)
    kind = m.pick(["Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
    here = np.nan_to_num(twin.to_float(exact[m.last]))
    level = m.pick([m.pick(LEVELS), m.pick(LEVELS), float(here.flat[0]), here])
    given = ["", m.constant(np.asarray(level, dtype=np.float64))]
    return m.node(kind, *(given if m.rng.random() < 0.7 else given[::-1]))


def random_head(rng: np.random.Generator) -> Case:
    """A linear or piecewise-linear network, a chain of one to four steps, and a head."""
    m = Maker(rng, opset=int(rng.choice([13, 17, 21])))
    weights = rng.integers(-8, 9, size=(3, 4)) / 8
    m.node("MatMul", "", m.constant(weights), shape=(2, 4))
    if rng.random() < 0.4:
        m.node("Relu")
    for _ in range(int(rng.integers(1, 5))):
        m.pick(STEPS)(m)
    observed, direction = (rng.integers(-8, 9, size=(2, 3)) / 4 for _ in range(2))
    shared = m.last if rng.random() < 0.2 else None
    name = _head(m, twin.evaluate(_model(m, "t0", 1), {"x": observed}))
    kind = TensorProto.INT64 if m.nodes[-1].op_type.startswith("Arg") else TensorProto.BOOL
    if shared:  # another reader of the function
        m.node("Greater", shared, m.constant(float(rng.choice([0.0, 0.3, 0.5]))))
        both = [m.node("Cast", n, to=TensorProto.INT64) for n in (name, m.last)]
        flat = [m.node("Reshape", n, m.constant(np.array([-1]))) for n in both]
        name, kind = m.node("Concat", *flat, axis=0), TensorProto.INT64
    return Case(_model(m, name, kind), "x", observed, direction, {}, smooth=True)


def _model(m: Maker, output: str, kind: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        m.nodes,
        "head",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, (2, 3))],
        [helper.make_empty_tensor_value_info(output)],
        [numpy_helper.from_array(value, name) for name, value in m.stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", m.opset)], ir_version=8)
    shape = twin.evaluate(model, {"x": np.zeros((2, 3))})[output].shape
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, kind, shape))
    return model


def dyadic(rng: np.random.Generator) -> Fraction:
    return Fraction(int(rng.integers(-(2**12), 2**12)), 2**10)
