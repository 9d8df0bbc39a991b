"""An axis that a tensor does not have is refused by engine and checker, whatever operator names it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import small_nets
from check_values import graph_of
from onnx import TensorProto, helper

import sureline as sl
from symbolic.errors import ModelError
from verifier.check.errors import InvalidCertificate

CONSTANTS = {
    "k": np.array([1]),
    "i": np.array([[0]]),
    "u": np.zeros((1, 1), np.float32),
    "one": np.ones(1, np.float32),
    "pads": np.array([1, 0]),
    "yes": np.ones(1, bool),
}
ATTRIBUTE = {
    "ArgMax": ["x"],
    "ArgMin": ["x"],
    "Softmax": ["x"],
    "LogSoftmax": ["x"],
    "Hardmax": ["x"],
    "LpNormalization": ["x"],
    "LayerNormalization": ["x", "one"],
    "Gather": ["x", "i"],
    "GatherElements": ["x", "i"],
    "ScatterElements": ["x", "i", "u"],
    "TopK": ["x", "k"],
    "Concat": ["x", "x"],
    "Flatten": ["x"],
    "Split": ["x"],
    "Compress": ["x", "yes"],
}
INPUT = {
    "CumSum": ["x", "axes"],
    "ReduceMax": ["x", "axes"],
    "ReduceMean": ["x", "axes"],
    "ReduceSum": ["x", "axes"],
    "Squeeze": ["x", "axes"],
    "Pad": ["x", "pads", "", "axes"],
}
X = np.arange(4, dtype=np.float32)[None]


def built(op: str, axis: int) -> onnx.ModelProto:
    """A model of one node on x of shape (1, 4)."""
    constants = {**CONSTANTS, "axes": np.array([axis])}
    attributes = {"axis": axis} if op in ATTRIBUTE else {"axes": [axis]} if op not in INPUT else {}
    outputs = ["y", "rest"] if op in ("TopK", "Split") else ["y"]
    attributes |= {"num_outputs": 2} if op == "Split" else {}
    node = helper.make_node(op, ATTRIBUTE.get(op) or INPUT.get(op) or ["x"], outputs, **attributes)
    model = small_nets.model([node], constants, [1, 4], [1, 4], opset=18)
    model.graph.output[0].CopyFrom(helper.make_empty_tensor_value_info("y"))
    return model


def enclosed(model: onnx.ModelProto) -> None:
    sl.enclose(model, X, np.ones_like(X), -1.0, 1.0)


def checked(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Cast", ["y"], ["w"], to=TensorProto.FLOAT))
    model.graph.node.append(helper.make_node("Greater", ["w", "one"], ["z"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.BOOL, None))
    graph_of(model, {"x": X}, "x", np.ones_like(X))


OPERATORS = [*ATTRIBUTE, *INPUT, "MeanVarianceNormalization"]


@pytest.mark.parametrize("axis", [2, -3, 100])
@pytest.mark.parametrize("op", OPERATORS)
def test_there_is_no_such_axis(op: str, axis: int) -> None:
    model = built(op, axis)
    if op == "Flatten" and axis == 2:  # it may stand behind the last
        return
    with pytest.raises(ModelError):
        enclosed(model)
    with pytest.raises(InvalidCertificate):
        checked(model)


@pytest.mark.parametrize("op", OPERATORS)
def test_there_is_such_an_axis(op: str) -> None:
    axis = {"Squeeze": -2, "Compress": -2, "TopK": -1, "Split": -1}.get(op, -2)
    model = built(op, axis)
    enclosed(model)
    checked(model)
