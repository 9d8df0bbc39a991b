"""Corners of the lowering to exact layers: types and their limits, padding, infinities, indices, opsets."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import twin
from onnx import TensorProto, helper, numpy_helper
from pieces_checks import misfits, point_of, program_of

from symbolic.errors import ModelError
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.program import Program

X = np.array([[-2.0, -0.5, 0.0], [0.5, 1.5, 3.0]])
NODE = helper.make_node
FLOAT, DOUBLE, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    x: np.ndarray = X,
    opset: int = 21,
    kind: int = DOUBLE,
) -> onnx.ModelProto:
    """From x to y."""
    graph = helper.make_graph(
        nodes,
        "corner",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def lowered(proto: onnx.ModelProto, x: np.ndarray = X) -> Program:
    return program_of(proto, {"x": x}, ["x"])[1]


def values(program: Program, x: np.ndarray = X) -> list[Fraction]:
    piece = ExactPiece(program, point_of(program, {"x": x}), [])
    return piece.rationals(program.outputs["y"])[0]


def agrees(proto: onnx.ModelProto, x: np.ndarray = X) -> list[Fraction]:
    """The exact values, which are the twin's."""
    program = lowered(proto, x)
    piece = ExactPiece(program, point_of(program, {"x": x}), [])
    assert not list(misfits(program, piece, twin.evaluate(proto, {"x": x})))
    return piece.rationals(program.outputs["y"])[0]


# ---- integers and their types


