"""Write a dense ReLU network that scikit-learn has fitted as an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["save_dense"]

Layer = tuple[np.ndarray, np.ndarray]


def save_dense(path: Path, layers: Sequence[Layer], *, output: str, place: str | None = None) -> None:
    """Layers (weights of shape (inputs, outputs), biases) with ReLUs between them, in float32.

    Parameters
    ----------
    output : str
        Name of what the last layer gives.
    place : str or None
        Name of a second output, the index of the largest element.
    """
    nodes, weights, value = [], [], "x"
    for number, (matrix, bias) in enumerate(layers):
        last = number == len(layers) - 1
        name = output if last else f"layer{number}"
        weights += [numpy_helper.from_array(np.asarray(v, dtype=np.float32), f"{n}{number}")
                    for n, v in (("weights", matrix), ("bias", bias))]  # fmt: skip
        nodes.append(helper.make_node("Gemm", [value, f"weights{number}", f"bias{number}"], [name]))
        value = name
        if not last:
            nodes.append(helper.make_node("Relu", [name], [f"relu{number}"]))
            value = f"relu{number}"
    shape = [1, len(layers[0][0])], [1, layers[-1][0].shape[1]]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape[1])]
    if place is not None:
        nodes.append(helper.make_node("ArgMax", [output], [place], axis=1, keepdims=0))
        outputs.append(helper.make_tensor_value_info(place, TensorProto.INT64, [1]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape[0])]
    graph = helper.make_graph(nodes, path.parent.name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
