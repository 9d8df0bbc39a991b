"""Small classifiers whose explanations are tested."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["averaging", "convolutional", "dense", "model"]


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, Any],
    x: list[Any],
    y: list[Any],
    dtype: type = np.float32,
    opset: int = 18,
) -> onnx.ModelProto:
    """A model from x to y; floats among the weights get the type."""
    kind = TensorProto.FLOAT if dtype is np.float32 else TensorProto.DOUBLE
    stored = []
    for name, value in weights.items():
        array = np.asarray(value)
        stored.append(
            numpy_helper.from_array(array.astype(dtype) if array.dtype.kind == "f" else array, name)
        )
    ports = [helper.make_tensor_value_info(n, kind, s) for n, s in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def dense(batch: Any = "N", head: str | None = "Softmax", dtype: type = np.float32) -> onnx.ModelProto:
    """6 -> 8 -> 3 with a ReLU between, and a head."""
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "c", "d"], ["l" if head else "y"], "second"),
    ]
    if head:
        nodes.append(helper.make_node(head, ["l"], ["y"], "head"))
    weights = {
        "a": rng.normal(size=(6, 8)),
        "b": rng.normal(size=8),
        "c": rng.normal(size=(8, 3)),
        "d": rng.normal(size=3),
    }
    return model(nodes, weights, [batch, 6], [batch, 3], dtype)


def convolutional(batch: Any = 1, dtype: type = np.float32) -> onnx.ModelProto:
    """6 x 6 pixels, overlapping padded maxima, two convolutions, three classes; opset 13."""
    rng = np.random.default_rng(4)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node(
            "MaxPool", ["r1"], ["p1"], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
        ),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], "conv2", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Flatten", ["r2"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["l"], "gemm", transB=1),
        helper.make_node("Softmax", ["l"], ["y"], "softmax"),
    ]
    weights = {
        "w1": rng.normal(size=(3, 1, 3, 3)) * 0.4,
        "b1": rng.normal(size=3) * 0.1,
        "w2": rng.normal(size=(4, 3, 3, 3)) * 0.3,
        "b2": rng.normal(size=4) * 0.1,
        "w3": rng.normal(size=(3, 36)) * 0.2,
        "b3": rng.normal(size=3),
    }
    return model(nodes, weights, [batch, 1, 6, 6], [batch, 3], dtype, opset=13)


def averaging(batch: Any = "N", dtype: type = np.float32) -> onnx.ModelProto:
    """6 x 6 pixels, a convolution, normalisation, a global average, three classes."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", strides=[2, 2], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], "average"),
        helper.make_node("Flatten", ["g"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "a", "b"], ["y"], "gemm"),
    ]
    weights = {
        "w": rng.normal(size=(4, 1, 3, 3)),
        "s": rng.normal(size=4),
        "t": rng.normal(size=4) * 0.3,
        "m": rng.normal(size=4) * 0.3,
        "v": rng.uniform(0.5, 2, size=4),
        "a": rng.normal(size=(4, 3)),
        "b": rng.normal(size=3),
    }
    return model(nodes, weights, [batch, 1, 6, 6], [batch, 3], dtype)
