"""The nodes between a model and its selection: valid ONNX, and the numbers that their names promise."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from inference.hypothesis_nodes import AppendedSelection, append_pattern, append_selection, moving_tensors
from inference.operators import (
    Abs,
    AverageFilter,
    GaussianFilter,
    InputDiff,
    L1Norm,
    Neg,
    Operator,
    operator_from_text,
)
from symbolic.errors import InputError, ModelError, OptionError

ort = pytest.importorskip("onnxruntime")

SHAPES = {2: (3, 5), 3: (1, 2, 6), 4: (1, 2, 4, 5)}
TYPES = {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16}


def tiny_model(rank: int = 4, opset: int = 13, output: str = "float", body: str = "Neg") -> onnx.ModelProto:
    """y = body(x), cast to the output's type."""
    shape = SHAPES[rank]
    nodes = [helper.make_node(body, ["x"], ["h"]), helper.make_node("Cast", ["h"], ["y"], to=TYPES[output])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TYPES[output], shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def appended(model: onnx.ModelProto, rank: int = 4, **options: Any) -> AppendedSelection:
    settings: dict[str, Any] = {
        "i_idx": 0,
        "o_idx": 0,
        "shape_of": lambda name: SHAPES[rank],
        "post_process": [],
        "use_norm": False,
        "threshold": 0.25,
        "mask": None,
    }
    return append_selection(model, **{**settings, **options})


def run(model: onnx.ModelProto, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """ONNX Runtime, or the reference evaluator where the runtime has no kernel for the type."""
    names = [value.name for value in model.graph.output]
    try:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(None, {"x": x}), strict=True))
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
    return dict(zip(names, ReferenceEvaluator(model).run(None, {"x": x}), strict=True))


def filtered(s: NDArray[Any], kernel: NDArray[Any]) -> NDArray[Any]:
    """Zero-padded correlation, by its definition."""
    half = kernel.shape[0] // 2
    padded = np.pad(s, [(0, 0), (0, 0)] + [(half, half)] * (s.ndim - 2))
    out = np.zeros_like(s)
    for where in np.ndindex(*kernel.shape):
        window = tuple(slice(i, i + n) for i, n in zip(where, s.shape[2:], strict=True))
        out += kernel[where] * padded[(slice(None), slice(None), *window)]
    return out


