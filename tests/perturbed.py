"""What tests of perturbation share: inputs, networks, scores by the reference implementation of ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from explained_nets import model
from onnx import helper
from onnx.reference import ReferenceEvaluator

__all__ = [
    "COLOURS",
    "GROUPS",
    "IMAGES",
    "ROWS",
    "TYPES",
    "Scores",
    "close",
    "coalition",
    "coloured",
    "linear",
    "score_of",
]

IMAGES = np.random.default_rng(15).normal(size=(5, 1, 6, 6))
COLOURS = np.random.default_rng(2).normal(size=(4, 2, 5, 4))
ROWS = np.random.default_rng(3).normal(size=(4, 6))
GROUPS = np.random.default_rng(8).permutation(np.arange(36) % 5).reshape(6, 6) * 3 - 4
"""Labels of five regions, which are neither 0 to 4 nor connected."""
TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def coloured(dtype: type = np.float64) -> onnx.ModelProto:
    """Two channels of 5 x 4 places, a convolution, four classes."""
    rng = np.random.default_rng(6)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "v", "t"], ["y"], "gemm"),
    ]
    weights = {
        "w": rng.normal(size=(3, 2, 3, 3)),
        "b": rng.normal(size=3) * 0.3,
        "v": rng.normal(size=(60, 4)) * 0.3,
        "t": rng.normal(size=4),
    }
    return model(nodes, weights, ["N", 2, 5, 4], ["N", 4], dtype)


def linear(shape: list[int]) -> tuple[onnx.ModelProto, np.ndarray]:
    """A score per row, without an axis of classes, and its weights."""
    weights = np.random.default_rng(9).normal(size=np.prod(shape))
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    return model(nodes, {"w": weights}, ["N", *shape], ["N"], np.float64), weights.reshape(shape)


class Scores:
    """The logits of a network in double precision, by the reference implementation of ONNX."""

    def __init__(self, net: onnx.ModelProto, name: str) -> None:
        view = onnx.ModelProto()
        view.CopyFrom(net)
        del view.graph.output[:]
        view.graph.output.append(onnx.ValueInfoProto(name=name))
        self._run = ReferenceEvaluator(view)

    def __call__(self, row: np.ndarray) -> np.ndarray:
        return self._run.run(None, {"x": row[None].astype(np.float64)})[0][0]


def score_of(net: onnx.ModelProto, name: str, row: np.ndarray) -> Any:
    """From an input to its logit of the class that is predicted at the row."""
    scores = Scores(net, name)
    chosen = int(scores(row).argmax())
    return lambda x: float(scores(x)[chosen])


def close(found: np.ndarray, expected: np.ndarray, dtype: type = np.float64) -> None:
    assert found.dtype == dtype and found.shape == expected.shape
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=scale * (3e-5 if dtype is np.float32 else 1e-10))


def coalition(x: np.ndarray, labels: np.ndarray, members: Any, baseline: Any) -> np.ndarray:
    return np.where(np.isin(labels, list(members)), x, baseline)
