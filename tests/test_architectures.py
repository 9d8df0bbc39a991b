"""Networks of the usual architectures: bounds that agree with ONNX Runtime, certificates that hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import architectures
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import sureline as sl
from symbolic.reading.loading import freeze_random

SEED = 0  # of random nodes
FLOAT32 = 1e-5  # what the runtime may err by, relative to the largest value
ROUNDING = 1e-7  # the width of bounds at a point, relative to the same: below one rounding to float32


@dataclass(frozen=True)
class Architecture:
    """A network, the precision of its audit, and what its output is."""

    make: Callable[[], onnx.ModelProto]
    precision: float = 1e-6
    kind: str = "map"  # of scores, "image" that is reconstructed, or "classes"


def _lenet() -> onnx.ModelProto:
    """The builder's, and the class of its logits."""
    model = architectures.lenet()
    logits = model.graph.output[0].name
    model.graph.node.append(helper.make_node("ArgMax", [logits], ["class"], axis=1, keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("class", onnx.TensorProto.INT64, [1]))
    return model


SHORT_VGG = (4, 4, "M", 8, 8, "M", 8, 8, 8)
NETWORKS = {
    "MLP": Architecture(architectures.mlp, kind="image"),
    "LeNet": Architecture(_lenet, kind="classes"),
    "U-Net": Architecture(architectures.unet, precision=1e-2),
    "U-Net 1-D": Architecture(partial(architectures.unet, axes=1, side=32)),
    "autoencoder": Architecture(architectures.autoencoder, kind="image"),
    "VAE": Architecture(architectures.vae, kind="image"),
    "VGG": Architecture(partial(architectures.vgg, layout=SHORT_VGG, side=16)),
    "ResNet": Architecture(architectures.resnet),
    "DenseNet": Architecture(architectures.densenet),
    "MobileNet": Architecture(architectures.mobilenet),
    "EfficientNet": Architecture(architectures.efficientnet, precision=1e-2),
    "LSTM": Architecture(architectures.recurrent),
    "GRU": Architecture(partial(architectures.recurrent, kind="GRU")),
    "vision transformer": Architecture(
        partial(architectures.vision_transformer, side=6, patch=2, width=4), precision=1e-2
    ),
    "class activation": Architecture(architectures.class_activation),
    "quantised CNN": Architecture(architectures.quantised, precision=5e-2),  # jumps all along the line
    "classifier": Architecture(architectures.classifier, kind="classes"),
}
SLOW = {"EfficientNet", "vision transformer"}


def image_of(model: onnx.ModelProto, seed: int = 7) -> np.ndarray:
    """Standard normal noise of the size of the input."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def hypothesis_of(kind: str, model: onnx.ModelProto, size: int) -> sl.Hypothesis:
    """A region by the map (of the error, for what is reconstructed); for classes, one half of the input
    against the other."""
    if kind == "classes":
        halves = np.repeat([2 / size, -2 / size], size // 2)
        return sl.Selection(output=model.graph.output[1].name, eta=lambda chosen: halves)
    steps = [sl.InputDiff(), sl.Abs()] if kind == "image" else []
    return sl.BackMeanDiff(threshold=0.5, use_norm=True, post_process=steps)


def runtime_outputs(model: onnx.ModelProto, x: np.ndarray) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_agree_with_onnx_runtime(name: str) -> None:
    model = NETWORKS[name].make()
    x = image_of(model)
    bounds = sl.enclose(model, x, seed=SEED)
    frozen, _ = freeze_random(model, seed=SEED)
    for output, value in zip(model.graph.output, runtime_outputs(frozen, x), strict=True):
        low, high = bounds[output.name]
        scale = np.abs(value).max()
        assert (low - FLOAT32 * scale <= value).all() and (value <= high + FLOAT32 * scale).all()
        assert (high - low <= ROUNDING * scale).all()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NETWORKS]
)
def test_audits_are_certified(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    model = network.make()
    x = image_of(model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    test = sl.load(path, hypothesis_of(network.kind, model, x.size), seed=SEED)
    result = test.inference(x, 1.0, precision=network.precision)
    assert result.ended_by == "precision" and 0 <= result.inf_p <= result.p_value <= 1
    assert result.sup_p - result.inf_p <= network.precision
    assert result.runtime_agrees
    result.certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit", model=path)
    assert report.model_checked and report.cells == len(result.cell_list)


@pytest.mark.slow
def test_the_pattern_of_thirteen_convolutions(tmp_path: Path) -> None:
    """Over-conditioned: one interval around the observed value, at an image of 64 by 64."""
    model = architectures.vgg()
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 13 + 1
    test = sl.load(model, hypothesis_of("map", model, 64 * 64))
    result = test.inference(image_of(model), 1.0, inference_mode="over_conditioning")
    assert result.sup_p - result.inf_p <= 1e-6 and result.runtime_agrees
    (low, high), *others = result.truncated_intervals
    assert not others and low <= result.line.stat <= high
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").cells == len(result.cell_list)
