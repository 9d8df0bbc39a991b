"""Patterns: the toy of the paper, a naive twin of the estimators, one pass, and what methods make of it."""

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
from symbolic.explanations.pattern_fitting import PatternFit

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


def gradient_twin(net: onnx.ModelProto, x: np.ndarray, number: int) -> np.ndarray:
    return np.asarray(sl.explain(net, sl.Gradient(), number)(x)[1])


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
    np.testing.assert_array_equal(gradient_twin(net, x, 0), np.tile([[1, -1]], (len(x), 1)))
    signal = sl.explain(net, sl.PatternNet(patterns), 0)(x)[1]
    np.testing.assert_allclose(signal, np.tile([[1, 0]], (len(x), 1)), atol=1e-14)
    shares = sl.explain(net, sl.PatternAttribution(patterns), 0)(x)[1]
    np.testing.assert_allclose(shares, (x @ W) * [[1, 0]], atol=1e-14)


def test_a_relu_does_not_change_the_pattern_of_the_toy() -> None:
    net, x = toy(relu=True)
    np.testing.assert_allclose(sl.fit_patterns(net, x).arrays["reads"], [[1], [0]], atol=1e-14)


# ---- A naive twin of the estimators ----


def twin(units: np.ndarray, x: np.ndarray, y: np.ndarray, sign: np.ndarray, estimator: str) -> np.ndarray:
    """Of x (samples, inputs of each unit), y and sign (samples, units); unit by unit."""
    found = np.zeros_like(units)
    for k, w in enumerate(units):
        seen = x[:, k] if x.ndim == 3 else x
        inside = {"relu": sign[:, k] > 0, "negative-relu": sign[:, k] <= 0}.get(
            estimator, np.full(len(y), True)
        )
        if inside.any():
            read = seen @ w  # without the bias
            top = np.mean([v * r for v, r in zip(seen[inside], read[inside], strict=True)], axis=0)
            top -= np.mean(seen[inside], axis=0) * np.mean(read)
            found[k] = top / (w @ top)
    return found


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_dense_layers(estimator: str) -> None:
    """Gemm with both orders of weights and a scale, MatMul with its bias apart; biases decide the region."""
    rng = np.random.default_rng(3)
    weights = {
        "a": rng.normal(size=(6, 5)), "b": rng.normal(size=5) * 2, "c": rng.normal(size=(4, 5)),
        "d": rng.normal(size=4) * 2, "e": rng.normal(size=(4, 3)), "f": rng.normal(size=3) * 2,
    }  # fmt: skip
    nodes = [
        make_node("Gemm", ["x", "a", "b"], ["h1"], "one", alpha=0.5, beta=2.0),
        make_node("Relu", ["h1"], ["r1"]),
        make_node("Gemm", ["r1", "c", "d"], ["h2"], "two", transB=1),
        make_node("Relu", ["h2"], ["r2"]),
        make_node("MatMul", ["r2", "e"], ["m"]),
        make_node("Add", ["f", "m"], ["y"]),
    ]
    net = model(nodes, weights, ["N", 6], ["N", 3], np.float64)
    found = sl.fit_patterns(net, ROWS, estimator=estimator, batch_size=7).arrays
    for name, units, x, sign in (
        ("one", 0.5 * weights["a"].T, "x", "h1"),
        ("two", weights["c"], "r1", "h2"),
        ("m", weights["e"].T, "r2", "y"),
    ):
        value = inner(net, sign, ROWS)
        expected = twin(units, inner(net, x, ROWS), value, value, estimator)
        np.testing.assert_allclose(found[name] if name == "two" else found[name].T, expected, rtol=1e-9)


KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 6, 5), (3, 2, 3, 3), {}),
    "padded unevenly": ((2, 5, 5), (3, 2, 3, 2), {"pads": [0, 1, 2, 1]}),
    "strides": ((1, 7, 6), (2, 1, 2, 3), {"strides": [2, 3], "pads": [1, 0, 1, 2]}),
    "dilations": ((2, 7, 7), (2, 2, 3, 2), {"dilations": [2, 3], "pads": [1, 1, 1, 1]}),
    "groups": ((6, 5, 4), (4, 3, 2, 2), {"group": 2, "strides": [2, 1]}),
    "every channel by itself": ((3, 5, 5), (6, 1, 3, 3), {"group": 3, "pads": [1] * 4}),
    "automatic pads": ((2, 5, 6), (2, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "one axis": ((2, 9), (3, 2, 4), {"pads": [2, 0], "strides": [2]}),
    "three axes": ((1, 4, 3, 4), (2, 1, 2, 2, 2), {"pads": [0, 0, 1, 0, 1, 0]}),
}


def patches(x: np.ndarray, kernel: tuple[int, ...], more: dict[str, Any], out: tuple[int, ...]) -> np.ndarray:
    """Every window of every image, by index: (images places, channels, *kernel)."""
    rank = len(kernel)
    strides, dilations = more.get("strides", [1] * rank), more.get("dilations", [1] * rank)
    pads = list(more.get("pads", [0] * 2 * rank))
    if "auto_pad" in more:
        for k in range(rank):
            total = max(0, (out[k] - 1) * strides[k] + kernel[k] - x.shape[2 + k])
            pads[k], pads[rank + k] = total // 2, total - total // 2
    wide = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    found = []
    for image in wide:
        for place in product(*map(range, out)):
            index = [
                np.arange(n) * d + p * s for n, d, p, s in zip(kernel, dilations, place, strides, strict=True)
            ]
            found.append(image[np.ix_(range(len(image)), *index)])
    return np.array(found)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_convolutions(kind: str, estimator: str) -> None:
    size, shape, more = KINDS[kind]
    rng = np.random.default_rng(4)
    w, b = rng.normal(size=shape), rng.normal(size=shape[0])
    x = rng.normal(size=(5, *size)) + 0.5
    out: list[Any] = ["N", shape[0], *[None] * len(shape[2:])]
    net = model(
        [make_node("Conv", ["x", "w", "b"], ["y"], **more)], {"w": w, "b": b}, ["N", *size], out, np.float64
    )
    y = inner(net, "y", x)
    seen = patches(x, shape[2:], more, y.shape[2:])
    per, width = shape[0] // more.get("group", 1), shape[1]
    groups = [
        seen[:, (k // per) * width : (k // per + 1) * width].reshape(len(seen), -1) for k in range(shape[0])
    ]
    said = np.moveaxis(y, 1, -1).reshape(-1, shape[0])
    expected = twin(w.reshape(shape[0], -1), np.stack(groups, axis=1), said, said, estimator)
    found = sl.fit_patterns(net, x, estimator=estimator, batch_size=2).arrays["y"]
    np.testing.assert_allclose(found, expected.reshape(shape), rtol=1e-8, atol=1e-10)


def test_the_mean_pattern_lies_between_those_of_both_parts() -> None:
    """Total expectation: the covariance is the sum of both numerators, weighted by how often each is."""
    fits = {
        e: sl.fit_patterns(convolutional(dtype=np.float64), IMAGES, estimator=e).arrays for e in ESTIMATORS
    }
    for name in ("conv1", "conv2", "gemm"):
        three = np.stack([fits[e][name].reshape(len(fits[e][name]), -1) for e in ESTIMATORS], axis=1)
        for unit in three:
            *_, least = np.linalg.svd(unit, compute_uv=False)
            assert least < 1e-10 * np.abs(unit).max()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_read_one_from_their_pattern(estimator: str, dtype: type) -> None:
    net = convolutional(dtype=dtype)
    patterns = sl.fit_patterns(net, IMAGES, estimator=estimator)
    for name, weight in (("conv1", "w1"), ("conv2", "w2"), ("gemm", "w3")):
        read = (
            (stored(net)[weight] * patterns.arrays[name]).reshape(len(patterns.arrays[name]), -1).sum(axis=1)
        )
        assert (read == 0).sum() == patterns.silent[name] <= 2
        np.testing.assert_allclose(read[read != 0], 1, rtol=1e-4)


def test_a_unit_that_never_speaks_has_no_pattern() -> None:
    nodes = [make_node("Gemm", ["x", "a", "b"], ["h"], "one"), make_node("Relu", ["h"], ["y"])]
    weights = {"a": RNG.normal(size=(6, 3)), "b": np.array([0.0, -1e3, 1e3])}
    net = model(nodes, weights, ["N", 6], ["N", 3], np.float64)
    found = sl.fit_patterns(net, ROWS)
    assert found.silent == {"one": 1}
    assert not found.arrays["one"][:, 1].any() and found.arrays["one"][:, [0, 2]].all()
    assert sl.fit_patterns(net, np.repeat(ROWS[:1], 9, axis=0), estimator="linear").silent == {"one": 3}
    assert sl.fit_patterns(net, ROWS[:1], estimator="linear").silent == {"one": 3}


# ---- One pass ----


def test_two_halves_merged_are_the_whole() -> None:
    net = convolutional(dtype=np.float64)
    whole = sl.fit_patterns(net, IMAGES, batch_size=40)
    halves = [PatternFit(net), PatternFit(net)]
    halves[0].add(IMAGES[:13])
    for start in range(13, 40, 5):
        halves[1].add(IMAGES[start : start + 5])
    halves[0].merge(halves[1])
    merged = halves[0].patterns()
    assert merged.samples == whole.samples == 40
    for name, array in whole.arrays.items():
        np.testing.assert_allclose(merged.arrays[name], array, rtol=1e-10, atol=1e-12)
    with pytest.raises(sl.OptionError, match="can be merged"):
        halves[0].merge(PatternFit(net, "linear"))


def test_the_order_and_the_file_of_the_data_do_not_matter(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    net, seen = convolutional(dtype=np.float64), []
    first = sl.fit_patterns(net, tmp_path / "x.npy", batch_size=9, progress=lambda *n: seen.append(n))
    other = sl.fit_patterns(net, IMAGES[::-1], batch_size=16)
    assert seen == [(9, 40), (18, 40), (27, 40), (36, 40), (40, 40)]
    for name, array in first.arrays.items():
        np.testing.assert_allclose(other.arrays[name], array, rtol=1e-10, atol=1e-12)


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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((0, 6)), "no data"),
        (np.zeros((4, 5)), r"float64 of shape \(4, 5\); they should be numbers of shape \(samples, 6\)"),
        (np.zeros(6), "shape"),
        (np.zeros((2, 6), dtype=complex), "complex128"),
        (np.full((2, 6), np.nan), "no finite numbers"),
        (np.full((2, 6), 1e300), "no finite numbers"),
        ("nowhere.npy", "there is no such file"),
        (__file__, "no .npy file|not a .npy file"),
    ],
)
def test_data_that_do_not_fit_are_refused(data: Any, words: str) -> None:
    with pytest.raises(sl.InputError, match=words):
        sl.fit_patterns(dense(), data)


def test_options_and_networks_that_have_no_patterns_are_refused() -> None:
    with pytest.raises(sl.OptionError, match="relu, negative-relu, linear"):
        sl.fit_patterns(dense(), ROWS, estimator="mean")
    for size in (0, 1.5, True):
        with pytest.raises(sl.OptionError, match="batch_size"):
            sl.fit_patterns(dense(), ROWS, batch_size=size)  # type: ignore[arg-type]
    flat = model([make_node("Relu", ["x"], ["y"])], {}, ["N", 6], ["N", 6])
    with pytest.raises(sl.ModelError, match="no Conv, Gemm or MatMul"):
        sl.fit_patterns(flat, ROWS)
    two = model([make_node("MatMul", ["x", "a"], ["m"]), make_node("Add", ["m", "u"], ["y"])],
                {"a": np.eye(6)}, ["N", 6], ["N", 6])  # fmt: skip
    two.graph.input.append(onnx.helper.make_tensor_value_info("u", 1, ["N", 6]))
    with pytest.raises(sl.ModelError, match="2 inputs"):
        sl.fit_patterns(two, ROWS)


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
