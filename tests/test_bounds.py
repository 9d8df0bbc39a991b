"""sl.enclose: certified bounds of every output over a segment of inputs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import twin
from onnx import TensorProto, helper, numpy_helper
from random_graphs import suite

import sureline as sl


def model_of(nodes: list[Any], outputs: dict[str, int], inputs: dict[str, list[Any]] | None = None) -> Any:
    rank = len(next(iter((inputs or {"x": [3]}).values())))
    graph = helper.make_graph(
        nodes,
        "bounds",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (inputs or {"x": [3]}).items()
        ],
        [
            helper.make_tensor_value_info(name, kind, [f"d{k}" for k in range(rank)])
            for name, kind in outputs.items()
        ],
        [numpy_helper.from_array(np.float32(1.5), "level")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = np.array([1, -2, 0.5], dtype=np.float32)
FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL
RELU = model_of([helper.make_node("Relu", ["x"], ["y"])], {"y": FLOAT})


def test_a_point_is_a_point() -> None:
    lower, upper = sl.enclose(RELU, X)["y"]
    assert lower.tolist() == upper.tolist() == [1, 0, 0.5]


def test_a_segment() -> None:
    lower, upper = sl.enclose(RELU, X, np.ones(3), -1, "0.5")["y"]
    assert (lower <= [0, 0, 0]).all() and (lower > -1e-12)[:2].all()
    assert (upper >= [1.5, 0, 1]).all() and (upper < [1.5 + 1e-12, 1e-12, 1.26]).all()


def test_ends_that_no_double_holds_are_rounded_outward() -> None:
    copy = model_of([helper.make_node("Identity", ["x"], ["y"])], {"y": FLOAT})
    end = Fraction(1, 10)
    lower, upper = sl.enclose(copy, np.zeros(3), np.ones(3), -end, end)["y"]
    assert all(Fraction(v) <= -end for v in lower) and all(Fraction(v) >= end for v in upper)
    assert (upper < 0.1 + 1e-15).all()


def test_fractions_and_integers_are_numbers() -> None:
    exact = np.array([Fraction(1, 2), Fraction(-2), Fraction(3)], dtype=object)
    assert sl.enclose(RELU, exact)["y"][0].tolist() == [0.5, 0, 3]
    assert sl.enclose(RELU, [1, -2, 3], [1, 0, 0])["y"][0].tolist() == [1, 0, 3]
    for value in (Fraction(1, 3), 2**53 + 1, 10**400):
        with pytest.raises(sl.InputError):
            sl.enclose(RELU, np.array([value, 0, 0], dtype=object))


def test_bounds_keep_to_the_limits() -> None:
    lower, _ = sl.enclose(RELU, X, np.ones(3), -1, 1)["y"]
    assert (lower >= 0).all()


def of_doubles(nodes: list[Any], kind: int, **constants: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "doubles",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [3])],
        [helper.make_tensor_value_info("y", kind, [3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("op", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"])
@pytest.mark.parametrize("level", [2**63 - 1, 2**63, 0])
def test_comparisons_of_integers_beyond_64_bits_with_sign(op: str, level: int) -> None:
    cast = helper.make_node("Cast", ["x"], ["n"], to=TensorProto.UINT64)
    x = [1e19, 2.0**63, 3.0]
    for inputs in (["n", "c"], ["c", "n"]):
        model = of_doubles([cast, helper.make_node(op, inputs, ["y"])], BOOL, c=np.uint64(level))
        lower, upper = sl.enclose(model, x, np.zeros(3), 0, 0)["y"]
        words = {"Less": np.less, "Greater": np.greater, "Equal": np.equal}
        words |= {"LessOrEqual": np.less_equal, "GreaterOrEqual": np.greater_equal}
        sides = (np.array(x).astype(np.uint64), np.uint64(level))
        wanted = words[op](*(sides if inputs[0] == "n" else sides[::-1]))
        assert (lower <= wanted).all() and (wanted <= upper).all()


@pytest.mark.parametrize("exponent", [np.int64(2**53 + 1), np.uint64(2**63 + 1), -np.inf, np.inf])
def test_powers_that_no_double_holds_are_not_claimed(exponent: Any) -> None:
    model = of_doubles([helper.make_node("Pow", ["x", "c"], ["y"])], TensorProto.DOUBLE, c=exponent)
    try:
        lower, upper = sl.enclose(model, [-1.0, 1.0, 0.5], [0.0, 1.0, 1.0], 0, 0)["y"]
    except sl.ModelError:
        return
    assert np.isinf(lower).all() and np.isinf(upper).all()


def test_limits_beyond_the_largest_double() -> None:
    tiny = of_doubles([helper.make_node("Div", ["x", "c"], ["y"])], TensorProto.DOUBLE, c=1e-310)
    lower, upper = sl.enclose(tiny, [0.0, 1e-300, 0.0], np.zeros(3))["y"]
    assert (lower <= [0, 1e10, 0]).all() and (upper >= [0, 1e10, 0]).all()
    node = helper.make_node("Sum", ["x", "c", "c", "c"], ["y"])
    sl.enclose(of_doubles([node], TensorProto.DOUBLE, c=1.7e308), [0.0, 1, 2], np.ones(3))


def test_the_ends_of_the_segment_belong_to_it() -> None:
    above = model_of([helper.make_node("Greater", ["x", "level"], ["z"])], {"z": BOOL})
    lower, upper = sl.enclose(above, np.full(3, 1.5), [1, 0, 2], 0, 1)["z"]
    assert lower.tolist() == [False, False, False] and upper.tolist() == [True, False, True]
    assert sl.enclose(above, np.full(3, 1.5), [1, 1, 1], Fraction(1, 8), 1)["z"][0].all()


def test_several_inputs_move_together() -> None:
    product = model_of([helper.make_node("Sub", ["x", "w"], ["y"])], {"y": FLOAT}, {"x": [2], "w": [2]})
    x = {"x": np.array([1.0, 2.0]), "w": np.array([5.0, 7.0])}
    lower, upper = sl.enclose(product, x, {"x": [1, 1], "w": [1, 1]}, -100, 100)["y"]
    assert np.allclose(lower, [-4, -5], atol=1e-10) and np.allclose(upper, [-4, -5], atol=1e-10)
    lower, upper = sl.enclose(product, x, {"w": [1, 0]}, 0, 1)["y"]
    assert np.allclose(lower, [-5, -5]) and np.allclose(upper, [-4, -5])


def test_where_the_output_is_no_number() -> None:
    root = model_of([helper.make_node("Log", ["x"], ["y"])], {"y": FLOAT})
    lower, upper = sl.enclose(root, np.ones(3), [-1, 0, 1], 0, 2)["y"]
    assert lower[0] == -np.inf and upper[0] == np.inf
    assert np.isfinite(lower[1:]).all() and upper[2] >= np.log(3)


def test_the_sign_of_what_is_no_number() -> None:
    nodes = [helper.make_node("Reciprocal", ["x"], ["r"]), helper.make_node("Sign", ["r"], ["y"])]
    lower, upper = sl.enclose(model_of(nodes, {"y": FLOAT}), X, np.ones(3), -2, 0)["y"]
    assert lower.tolist() == [-np.inf, -1, -np.inf] and upper.tolist() == [np.inf, -1, np.inf]


def test_the_mean_of_nothing() -> None:
    model = model_of(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)], {"y": FLOAT}, {"x": [3, 0]}
    )
    lower, upper = sl.enclose(model, np.zeros((3, 0), dtype=np.float32))["y"]
    assert lower.tolist() == [-np.inf] * 3 and upper.tolist() == [np.inf] * 3


def test_integers_beyond_their_type() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["n"], to=TensorProto.INT8),
        helper.make_node("Mul", ["n", "n"], ["y"]),
    ]
    lower, upper = sl.enclose(model_of(nodes, {"y": TensorProto.INT8}), X, [12, 0.5, 0], 0, 1)["y"]
    assert lower.tolist() == [-(2**63), 1, 0] and upper.tolist() == [2**63 - 1, 4, 0]


def test_dynamic_axes_are_fixed_by_the_input() -> None:
    free = model_of([helper.make_node("Softmax", ["x"], ["y"])], {"y": FLOAT}, {"x": ["batch", "n"]})
    lower, upper = sl.enclose(free, np.zeros((2, 5)), np.ones((2, 5)), -3, 3)["y"]
    assert lower.shape == (2, 5) and (lower <= 0.2).all() and (upper >= 0.2).all() and (upper < 1).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": {}}, "no value"),
        ({"x": {"q": X}}, "no input 'q'"),
        ({"direction": np.ones(2)}, "direction"),
        ({"direction": {"q": X}}, "no input 'q'"),
        ({"lo": 1, "hi": 0}, "more than hi"),
        ({"hi": float("inf")}, "finite"),
        ({"hi": "two"}, "hi"),
        ({"x": np.array([1, np.nan, 0])}, "NaN"),
        ({"x": np.ones(4)}, "shape"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(sl.InputError, match=words):
        sl.enclose(RELU, **{"x": X, "direction": np.ones(3), **arguments})


def test_a_random_operator_needs_a_seed() -> None:
    noisy = model_of(
        [
            helper.make_node("RandomNormalLike", ["x"], ["e"]),
            helper.make_node("Add", ["x", "e"], ["y"]),
        ],
        {"y": FLOAT},
    )
    with pytest.raises(sl.SurelineError, match="seed"):
        sl.enclose(noisy, X)
    first, again = (sl.enclose(noisy, X, seed=4)["y"] for _ in range(2))
    assert first[0].tolist() == again[0].tolist()


def test_random_graphs_against_the_twin() -> None:
    compared = 0
    for case in suite(40):
        names = [v.name for v in case.model.graph.output]
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        try:
            feeds = {case.moving: case.observed, **case.other}
            found = sl.enclose(model, feeds, {case.moving: case.direction}, "-1/8", "1/8")
        except sl.SurelineError:
            continue
        for z in (Fraction(-1, 8), Fraction(1, 9), Fraction(1, 8)):
            start, beta = (twin.exact_array(np.asarray(a)) for a in (case.observed, case.direction))
            exact = twin.evaluate(model, {case.moving: start + beta * z, **case.other})
            for name in names:
                for low, high, wanted in zip(
                    *(v.reshape(-1) for v in (*found[name], exact[name])), strict=True
                ):
                    if wanted is twin.UNKNOWN:
                        continue
                    smallest, largest = twin.bounds(wanted)
                    compared += 1
                    assert low == -np.inf or Fraction(low.item()) <= largest, name
                    assert high == np.inf or Fraction(high.item()) >= smallest, name
    assert compared > 1000


@pytest.mark.parametrize(
    ("op", "inputs", "wanted"),
    [
        ("Sqrt", ["square"], 6),
        ("Pow", ["two", "two"], 4),
        ("Pow", ["square", "half"], 6),
        ("Pow", ["six", "three"], 216),
    ],
)
def test_roots_and_powers_of_constants_are_exact_where_they_can_be(
    op: str, inputs: list[str], wanted: int
) -> None:
    """Exporters write a shift as a power of two, and the side of a square as a root, cast to an integer."""
    nodes = [
        helper.make_node(op, inputs, ["a"]),
        helper.make_node("Cast", ["a"], ["y"], to=TensorProto.INT64),
    ]
    constants = {"square": 36.0, "two": 2.0, "half": 0.5, "six": 6.0, "three": 3.0}
    model = of_doubles([*nodes, helper.make_node("Neg", ["x"], ["z"])], TensorProto.INT64, **constants)
    model.graph.output[0].type.tensor_type.shape.Clear()
    lower, upper = sl.enclose(model, [0.0, 1.0, 2.0])["y"]
    assert lower == upper == wanted
