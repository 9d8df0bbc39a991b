"""The result says whether numbers are rational, balls or enclosures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from symbolic.network import Network

CONSTANTS = {
    "w": np.float32([1, 2, 3]),
    "three": np.float32(3),
    "scale": np.float32([1]),
    "kernel": np.ones((2, 1, 3), np.float32),
}


def exactness(*nodes: tuple[str, str, str], shape: list[int]) -> Any:
    made = [helper.make_node(op, inputs.split(), [output]) for op, inputs, output in nodes]
    made.append(helper.make_node("Greater", [nodes[-1][2], "x"], ["z"]))
    graph = helper.make_graph(
        made,
        "exactness",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("z", TensorProto.BOOL, shape)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in CONSTANTS.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    return Network(model, {"x": x}, "x", ["z"]).exactness


@pytest.mark.parametrize(
    ("nodes", "shape", "words"),
    [
        ([("Relu", "x", "y")], [3], "rational numbers"),
        ([("Div", "x three", "y")], [3], "rational numbers"),
        ([("Mul", "x w", "y")], [3], "rational numbers"),
        ([("GlobalAveragePool", "x", "y")], [1, 1, 3], "rational numbers"),
        ([("Mul", "x x", "y")], [3], "by enclosures: Mul node 'y'"),
        ([("Div", "w x", "y")], [3], "by enclosures: Div node 'y'"),
        ([("Exp", "x", "y")], [3], "by enclosures: Exp node 'y'"),
        ([("Exp", "w", "e"), ("Mul", "x e", "y")], [3], "balls: Exp node 'e'"),
        ([("BatchNormalization", "x scale scale scale scale", "y")], [1, 1, 3], "balls: BatchNormalization"),
    ],
)
def test_what_stands_between(nodes: list[tuple[str, str, str]], shape: list[int], words: str) -> None:
    found = exactness(*nodes, shape=shape)
    assert words in str(found)
    assert found.rational == ("rational" in words)


def test_many_nodes_are_counted() -> None:
    nodes = [("Exp", "x", "y0"), *(("Tanh", f"y{k}", f"y{k + 1}") for k in range(7))]
    assert str(exactness(*nodes, shape=[3])).endswith("and 4 more")
