"""Explained models: what a caller gets, and that the graph says the same wherever it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from explained_nets import averaging, convolutional, dense, model
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import sureline as sl
import symbolic.explanations.methods  # noqa: F401
from symbolic.explanations import running
from symbolic.explanations.method import methods
from symbolic.explanations.provenance import KEY, provenance_of

ROWS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
IMAGES = np.random.default_rng(1).normal(size=(3, 1, 6, 6)).astype(np.float32)
BACKGROUND = np.random.default_rng(2).normal(size=(2, 1, 6, 6)) / 5
SMALL: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 3},
    "integrated-gradients": {"steps": 4},
    "deepshap": {"background": BACKGROUND},
    "expected-gradients": {"background": BACKGROUND, "samples": 3},
    "deeplift": {"baseline": 0.1},
    "rise": {"masks": 9, "cells": 2},
    "lime": {"regions": 2, "samples": 12},
    "kernel-shap": {"regions": 2, "samples": 8},
    "shapley.exact": {"regions": 2},
    "sobol": {"regions": 2, "samples": 4},
    "occlusion": {"window": 2, "stride": 2},
    "pattern-net": {"patterns": sl.fit_patterns(convolutional(), IMAGES)},
    "pattern-attribution": {"patterns": sl.fit_patterns(convolutional(), IMAGES)},
}
NETS = {"cam": averaging}


def logits(x: np.ndarray) -> np.ndarray:
    """Of the dense network."""
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in dense().graph.initializer}
    return np.maximum(x @ stored["a"] + stored["b"], 0) @ stored["c"] + stored["d"]


def gradient_of(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of the weighted logits of the dense network."""
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in dense().graph.initializer}
    open_units = x @ stored["a"] + stored["b"] > 0
    return (open_units * (weights @ stored["c"].T)) @ stored["a"].T


@pytest.mark.parametrize("name", sorted(methods))
def test_every_method_runs_by_itself_on_every_row(name: str, tmp_path: Path) -> None:
    made = sl.explain(NETS.get(name, convolutional)(), methods[name](**SMALL.get(name, {})))
    made.save(tmp_path / "e.onnx")
    onnx.checker.check_model(tmp_path / "e.onnx", full_check=True)
    assert {o.domain for o in made.proto.opset_import} <= {"", "ai.onnx"}
    assert all(n.domain in ("", "ai.onnx") for n in made.proto.graph.node)
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx", providers=["CPUExecutionProvider"])
    together = session.run(None, {"x": IMAGES})
    assert together[1].shape == IMAGES.shape and np.abs(together[1]).max() > 0
    scale = np.abs(together[1]).max()
    for k in range(len(IMAGES)):
        alone = session.run(None, {"x": IMAGES[k : k + 1]})
        np.testing.assert_allclose(alone[1], together[1][k : k + 1], atol=2e-5 * scale)
    evaluated = ReferenceEvaluator(made.proto).run(None, {"x": IMAGES})
    for ours, theirs in zip(together, evaluated, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * max(np.abs(ours).max(), 1))


