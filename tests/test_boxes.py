"""Bounds over boxes: exact values lie in them, and they are worth having."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import explained_nets
import numpy as np
import onnx
import pytest
import small_nets
import twin
from box_checks import contradictions, points_of
from enclosure_checks import network_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from random_graphs import random_case

from symbolic.boxes import kinds, lifting, maxima, shares
from symbolic.boxes.ball import Ball
from symbolic.boxes.form import Form
from symbolic.boxes.points import evaluate
from symbolic.boxes.propagation import BUDGET, Passing
from symbolic.enclosures.values import Affine
from symbolic.errors import BudgetError, InputError
from symbolic.network import Network
from symbolic.node import operators

Node = onnx.NodeProto


def made(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> Node:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def attention(seed: int = 0) -> onnx.ModelProto:
    """Three tokens of four numbers: Softmax(Q K^T) V, a residual, a mean, two scores."""
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=(4, 4)) * 0.7 for name in "qkv"} | {"w": rng.normal(size=(4, 2))}
    weights["axes"] = np.array([1], dtype=np.int64)
    nodes = [
        *(made("MatMul", ["x", name], f"{name}x") for name in "qkv"),
        made("Transpose", ["kx"], "kt", perm=[0, 2, 1]),
        made("MatMul", ["qx", "kt"], "s"),
        made("Softmax", ["s"], "p", axis=-1),
        made("MatMul", ["p", "vx"], "o"),
        made("Add", ["o", "x"], "r"),
        made("Gelu", ["r"], "g"),
        made("ReduceMean", ["g", "axes"], "m", keepdims=0),
        made("MatMul", ["m", "w"], "y"),
    ]
    return explained_nets.model(nodes, weights, [1, 3, 4], [1, 2], np.float64, opset=20)


def deep(activation: str, seed: int = 0, depth: int = 3, width: int = 8) -> onnx.ModelProto:
    """Layers of one width, residual from the second on, and three scores."""
    rng = np.random.default_rng(seed)
    weights, nodes, last = {}, [], "x"
    for k in range(depth):
        size = 4 if k == 0 else width
        weights[f"w{k}"] = rng.normal(size=(size, width)) / np.sqrt(size)
        weights[f"b{k}"] = 0.2 * rng.normal(size=width)
        nodes += [made("Gemm", [last, f"w{k}", f"b{k}"], f"h{k}"), made(activation, [f"h{k}"], f"a{k}")]
        if k:
            nodes.append(made("Add", [f"a{k}", last], f"r{k}"))
        last = f"r{k}" if k else f"a{k}"
    weights["v"] = rng.normal(size=(width, 3))
    nodes.append(made("MatMul", [last, "v"], "y"))
    return explained_nets.model(nodes, weights, [1, 4], [1, 3], np.float64)


def pooled(seed: int = 0) -> onnx.ModelProto:
    """Convolution, normalisation, LeakyRelu, overlapping padded maxima, a product of two branches, Clip."""
    rng = np.random.default_rng(seed)
    weights = {
        "k": rng.normal(size=(2, 1, 3, 3)) * 0.5,
        "s": rng.normal(size=2),
        "t": rng.normal(size=2),
        "m": rng.normal(size=2) * 0.1,
        "v": rng.uniform(0.5, 2, size=2),
        "w": rng.normal(size=(2, 3)),
        "lo": np.array(-1.0),
        "hi": np.array(1.0),
    }
    nodes = [
        made("Conv", ["x", "k"], "c", pads=[1] * 4),
        made("BatchNormalization", ["c", "s", "t", "m", "v"], "n"),
        made("LeakyRelu", ["n"], "l", alpha=0.25),
        made("MaxPool", ["l"], "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        made("Tanh", ["p"], "a"),
        made("Mul", ["a", "p"], "q"),
        made("Clip", ["q", "lo", "hi"], "u"),
        made("GlobalMaxPool", ["u"], "g"),
        made("Flatten", ["g"], "f"),
        made("MatMul", ["f", "w"], "y"),
    ]
    return explained_nets.model(nodes, weights, [1, 1, 4, 4], [1, 3], np.float64)


def normalised(kind: str) -> onnx.ModelProto:
    """A linear layer, a normalisation, Gelu, two scores."""
    rng = np.random.default_rng(4)
    channels = 3 if kind == "InstanceNormalization" else 4
    weights = {
        "a": rng.normal(size=(4, 4)),
        "s": rng.normal(size=channels),
        "t": rng.normal(size=channels),
        "w": rng.normal(size=(12, 2)),
    }
    parts = ["s"] if kind == "RMSNormalization" else ["s", "t"]
    nodes = [
        made("MatMul", ["x", "a"], "h"),
        made(kind, ["h", *parts], "n", epsilon=1e-3),
        made("Gelu", ["n"], "g"),
        made("Flatten", ["g"], "f"),
        made("MatMul", ["f", "w"], "y"),
    ]
    return explained_nets.model(nodes, weights, [1, 3, 4], [1, 2], np.float64, opset=23)


NETS = {
    "dense": explained_nets.dense(1, None, np.float64),
    "convolutional": explained_nets.convolutional(1, np.float64),
    "averaging": explained_nets.averaging(1, np.float64),
    "pooled": pooled(),
    "residual": deep("Relu"),
    "sigmoid": deep("Sigmoid"),
    "tanh": deep("Tanh"),
    "attention": attention(),
    "layer": normalised("LayerNormalization"),
    "root-mean-square": normalised("RMSNormalization"),
    "instance": normalised("InstanceNormalization"),
}


def inputs_of(model: onnx.ModelProto) -> tuple[int, ...]:
    return tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)


def bounds(model: onnx.ModelProto, x: np.ndarray, radius: Fraction, linear: bool) -> tuple[Form, Network]:
    network = Network(model, {"x": x}, "x", [model.graph.output[0].name])
    ball = Ball.of(x, radius, None)
    found = Passing(network, linear=linear)(ball.form(BUDGET))[network.outputs[0]]
    assert isinstance(found, Form)
    return found, network


# ---- soundness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", [False, True], ids=["interval", "linear"])
@pytest.mark.parametrize("name", NETS)
def test_points_and_corners_lie_within(name: str, linear: bool) -> None:
    """Every tensor, in exact rational arithmetic (irrational functions in balls of 300 bits)."""
    model, rng = NETS[name], np.random.default_rng(7)
    tensors = [out for node in model.graph.node for out in node.output]
    for radius in (Fraction(1, 2), Fraction(1, 50)):
        x = rng.normal(size=inputs_of(model)).astype(np.float32).astype(np.float64)
        network = Network(model, {"x": x}, "x", tensors)
        form = Ball.of(x, radius, None).form(BUDGET)
        found = Passing(network, linear=linear)(form)
        start = form if linear else Form.interval(form.lo, form.hi)
        for point in points_of(None, radius, x, rng, 2):
            exact = twin.evaluate(model, {"x": point})
            assert not list(contradictions(found, exact, point, start))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), smooth=st.booleans(), exponent=st.integers(1, 14))
def test_random_graphs_of_all_operators(seed: int, smooth: bool, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    case = random_case(rng, smooth=smooth, wild=seed % 7 == 0, restless=seed % 5 == 0)
    radius = Fraction(int(rng.integers(1, 16)), 2**exponent)
    network = network_of(case)
    ball = Ball.of(case.observed, radius, None)
    form = ball.form(BUDGET)
    points = list(points_of(ball, radius, case.observed, rng, 3))
    for linear, fresh in ((False, False), (True, False), (True, True)):
        found = Passing(network, linear=linear, fresh=fresh)(form)
        start = form if linear else Form.interval(form.lo, form.hi)
        for point in points:
            exact = twin.evaluate(case.model, {case.moving: point, **case.other})
            assert not list(contradictions(found, exact, point, start))


def test_a_slope_that_is_rounded_wrongly_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant of every way to lift: the check above sees it."""
    model, rng = pooled(), np.random.default_rng(1)
    x = rng.normal(size=inputs_of(model))
    tensors = [out for node in model.graph.node for out in node.output]
    form = Ball.of(x, Fraction(1, 4), None).form(BUDGET)
    points = list(points_of(None, Fraction(1, 4), x, rng, 8))
    exact = [twin.evaluate(model, {"x": point}) for point in points]

    def caught() -> bool:
        found = Passing(Network(model, {"x": x}, "x", tensors), linear=True)(form)
        return any(list(contradictions(found, e, p, form)) for e, p in zip(exact, points, strict=True))

    assert not caught()
    for name in ("affine", "single"):
        right = getattr(lifting, name)

        def wrong(*given: object, right=right) -> lifting.Lifted:
            c, d, r = right(*given)
            return c, d * (1 + 2.0**-20), r * (1 - 2.0**-10)

        with monkeypatch.context() as patch:
            patch.setattr(f"symbolic.boxes.propagation.{name}", wrong)
            assert caught(), name
    with monkeypatch.context() as patch:
        patch.setattr(maxima, "positive", lambda x: (0 * x.c + 0.5, 0 * x.c, 0 * x.c))
        assert caught()


