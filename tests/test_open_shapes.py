"""Shapes that the standard, runtimes and exporters do not agree on are refused, with the reason."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sureline as sl
from symbolic.bounds import enclose
from symbolic.errors import ModelError
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph


def model_of(
    nodes: list[onnx.NodeProto], shape: list[int], declared: list[Any], opset: int = 19, **constants: Any
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "shapes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def built(model: onnx.ModelProto, shape: list[int]) -> CheckedGraph:
    """The checker's graph; its outputs must be discrete."""
    signed = onnx.ModelProto()
    signed.CopyFrom(model)
    signed.graph.node.append(helper.make_node("Greater", ["y", "y"], ["z"]))
    x = np.ones(shape, dtype=np.float32)
    return CheckedGraph.build(signed, {"x": x}, "x", [Fraction(1)] * x.size, ["z"])


def shapes_of(model: onnx.ModelProto, shape: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the engine and the checker make of the output."""
    x = np.ones(shape, dtype=np.float32)
    return enclose(model, {"x": x})["y"][0].shape, built(model, shape).shapes["y"]


def refused(model: onnx.ModelProto, shape: list[int], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        enclose(model, {"x": np.ones(shape, dtype=np.float32)})
    with pytest.raises(InvalidCertificate, match=words):
        built(model, shape)


def resized(scale: float, declared: list[Any], behind: str = "") -> onnx.ModelProto:
    made = "h" if behind else "y"
    nodes = [helper.make_node("Resize", ["x", "", "scales"], [made], name="smaller", mode="linear")]
    nodes += [helper.make_node(behind, ["h"], ["y"])] if behind else []
    return model_of(nodes, [1, 1, 10], declared, scales=np.array([1, 1, scale], dtype=np.float32))


@pytest.mark.parametrize("behind", ["", "Relu"])
def test_a_resize_must_have_the_declared_shape(behind: str) -> None:
    """10 times the float32 next to 0.7 is just below 7; PyTorch, which computes with 0.7, declares 7."""
    refused(resized(0.7, [1, 1, 7], behind), [1, 1, 10], "'smaller'.*no whole lengths")
    for scale, declared, length in ((0.7, [1, 1, 6], 6), (0.7, [1, 1, "n"], 6), (1.1, [1, 1, 11], 11)):
        assert shapes_of(resized(scale, declared, behind), [1, 1, 10]) == ((1, 1, length),) * 2


def test_stale_shapes_elsewhere_do_not_matter() -> None:
    assert shapes_of(resized(0.5, [1, 1, 9]), [1, 1, 10]) == ((1, 1, 5),) * 2


def test_an_audit_refuses_before_it_starts() -> None:
    with pytest.raises(sl.SurelineError, match="'smaller'.*no whole lengths"):
        sl.audit(
            resized(0.7, [1, 1, 7]),
            np.zeros((1, 1, 10), dtype=np.float32),
            hypothesis=sl.BackMeanDiff(threshold=0.5),
            var=1.0,
        )


@pytest.mark.parametrize("name", ["MaxPool", "AveragePool", "LpPool"])
def test_valid_with_ceil_mode(name: str) -> None:
    """The standard's formula for VALID rounds down in the end, also with ceil_mode; runtimes round up."""

    def pool(length: int, kernel: int, stride: int) -> onnx.ModelProto:
        attributes = {"kernel_shape": [kernel], "strides": [stride], "auto_pad": "VALID", "ceil_mode": 1}
        return model_of([helper.make_node(name, ["x"], ["y"], **attributes)], [1, 1, length], ["a", "b", "c"])

    refused(pool(8, 3, 2), [1, 1, 8], "VALID with ceil_mode means different things")
    for length, kernel, stride, count in ((9, 3, 2, 4), (8, 3, 1, 6), (6, 2, 6, 1)):
        assert shapes_of(pool(length, kernel, stride), [1, 1, length]) == ((1, 1, count),) * 2