def test_the_predicted_class_is_that_of_each_row_and_is_an_output() -> None:
    made = sl.explain(dense(), sl.Gradient())
    prediction, attribution = made(ROWS)
    np.testing.assert_allclose(
        prediction, np.exp(logits(ROWS)) / np.exp(logits(ROWS)).sum(1, keepdims=True), rtol=1e-5
    )
    chosen = logits(ROWS).argmax(axis=1)
    assert len(set(chosen)) > 1
    assert made.names == ["y", "attribution", "explained_class"]
    np.testing.assert_array_equal(made.outputs(ROWS)[2], chosen)
    np.testing.assert_allclose(attribution, gradient_of(ROWS, np.eye(3)[chosen]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "weights"),
    [(1, [0, 1, 0]), ("2", [0, 0, 1]), ((2, 0), [-1, 0, 1]), ("2-0", [-1, 0, 1]), ("sum", [1, 1, 1])],
)
def test_targets(target: object, weights: list[int]) -> None:
    made = sl.explain(dense(), sl.Gradient(), target)
    assert made.names == ["y", "attribution"]
    np.testing.assert_allclose(
        made(ROWS)[1], gradient_of(ROWS, np.tile(weights, (4, 1))), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("head", ["Softmax", "LogSoftmax", "Sigmoid", None])
def test_the_logit_is_explained_unless_told_otherwise(head: str | None) -> None:
    inner = sl.explain(dense(head=head), sl.Gradient(), 1)(ROWS)[1]
    np.testing.assert_allclose(inner, gradient_of(ROWS, np.tile([0, 1, 0], (4, 1))), rtol=1e-4, atol=1e-6)
    outer = sl.explain(dense(head=head), sl.Gradient(), 1, head="output")(ROWS)[1]
    step = np.float32(1e-2)
    plain = onnxruntime.InferenceSession(dense(head=head).SerializeToString())
    for k in range(6):
        away = np.zeros(6, np.float32)
        away[k] = step
        up, down = (plain.run(None, {"x": ROWS + s * away})[0][:, 1] for s in (1, -1))
        np.testing.assert_allclose(outer[:, k], (up - down) / (2 * step), rtol=0.05, atol=0.02)


def test_scores_that_are_maps_are_explained_at_their_greatest_element() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    net = model(nodes, {"w": np.arange(9.0).reshape(1, 1, 3, 3)}, ["N", 1, 4, 4], ["N", 1, 4, 4])
    made = sl.explain(net, sl.Gradient())
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    y, attribution, chosen = made.outputs(x)
    np.testing.assert_array_equal(chosen, y.reshape(2, -1).argmax(axis=1))
    for row, place in enumerate(chosen):
        i, j = divmod(int(place), 4)
        expected = np.zeros((6, 6))
        expected[i : i + 3, j : j + 3] = np.arange(9).reshape(3, 3)
        np.testing.assert_allclose(attribution[row, 0], expected[1:-1, 1:-1])


def test_a_batch_axis_of_one_becomes_free() -> None:
    made = sl.explain(convolutional(batch=1), sl.InputXGradient())
    assert made(IMAGES)[1].shape == IMAGES.shape
    assert made.proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_provenance_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(dense(), path)
    sl.explain(path, sl.IntegratedGradients(steps=4, rule="left"), "2-0").save(tmp_path / "e.onnx")
    stored = onnx.load(tmp_path / "e.onnx")
    found = json.loads(next(p.value for p in stored.metadata_props if p.key == KEY))
    assert found == provenance_of(stored)
    assert found["method"] == "integrated-gradients" and found["target"] == "2-0"
    assert found["options"] == {"steps": 4, "baseline": 0.0, "rule": "left"}
    import hashlib

    assert found["model_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_large_weights_go_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_BYTES", 100)
    made = sl.explain(dense(), sl.Gradient())
    wide = made.proto.graph.initializer.add()
    wide.CopyFrom(onnx.numpy_helper.from_array(np.zeros(1000, np.float32), "unused"))
    made.save(tmp_path / "e.onnx")
    assert (tmp_path / "e.onnx.data").is_file()
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
    np.testing.assert_array_equal(session.run(None, {"x": ROWS})[1], made(ROWS)[1])


def test_a_model_is_not_changed() -> None:
    net = dense()
    before = net.SerializeToString()
    sl.explain(net, sl.IntegratedGradients(3))
    assert net.SerializeToString() == before


def test_two_inputs_and_two_outputs() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "u"], ["m"]),
        helper.make_node("MatMul", ["m", "a"], ["y"]),
        helper.make_node("Relu", ["m"], ["z"]),
    ]
    net = model(nodes, {"a": np.eye(3)}, ["N", 3], ["N", 3])
    net.graph.input.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, ["N", 3]))
    net.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3]))
    x, u = np.array([[1, 2, 3]], np.float32), np.array([[4, -5, 6]], np.float32)
    by_u = sl.explain(net, sl.Gradient(), "sum", i_idx=1)
    np.testing.assert_array_equal(by_u(x, u)[1], x)
    by_x = sl.explain(net, sl.Gradient(), "sum", o_idx=1)
    np.testing.assert_array_equal(by_x(x, u)[1], u * (u > 0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sl.explain(dense(), sl.Gradient(), 3), "classes 0 to 2"),
        (lambda: sl.explain(dense(), sl.Gradient(), "1-1"), "two classes"),
        (lambda: sl.explain(dense(), sl.Gradient(), True), "give 'predicted'"),
        (lambda: sl.explain(dense(), sl.Gradient(), head="probability"), "'logit' or 'output'"),
        (lambda: sl.explain(dense(), "gradient"), "should be one of Sureline's"),
        (lambda: sl.explain(dense(), sl.Gradient(), i_idx=1), "has 1 inputs"),
        (lambda: sl.explain(dense(), sl.Gradient(), o_idx=1), "has 1 outputs"),
        (lambda: sl.explain(dense(), sl.Gradient("cube")), "'none', 'abs' or 'square'"),
        (lambda: sl.explain(dense(), sl.IntegratedGradients(steps=0)), "1 or larger"),
        (lambda: sl.explain(dense(), sl.IntegratedGradients(steps=1, rule="trapezoid")), "two steps"),
        (lambda: sl.explain(dense(), sl.IntegratedGradients(baseline=np.zeros(5))), "shape (5,)"),
        (lambda: sl.explain(dense(), sl.DeepShap()), "needs a background"),
        (lambda: sl.explain(dense(), sl.DeepShap(np.zeros((2, 5)))), "shape"),
        (lambda: sl.explain(dense(), sl.SmoothGrad(noise=0)), "larger than 0"),
        (lambda: sl.SmoothGrad(noise="a"), "noise is 'a'; it must be a finite number"),  # type: ignore[arg-type]
        (lambda: sl.SmoothGrad(samples=2.5), "samples is 2.5; it must be a whole number"),  # type: ignore[arg-type]
        (lambda: sl.IntegratedGradients(steps=True), "it must be a whole number"),
        (lambda: sl.LrpEpsilon(float("nan")), "epsilon is nan; it must be"),
        (lambda: sl.Sobol(normalised=1), "it must be True or False"),  # type: ignore[arg-type]
    ],
)
def test_options_that_mean_nothing_are_refused(call: Any, words: str) -> None:
    with pytest.raises(sl.OptionError, match=".") as caught:
        call()
    assert words in str(caught.value)


