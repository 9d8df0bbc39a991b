"""Networks made to break float64: ties, duplicates, zeros, close breakpoints, subnormal and huge weights."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import twin
from enclosure_checks import contradictions, line_of, network_of, points_in, tau_of
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case, random_case
from test_checked_graph import false_verdicts
from test_random_graphs import failures_of
from test_truncation_cells import false_claims, found

from verifier.check.errors import InvalidCertificate

SEGMENTS = [(0.5, 1.5), (-1e-15, 1e-15), (1.0, 1.0), (-(2.0**40), 2.0**40), (0.0, 5e-324)]


def wild(number: int) -> Case:
    return random_case(np.random.default_rng([9, number]), smooth=bool(number % 2), wild=True)


def net(nodes: list[onnx.NodeProto], x: Any, beta: Any, output: str, kind: int, **constants: Any) -> Case:
    """A network by hand: input "x", stored constants, one discrete output."""
    observed, direction = np.asarray(x, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    given_input = helper.make_tensor_value_info("x", TensorProto.DOUBLE, observed.shape)
    graph = helper.make_graph(
        nodes, "net", [given_input], [helper.make_empty_tensor_value_info(output)], stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    shape = twin.evaluate(model, {"x": observed})[output].shape
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, kind, shape))
    return Case(model, "x", observed, direction, {}, smooth=False)


def node(op_type: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], name=output, **attributes)


def jump() -> Case:
    """Without one-sided limits this net looks affine: v = 1 for x > 0, else -1; Relu(v) > 1/2."""
    nodes = [
        node("Greater", "x zero", "positive"),
        node("Where", "positive one minus", "v"),
        node("Relu", "v", "y"),
        node("Greater", "y half", "out"),
    ]
    constants = {"zero": 0.0, "one": np.ones(1), "minus": -np.ones(1), "half": 0.5}
    return net(nodes, [0.0], [1.0], "out", TensorProto.BOOL, **constants)


def duplicates() -> Case:
    """Equal neurons compete: the first of them wins everywhere."""
    w = np.repeat(np.array([[1.0, -0.3], [0.7, 0.2]]), 3, axis=1)
    nodes = [
        node("MatMul", "x w", "h"),
        node("Relu", "h", "r"),
        node("ArgMax", "r", "out", axis=1, keepdims=0),
    ]
    return net(nodes, [[0.4, -0.1]], [[1.0, 0.5]], "out", TensorProto.INT64, w=w)


def zero_units() -> Case:
    """A unit that is identically zero, one that is zero on half of the line, and zero slopes."""
    w = np.array([[0.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    nodes = [
        node("MatMul", "x w", "h"),
        node("Relu", "h", "r"),
        node("Sign", "r", "s"),
        node("Abs", "h", "a"),
        node("Sub", "r a", "d"),
        node("GreaterOrEqual", "d zero", "out"),
    ]
    return net(nodes, [[1.0, 2.0]], [[1.0, 0.0]], "out", TensorProto.BOOL, w=w, zero=0.0)


def close_breakpoints() -> Case:
    """Three kinks within 1e-15, and their second difference, which is zero outside."""
    at = np.array([0.5, 0.5 + 2.0**-52, 0.5 + 2.0**-51])
    nodes = [
        node("Sub", "x at", "shifted"),
        node("Relu", "shifted", "r"),
        node("MatMul", "r w", "bump"),
        node("Greater", "bump zero", "out"),
    ]
    w = np.array([1.0, -2.0, 1.0])
    return net(nodes, [0.0], [1.0], "out", TensorProto.BOOL, at=at, w=w, zero=0.0)


def underflow() -> Case:
    """Products that underflow: 2**-540 * 2**-540 is no double, but it is positive."""
    nodes = [node("MatMul", "x w", "y"), node("Greater", "y zero", "out"), node("Mul", "y big", "z")]
    tiny = 2.0**-540
    return net(
        nodes, [tiny, tiny], [tiny, 0.0], "out", TensorProto.BOOL, w=np.full(2, tiny), zero=0.0, big=2.0**900
    )


def huge_and_tiny() -> Case:
    """Weights of 2**900 and 2**-1070 whose products are ordinary; differences that cancel exactly."""
    nodes = [
        node("Mul", "x big", "up"),
        node("Mul", "up small", "down"),
        node("Add", "up one", "same"),
        node("Sub", "same up", "gone"),
        node("Mul", "down big", "back"),
        node("Greater", "gone half", "out"),
    ]
    constants = {"big": 2.0**900, "small": 2.0**-1070, "one": 1.0, "half": 0.5}
    return net(nodes, [1.0, -3.0], [1.0, 0.125], "out", TensorProto.BOOL, **constants)


def overflow() -> Case:
    """2**900 squared is no double."""
    nodes = [
        node("Mul", "x big", "a"),
        node("Mul", "a big", "b"),
        node("Mul", "b small", "c"),
        node("Mul", "c small", "d"),
        node("Greater", "d half", "out"),
    ]
    return net(nodes, [1.0], [0.25], "out", TensorProto.BOOL, big=2.0**900, small=2.0**-900, half=0.5)


def large_integers() -> Case:
    """Integers beyond 2**53 are integers still."""
    nodes = [
        node("Cast", "x", "whole", to=TensorProto.INT64),
        node("Greater", "whole most", "out"),
    ]
    return net(nodes, [2.0**60], [2.0**50], "out", TensorProto.BOOL, most=np.int64(2**54))


def truncated() -> Case:
    """The integer part: a step function, so that far out nothing about it scales."""
    nodes = [node("Cast", "x", "whole", to=TensorProto.INT64), node("Greater", "whole most", "out")]
    return net(nodes, [0.5], [1.0], "out", TensorProto.BOOL, most=np.int64(20))


def constant_map() -> Case:
    """A normalised threshold of a map that is constant on half of the line: it selects nothing there."""
    nodes = [
        node("Relu", "x", "s"),
        node("ReduceMax", "s", "top", keepdims=1),
        node("ReduceMin", "s", "low", keepdims=1),
        node("Sub", "s low", "up"),
        node("Sub", "top low", "range"),
        node("Mul", "range half", "level"),
        node("Greater", "up level", "out"),
    ]
    return net(nodes, [1.0, 2.0, 1.0], [1.0, 2.0, 1.0], "out", TensorProto.BOOL, half=0.5)


def gated() -> Case:
    """Division by what vanishes at one point; equality that holds at one point."""
    nodes = [
        node("Div", "one x", "y"),
        node("Equal", "x third", "hit"),
        node("Where", "hit one y", "z"),
        node("Less", "z one", "out"),
    ]
    return net(nodes, [0.5], [1.0], "out", TensorProto.BOOL, one=np.ones(1), third=np.full(1, 0.75))


HAND_MADE = {
    make.__name__: make
    for make in (
        jump,
        duplicates,
        zero_units,
        close_breakpoints,
        underflow,
        huge_and_tiny,
        overflow,
        large_integers,
        truncated,
        constant_map,
        gated,
    )
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_enclosures(name: str) -> None:
    case = HAND_MADE[name]()
    rng = np.random.default_rng(0)
    near = [(0.5 - 2.0**-40, 0.5 + 2.0**-40), (0.5, 0.5 + 2.0**-52), (-1.0, 1.0), (0.0, 1.0), (-2.0, -1.0)]
    assert not failures_of(case, SEGMENTS + near, rng, points=4)
    network = network_of(case)
    if network.homogeneous:
        assert not failures_of(case, [(2.0, math.inf)], rng, points=4)
        assert not failures_of(case, [(-math.inf, -(2.0**-60))], rng, points=4)


@pytest.mark.parametrize("name", HAND_MADE)
def test_cells(name: str) -> None:
    case = HAND_MADE[name]()
    sliver = Fraction(1, 2**50)
    ranges: list[tuple[Any, Any]] = [(Fraction(1, 2) - sliver, Fraction(1, 2) + sliver)]
    if name != "huge_and_tiny":  # no float64 decides there, and halving to the end takes a minute
        ranges += [(None, None), (-1, 1)]
    for lo, hi in ranges:
        result = found(case, lo, hi, effort=20)
        if result is not None:
            assert not false_claims(case, result, np.random.default_rng(1), cells=40)


@pytest.mark.parametrize("name", HAND_MADE)
def test_checker(name: str) -> None:
    case = HAND_MADE[name]()
    half = Fraction(1, 2)
    cells = [
        (half - Fraction(1, 2**51), half + Fraction(1, 2**51)),
        (Fraction(-1), Fraction(1)),
        (half, half),
    ]
    cells += [(Fraction(0), Fraction(1)), (Fraction(0), Fraction(1, 2**1074)), (Fraction(1), Fraction(1))]
    try:
        false_verdicts(case, cells[-1:], 60, np.random.default_rng(2))
    except InvalidCertificate as error:
        pytest.skip(f"the checker refuses this network: {error}")
    for bits in (60, 200, 4000):
        failures, _, _ = false_verdicts(case, cells, bits, np.random.default_rng(2))
        assert not failures
    for ray in ((half, math.inf), (-math.inf, -half)):
        failures, _, _ = false_verdicts(case, [ray, (Fraction(1), Fraction(1))], 60, np.random.default_rng(3))
        assert not failures


def test_claims_are_made() -> None:
    """What is decided in these nets, and not only enclosed by the whole line."""
    case = zero_units()
    values = network_of(case).enclose(line_of(case), [(-2.0, -1.5), (0.5, 1.5)], keep_all=True)
    assert not list(contradictions(values, case.at(Fraction(1)), 1, tau_of((0.5, 1.5), Fraction(1))))
    idle = [0, 3]  # units that are zero on the whole line
    assert np.array_equal(values["out"].lo[..., idle], values["out"].hi[..., idle])
    case = close_breakpoints()
    values = network_of(case).enclose(line_of(case), [(0.0, 0.4)], keep_all=True)
    assert np.array_equal(values["out"].lo, values["out"].hi)


# --- random ones ---


@pytest.mark.slow
def test_wild_networks() -> None:
    failures = []
    for number in range(200):
        case = wild(number)
        rng = np.random.default_rng([10, number])
        failures += [f"network {number}: {text}" for text in failures_of(case, SEGMENTS, rng, points=1)[:1]]
    assert not failures, "\n".join(failures)


@pytest.mark.slow
def test_wild_networks_checked() -> None:
    failures = []
    for number in range(60):
        case, rng = wild(number), np.random.default_rng([11, number])
        cells = [
            (Fraction(1, 2), Fraction(3, 2)),
            (Fraction(0), Fraction(1, 2**60)),
            (Fraction(1), Fraction(1)),
        ]
        for bits in (60, 400):
            try:
                found_false, _, _ = false_verdicts(case, cells, bits, rng)
            except InvalidCertificate:
                break
            failures += [f"network {number}: {text}" for text in found_false[:1]]
    assert not failures, "\n".join(failures)


@given(seed=st.integers(0, 2**32 - 1), smooth=st.booleans(), nodes=st.integers(1, 8))
def test_any_wild_network(seed: int, smooth: bool, nodes: int) -> None:
    rng = np.random.default_rng(seed)
    case = random_case(rng, smooth=smooth, nodes=nodes, wild=True)
    assert not failures_of(case, SEGMENTS, rng, points=1)


def test_points_are_inside() -> None:
    """The test's own points: strictly inside, also of rays and of the narrowest segments."""
    rng = np.random.default_rng(0)
    for lo, hi in [(0.0, 5e-324), (1.0, 1.0 + 2.0**-52), (3.0, math.inf), (-math.inf, -3.0)]:
        assert all(lo < t < hi for t in points_in(rng, (lo, hi), 50))
