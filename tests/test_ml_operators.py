"""Operators of ai.onnx.ml: the twin against ONNX Runtime, engine and checker against the twin."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
import twin
from enclosure_checks import contradictions, line_of, network_of, points_in, tau_of
from random_graphs import Case
from random_ml import ml_case
from test_checked_graph import dyadic, false_verdicts
from twin.ml import ML_OPERATORS

from symbolic.bounds import enclose
from symbolic.errors import ModelError
from symbolic.network import Line
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph

COUNT = 100
WIDTHS = (2.0, 2.0**-6, 2.0**-30, 0.0)


def made(number: int) -> Case:
    return ml_case(np.random.default_rng([31, number]))


def missed(case: Case, segments: list[tuple[float, float]], rng: np.random.Generator) -> list[str]:
    """Tensors of which the engine's enclosure misses the exact value at random points of the segments."""
    network, found = network_of(case), []
    names = {name for node in case.model.graph.node for name in node.output}
    values = network.enclose(line_of(case), segments, keep_all=True)
    still = {name: value for name, value in network.constants.items() if name in names}
    for k, segment in enumerate(segments):
        ray = math.isinf(segment[0]) or math.isinf(segment[1])
        for t in points_in(rng, segment, 3):
            scale = 1 / abs(t) if ray else Fraction(1)
            shown = values if ray else values | still
            found += [
                f"{text} on {segment}"
                for text in contradictions(shown, case.at(t), k, tau_of(segment, t), scale)
            ]
    return found


def test_models_are_valid_and_use_every_operator() -> None:
    counts = Counter(dict.fromkeys(ML_OPERATORS, 0))
    for number in range(COUNT):
        model = made(number).model
        onnx.checker.check_model(model, full_check=True)
        counts.update(node.op_type for node in model.graph.node if node.domain)
    assert set(counts) == set(ML_OPERATORS)
    assert min(counts.values()) >= 10


def test_twin_agrees_with_runtime() -> None:
    """Where both follow the standard: the runtime forgets base values of targets without votes, and gives two
    classes with two scores a label that is none of theirs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    ran = ties = 0
    for number in range(COUNT):
        case = made(number)
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        names = [name for node in model.graph.node for name in node.output]
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
        del model.graph.output[0]
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        except Exception:  # no sets of fractions, and no type for some second operator
            continue
        exact = case.at(Fraction(0))
        for name, got in zip(names, session.run(names, {"x": case.observed}), strict=True):
            wanted = twin.to_float(exact[name])
            ran += 1
            if got.shape != wanted.shape or not np.allclose(
                got, wanted, rtol=1e-4, atol=1e-4, equal_nan=True
            ):
                ties += 1
                break
    print(f"\n{ran} tensors, {ties} models differ")
    assert ran >= 200
    assert ties <= 0.15 * COUNT


@pytest.mark.parametrize("part", range(3))
def test_engine_contains(part: int) -> None:
    failures = []
    for number in range(part, COUNT, 3):
        rng = np.random.default_rng([32, number])
        start = float(dyadic(rng))
        segments = [(start, start + width) for width in WIDTHS]
        failures += [f"model {number}: {text}" for text in missed(made(number), segments, rng)[:1]]
    assert not failures, "\n".join(failures)


def test_engine_contains_on_rays() -> None:
    failures, rays = [], 0
    for number in range(COUNT):
        case = made(number)
        if not network_of(case).homogeneous:
            continue
        rays += 1
        rng = np.random.default_rng([33, number])
        for ray in ((0.5, math.inf), (-math.inf, -8.0)):
            failures += [f"model {number}: {text}" for text in missed(case, [ray], rng)[:1]]
    assert rays >= 20
    assert not failures, "\n".join(failures)


def test_checker_contains() -> None:
    failures, known, elements = [], 0, 0
    for number in range(COUNT):
        rng = np.random.default_rng([34, number])
        a = dyadic(rng)
        cells = [(a, a + 2), (a, a + Fraction(1, 2**6)), (a, a + Fraction(1, 2**30)), (a, a)]
        bits = (60, 60, 200, None)[number % 4]
        text, decided, total = false_verdicts(made(number), cells, bits, rng)
        known, elements = known + decided, elements + total
        failures += [f"model {number}: {t}" for t in text[:1]]
    print(f"\n{known / elements:.1%} of the elements decided")
    assert not failures, "\n".join(failures)
    assert known >= 0.7 * elements


def test_checker_contains_on_rays() -> None:
    failures, decided = [], 0
    for number in range(0, COUNT, 2):
        rng = np.random.default_rng([35, number])
        for cell in ((Fraction(1, 2), math.inf), (-math.inf, Fraction(-8))):
            text, known, _ = false_verdicts(made(number), [cell, (Fraction(1), Fraction(1))], 60, rng)
            decided += known
            failures += [f"model {number}: {t}" for t in text[:1]]
    assert not failures, "\n".join(failures)
    assert decided > 0


def test_engine_knows_points() -> None:
    """At a point, an operator of exact inputs is known, ties included; real numbers are of rounding size."""
    for number in range(COUNT):
        case = made(number)
        start = list(twin.exact_array(case.observed).reshape(-1))
        point = Line.of(start, [Fraction(0)] * len(start), case.observed.shape)
        values = network_of(case).enclose(point, [(0.0, 0.0)], keep_all=True)
        exact = case.at(Fraction(0))
        for name in case.model.graph.node[0].output:
            if name in values and not any(v is twin.UNKNOWN for v in exact[name].reshape(-1)):
                value = values[name]
                width = value.hi - 1.0 * value.lo if hasattr(value, "hi") else 2 * value.half_width()
                assert (width <= 1e-9).all(), (number, name)


def small_tree(kind: int, **changes: object) -> onnx.ModelProto:
    """One tree on one feature, x <= 1/10, in tensors of a type."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    numbers = {
        "nodes_values_as_tensor": [0.1, 0.0, 0.0],
        "target_weights_as_tensor": [0.1, 0.3],
        "base_values_as_tensor": [0.2],
    }
    given: dict[str, object] = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
    }
    given |= {k: onnx.numpy_helper.from_array(np.array(v, dtype=dtype)) for k, v in numbers.items()}
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **given | changes
    )
    above = onnx.helper.make_node("Greater", ["y", "level"], ["above"])
    graph = onnx.helper.make_graph(
        [node, above],
        "tree",
        [onnx.helper.make_tensor_value_info("x", kind, [2, 1])],
        [
            onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 1]),
            onnx.helper.make_tensor_value_info("above", onnx.TensorProto.BOOL, [2, 1]),
        ],
        [onnx.numpy_helper.from_array(np.array(0.4, dtype=np.float32), "level")],
    )
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)


