"""Range of real constants: as many elements as every runtime finds, or a refusal."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_nets
from onnx import TensorProto, helper

import sureline as sl
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph

ort = pytest.importorskip("onnxruntime")
RANGE = helper.make_node("Range", ["start", "limit", "delta"], ["range"])


def _model(start: float, limit: float, delta: float, kind: type = np.float32) -> onnx.ModelProto:
    """One number for every element of the range, times x; x is one number."""
    ends = {"start": start, "limit": limit, "delta": delta}
    nodes = [
        RANGE,
        helper.make_node("Cast", ["range"], ["same"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "same"], ["y"]),
        helper.make_node("Shape", ["range"], ["count"]),
        helper.make_node("ArgMax", ["y"], ["place"], axis=0),
    ]
    model = small_nets.model(nodes, {k: np.array(v, dtype=kind) for k, v in ends.items()}, [1], [None])
    for name in ("count", "place"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1]))
    return model


def _count(model: onnx.ModelProto) -> int | None:
    """How many elements engine and checker find, if both do."""
    x = np.ones(1, dtype=np.float32)
    try:
        found = int(sl.enclose(model, x)["count"][0][0])
    except sl.ModelError as error:
        assert "the runtime's rounding" in str(error)
        with pytest.raises(InvalidCertificate, match="another number of elements"):
            CheckedGraph.build(model, {"x": x}, "x", [Fraction(1)], ["place"])
        return None
    graph = CheckedGraph.build(model, {"x": x}, "x", [Fraction(1)], ["place"])
    assert graph.shapes["range"] == (found,)
    return found


@pytest.mark.parametrize(
    ("start", "limit", "delta", "expected"),
    [
        (0, 1, 0.1, 10),
        (0, 1, 0.25, 4),
        (1, 2, 0.1, 10),
        (1, 0, -0.1, 10),
        (0, 0.3, 0.1, None),
        (0, 1, 3.5, 1),
    ],
)
def test_number_of_elements(start: float, limit: float, delta: float, expected: int | None) -> None:
    assert _count(_model(start, limit, delta)) == expected


def test_double_precision_and_half() -> None:
    assert _count(_model(0, 1, 0.1, np.float64)) == 10
    assert _count(_model(0, 1, 0.25, np.float16)) == 4


def test_wherever_it_is_decided_the_runtime_agrees() -> None:
    scalars = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in RANGE.input]
    made = [helper.make_tensor_value_info("range", TensorProto.FLOAT, [None])]
    graph = helper.make_graph([RANGE], "range", scalars, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString())
    rng, decided = np.random.default_rng(0), 0
    for _ in range(60):
        delta = np.float32(rng.choice([0.1, 0.2, 0.05, 0.3, 1 / 3, -0.1, -0.7]))
        start = np.float32(rng.choice([0, 1, 0.5, 0.1]))
        limit = np.float32(start + rng.integers(1, 30) * rng.choice([delta, round(float(delta), 3)]))
        count = _count(_model(start, limit, delta))
        if count is not None:
            decided += 1
            ends = {"start": np.array(start), "limit": np.array(limit), "delta": np.array(delta)}
            assert len(session.run(None, ends)[0]) == count
            exact = (Fraction(float(limit)) - Fraction(float(start))) / Fraction(float(delta))
            assert count == max(0, math.ceil(exact))
    assert decided > 20


def test_a_tenth_is_audited_and_checked(tmp_path: Path) -> None:
    ends = {"start": 0, "limit": 1, "delta": 0.1}
    constants = {name: np.array(v, dtype=np.float32) for name, v in ends.items()}
    model = small_nets.model(
        [RANGE, helper.make_node("Mul", ["x", "range"], ["y"])], constants, [1, 10], [1, 10]
    )
    x = np.random.default_rng(1).normal(size=(1, 10)).astype(np.float32)
    result = sl.audit(model, x, hypothesis=sl.BackMeanDiff(threshold=0.1), var=1)
    assert result.runtime_agrees and result.sup_p - result.inf_p < 1e-5
    result.certificate.save(tmp_path / "audit")
    sl.check(tmp_path / "audit")