def test_a_product_and_a_softmax_without_their_curvature_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"a": np.array([[1.0, 2.0], [3.0, -1.0]]), "b": np.array([[2.0, 1.0], [-1.0, 3.0]])}
    nodes = [made("MatMul", ["x", "a"], "u"), made("MatMul", ["x", "b"], "v"), made("Mul", ["u", "v"], "w")]
    product = explained_nets.model([*nodes, made("Neg", ["w"], "y")], weights, [1, 2], [1, 2], np.float64)
    nodes = [made("MatMul", ["x", "a"], "u"), made("LogSoftmax", ["u"], "y", axis=-1)]
    shared = explained_nets.model(nodes, weights, [1, 2], [1, 2], np.float64)
    x, radius = np.array([[0.5, 0.25]]), Fraction(1, 2)
    points = list(points_of(None, radius, x, np.random.default_rng(0), 12))

    def caught(model: onnx.ModelProto) -> bool:
        form = Ball.of(x, radius, None).form(BUDGET)
        found = Passing(Network(model, {"x": x}, "x", ["y"]), linear=True)(form)
        exact = (twin.evaluate(model, {"x": point}) for point in points)
        return any(list(contradictions(found, e, p, form)) for e, p in zip(exact, points, strict=True))

    assert not caught(product) and not caught(shared)
    monkeypatch.setattr(lifting, "_size", lambda f, a, b: 0.0)
    assert caught(product)
    monkeypatch.setattr(shares, "_gap", lambda p, w, places: 0.0 * w.max(axis=places, keepdims=True))
    assert caught(shared)


