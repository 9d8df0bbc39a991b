"""Regions: blocks of inputs, several inputs, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from line_problems import FAMILIES, Nodes, problem, worked_example
from onnx import TensorProto, helper
from region_checks import (
    LINE,
    network_of,
    start_of,
)

from symbolic.errors import InputError, ModelError
from symbolic.network import Network
from symbolic.pieces.regions import gradients as gradients_module
from symbolic.pieces.residues import Primes


def test_blocks_of_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs in small blocks give the same rows."""
    case = FAMILIES["pooled"](2)
    x = np.array(start_of(case, 2), dtype=object)
    whole = network_of(case).region(x)
    monkeypatch.setattr(gradients_module, "AT_ONCE", 5 * case.program.size)
    monkeypatch.setattr(gradients_module, "CHUNK", 12)
    monkeypatch.setattr(gradients_module, "ENTRIES", 7)
    parts = network_of(case).region(x)
    rows = range(len(whole.rows))
    assert len(parts.rows) == len(whole.rows)
    assert [parts.rows[k] for k in rows] == [whole.rows[k] for k in rows]


def test_weights_that_are_primes() -> None:
    """Entries whose first residue is zero are entries all the same."""
    first, second = Primes(2).all
    weights = [[float(first)], [float(second)], [1.0], [0.0]]
    nodes: Nodes = [("MatMul", ["x", "w"], "h"), ("Greater", ["h", "t"], "y")]
    case = problem(nodes, {"w": weights, "t": float(first)}, (1, 4), ([0] * 4, [1] * 4))
    row = network_of(case).region([3, 0, 0, 0]).rows[0]
    assert (row.columns, row.numbers, row.bound) == ((0, 1, 2), (-first, -second, -1), -first)


def test_several_inputs() -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Relu", ["s"], ["r"])],
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "ab"],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network = Network(model, {name: np.zeros(2, np.float32) for name in "ab"}, ["a", "b"], ["r"])
    region = network.region({"a": [1, -1], "b": [1, -1]})
    assert [(r.columns, r.numbers) for r in (region.rows[0], region.rows[1])] == [
        ((0, 2), (-1, -1)),
        ((1, 3), (1, 1)),
    ]
    assert region.contains({"a": [1, 0], "b": [0, 0]})
    with pytest.raises(InputError, match="'b'"):
        network.region({"a": [1, 1]})


@pytest.mark.parametrize("x", [[[1.0, float("nan")]], [[1.0]], [[1.0, "one"]]])
def test_inputs_that_are_none(x: Any) -> None:
    with pytest.raises(InputError):
        network_of(worked_example()).region(x)


def test_not_piecewise_linear() -> None:
    nodes: Nodes = [("Sigmoid", ["x"], "s"), ("Add", ["s", "x"], "a"), ("Greater", ["a", "t"], "y")]
    case = problem(nodes, {"t": 0.5}, (1, 1), LINE)
    with pytest.raises(ModelError, match="Sigmoid"):
        network_of(case).region([[0.0]])
