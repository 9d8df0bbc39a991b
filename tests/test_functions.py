"""A model's own functions: defaults of attributes, and names that belong to the standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import sureline as sl
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.inlining import inlined

OWN = "own"
X = np.array([[2.0, -0.25, 1.0, 3.0]], dtype=np.float32)
SLOPE = helper.make_attribute("slope", 3.0)


def referring(op_type: str, name: str, refers_to: str, domain: str = "") -> onnx.NodeProto:
    """A node whose attribute `name` is that of the function around it."""
    node = helper.make_node(op_type, ["a"], ["b"], domain=domain)
    node.attribute.append(
        onnx.AttributeProto(name=name, ref_attr_name=refers_to, type=onnx.AttributeProto.FLOAT)
    )
    return node


def function(name: str, node: onnx.NodeProto, domain: str = OWN, **more: Any) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(OWN, 1)]
    return helper.make_function(domain, name, ["a"], ["b"], [node], imports, **more)


def model(functions: list[onnx.FunctionProto], *calls: onnx.NodeProto) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, X.shape)
    graph = helper.make_graph(list(calls), "g", [given], [made])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(OWN, 1)]
    return helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=9)


ACT = function("Act", referring("LeakyRelu", "alpha", "slope"), attribute_protos=[SLOPE])
OUTER = function("Outer", referring("Act", "slope", "tilt", OWN), attributes=["tilt"])
WITH_DEFAULT = function(
    "Outer", referring("Act", "slope", "tilt", OWN), attribute_protos=[helper.make_attribute("tilt", 5.0)]
)
PLAIN = function("Outer", helper.make_node("Act", ["a"], ["b"], domain=OWN))

MODELS = {
    "default": model([ACT], helper.make_node("Act", ["x"], ["y"], domain=OWN)),
    "given": model([ACT], helper.make_node("Act", ["x"], ["y"], domain=OWN, slope=0.5)),
    "default within": model([ACT, PLAIN], helper.make_node("Outer", ["x"], ["y"], domain=OWN)),
    "default passed on": model([ACT, WITH_DEFAULT], helper.make_node("Outer", ["x"], ["y"], domain=OWN)),
}


@pytest.mark.parametrize("name", MODELS)
def test_defaults_of_attributes_count(name: str, tmp_path: Path) -> None:
    proto = MODELS[name]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": X})[0]
    lo, hi = sl.enclose(proto, X)["y"]
    assert (lo <= expected).all() and (expected <= hi).all() and (hi - lo < 1e-9).all()
    result = sl.audit(proto, X, hypothesis=sl.BackMeanDiff(threshold=-0.025), var=1.0)
    np.testing.assert_array_equal(np.asarray(result.roi).reshape(X.shape), expected > -0.025)
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").cells == len(result.cell_list)


def test_an_attribute_that_two_functions_leave_open_is_refused() -> None:
    proto = model([ACT, OUTER], helper.make_node("Outer", ["x"], ["y"], domain=OWN))
    with pytest.raises(sl.ModelError, match=r"Outer.*lacks the attribute .tilt"):
        sl.enclose(proto, X)
    with pytest.raises(InvalidCertificate, match="leaves out tilt"):
        inlined(proto)


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml"])
def test_functions_named_as_the_standard_are_refused(domain: str) -> None:
    body = helper.make_node("Less", ["a", "a"], ["b"])
    proto = model([function("Greater", body, domain)], helper.make_node("Relu", ["x"], ["y"]))
    with pytest.raises(sl.ModelError, match="in a domain of the standard"):
        sl.enclose(proto, X)
    with pytest.raises(InvalidCertificate, match="in a domain of the standard"):
        inlined(proto)
