"""ONNX Runtime in a child process: right answers, and reasons instead of crashes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.runtime import ChildRun, run_in_child, trimmed

pytest.importorskip("onnxruntime")


def model(
    *nodes: onnx.NodeProto, stored: dict[str, Any] | None = None, out: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))],
        [helper.make_tensor_value_info("y", out, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (stored or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def test_outputs_come_back_exactly() -> None:
    proto = model(helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Greater", ["y", "x"], ["g"]))
    proto.graph.output.append(helper.make_tensor_value_info("g", TensorProto.BOOL, None))
    run = ChildRun(proto.SerializeToString(), {"x": X}, ["g", "y"])
    outcome = run.result()
    assert outcome.reason is None and outcome.outputs is not None and outcome.seconds is not None
    assert list(outcome.outputs) == ["g", "y"]
    np.testing.assert_array_equal(outcome.outputs["y"], np.maximum(X, 0))
    np.testing.assert_array_equal(outcome.outputs["g"], X < 0)
    assert run.result() is outcome


def test_a_start_does_not_wait() -> None:
    began = time.monotonic()
    run = ChildRun(model(helper.make_node("Relu", ["x"], ["y"])).SerializeToString(), {"x": X}, ["y"])
    assert time.monotonic() - began < 0.3
    run.cancel()
    assert run.result().reason == "the run was cancelled"


@pytest.mark.parametrize(
    ("proto", "feeds", "outputs", "words"),
    [
        (model(helper.make_node("NoSuch", ["x"], ["y"])), {"x": X}, ["y"], "NoSuch"),
        (model(helper.make_node("Relu", ["x"], ["y"])), {"x": X}, ["z"], "z"),
        (model(helper.make_node("Relu", ["x"], ["y"])), {"x": X[:1]}, ["y"], "dimension"),
        (model(helper.make_node("Relu", ["x"], ["y"])), {"x": X.astype(np.float64)}, ["y"], "type"),
        (
            model(
                helper.make_node("Expand", ["x", "n"], ["y"]), stored={"n": np.array([2**20, 2**15, 2, 3])}
            ),
            {"x": X},
            ["y"],
            "memory",
        ),
    ],
)
def test_failures_are_reasons(
    proto: onnx.ModelProto, feeds: dict[str, Any], outputs: list[str], words: str
) -> None:
    outcome = run_in_child(proto.SerializeToString(), feeds, outputs)
    assert outcome.outputs is None and outcome.reason is not None
    assert words in outcome.reason and "\n" not in outcome.reason and len(outcome.reason) <= 300


def test_garbage_is_a_reason() -> None:
    assert run_in_child(b"garbage" * 100, {"x": X}, ["y"]).reason
    assert run_in_child(b"", {}, []).reason


def endless() -> onnx.ModelProto:
    """A loop of 2^62 turns."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Sin", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [2, 3]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, [2, 3]),
        ],
    )
    return model(
        helper.make_node("Loop", ["n", "go", "x"], ["y"], body=body),
        stored={"n": np.array(2**62), "go": np.array(True)},
    )


def test_time_and_memory_are_limited() -> None:
    began = time.monotonic()
    outcome = run_in_child(endless().SerializeToString(), {"x": X}, ["y"], timeout=1.5)
    assert outcome.outputs is None and "1.5 s" in str(outcome.reason)
    assert time.monotonic() - began < 6
    small = model(helper.make_node("Relu", ["x"], ["y"])).SerializeToString()
    assert run_in_child(small, {"x": X}, ["y"], memory_bytes=50 * 2**20).outputs is None


def test_trimming_keeps_what_the_outputs_need() -> None:
    proto = model(
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("NoSuch", ["h"], ["other"]),
        helper.make_node("Neg", ["h"], ["y"]),
    )
    proto.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    part = trimmed(proto, ["y"])
    assert [node.op_type for node in part.graph.node] == ["Relu", "Neg"]
    assert [value.name for value in part.graph.output] == ["y"]
    outcome = run_in_child(part.SerializeToString(), {"x": X}, ["y"])
    assert outcome.outputs is not None
    assert run_in_child(proto.SerializeToString(), {"x": X}, ["y"]).outputs is None
