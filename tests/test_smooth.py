"""Smooth and scalar operators in graphs: engine and checker contain the twin's values on segments."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import check_values
import numpy as np
import onnx
import pytest
import twin
from enclosure_checks import contradictions, line_of, network_of, points_in, tau_of
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case

import sureline as sl
from symbolic.enclosures.curves import Curve, relax
from symbolic.enclosures.values import Affine, Range, Value
from symbolic.errors import ModelError
from symbolic.network import Network
from symbolic.operators.elementary import ACOS, ACOSH, ASIN
from symbolic.operators.smooth import SQRT
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.numbers.integers import EXACT, FAST

SHAPE = [2, 4]


@dataclass(frozen=True)
class Scalar:
    """An operator of one moving tensor x, or of x and a constant, and where its arguments may lie."""

    op_type: str
    low: float = -6.0
    high: float = 6.0
    attributes: dict[str, Any] = field(default_factory=dict)
    constant: Any = None
    first: bool = False  # whether the constant is the first operand
    opset: int = 24

    def case(self, observed: np.ndarray, direction: np.ndarray) -> Case:
        """x -> the operator -> y; its shape is the discrete output."""
        names = ["x"] if self.constant is None else ["k", "x"] if self.first else ["x", "k"]
        nodes = [
            helper.make_node(self.op_type, names, ["y"], **self.attributes),
            helper.make_node("Shape", ["y"], ["discrete"]),
        ]
        stored = [] if self.constant is None else [numpy_helper.from_array(np.asarray(self.constant), "k")]
        graph = helper.make_graph(
            nodes,
            "scalar",
            [helper.make_tensor_value_info("x", TensorProto.DOUBLE, observed.shape)],
            [helper.make_empty_tensor_value_info("discrete")],
            stored,
        )
        imports = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        return Case(model, "x", observed, direction, {}, smooth=True)


CASES = {
    **{name: Scalar(name) for name in "Erf Sin Cos Atan Sinh Cosh Asinh Tanh Sigmoid Exp".split()},
    **{name: Scalar(name) for name in "Softplus Softsign Mish Gelu Swish Elu Celu Selu HardSwish".split()},
    "Tan": Scalar("Tan", -1.4, 1.4),
    "Tan elsewhere": Scalar("Tan", 99.2, 101.9),
    "Asin": Scalar("Asin", -0.99, 0.99),
    "Acos": Scalar("Acos", -0.99, 0.99),
    "Atanh": Scalar("Atanh", -0.99, 0.99),
    "Acosh": Scalar("Acosh", 1.01, 9.0),
    "Log": Scalar("Log", 0.01, 9.0),
    "Sqrt": Scalar("Sqrt", 0.01, 9.0),
    "Reciprocal": Scalar("Reciprocal", 0.1, 9.0),
    "Gelu tanh": Scalar("Gelu", attributes={"approximate": "tanh"}),
    "Swish steep": Scalar("Swish", attributes={"alpha": 5.0}),
    "Swish upside down": Scalar("Swish", attributes={"alpha": -0.75}),
    "Swish of rate 0": Scalar("Swish", attributes={"alpha": 0.0}),
    "Elu 2": Scalar("Elu", attributes={"alpha": 2.0}, opset=9),
    "Elu upside down": Scalar("Elu", attributes={"alpha": -0.3}),
    "Elu 0": Scalar("Elu", attributes={"alpha": 0.0}),
    "Celu 0.1": Scalar("Celu", attributes={"alpha": 0.1}, opset=12),
    "Celu upside down": Scalar("Celu", attributes={"alpha": -2.0}),
    "Selu upside down": Scalar("Selu", attributes={"alpha": 0.5, "gamma": -2.0}),
    "Pow 2": Scalar("Pow", constant=2.0),
    "Pow 3": Scalar("Pow", constant=3.0, opset=7),
    "Pow 7": Scalar("Pow", constant=np.array([7.0])),
    "Pow of whole exponents": Scalar("Pow", constant=np.array([0, 1, 2, 5]), opset=15),
    "Pow -1": Scalar("Pow", 0.1, 6.0, constant=-1.0),
    "Pow -3 below": Scalar("Pow", -6.0, -0.1, constant=-3.0),
    "Pow -2 below": Scalar("Pow", -6.0, -0.1, constant=-2.0),
    "Pow 0.5": Scalar("Pow", 0.01, 9.0, constant=0.5),
    "Pow 1.5": Scalar("Pow", 0.01, 9.0, constant=1.5),
    "Pow of many exponents": Scalar("Pow", 0.01, 9.0, constant=np.array([[-1.5, 0.25, 2.5, 0.0]] * 2)),
    "Pow -0.5": Scalar("Pow", 0.01, 9.0, constant=-0.5),
    "Pow of a constant": Scalar("Pow", constant=1.75, first=True),
    "Pow of constants": Scalar("Pow", constant=np.array([0.5, 1.0, 3.0, 20.0]), first=True),
    "ThresholdedRelu": Scalar("ThresholdedRelu"),
    "ThresholdedRelu -1": Scalar("ThresholdedRelu", attributes={"alpha": -1.0}, opset=10),
    "ThresholdedRelu 0": Scalar("ThresholdedRelu", attributes={"alpha": 0.0}),
    "Shrink": Scalar("Shrink"),
    "Shrink softly": Scalar("Shrink", attributes={"lambd": 1.5, "bias": 1.5}, opset=9),
    "Shrink with a jump": Scalar("Shrink", attributes={"lambd": 1.5, "bias": 0.5}),
    "Shrink of overlapping parts": Scalar("Shrink", attributes={"lambd": -1.0, "bias": 0.5}),
}


def engine_values(case: Case, segments: list[tuple[float, float]]) -> dict[str, Value]:
    network = network_of(case)
    values = network.enclose(line_of(case), segments, keep_all=True)
    return {"y": values["y"]}


def checker_values(case: Case, segment: tuple[Fraction, Fraction], bits: int | None) -> dict[str, Any]:
    graph = check_values.graph_of(case.model, {"x": case.observed}, "x", case.direction)
    return {"y": check_values.values_on(graph, [segment], bits)["y"]}


def random_case(rng: np.random.Generator, scalar: Scalar, width: float) -> Case:
    """x(t) stays within the domain for t in [0, width]."""
    observed = rng.uniform(scalar.low, scalar.high, size=SHAPE)
    ends = rng.uniform(scalar.low, scalar.high, size=SHAPE)
    direction = np.where(rng.random(SHAPE) < 0.1, 0.0, (ends - observed) / max(width, 1.0))
    return scalar.case(observed, direction)


@pytest.mark.parametrize("name", CASES)
def test_engine_contains(name: str) -> None:
    rng = np.random.default_rng([1, len(name)])
    for width in (1.0, 0.25, 2.0**-5, 2.0**-12, 2.0**-30, 0.0):
        for _ in range(3):
            case = random_case(rng, CASES[name], width)
            segment = (0.125, 0.125 + width * 0.75)
            values = engine_values(case, [segment])
            assert isinstance(values["y"], Affine) and np.isfinite(values["y"].r).all()
            for t in points_in(rng, segment, 4):
                assert not list(contradictions(values, case.at(t), 0, tau_of(segment, t)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bits", [FAST, 128, EXACT])
def test_checker_contains(name: str, bits: int | None) -> None:
    rng = np.random.default_rng([2, len(name)])
    for width in (Fraction(3, 4), Fraction(1, 64), Fraction(1, 2**30), Fraction(0)):
        case = random_case(rng, CASES[name], float(width))
        start = Fraction(1, 8)
        values = checker_values(case, (start, start + width), bits)
        for part in (Fraction(0), Fraction(1, 3), Fraction(63, 64)):
            t = start + width * part
            assert not check_values.contradictions(values, case.at(t), 0, 2 * part - 1)


@pytest.mark.parametrize("name", CASES)
def test_points_have_rounding_only(name: str) -> None:
    scalar = CASES[name]
    rng = np.random.default_rng([3, len(name)])
    case = random_case(rng, scalar, 1.0)
    value = engine_values(case, [(0.0, 0.0)])["y"]
    assert isinstance(value, Affine)
    assert (value.half_width() <= 1e-11 * np.maximum(1.0, np.abs(value.c))).all()
    form = checker_values(case, (Fraction(0), Fraction(0)), FAST)["y"]
    assert check_values.radius(form) <= 1e-14 * max(1.0, np.abs(value.c).max())


@pytest.mark.parametrize("name", CASES)
def test_constants_are_folded(name: str) -> None:
    """Of a constant argument the operator is a constant, which the engine knows with its error."""
    scalar = CASES[name]
    observed = np.random.default_rng([4, len(name)]).uniform(scalar.low, scalar.high, size=SHAPE)
    case = scalar.case(observed, np.zeros(SHAPE))
    still = case.model.graph.input.add()
    still.CopyFrom(helper.make_tensor_value_info("moving", TensorProto.DOUBLE, [1]))
    case.model.graph.node.append(helper.make_node("Add", ["y", "moving"], ["moved"]))
    network = Network(case.model, {"x": observed, "moving": np.zeros(1)}, "moving", ["y", "moved"])
    constant = network.constants["y"]
    exact = twin.evaluate(case.model, {"x": observed, "moving": np.zeros(1)})
    assert not list(contradictions({"y": constant}, exact, 0, Fraction(0)))


# --- far out ---

FAR = [1e3, -1e3, 1e6, -1e6, 2.0**60, -(2.0**60), 1e150, -1e150, 1e300, -1e300]


@pytest.mark.parametrize(
    "name", "Erf Atan Asinh Tanh Sigmoid Softplus Softsign Mish Gelu Swish Sin Cos".split()
)
def test_far_out(name: str) -> None:
    """The engine is finite there, and right."""
    for x in FAR:
        case = CASES[name].case(np.array([x]), np.array([1.0]))
        values = engine_values(case, [(0.0, 0.0), (0.0, 1.0)])
        y = values["y"]
        assert isinstance(y, Affine) and np.isfinite(y.c).all() and np.isfinite(y.r).all()
        if name in ("Sin", "Cos"):
            assert (np.abs(y.c) + y.half_width() <= 1 + 1e-6).all() or abs(x) < 1e10
        for k, t in ((0, Fraction(0)), (1, Fraction(1, 3)), (1, Fraction(1))):
            tau = Fraction(0) if k == 0 else 2 * t - 1
            assert not list(contradictions(values, case.at(t), k, tau))


@pytest.mark.parametrize("name", ["Sin", "Cos"])
def test_waves_over_more_than_a_period(name: str) -> None:
    rng = np.random.default_rng(5)
    for length in (2.0, 3.0, 3.2, 4.0, 7.0, 100.0, 1e200):
        case = CASES[name].case(rng.uniform(-9, 9, size=SHAPE), np.full(SHAPE, length))
        values = engine_values(case, [(0.0, 1.0)])
        y = values["y"]
        assert isinstance(y, Affine) and (y.r <= 1.0).all()
        checked = checker_values(case, (Fraction(0), Fraction(1)), FAST)
        for part in range(9):
            exact = case.at(Fraction(part, 8))
            assert not list(contradictions(values, exact, 0, Fraction(part, 4) - 1))
            assert not check_values.contradictions(checked, exact, 0, Fraction(part, 4) - 1)


@pytest.mark.parametrize("name", ["Sin", "Cos", "Tan"])
def test_multiples_of_right_angles(name: str) -> None:
    """Zeros, extremes, poles: the float nearest to each, and a short segment around it."""
    for k in (-7, -2, -1, 0, 1, 2, 3, 10, 999, 10**6 + 1, 10**12, 2**49 + 1, 2**53, 3 * 2**60):
        x = float(k * np.pi / 2)
        case = CASES[name].case(np.array([x]), np.array([1.0]))
        width = 2.0**-10
        values = engine_values(case, [(-width, width), (0.0, 0.0)])
        for t in (-width, -width / 3, 0.0, width):
            exact = case.at(Fraction(t))
            assert not list(contradictions(values, exact, 0, Fraction(t) / Fraction(width)))
        assert not list(contradictions(values, case.at(Fraction(0)), 1, Fraction(0)))
        pole = name == "Tan" and k % 2 and abs(k) < 2**49
        y = values["y"]
        assert isinstance(y, Affine) and (not pole or np.isnan(y.c[0]).all())


def test_softmax_far_out() -> None:
    x = np.array([[1e6, 1e6 - 1, -1e6, 3e5], [-1e8, -1e8, -1e8 + 2, -1e8 - 40]])
    for op_type in ("Softmax", "LogSoftmax"):
        case = Scalar(op_type).case(x, np.array([[1.0, 0, 0, -1], [1, 2, 3, 4]]))
        values = engine_values(case, [(0.0, 0.0), (0.0, 2.0**-10)])
        y = values["y"]
        assert isinstance(y, Affine) and (y.r[0] <= 1e-6 * np.maximum(1, np.abs(y.c[0]))).all()
        checked = checker_values(case, (Fraction(0), Fraction(1, 1024)), 128)
        for tau in (Fraction(-1), Fraction(1, 3), Fraction(1)):
            exact = case.at((tau + 1) / 2048)
            assert not list(contradictions(values, exact, 1, tau))
            assert not check_values.contradictions(checked, exact, 0, tau)


# --- edges of domains ---

EDGES = [
    ("Asin", 1.0, 1),
    ("Asin", -1.0, -1),
    ("Acos", 1.0, 1),
    ("Acos", -1.0, -1),
    ("Atanh", 1.0, 1),
    ("Acosh", 1.0, -1),
    ("Sqrt", 0.0, -1),
    ("Log", 0.0, -1),
    ("Pow 0.5", 0.0, -1),
    ("Pow 1.5", 0.0, -1),
    ("Pow -0.5", 0.0, -1),
]
OPEN = {"Atanh", "Log", "Pow -0.5"}


@pytest.mark.parametrize(("name", "edge", "outward"), EDGES)
def test_points_at_an_edge(name: str, edge: float, outward: int) -> None:
    """Defined up to the edge, if it belongs to the domain, and not a step further."""
    beyond = float(np.nextafter(edge, np.inf * outward))
    for x, known in ((edge, name not in OPEN), (beyond, False), (edge + outward, False)):
        case = CASES[name].case(np.array([x, edge - outward / 2]), np.zeros(2))
        values = engine_values(case, [(0.0, 0.0)])
        y = values["y"]
        assert isinstance(y, Affine)
        finite = np.isfinite(y.c[0]) & np.isfinite(y.r[0])
        assert finite.tolist() == [known, True]
        assert not list(contradictions(values, case.at(Fraction(0)), 0, Fraction(0)))
        if not known:
            with pytest.raises(InvalidCertificate):
                checker_values(case, (Fraction(0), Fraction(0)), FAST)
            continue
        for bits in (FAST, 128, EXACT):
            checked = checker_values(case, (Fraction(0), Fraction(0)), bits)
            assert not check_values.contradictions(checked, case.at(Fraction(0)), 0, Fraction(0))


@pytest.mark.parametrize(("name", "edge", "outward"), EDGES)
def test_segments_at_an_edge(name: str, edge: float, outward: int) -> None:
    """Next to the edge they are enclosed; beyond it nothing is claimed."""
    case = CASES[name].case(np.array([edge]), np.array([float(outward)]))
    width = 2.0**-8
    segments = [(-width, -width / 64), (-width, 0.0), (-width, 2.0**-40), (2.0**-40, width)]
    y = engine_values(case, segments)["y"]
    assert isinstance(y, Affine)
    finite = np.isfinite(y.c[:, 0]) & np.isfinite(y.r[:, 0])
    assert finite.tolist() == [True, False, False, False]  # the input's rounding reaches over the edge
    for t in np.linspace(-width, -width / 64, 7).tolist():
        assert not list(contradictions({"y": y}, case.at(Fraction(t)), 0, tau_of(segments[0], Fraction(t))))


@pytest.mark.parametrize(
    ("name", "curve", "middle"),
    [
        ("Asin", ASIN, 0.75),
        ("Asin", ASIN, -0.75),
        ("Acos", ACOS, 0.75),
        ("Acosh", ACOSH, 1.25),
        ("Sqrt", SQRT, 0.25),
    ],
)
def test_forms_that_touch_an_edge(name: str, curve: Curve, middle: float) -> None:
    """An exact form may end where the function ends, with an infinite slope."""
    towards = round(middle) - middle  # the edge is a whole number
    for k in range(40):
        half = abs(towards) * 2.0**-k
        c = middle + towards - np.copysign(half, towards)
        form = Affine(np.array([[c]]), np.array([[half]]), np.zeros([1, 1]))
        y = relax(form, curve)
        assert np.isfinite(y.r).all() and y.r[0, 0] <= half**0.5
        for tau in (Fraction(-1), Fraction(-9, 10), Fraction(1, 3), Fraction(1)):
            x = np.array([[Fraction(c) + Fraction(half) * tau]], dtype=object)
            call = twin.call.Call(helper.make_node(name, ["x"], ["y"]), [x], 20)
            exact = {"y": twin.OPERATORS[name](call)[0][0]}
            assert not list(contradictions({"y": y}, exact, 0, tau))


def test_powers_of_0() -> None:
    """0**y is 0 for y > 0, 1 for y = 0, and no number below; 0**0 is 1."""
    x = np.array([0.5, 2.0, 1.0])
    case = Scalar("Pow", constant=np.array([0.0, 0.0, 2.0]), first=True).case(x, np.array([1.0, 1.0, 1.0]))
    y = engine_values(case, [(0.0, 0.25), (-0.75, 0.0)])["y"]
    assert isinstance(y, Affine)
    assert y.c[0, :2].tolist() == [0.0, 0.0] and y.r[0, :2].tolist() == [0.0, 0.0]
    assert np.isnan(y.c[1, 0]) and y.c[1, 1] == 0.0
    checked = checker_values(case, (Fraction(0), Fraction(1, 4)), FAST)
    assert not check_values.contradictions(checked, case.at(Fraction(1, 8)), 0, Fraction(0))
    with pytest.raises(Undecided):
        checker_values(case, (Fraction(-3, 4), Fraction(0)), FAST)
    zero = CASES["Pow of whole exponents"].case(np.zeros([1, 4]), np.zeros([1, 4]))
    y = engine_values(zero, [(0.0, 0.0)])["y"]
    assert isinstance(y, Affine) and y.c[0, 0, 0] == 1.0 and np.abs(y.c[0, 0, 1:]).max() <= 1e-300


def test_negative_bases() -> None:
    for constant in (0.5, -0.5, 1.0 / 3):
        y = engine_values(Scalar("Pow", constant=constant).case(np.array([-2.0]), np.ones(1)), [(0.0, 1.0)])[
            "y"
        ]
        assert isinstance(y, Affine) and np.isnan(y.c).all()
    case = Scalar("Pow", constant=-2.0, first=True).case(np.array([3.0]), np.ones(1))
    y = engine_values(case, [(0.0, 0.0)])["y"]
    assert isinstance(y, Affine) and np.isnan(y.c).all()


def test_both_operands_of_a_power_move() -> None:
    rng = np.random.default_rng(6)
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=0, num_outputs=2),
        helper.make_node("Abs", ["a"], ["size"]),
        helper.make_node("Pow", ["size", "b"], ["y"]),
        helper.make_node("Shape", ["y"], ["discrete"]),
    ]
    graph = helper.make_graph(
        nodes,
        "power",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [2, 5])],
        [helper.make_empty_tensor_value_info("discrete")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    for width in (0.5, 2.0**-10, 0.0):
        x = np.concatenate([rng.uniform(1.0, 4.0, size=[1, 5]), rng.normal(size=[1, 5])])
        case = Case(model, "x", x, rng.uniform(-1, 1, size=[2, 5]), {}, smooth=True)
        segment = (0.0, width)
        values = engine_values(case, [segment])
        checked = checker_values(case, (Fraction(0), Fraction(width)), FAST)
        for t in points_in(rng, segment, 4):
            assert not list(contradictions(values, case.at(t), 0, tau_of(segment, t)))
            assert not check_values.contradictions(checked, case.at(t), 0, tau_of(segment, t))


# --- jumps, special values, refusals ---


def test_jumps_at_their_edge() -> None:
    """At the threshold itself the value is known, and on the open segments beside it."""
    for name, edges in (
        ("ThresholdedRelu", [(1.0, 0.0)]),
        ("Shrink with a jump", [(1.5, 0.0), (-1.5, 0.0)]),
        ("Shrink of overlapping parts", [(1.0, 0.5)]),
    ):
        for edge, expected in edges:
            case = CASES[name].case(np.array([edge, edge]), np.array([0.0, 1.0]))
            y = engine_values(case, [(0.0, 0.0), (0.25, 0.5), (-0.5, -0.25), (-0.25, 0.5)])["y"]
            assert isinstance(y, Affine)
            assert y.c[0, 0] == expected and y.r[0, 0] <= 1e-15
            assert (y.r[1:3, 1] <= 1e-14).all() and y.r[3, 1] >= 0.25
            checked = checker_values(case, (Fraction(0), Fraction(0)), FAST)["y"]
            assert int(checked.c[0, 0]) * 2.0**checked.e == expected


@pytest.mark.parametrize(
    "name", [name for name in CASES if CASES[name].op_type in ("ThresholdedRelu", "Shrink")]
)
def test_rays_of_jumps(name: str) -> None:
    """Far enough out x + shift keeps its side: homogeneous in x and the constants together."""
    rng = np.random.default_rng(7)
    for segment in ((8.0, np.inf), (-np.inf, -64.0)):
        case = CASES[name].case(rng.normal(size=SHAPE), rng.normal(size=SHAPE))
        network = network_of(case)
        assert network.homogeneous
        values = {"y": network.enclose(line_of(case), [segment], keep_all=True)["y"]}
        for t in points_in(rng, segment, 6):
            assert not list(contradictions(values, case.at(t), 0, tau_of(segment, t), 1 / abs(t)))


def test_special_values_are_false_for_real_numbers() -> None:
    nodes = [helper.make_node("Log", ["x"], ["log"])]
    for op_type in ("IsNaN", "IsInf"):
        nodes += [helper.make_node(op_type, [name], [f"{op_type}/{name}"]) for name in ("x", "log")]
    outputs = [node.output[0] for node in nodes[1:]]
    graph = helper.make_graph(
        nodes,
        "special",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(name, TensorProto.BOOL, [2]) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    x, one = np.array([1.0, -1.0], dtype=np.float32), np.ones(2, dtype=np.float32)
    found = sl.enclose(model, x, one, 0, "1/2")
    for name in outputs:
        lower, upper = found[name]
        assert lower.tolist() == [False, False]
        assert upper.tolist() == [False, name.endswith("log")]
    good = check_values.graph_of(model, {"x": np.array([1.0, 2.0])}, "x", np.ones(2))
    for name, value in check_values.values_on(good, [(Fraction(0), Fraction(1))], FAST).items():
        assert name not in outputs or not (value.lo.any() or value.hi.any())


def test_special_values_in_a_network() -> None:
    """What the engine knows is a range of booleans of the right shape."""
    case = Scalar("IsNaN").case(np.ones(SHAPE), np.ones(SHAPE))
    value = network_of(case, ["y"]).enclose(line_of(case), [(0.0, 1.0), (0.0, 2.0)])["y"]
    assert isinstance(value, Range) and value.hi.shape == (2, *SHAPE) and not value.hi.any()


@pytest.mark.parametrize(
    ("scalar", "words"),
    [
        (Scalar("Celu", attributes={"alpha": 0.0}), "alpha is 0"),
        (Scalar("Gelu", attributes={"approximate": "fast"}), "fast"),
    ],
)
def test_refusals(scalar: Scalar, words: str) -> None:
    case = scalar.case(np.ones(SHAPE), np.ones(SHAPE))
    with pytest.raises(ModelError, match=words):
        network_of(case)
    with pytest.raises(InvalidCertificate, match=words):
        check_values.graph_of(case.model, {"x": case.observed}, "x", case.direction)


def test_powers_of_integers() -> None:
    """Constants are folded exactly; what moves is refused."""
    exponents = numpy_helper.from_array(np.array([0, 1, 5]), "n")
    bases = numpy_helper.from_array(np.array([7, -2, 3]), "k")
    nodes = [
        helper.make_node("Pow", ["k", "n"], ["powers"]),
        helper.make_node("Cast", ["powers"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "real"], ["y"]),
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])]
    graph = helper.make_graph(
        nodes,
        "powers",
        given,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [exponents, bases],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    lower, upper = sl.enclose(model, np.zeros(3, dtype=np.float32))["y"]
    exact = np.array([1.0, -2.0, 243.0])
    assert (lower <= exact).all() and (exact <= upper).all() and (upper - lower <= 1e-12).all()
    moving = onnx.ModelProto()
    moving.CopyFrom(model)
    del moving.graph.node[:]
    moving.graph.node.extend(
        [
            helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Pow", ["whole", "n"], ["powers"]),
            helper.make_node("Cast", ["powers"], ["y"], to=TensorProto.FLOAT),
        ]
    )
    with pytest.raises(ModelError, match="powers of integers"):
        sl.enclose(moving, np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32), 0, 1)


def test_twin_knows_the_operators() -> None:
    assert {scalar.op_type for scalar in CASES.values()} <= set(twin.OPERATORS)
