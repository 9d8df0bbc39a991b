"""Step functions at their jumps: engine and checker know the value there, and the right side beside it."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import check_values
import numpy as np
import onnx
import onnx.backend.test.case.node as case_node
import pytest
import twin
from conformance import Case as NodeTest
from conformance_checker import checker_outcome
from enclosure_checks import contradictions, line_of, network_of, points_in, tau_of
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case
from twin.narrow import NARROW

import sureline as sl
from symbolic.enclosures.values import Range
from symbolic.errors import ModelError
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import FAST

POINT = [(Fraction(0), Fraction(0))]
INTEGER_TESTS = ("bitshift", "bitwise", "bitcast", "convinteger", "matmulinteger", "mod_", "qlinear", "cast_")


def one(op_type: str, x: Any, *constants: Any, opset: int = 24, **attributes: Any) -> Case:
    """x and constants -> the operator -> y, the input moving everywhere; y's shape is the discrete output."""
    observed = np.asarray(x)
    names = [f"k{k}" for k in range(len(constants))]
    kind = helper.np_dtype_to_tensor_dtype(observed.dtype)
    graph = helper.make_graph(
        [
            helper.make_node(op_type, ["x", *names], ["y"], **attributes),
            helper.make_node("Shape", ["y"], ["discrete"]),
        ],
        "steps",
        [helper.make_tensor_value_info("x", kind, observed.shape)],
        [helper.make_empty_tensor_value_info("discrete")],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in zip(names, constants, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return Case(model, "x", observed, np.ones_like(observed), {}, smooth=False)


def known(case: Case, bits: int | None = FAST) -> np.ndarray:
    """y at the observed input, which twin, engine and checker must know alike."""
    wanted = twin.to_float(case.at(Fraction(0))["y"])
    value = network_of(case, ["y"]).enclose(line_of(case), [(0.0, 0.0)])["y"]
    if isinstance(value, Range):
        assert value.known.all()
        assert (value.lo[0] == wanted).all()
    else:
        assert not value.r.any()
        assert (value.c[0] == wanted).all()
    graph = check_values.graph_of(case.model, {"x": case.observed}, "x", case.direction)
    y = check_values.values_on(graph, POINT, bits)["y"]
    if isinstance(y, Discrete):
        assert (y.lo == y.hi).all()
        assert (y.lo[..., 0] == wanted).all()
    else:
        assert not y.r.any()
        unit = Fraction(2) ** y.e
        assert [int(c) * unit for c in y.c.flat] == [Fraction(v) for v in wanted.flat]
    return wanted


def test_rounding_at_ties() -> None:
    x = np.array([-2.5, -1.5, -0.5, -0.0, 0.5, 1.5, 2.5, 3.0, 0.49999999999999994, 4503599627370495.5])
    assert list(known(one("Round", x), 200)) == [-2, -2, 0, 0, 0, 2, 2, 3, 0, 4503599627370496]
    assert list(known(one("Floor", x[:8]))) == [-3, -2, -1, 0, 0, 1, 2, 3]
    assert list(known(one("Ceil", x[:8]))) == [-2, -1, 0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize("seed", range(4))
def test_quantisation_at_and_beside_ties(seed: int) -> None:
    """x next to (k + 1/2) scale, which is no float32: the quotient rounded to float64 looks like a tie."""
    rng = np.random.default_rng(seed)
    scale = np.float32(rng.uniform(0.001, 0.5)) if seed else np.float32(0.25)
    k = rng.integers(-120, 120, size=40)
    tie = np.array([float(Fraction(float(scale)) * (int(n) + Fraction(1, 2))) for n in k])
    x = np.nextafter(tie, rng.choice([-np.inf, np.inf], size=40))
    x = np.where(rng.random(40) < 0.5, tie, x)
    values = known(one("QuantizeLinear", tie.astype(np.float32), scale, np.int8(3)))
    assert len(set(values)) > 10
    case = one("QuantizeLinear", x.astype(np.float32), scale, np.int8(3))  # float32 next to the tie
    known(case)


def test_quotients_that_look_whole() -> None:
    """x / y rounded to float64 is a whole number; the quotient itself lies on either side of it, or is it."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.uniform(0.01, 1, size=60), -rng.uniform(0.01, 1, size=60)])
    k = rng.integers(1, 2**20, size=120)
    x = k * y
    assert (x / y == k).mean() > 0.5
    case = one("Mod", x, y, fmod=1)
    value = network_of(case, ["y"]).enclose(line_of(case), [(0.0, 0.0)])["y"]
    sides = set()
    for n, (a, b) in enumerate(zip(map(Fraction, x.tolist()), map(Fraction, y.tolist()), strict=True)):
        rest = a - b * int(a / b)
        sides.add((a / b > int(k[n])) - (a / b < int(k[n])))
        assert abs(Fraction(value.c[0, n]) - rest) <= Fraction(value.r[0, n])
        assert value.r[0, n] < 1e-9
    assert sides >= {-1, 1}


@pytest.mark.parametrize("kind", NARROW, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("saturate", [0, 1])
def test_narrow_formats(kind: int, saturate: int) -> None:
    """Numbers of the format, the midpoints between them, and their neighbours."""
    table = [float(v) for v in twin.narrow.positive_numbers(kind)]
    some = np.unique(np.random.default_rng(kind).integers(0, len(table) - 1, size=30))
    middles = np.array([(table[k] + table[k + 1]) / 2 for k in some])
    x = np.concatenate(
        [np.array(table)[some], middles, np.nextafter(middles, 0), np.nextafter(middles, np.inf)]
    )
    x = x[x < 2.0**50]
    x = x if kind == TensorProto.FLOAT8E8M0 else np.concatenate([x, -x])
    attributes = {"to": kind, **({} if kind in (10, 16, 23, 24) else {"saturate": saturate})}
    known(one("Cast", x, opset=25, **attributes), 2000)
    if kind == TensorProto.FLOAT8E8M0:
        for mode in ("down", "nearest", "up"):
            known(one("Cast", x, opset=25, to=kind, round_mode=mode, saturate=saturate), 2000)


def test_saturation_and_overflow() -> None:
    large = np.array([465.0, -1e9, 1e30])
    assert list(known(one("Cast", large, to=TensorProto.FLOAT8E4M3FN), 400)) == [448, -448, 448]
    case = one("Cast", np.array([65519.0, 65520.0]), to=TensorProto.FLOAT16)
    value = network_of(case, ["y"]).enclose(line_of(case), [(0.0, 0.0)])["y"]
    assert value.c[0, 0] == 65504
    assert np.isnan(value.c[0, 1])  # infinite in float16: no real number
    with pytest.raises((InvalidCertificate, Undecided)):
        check_values.graph_of(case.model, {"x": case.observed}, "x", case.direction)


def test_staircases_follow_their_slope() -> None:
    """On a long segment quantisation and back stays within half a step of the line, not of its range."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Sub", ["d", "x"], ["y"]),
    ]
    case = one("Identity", np.zeros(3, dtype=np.float32))
    model = case.model
    del model.graph.node[0]
    for position, node in enumerate(nodes):
        model.graph.node.insert(position, node)
    for name, value in (("s", np.float32(0.01)), ("z", np.int8(5))):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    (y,) = (network_of(case, ["y"]).enclose(line_of(case), [(-1.0, 1.0)]).values(),)
    assert all((v.half_width() < 0.0051).all() for v in y)
    graph = check_values.graph_of(model, {"x": case.observed}, "x", case.direction)
    form = check_values.values_on(graph, [(Fraction(-1), Fraction(1))], FAST)["y"]
    assert ((np.abs(form.d) + form.r).astype(np.float64) * 2.0**form.e < 0.0051).all()


@pytest.mark.parametrize(
    "kind", [*NARROW, TensorProto.INT4, TensorProto.UINT8], ids=TensorProto.DataType.Name
)
def test_casts_on_segments(kind: int) -> None:
    rng = np.random.default_rng(kind)
    for width in (1.0, 2.0**-4, 2.0**-12, 2.0**-30):
        start = rng.uniform(0, 6, size=12)
        case = one("Cast", start, to=kind, opset=25)
        segment = (0.125, 0.125 + width)
        values = network_of(case, ["y"]).enclose(line_of(case), [segment])
        graph = check_values.graph_of(case.model, {"x": case.observed}, "x", case.direction)
        cell = (Fraction(segment[0]), Fraction(segment[1]))
        for bits in (FAST, 200):
            try:
                checked = {"y": check_values.values_on(graph, [cell], bits)["y"]}
            except Undecided:
                continue
            for t in points_in(rng, segment, 3):
                exact = case.at(t)
                tau = (t - (cell[0] + cell[1]) / 2) / ((cell[1] - cell[0]) / 2)
                assert not check_values.contradictions(checked, exact, 0, tau)
                assert not list(contradictions(values, exact, 0, tau_of(segment, t)))


def test_integers_wrap_around_and_32_bits_overflow() -> None:
    x = np.array([200.7, -130.2, 300.0])
    case = one("Cast", x, to=TensorProto.INT32)
    case.model.graph.node.insert(1, helper.make_node("Cast", ["y"], ["w"], to=TensorProto.INT8))
    lo, hi = sl.enclose(widened(case.model, "w", TensorProto.INT8, [3]), x)["w"]
    assert list(lo) == list(hi) == [-56, 126, 44]
    long = np.full((1, 40000), 250.0, dtype=np.float32)
    case = one("QuantizeLinear", long, np.float32(1), np.uint8(0))
    case.model.graph.initializer.append(numpy_helper.from_array(np.full((40000, 1), 255, np.uint8), "w"))
    case.model.graph.node.insert(1, helper.make_node("MatMulInteger", ["y", "w"], ["sum"]))
    lo, hi = sl.enclose(widened(case.model, "sum", TensorProto.INT32, [1, 1]), long)["sum"]
    assert lo[0, 0] < -(2**31) and hi[0, 0] > 2**31  # the standard lets it wrap around: nothing is known


def widened(model: onnx.ModelProto, name: str, kind: int, shape: list[int]) -> onnx.ModelProto:
    """The model with another output."""
    del model.graph.output[:]
    del model.graph.node[-1]
    model.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    return model


def test_dividing_by_zero_is_undefined() -> None:
    case = one("QuantizeLinear", np.ones(2, np.float32), np.float32(0), np.uint8(0))
    lo, hi = sl.enclose(widened(case.model, "y", TensorProto.UINT8, [2]), np.ones(2, np.float32))["y"]
    assert (lo < 0).all() and (hi > 255).all()
    with pytest.raises((InvalidCertificate, Undecided)):
        check_values.graph_of(
            one("Mod", np.ones(2), np.zeros(2), fmod=1).model, {"x": np.ones(2)}, "x", np.ones(2)
        )


def test_refusals_name_the_node() -> None:
    for case in (
        one("Cast", np.ones(2), to=TensorProto.STRING),
        one("QuantizeLinear", np.ones((2, 3), np.float32), np.ones(5, np.float32), np.zeros(5, np.uint8)),
        one("BitCast", np.ones(2, np.float32), to=TensorProto.INT32, opset=26),
    ):
        with pytest.raises(ModelError, match=case.model.graph.node[0].op_type):
            network_of(case, ["y"])


def test_interpolated_integers_are_refused() -> None:
    """They would be rounded, in no way that the standard says."""
    image = np.ones((1, 1, 2, 2), np.float32)
    case = one("QuantizeLinear", image, np.float32(0.5), np.uint8(0))
    scales = numpy_helper.from_array(np.array([1, 1, 1.5, 1.5], np.float32), "scales")
    case.model.graph.initializer.append(scales)
    case.model.graph.node.insert(1, helper.make_node("Resize", ["y", "", "scales"], ["z"], mode="linear"))
    case.model.graph.node[-1].input[0] = "z"
    with pytest.raises(ModelError, match="interpolation of integers"):
        network_of(case, ["z"])
    with pytest.raises(InvalidCertificate):
        check_values.graph_of(case.model, {"x": image}, "x", image)


def kind_of(item: onnx.ValueInfoProto) -> str:
    return str(TensorProto.DataType.Name(item.type.tensor_type.elem_type))


def array(value: Any) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def integer_tests() -> list[Any]:
    """Node tests of which no input is a real number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = case_node.collect_testcases(None)
    return [
        test
        for test in found
        if test.model is not None
        and test.name.startswith(tuple(f"test_{name}" for name in INTEGER_TESTS))
        and all(
            "INT" in TensorProto.DataType.Name(i.type.tensor_type.elem_type) for i in test.model.graph.input
        )
    ]


@pytest.mark.parametrize("test", integer_tests(), ids=lambda t: t.name)
def test_integers_of_the_standard(test: Any) -> None:
    """A real input that nothing depends on moves, for engine and checker need one."""
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    names = [item.name for item in model.graph.input]
    model.graph.input.append(helper.make_tensor_value_info("moving", TensorProto.FLOAT, [1]))
    for inputs, outputs in test.data_sets:
        arrays = [
            numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else np.asarray(v) for v in inputs
        ]
        wanted = [
            numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else np.asarray(v) for v in outputs
        ]
        feeds = {**dict(zip(names, arrays, strict=True)), "moving": np.zeros(1, np.float32)}
        found = sl.enclose(model, feeds)
        for (lo, hi), value in zip(found.values(), wanted, strict=True):
            assert (lo == value.astype(lo.dtype)).all()
            assert (hi == value.astype(lo.dtype)).all()
        if test.name == "test_bitcast_int64_to_float64":  # integers beyond 2**52
            continue
        case = NodeTest(test.name, model, feeds, wanted, test.rtol, test.atol)
        assert checker_outcome(case) == ("pass", "")


@pytest.mark.parametrize(
    ("operator", "number", "length"), [("Mul", 2.0, 12), ("Mul", 1.5, 9), ("Div", 0.5, 12)]
)
def test_sizes_computed_in_floats(operator: str, number: float, length: int) -> None:
    """As exporters write them: a length, a scale, the floor of their product."""
    case = one("Identity", np.ones(6, dtype=np.float32))
    nodes = [
        helper.make_node("Shape", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["real"], to=TensorProto.FLOAT),
        helper.make_node(operator, ["real", "number"], ["scaled"]),
        helper.make_node("Floor", ["scaled"], ["down"]),
        helper.make_node("Cast", ["down"], ["length"], to=TensorProto.INT64),
        helper.make_node("Gather", ["x", "one"], ["element"]),
        helper.make_node("Expand", ["element", "length"], ["y"]),
    ]
    del case.model.graph.node[0]
    for position, node in enumerate(nodes):
        case.model.graph.node.insert(position, node)
    stored = {"number": np.float32([number]), "one": np.array([1])}
    case.model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in stored.items())
    assert network_of(case, ["y"]).observed["y"].shape == (length,)
    graph = check_values.graph_of(case.model, {"x": case.observed}, "x", case.direction)
    assert graph.shapes["y"] == (length,)


@pytest.mark.parametrize("after", ["Resize", "Pow", "Pad"])
def test_whole_real_numbers_are_real_numbers(after: str) -> None:
    """What Round gives is whole, but no integer: a border of 0.75 and a power of it stay what they are."""
    x = np.array([[[[0.25, 1.75], [-2.25, 3.25]]]])
    options: dict[str, Any] = {
        "Resize": {
            "coordinate_transformation_mode": "tf_crop_and_resize",
            "extrapolation_value": 0.75,
            "mode": "nearest",
        }
    }
    given = {
        "Resize": [np.array([0, 0, 0, 0, 1, 1, 2, 1], dtype=np.float32), None, np.array([1, 1, 3, 2])],
        "Pow": [np.array(2.0)],
        "Pad": [np.array([0, 0, 1, 0, 0, 0, 0, 0]), np.array(0.75)],
    }[after]
    stored = [numpy_helper.from_array(v, f"k{k}") for k, v in enumerate(given) if v is not None]
    names = [f"k{k}" if v is not None else "" for k, v in enumerate(given)]
    nodes = [
        helper.make_node("Round", ["x"], ["whole"]),
        helper.make_node(after, ["whole", *names], ["y"], **options.get(after, {})),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, x.shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None] * 4)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    lo, hi = sl.enclose(model, x, np.full(x.shape, 0.001), 0, 1)["y"]
    exact = twin.evaluate(model, {"x": x})["y"]
    wanted = twin.to_float(exact)
    assert (lo <= wanted).all() and (wanted <= hi).all() and (hi - lo < 1e-12).all()
