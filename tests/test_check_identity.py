"""Ties that are identities are decided by value numbering, at the lowest precision."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from verifier.check.graph.graph import CheckedGraph
from verifier.check.graph.identity import Numbers
from verifier.check.numbers.integers import FAST

SIDE = 10


def smoothed(threshold: float) -> onnx.ModelProto:
    """Two convolutions without padding and a normalised threshold."""
    rng = np.random.default_rng(0)
    stored = {
        "w": np.abs(rng.normal(size=(3, 1, 3, 3))).astype(np.float32),
        "v": np.abs(rng.normal(size=(1, 3, 3, 3))).astype(np.float32),
        "threshold": np.array(threshold),
        "complement": np.array(1 - threshold),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"]),
        helper.make_node("Cast", ["c"], ["score"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceMax", ["score"], ["max"], keepdims=1),
        helper.make_node("ReduceMin", ["score"], ["min"], keepdims=1),
        helper.make_node("Sub", ["score", "min"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "complement"], ["over"]),
        helper.make_node("Sub", ["max", "score"], ["missing"]),
        helper.make_node("Mul", ["missing", "threshold"], ["under"]),
        helper.make_node("Greater", ["over", "under"], ["selection"]),
    ]
    graph = helper.make_graph(
        nodes,
        "smoothed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("selection", TensorProto.BOOL, None)],
        [numpy_helper.from_array(a, name) for name, a in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def marked() -> np.ndarray:
    square = np.zeros((1, 1, SIDE, SIDE), dtype=np.float32)
    square[0, 0, 7:9, 7:9] = 1
    return square


def test_a_constant_background_ties_at_threshold_zero() -> None:
    x = marked()
    direction = [Fraction(96 if v else -4, 64) for v in x.reshape(-1)]
    graph = CheckedGraph.build(smoothed(0.0), {"x": x}, "x", direction, ["selection"])
    cells = [(Fraction(0), Fraction(0)), (Fraction(0), Fraction(1, 8)), (Fraction(-1, 8), Fraction(1, 4))]
    ((lo, hi),) = graph.evaluate(cells, FAST)
    assert np.array_equal(lo, hi)
    assert 0 < lo[0].sum() < lo[0].size  # the background is not above itself, what the square touches is
    assert (lo == lo[0]).all()


def test_two_equal_images_select_nothing_of_each_other() -> None:
    model = smoothed(0.0)
    del model.graph.node[4:]
    model.graph.node.extend(
        [
            helper.make_node("Split", ["score"], ["one", "two"], axis=0),
            helper.make_node("Greater", ["one", "two"], ["selection"]),
        ]
    )
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    x = np.random.default_rng(1).normal(size=(1, 1, SIDE, SIDE)).repeat(2, axis=0).astype(np.float32)
    graph = CheckedGraph.build(model, {"x": x}, "x", [Fraction(1, 2)] * x.size, ["selection"])
    ((lo, hi),) = graph.evaluate([(Fraction(0), Fraction(1)), (Fraction(3), Fraction(3))], FAST)
    assert not hi.any() and not lo.any()


@pytest.mark.parametrize("change", ["value", "direction"])
def test_equal_expressions_only(change: str) -> None:
    x = np.ones((1, 1, SIDE, SIDE), dtype=np.float32)
    direction = [Fraction(1, 4)] * x.size
    if change == "value":
        x[0, 0, 0, 0] += 2.0**-20
    else:
        direction[0] = Fraction(1, 2)
    graph = CheckedGraph.build(smoothed(0.0), {"x": x}, "x", direction, ["selection"])
    ((lo, hi),) = graph.evaluate([(Fraction(1), Fraction(1))], 256)
    assert np.array_equal(lo, hi) and lo.any()


def test_elements_that_do_not_depend_on_the_line_keep_their_value() -> None:
    x = np.random.default_rng(2).normal(size=(1, 1, SIDE, SIDE)).astype(np.float32)
    direction = [Fraction(0)] * x.size
    direction[0] = Fraction(1)
    model = smoothed(0.0)
    del model.graph.node[4:]
    model.graph.node.append(helper.make_node("GreaterOrEqual", ["score", "level"], ["selection"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(5.0), "level"))
    graph = CheckedGraph.build(model, {"x": x}, "x", direction, ["selection"])
    ((lo, hi),) = graph.evaluate([(Fraction(-(2**12)), Fraction(2**12))], FAST)
    assert np.array_equal(lo[0, ..., 1:, 5:], hi[0, ..., 1:, 5:])  # out of reach of the first element


def moved_twice(nodes: list[onnx.NodeProto], **stored: np.ndarray) -> bool:
    """Whether two tensors "one" and "two", made of smoothed equal images, are known not to differ."""
    model = smoothed(0.0)
    del model.graph.node[4:]
    model.graph.node.append(helper.make_node("Split", ["score"], ["first", "second"], axis=0))
    model.graph.node.extend(nodes)
    model.graph.node.append(helper.make_node("Greater", ["one", "two"], ["selection"]))
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in stored.items())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    x = np.random.default_rng(1).normal(size=(1, 1, SIDE, SIDE)).repeat(2, axis=0).astype(np.float32)
    graph = CheckedGraph.build(model, {"x": x}, "x", [Fraction(1, 2)] * x.size, ["selection"])
    ((lo, hi),) = graph.evaluate([(Fraction(0), Fraction(1))], FAST)
    return not hi.any() and not lo.any()


def test_elements_keep_their_numbers_when_they_are_put_and_picked() -> None:
    side = SIDE - 4  # behind two convolutions without padding
    stored = {
        "zeros": np.zeros((1, 1, side, side), dtype=np.float32),
        "rows": np.arange(side)[::-1].reshape(1, 1, side, 1).repeat(side, axis=3),
        "keep": np.arange(side) % 2 == 0,
    }
    for name, inputs, axis in (
        ("ScatterElements", ["zeros", "rows", "{}"], 2),
        ("GatherElements", ["{}", "rows"], 2),
        ("Compress", ["{}", "keep"], 3),
    ):
        nodes = [
            helper.make_node(name, [i.format(score) for i in inputs], [out], axis=axis)
            for score, out in (("first", "one"), ("second", "two"))
        ]
        assert moved_twice(nodes, **{k: v for k, v in stored.items() if k in inputs})


def test_equal_rows_get_equal_numbers_over_many_nodes() -> None:
    numbers, rng, known = Numbers(), np.random.default_rng(0), dict[tuple[int, ...], int]()
    operands = numbers.distinct((50,), False)
    for _ in range(500):
        rows = rng.choice(operands, (rng.integers(1, 20), 2))
        for row, number in zip(rows.tolist(), numbers.rows("Add", rows).tolist(), strict=True):
            assert known.setdefault(tuple(row), number) == number
    assert len(set(known.values())) == len(known) and len(numbers.operations["Add"].parts) < 12
