"""Engines that share nothing find the same truncation sets, with the same rational end points."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import sureline as sl
from inference.engines import contradiction
from verifier.cells import Cell

SIDE = 4


class Net:
    """A small graph with one boolean output, node by node."""

    def __init__(self, rng: np.random.Generator, shape: list[int]) -> None:
        self.rng, self.shape, self.at = rng, shape, "x"
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []

    def numbers(self, *shape: int) -> str:
        """Multiples of 1/16: exact, and with ties now and then."""
        name = f"c{len(self.stored)}"
        values = self.rng.integers(-24, 25, shape) / 16
        self.stored.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], **attributes))
        self.at = out
        return out

    def model(self, selected: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [selected], ["selected"]))
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("selected", TensorProto.BOOL, None)],
            self.stored,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def dense(rng: np.random.Generator, hidden: int, kind: str) -> Net:
    net = Net(rng, [1, SIDE])
    for layer in range(2):
        width = SIDE if layer == 0 else hidden
        net.add("Gemm", net.at, net.numbers(width, hidden), net.numbers(hidden))
        net.add(kind, net.at)
    net.add("Gemm", net.at, net.numbers(hidden, SIDE), net.numbers(SIDE))
    return net


def convolutional(rng: np.random.Generator, hidden: int, kind: str) -> Net:
    net = Net(rng, [1, 1, SIDE, SIDE])
    net.add("Conv", net.at, net.numbers(1 + hidden % 2, 1, 3, 3), pads=[1, 1, 1, 1])
    net.add(kind, net.at)
    net.add("MaxPool", net.at, kernel_shape=[2, 2], strides=[2, 2])
    net.add("Conv", net.at, net.numbers(1, 1 + hidden % 2, 2, 2), pads=[0, 0, 1, 1])
    return net


def thresholded(net: Net, normalised: bool) -> onnx.ModelProto:
    """Above a threshold, of the map or of the map scaled to [0, 1]."""
    score = net.at
    if not normalised:
        return net.model(net.add("Greater", score, net.numbers()))
    most, least = net.add("ReduceMax", score), net.add("ReduceMin", score)
    half = f"c{len(net.stored)}"
    net.stored.append(numpy_helper.from_array(np.array(0.375, np.float32), half))
    over = net.add("Sub", score, least)
    bar = net.add("Mul", net.add("Sub", most, least), half)
    return net.model(net.add("Greater", over, bar))


networks = st.builds(
    lambda seed, hidden, build, kind, normalised: thresholded(
        build(np.random.default_rng(seed), hidden, kind), normalised
    ),
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.sampled_from([dense, convolutional]),
    st.sampled_from(["Relu", "Abs"]),
    st.booleans(),
)


@st.composite
def lines(draw: st.DrawFn) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    model = draw(networks)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    size = int(np.prod(shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    start = rng.integers(-32, 33, size) / 16
    steps = [
        Fraction(int(n), int(d))
        for n, d in zip(rng.integers(-9, 10, size), rng.integers(1, 8, size), strict=True)
    ]
    return model, start.reshape(shape), np.array(steps, dtype=object).reshape(shape)


@pytest.mark.parametrize("engine", ["search", "sweep", "z3", "cvxpy"])
@settings(max_examples=15, deadline=None)
@given(case=lines())
def test_one_set(engine: str, case: tuple[onnx.ModelProto, np.ndarray, np.ndarray]) -> None:
    model, start, direction = case
    if not any(direction.reshape(-1)):
        return
    found = sl.truncation_set(model, start, direction, -6, 6, engine=engine)
    exact = walked(model, start, direction)
    assert contradiction(found.cells, exact) is None
    assert [pair for pair in found.intervals if pair[0] < pair[1]] == merged(exact)


def walked(model: onnx.ModelProto, start: np.ndarray, direction: np.ndarray) -> list[Cell]:
    """The truncation set from all linear regions of the line, one after the other."""
    regions = sl.linear_regions(model, start, direction, -6, 6)
    values = [region.exact("selected")[0] for region in regions]
    at = next(v for v, region in zip(values, regions, strict=True) if region.lo <= 0 < region.hi)
    cells = []
    for region, value in zip(regions, values, strict=True):
        other = [k for k, (a, b) in enumerate(zip(value, at, strict=True)) if a != b]
        verdict = ("outside", 0, other[0]) if other else ("inside", -1, -1)
        cells.append(Cell(region.lo, region.hi, *verdict))
    return cells


def merged(cells: list[Cell]) -> list[tuple[Fraction, Fraction]]:
    found: list[tuple[Fraction, Fraction]] = []
    for cell in cells:
        if cell.verdict == "inside":
            assert -inf < cell.lo < cell.hi < inf
            if found and found[-1][1] == cell.lo:
                found[-1] = (found[-1][0], Fraction(cell.hi))
            else:
                found.append((Fraction(cell.lo), Fraction(cell.hi)))
    return found