def expected_step(step: Operator, s: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    if isinstance(step, InputDiff):
        return s - x
    if isinstance(step, Neg):
        return -s
    if isinstance(step, Abs):
        return np.maximum(s, -s)
    if isinstance(step, L1Norm):
        total: NDArray[Any] = np.abs(s).sum(axis=1 if s.ndim == 4 else 0, keepdims=True)
        return np.broadcast_to(total, s.shape)
    if isinstance(step, AverageFilter):
        return filtered(
            s, np.full((step.kernel_size,) * (s.ndim - 2), 1.0) / step.kernel_size ** (s.ndim - 2)
        )
    if isinstance(step, GaussianFilter):
        line = np.exp(
            -(np.arange(-(step.kernel_size // 2), step.kernel_size // 2 + 1) ** 2)
            / 2
            / float(step.sigma) ** 2
        )
        kernel = line if s.ndim == 3 else np.outer(line, line)
        return filtered(s, kernel / kernel.sum())
    raise AssertionError


STEPS: list[list[Operator]] = [
    [],
    [InputDiff()],
    [Neg()],
    [InputDiff(), Abs()],
    [AverageFilter(3)],
    [InputDiff(), Abs(), GaussianFilter(3, 1.5)],
    [GaussianFilter(5)],
    [L1Norm(), Neg()],
]


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
@pytest.mark.parametrize("output", list(TYPES))
@pytest.mark.parametrize("rank", [2, 3, 4])
def test_steps_on_every_opset(opset: int, output: str, rank: int) -> None:
    x = np.random.default_rng(0).normal(size=SHAPES[rank]).astype(np.float32)
    mask = np.random.default_rng(1).random(SHAPES[rank]) < 0.7
    for steps in STEPS:
        if rank == 2 and any(isinstance(step, (AverageFilter, GaussianFilter, L1Norm)) for step in steps):
            continue
        for use_norm in (False, True):
            model = tiny_model(rank, opset, output)
            result = appended(model, rank, post_process=steps, use_norm=use_norm, mask=mask)
            onnx.checker.check_model(result.proto, full_check=True)
            got = run(result.proto, x)
            s = -x.astype(np.float64)
            for step in steps:
                s = expected_step(step, s, x.astype(np.float64))
            np.testing.assert_allclose(got[result.score], s, atol=2e-2 if output == "float16" else 2e-6)
            score = got[result.score]
            if use_norm:
                score = (score - score.min()) / (score.max() - score.min())
            np.testing.assert_array_equal(got[result.selections[0]], (score > 0.25) & mask)


def test_names_and_order_are_those_of_the_specification() -> None:
    model = tiny_model(4, 13, "double")
    mask = np.ones(SHAPES[4], dtype=bool)
    proto = appended(model, post_process=[InputDiff(), L1Norm()], use_norm=True, mask=mask).proto
    nodes = list(proto.graph.node)
    assert nodes[:2] == list(model.graph.node)
    words = [f"{node.op_type} {' '.join(node.input)} -> {' '.join(node.output)}" for node in nodes[2:]]
    assert [word.replace("sureline/", "/") for word in words] == [
        "Cast x -> /post0/input",
        "Sub y /post0/input -> /post0",
        "Abs /post0 -> /post1/abs",
        "ReduceSum /post1/abs /post1/axes -> /post1/sum",
        "Expand /post1/sum /post1/shape -> /post1",
        "Cast /post1 -> /score",
        "ReduceMax /score -> /max",
        "ReduceMin /score -> /min",
        "Sub /score /min -> /shifted",
        "Mul /shifted /complement -> /over",
        "Sub /max /score -> /missing",
        "Mul /missing /threshold -> /under",
        "Greater /over /under -> /above",
        "And /above /mask -> /selection",
    ]
    assert all(node.name == node.output[0] for node in nodes[2:])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert list(stored) == [
        f"sureline/{name}" for name in ("post1/axes", "post1/shape", "threshold", "complement", "mask")
    ]
    assert stored["sureline/threshold"].shape == () and stored["sureline/threshold"].dtype == np.float64
    assert [value.name for value in proto.graph.output] == ["y", "sureline/score", "sureline/selection"]
    assert model == tiny_model(4, 13, "double")


def test_a_constant_map_selects_nothing() -> None:
    result = appended(tiny_model(), use_norm=True, threshold=0)
    assert not run(result.proto, np.ones(SHAPES[4], np.float32))[result.selections[0]].any()


def test_gaussian_weights_are_within_one_unit_in_the_last_place() -> None:
    flint = pytest.importorskip("flint")
    for sigma in ("1", "0.5", "1/3", "2.7"):
        step = GaussianFilter(7, sigma)
        proto = appended(tiny_model(3, output="double"), 3, post_process=step).proto
        kernel = next(numpy_helper.to_array(t) for t in proto.graph.initializer if t.name.endswith("kernel"))
        assert kernel.shape == (2, 1, 7)
        s = Fraction(step.spec()["sigma"])
        with flint.ctx.workprec(200):
            raw = [
                (
                    flint.arb(-i * i) / flint.arb(flint.fmpq((2 * s * s).numerator, (2 * s * s).denominator))
                ).exp()
                for i in range(-3, 4)
            ]
            total = sum(raw, flint.arb(0))
            for stored, exact in zip(kernel[0, 0].tolist(), raw, strict=True):
                assert abs(exact / total - stored) <= 0.501 * np.spacing(stored)


def test_threshold_that_is_no_double_is_announced() -> None:
    assert appended(tiny_model(), threshold=0.1).warnings == ()
    result = appended(tiny_model(), threshold="0.1")
    assert "0.1" in result.warnings[0] and result.threshold == Fraction(0.1)
    for bad in (float("nan"), "1e400", "much", True):
        with pytest.raises(OptionError):
            appended(tiny_model(), threshold=bad)


def test_normalised_thresholds_have_an_exact_complement() -> None:
    for threshold in (0.1, "1/3", 0.9, 1e-20, 0, 1, "0.7", -0.25, 1.5):
        result = appended(tiny_model(), threshold=threshold, use_norm=True)
        stored = {t.name: numpy_helper.to_array(t) for t in result.proto.graph.initializer}
        assert Fraction(float(stored["sureline/threshold"])) == result.threshold
        assert Fraction(float(stored["sureline/complement"])) == 1 - result.threshold
        assert abs(result.threshold - Fraction(threshold)) <= Fraction(1, 2**53)
        assert bool(result.warnings) == (result.threshold != Fraction(threshold))
    with pytest.raises(OptionError, match="between 0 and 1"):
        appended(tiny_model(), threshold=1e300, use_norm=True)


def test_old_ir_versions_still_give_valid_models() -> None:
    model = tiny_model(4, 7)
    model.ir_version = 3
    result = appended(model, post_process=[InputDiff(), Abs(), AverageFilter()], use_norm=True)
    onnx.checker.check_model(result.proto, full_check=True)


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="o_idx is 3"):
        appended(tiny_model(), o_idx=3)
    with pytest.raises(OptionError, match="odd"):
        AverageFilter(2)
    with pytest.raises(OptionError, match="positive"):
        GaussianFilter(3, 0)
    with pytest.raises(OptionError, match="rank 3 or 4"):
        appended(tiny_model(2), 2, post_process=[AverageFilter()])
    with pytest.raises(InputError, match="mask"):
        appended(tiny_model(), mask=np.ones((2, 2)))
    with pytest.raises(ModelError, match="sureline/"):
        appended(appended(tiny_model()).proto)
    with pytest.raises(OptionError, match="operator set 8"):
        appended(tiny_model(4, 7), post_process=L1Norm())
    with pytest.raises(OptionError, match="post_process"):
        appended(tiny_model(), post_process=[abs])


def test_operators_of_ones_own_are_refused_by_name() -> None:
    class Mine(Operator):
        def forward(self, x: Any) -> Any:
            return x

    class Louder(Abs):
        pass

    for own in (Mine, Louder):
        with pytest.raises(OptionError, match=r"sureline\.Selection"):
            own()
    with pytest.raises(OptionError, match="base class"):
        Operator()


def test_steps_as_text() -> None:
    assert operator_from_text("gaussian:5:0.5") == GaussianFilter(5, "0.5")
    assert operator_from_text("gaussian:5:0.5").spec() == {
        "name": "GaussianFilter",
        "kernel_size": 5,
        "sigma": "1/2",
    }
    assert operator_from_text("average:3") == AverageFilter(3)
    assert operator_from_text("l1-norm") == L1Norm()
    for bad in ("blur", "abs:3", "average:x", "gaussian:3:1:1", ""):
        with pytest.raises(OptionError):
            operator_from_text(bad)


# Over-conditioning


def piecewise_model(opset: int) -> onnx.ModelProto:
    """A map that goes through every piecewise-linear operator."""
    weights = np.random.default_rng(3).normal(size=(2, 2, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("LeakyRelu", ["c"], ["l"]),
        helper.make_node("PRelu", ["c", "slope"], ["p"]),
        helper.make_node("Sign", ["c"], ["s"]),
        helper.make_node("HardSigmoid", ["c"], ["hs"]),
        helper.make_node("Max", ["r", "l", "p"], ["m"]),
        helper.make_node("MaxPool", ["m"], ["mp"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Greater", ["mp", "hs"], ["g"]),
        helper.make_node("Cast", ["g"], ["gf"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["gf", "s", "mp", "cl"], ["sum"]),
    ]
    stored = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([0.1], np.float32), "slope"),
    ]
    if opset >= 11:
        nodes.insert(5, helper.make_node("Clip", ["c", "", "high"], ["cl"]))
        stored.append(numpy_helper.from_array(np.array(0.5, np.float32), "high"))
    else:
        nodes.insert(5, helper.make_node("Clip", ["c"], ["cl"], max=0.5))
    if opset >= 18:
        nodes.append(helper.make_node("ReduceMax", ["sum", "axes"], ["top"], keepdims=1))
        nodes.append(helper.make_node("ReduceMin", ["sum", "axis"], ["low"], keepdims=1))
        stored.append(numpy_helper.from_array(np.array([2, -1]), "axes"))
        stored.append(numpy_helper.from_array(np.array([1]), "axis"))
    else:
        nodes.append(helper.make_node("ReduceMax", ["sum"], ["top"], axes=[2, 3], keepdims=1))
        nodes.append(helper.make_node("ReduceMin", ["sum"], ["low"], axes=[1], keepdims=1))
    nodes.append(helper.make_node("Sub", ["sum", "top"], ["d"]))
    nodes.append(helper.make_node("Add", ["d", "low"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "pieces",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPES[4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPES[4])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def all_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    done = onnx.shape_inference.infer_shapes(model)
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in [*done.graph.value_info, *done.graph.input, *done.graph.output]
    }


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_pattern_is_constant_exactly_where_the_graph_is_affine(opset: int) -> None:
    model = piecewise_model(opset)
    shapes = all_shapes(model)
    result = appended(model, shape_of=shapes.__getitem__, post_process=[InputDiff(), Abs()], use_norm=True)
    moving = moving_tensors(result.proto.graph, "x")
    names = append_pattern(result.proto, moving, shapes.__getitem__)
    onnx.checker.check_model(result.proto, full_check=True)
    # Relu, LeakyRelu, PRelu, 2 of Sign, Clip, 2 of HardSigmoid, 3 pairs, MaxPool, Greater, 2 reductions of
    # the model; then Abs, maximum and minimum of the selection.
    assert list(names) == [f"sureline/pattern{k}" for k in range(18)]
    x = np.random.default_rng(5).normal(size=SHAPES[4]).astype(np.float32)
    direction = np.random.default_rng(6).normal(size=SHAPES[4]).astype(np.float32)
    evaluator = ReferenceEvaluator(result.proto) if opset < 11 else None
    outputs = [value.name for value in result.proto.graph.output]

    def at(t: float) -> dict[str, NDArray[Any]]:
        point = (x + np.float32(t) * direction).astype(np.float32)
        if evaluator is None:
            return run(result.proto, point)
        return dict(zip(outputs, evaluator.run(None, {"x": point}), strict=True))

    first = at(0)
    for value in result.proto.graph.output:
        if value.name.startswith("sureline/"):
            assert first[value.name].shape == tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    changed = {name for name in names if not np.array_equal(at(1)[name], first[name])}
    assert len(changed) > 12
    same = [at(0.1 * step) for step in (1e-3, 2e-3)]
    assert all(np.array_equal(point[name], first[name]) for point in same for name in names)
    bend = same[1]["sureline/score"] - 2 * same[0]["sureline/score"] + first["sureline/score"]
    assert np.abs(bend).max() < 1e-5


def test_smooth_operators_upstream_are_refused_and_elsewhere_not() -> None:
    with pytest.raises(OptionError, match="Sigmoid"):
        model = tiny_model(body="Sigmoid")
        append_pattern(appended(model).proto, {"x"}, lambda name: SHAPES[4])
    model = tiny_model(body="Relu")
    model.graph.node.append(helper.make_node("Sigmoid", ["x"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, SHAPES[4]))
    result = appended(model)
    assert append_pattern(result.proto, {"x"}, lambda name: SHAPES[4]) == ("sureline/pattern0",)


def test_products_of_two_moving_values_are_refused() -> None:
    model = tiny_model(body="Relu")
    model.graph.node[1].CopyFrom(helper.make_node("Mul", ["h", "x"], ["y"]))
    with pytest.raises(OptionError, match="Mul"):
        append_pattern(appended(model).proto, {"x"}, lambda name: SHAPES[4])


def test_a_rule_of_ones_own_gets_its_pattern_too() -> None:
    model = tiny_model(body="Relu")
    model.graph.node.append(helper.make_node("ArgMax", ["y"], ["best"], axis=3))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, (1, 2, 4, 1)))
    shapes = {**all_shapes(model)}
    names = append_pattern(model, moving_tensors(model, "x"), shapes.__getitem__)
    assert names == ("sureline/pattern0", "sureline/pattern1")
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node[-2:]] == ["Greater", "Identity"]
