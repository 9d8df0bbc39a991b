"""Roots, logarithms and quotients of what is not negative have values where the argument touches 0."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_nets
from check_values import graph_of, values_on
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import sureline as sl
from verifier.check.numbers.integers import FAST

NODE = helper.make_node
CONSTANTS = {
    "eps": np.array(1e-6, dtype=np.float32),
    "one": np.array(1, dtype=np.float32),
    "minus": np.array(-1, dtype=np.float32),
    "half": np.array(0.5, dtype=np.float32),
    "two": np.array(2, dtype=np.float32),
    "w": np.abs(np.random.default_rng(0).normal(size=(4, 4))).astype(np.float32),
}
CASES = {
    "root of a size": [NODE("Abs", ["x"], ["a"]), NODE("Sqrt", ["a"], ["y"])],
    "root of a square": [NODE("Mul", ["x", "x"], ["a"]), NODE("Sqrt", ["a"], ["y"])],
    "root of a power": [NODE("Pow", ["x", "two"], ["a"]), NODE("Sqrt", ["a"], ["y"])],
    "root of a sum of squares": [
        NODE("Mul", ["x", "x"], ["a"]),
        NODE("MatMul", ["a", "w"], ["b"]),
        NODE("Reshape", ["b", "shape"], ["c"]),
        NODE("Sqrt", ["c"], ["y"]),
    ],
    "power of a relu": [NODE("Relu", ["x"], ["a"]), NODE("Pow", ["a", "half"], ["y"])],
    "one over a root": [
        NODE("Relu", ["x"], ["a"]),
        NODE("Add", ["a", "eps"], ["b"]),
        NODE("Sqrt", ["b"], ["c"]),
        NODE("Reciprocal", ["c"], ["y"]),
    ],
    "normalised": [
        NODE("Abs", ["x"], ["a"]),
        NODE("Add", ["a", "eps"], ["b"]),
        NODE("Div", ["x", "b"], ["y"]),
    ],
    "arc of what is clipped": [NODE("Clip", ["x", "minus", "one"], ["a"]), NODE("Acos", ["a"], ["y"])],
    "logarithm of a share": [
        NODE("Softmax", ["x"], ["a"]),
        NODE("Add", ["a", "eps"], ["b"]),
        NODE("Log", ["b"], ["y"]),
    ],
}
X = np.array([[0.125, -1.0, 0.5, 2.0]], dtype=np.float32)
DIRECTION = np.array([[1.0, 2.0, -1.0, 0.5]])
WIDE = (-1.0, 1.0)


def model_of(name: str) -> onnx.ModelProto:
    constants = {**CONSTANTS, "shape": np.array([1, 4])}
    return small_nets.model(CASES[name], constants, [1, 4], [1, 4])


@pytest.mark.parametrize("name", CASES)
def test_a_wide_segment_has_an_enclosure(name: str) -> None:
    """In engine and checker, although elements touch the edge of the domain within the segment."""
    model = model_of(name)
    low, high = sl.enclose(model, X, DIRECTION, *WIDE)["y"]
    graph_model = onnx.ModelProto()
    graph_model.CopyFrom(model)
    graph_model.graph.node.append(NODE("Greater", ["y", "x"], ["z"]))
    del graph_model.graph.output[:]
    graph_model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.BOOL, [1, 4]))
    graph = graph_of(graph_model, {"x": X}, "x", DIRECTION)
    form = values_on(graph, [tuple(map(Fraction, WIDE))], FAST)["y"]
    unit = 2.0**form.e
    assert np.isfinite(low).all() and np.isfinite(high).all()
    for t in np.linspace(*WIDE, 41):
        wanted = ReferenceEvaluator(model).run(None, {"x": (X + t * DIRECTION).astype(np.float32)})[0]
        slack = 1e-3 * (1 + np.abs(wanted))
        assert (low <= wanted + slack).all() and (wanted - slack <= high).all()
        middle = (form.c[..., 0] + form.d[..., 0] * float(t)) * unit
        assert (np.abs(wanted - middle.astype(float)) <= form.r[..., 0].astype(float) * unit + slack).all()


def edges(op: str) -> onnx.ModelProto:
    """A map of gradients, sqrt(gx**2 + gy**2), or of something else that is zero at places."""
    rng = np.random.default_rng(3)
    constants = {
        "K": rng.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "ones": np.ones((1, 2, 1, 1), dtype=np.float32),
    }
    first = NODE("Conv", ["x", "K"], ["g"], pads=[1, 1, 1, 1])
    if op == "length":
        nodes = [first, NODE("Mul", ["g", "g"], ["s"]), NODE("Conv", ["s", "ones"], ["a"])]
    else:
        nodes = [first, NODE(op, ["g"], ["s"]), NODE("Conv", ["s", "ones"], ["a"])]
    return small_nets.model([*nodes, NODE("Sqrt", ["a"], ["y"])], constants, [1, 1, 6, 6], [1, 1, 6, 6])


@pytest.mark.parametrize("op", ["length", "Relu", "Abs"])
def test_audits_of_roots(op: str, tmp_path: Path) -> None:
    """A Relu of both channels is 0 on whole intervals of the line: no cell of them is a gap."""
    result = sl.audit(
        edges(op),
        small_nets.image(2, side=6),
        hypothesis=sl.BackMeanDiff(threshold=1.0),
        var=1.0,
        precision=1e-3,
    )
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").valid
    assert result.sup_p - result.inf_p <= 1e-3