# ---- tables of operators -------------------------------------------------------------------------


@pytest.mark.parametrize("linear", [True, False])
def test_what_cannot_be_told_is_unknown(linear: bool) -> None:
    """1/x where x may be 0, although the output does not show it."""
    weights = {"zero": np.zeros(1), "w": np.ones((2, 2))}
    nodes = [
        made("Reciprocal", ["x"], "r"),
        made("Less", ["x", "zero"], "b"),
        made("Where", ["b", "r", "x"], "u"),
        made("Add", ["u", "x"], "y"),
    ]
    model = explained_nets.model(nodes, {"zero": weights["zero"]}, [1, 2], [1, 2], np.float64)
    found, _ = bounds(model, np.array([[0.5, 3.0]]), Fraction(1), linear)
    assert np.isinf(found.lo).all() and np.isinf(found.hi).all()
    found, _ = bounds(model, np.array([[2.5, 3.0]]), Fraction(1), linear)
    assert np.isfinite(found.lo).all() and np.isfinite(found.hi).all()


def test_jumps_are_no_continuous_functions() -> None:
    """At the end of a segment they have another value than the segment's rule says."""
    for kind in ("ThresholdedRelu", "Shrink", "Sign", "Floor", "Ceil", "Round"):
        assert kind not in kinds.SINGLE
    node = made("ThresholdedRelu", ["x"], "y", alpha=1.0)
    model = explained_nets.model([node], {}, [1, 1], [1, 1], np.float64)
    found, _ = bounds(model, np.array([[1.5]]), Fraction(1, 2), True)  # [1, 2], and 0 at its end
    assert found.lo[0, 0, 0] <= 0


