"""Vector-Jacobian products against central differences, on the node tests of the ONNX standard."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as case_node
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy import special

import symbolic.explanations.products  # noqa: F401  (fills the registry)
from symbolic.errors import ModelError
from symbolic.explanations.backward import backward, products
from symbolic.explanations.graph import Graph

STEP = 1e-6
MOST = 40
"""Elements of an input that are moved."""
SETTINGS = {"scales", "roi", "ratio", "r", "t", "depth"}
"""Names of inputs that no gradient flows into."""
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE}


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all float32 as float64."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for value in (*made.graph.input, *made.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in SETTINGS:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return made


@cache
def cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = case_node.collect_testcases(None)
    return {case.name: case for case in found if case.model is not None and _fits(case)}


def _fits(case: Any) -> bool:
    graph = case.model.graph
    if len(graph.node) != 1 or graph.node[0].op_type not in products.keys() - {"Scatter"}:
        return False
    if graph.node[0].domain not in ("", "ai.onnx"):
        return False
    kinds = [v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)]
    small = all(np.size(array(a)) < 20_000 for a in case.data_sets[0][0])
    return small and kinds[0] in FLOATS and any(k in FLOATS for k in kinds[len(graph.input) :])


class Erf(OpRun):
    """In double precision; the evaluator's own rounds to single."""

    op_domain = ""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (special.erf(x),)


class Gelu(OpRun):
    """In double precision, as Erf."""

    op_domain = ""

    def _run(self, x: np.ndarray, approximate: str | None = None) -> tuple[np.ndarray]:
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x * special.ndtr(x),)


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    return ReferenceEvaluator(model, new_ops=[Erf, Gelu])


def array(value: Any) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def floats(model: onnx.ModelProto) -> Iterator[str]:
    for value in model.graph.input:
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            if value.name not in SETTINGS:
                yield value.name


@pytest.mark.parametrize("name", sorted(cases()))
def test_agrees_with_differences(name: str) -> None:
    case = cases()[name]
    model = in_double(case.model)
    rng = np.random.default_rng(len(name))
    names = [value.name for value in model.graph.input]
    feeds = dict(zip(names, (array(a) for a in case.data_sets[0][0]), strict=False))
    for key in floats(model):  # away from kinks
        given = np.asarray(feeds[key], dtype=np.float64)
        feeds[key] = np.array(given * 0.97 + 0.011 * rng.normal(size=given.shape))
        if name.startswith("test_l1"):  # the evaluator's norm forgets the absolute value
            feeds[key] = abs(feeds[key])
    plain = evaluator(model)
    outputs = [v.name for v in model.graph.output if v.type.tensor_type.elem_type == TensorProto.DOUBLE]
    weights = {o: rng.normal(size=y.shape) for o, y in zip(outputs, plain.run(outputs, feeds), strict=True)}

    def value(given: dict[str, np.ndarray]) -> float:
        found = zip(outputs, plain.run(outputs, given), strict=True)
        return float(sum((weights[o] * y).sum() for o, y in found))

    if not np.isfinite(value(feeds)):
        pytest.skip("the test's values are not finite")
    compared = 0
    for source in floats(model):
        proto = onnx.ModelProto()
        proto.CopyFrom(model)
        for key in names:  # constants are known to the graph
            if key != source and key in feeds:
                proto.graph.initializer.append(numpy_helper.from_array(np.asarray(feeds[key]), key))
        nodes = list(proto.graph.node)
        graph = Graph(proto)
        starts = {o: graph.constant(weights[o], TensorProto.DOUBLE) for o in outputs}
        try:
            found = backward(graph, nodes, starts, source).get(source)
        except ModelError as error:
            pytest.skip(str(error))
        shape = feeds[source].shape
        exact = np.zeros(shape)
        if found is not None:
            graph.output(found, "gradient")
            proto.graph.output[-1].type.tensor_type.ClearField("shape")
            exact = evaluator(proto).run(["gradient"], feeds)[0]
        assert exact.shape == shape
        near = np.zeros(shape)
        every = list(np.ndindex(*shape))
        places = [every[k] for k in rng.permutation(len(every))[:MOST]]
        for place in places:
            moved = []
            for side in (1, -1):
                given = dict(feeds)
                given[source] = feeds[source].copy()
                given[source][place] += side * STEP
                moved.append(value(given))
            near[place] = (moved[0] - moved[1]) / (2 * STEP)
        picked = tuple(np.array(places).T) if shape else ()
        np.testing.assert_allclose(exact[picked], near[picked], rtol=2e-5, atol=2e-5)
        compared += 1
    assert compared


def test_cases_are_there() -> None:
    assert len(cases()) > 300
