"""PatternNet and PatternAttribution: the toy of the paper, theorems, normalisation, files of patterns."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from explained_nets import averaging, convolutional, dense, model
from onnx import numpy_helper
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

import sureline as sl
from sureline.cli import main
from symbolic.explanations.pattern_file import layer_names

RNG = np.random.default_rng(11)
ROWS, IMAGES = RNG.normal(size=(60, 6)) + 0.3, RNG.normal(size=(40, 1, 6, 6)) + 0.2
ESTIMATORS = ("relu", "negative-relu", "linear")


def stored(net: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in net.graph.initializer}


def inner(net: onnx.ModelProto, name: str, x: np.ndarray) -> np.ndarray:
    if name == "x":
        return x
    view = onnx.ModelProto()
    view.CopyFrom(net)
    del view.graph.output[:]
    view.graph.output.append(onnx.ValueInfoProto(name=name))
    return np.asarray(ReferenceEvaluator(view).run(None, {"x": x})[0])


# ---- The toy of the paper: x = signal (1, 0) y + distractor (1, 1) e, which w = (1, -1) cancels ----

W = np.array([[1.0], [-1.0]])


def toy(relu: bool = False) -> tuple[onnx.ModelProto, np.ndarray]:
    """The network, and all pairs of a grid of y and e, between which the covariance is exactly 0."""
    nodes = [make_node("MatMul", ["x", "w"], ["h" if relu else "y"], "reads")]
    nodes += [make_node("Relu", ["h"], ["y"])] if relu else []
    grid = np.array(list(product(np.linspace(-1, 1, 8), np.linspace(-3, 3, 5))))
    return model(nodes, {"w": W}, ["N", 2], ["N", 1], np.float64), grid @ np.array([[1.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_toy_of_the_paper(estimator: str) -> None:
    net, x = toy()
    patterns = sl.fit_patterns(net, x, estimator=estimator)
    np.testing.assert_allclose(patterns.arrays["reads"], [[1], [0]], atol=1e-14)
    np.testing.assert_array_equal(sl.explain(net, sl.Gradient(), 0)(x)[1], np.tile([[1, -1]], (len(x), 1)))
    signal = sl.explain(net, sl.PatternNet(patterns), 0)(x)[1]
    np.testing.assert_allclose(signal, np.tile([[1, 0]], (len(x), 1)), atol=1e-14)
    shares = sl.explain(net, sl.PatternAttribution(patterns), 0)(x)[1]
    np.testing.assert_allclose(shares, (x @ W) * [[1, 0]], atol=1e-14)


def test_a_relu_does_not_change_the_pattern_of_the_toy() -> None:
    net, x = toy(relu=True)
    np.testing.assert_allclose(sl.fit_patterns(net, x).arrays["reads"], [[1], [0]], atol=1e-14)


# ---- The methods ----


def weights_as_patterns(net: onnx.ModelProto, x: np.ndarray, ones: bool = False) -> sl.Patterns:
    fitted = sl.fit_patterns(net, x)
    made = {}
    for node in net.graph.node:
        if node.name in fitted.arrays:
            alpha = next((a.f for a in node.attribute if a.name == "alpha"), 1.0)
            made[node.name] = alpha * stored(net)[node.input[1]].astype(np.float64)
    return replace(fitted, arrays={n: np.ones_like(a) for n, a in made.items()} if ones else made)


@pytest.mark.parametrize("target", ["predicted", 1, (2, 0), "sum"])
def test_with_weights_for_patterns_both_are_gradients(target: Any) -> None:
    net = convolutional(dtype=np.float64)
    net.graph.node[6].attribute.append(onnx.helper.make_attribute("alpha", 0.5))
    _, gradient = sl.explain(net, sl.Gradient(), target)(IMAGES)
    _, signal = sl.explain(net, sl.PatternNet(weights_as_patterns(net, IMAGES)), target)(IMAGES)
    np.testing.assert_allclose(signal, gradient, rtol=1e-10, atol=1e-12)
    ones = weights_as_patterns(net, IMAGES, ones=True)
    scores, weights = inner(net, "l", IMAGES), {1: [0, 1, 0], (2, 0): [-1, 0, 1], "sum": [1, 1, 1]}
    hot = np.eye(3)[scores.argmax(1)] if target == "predicted" else np.tile(weights[target], (len(IMAGES), 1))
    expected = sum(
        (scores * hot)[:, k, None, None, None] * sl.explain(net, sl.Gradient(), k)(IMAGES)[1]
        for k in range(3)
    )
    found = sl.explain(net, sl.PatternAttribution(ones), target)(IMAGES)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_without_relus_the_shares_add_up_to_the_score() -> None:
    nodes = [
        make_node("Gemm", ["x", "a", "b"], ["h"], "one"),
        make_node("Gemm", ["h", "c"], ["y"], "two", alpha=0.3),
    ]
    weights = {"a": RNG.normal(size=(6, 5)), "b": RNG.normal(size=5), "c": RNG.normal(size=(5, 3))}
    net = model(nodes, weights, ["N", 6], ["N", 3], np.float64)
    for estimator in ESTIMATORS:
        method = sl.PatternAttribution(sl.fit_patterns(net, ROWS, estimator=estimator))
        scores, found = sl.explain(net, method, "predicted")(ROWS)
        np.testing.assert_allclose(found.sum(axis=1), scores.max(axis=1), rtol=1e-10)


METHODS = (sl.PatternNet, sl.PatternAttribution)


def folded() -> onnx.ModelProto:
    """The averaging network, with the normalisation folded into the convolution by hand."""
    net = averaging(dtype=np.float64)
    w = stored(net)
    scale = w["s"] / np.sqrt(w["v"] + np.float64(np.float32(1e-5)))
    nodes = [
        make_node("Conv", ["x", "w", "b0"], ["n"], "conv", strides=[2, 2], pads=[1] * 4),
        *net.graph.node[2:],
    ]
    given = {
        "w": w["w"] * scale[:, None, None, None],
        "b0": w["t"] - w["m"] * scale,
        "a": w["a"],
        "b": w["b"],
    }
    return model(nodes, given, ["N", 1, 6, 6], ["N", 3], np.float64)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("method", METHODS)
def test_normalisation_is_as_if_it_were_folded(method: Any, estimator: str) -> None:
    apart, one = averaging(dtype=np.float64), folded()
    assert (stored(apart)["s"] < 0).any()
    found = [
        sl.explain(net, method(sl.fit_patterns(net, IMAGES, estimator=estimator)))(IMAGES)
        for net in (apart, one)
    ]
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-11)


def test_a_normalised_input_hands_on_what_its_units_get() -> None:
    """Each is a unit of one input, w x, whose pattern is 1 / w; of a scale of 0 there is none."""
    scale = np.array([2.0, -0.5, 0.0, 1.0, 4.0, 3.0])
    weights = {
        "s": scale, "t": RNG.normal(size=6), "m": np.zeros(6), "v": np.ones(6),
        "a": RNG.normal(size=(6, 4)), "b": RNG.normal(size=4), "c": RNG.normal(size=(4, 3)),
    }  # fmt: skip
    norm = make_node("BatchNormalization", ["x", "s", "t", "m", "v"], ["n"], "norm", epsilon=0.0)
    rest = [
        make_node("Gemm", ["n", "a", "b"], ["h"], "one"), make_node("Relu", ["h"], ["r"]),
        make_node("MatMul", ["r", "c"], ["y"], "two"),
    ]  # fmt: skip
    whole = model([norm, *rest], weights, ["N", 6], ["N", 3], np.float64)
    rest[0].input[0] = "x"
    tail = model(rest, {k: weights[k] for k in "abc"}, ["N", 6], ["N", 3], np.float64)
    moved = ROWS * scale + weights["t"]
    both = sl.fit_patterns(whole, ROWS), sl.fit_patterns(tail, moved)
    for name, array in both[1].arrays.items():
        np.testing.assert_allclose(both[0].arrays[name], array, rtol=1e-8, atol=1e-12)
    inverse = np.divide(1, scale, where=scale != 0, out=np.zeros(6))
    for method, factor in ((sl.PatternNet, inverse), (sl.PatternAttribution, scale != 0)):
        found = sl.explain(whole, method(both[0]), 1)(ROWS)[1]
        np.testing.assert_allclose(found, sl.explain(tail, method(both[1]), 1)(moved)[1] * factor, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_the_graph_says_the_same_everywhere(method: Any, tmp_path: Path) -> None:
    """In both precisions, row by row, in both evaluators."""
    found = {}
    for dtype in (np.float32, np.float64):
        made = sl.explain(
            convolutional(dtype=dtype),
            method(sl.fit_patterns(convolutional(), IMAGES[:9]))
            if dtype is np.float32
            else method(sl.fit_patterns(convolutional(dtype=dtype), IMAGES[:9])),
        )
        x = IMAGES[:4].astype(dtype)
        found[dtype] = ReferenceEvaluator(made.proto).run(None, {"x": x})[1]
        assert found[dtype].dtype == dtype
        for k in range(4):
            alone = ReferenceEvaluator(made.proto).run(None, {"x": x[k : k + 1]})[1]
            np.testing.assert_allclose(
                alone[0], found[dtype][k], rtol=1e-3 if dtype is np.float32 else 1e-10, atol=1e-5
            )
        if dtype is np.float32:
            run = onnxruntime.InferenceSession(made.proto.SerializeToString()).run(None, {"x": x})[1]
            np.testing.assert_allclose(run, found[dtype], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[np.float32], found[np.float64], rtol=1e-3, atol=1e-4)


# ---- Files and refusals ----


@pytest.mark.parametrize("method", METHODS)
def test_patterns_are_kept_in_files(method: Any, tmp_path: Path) -> None:
    net = dense()
    patterns = sl.fit_patterns(net, ROWS, estimator="linear")
    patterns.save(tmp_path / "patterns")
    again = sl.Patterns.load(tmp_path / "patterns")
    assert (again.estimator, again.samples, again.silent) == ("linear", 60, {"first": 0, "second": 0})
    assert str(again) == str(patterns) and again.sha256 == patterns.sha256
    one, other = (sl.explain(net, method(p)) for p in (patterns, str(tmp_path / "patterns")))
    np.testing.assert_array_equal(one(ROWS)[1], other(ROWS)[1])
    assert one.provenance == other.provenance
    assert "linear, 2 layers, 60 samples" in one.provenance["options"]["patterns"]


@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.write_bytes(b"nothing"),
        lambda p: p.write_bytes(b""),
        lambda p: np.savez(p.open("wb"), a=np.zeros(3)),
        lambda p: np.savez(p.open("wb"), about=np.array("{}")),
        lambda p: np.savez(p.open("wb"), about=np.array("[1"), pattern_0=np.zeros(2)),
        lambda p: np.savez(p.open("wb"), about=np.array([object()], dtype=object)),
        lambda p: replace(sl.fit_patterns(dense(), ROWS), arrays={"first": np.full((6, 8), np.nan)}).save(p),
        lambda p: replace(sl.fit_patterns(dense(), ROWS), estimator="mean").save(p),
    ],
)
def test_files_without_patterns_are_refused(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "p.npz")
    with pytest.raises(sl.InputError, match=r"p.npz holds no patterns"):
        sl.explain(dense(), sl.PatternNet(tmp_path / "p.npz"))
    with pytest.raises(sl.InputError, match="none.npz cannot be read"):
        sl.Patterns.load(tmp_path / "none.npz")


@pytest.mark.parametrize("method", METHODS)
def test_patterns_of_another_network_are_refused(method: Any) -> None:
    patterns = sl.fit_patterns(dense(), ROWS)
    changed = dense()
    bias = next(t for t in changed.graph.initializer if t.name == "b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-3), "b"))
    for other in (changed, dense(dtype=np.float64), convolutional()):
        with pytest.raises(sl.OptionError, match="another network"):
            sl.explain(other, method(patterns))
    sl.explain(dense(batch=1), method(patterns))  # the length of the batch is no difference
    with pytest.raises(sl.OptionError, match="needs patterns"):
        sl.explain(dense(), method())


def test_linear_operators_of_other_kinds_are_refused_by_node() -> None:
    nodes = [
        make_node("ConvTranspose", ["x", "w"], ["c"], "spread"), make_node("GlobalAveragePool", ["c"], ["g"]),
        make_node("Flatten", ["g"], ["f"]), make_node("MatMul", ["f", "a"], ["y"]),
    ]  # fmt: skip
    net = model(nodes, {"w": np.ones((1, 2, 2, 2)), "a": np.ones((2, 3))}, ["N", 1, 6, 6], ["N", 3])
    patterns = sl.fit_patterns(net, IMAGES)
    assert list(patterns.arrays) == ["y"]
    with pytest.raises(sl.ModelError, match="ConvTranspose node 'spread'"):
        sl.explain(net, sl.PatternNet(patterns))


def test_nodes_without_a_name_of_their_own_go_by_their_outputs() -> None:
    net = dense()
    for node in net.graph.node:
        node.name = "same"
    assert layer_names(net.graph.node) == {"h": "h", "r": "r", "l": "l", "y": "y"}
    for node in net.graph.node:
        node.name = ""
    patterns = sl.fit_patterns(net, ROWS)
    assert sorted(patterns.arrays) == ["h", "l"]
    sl.explain(net, sl.PatternNet(patterns))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(dense(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", ROWS)
    files = {name: str(tmp_path / name) for name in ("net.onnx", "x.npy", "p.npz", "e.onnx")}

    def call(*words: str) -> int:
        with pytest.raises(SystemExit) as stopped:
            main(list(words))
        return int(stopped.value.code or 0)

    fit = ["fit-patterns", files["net.onnx"], files["x.npy"], "--out", files["p.npz"]]
    assert call(*fit, "--estimator", "linear", "--batch-size", "25") == 0
    assert "linear, 2 layers, 60 samples" in capsys.readouterr().out
    expected = sl.fit_patterns(dense(), ROWS, estimator="linear")
    np.testing.assert_allclose(
        sl.Patterns.load(files["p.npz"]).arrays["first"], expected.arrays["first"], rtol=1e-9
    )
    explain = ["explain", files["net.onnx"], "--method", "pattern-attribution", "--out", files["e.onnx"]]
    assert call(*explain, "--patterns", files["p.npz"]) == 0
    stored_options = json.loads(onnx.load(files["e.onnx"]).metadata_props[0].value)["options"]
    assert "linear, 2 layers" in stored_options["patterns"]
    capsys.readouterr()
    assert call(*fit, "--estimator", "mean") == 2
    assert "relu, negative-relu, linear" in capsys.readouterr().err
    assert call("methods", "pattern-net") == 0
    assert "--patterns" in capsys.readouterr().out
