"""Grad-CAM and CAM: a naive twin, the theorem that links them, where the map is, and what is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from explained_nets import averaging, convolutional, dense, model
from onnx import helper, numpy_helper
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

import sureline as sl

IMAGES = np.random.default_rng(1).normal(size=(3, 1, 6, 6))
PLACES = 9
"""Of the maps of both convolutional networks."""


def stored(net: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in net.graph.initializer}


def inner(net: onnx.ModelProto, name: str, x: np.ndarray) -> np.ndarray:
    view = onnx.ModelProto()
    view.CopyFrom(net)
    del view.graph.output[:]
    view.graph.output.append(onnx.ValueInfoProto(name=name))
    return np.stack([ReferenceEvaluator(view).run(None, {"x": row[None]})[0][0] for row in x])


def enlarged(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, pixel by pixel: pixels are squares whose values stand in their middles."""
    large = np.zeros(size)
    for i, j in product(range(size[0]), range(size[1])):
        for k, m in product(range(small.shape[0]), range(small.shape[1])):
            weights = []
            for place, cell, n, cells in ((i, k, size[0], small.shape[0]), (j, m, size[1], small.shape[1])):
                at = min(max((place + 0.5) * cells / n - 0.5, 0), cells - 1)
                weights.append(max(0, 1 - abs(at - cell)))
            large[i, j] += weights[0] * weights[1] * small[k, m]
    return large


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_is_what_its_definition_says(dtype: type, relu: bool) -> None:
    net = convolutional(dtype=dtype)
    _, found = sl.explain(net, sl.GradCam(relu=relu), 2)(IMAGES)
    assert found.dtype == dtype and found.shape == IMAGES.shape
    maps = inner(net, "r2", IMAGES.astype(dtype))
    slopes = stored(net)["w3"][2].reshape(4, 3, 3)  # the score is a linear function of the map
    for row, channels in zip(found, maps, strict=True):
        total = sum(s.mean() * a for s, a in zip(slopes, channels, strict=True))
        expected = enlarged(np.maximum(total, 0) if relu else total, (6, 6))
        np.testing.assert_allclose(row[0], expected, rtol=1e-4 if dtype is np.float32 else 1e-11, atol=1e-6)


@pytest.mark.parametrize("method", [sl.GradCam(), sl.GradCam(relu=False)])
def test_the_layer_is_a_node_or_a_tensor(method: sl.GradCam) -> None:
    net = convolutional()
    default = sl.explain(net, method)(IMAGES)[1]
    for name in ("r2", "relu2"):
        np.testing.assert_array_equal(sl.explain(net, sl.GradCam(name, method.relu))(IMAGES)[1], default)
    for name in ("c2", "conv2", "r1", "pool"):
        assert np.abs(sl.explain(net, sl.GradCam(name, method.relu))(IMAGES)[1] - default).max() > 1e-3


@pytest.mark.parametrize("name", ["conv3", "f", "gemm", "w1", "x1", ""])
def test_what_is_no_map_is_refused(name: str) -> None:
    with pytest.raises(sl.OptionError, match="no map between the input and the scores.*conv1, conv2"):
        sl.explain(convolutional(), sl.GradCam(name))


def test_a_network_without_convolution_is_refused() -> None:
    with pytest.raises(sl.ModelError, match="no convolution"):
        sl.explain(dense(), sl.GradCam())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", ["predicted", 1, (2, 0), "sum"])
def test_cam_is_grad_cam_times_the_number_of_places(target: Any, dtype: type) -> None:
    net = averaging(dtype=dtype)
    cam = sl.explain(net, sl.Cam(), target)(IMAGES)[1]
    grad_cam = sl.explain(net, sl.GradCam(relu=False), target)(IMAGES)[1]
    np.testing.assert_allclose(cam, PLACES * grad_cam, rtol=2e-4 if dtype is np.float32 else 1e-11, atol=1e-5)
    positive = sl.explain(net, sl.Cam(relu=True), target)(IMAGES)[1]
    assert positive.min() >= 0 and cam.min() < 0


def test_the_mean_of_cam_and_the_bias_make_the_score() -> None:
    """Where the map has the input's size, so that nothing is interpolated."""
    net = small(
        [("Relu", ["c"], ["r"]), ("GlobalAveragePool", ["r"], ["g"]), ("Flatten", ["g"], ["f"])]
        + [("Gemm", ["f", "a", "b"], ["y"])]
    )
    for number in range(3):
        scores, cam = sl.explain(net, sl.Cam(), number)(IMAGES)
        bias = stored(net)["b"][number]
        np.testing.assert_allclose(cam.mean(axis=(1, 2, 3)), scores[:, number] - bias, rtol=1e-11)


def small(nodes: list[tuple[Any, ...]], **more: Any) -> onnx.ModelProto:
    """A padded convolution "conv" from x to c, (N, 4, 6, 6), and then these nodes to y."""
    rng = np.random.default_rng(6)
    weights = {"w": rng.normal(size=(4, 1, 3, 3)), "a": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}
    made = [make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1] * 4)]
    made += [make_node(n[0], n[1], n[2], f"{n[0]} to {n[2][0]}", **dict(n[3:])) for n in nodes]
    return model(made, {**weights, **more}, ["N", 1, 6, 6], ["N", 3], np.float64)