def test_tables_name_operators_that_there_are() -> None:
    assert {*kinds.AFFINE, *kinds.BILINEAR, *kinds.SINGLE, *kinds.OF_TWO, *kinds.EXTREMA} <= set(operators)


# ---- sharpness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("radius", [Fraction(1, 4), Fraction(1, 100)])
def test_linear_is_not_looser(name: str, radius: Fraction) -> None:
    x = np.random.default_rng(3).normal(size=inputs_of(NETS[name]))
    plain, _ = bounds(NETS[name], x, radius, False)
    linear, _ = bounds(NETS[name], x, radius, True)
    slack = 1e-12 * np.abs(plain.hi - plain.lo)
    assert (linear.lo >= plain.lo - slack).all() and (linear.hi <= plain.hi + slack).all()


def test_linear_is_much_tighter_in_a_deep_net() -> None:
    x = np.random.default_rng(3).normal(size=(1, 4))
    model = deep("Relu")
    plain, _ = bounds(model, x, Fraction(1, 100), False)
    linear, _ = bounds(model, x, Fraction(1, 100), True)
    assert ((linear.hi - linear.lo) < 0.3 * (plain.hi - plain.lo)).all()


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "attention", "layer", "root-mean-square", "instance"])
def test_halving_the_radius_quarters_the_remainder(name: str) -> None:
    """What is not linear in the input is of second order: all of it, in symbols beyond the input's too."""
    x = np.random.default_rng(5).normal(size=inputs_of(NETS[name]))
    rests = []
    for radius in (Fraction(1, 64), Fraction(1, 128), Fraction(1, 256)):
        found, _ = bounds(NETS[name], x, radius, True)
        rests.append(float((np.abs(found.d[x.size :]).sum(axis=0) + found.r).max()))
    for a, b in zip(rests, rests[1:], strict=False):
        assert 3.3 < a / b < 4.7


def test_a_linear_network_is_bounded_exactly() -> None:
    """By intervals too: symbols of the affine end are all there is."""
    rng = np.random.default_rng(2)
    weights = {"a": rng.integers(-3, 4, size=(4, 6)) * 1.0, "b": rng.integers(-3, 4, size=(6, 3)) * 1.0}
    nodes = [made("MatMul", ["x", "a"], "h"), made("Neg", ["h"], "n"), made("MatMul", ["n", "b"], "y")]
    model = explained_nets.model(nodes, weights, [1, 4], [1, 3], np.float64)
    x = rng.integers(-3, 4, size=(1, 4)) * 1.0
    product = -weights["a"] @ weights["b"]
    half = np.abs(product).sum(axis=0) / 4
    for linear in (False, True):
        found, _ = bounds(model, x, Fraction(1, 4), linear)
        np.testing.assert_allclose(found.hi[0, 0], (x @ product)[0] + half, rtol=1e-12)
        np.testing.assert_allclose(found.lo[0, 0], (x @ product)[0] - half, rtol=1e-12)


