"""Integer arithmetic on data: real arithmetic where the type holds every result, no claim elsewhere."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import check_values
import numpy as np
import onnx
import pytest
import twin
from onnx import TensorProto, helper, numpy_helper
from random_integers import BOUND, grown

import sureline as sl
from symbolic.enclosures.values import ANYTHING, Range
from symbolic.network import Line, Network
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import EXACT, FAST

INT32, INT64, BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
Nodes = list[onnx.NodeProto]


def _exact(model: onnx.ModelProto, x: np.ndarray, direction: np.ndarray, t: Fraction) -> dict[str, Any]:
    return twin.evaluate(model, {"x": twin.exact_array(x) + twin.exact_array(direction) * t})


def _segments(rng: np.random.Generator) -> list[tuple[Fraction, Fraction]]:
    starts = [Fraction(int(v), 4) for v in rng.integers(-40, 41, size=4)]
    return [(s, s + Fraction(int(w), 8)) for s, w in zip(starts, [0, 1, 4, 16], strict=True)]


def _points(lo: Fraction, hi: Fraction) -> list[Fraction]:
    return [lo] if lo == hi else [lo + (hi - lo) * Fraction(k, 7) for k in range(1, 7)]


def _fits(exact: Any, bound: int) -> bool:
    return all(v is twin.UNKNOWN or -bound <= v < bound for v in exact.reshape(-1))


@pytest.mark.parametrize("seed", range(60))
def test_engine_encloses_exact_integers_and_claims_nothing_beyond_the_type(seed: int) -> None:
    growing, model, x, direction = grown(seed)
    network = Network(model, {"x": x}, "x", growing.integers)
    line = Line.of(*(list(twin.exact_array(v).reshape(-1)) for v in (x, direction)), x.shape)
    segments = _segments(np.random.default_rng(seed))
    found = network.enclose(line, [(float(lo), float(hi)) for lo, hi in segments], keep_all=True)
    for name in growing.integers:
        value = found[name]
        assert isinstance(value, Range) and value.lo.dtype.kind == "i"
        for k, (lo, hi) in enumerate(segments):
            at = k if len(value.lo) > 1 else 0
            for t in _points(lo, hi):
                exact = _exact(model, x, direction, t)[name]
                for index in np.ndindex(exact.shape):
                    low, high, v = value.lo[(at, *index)], value.hi[(at, *index)], exact[index]
                    claimed = high != ANYTHING
                    assert not claimed or (
                        v is not twin.UNKNOWN and low <= v <= high and high < BOUND[growing.kind]
                    )


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("bits", [FAST, EXACT])
def test_checker_encloses_exact_integers_and_is_undecided_beyond_the_type(
    seed: int, bits: int | None
) -> None:
    growing, model, x, direction = grown(seed)
    try:
        graph = check_values.graph_of(model, {"x": x}, "x", direction)
    except InvalidCertificate:  # at the observed input something overflows, or is divided by zero
        at_start = _exact(model, x, direction, Fraction(0))
        assert not all(
            _fits(at_start[n], BOUND[growing.kind]) and twin.UNKNOWN not in at_start[n]
            for n in growing.integers
        )
        return
    for lo, hi in _segments(np.random.default_rng(seed)):
        try:
            values = check_values.values_on(graph, [(lo, hi)], bits)
        except Undecided:
            continue
        for t in _points(lo, hi):
            exact = _exact(model, x, direction, t)
            assert all(_fits(exact[name], BOUND[growing.kind]) for name in growing.integers)
            tau = (2 * t - lo - hi) / (hi - lo) if hi > lo else Fraction(0)
            assert check_values.contradictions(values, exact, 0, tau) == []
        assert all(isinstance(values[name], Discrete) for name in growing.integers if name in values)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("side", [-1, 1])
def test_counts_on_rays(seed: int, side: int) -> None:
    """Integers have no scale: both sides know on rays what they know on segments."""
    growing, model, x, direction = grown(seed)
    if growing.nodes[0].op_type == "Cast":
        return
    network = Network(model, {"x": x}, "x", growing.integers)
    assert network.homogeneous
    line = Line.of(*(list(twin.exact_array(v).reshape(-1)) for v in (x, direction)), x.shape)
    near, points = 64.0, [Fraction(side * v) for v in (65, 1000, 2**40)]
    found = network.enclose(line, [(near, np.inf) if side > 0 else (-np.inf, -near)])
    try:
        graph = check_values.graph_of(model, {"x": x}, "x", direction)
        cell: Any = (Fraction(64), np.inf) if side > 0 else (-np.inf, Fraction(-64))
        values = check_values.values_on(graph, [cell], FAST)
    except (InvalidCertificate, Undecided):
        values = {}
    for exact in (_exact(model, x, direction, t) for t in points):
        for name in growing.integers:
            value = found[name]
            for index in np.ndindex(exact[name].shape):
                low, high, v = value.lo[(0, *index)], value.hi[(0, *index)], exact[name][index]
                still = not direction.all()  # what stands still may stand on the level
                assert high == ANYTHING or low == v == high or (still and low <= v <= high)
                if name in values:
                    at = (*index, 0)
                    assert values[name].lo[at] <= v <= values[name].hi[at]


def test_known_at_points() -> None:
    """Where nothing overflows both sides know every result at a point."""
    decided = 0
    for seed in range(60):
        growing, model, x, direction = grown(seed)
        exact = _exact(model, x, direction, Fraction(0))
        if any(
            twin.UNKNOWN in exact[n] or not _fits(exact[n], BOUND[growing.kind]) for n in growing.integers
        ):
            continue
        decided += 1
        found = sl.enclose(model, x, direction, 0, 0)
        beta = [Fraction(v) for v in direction.reshape(-1).tolist()]
        verdicts = CheckedGraph.build(model, {"x": x}, "x", beta, growing.integers).evaluate(
            [(Fraction(0), Fraction(0))]
        )
        for name, (lo, hi) in zip(growing.integers, verdicts, strict=True):
            wanted = exact[name].astype(np.int64)
            assert np.array_equal(found[name][0], wanted) and np.array_equal(found[name][1], wanted), name
            assert np.array_equal(lo[0], wanted) and np.array_equal(hi[0], wanted), name
    assert decided >= 20


def _cast(given: str, made: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [given], [made], to=kind)


ABOVE = helper.make_node("Greater", ["y", "level"], ["above"])
WHOLE = _cast("above", "n", INT64)
SUM = helper.make_node("ReduceSum", ["n", "last"], ["sum"], keepdims=0)
EXPORTED: dict[str, tuple[Nodes, int]] = {  # as exporters write them
    "how many": ([ABOVE, WHOLE, helper.make_node("ReduceSum", ["n", "last"], ["out"])], INT64),
    "(y > t).sum() > 2": ([ABOVE, WHOLE, SUM, helper.make_node("Greater", ["sum", "two"], ["out"])], BOOL),
    "any, by sums": ([ABOVE, WHOLE, SUM, helper.make_node("Greater", ["sum", "none"], ["out"])], BOOL),
    "all, by sums": (
        [
            helper.make_node("Greater", ["y", "level"], ["is"]),
            helper.make_node("Not", ["is"], ["above"]),
            WHOLE,
            SUM,
            helper.make_node("Greater", ["sum", "none"], ["other"]),
            helper.make_node("Not", ["other"], ["out"]),
        ],
        BOOL,
    ),
    "any, by maxima": (
        [ABOVE, WHOLE, helper.make_node("ReduceMax", ["n"], ["m"], keepdims=0), _cast("m", "out", BOOL)],
        BOOL,
    ),
    "bucketize": (
        [
            helper.make_node("Greater", ["y", "edges"], ["above"]),
            WHOLE,
            helper.make_node("ReduceSum", ["n", "first"], ["out"], keepdims=0),
        ],
        INT64,
    ),
    "(y > t).float().mean() >= 0.4": (
        [
            ABOVE,
            WHOLE,
            SUM,
            _cast("sum", "f", TensorProto.FLOAT),
            helper.make_node("Div", ["f", "five"], ["mean"]),
            helper.make_node("GreaterOrEqual", ["mean", "share"], ["out"]),
        ],
        BOOL,
    ),
    "running count": ([ABOVE, WHOLE, helper.make_node("CumSum", ["n", "one"], ["out"])], INT64),
    "weighted count": ([ABOVE, WHOLE, helper.make_node("MatMul", ["n", "votes"], ["out"])], INT64),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_counts_are_audited_and_checked(name: str, tmp_path: Path) -> None:
    nodes, kind = EXPORTED[name]
    rng = np.random.default_rng(0)
    constants = {
        "weights": rng.normal(size=(6, 5)).astype(np.float32),
        "level": np.float32(0.3),
        "edges": np.array([-1, 0, 1], dtype=np.float32).reshape(3, 1, 1),
        "five": np.float32(5),
        "share": np.float32(0.4),
        "first": np.array([0]),
        "last": np.array([-1]),
        "none": np.int64(0),
        "one": np.int64(1),
        "two": np.int64(2),
        "votes": rng.integers(-3, 4, size=(5, 2)),
    }
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"]), *nodes],
        "count",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("out", kind, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    rule = sl.Selection(model, output="out", eta=lambda selection: np.array([1.0, 0, 0, 0, 0, -1]))
    result = sl.audit(None, rng.normal(size=(1, 6)).astype(np.float32), hypothesis=rule, var=1)
    assert result.runtime_agrees and result.sup_p - result.inf_p < 1e-5 and not result.warnings
    result.certificate.save(tmp_path / "audit")
    sl.check(tmp_path / "audit")


@pytest.mark.parametrize("op", ["MatMul", "Gemm", "Mul", "ReduceSumSquare"])
@pytest.mark.parametrize("large", [False, True])
def test_constants_beyond_their_type_are_wrapped_or_refused(op: str, large: bool) -> None:
    a = np.array([[100000 if large else 100]], dtype=np.int32)
    nodes = [
        helper.make_node(op, ["a"] if op.startswith("Reduce") else ["a", "a"], ["b"]),
        helper.make_node("Cast", ["b"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["place"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [
            helper.make_tensor_value_info("b", INT32, [1, 1]),
            helper.make_tensor_value_info("place", INT64, [1, 1]),
        ],
        [numpy_helper.from_array(a, "a")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.array([[1, 2]], dtype=np.float32)
    wrapped = (100000**2 + 2**31) % 2**32 - 2**31 if large else 10000
    try:
        assert sl.enclose(model, x)["b"][0].tolist() == [[wrapped]]
    except sl.ModelError as error:
        assert large and ("does not fit" in str(error) or "not exact" in str(error))
    try:
        CheckedGraph.build(model, {"x": x}, "x", [Fraction(1), Fraction(0)], ["place"])
    except InvalidCertificate as error:
        assert large and "does not fit" in str(error)
    else:
        assert not large
