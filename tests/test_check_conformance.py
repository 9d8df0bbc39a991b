"""The checker's operators against the node tests of the ONNX standard, at t = 0."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from check_values import values_on
from node_tests import NodeTest, node_tests

from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import FAST
from verifier.check.operators.registry import OPERATORS

MAY_REFUSE = (
    "does not hold finite real numbers",
    "training mode",
    "this mode is not supported",
    "aspect ratio policy",
    "tf_crop_and_resize beyond",
    "indices in column order",
    "not a finite number",
    "no value at the observed input",
    "do not fit",
    "the type is not supported",
    "a shape, axis or index is not constant",
    "fit the integer type",
    "means different things",
    "index move with the input",
    "indices move with the input",
)


def outcome(test: NodeTest) -> str:
    """What is wrong; empty if nothing, "refused" where the checker says that it cannot."""
    names = [n for n, a in test.feeds.items() if a.dtype.kind == "f" and a.size]
    if not names:
        return "refused"
    moving = test.feeds[names[0]]
    # A discrete output for the graph to be about; every other tensor is compared.
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    model.graph.node.append(onnx.helper.make_node("Greater", [names[0], names[0]], ["discrete"]))
    outputs = [v.name for v in test.model.graph.output]
    model.graph.node.extend(onnx.helper.make_node("Shape", [name], [f"shape/{name}"]) for name in outputs)
    try:
        graph = CheckedGraph.build(
            model,
            test.feeds,
            names[0],
            [Fraction(0)] * moving.size,
            ["discrete", *(f"shape/{name}" for name in outputs)],
        )
        values = (
            {**graph.constants[FAST][1], **values_on(graph, [(Fraction(0), Fraction(0))], FAST)}
            if FAST in graph.constants
            else {}
        )
    except InvalidCertificate as error:
        return "refused" if any(words in str(error) for words in MAY_REFUSE) else str(error)
    for name, wanted in zip(outputs, test.expected, strict=True):
        if name not in values:
            continue
        value = values[name]
        if value.shape != wanted.shape:
            return f"{name} has shape {value.shape}, not {wanted.shape}"
        if isinstance(value, Discrete):
            if not ((value.lo[..., 0] == wanted) & (value.hi[..., 0] == wanted)).all():
                return f"{name} is {value.lo[..., 0]}, not {wanted}"
            continue
        unit, exact = 2.0**value.e, wanted.astype(np.float64)
        off = np.abs(value.c[..., 0].astype(np.float64) * unit - exact)
        tolerance = max(test.rtol, 1e-6) * (1 + np.abs(exact)) + test.atol
        if (off > tolerance).any() or (value.r[..., 0].astype(np.float64) * unit > tolerance).any():
            return f"{name} is off by {off.max()}"
    return ""


@pytest.mark.parametrize("part", range(3))
def test_node_tests_of_the_standard(part: int) -> None:
    tests = [t for t in node_tests() if t.operators <= set(OPERATORS) and t.size < 20_000][part::3]
    outcomes = {t.name: outcome(t) for t in tests}
    wrong = {name: text for name, text in outcomes.items() if text not in ("", "refused")}
    assert not wrong, wrong
    assert sum(text == "" for text in outcomes.values()) > 100