def test_doubles_decide_at_a_threshold() -> None:
    """In double the input 1/10 is at the threshold 1/10; a float32 threshold would be above it."""
    model = small_tree(onnx.TensorProto.DOUBLE)
    x = np.array([[0.1], [np.nextafter(0.1, 1)]])
    found = enclose(model, x)
    (got, _) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found["y"][0], got, rtol=1e-6)
    assert found["above"][0].tolist() == found["above"][1].tolist() == [[False], [True]]
    graph = CheckedGraph.build(model, {"x": x}, "x", [Fraction(1), Fraction(0)], ["above"])
    ((low, high),) = graph.evaluate([(Fraction(0), Fraction(0)), (Fraction(0), Fraction(1))], 60)
    assert low.tolist() == high.tolist() == [[[False], [True]], [[True], [True]]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes_truenodeids": [2, 0, 0]}, "do not form trees"),
        ({"nodes_truenodeids": [0, 0, 0]}, "do not form trees"),
        ({"nodes_falsenodeids": [7, 0, 0]}, "do not form trees"),
        ({"nodes_featureids": [1, 0, 0]}, "read features"),
        ({"nodes_featureids": [-1, 0, 0]}, "read features"),
        ({"nodes_modes": ["BRANCH_ODD", "LEAF", "LEAF"]}, "unknown mode"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF"]}, "differ in length"),
        ({"nodes_values": [0.5, 0.0, 0.0]}, "twice"),
        ({"n_targets": 2}, "one base value per target"),
        ({"n_targets": 1 << 40}, "too many"),
        ({"target_ids": [0, 1]}, "for no target"),
        ({"target_nodeids": [1, 1]}, "two weights"),
        ({"post_transform": "LOGISTIC"}, "post_transform"),
        ({"aggregate_function": "MEDIAN"}, "aggregate_function"),
    ],
)
def test_refused_trees(changes: dict[str, object], words: str) -> None:
    """In a sentence by the engine; by the checker too."""
    model, x = small_tree(onnx.TensorProto.DOUBLE, **changes), np.zeros((2, 1))
    with pytest.raises(ModelError, match=words):
        enclose(model, x)
    with pytest.raises(InvalidCertificate):
        CheckedGraph.build(model, {"x": x}, "x", [Fraction(1), Fraction(0)], ["above"])
