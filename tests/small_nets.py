"""Small networks and inputs that several tests audit."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: list[int],
    output: list[int],
    opset: int = 17,
) -> onnx.ModelProto:
    """A float32 model from x of a shape to y of a shape."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def dense(seed: int = 0, size: int = 12, width: int = 16) -> onnx.ModelProto:
    """A dense ReLU autoencoder of one hidden layer."""
    rng = np.random.default_rng(seed)
    constants = {
        "W1": (rng.normal(size=(size, width)) / np.sqrt(size)).astype(np.float32),
        "b1": (0.1 * rng.normal(size=width)).astype(np.float32),
        "W2": (rng.normal(size=(width, size)) / np.sqrt(width)).astype(np.float32),
        "b2": np.zeros(size, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "W1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "W2", "b2"], ["y"]),
    ]
    return model(nodes, constants, [1, size], [1, size])


def convolutional(seed: int = 0, side: int = 8, smooth: bool = False) -> onnx.ModelProto:
    """Conv, ReLU (or Sigmoid), MaxPool, upsampling by ConvTranspose, on a square image."""
    rng = np.random.default_rng(seed)
    constants = {
        "K1": (0.4 * rng.normal(size=(4, 1, 3, 3))).astype(np.float32),
        "k1": (0.1 * rng.normal(size=4)).astype(np.float32),
        "K2": (0.4 * rng.normal(size=(4, 1, 2, 2))).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "K1", "k1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid" if smooth else "Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ConvTranspose", ["p", "K2"], ["y"], strides=[2, 2]),
    ]
    return model(nodes, constants, [1, 1, side, side], [1, 1, side, side])


def image(seed: int, side: int = 8) -> np.ndarray:
    """Standard normal noise."""
    return np.random.default_rng(seed).normal(size=(1, 1, side, side)).astype(np.float32)
