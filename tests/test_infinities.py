"""An exact -inf in a constant (a mask): what has a meaning keeps it, everything else makes no claim."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from check_values import graph_of, values_on
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from symbolic.bounds import enclose
from symbolic.errors import ModelError
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import FAST

X = np.array([[1.0, 2.0, -3.0, 0.5], [0.25, -1.0, 4.0, -2.0]])
DIRECTION = np.array([[1.0, -1.0, 0.5, 2.0], [-1.0, 0.5, 0.25, 1.0]])
MASK = np.array([[0.0, -np.inf, 0.0, -np.inf], [0.0, 0.0, -np.inf, 0.0]])
ELEMENTWISE = (
    "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish "
    "Identity IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh "
    "Softplus Softsign Sqrt Tan Tanh ThresholdedRelu"
).split()
OF_TENSORS = (
    "ArgMax ArgMin Flatten Hardmax LogSoftmax LpNormalization ReduceL1 ReduceL2 ReduceLogSum "
    "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax Transpose "
    "Trilu"
).split()
WITH_A_CONSTANT = "Add Sub Mul Div Max Min Pow PRelu Equal Greater GreaterOrEqual Less LessOrEqual".split()


def model_of(op_type: str, *others: str, **attributes: Any) -> onnx.ModelProto:
    """One operator of the masked input x + mask, and constants."""
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["masked"]),
        helper.make_node(op_type, ["masked", *others], ["y"], **attributes),
    ]
    constants = {
        "mask": MASK,
        "half": np.float64(0.5),
        "nothing": np.float64(-np.inf),
        "eye": np.eye(4),
        "axis": np.int64(1),
        "chosen": MASK == 0,
        "low": np.float64(-1),
        "places": np.array([[1, 2, 3, 0], [0, 1, 2, 3]]),
    }
    stored = [
        numpy_helper.from_array(np.asarray(v), name)
        for name, v in constants.items()
        if name in [*others, "mask"]
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, X.shape)]
    graph = helper.make_graph(nodes, "masked", given, [helper.make_empty_tensor_value_info("y")], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


CASES = {
    **{name: model_of(name) for name in ELEMENTWISE},
    **{name: model_of(name) for name in OF_TENSORS},
    **{f"{name} {other}": model_of(name, other) for name in WITH_A_CONSTANT for other in ("half", "nothing")},
    "MatMul": model_of("MatMul", "eye"),
    "Gemm": model_of("Gemm", "eye"),
    "CumSum": model_of("CumSum", "axis"),
    "Clip": model_of("Clip", "low", "half"),
    "Clip below nothing": model_of("Clip", "nothing", "half"),
    "Concat": model_of("Concat", "mask", axis=0),
    "LayerNormalization": model_of("LayerNormalization", "eye", axis=-1),
    "Clip above": model_of("Clip", "", "half"),
    "Dropout": model_of("Dropout"),
    "Mean": model_of("Mean", "half"),
    "ScatterElements": model_of("ScatterElements", "places", "mask", axis=1),
    "ScatterElements that adds": model_of("ScatterElements", "places", "mask", axis=1, reduction="add"),
    "Cast to float16": model_of("Cast", to=TensorProto.FLOAT16),
    "Cast to integers": model_of("Cast", to=TensorProto.INT32),
    "Einsum": model_of("Einsum", "eye", equation="ij,jk->ik"),
}


def expected(model: onnx.ModelProto, t: Fraction) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return np.asarray(ReferenceEvaluator(model).run(None, {"x": X + float(t) * DIRECTION})[0])


def contradicts(lo: np.ndarray, hi: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A bounded claim of what is no real number, or one that misses a real number."""
    real = np.isfinite(wanted.astype(np.float64))
    bounded = np.isfinite(lo.astype(np.float64)) & np.isfinite(hi.astype(np.float64))
    slack = 1e-6 * (1 + np.abs(np.where(real, wanted, 0).astype(np.float64)))
    outside = (wanted < lo - slack) | (wanted > hi + slack)
    return np.where(real, outside, bounded & (wanted.dtype.kind == "f"))


@pytest.mark.parametrize("name", CASES)
def test_engine_claims_nothing_false(name: str) -> None:
    model = CASES[name]
    for width in (0, Fraction(1, 8)):
        try:
            lo, hi = enclose(model, {"x": X}, {"x": DIRECTION}, 0, width)["y"]
        except ModelError:
            return
        for t in (width / 3, width * Fraction(7, 8)):
            wanted = expected(model, t)
            if name == "Cast to integers":  # of -inf: undefined
                wanted = np.where(MASK == 0, wanted, lo)
            assert not contradicts(lo, hi, wanted).any(), (lo, hi, wanted)


def checker_says(name: str, cell: tuple[Fraction, Fraction]) -> Any:
    """The checker's value of y, by way of discrete outputs, which it is made for."""
    model = onnx.ModelProto()
    model.CopyFrom(CASES[name])
    model.graph.node.append(helper.make_node("Greater", ["x", "x"], ["discrete"]))
    model.graph.node.append(helper.make_node("Shape", ["y"], ["shape"]))
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in ("discrete", "shape"))
    return values_on(graph_of(model, {"x": X}, "x", DIRECTION), [cell], FAST)["y"]


