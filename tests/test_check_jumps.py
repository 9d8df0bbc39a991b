"""Cells in which comparisons change: what holds on both sides of each jump is confirmed, and nothing else."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import onnx
import pytest
import twin
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from verifier.check.claims.cells import _confirmed, _in_every_case, _states
from verifier.check.claims.certificate import CellClaim
from verifier.check.graph.cases import MOST, Case
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import FAST

SIZE = 3
LEVELS = st.integers(-8, 8).map(lambda n: n / 8)


def gated(gates: list[float], weights: list[float], threshold: float) -> onnx.ModelProto:
    """y = sum of w_k g_k + (1 - g_k) w_k' over gates g_k = [x_k > level_k]: a hull of the gates knows only
    that each summand lies between 0 and its weight; `above` is y > threshold.
    """
    count = len(gates)
    constants = {
        "levels": np.array(gates),
        "on": np.array(weights[:count]),
        "off": np.array(weights[count:]),
        "one": np.array(1.0),
        "threshold": np.array(threshold),
    }
    nodes = [
        ("Greater", ["x", "levels"], "g"),
        ("Cast", ["g"], "gate"),
        ("Sub", ["one", "gate"], "rest"),
        ("Mul", ["gate", "on"], "a"),
        ("Mul", ["rest", "off"], "b"),
        ("Add", ["a", "b"], "sums"),
        ("ReduceSum", ["sums"], "y"),
        ("Greater", ["y", "threshold"], "above"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node(op, names, [out], **({"to": TensorProto.DOUBLE} if op == "Cast" else {}))
            for op, names, out in nodes
        ],
        "gated",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [count])],
        [helper.make_tensor_value_info("above", TensorProto.BOOL, None)],
        [numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def graph_of(model: onnx.ModelProto, count: int, slopes: list[Fraction]) -> CheckedGraph:
    return CheckedGraph.build(model, {"x": np.zeros(count)}, "x", slopes, ["above"])


def state(graph: CheckedGraph, lo: Fraction, hi: Fraction, verdict: str) -> int:
    claim = CellClaim(lo, hi, verdict, *((0, 0) if verdict == "outside" else ()))
    return next(_confirmed(graph, [claim], [np.ones(graph.shapes["above"], dtype=np.int64)]))


def test_what_a_hull_cannot_see_is_confirmed_in_cases() -> None:
    """5 or 5.1, whichever side of 1/3: no width of a cell around it lets a hull see that this is above 4."""
    graph = graph_of(gated([1 / 3], [5.0, 5.1], 4.0), 1, [Fraction(1)])
    around = Fraction(1, 3) - Fraction(1, 2**50), Fraction(1, 3) + Fraction(1, 2**50)
    claim, observed = CellClaim(*around, "inside"), [np.ones((1,), dtype=np.int64)]
    assert _states(graph, [around], [claim], observed, FAST) == [0]
    assert _in_every_case(graph, claim, around, observed, FAST)
    assert state(graph, Fraction(0), Fraction(1), "inside") == 1


@pytest.mark.parametrize("weights", [[5.0, 3.0], [3.0, 5.0]])
def test_a_case_that_fails_is_not_confirmed(weights: list[float]) -> None:
    graph = graph_of(gated([1 / 3], weights, 4.0), 1, [Fraction(1)])
    for verdict in ("inside", "outside"):
        assert state(graph, Fraction(0), Fraction(1), verdict) != 1


def test_simultaneous_jumps() -> None:
    """Three gates at one place, of which only some combinations occur: all eight are asked for."""
    graph = graph_of(gated([0.25] * 3, [1.0, 2.0, 3.0, 3.0, 2.0, 1.0], 2.0), 3, [Fraction(1)] * 3)
    assert state(graph, Fraction(0), Fraction(1), "inside") == 1


def test_too_many_cases_are_not_tried() -> None:
    case = Case()
    count = MOST.bit_length()  # 2**count > MOST
    graph = graph_of(gated([0.25] * count, [1.0] * 2 * count, 0.5), count, [Fraction(1)] * count)
    cell = (Fraction(0), Fraction(1))
    graph.evaluate([cell], FAST, case)
    assert case.open is not None and case.open[0] == "g" and case.split() == []


@settings(deadline=None, max_examples=150)
@given(
    st.lists(LEVELS, min_size=SIZE, max_size=SIZE),
    st.lists(LEVELS, min_size=2 * SIZE, max_size=2 * SIZE),
    LEVELS,
    st.lists(st.fractions(-2, 2, max_denominator=3), min_size=SIZE, max_size=SIZE),
    st.fractions(-1, 1, max_denominator=16),
    st.fractions(Fraction(1, 64), 2, max_denominator=64),
)
def test_against_every_piece(
    gates: list[float],
    weights: list[float],
    threshold: float,
    slopes: list[Fraction],
    lo: Fraction,
    width: Fraction,
) -> None:
    """The graph is constant between the places of its jumps: each piece and each place is looked at."""
    model = gated(gates, weights, threshold)
    graph = graph_of(model, SIZE, slopes)
    hi = lo + width
    jumps = {Fraction(g) / s for g, s in zip(gates, slopes, strict=True) if s}
    marks = sorted({lo, hi, *(t for t in jumps if lo < t < hi)})
    points = [*marks[1:-1], *((a + b) / 2 for a, b in pairwise(marks))]
    truths = {
        bool(twin.evaluate(model, {"x": np.array([s * t for s in slopes], dtype=object)})["above"])
        for t in points
    }
    for verdict, wanted in (("inside", {True}), ("outside", {False})):
        found = state(graph, lo, hi, verdict)
        assert found in ((1, 0) if truths == wanted else (-1, 0))
        if truths == wanted and len(jumps) < SIZE:
            assert found == 1