def test_a_certain_winner_keeps_its_linear_form() -> None:
    weights = {"shift": np.array([[[[0.0, 10.0], [0.0, 0.0]]]]), "w": np.array([[1.0]])}
    nodes = [
        made("Add", ["x", "shift"], "a"),
        made("MaxPool", ["a"], "p", kernel_shape=[2, 2]),
        made("Relu", ["p"], "r"),
        made("Flatten", ["r"], "f"),
        made("MatMul", ["f", "w"], "y"),
    ]
    model = explained_nets.model(nodes, weights, [1, 1, 2, 2], [1, 1], np.float64)
    found, _ = bounds(model, np.zeros((1, 1, 2, 2)), Fraction(1), True)
    assert (np.abs(found.d[:4, 0, 0]) == [0, 1, 0, 0]).all()
    np.testing.assert_allclose([found.lo[0, 0, 0], found.hi[0, 0, 0]], [9, 11], rtol=1e-12)


# ---- balls ---------------------------------------------------------------------------------------


def test_a_ball_from_inside_and_outside() -> None:
    """0.1 + 1/10 is no float; the ends are the nearest on the right side, exactly."""
    x = np.array([[0.1, 1.0, -2.5]])
    ball = Ball.of(x, Fraction(1, 10), (Fraction(-5), Fraction(1)))
    for lo, first, v, last, hi in zip(
        *(a.ravel().tolist() for a in (ball.lo, ball.first, x, ball.last, ball.hi)), strict=True
    ):
        low, high = Fraction(v) - Fraction(1, 10), min(Fraction(v) + Fraction(1, 10), Fraction(1))
        assert Fraction(lo) <= low <= Fraction(first) <= Fraction(last) <= high <= Fraction(hi)
        assert np.nextafter(lo, np.inf) >= first and np.nextafter(last, np.inf) >= hi
    held = ball.without(np.array([[True, False, False]]))
    assert held.lo[0, 0] == held.hi[0, 0] == held.first[0, 0] == 0.1
    form = held.form(BUDGET)
    assert form.symbols == 2 and (form.lo == held.lo[None]).all()


def test_an_input_that_is_no_float() -> None:
    x = np.array([[Fraction(1, 3), Fraction(1, 2)]], dtype=object)
    ball = Ball.of(x, Fraction(1, 2**80), None)
    assert ball.lost.tolist() == [[True, True]] or ball.lost.tolist() == [[True, False]]
    points = ball.points(np.zeros((1, 1, 2)))
    assert abs(Fraction(points.c[0, 0, 0]) - Fraction(1, 3)) <= Fraction(points.r[0, 0, 0])
    held = ball.without(np.array([[False, True]]))
    assert not held.lost[0, 1] and held.points(np.zeros((1, 1, 2))).r[0, 0, 1] == 0


def test_refusals() -> None:
    x = np.zeros((1, 64))
    with pytest.raises(InputError, match="outside the clip"):
        Ball.of(x, Fraction(1), (Fraction(1), Fraction(2)))
    with pytest.raises(InputError, match="range of float64"):
        Ball.of(x, Fraction(10) ** 400, None)
    with pytest.raises(BudgetError, match='use bounds="interval"'):
        Ball.of(x, Fraction(1), None).form(1000)
    model = small_nets.dense(size=4, width=512)
    network = Network(model, {"x": np.zeros((1, 4))}, "x", ["y"])
    with pytest.raises(BudgetError, match="Gemm node 'h'.*use bounds=\"interval\""):
        Passing(network, linear=True, budget=10_000)(
            Ball.of(np.zeros((1, 4)), Fraction(1), None).form(10_000)
        )


def test_points_are_evaluated_as_enclosures() -> None:
    model = NETS["sigmoid"]
    x = np.random.default_rng(1).normal(size=(5, 1, 4))
    network = Network(model, {"x": x[0]}, "x", ["y"])
    zero = np.zeros_like(x)
    found = evaluate(network, Affine(x, zero, zero))["y"]
    for k in range(5):
        exact = twin.evaluate(model, {"x": twin.exact_array(x[k])})["y"]
        lo, hi = found.bounds()
        for n in range(3):
            low, high = twin.bounds(exact[0, n])
            assert Fraction(lo[k, 0, n]) <= high and Fraction(hi[k, 0, n]) >= low
            assert hi[k, 0, n] - lo[k, 0, n] < 1e-11
