"""Fitting patterns: a naive twin of the estimators, one pass over data in any parts, what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from explained_nets import convolutional, dense, model
from onnx import numpy_helper
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

import sureline as sl
from symbolic.explanations import pattern_sums
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


def test_windows_are_laid_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    net = convolutional(dtype=np.float64)
    whole = sl.fit_patterns(net, IMAGES)
    for most in (1, 2000):  # one image, three images at a time
        monkeypatch.setattr(pattern_sums, "MOST_PATCHED", most)
        for name, array in sl.fit_patterns(net, IMAGES).arrays.items():
            np.testing.assert_allclose(array, whole.arrays[name], rtol=1e-10, atol=1e-12)


def test_the_order_and_the_file_of_the_data_do_not_matter(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    net, seen = convolutional(dtype=np.float64), []
    first = sl.fit_patterns(net, tmp_path / "x.npy", batch_size=9, progress=lambda *n: seen.append(n))
    other = sl.fit_patterns(net, IMAGES[::-1], batch_size=16)
    assert seen == [(9, 40), (18, 40), (27, 40), (36, 40), (40, 40)]
    for name, array in first.arrays.items():
        np.testing.assert_allclose(other.arrays[name], array, rtol=1e-10, atol=1e-12)


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
