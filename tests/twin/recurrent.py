"""RNN, GRU and LSTM by the equations of the standard, one step of one sequence after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper
from quicktions import Fraction

from .call import OPERATORS, Call, operator
from .exact import Array
from .linear import dot

ZERO, ONE = Fraction(0), Fraction(1)
Vector = list[Any]
Function = Callable[[Vector], Vector]
PARAMETERS = {
    "LeakyRelu": "alpha",
    "ThresholdedRelu": "alpha",
    "Elu": "alpha",
    "HardSigmoid": "alpha beta",
    "Affine": "alpha beta",
    "ScaledTanh": "alpha beta",
}


def applied(name: str, parameters: dict[str, Fraction], clip: Fraction | None) -> Function:
    """The activation function, as a function of a list; by the twin's operator of that name."""

    def of_operator(op_type: str, values: Vector, **attributes: float) -> Vector:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        node = helper.make_node(op_type, ["x"], ["y"], **attributes)
        return list(OPERATORS[op_type](Call(node, [array], 7))[0])

    def function(values: Vector) -> Vector:
        if clip is not None:
            values = of_operator("Clip", values, min=float(-clip), max=float(clip))
        if name == "Affine":
            return [parameters["alpha"] * v + parameters["beta"] for v in values]
        if name == "ScaledTanh":
            bent = of_operator("Tanh", [parameters["beta"] * v for v in values])
            return [parameters["alpha"] * v for v in bent]
        return of_operator(name, values, **{key: float(v) for key, v in parameters.items()})

    return function


def functions_of(call: Call, usual: list[str], directions: int) -> list[list[Function]]:
    """The functions of each direction; a parameter list is used up in the order of the functions."""
    names = [name.decode() for name in call.attribute("activations", [])] or usual * directions
    lists = {key: list(call.attribute(f"activation_{key}", [])) for key in ("alpha", "beta")}
    found = []
    for name in names:
        wanted = PARAMETERS.get(name, "").split()
        given = {key: lists[key].pop(0) for key in wanted if lists[key]}
        found.append(applied(name, given, call.attribute("clip")))
    return [found[k * len(usual) : (k + 1) * len(usual)] for k in range(directions)]


def times(matrix: Array, vector: Vector) -> Vector:
    return [dot(list(zip(row, vector, strict=True))) for row in matrix]


def plus(*vectors: Vector) -> Vector:
    out = vectors[0]
    for other in vectors[1:]:
        out = [a + b for a, b in zip(out, other, strict=True)]
    return out


def product(a: Vector, b: Vector) -> Vector:
    return [x * y for x, y in zip(a, b, strict=True)]


def parts(array: Array, count: int) -> list[Array]:
    return np.split(array, count, axis=0)


class Cell:
    """One direction of a layer: ``step(x, states)`` gives the states after a step."""

    def __init__(self, call: Call, gates: int, d: int, functions: list[Function]) -> None:
        hidden = call[2].shape[2]
        zeros = np.full(8 * hidden, ZERO, dtype=object)
        bias = call[3][d] if call.has(3) else zeros[: 2 * gates * hidden]
        self.w, self.r = parts(call[1][d], gates), parts(call[2][d], gates)
        self.wb, self.rb = (list(map(list, parts(half, gates))) for half in parts(bias, 2))
        self.p = list(map(list, parts(call[7][d] if call.has(7) else zeros[: 3 * hidden], 3)))
        self.functions, self.call = functions, call

    def gate(self, k: int, x: Vector, before: Vector) -> Vector:
        """Xt*(Wk^T) + Ht-1*(Rk^T) + Wbk + Rbk."""
        return plus(times(self.w[k], x), times(self.r[k], before), self.wb[k], self.rb[k])

    def rnn(self, x: Vector, states: list[Vector]) -> list[Vector]:
        return [self.functions[0](self.gate(0, x, states[0]))]

    def gru(self, x: Vector, states: list[Vector]) -> list[Vector]:
        f, g = self.functions
        (before,) = states
        z, r = f(self.gate(0, x, before)), f(self.gate(1, x, before))
        if self.call.attribute("linear_before_reset", 0):
            inner = product(r, plus(times(self.r[2], before), self.rb[2]))
        else:
            inner = plus(times(self.r[2], product(r, before)), self.rb[2])
        h = g(plus(times(self.w[2], x), inner, self.wb[2]))
        return [plus(product([ONE - v for v in z], h), product(z, before))]

    def lstm(self, x: Vector, states: list[Vector]) -> list[Vector]:
        f, g, h = self.functions
        before, cell = states
        i = f(plus(self.gate(0, x, before), product(self.p[0], cell)))
        forget = f(plus(self.gate(2, x, before), product(self.p[2], cell)))
        if self.call.attribute("input_forget", 0):
            forget = [ONE - v for v in i]
        new = plus(product(forget, cell), product(i, g(self.gate(3, x, before))))
        o = f(plus(self.gate(1, x, before), product(self.p[1], new)))
        return [product(o, h(new)), new]


LAYERS: dict[str, tuple[int, list[str], Callable[..., list[Vector]]]] = {
    "RNN": (1, ["Tanh"], Cell.rnn),
    "GRU": (3, ["Sigmoid", "Tanh"], Cell.gru),
    "LSTM": (4, ["Sigmoid", "Tanh", "Tanh"], Cell.lstm),
}


@operator(*LAYERS)
def recurrent(call: Call) -> list[Array]:
    gates, usual, step = LAYERS[call.node.op_type]
    count = 2 if call.node.op_type == "LSTM" else 1
    batchwise = call.attribute("layout", 0)
    x = call[0].swapaxes(0, 1) if batchwise else call[0]
    turned = {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[call.attribute("direction", "forward")]
    steps, batch, hidden = x.shape[0], x.shape[1], call[2].shape[2]
    lengths = call.integers(4) or [steps] * batch
    functions = functions_of(call, usual, len(turned))
    y = np.full((steps, len(turned), batch, hidden), ZERO, dtype=object)
    last = [np.full((len(turned), batch, hidden), ZERO, dtype=object) for _ in range(count)]
    for d, backward in enumerate(turned):
        cell = Cell(call, gates, d, functions[d])
        for b in range(batch):
            states = []
            for k in range(count):
                if call.has(5 + k):
                    given = call[5 + k].swapaxes(0, 1) if batchwise else call[5 + k]
                    states.append(list(given[d, b]))
                else:
                    states.append([ZERO] * hidden)
            order = range(lengths[b])[::-1] if backward else range(lengths[b])
            for t in order:
                states = step(cell, list(x[t, b]), states)
                y[t, d, b] = states[0]
            for k in range(count):
                last[k][d, b] = states[k]
    if batchwise:
        return [y.transpose(2, 0, 1, 3), *(v.swapaxes(0, 1) for v in last)]
    return [y, *last]
