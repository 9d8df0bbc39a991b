"""Relevance propagation: naive twins, conservation, canonisation, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from explained_nets import convolutional, dense, model
from onnx import TensorProto, helper

import sureline as sl
from symbolic.explanations.method import Method
from symbolic.explanations.running import values_of

ROWS = np.random.default_rng(0).normal(size=(4, 6))
IMAGES = np.random.default_rng(1).normal(size=(3, 1, 6, 6))


def stab(z: np.ndarray, e: float) -> np.ndarray:
    return z + np.where(z >= 0, e, -e) if e else np.where(z == 0, 1, z)


def parts(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(a, 0), np.minimum(a, 0)


def layer(rule: str, x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray, first: bool) -> np.ndarray:
    """Relevance of the inputs of one dense layer, input by input and output by output."""
    found = np.zeros_like(x)
    for n in range(len(x)):
        for j in range(w.shape[1]):
            terms = x[n] * w[:, j]
            up, down = parts(terms)
            z = terms.sum() + b[j]
            if rule == "z":
                share = terms / stab(z, 0)
            elif rule == "epsilon":
                share = terms / stab(z, 0.01)
            elif rule == "epsilon without bias":
                share = terms / stab(terms.sum(), 0.01)
            elif rule == "z-plus":
                share = up / (up.sum() + 1e-6)
            elif rule == "alpha-beta":
                share = 3 * up / (up.sum() + max(b[j], 0) + 1e-6)
                share = share - 2 * down / (down.sum() + min(b[j], 0) - 1e-6)
            elif rule == "gamma":
                more = up if z > 0 else down
                bias = b[j] + 0.5 * (max(b[j], 0) if z > 0 else min(b[j], 0))
                total = (terms + 0.5 * more).sum() + bias
                share = (terms + 0.5 * more) / (total + (1e-6 if z > 0 else -1e-6))
            elif rule == "w-square":
                share = w[:, j] ** 2 / (w[:, j] ** 2).sum()
            elif rule == "flat":
                share = np.full(len(w), 1 / len(w))
            elif rule == "bounded" and first:
                plus, minus = parts(w[:, j])
                box = terms + 4 * plus - 5 * minus
                share = box / stab(box.sum(), 1e-6)
            elif rule == "bounded":
                share = up / (up.sum() + 1e-6)
            else:
                raise ValueError(rule)
            found[n] += share * r[n, j]
    return found


TWINS: dict[str, Method] = {
    "z": sl.LrpZ(),
    "epsilon": sl.LrpEpsilon(0.01),
    "epsilon without bias": sl.LrpEpsilon(0.01, bias=False),
    "z-plus": sl.LrpZPlus(),
    "alpha-beta": sl.LrpAlphaBeta(alpha=3, beta=2),
    "gamma": sl.LrpGamma(gamma=0.5),
    "w-square": sl.LrpWSquare(),
    "flat": sl.LrpFlat(),
    "bounded": sl.LrpBounded(-4, 5),
}


@pytest.mark.parametrize("rule", TWINS)
def test_a_naive_twin(rule: str) -> None:
    net = dense(dtype=np.float64)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in net.graph.initializer}
    h = ROWS @ stored["a"] + stored["b"]
    y = np.maximum(h, 0) @ stored["c"] + stored["d"]
    start = y * np.eye(3)[y.argmax(axis=1)]
    middle = layer(rule, np.maximum(h, 0), stored["c"], stored["d"], start, False)
    wanted = layer(rule, ROWS, stored["a"], stored["b"], middle, True)
    _, found = sl.explain(net, TWINS[rule])(ROWS)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_lrp_0_is_input_times_gradient_in_a_network_of_relus() -> None:
    net = convolutional(dtype=np.float64)
    _, relevance = sl.explain(net, sl.LrpZ())(IMAGES)
    _, product = sl.explain(net, sl.InputXGradient())(IMAGES)
    np.testing.assert_allclose(relevance, product, rtol=1e-9, atol=1e-12)


CONSERVING: list[Method] = [
    sl.LrpZ(bias=False),
    sl.LrpEpsilon(1e-13, bias=False),
    sl.LrpZPlus(stabiliser=1e-13),
    sl.LrpWSquare(),
    sl.LrpFlat(),
    sl.LrpComposite("first=flat; conv2=w-square; Dense=flat"),
]


@pytest.mark.parametrize("method", CONSERVING)
def test_relevance_without_biases_sums_to_the_score(method: Method) -> None:
    made = sl.explain(convolutional(dtype=np.float64), method, 1)
    (scores,) = values_of(made.proto, ["l"], [{"x": IMAGES}])[0]
    np.testing.assert_allclose(made(IMAGES)[1].sum(axis=(1, 2, 3)), scores[:, 1], rtol=1e-8)


def test_what_lrp_0_lacks_is_the_share_of_biases() -> None:
    net = dense(head=None, dtype=np.float64)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in net.graph.initializer}
    y, relevance = sl.explain(net, sl.LrpZ(), 1)(ROWS)
    h = ROWS @ stored["a"] + stored["b"]
    shares = stored["d"][1] + (h > 0) @ (stored["b"] * stored["c"][:, 1])
    np.testing.assert_allclose(relevance.sum(axis=1) + shares, y[:, 1], rtol=1e-12)


def test_small_weights_lose_no_relevance() -> None:
    """w-square and flat divide by sums that are known."""
    net = dense(head=None, dtype=np.float64)
    for stored in net.graph.initializer:
        if stored.name == "a":
            stored.CopyFrom(onnx.numpy_helper.from_array(1e-5 * onnx.numpy_helper.to_array(stored), "a"))
    scores, relevance = sl.explain(net, sl.LrpWSquare(), 1)(ROWS)
    np.testing.assert_allclose(relevance.sum(axis=1), scores[:, 1], rtol=1e-10)


def test_sums_share_and_products_halve() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["p"]),
        helper.make_node("MatMul", ["x", "b"], ["q"]),
        helper.make_node("Mul", ["p", "q"], ["m"]),
        helper.make_node("Add", ["m", "p"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(size=(3, 2)), "b": rng.normal(size=(3, 2))}
    x = rng.normal(size=(2, 3))
    _, found = sl.explain(model(nodes, weights, ["N", 3], ["N", 2], np.float64), sl.LrpZ(), "sum")(x)
    p, q = x @ weights["a"], x @ weights["b"]
    to_p, to_q = p + p * q / 2, p * q / 2
    wanted = sum(x * ((r / z) @ w.T) for r, z, w in ((to_p, p, weights["a"]), (to_q, q, weights["b"])))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_composites_choose_by_place_type_and_name() -> None:
    net = convolutional(dtype=np.float64)
    words = "first=flat; conv2=w-square; Dense=epsilon:0.1"
    _, one = sl.explain(net, sl.LrpComposite(words), 1)(IMAGES)
    mapping = {"conv1": "flat", "Conv": "w-square", "*": "epsilon:0.1"}
    _, other = sl.explain(net, sl.LrpComposite(mapping), 1)(IMAGES)
    np.testing.assert_array_equal(one, other)
    _, until = sl.explain(net, sl.LrpPresetA(until=1), 1)(IMAGES)
    _, same = sl.explain(net, sl.LrpComposite("Conv=flat; Dense=epsilon:0.1"), 1)(IMAGES)
    np.testing.assert_array_equal(until, same)
    _, flat = sl.explain(net, sl.LrpPresetB(flat=True), 1)(IMAGES)
    _, same = sl.explain(net, sl.LrpComposite("first=flat; Conv=alpha-beta:2,1; Dense=epsilon:0.1"), 1)(
        IMAGES
    )
    np.testing.assert_array_equal(flat, same)


def test_deep_taylor_is_for_networks_of_relus() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"], "the one"),
        helper.make_node("Gemm", ["t", "b"], ["y"]),
    ]
    net = model(nodes, {"a": np.ones((6, 3)), "b": np.ones((3, 2))}, ["N", 6], ["N", 2])
    for method in (sl.DeepTaylor(), sl.DeepTaylorBounded(0, 1)):
        with pytest.raises(sl.ModelError, match="Tanh node 'the one'"):
            sl.explain(net, method)
    assert sl.explain(net, sl.LrpEpsilon())(ROWS)[1].shape == ROWS.shape
    _, found = sl.explain(convolutional(), sl.DeepTaylor())(IMAGES)
    assert (found >= 0).all() and found.any()


@pytest.mark.parametrize("method", [sl.LrpFlat(), sl.LrpWSquare()])
def test_shares_by_weights_alone_divide_by_nothing_that_moves(method: Method) -> None:
    made = sl.explain(convolutional(), method)
    assert "Div" not in {node.op_type for node in made.proto.graph.node}


def pooled(pool_first: bool) -> onnx.ModelProto:
    """The same function, with the maximum before or behind the ReLU."""
    rng = np.random.default_rng(3)
    order = [("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Relu", {})]
    (one, first), (two, second) = order if pool_first else order[::-1]
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["m"]),
        helper.make_node("Conv", ["m", "w"], ["c"], pads=[1] * 4),
        helper.make_node(one, ["c"], ["p"], **first),
        helper.make_node(two, ["p"], ["q"], **second),
        helper.make_node("Flatten", ["q"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "u"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "t"], ["y"]),
    ]
    weights = {
        "mean": np.full((1, 1, 1, 1), 0.5), "w": rng.normal(size=(3, 1, 3, 3)), "v": rng.normal(size=(27, 5)),
        "u": rng.normal(size=5), "t": rng.normal(size=(5, 3)),
    }  # fmt: skip
    return model(nodes, weights, ["N", 1, 6, 6], ["N", 3], np.float64)


@pytest.mark.parametrize("method", [sl.DeepTaylor(), sl.DeepTaylorBounded(-4, 5)])
def test_deep_taylor_does_not_mind_maxima_before_a_relu(method: Method) -> None:
    one, other = (sl.explain(pooled(first), method)(IMAGES) for first in (True, False))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-9)
    assert (one[1] >= -1e-12).all()
    np.testing.assert_allclose(one[1].sum(axis=(1, 2, 3)), np.maximum(one[0].max(axis=1), 0), rtol=1e-4)


def test_a_layer_that_no_rule_fits_is_named() -> None:
    with pytest.raises(sl.ModelError, match="Gemm node 'gemm' fits none of the rules"):
        sl.explain(convolutional(), sl.LrpComposite("Conv=flat"))


def test_operators_without_a_rule_are_named() -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], "inner"),
        helper.make_node("MatMul", ["s", "a"], ["y"]),
    ]
    with pytest.raises(sl.ModelError, match="Softmax node 'inner' has no rule"):
        sl.explain(model(nodes, {"a": np.eye(3)}, ["N", 3], ["N", 3]), sl.LrpEpsilon())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sl.LrpEpsilon(-1), "epsilon is -1"),
        (lambda: sl.LrpAlphaBeta(alpha=1, beta=1), "alpha = 1 + beta"),
        (lambda: sl.LrpAlphaBeta(alpha=0.5, beta=-0.5), "0 or larger"),
        (lambda: sl.LrpBounded(1, 0), "low should not be greater"),
        (lambda: sl.LrpPresetA(until=-1), "until is -1"),
        (lambda: sl.LrpComposite("Conv=nothing"), "'nothing' is no rule"),
        (lambda: sl.LrpComposite("Conv=epsilon:x"), "no numbers"),
        (lambda: sl.LrpComposite("Conv=alpha-beta:3,1"), "alpha = 1 + beta"),
        (lambda: sl.LrpComposite("Conv=alpha-beta:0.5,-0.5"), "0 or larger"),
        (lambda: sl.LrpComposite("Conv=epsilon:-1"), "epsilon in 'epsilon:-1' is -1"),
        (lambda: sl.LrpComposite("Conv=gamma:nan"), "0 or larger"),
        (lambda: sl.LrpComposite("Conv=bounded:2,1"), "low should not be greater"),
        (lambda: sl.LrpComposite(""), "rules is empty"),
        (lambda: sl.explain(convolutional(), sl.LrpBounded(np.zeros(5), np.ones(5))), "do not fit"),
    ],
)
def test_options_that_mean_nothing_are_refused(call: Any, words: str) -> None:
    with pytest.raises(sl.OptionError) as caught:
        call()
    assert words in str(caught.value)


def test_float_inputs_of_other_ranks() -> None:
    """Sequences: a MatMul over the last axis, a sum over time."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["z"]),
        helper.make_node("Relu", ["z"], ["r"]),
        helper.make_node("ReduceMean", ["r", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "c"], ["y"]),
    ]
    rng = np.random.default_rng(2)
    weights = {
        "a": rng.normal(size=(4, 5)),
        "b": rng.normal(size=5),
        "axes": np.array([1]),
        "c": np.eye(5)[:, :3],
    }
    net = model(nodes, weights, ["N", 7, 4], ["N", 3], np.float64)
    assert net.graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    x = rng.normal(size=(2, 7, 4))
    _, relevance = sl.explain(net, sl.LrpZ())(x)
    _, product = sl.explain(net, sl.InputXGradient())(x)
    np.testing.assert_allclose(relevance, product, rtol=1e-9, atol=1e-12)
