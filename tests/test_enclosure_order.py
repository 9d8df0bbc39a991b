"""Enclosures worth having: halving a segment divides r by four where it bends; stable pieces have none."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import twin
from enclosure_checks import line_of, network_of
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case, suite

from symbolic.enclosures.values import Affine
from symbolic.errors import ModelError

# They may sit on a step that no width takes away.
STEPS = {"Sign", "Cast", "Where", "ThresholdedRelu", "Shrink"}


def smooth_case(op_type: str, inputs: str, shape: list[int], **attributes: Any) -> Case:
    """x, the positive y = |x| + 1, u = x * slopes + 1/4 and the small v = x / 8 feed one operator."""
    rng = np.random.default_rng(len(op_type) + len(inputs))
    x, beta = rng.normal(0, 0.5, size=shape), rng.normal(0, 0.5, size=shape)
    observed = np.sign(x) * (np.abs(x) + 0.75)  # the segments stay clear of the kink of |x|
    nodes = [
        helper.make_node("Abs", ["x"], ["size"]),
        helper.make_node("Add", ["size", "one"], ["y"]),
        helper.make_node("Mul", ["x", "slopes"], ["bent"]),
        helper.make_node("Add", ["bent", "quarter"], ["u"]),
        helper.make_node("Mul", ["x", "eighth"], ["v"]),
        helper.make_node(op_type, inputs.split(), ["out"], **attributes),
    ]
    constants = {"one": np.float64(1), "quarter": np.float64(0.25), "slopes": rng.normal(size=shape)}
    constants |= {"eighth": np.float64(0.125), "third": np.float64(1 / 3), "zero": np.int64(0)}
    constants["channels"] = np.linspace(1.0, 2.0, shape[min(1, len(shape) - 1)])
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    given = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, shape)]
    graph = helper.make_graph(nodes, "order", given, [helper.make_empty_tensor_value_info("out")], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)], ir_version=10)
    return Case(model, "x", observed, beta, {}, smooth=True)


SMOOTH_CASES = {
    **{name: smooth_case(name, "x", [6]) for name in "Tanh Softplus Softsign Mish Gelu Swish Erf".split()},
    **{name: smooth_case(name, "x", [6]) for name in "Sin Cos Sinh Cosh Asinh Atan Elu Celu Selu".split()},
    **{name: smooth_case(name, "v", [6]) for name in "Tan Asin Acos Atanh".split()},
    **{name: smooth_case(name, "y", [6]) for name in "Log Sqrt Acosh".split()},
    "Gelu tanh": smooth_case("Gelu", "x", [6], approximate="tanh"),
    "Swish upside down": smooth_case("Swish", "x", [6], alpha=-2.0),
    "Pow": smooth_case("Pow", "y u", [6]),
    "Pow of a constant": smooth_case("Pow", "third u", [6]),
    "Pow of a constant exponent": smooth_case("Pow", "y third", [6]),
    **{name: smooth_case(name, "x", [2, 5]) for name in "ReduceL2 ReduceSumSquare ReduceLogSumExp".split()},
    **{name: smooth_case(name, "x", [2, 3, 4]) for name in "LpNormalization GlobalLpPool".split()},
    "ReduceProd": smooth_case("ReduceProd", "x", [5]),
    "ReduceLogSum": smooth_case("ReduceLogSum", "y", [2, 5]),
    "CumProd": smooth_case("CumProd", "x zero", [5], exclusive=1),
    "LpNormalization of order 1": smooth_case("LpNormalization", "x", [2, 5], p=1),
    "LpPool": smooth_case("LpPool", "x", [1, 2, 6], kernel_shape=[3], strides=[2], p=3),
    "LayerNormalization": smooth_case("LayerNormalization", "x slopes quarter", [2, 5], axis=0),
    "LayerNormalization of two moving factors": smooth_case("LayerNormalization", "x u", [5], axis=0),
    "RMSNormalization": smooth_case("RMSNormalization", "x slopes", [2, 5], axis=0),
    "InstanceNormalization": smooth_case("InstanceNormalization", "x channels channels", [2, 3, 5]),
    "GroupNormalization": smooth_case("GroupNormalization", "x channels channels", [1, 4, 3], num_groups=2),
    "MeanVarianceNormalization": smooth_case("MeanVarianceNormalization", "x", [2, 2, 2, 3]),
    "LRN": smooth_case("LRN", "x", [1, 4, 3], size=3, alpha=0.5),
    "Det": smooth_case("Det", "x", [4, 4]),
    "Einsum": smooth_case("Einsum", "x u", [3, 3], equation="ij,kj->ik"),
    "Einsum of three": smooth_case("Einsum", "x u x", [3, 3], equation="ij,jk,ki->k"),
    "Conv of a moving kernel": smooth_case("Conv", "x u", [3, 3, 2], pads=[1, 0]),
    "LogSoftmax": smooth_case("LogSoftmax", "x", [2, 5], axis=-1),
    "Exp": smooth_case("Exp", "x", [6]),
    "Sigmoid": smooth_case("Sigmoid", "x", [6]),
    "Softmax": smooth_case("Softmax", "x", [2, 5], axis=-1),
    "Softmax of the first axis": smooth_case("Softmax", "x", [4, 2], axis=0),
    "Reciprocal": smooth_case("Reciprocal", "y", [6]),
    "HardSwish": smooth_case("HardSwish", "x", [6]),
    "Mul": smooth_case("Mul", "x u", [6]),
    "Mul square": smooth_case("Mul", "x x", [6]),
    "Div": smooth_case("Div", "u y", [6]),
    "Div constant": smooth_case("Div", "one y", [6]),
    "MatMul": smooth_case("MatMul", "x u", [3, 3]),
    "Gemm": smooth_case("Gemm", "x u u", [3, 3], transA=1, alpha=0.5, beta=2.0),
}


def largest_radius(case: Case, width: float) -> np.ndarray:
    """r of the output, element by element, the largest over some segments."""
    segments = [(start, start + width) for start in (-0.21, -0.05, 0.013, 0.1, 0.27)]
    value = network_of(case, ["out"]).enclose(line_of(case), segments)["out"]
    assert isinstance(value, Affine)
    return np.broadcast_to(value.r, (len(segments), *value.shape)).max(axis=0)


@pytest.mark.parametrize("name", SMOOTH_CASES)
def test_halving_quarters_the_radius(name: str) -> None:
    radii = np.array([largest_radius(SMOOTH_CASES[name], 2.0**-k) for k in range(4, 11)])
    assert np.isfinite(radii).all()
    above_rounding = radii[1:] > 1e-11
    assert above_rounding.any(), "the operator is curved here"
    ratios = radii[:-1][above_rounding] / radii[1:][above_rounding]
    print(
        f"\n{name}: r falls by {ratios.min():.2f} to {ratios.max():.2f} a halving, from {radii[0].max():.2g}"
    )
    assert np.median(ratios) == pytest.approx(4, abs=0.4)
    assert ratios.min() >= 3


@pytest.mark.parametrize("name", SMOOTH_CASES)
def test_points_have_rounding_only(name: str) -> None:
    assert largest_radius(SMOOTH_CASES[name], 0.0).max() <= 4e-12


def is_affine(values: list[Any]) -> bool:
    """Exact values at equidistant points lie on a line."""
    if any(v is twin.UNKNOWN for array in values for v in array.reshape(-1)):
        return False
    rows = [array.reshape(-1) for array in values]
    for before, here, after in zip(rows, rows[1:], rows[2:], strict=False):
        for d in before - 2 * here + after:
            lo, hi = twin.bounds(d)
            if not (lo <= 0 <= hi and hi - lo < Fraction(1, 2**100)):
                return False
    return True


def test_stable_pieces_have_rounding_only() -> None:
    """Piecewise linear networks where no unit bends: r is of rounding size in every tensor."""
    tight, loose, stable = Counter(), defaultdict(list), 0
    for k, case in enumerate(suite(500)):
        if case.smooth:
            continue
        start = float(np.random.default_rng([12, k]).normal())
        width = 2.0**-20
        points = [case.at(Fraction(start) + Fraction(width) * j / 4) for j in range(5)]
        made = {name: n.op_type for n in case.model.graph.node for name in n.output if name}
        if not all(is_affine([p[name] for p in points]) for name in made):
            continue
        stable += 1
        try:
            network = network_of(case)
        except ModelError:
            continue
        values = network.enclose(line_of(case), [(start, start + width)], keep_all=True)
        largest = 1.0
        for name, op_type in made.items():
            value = values.get(name)
            if not isinstance(value, Affine):
                continue
            largest = max(largest, float(np.abs(value.c).max(initial=0)))
            if np.nanmax(value.r, initial=0) <= 1e-12 * largest and not np.isnan(value.r).any():
                tight[op_type] += 1
                continue
            if op_type not in STEPS:
                loose[op_type].append(k)
            break  # what follows is loose because this is
    print(f"\n{stable} stable networks; loose where they need not be: {dict(loose)}")
    assert stable >= 150
    for op_type, numbers in loose.items():
        assert len(numbers) <= max(1, 0.03 * (tight[op_type] + len(numbers))), (op_type, numbers)
