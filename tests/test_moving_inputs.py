"""Operators whose limits, scales or weights move with the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from moving_inputs import Operator, failures, tight_at_points
from onnx import helper
from small_nets import image, model

import sureline as sl
from inference.pattern_nodes import append_pattern

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
