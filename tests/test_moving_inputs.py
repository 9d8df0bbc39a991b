"""Operators whose limits, scales or weights move with the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from moving_inputs import (
    Operator,
    failures,
    failures_of_case,
    halvings,
    on_rays_of_the_checker,
    tight_at_points,
)
from onnx import helper
from random_graphs import random_case
from small_nets import image, model

import sureline as sl
from inference.pattern_nodes import append_pattern
from symbolic.bounds import enclose
from symbolic.errors import ModelError

RNG = np.random.default_rng(3)
IMAGE = RNG.normal(size=(2, 3, 2, 2)).astype(np.float32)


def scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


CLIPS = {
    "both": Operator("Clip", {"a": IMAGE, "low": scalar(-0.5), "high": scalar(0.625)}),
    "crossed": Operator("Clip", {"a": IMAGE, "low": scalar(0.5), "high": scalar(-0.25)}),
    "crossing": Operator("Clip", {"a": IMAGE, "low": scalar(0.25), "high": scalar(0.25)}),
    "low": Operator("Clip", {"a": IMAGE, "low": scalar(-0.5)}, opset=11),
    "high": Operator("Clip", {"a": IMAGE, "high": scalar(0.5)}, gaps=[1], opset=12),
    "constant data": Operator("Clip", {"a": IMAGE, "low": scalar(-0.5), "high": scalar(0.5)}, still=["a"]),
    "constant low": Operator("Clip", {"a": IMAGE, "low": scalar(-0.5), "high": scalar(0.5)}, still=["low"]),
    "one element": Operator("Clip", {"a": IMAGE, "low": scalar(0.25).reshape(1)}),
    "tie": Operator("Clip", {"a": np.zeros((3,), np.float32), "low": scalar(0), "high": scalar(0)}),
}


@pytest.mark.parametrize("name", CLIPS)
def test_clip_between_moving_limits(name: str) -> None:
    assert not [text for seed in range(3) for text in failures(CLIPS[name], seed, rays=True)]
    tight_at_points(CLIPS[name])


CHANNELS = {
    "scale": np.array([0.5, -1.25, 0.0], np.float32),
    "bias": np.array([0.25, 0.0, -1.0], np.float32),
    "mean": np.array([0.0, 0.5, -0.25], np.float32),
    "variance": np.array([1.0, 0.25, 4.0], np.float32),
}
BATCHES = {
    "scale and bias": ("mean", "variance"),
    "scale": ("bias", "mean", "variance"),
    "bias": ("scale", "mean", "variance"),
    "mean": ("scale", "bias", "variance"),
    "variance": ("scale", "bias", "mean"),
    "everything": (),
    "all but the data": ("a",),
    "the scale of constants": ("a", "bias", "mean", "variance"),
    "the bias of constants": ("a", "scale", "mean", "variance"),
}


def batch(still: tuple[str, ...], shape: tuple[int, ...] = (2, 3, 2, 2), opset: int = 21) -> Operator:
    data = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    return Operator("BatchNormalization", {"a": data, **CHANNELS}, still=still, opset=opset)


@pytest.mark.parametrize("name", BATCHES)
def test_batch_normalization_with_moving_statistics(name: str) -> None:
    operator = batch(BATCHES[name])
    rays = name in ("bias", "mean", "the bias of constants")
    assert not [text for seed in range(3) for text in failures(operator, seed, rays=rays)]
    assert not on_rays_of_the_checker(operator)
    tight_at_points(operator)


def test_batch_normalization_of_other_shapes_and_operator_sets() -> None:
    for shape, opset in (((2, 3), 21), ((1, 3, 2, 1, 2), 9), ((2, 3, 4), 7), ((2, 3, 4), 14), ((4, 3), 15)):
        operator = batch(("mean", "variance"), shape, opset)
        assert not failures(operator)
        tight_at_points(operator)


@pytest.mark.parametrize("name", ["scale and bias", "variance", "everything"])
def test_batch_normalization_is_enclosed_to_the_second_order(name: str) -> None:
    assert all(3.3 < ratio < 4.7 for ratio in halvings(batch(BATCHES[name])))


def test_a_variance_that_may_be_negative_is_no_claim() -> None:
    operator = Operator("BatchNormalization", {"a": IMAGE, **CHANNELS}, still=["a", "scale", "bias", "mean"])
    case = operator.case()
    x = {"x": case.observed}
    lo, hi = enclose(case.model, x, {"x": -np.ones(3)}, 0, 0.5)["above"]  # the second variance is 0 at 0.25
    assert (lo[:, 1] < hi[:, 1]).all()


SCALES = {"scale": np.array([0.5, -1.25, 2.0], np.float32), "bias": np.array([0.25, 0.0, -1.0], np.float32)}
NORMS = {
    "LayerNormalization": Operator("LayerNormalization", {"a": IMAGE[:, :, 0].swapaxes(1, 2), **SCALES}),
    "LayerNormalization, no bias": Operator(
        "LayerNormalization", {"a": IMAGE[:, :, 0].swapaxes(1, 2), "scale": SCALES["scale"]}, opset=17
    ),
    "RMSNormalization": Operator(
        "RMSNormalization", {"a": IMAGE[:, :, 0].swapaxes(1, 2), "scale": SCALES["scale"]}, opset=23
    ),
    "InstanceNormalization": Operator("InstanceNormalization", {"a": IMAGE, **SCALES}),
    "GroupNormalization": Operator(
        "GroupNormalization", {"a": IMAGE, **SCALES}, attributes={"num_groups": 1}
    ),
}


@pytest.mark.parametrize("still", ["", "a", "scale", "bias", "a scale", "a bias"])
@pytest.mark.parametrize("name", NORMS)
def test_other_normalisations_with_moving_scales(name: str, still: str) -> None:
    given = NORMS[name]
    names = [word for word in still.split() if word in given.inputs]
    operator = replace(given, still=names)
    if len(names) < len(given.inputs):
        assert not failures(operator, 1)
        assert not on_rays_of_the_checker(operator)
        tight_at_points(operator, runs="RMS" not in name)


@pytest.mark.parametrize("opset", [18, 20])
@pytest.mark.parametrize("still", [("scale", "bias"), ("scale",), ()])
def test_group_normalization_before_operator_set_21(opset: int, still: tuple[str, ...]) -> None:
    """Scale and bias are per group: "scale and bias should be specified for each group of channels"."""
    data = np.random.default_rng(7).normal(size=(2, 6, 2, 1)).astype(np.float32)
    scale, bias = np.array([0.5, -1.25, 2.0], np.float32), np.array([0.25, 0.0, -1.0], np.float32)
    inputs = {"a": data, "scale": scale, "bias": bias}
    operator = Operator(
        "GroupNormalization", inputs, still, opset, attributes={"num_groups": 3, "epsilon": 0.125}
    )
    assert not failures(operator)
    tight_at_points(operator)
    groups = data.astype(np.float64).reshape(2, 3, 4)
    spread = groups - groups.mean(axis=2, keepdims=True)
    y = spread / np.sqrt((spread**2).mean(axis=2, keepdims=True) + 0.125) * scale[:, None] + bias[:, None]
    x = operator.observed()
    asked = operator.model()
    asked.graph.output.add(name="y")
    found = enclose(asked, {"x": x}, {"x": np.zeros(x.shape)}, 0, 0)["y"]
    np.testing.assert_allclose(found[0], y.reshape(data.shape), atol=1e-12)


@pytest.mark.parametrize("opset", [18, 21])
def test_an_audit_of_group_normalization(opset: int, tmp_path: Path) -> None:
    parts = 2 if opset < 21 else 4
    constants = {
        "K": np.random.default_rng(1).normal(size=(4, 1, 3, 3)).astype(np.float32),
        "scale": np.linspace(0.5, 1.5, parts, dtype=np.float32),
        "bias": np.linspace(-0.5, 0.5, parts, dtype=np.float32),
        "L": np.ones((1, 4, 1, 1), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "K"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GroupNormalization", ["c", "scale", "bias"], ["n"], num_groups=2),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "L"], ["y"]),
    ]
    path = tmp_path / "model.onnx"
    onnx.save(model(nodes, constants, [1, 1, 4, 4], [1, 1, 4, 4], opset), path)
    hypothesis = sl.BackMeanDiff(threshold=1.5)
    found = sl.audit(path, image(2, 4), hypothesis=hypothesis, var=1.0, precision=1e-2)
    assert found.runtime_agrees and found.sup_p - found.inf_p <= 1e-2
    found.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit", model=path).model_checked


def test_a_withdrawn_operator_must_be_whole() -> None:
    net = model(
        [helper.make_node("GroupNormalization", ["x", "s", "s"], ["y"])], {}, [1, 2, 2], [1, 2, 2], 18
    )
    net.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "s"))
    with pytest.raises(ModelError, match="GroupNormalization"):
        enclose(net, np.zeros((1, 2, 2)), None, 0, 0)


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def layer(kind: str, still: tuple[str, ...], ways: int = 1, **attributes: object) -> Operator:
    """A recurrent layer over three steps of two sequences."""
    rng, rows = np.random.default_rng(6), GATES[kind] * 2
    shapes = {"a": (3, 2, 2), "w": (ways, rows, 2), "r": (ways, rows, 2), "b": (ways, 2 * rows)}
    given = {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return Operator(kind, given, still, attributes={"hidden_size": 2, **attributes})


@pytest.mark.parametrize("still", [(), ("a",), ("a", "w", "b"), ("a", "r", "b"), ("r", "b"), ("w", "b")])
@pytest.mark.parametrize("kind", GATES)
def test_recurrent_layers_with_moving_weights(kind: str, still: tuple[str, ...]) -> None:
    operator = layer(kind, still)
    assert not failures(operator, 2)
    tight_at_points(operator)


def test_variants_of_recurrent_layers_with_moving_weights() -> None:
    for operator in (
        layer("GRU", ("a",), linear_before_reset=1),
        layer("LSTM", ("a",), input_forget=1),
        layer("LSTM", (), ways=2, direction="bidirectional"),
        layer("RNN", ("w",), direction="reverse"),
    ):
        assert not failures(operator, 3)
        tight_at_points(operator)


def test_rays_of_recurrent_layers_whose_weights_move() -> None:
    """With constant inputs and no recurrence the states are linear in the weights; else there are no rays."""
    for still in (("a", "r", "b"), ("a", "w", "b"), ("a", "b"), ("b",)):
        assert not on_rays_of_the_checker(layer("RNN", still, activations=["Relu"]))


def deformed(
    still: tuple[str, ...], *, shares: int = 1, group: int = 1, gaps: tuple[int, ...] = ()
) -> Operator:
    """A convolution of two images of two channels that reads around its places."""
    rng = np.random.default_rng(10)
    shapes = {
        "a": (2, 2, 3, 3),
        "w": (2, 2 // group, 2, 1),
        "offset": (2, shares * 4, 2, 3),
        "b": (2,),
        "mask": (2, shares * 2, 2, 3),
    }
    names = [name for k, name in enumerate(shapes) if k not in gaps]
    given = {name: rng.normal(0, 0.7, shapes[name]).astype(np.float32) for name in names}
    kept = [name for name in still if name in given]
    gaps = () if gaps == (3, 4) else gaps
    attributes = {"offset_group": shares, "group": group, "kernel_shape": [2, 1]}
    return Operator("DeformConv", given, kept, 22, gaps, attributes)


OFFSETS: dict[str, Operator] = {
    "offsets": deformed(("a", "w", "b", "mask")),
    "offsets and data": deformed(("w", "b", "mask"), shares=2, group=2),
    "everything": deformed((), shares=2),
    "mask": deformed(("a", "w", "offset", "b")),
    "mask and data": deformed(("w", "offset", "b"), shares=2),
    "kernel": deformed(("a", "offset", "b", "mask"), group=2),
    "kernel and data": deformed(("offset", "b", "mask")),
    "kernel and offsets": deformed(("a", "b", "mask")),
    "bias": deformed(("a", "w", "offset", "mask")),
    "without a bias": deformed(("w",), gaps=(3,)),
    "data and offsets alone": deformed(("w",), gaps=(3, 4)),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_deformable_convolutions_whose_offsets_move(name: str) -> None:
    operator = OFFSETS[name]
    assert not [text for seed in range(2) for text in failures(operator, seed, rays=name == "bias")]
    assert not on_rays_of_the_checker(operator)
    tight_at_points(operator)


def test_deformable_convolutions_at_whole_offsets() -> None:
    """Between the elements the weights bend: there too they are known at points."""
    operator = deformed(("w", "b", "mask"))
    whole = np.random.default_rng(1).integers(-3, 4, operator.inputs["offset"].shape).astype(np.float32)
    operator = replace(operator, inputs={**operator.inputs, "offset": whole})
    assert not failures(operator)
    tight_at_points(operator)


def test_deformable_convolutions_are_enclosed_to_the_second_order() -> None:
    operator = deformed(("w", "b", "mask"), shares=2)
    between = np.random.default_rng(1).integers(-2, 3, operator.inputs["offset"].shape) + np.float32(0.5)
    operator = replace(operator, inputs={**operator.inputs, "offset": between.astype(np.float32)})
    assert all(3.3 < ratio < 4.7 for ratio in halvings(operator))


SLOPES = {
    "both": Operator("PRelu", {"a": IMAGE, "slope": np.array([[[0.25]], [[-0.5]], [[1.0]]], np.float32)}),
    "slope": Operator("PRelu", {"a": IMAGE, "slope": np.full((3, 1, 1), 1, np.float32)}, still=["a"]),
    "ties": Operator("PRelu", {"a": np.zeros(3, np.float32), "slope": np.ones(1, np.float32)}, opset=9),
}


@pytest.mark.parametrize("name", SLOPES)
def test_prelu_with_moving_slopes(name: str) -> None:
    assert not [text for seed in range(3) for text in failures(SLOPES[name], seed)]
    assert not on_rays_of_the_checker(SLOPES[name])
    tight_at_points(SLOPES[name])


def transposed(still: tuple[str, ...], group: int = 1, opset: int = 21, **attributes: object) -> Operator:
    rng = np.random.default_rng(12)
    shapes = {"a": (2, 2, 2, 3), "w": (2, 2, 2, 3), "b": (2 * group,)}
    given = {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return Operator("ConvTranspose", given, still, opset, attributes={"group": group, **attributes})


TRANSPOSED = {
    "kernel": transposed(("a", "b")),
    "kernel and bias": transposed(("a",), group=2, opset=11),
    "bias": transposed(("a", "w"), strides=[2, 1], pads=[1, 0, 0, 1]),
    "everything": transposed((), strides=[2, 3], dilations=[2, 1], output_padding=[1, 0]),
    "data and kernel": transposed(("b",), group=2, strides=[1, 2], auto_pad="SAME_LOWER"),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions_with_moving_kernels(name: str) -> None:
    rays = name in ("kernel", "bias", "kernel and bias")
    assert not [text for seed in range(2) for text in failures(TRANSPOSED[name], seed, rays=rays)]
    assert not on_rays_of_the_checker(TRANSPOSED[name])
    tight_at_points(TRANSPOSED[name])


BIASED = {
    "Conv": {"a": IMAGE, "w": IMAGE[:, :, :1, :1], "b": np.array([0.5, -0.25], np.float32)},
    "Gemm": {"a": IMAGE[0, 0], "w": IMAGE[1, 0], "b": np.array([0.5, -0.25], np.float32)},
}


@pytest.mark.parametrize("still", [("a", "w"), ("a", "b"), ("w", "b"), ("a",), ("w",)])
@pytest.mark.parametrize("kind", BIASED)
def test_rays_where_bias_or_kernel_move(kind: str, still: tuple[str, ...]) -> None:
    operator = Operator(kind, BIASED[kind], still)
    assert not failures(operator, 1, rays=True)


RESTLESS = ["Clip", "BatchNormalization", "DeformConv", "RNN", "GRU", "LSTM"]


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_whose_limits_and_weights_move(seed: int) -> None:
    for number in range(4):
        rng = np.random.default_rng([13, seed, number])
        prefer = [str(rng.choice(RESTLESS)), "Clip"]
        case = random_case(rng, smooth=True, prefer=prefer, nodes=5, restless=True)
        assert not failures_of_case(case, seed)


def clipping_net(seed: int = 0) -> onnx.ModelProto:
    """Conv, clipped between the mean and the maximum of its first channel, and a sum over channels."""
    rng = np.random.default_rng(seed)
    constants = {
        "K": (0.4 * rng.normal(size=(3, 1, 3, 3))).astype(np.float32),
        "L": rng.normal(size=(1, 3, 1, 1)).astype(np.float32),
        "zero": np.array([0], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "K"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Gather", ["c", "zero"], ["first"], axis=1),
        helper.make_node("ReduceMean", ["first"], ["low"], keepdims=0),
        helper.make_node("ReduceMax", ["first"], ["top"], keepdims=0),
        helper.make_node("Sub", ["top", "low"], ["high"]),
        helper.make_node("Clip", ["c", "low", "high"], ["d"], name="clip"),
        helper.make_node("Conv", ["d", "L"], ["y"]),
    ]
    return model(nodes, constants, [1, 1, 5, 5], [1, 1, 5, 5])


@pytest.mark.parametrize("mode", ["parametric", "over_conditioning"])
def test_audits_of_a_net_that_clips_between_moving_limits(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(clipping_net(), path)
    hypothesis = sl.BackMeanDiff(threshold=0.5, post_process=[sl.InputDiff(), sl.Abs()])
    found = sl.audit(
        path, image(1, 5), hypothesis=hypothesis, var=1.0, precision=1e-3, inference_mode=mode, seed=0
    )
    assert found.runtime_agrees and found.sup_p - found.inf_p <= 1e-3
    found.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit", model=path).model_checked


def test_the_pattern_of_moving_limits() -> None:
    """Three comparisons: with both limits constant two tell the piece, but not where the limits cross."""
    made = clipping_net()
    shapes = {"c": (1, 3, 5, 5), "low": (), "high": (), "first": (1, 1, 5, 5)}
    names = append_pattern(made, {"x"}, shapes.__getitem__, selection=["y"])
    added = [node for node in made.graph.node if node.output[0] in names]
    assert [(node.op_type, *node.input) for node in added[1:]] == [
        ("Greater", "c", "low"),
        ("Greater", "c", "high"),
        ("Greater", "low", "high"),
    ]


def hypernetwork() -> onnx.ModelProto:
    """A GRU over the rows of an image, whose weights are scaled by the mean of the image."""
    rng = np.random.default_rng(8)
    constants = {
        "W": rng.normal(size=(1, 6, 4)).astype(np.float32),
        "R": rng.normal(size=(1, 6, 2)).astype(np.float32),
        "V": rng.normal(size=(2, 4)).astype(np.float32),
        "rows": np.array([4, 1, 4], dtype=np.int64),
        "image": np.array([1, 1, 4, 4], dtype=np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Mul", ["W", "m"], ["w"]),
        helper.make_node("Add", ["R", "m"], ["r"]),
        helper.make_node("Reshape", ["x", "rows"], ["sequence"]),
        helper.make_node("GRU", ["sequence", "w", "r"], ["states"], hidden_size=2),
        helper.make_node("MatMul", ["states", "V"], ["read"]),
        helper.make_node("Reshape", ["read", "image"], ["y"]),
    ]
    return model(nodes, constants, [1, 1, 4, 4], [1, 1, 4, 4])


def conditional_normalisation() -> onnx.ModelProto:
    """Conv and batch normalisation, whose scale and bias are linear in the means of the channels."""
    rng = np.random.default_rng(9)
    constants = {
        "K": rng.normal(size=(3, 1, 3, 3)).astype(np.float32),
        "S": rng.normal(size=(3, 3)).astype(np.float32),
        "L": rng.normal(size=(1, 3, 1, 1)).astype(np.float32),
        "mean": np.array([0.25, 0.0, -0.5], np.float32),
        "variance": np.array([1.5, 0.5, 2.0], np.float32),
        "channels": np.array([3], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "K"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Reshape", ["p", "channels"], ["means"]),
        helper.make_node("MatMul", ["means", "S"], ["scale"]),
        helper.make_node("BatchNormalization", ["c", "scale", "means", "mean", "variance"], ["n"]),
        helper.make_node("Conv", ["n", "L"], ["y"]),
    ]
    return model(nodes, constants, [1, 1, 4, 4], [1, 1, 4, 4])


@pytest.mark.parametrize("net", [hypernetwork, conditional_normalisation])
def test_audits_of_smooth_nets(net: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(net(), path)
    hypothesis = sl.BackMeanDiff(threshold=0.8, post_process=[sl.InputDiff(), sl.Abs()])
    found = sl.audit(path, image(2, 4), hypothesis=hypothesis, var=1.0, precision=1e-2)
    assert found.runtime_agrees and found.sup_p - found.inf_p <= 1e-2
    found.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit", model=path).model_checked