def cast(to: int, *nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    return model([NODE("Cast", ["x"], ["k"], to=to), *nodes], constants)


def test_a_cast_holds_what_its_type_holds() -> None:
    program = lowered(cast(TensorProto.INT8, NODE("Identity", ["k"], ["y"])))
    assert values(program, np.full((2, 3), 127.9)) == [127] * 6
    assert values(program, np.full((2, 3), -128.9)) == [-128] * 6
    for beyond in (128.0, -129.0):
        with pytest.raises(ModelError, match="beyond -128 ... 127"):
            values(program, np.full((2, 3), beyond))


def test_bounded_integers_need_no_check() -> None:
    nodes = [NODE("ArgMax", ["x"], ["k"]), NODE("Add", ["k", "k"], ["y"])]
    assert not lowered(model(nodes)).held


def test_integer_arithmetic_is_held_to_its_type() -> None:
    square = NODE("Mul", ["k", "k"], ["y"])
    program = lowered(cast(TensorProto.INT8, square))
    assert values(program, np.full((2, 3), 11.0)) == [121] * 6
    with pytest.raises(ModelError, match="Mul 'y': a value is beyond"):
        values(program, np.full((2, 3), 12.0))


def test_unsigned_differences_are_not_negative() -> None:
    nodes = [NODE("ArgMax", ["x"], ["i"], axis=1), NODE("Cast", ["i"], ["k"], to=TensorProto.UINT8)]
    program = lowered(model([*nodes, NODE("Sub", ["k", "c"], ["y"])], {"c": np.array(1, dtype=np.uint8)}))
    assert values(program) == [1, 1]
    with pytest.raises(ModelError, match="beyond 0 ... 255"):
        values(program, -X)


@pytest.mark.parametrize("to", [TensorProto.INT8, TensorProto.UINT8, TensorProto.UINT16, TensorProto.INT64])
def test_casts_between_integers_discard_bits(to: int) -> None:
    proto = cast(TensorProto.INT32, NODE("Cast", ["k"], ["y"], to=to))
    agrees(proto, np.array([[-129.0, -1.0, 70000.0], [255.0, 128.0, -70000.0]]))


@pytest.mark.parametrize("to", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
def test_casts_that_round_have_no_layers(to: int) -> None:
    nodes = [NODE("Cast", ["x"], ["h"], to=to), NODE("Cast", ["h"], ["y"], to=FLOAT)]
    with pytest.raises(ModelError, match="no exact linear pieces"):
        lowered(model(nodes, opset=23))


def test_casts_of_booleans_do_not_round() -> None:
    nodes = [NODE("Greater", ["x", "c"], ["b"]), NODE("Cast", ["b"], ["y"], to=TensorProto.FLOAT16)]
    assert agrees(model(nodes, {"c": np.array(0.5)})) == [0, 0, 0, 0, 1, 1]


def test_models_of_float16_are_real_functions() -> None:
    proto = model(
        [NODE("Mul", ["x", "c"], ["y"])], {"c": np.array(0.1, dtype=np.float16)}, kind=TensorProto.FLOAT16
    )
    x = X.astype(np.float16)
    assert values(lowered(proto, x), x)[1] == Fraction(-1, 2) * Fraction(float(np.float16(0.1)))


def test_large_integers_are_exact() -> None:
    """Not the floats next to them."""
    large = 2**53 + 1
    nodes = [
        NODE("Cast", ["x"], ["k"], to=TensorProto.INT64),
        NODE("Add", ["k", "c"], ["s"]),
        NODE("Clip", ["s", "low", "high"], ["y"]),
    ]
    constants = {"c": np.int64(large), "low": np.int64(-(2**63)), "high": np.int64(2**63 - 1)}
    assert values(lowered(model(nodes, constants))) == [large + k for k in (-2, 0, 0, 0, 1, 3)]


def test_division_by_a_moving_integer() -> None:
    nodes = [
        NODE("ArgMax", ["x"], ["i"], axis=1, keepdims=1),
        NODE("Add", ["i", "c"], ["d"]),
        NODE("Cast", ["x"], ["k"], to=TensorProto.INT64),
        NODE("Div", ["k", "d"], ["q"]),
        NODE("Mod", ["k", "d"], ["r"]),
        NODE("Add", ["q", "r"], ["y"]),
    ]
    x = np.array([[-7.0, 8.0, 3.0], [20.0, -20.0, 1.0]])
    agrees(model(nodes, {"c": np.int64(1)}), x)
    with pytest.raises(ModelError, match="beyond 0 ... 0"):
        values(lowered(model(nodes, {"c": np.int64(0)})), x)


# ---- infinities and paddings


def test_infinite_constants_that_decide_nothing() -> None:
    nodes = [
        NODE("Max", ["x", "low"], ["a"]),
        NODE("Min", ["a", "high"], ["b"]),
        NODE("Clip", ["b", "low", "high"], ["c"]),
        NODE("Where", ["mask", "c", "low"], ["d"]),
        NODE("Where", ["mask", "d", "x"], ["y"]),
    ]
    constants = {"low": np.array(-np.inf), "high": np.array(np.inf), "mask": np.array(True)}
    assert values(lowered(model(nodes, constants))) == [Fraction(v) for v in X.reshape(-1)]
    with pytest.raises(ModelError, match="infinite"):
        lowered(model([NODE("Max", ["x", "high"], ["y"])], constants))


@pytest.mark.parametrize("name", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"])
@pytest.mark.parametrize("first", [True, False])
def test_comparison_with_infinities(name: str, first: bool) -> None:
    c = np.array([np.inf, -np.inf, 0.0])
    order = ["x", "c"] if first else ["c", "x"]
    compare = {"Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less}
    compare |= {"LessOrEqual": np.less_equal, "Equal": np.equal}
    wanted = compare[name](X, c) if first else compare[name](c, X)
    assert values(lowered(model([NODE(name, order, ["y"])], {"c": c}))) == wanted.reshape(-1).tolist()


def test_a_window_of_padding_has_no_maximum() -> None:
    x = X.reshape(1, 1, 6)
    node = NODE("MaxPool", ["x"], ["y"], kernel_shape=[2], pads=[2, 0], strides=[2])
    with pytest.raises(ModelError):
        lowered(model([node], x=x), x)


@pytest.mark.parametrize("storage_order", [0, 1])
def test_places_of_maxima(storage_order: int) -> None:
    """Of equal elements the first."""
    x = np.array([1.0, 3.0, 3.0, 0.0, 3.0, -1.0, 2.0, 2.0, 2.0]).reshape(1, 1, 3, 3)
    node = NODE(
        "MaxPool", ["x"], ["v", "y"], kernel_shape=[2, 2], pads=[1, 0, 0, 1], storage_order=storage_order
    )
    agrees(model([node], x=x), x)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_padding_of_old_operator_sets(value: float) -> None:
    node = NODE("Pad", ["x"], ["y"], pads=[1, 0, -1, 2], mode="constant", value=value)
    agrees(model([node], opset=9))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_extrapolation(mode: str) -> None:
    """What lies beyond the picture is a constant, and no unit that happens to have its number."""
    how = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.0}
    node = NODE("Resize", ["x", "roi", "", "sizes"], ["y"], **how)
    constants = {"roi": np.array([-0.5, 0.0, 1.5, 1.0]), "sizes": np.array([4, 3])}
    found = agrees(model([node], constants, opset=19))
    assert found[:3] == [2, 2, 2]


# ---- indices that move


def index_from(x: str, *nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    return [NODE("Cast", [x], ["i"], to=TensorProto.INT64), *nodes]


def test_gather_by_moving_indices() -> None:
    table = np.array([[0.1, 2.0], [3.0, -4.0], [5.0, 6.0]])
    program = lowered(model(index_from("x", NODE("Gather", ["t", "i"], ["y"])), {"t": table}))
    got = values(program, np.array([[0.0, 1.0, 2.0], [-1.0, -2.0, -3.0]]))
    assert got == [Fraction(v) for v in table[[0, 1, 2, 2, 1, 0]].reshape(-1).tolist()]
    with pytest.raises(ModelError, match="beyond -3 ... 2"):
        values(program, np.full((2, 3), 3.0))


def test_scatter_to_moving_places() -> None:
    """Two updates of one element have no order."""
    nodes = index_from("x", NODE("ScatterElements", ["x", "i", "x"], ["y"], axis=1))
    program = lowered(model(nodes))
    agrees(model(nodes), np.array([[2.0, 0.0, 1.0], [-1.0, 1.0, -3.0]]))
    with pytest.raises(ModelError, match="beyond 0 ... 1"):
        values(program, np.zeros((2, 3)))


@pytest.mark.parametrize("reduction", ["add", "max", "min"])
def test_scatter_that_merges(reduction: str) -> None:
    node = NODE("ScatterElements", ["x", "i", "x"], ["y"], axis=1, reduction=reduction)
    agrees(model([node], {"i": np.array([[0, 0, 0], [2, 1, 2]])}))


def test_scatter_without_an_order_is_refused() -> None:
    node = NODE("ScatterElements", ["x", "i", "x"], ["y"], axis=1)
    with pytest.raises(ModelError, match="not defined"):
        lowered(model([node], {"i": np.zeros((2, 3), dtype=np.int64)}))


# ---- products


def test_kernels_may_move() -> None:
    image = np.arange(25.0).reshape(1, 1, 5, 5) / 4
    kernel = np.arange(8.0).reshape(1, 1, 2, 4) - 3
    for name in ("Conv", "ConvTranspose"):
        node = NODE(name, ["image", "x"], ["y"], strides=[2, 1], pads=[1, 0, 1, 2])
        agrees(model([node], {"image": image}, x=kernel), kernel)


def test_masks_multiply_what_moves() -> None:
    nodes = [
        NODE("Greater", ["x", "c"], ["b"]),
        NODE("Cast", ["b"], ["m"], to=DOUBLE),
        NODE("Transpose", ["x"], ["t"]),
        NODE("MatMul", ["m", "t"], ["y"]),
    ]
    agrees(model(nodes, {"c": np.array(0.0)}))
    with pytest.raises(ModelError, match="two moving factors"):
        lowered(model([NODE("Transpose", ["x"], ["t"]), NODE("MatMul", ["x", "t"], ["y"])]))


def test_weights_that_are_no_floats() -> None:
    """Quotients by different numbers, and 1/3 of a cubic kernel."""
    agrees(model([NODE("Div", ["x", "c"], ["y"])], {"c": np.array([3.0, 0.1, -7.0])}))
    agrees(
        model([NODE("Resize", ["x", "", "s"], ["y"], mode="cubic")], {"s": np.array([1.0, 0.7])}, opset=13)
    )


@pytest.mark.parametrize("lambd", [0.5, -1.0])
def test_shrink(lambd: float) -> None:
    agrees(model([NODE("Shrink", ["x"], ["y"], lambd=lambd, bias=0.25)]))


def test_empty_tensors_and_scalars() -> None:
    empty = np.zeros((0, 3))
    nodes = [NODE("Relu", ["x"], ["r"]), NODE("ReduceSum", ["r", "a"], ["y"], keepdims=0)]
    assert values(lowered(model(nodes, {"a": np.array([0])}, x=empty), empty), empty) == [0, 0, 0]
    scalar = np.array(-2.0)
    assert agrees(model([NODE("Abs", ["x"], ["y"])], x=scalar), scalar) == [2]


def test_smooth_operators_are_named() -> None:
    with pytest.raises(ModelError, match="Exp node 'y' has no exact linear pieces"):
        lowered(model([NODE("Exp", ["x"], ["y"])]))