TAILS = {
    "ReduceMean": [("ReduceMean", ["r", "axes"], ["f"], ("keepdims", 0)), ("Gemm", ["f", "a", "b"], ["y"])],
    "AveragePool": [
        ("AveragePool", ["r"], ["g"], ("kernel_shape", [6, 6])),
        ("Flatten", ["g"], ["f"]),
        ("MatMul", ["f", "a"], ["m"]),
        ("Add", ["m", "b"], ["y"]),
    ],
    "pointwise convolution": [
        ("GlobalAveragePool", ["r"], ["g"]),
        ("Conv", ["g", "p", "b"], ["q"]),
        ("Flatten", ["q"], ["y"]),
    ],
}


@pytest.mark.parametrize("name", TAILS)
def test_all_writings_of_an_average_and_a_linear_layer(name: str) -> None:
    first = [("Relu", ["c"], ["r"])]
    usual = [
        ("GlobalAveragePool", ["r"], ["g"]),
        ("Flatten", ["g"], ["f"]),
        ("Gemm", ["f", "a", "b"], ["y"]),
    ]
    pointwise = stored(small([*first, *usual]))["a"].T.reshape(3, 4, 1, 1)
    net = small([*first, *TAILS[name]], axes=np.array([-1, 2]), p=pointwise)
    expected = sl.explain(small([*first, *usual]), sl.Cam(), 1)(IMAGES)[1]
    np.testing.assert_allclose(sl.explain(net, sl.Cam(), 1)(IMAGES)[1], expected, rtol=1e-11, atol=1e-12)


POOL, FLAT = ("GlobalAveragePool", ["c"], ["g"]), ("Flatten", ["g"], ["f"])


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([POOL, FLAT, ("Gemm", ["f", "a", "b"], ["h"]), ("Relu", ["h"], ["y"])], "Relu node 'Relu to y'"),
        ([POOL, FLAT, ("MatMul", ["f", "s"], ["h"]), ("MatMul", ["h", "a"], ["y"])], "MatMul node"),
        ([("AveragePool", ["c"], ["g"], ("kernel_shape", [5, 5]), ("strides", [5, 5])), FLAT,
          ("Gemm", ["f", "a", "b"], ["y"])], "AveragePool node"),
        ([("ReduceMean", ["c", "axes"], ["m"], ("keepdims", 0)),
          ("ReduceSum", ["m", "axes"], ["f"], ("keepdims", 0)), ("MatMul", ["f", "a"], ["y"])],
         "ReduceSum node"),
        ([("AveragePool", ["c"], ["g"], ("kernel_shape", [6, 6]), ("auto_pad", "SAME_UPPER")), FLAT,
          ("MatMul", ["f", "wide"], ["y"])], "AveragePool node"),
        ([("GlobalMaxPool", ["c"], ["g"]), FLAT, ("Gemm", ["f", "a", "b"], ["y"])], "GlobalMaxPool node"),
    ],
)  # fmt: skip
def test_networks_without_cam_are_refused_by_node(nodes: list[tuple[Any, ...]], words: str) -> None:
    net = small(nodes, s=np.eye(4), axes=np.array([2]), wide=np.ones((144, 3)))
    with pytest.raises(sl.ModelError, match=words):
        sl.explain(net, sl.Cam())


def test_two_ways_to_the_scores_have_no_cam() -> None:
    """The linear layer reads a sum of two averages."""
    net = small([
        POOL, ("Relu", ["c"], ["r"]), ("GlobalAveragePool", ["r"], ["q"]), ("Add", ["g", "q"], ["d"]),
        ("Flatten", ["d"], ["f"]), ("Gemm", ["f", "a", "b"], ["y"]),
    ])  # fmt: skip
    with pytest.raises(sl.ModelError, match="Add node"):
        sl.explain(net, sl.Cam())


HEAD = [("GlobalAveragePool", ["z"], ["g"]), ("Flatten", ["g"], ["f"]), ("MatMul", ["f", "a"], ["y"])]
WALKS = {
    "swish": ([("Sigmoid", ["c"], ["s"]), ("Mul", ["c", "s"], ["z"]), *HEAD], "z"),
    "shortcut": ([("Add", ["c", "x"], ["d"]), ("Relu", ["d"], ["z"]), *HEAD], "z"),
    "pooled": ([("Relu", ["c"], ["r"]), ("MaxPool", ["r"], ["z"], ("kernel_shape", [2, 2])), *HEAD], "r"),
    "gate": ([("Relu", ["c"], ["r"]), ("GlobalMaxPool", ["r"], ["t"]),
              ("Mul", ["r", "t"], ["z"]), *HEAD], "r"),
    "two ways": ([("Relu", ["c"], ["r"]), ("Neg", ["c"], ["n"]), ("Add", ["r", "n"], ["z"]), *HEAD], "z"),
    "places joined": (
        [("Relu", ["c"], ["r"]), ("Concat", ["r", "c"], ["z"], ("axis", 2)), *HEAD], "c"),
}  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_the_last_map_comes_after_what_keeps_its_places(name: str) -> None:
    nodes, layer = WALKS[name]
    net = small(nodes)
    found = sl.explain(net, sl.GradCam(relu=False), 1)(IMAGES)[1]
    np.testing.assert_array_equal(found, sl.explain(net, sl.GradCam(layer, relu=False), 1)(IMAGES)[1])


