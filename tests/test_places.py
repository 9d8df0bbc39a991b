"""Elements picked, put and sorted by indices: ties, doubles, refusals, and indices that move."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_nets
from onnx import TensorProto, helper, numpy_helper

import sureline as sl
from symbolic.bounds import enclose
from symbolic.errors import ModelError
from symbolic.network import Network
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import FAST

KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


def model_of(
    nodes: list[onnx.NodeProto], x: np.ndarray, outputs: dict[str, int], opset: int = 18, **constants: Any
) -> onnx.ModelProto:
    """A graph of the input x, with constants by name."""
    made = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    given = [helper.make_tensor_value_info("x", KINDS[x.dtype], x.shape)]
    graph = helper.make_graph(nodes, "g", given, made, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def engine(model: onnx.ModelProto, x: np.ndarray, direction: Any = None, width: float = 0.0) -> Any:
    """Bounds of every output, by inference of shapes where the model does not say them."""
    full = onnx.shape_inference.infer_shapes(model)
    return enclose(full, {"x": x}, None if direction is None else {"x": direction}, 0, width)


def checker(model: onnx.ModelProto, x: np.ndarray, direction: Any, cells: list[Any]) -> Any:
    """Bounds of the outputs, all discrete, on cells."""
    beta = [Fraction(v) for v in np.asarray(direction, dtype=np.float64).reshape(-1).tolist()]
    names = [v.name for v in model.graph.output]
    return CheckedGraph.build(model, {"x": x}, "x", beta, names).evaluate(cells, FAST)


POINT = (Fraction(0), Fraction(0))
INT, REAL = TensorProto.INT64, TensorProto.FLOAT


# --- TopK ---


def top_k(count: int, **attributes: int) -> list[onnx.NodeProto]:
    return [helper.make_node("TopK", ["x", "k"], ["values", "places"], **attributes)]


@pytest.mark.parametrize("largest", [0, 1])
def test_of_equal_entries_the_lower_place_comes_first(largest: int) -> None:
    x = np.array([2, 1, 2, 1, 0.1, 2, 1], dtype=np.float32)
    expected = [0, 2, 5, 1] if largest else [4, 1, 3, 6]
    model = model_of(top_k(4, largest=largest), x, {"places": INT}, k=[4])
    lo, hi = engine(model, x)["places"]
    assert lo.tolist() == hi.tolist() == expected
    ((lo, hi),) = checker(model, x, np.zeros(7), [POINT])
    assert lo[0].tolist() == hi[0].tolist() == expected


def test_places_that_are_certain_are_known_between_others_that_are_not() -> None:
    x = np.array([9, 5, 5.01, 1, 0.5], dtype=np.float32)
    model = model_of(top_k(5), x, {"places": INT}, k=[5])
    direction = np.array([0, 1, -1, 0, 0], dtype=np.float32)  # the second and third change places
    lo, hi = engine(model, x, direction, 0.125)["places"]
    assert lo.tolist() == [0, 1, 1, 3, 4] and hi.tolist() == [0, 2, 2, 3, 4]
    ((lo, hi),) = checker(model, x, direction, [(Fraction(0), Fraction(1, 8))])
    assert lo[0].tolist() == [0, 1, 1, 3, 4] and hi[0].tolist() == [0, 2, 2, 3, 4]


def test_without_order_any_of_the_first_may_stand_anywhere() -> None:
    x = np.array([3, 1, 2, 0], dtype=np.float32)
    model = model_of(top_k(2, sorted=0), x, {"values": REAL, "places": INT}, k=[2])
    found = engine(model, x)
    assert found["places"][0].tolist() == [0, 0] and found["places"][1].tolist() == [2, 2]
    assert (found["values"][0] <= 2).all() and (found["values"][1] >= 3).all()
    del model.graph.output[0]
    ((lo, hi),) = checker(model, x, np.zeros(4), [POINT])
    assert lo[0].tolist() == [0, 0] and hi[0].tolist() == [2, 2]


def test_values_of_unstable_ranks_lie_between_order_statistics() -> None:
    rng = np.random.default_rng(0)
    x, direction = (rng.normal(size=40).astype(np.float32) for _ in range(2))
    model = model_of(top_k(40), x, {"values": REAL}, k=[40])
    for width in (1.0, 2.0**-10):
        lo, hi = engine(model, x, direction, width)["values"]
        for z in rng.uniform(0, width, 20):
            exact = np.sort(x.astype(np.float64) + z * direction.astype(np.float64))[::-1]
            assert (lo - 1e-12 <= exact).all() and (exact <= hi + 1e-12).all()
        assert (hi - lo).max() <= 8 * width


# --- indices that move ---


def picked(name: str) -> onnx.ModelProto:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["best"], axis=0, keepdims=1),
        helper.make_node(name, ["table", "best"], ["y"], axis=0),
    ]
    table = np.array([10, 20, 30, 40], dtype=np.int64)
    return model_of(nodes, np.zeros(4, dtype=np.float32), {"y": INT}, table=table)


@pytest.mark.parametrize("name", ["Gather", "GatherElements"])
def test_an_unknown_index_names_all_that_it_may(name: str) -> None:
    x = np.array([0, 5, 4.9, 0], dtype=np.float32)
    direction = np.array([0, -1, 1, 0], dtype=np.float32)
    model = picked(name)
    assert [v.tolist() for v in engine(model, x)["y"]] == [[20], [20]]
    assert [v.tolist() for v in engine(model, x, direction, 1.0)["y"]] == [[20], [30]]
    cells = [POINT, (Fraction(0), Fraction(1)), (Fraction(1), Fraction(2))]
    point, between, behind = (checker(model, x, direction, [cell])[0] for cell in cells)
    assert [int(v.item()) for v in (*point, *between, *behind)] == [20, 20, 20, 30, 30, 30]


def test_an_index_that_may_lie_outside_claims_nothing() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["index"], to=INT),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    x, direction = np.array([2.5], dtype=np.float32), np.array([1.0], dtype=np.float32)
    model = model_of(nodes, x, {"y": INT}, table=np.array([1, 2, 3], dtype=np.int64))
    assert engine(model, x)["y"][0].tolist() == [3]
    lo, hi = engine(model, x, direction, 1.0)["y"]
    assert lo[0] <= -(2**62) and hi[0] >= 2**62
    ((lo, hi),) = checker(model, x, direction, [(Fraction(0), Fraction(1))])
    assert lo.item() < -(2**62) and hi.item() > 2**62


def test_two_updates_in_one_place_leave_open_which_one_stays() -> None:
    nodes = [helper.make_node("ScatterElements", ["x", "where", "new"], ["y"])]
    x = np.array([1, 2, 3], dtype=np.float32)
    model = model_of(
        nodes, x, {"y": REAL}, where=np.array([1, 1, 0]), new=np.array([7, 9, 8], dtype=np.float32)
    )
    lo, hi = engine(model, x)["y"]
    assert lo == pytest.approx([8, 7, 3]) and hi == pytest.approx([8, 9, 3])
    assert lo[1] <= 7 and hi[1] >= 9


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mask_of_the_best(keepdims: int) -> None:
    """Zeros with a one where the greatest entry is, in two ways."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=keepdims),
        *(
            [helper.make_node("ScatterElements", ["zeros", "best", "ones"], ["mask"], axis=1)]
            if keepdims
            else [helper.make_node("OneHot", ["best", "depth", "off_on"], ["mask"])]
        ),
        helper.make_node("Greater", ["mask", "half"], ["y"]),
    ]
    x = np.array([[1, 2, 0], [4, 3, 0]], dtype=np.float32)
    constants = {
        "zeros": np.zeros((2, 3), dtype=np.float32),
        "ones": np.ones((2, 1), dtype=np.float32),
        "depth": np.array([3]),
        "off_on": np.array([0, 1], dtype=np.float32),
        "half": np.array(0.5, dtype=np.float32),
    }
    model = model_of(nodes, x, {"y": TensorProto.BOOL}, **constants)
    direction = np.array([[1, -1, 0], [0, 0, 0]], dtype=np.float32)
    sure = [[False, True, False], [True, False, False]]
    assert [v.tolist() for v in engine(model, x)["y"]] == [sure, sure]
    lo, hi = engine(model, x, direction, 1.0)["y"]
    assert lo.tolist() == [[False] * 3, sure[1]] and hi.tolist() == [[True, True, False], sure[1]]
    ((lo, hi),) = checker(model, x, direction, [(Fraction(0), Fraction(1))])
    assert lo[0].tolist() == [[0] * 3, [1, 0, 0]] and hi[0].tolist() == [[1, 1, 0], [1, 0, 0]]


