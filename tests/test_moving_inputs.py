"""Operators whose limits, scales or weights move with the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from moving_inputs import Operator, failures, halvings, on_rays_of_the_checker, tight_at_points
from onnx import helper
from small_nets import image, model

import sureline as sl
from inference.pattern_nodes import append_pattern
from symbolic.bounds import enclose

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