def test_branches_are_joined() -> None:
    """Of two parallel convolutions the map has the channels of both."""
    nodes = [
        ("Conv", ["x", "w"], ["d"], ("pads", [1] * 4)), ("Concat", ["c", "d"], ["z"], ("axis", 1)),
        ("GlobalAveragePool", ["z"], ["g"]), ("Flatten", ["g"], ["f"]), ("MatMul", ["f", "e"], ["y"]),
    ]  # fmt: skip
    net = small(nodes, e=np.random.default_rng(0).normal(size=(8, 3)))
    found = sl.explain(net, sl.GradCam())(IMAGES)[1]
    np.testing.assert_array_equal(found, sl.explain(net, sl.GradCam("z"))(IMAGES)[1])


def test_convolutions_of_one_place_are_passed_over() -> None:
    nodes = [
        ("Relu", ["c"], ["r"]), ("GlobalAveragePool", ["r"], ["g"]), ("Conv", ["g", "p", "b"], ["q"]),
        ("Flatten", ["q"], ["y"]),
    ]  # fmt: skip
    net = small(nodes, p=np.ones((3, 4, 1, 1)))
    found = sl.explain(net, sl.GradCam())(IMAGES)[1]
    np.testing.assert_array_equal(found, sl.explain(net, sl.GradCam("r"))(IMAGES)[1])


def test_what_comes_before_the_map_needs_no_derivative() -> None:
    nodes = [
        make_node("Sign", ["x"], ["s"]),
        make_node("Conv", ["s", "w"], ["c"]),
        make_node("Relu", ["c"], ["r"]),
    ]
    nodes += [make_node("GlobalAveragePool", ["r"], ["g"]), make_node("Flatten", ["g"], ["y"])]
    net = model(nodes, {"w": np.random.default_rng(0).normal(size=(3, 1, 3, 3))}, ["N", 1, 6, 6], ["N", 3])
    with pytest.raises(sl.ModelError, match="in steps"):
        sl.explain(net, sl.Gradient())
    assert np.abs(sl.explain(net, sl.GradCam())(IMAGES)[1]).max() > 0
    assert (
        np.abs(sl.explain(net, sl.Cam())(IMAGES)[1]).max() > 0
    )  # without a linear layer: the map of the class


def test_channels_last() -> None:
    """A network that turns its input gives the same maps, turned back."""
    net = averaging(dtype=np.float64)
    turned = onnx.ModelProto()
    turned.CopyFrom(net)
    turned.graph.node.insert(0, make_node("Transpose", ["u"], ["x"], perm=[0, 3, 1, 2]))
    turned.graph.input[0].CopyFrom(helper.make_tensor_value_info("u", 11, ["N", 6, 6, 1]))
    for method in (sl.GradCam(), sl.Cam()):
        expected = sl.explain(net, method)(IMAGES)[1]
        found = sl.explain(turned, method)(IMAGES.transpose(0, 2, 3, 1))[1]
        np.testing.assert_allclose(found, expected.transpose(0, 2, 3, 1), rtol=1e-11)


def test_one_axis_of_places_and_several_channels() -> None:
    rng = np.random.default_rng(7)
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], strides=[3]),
        make_node("Flatten", ["c"], ["f"]),
        make_node("MatMul", ["f", "a"], ["y"]),
    ]
    weights = {"w": rng.normal(size=(4, 2, 3)), "a": rng.normal(size=(12, 2))}
    net = model(nodes, weights, ["N", 2, 9], ["N", 2], np.float64)
    x = rng.normal(size=(2, 2, 9))
    found = sl.explain(net, sl.GradCam(relu=False), 0)(x)[1]
    maps = inner(net, "c", x)
    total = np.einsum("k,nkp->np", weights["a"][:, 0].reshape(4, 3).mean(axis=1), maps)
    expected = [enlarged(row[None], (1, 9))[0] for row in total]
    np.testing.assert_allclose(found, np.stack([expected, expected], axis=1), rtol=1e-11)


def test_a_map_of_other_axes_than_the_input_is_refused() -> None:
    nodes = [
        make_node("Reshape", ["x", "s"], ["r"]),
        make_node("Conv", ["r", "w"], ["c"]),
        make_node("GlobalAveragePool", ["c"], ["g"]),
        make_node("Flatten", ["g"], ["y"]),
    ]
    net = model(nodes, {"s": np.array([0, 1, 4, 4]), "w": np.ones((3, 1, 2, 2))}, ["N", 16], ["N", 3])
    with pytest.raises(sl.ModelError, match="2 axes of places and the input 'x' has 1"):
        sl.explain(net, sl.GradCam())