def test_max_unpool_behind_a_pool() -> None:
    """The greatest of each window stays where it is, everything else is zero."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["top", "at"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("MaxUnpool", ["top", "at"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    rng = np.random.default_rng(0)
    x, direction = (rng.normal(size=(1, 2, 6, 6)).astype(np.float32) for _ in range(2))
    model = model_of(nodes, x, {"y": REAL})
    for width in (0.0, 2.0**-6, 0.5):
        lo, hi = engine(model, x, direction, width)["y"]
        for z in rng.uniform(0, width, 5):
            image = x.astype(np.float64) + z * direction.astype(np.float64)
            blocks = image.reshape(2, 3, 2, 3, 2)
            exact = (blocks * (blocks == blocks.max(axis=(2, 4), keepdims=True))).reshape(image.shape)
            assert (lo - 1e-12 <= exact).all() and (exact <= hi + 1e-12).all()
        if width == 0:
            assert np.array_equal(lo, hi)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_max_unpool_is_audited_and_checked(order: int, stride: int, tmp_path: Path) -> None:
    """Its indices move, and stand twice where windows overlap: then for one element of the input."""
    rng = np.random.default_rng(1)
    sizes = {"kernel_shape": [2, 2], "strides": [stride, stride]}
    nodes = [
        helper.make_node("Conv", ["x", "before"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["c"], ["top", "at"], storage_order=order, **sizes),
        helper.make_node("MaxUnpool", ["top", "at", "size"], ["back"], **sizes),
        helper.make_node("Conv", ["back", "behind"], ["y"], pads=[1, 1, 1, 1]),
    ]
    constants = {
        "before": (0.4 * rng.normal(size=(2, 1, 3, 3))).astype(np.float32),
        "behind": (0.4 * rng.normal(size=(1, 2, 3, 3))).astype(np.float32),
        "size": np.array([1, 2, 6, 6]),
    }
    model = small_nets.model(nodes, constants, [1, 1, 6, 6], [1, 1, 6, 6])
    x = rng.normal(size=(1, 1, 6, 6)).astype(np.float32)
    result = sl.audit(model, x, hypothesis=sl.BackMeanDiff(threshold=0.1), var=1)
    assert result.runtime_agrees and result.sup_p - result.inf_p < 1e-5
    result.certificate.save(tmp_path / "audit")
    sl.check(tmp_path / "audit")


# --- by columns ---


def test_places_of_a_pool_by_columns() -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["top", "y"], kernel_shape=[2, 2], strides=[1, 2], storage_order=1)
    ]
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    model = model_of(nodes, x, {"y": INT})
    lo, hi = engine(model, x)["y"]
    ((low, high),) = checker(model, x, np.zeros(x.size), [POINT])
    assert np.array_equal(lo, hi) and np.array_equal(low[0], lo) and np.array_equal(high[0], lo)
    by_columns = x.swapaxes(2, 3).reshape(-1)
    assert by_columns[lo.reshape(-1)].tolist() == x_windows(x).tolist()


def x_windows(x: np.ndarray) -> np.ndarray:
    tops = [x[:, :, i : i + 2, j : j + 2].max(axis=(2, 3)) for i in range(2) for j in (0, 2)]
    return np.stack(tops, axis=2).reshape(-1)


# --- what is refused ---


REFUSED = [
    ("Gather", ["x", "far"], "outside"),
    ("GatherElements", ["x", "far"], "outside"),
    ("ScatterElements", ["x", "far", "one"], "outside"),
    ("ScatterElements", ["x", "zero", "two"], "fit|shape"),
    ("ReverseSequence", ["square", "lengths"], "longer"),
    ("TensorScatter", ["square", "square", "lengths"], "beyond"),
    ("TopK", ["x", "five"], "no 5 entries"),
    ("OneHot", ["zero", "huge", "two"], "large|more than"),
    ("NonZero", ["x"], "depend|move"),
    ("Unique", ["x"], "depend|move"),
]


@pytest.mark.parametrize("name, inputs, words", REFUSED, ids=lambda v: str(v)[:20])
def test_refused_with_a_reason(name: str, inputs: list[str], words: str) -> None:
    x = np.zeros(3, dtype=np.float32)
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["square"]),
        helper.make_node(name, inputs, ["y"]),
        helper.make_node("Equal", ["y", "y"], ["same"]),
    ]
    constants = {
        "far": np.array([3]),
        "zero": np.array([0]),
        "one": np.ones(1, dtype=np.float32),
        "two": np.ones(2, dtype=np.float32),
        "five": np.array([5]),
        "lengths": np.array([5, 5, 5]),
        "huge": np.array(2**40),
        "shape": np.array([3, 3, 3]),
    }
    model = model_of(nodes, x, {"same": TensorProto.BOOL}, opset=24, **constants)
    with pytest.raises(ModelError, match=words):
        Network(model, {"x": x}, "x", ["same"])
    with pytest.raises(InvalidCertificate, match=words):
        checker(model, x, np.ones(3), [POINT])