@pytest.mark.parametrize("name", CASES)
def test_checker_claims_nothing_false(name: str) -> None:
    for cell in ((Fraction(0), Fraction(0)), (Fraction(0), Fraction(1, 8))):
        try:
            value = checker_says(name, cell)
        except (Undecided, InvalidCertificate):
            return
        if isinstance(value, Discrete):
            lo, hi = value.lo[..., 0], value.hi[..., 0]
        else:
            span, unit = np.abs(value.d) + value.r, 2.0**value.e
            lo, hi = ((value.c + s * span).astype(np.float64)[..., 0] * unit for s in (-1, 1))
            if value.special is not None:  # marked as no real number
                marked = np.broadcast_to(value.special, value.c.shape)[..., 0] != 0
                lo, hi = np.where(marked, -np.inf, lo), np.where(marked, np.inf, hi)
        for part in (Fraction(1, 3), Fraction(7, 8)):
            wanted = expected(CASES[name], cell[0] + (cell[1] - cell[0]) * part)
            assert not contradicts(lo, hi, wanted).any(), (lo, hi, wanted)


@pytest.mark.parametrize(
    "name", ["Softmax", "ReduceMax", "ArgMax", "Exp", "Max half", "Equal nothing", "Greater half"]
)
def test_masks_are_worth_having(name: str) -> None:
    """What masks are made for is known, in the engine and in the checker."""
    lo, hi = enclose(CASES[name], {"x": X}, {"x": DIRECTION}, 0, Fraction(1, 1024))["y"]
    assert np.isfinite(lo.astype(float)).all()
    assert (hi.astype(float) - lo <= 0.01 * (1 + np.abs(lo))).all()


@pytest.mark.parametrize(
    "name",
    "Softmax ReduceMax ArgMax Hardmax Exp Sigmoid Relu Tanh Sign Clip Dropout ScatterElements".split()
    + ["Mul half", "Div half"]
    + ["Max half", "Min half", "Equal nothing", "Greater half"],
)
def test_the_checker_knows_masks(name: str) -> None:
    value = checker_says(name, (Fraction(0), Fraction(1, 1024)))
    wanted = expected(CASES[name], Fraction(1, 2048))
    if isinstance(value, Discrete):
        assert (value.lo[..., 0] == wanted).all() and (value.hi[..., 0] == wanted).all()
        return
    gone = np.zeros(wanted.shape, bool) if value.special is None else value.special[..., 0] != 0
    assert (gone == ~np.isfinite(wanted)).all()
    middle, radius = ((a[..., 0]).astype(np.float64) * 2.0**value.e for a in (value.c, value.r))
    assert (np.abs(middle - np.where(gone, 0, wanted)) <= 0.01).all() and (radius <= 0.01).all()


@pytest.mark.parametrize("mask", [-700.0, -1e9, -1e30, float(np.finfo(np.float32).min), -1e300])
@pytest.mark.parametrize("masked", [1, 3])
def test_finite_masks_have_no_weight(mask: float, masked: int) -> None:
    """The others share 1 as if the masked elements were not there; alone, none has more than 1."""
    x = np.array([[0.5, 0.25, 0.3, 0.1]])
    given = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, x.shape)]
    result = helper.make_tensor_value_info("y", TensorProto.DOUBLE, x.shape)
    nodes = [helper.make_node("Add", ["x", "m"], ["s"]), helper.make_node("Softmax", ["s"], ["y"])]
    for count, width in ((masked, 1e-12), (4, 1 + 1e-6)):
        added = numpy_helper.from_array(np.where(np.arange(4) < count, mask, 0.0), "m")
        graph = helper.make_graph(nodes, "masked", given, [result], [added])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        lo, hi = enclose(model, {"x": x}, {"x": np.ones_like(x)}, 0, 0)["y"]
        assert (hi - lo <= width).all(), (lo, hi)
        powers = np.exp(x) * (np.arange(4) >= count) if count < 4 else np.exp(x)
        if count < 4 or mask > -1e9:
            wanted = powers / powers.sum()
            assert (lo <= wanted + 1e-13).all() and (wanted - 1e-13 <= hi).all()


def test_fully_masked_rows_are_chosen_away() -> None:
    """softmax of a row of -inf is undefined; a condition that leaves it out makes it known again."""
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["share"]),
        helper.make_node("Where", ["empty", "zero", "share"], ["y"]),
    ]
    mask = np.array([[0.0] * 4, [-np.inf] * 4])
    constants = {"mask": mask, "empty": np.isinf(mask), "zero": np.float64(0)}
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    given = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, X.shape)]
    result = helper.make_tensor_value_info("y", TensorProto.DOUBLE, X.shape)
    graph = helper.make_graph(nodes, "rows", given, [result], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    lo, hi = enclose(model, {"x": X}, {"x": DIRECTION}, 0, Fraction(1, 1024))["y"]
    assert (hi - lo < 0.01).all()
    assert not lo[1].any() and not hi[1].any()