def test_an_explained_model_is_not_explained_again() -> None:
    with pytest.raises(sl.ModelError, match="explained model"):
        sl.explain(sl.explain(dense(), sl.Gradient()).proto, sl.Gradient())


def test_steps_have_no_derivative() -> None:
    nodes = [
        helper.make_node("Sign", ["x"], ["s"]),
        helper.make_node("MatMul", ["s", "a"], ["y"]),
    ]
    with pytest.raises(sl.ModelError, match="in steps"):
        sl.explain(model(nodes, {"a": np.eye(3)}, ["N", 3], ["N", 3]), sl.InputXGradient())


def test_an_operator_without_a_derivative_is_named() -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "first"], ["m"]),
        helper.make_node("GRU", ["m", "w", "r"], ["", "h"], "the one", hidden_size=2),
        helper.make_node("Squeeze", ["h", "first"], ["y"]),
    ]
    weights = {"first": np.array([0]), "w": np.ones((1, 6, 3)), "r": np.ones((1, 6, 2))}
    with pytest.raises(sl.ModelError, match="GRU node 'the one'"):
        sl.explain(model(nodes, weights, ["N", 3], ["N", 2]), sl.Gradient())


def test_a_fixed_batch_is_refused_by_methods_that_run_many_inputs() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["r"], "fixing"),
        helper.make_node("MatMul", ["r", "a"], ["y"]),
    ]
    net = model(nodes, {"s": np.array([1, 6]), "a": np.ones((6, 2))}, [1, 2, 3], [1, 2])
    made = sl.explain(net, sl.IntegratedGradients(3))  # the 1 is understood as the batch
    assert made(np.ones((5, 2, 3)))[1].shape == (5, 2, 3)
    literal = model([helper.make_node("Reshape", ["x", "s"], ["r"], allowzero=1), nodes[1]],
                    {"s": np.array([1, 6]), "a": np.ones((6, 2))}, [1, 2, 3], [1, 2])  # fmt: skip
    assert sl.explain(literal, sl.IntegratedGradients(3))(np.ones((5, 2, 3)))[1].shape == (5, 2, 3)
    fixed = model(nodes, {"s": np.array([2, 6]), "a": np.ones((6, 2))}, [2, 2, 3], [2, 2])
    with pytest.raises(sl.ModelError, match="fixing"):
        sl.explain(fixed, sl.IntegratedGradients(3))
