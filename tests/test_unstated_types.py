"""Models whose outputs or inputs state no shape, or no type at all: they are read like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_nets import dense

import sureline as sl
from sureline.running import describe
from symbolic.bounds import enclose
from symbolic.errors import ModelError
from symbolic.reading.loading import load_model
from verifier.check.errors import InvalidCertificate

X = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)


def _edited(edit: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    model = dense()
    edit(model.graph)
    return model


def _no_element_type(graph: onnx.GraphProto) -> None:
    graph.output[0].type.tensor_type.ClearField("shape")
    graph.output[0].type.tensor_type.ClearField("elem_type")


def _unknown_element_type(graph: onnx.GraphProto) -> None:
    graph.output[0].type.tensor_type.elem_type = TensorProto.UNDEFINED


def _empty_type(graph: onnx.GraphProto) -> None:
    graph.output[0].type.Clear()
    graph.output[0].type.SetInParent()


def _sequence(typed: bool) -> Callable[[onnx.GraphProto], None]:
    def edit(graph: onnx.GraphProto) -> None:
        graph.node.append(helper.make_node("SequenceConstruct", ["y", "h"], ["s"]))
        graph.output.add(name="s")
        if typed:
            graph.output[1].type.sequence_type.SetInParent()

    return edit


def _optional(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Optional", ["y"], ["o"]))
    graph.output.add(name="o")


EDITS: dict[str, Callable[[onnx.GraphProto], object]] = {
    "no shape": lambda graph: graph.output[0].type.tensor_type.ClearField("shape"),
    "no type": lambda graph: graph.output[0].ClearField("type"),
    "no element type": _no_element_type,
    "unknown element type": _unknown_element_type,
    "empty type": _empty_type,
    "input without a shape": lambda graph: graph.input[0].type.tensor_type.ClearField("shape"),
    "sequence": _sequence(False),
    "sequence of anything": _sequence(True),
    "optional": _optional,
    "inner tensor": lambda graph: graph.output.add(name="r"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_audit_and_its_check(name: str, tmp_path: Path) -> None:
    model = _edited(EDITS[name])
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    whole, loaded = dense(), load_model(path).proto
    assert loaded.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    hypothesis = sl.BackMeanDiff(threshold=0.3, post_process=[sl.InputDiff(), sl.Abs()])
    found = sl.audit(path, X, hypothesis=hypothesis, var=1.0, precision=1e-2)
    same = sl.audit(whole, X, hypothesis=hypothesis, var=1.0, precision=1e-2)
    assert found.runtime_agrees
    assert (found.inf_p, found.sup_p) == (same.inf_p, same.sup_p)
    found.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit", model=path).model_checked
    with pytest.raises(InvalidCertificate, match="hash"):
        sl.check(tmp_path / "audit", model=whole)


@pytest.mark.parametrize("name", EDITS)
def test_bounds_and_description(name: str, tmp_path: Path) -> None:
    model = _edited(EDITS[name])
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    wanted = enclose(dense(), X, np.ones_like(X), -1, 1)["y"]
    for found, bound in zip(enclose(model, X, np.ones_like(X), -1, 1)["y"], wanted, strict=True):
        np.testing.assert_array_equal(found, bound)
    said = describe(path)
    assert said.inputs[0][1] == f"float, shape {'not stated' if name.startswith('input') else '1 x 12'}"
    assert said.outputs[0][1].startswith("float, shape")
    assert "y" in said.auditable


def test_a_rule_whose_outputs_state_no_type() -> None:
    model = _edited(lambda graph: graph.node.append(helper.make_node("ArgMax", ["y"], ["place"], axis=1)))
    model.graph.output.add(name="place")
    rule = sl.Selection(model, output="place", eta=lambda place: np.eye(12)[int(place.flat[0])])
    found = sl.audit(None, X, hypothesis=rule, var=1.0, precision=1e-2)
    assert 0 <= found.inf_p <= found.sup_p <= 1


@pytest.mark.parametrize("gone", ["type", "element type"])
def test_an_input_must_say_what_it_holds(gone: str) -> None:
    model = dense()
    kind = model.graph.input[0].type
    if gone == "type":
        model.graph.input[0].ClearField("type")
    else:
        kind.tensor_type.ClearField("elem_type")
    with pytest.raises(ModelError, match='input "x" states no element type'):
        load_model(model)
