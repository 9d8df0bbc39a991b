"""Operators that the standard defines by functions, in the checker: the node tests of all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from conformance import ON_A_TIE, Case, cases
from conformance_checker import checker_outcome
from onnx import TensorProto, helper, parser

from verifier.check.errors import InvalidCertificate
from verifier.check.graph.functions import definition
from verifier.check.graph.names import Names, insert
from verifier.check.operators.registry import OPERATORS

# Reasons that lie in a primitive or in the test itself, not in a definition.
PRIMITIVE = (
    "no value at the observed input",  # a cast beyond the range of its type
    "the operator is not supported",
    "not a tensor of numbers",
    "no input can move",
    "does not hold finite real numbers",
    "no enclosure on cells",
    "not a finite number",
    "cannot evaluate",
)


def composites() -> set[str]:
    schemas = onnx.defs.get_all_schemas_with_history()
    return {
        s.name
        for s in schemas
        if s.domain == "" and (s.has_function or s.has_context_dependent_function)  # type: ignore[attr-defined]
    }


def composite_cases() -> list[Case]:
    missing = composites() - set(OPERATORS)
    return [
        c
        for c in cases()
        if c.name not in ON_A_TIE
        and c.operators & missing
        and all(getattr(a, "size", 0) < 2000 for a in c.feeds.values())
    ]


@pytest.mark.parametrize("part", range(4))
def test_definitions_agree_with_the_node_tests(part: int) -> None:
    outcomes = Counter[str]()
    for case in composite_cases()[part::4]:
        outcome, why = checker_outcome(case)
        assert outcome != "wrong" or "wide at the input" in why, (case.name, why)
        assert outcome != "refused" or any(words in why for words in PRIMITIVE), (case.name, why)
        outcomes[outcome] += 1
    assert outcomes["pass"] > 20


def test_references_to_attributes_and_defaults() -> None:
    """The definition of Selu refers to alpha, which the node may leave to its default."""
    types = {"x": helper.make_tensor_type_proto(TensorProto.FLOAT, [2])}
    for alpha in (None, 0.5):
        node = helper.make_node("Selu", ["x"], ["y"], **({} if alpha is None else {"alpha": alpha}))
        found = definition(node, 15, types, Names(["x", "y"]))
        attributes = [a for inner, _ in found for a in inner.attribute]
        assert not any(a.ref_attr_name for a in attributes)
        assert found[-1][0].output == ["y"]
        values = [a.f for a in attributes if a.name == "value_float"]
        assert np.float32(1.67326319217681884765625 if alpha is None else alpha) in values


def test_new_names_do_not_capture_those_of_the_graph() -> None:
    """A name inside a subgraph that a caller also uses is another tensor."""
    body = parser.parse_function("""<domain: "d", opset_import: ["": 21]>
    f (a, c) => (r) { r = If (c) <then_branch = t () => (float q) { q = Add (a, a) },
                                  else_branch = e () => (float p) { p = Identity (a) }> }""")
    called = {"a": "q", "c": "c"}
    (node,) = insert(body.node, called, Names({"q", "c", "r"}))
    branch = node.attribute[0].g
    assert list(branch.node[0].input) == ["q", "q"]
    assert branch.node[0].output[0] != "q" and branch.output[0].name == branch.node[0].output[0]


def test_a_definition_for_other_types_is_refused() -> None:
    node = helper.make_node("CastLike", ["x", "unknown"], ["y"])
    types = {"x": helper.make_tensor_type_proto(TensorProto.FLOAT, [2])}
    with pytest.raises(InvalidCertificate, match="CastLike node 'y'"):
        definition(node, 19, types, Names(["x", "unknown", "y"]))
