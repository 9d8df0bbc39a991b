"""Exact rationals in the checker: ties that no power of two decides, and nothing rounded in silence."""

from __future__ import annotations

import operator
from fractions import Fraction

import numpy as np
import pytest
import twin
from check_values import values_on
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_graphs import suite

from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import EXACT, RATIONAL
from verifier.check.numbers.rationals import Rational, quotient

NUMBERS = st.fractions(max_denominator=50)


def value_of(number: object) -> Fraction:
    return (
        Fraction(int(number.value.p), int(number.value.q))
        if isinstance(number, Rational)
        else Fraction(number)
    )


@given(NUMBERS, NUMBERS)
def test_arithmetic_is_that_of_fractions(a: Fraction, b: Fraction) -> None:
    x, y = quotient(a, 1), quotient(b, 1)
    for combine in (operator.add, operator.sub, operator.mul):
        assert value_of(combine(x, y)) == combine(a, b)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        assert compare(x, y) == compare(a, b)
    if b:
        assert value_of(quotient(x, y)) == a / b


@pytest.mark.parametrize(
    "careless",
    [
        int,
        float,
        round,
        lambda x: x >> 1,
        lambda x: 1 << x,
        lambda x: x // 2,
        lambda x: x & 1,
        lambda x: x * 0.5,
        lambda x: np.array([x], dtype=object).astype(np.int64),
        lambda x: np.array([x], dtype=object).astype(np.float64),
        lambda x: np.array([0.5]) * np.array([x], dtype=object),
    ],
)
def test_nothing_rounds_in_silence(careless: object) -> None:
    with pytest.raises(Undecided):
        careless(quotient(1, 3))  # type: ignore[operator]


def tied_graph(weights: list[float]) -> CheckedGraph:
    """w0 x / 3 + w1 x / 3 + w2 x / 3 >= x."""
    nodes = [helper.make_node("Div", ["x", "three"], ["share"])]
    nodes += [helper.make_node("Mul", ["share", f"w{k}"], [f"part{k}"]) for k in range(3)]
    nodes += [
        helper.make_node("Sum", ["part0", "part1", "part2"], ["total"]),
        helper.make_node("Greater", ["total", "x"], ["above"]),
    ]
    constants = {"three": np.float32(3), **{f"w{k}": np.float32(w) for k, w in enumerate(weights)}}
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("above", TensorProto.BOOL, [2])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.array([0.3, -0.7], dtype=np.float32)
    return CheckedGraph.build(model, {"x": x}, "x", [Fraction(1), Fraction(1)], ["above"])


def test_a_tie_through_a_third() -> None:
    cell = [(Fraction(-1, 16), Fraction(1, 8))]
    lo, hi = tied_graph([1, 1, 1]).evaluate(cell, EXACT)[0]
    assert (lo == 0).all() and (hi == 1).all(), "a ball cannot tell"
    lo, hi = tied_graph([1, 1, 1]).evaluate(cell, RATIONAL)[0]
    assert (hi == 0).all()
    lo, hi = tied_graph([1, 1, 1.0000001]).evaluate(cell, RATIONAL)[0]
    assert lo[0].tolist() == [1, 0] and hi[0].tolist() == [1, 0]


def test_random_graphs_agree_with_the_twin() -> None:
    compared = decided = 0
    for case in suite(80):
        try:
            outputs = [v.name for v in case.model.graph.output]
            direction = [Fraction(v) for v in np.asarray(case.direction).reshape(-1).tolist()]
            inputs = {case.moving: case.observed, **case.other}
            graph = CheckedGraph.build(case.model, inputs, case.moving, direction, outputs)
            values = values_on(graph, [(Fraction(1, 7), Fraction(1, 7))], RATIONAL)
        except (InvalidCertificate, Undecided):
            continue
        compared += 1
        start = twin.exact_array(case.observed)
        beta = np.array(direction, dtype=object).reshape(start.shape)
        exact = twin.evaluate(case.model, {case.moving: start + beta * Fraction(1, 7), **case.other})
        for name, value in values.items():
            if isinstance(value, Discrete) or name not in exact:
                continue
            for c, d, r, wanted in zip(
                value.c.reshape(-1),
                value.d.reshape(-1),
                value.r.reshape(-1),
                exact[name].reshape(-1),
                strict=True,
            ):
                if wanted is twin.UNKNOWN:
                    continue
                lo, hi = twin.bounds(wanted)
                unit = Fraction(2) ** value.e
                off = max(lo - value_of(c) * unit, value_of(c) * unit - hi)
                assert off <= (abs(value_of(d)) + value_of(r)) * unit, name
                decided += r == 0 and d == 0
    assert compared >= 20 and decided > 500
