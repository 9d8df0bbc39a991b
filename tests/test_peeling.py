"""Monotone last steps are taken off where that is exact, by engine and checker, and nowhere else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_nets
import twin
from enclosure_checks import contradictions, line_of, network_of, points_in, tau_of
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case
from random_heads import dyadic, random_head
from test_adversarial_nets import net, node
from test_checked_graph import checked

import sureline as sl
import symbolic.enclosures.monotone
import symbolic.rewriting.peeling
import verifier.check.graph.peeling
import verifier.check.numbers.inverses
from symbolic.errors import ModelError
from verifier.check.errors import InvalidCertificate

X, BETA = [[0.5, -1.25, 2.0], [0.0, 0.75, -0.5]], [[1.0, 0.25, -0.5], [0.5, -1.0, 0.125]]
W = np.array([[1.0, -0.5, 0.25], [0.5, 1.0, -1.0], [-0.25, 0.75, 0.5]])


def ending(*nodes: onnx.NodeProto, kind: int = TensorProto.INT64, **constants: Any) -> Case:
    """A linear map y of x, then the nodes, the last of which makes "out"."""
    return net([node("MatMul", "x W", "y"), *nodes], X, BETA, "out", kind, W=W, **constants)


def ways(case: Case) -> tuple[list[str], list[str]]:
    """The operators that engine and checker still need for the output, behind the linear map."""
    engine = [step.node.op_type for step in network_of(case, ["out"]).steps]
    graph = checked(case, case.model, ["out"])
    checker = [n.op for n in graph.nodes if graph.moves & set(n.outputs)]
    return engine[1:], checker[1:]


def level(function: str, tau: Any, comparison: str = "Greater", kind: type = np.float64) -> Case:
    constants = {"tau": np.asarray(tau, dtype=kind)}
    return ending(
        node(function, "y", "f"), node(comparison, "f tau", "out"), kind=TensorProto.BOOL, **constants
    )


def place(*nodes: onnx.NodeProto, axis: int = -1, head: str = "ArgMax", **constants: Any) -> Case:
    return ending(*nodes, node(head, nodes[-1].output[0], "out", axis=axis), **constants)


SHAPE = np.array([3, 2])
PEELED = {
    "softmax": (place(node("Softmax", "y", "s", axis=-1)), ["ArgMax"]),
    "softmax by another name of the axis": (place(node("Softmax", "y", "s", axis=1)), ["ArgMax"]),
    "log of softmax": (place(node("Softmax", "y", "s"), node("Log", "s", "l")), ["ArgMax"]),
    "log of softmax and a little": (
        place(node("Softmax", "y", "s"), node("Add", "s e", "a"), node("Log", "a", "l"), e=2.0**-20),
        ["ArgMax"],
    ),
    "falling": (place(node("Sigmoid", "y", "s"), node("Neg", "s", "n"), head="ArgMin"), ["ArgMax"]),
    "one minus": (place(node("Sigmoid", "y", "s"), node("Sub", "one s", "n"), one=1.0), ["ArgMin"]),
    "temperature": (place(node("Softmax", "y", "s"), node("Div", "s t", "n"), t=3.0), ["ArgMax"]),
    "transposed": (
        place(node("Softmax", "y", "s", axis=-1), node("Transpose", "s", "t", perm=[1, 0]), axis=0),
        ["Transpose", "ArgMax"],
    ),
    "elementwise, reshaped": (
        place(node("Tanh", "y", "s"), node("Reshape", "s shape", "t"), shape=SHAPE),
        ["Reshape", "ArgMax"],
    ),
    "two functions": (place(node("Sigmoid", "y", "s"), node("Softmax", "s", "t")), ["ArgMax"]),
    "sigmoid": (level("Sigmoid", 0.75), ["Greater"]),
    "every element its level": (level("Sigmoid", [0.25, 0.5, 0.75], "LessOrEqual"), ["LessOrEqual"]),
    "never": (level("Sigmoid", 1.0), []),
    "always": (level("Tanh", -1.5), []),
}
LEFT = {
    "softmax over another axis": place(node("Softmax", "y", "s", axis=0), axis=1),
    "softmax, rows mixed by a reshape": place(
        node("Softmax", "y", "s", axis=1), node("Reshape", "s shape", "t"), shape=SHAPE
    ),
    "a probability against a level": ending(
        node("Softmax", "y", "s"), node("Greater", "s tau", "out"), kind=TensorProto.BOOL, tau=0.5
    ),
    "not strictly monotone": place(node("Sigmoid", "y", "s"), node("Relu", "s", "r")),
    "undefined somewhere": ending(
        node("Add", "y ten", "a"),
        node("Sqrt", "a", "f"),
        node("Greater", "f tau", "out"),
        kind=TensorProto.BOOL,
        ten=10.0,
        tau=0.5,
    ),
    "scaled by zero": place(node("Sigmoid", "y", "s"), node("Mul", "s zero", "r"), zero=0.0),
    "scaled by several numbers": place(
        node("Sigmoid", "y", "s"), node("Mul", "s w", "r"), w=np.array([1.0, 2.0, 3.0])
    ),
    "rounded in between": place(node("Sigmoid", "y", "s"), node("Cast", "s", "r", to=TensorProto.FLOAT16)),
    "some reached, some not": level("Sigmoid", [0.5, 1.0, 2.0]),
}


@pytest.mark.parametrize("name", PEELED)
def test_peeled(name: str) -> None:
    case, left = PEELED[name]
    assert ways(case) == (left, left)
    assert network_of(case, ["out"]).homogeneous


@pytest.mark.parametrize("name", LEFT)
def test_left(name: str) -> None:
    case = LEFT[name]
    whole = [n.op_type for n in case.model.graph.node][1:]
    assert ways(case) == (whole, whole)


def test_old_softmax_joins_trailing_axes() -> None:
    case = place(node("Softmax", "y", "s", axis=0), axis=1)
    case.model.opset_import[0].version = 12
    assert ways(case) == (["ArgMax"], ["ArgMax"])


def test_the_indices_of_top_k() -> None:
    nodes = [node("Softmax", "y", "s"), helper.make_node("TopK", ["s", "two"], ["best", "out"])]
    case = ending(*nodes, two=np.array([2]))
    assert ways(case) == (["TopK"], ["TopK"])
    assert not failures(case, np.random.default_rng(0), Counter())
    whole = network_of(case, ["best", "out"])
    assert sorted(step.node.op_type for step in whole.steps) == ["MatMul", "Softmax", "TopK", "TopK"]


def test_graphs_with_infinities_are_left_alone() -> None:
    case = place(node("Add", "y mask", "masked"), node("Softmax", "masked", "s"), mask=np.zeros(3))
    case.model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([0, -np.inf, 0]), "mask"))
    assert "Softmax" in [step.node.op_type for step in network_of(case, ["out"]).steps]


def test_other_readers_keep_the_function() -> None:
    both = [node("Softmax", "y", "s", axis=1), node("ArgMax", "s", "p", axis=1, keepdims=0)]
    both += [node("Cast", "p", "q", to=TensorProto.DOUBLE), node("ReduceMax", "s", "m", axes=[1], keepdims=0)]
    case = ending(*both, node("Greater", "m q", "out"), kind=TensorProto.BOOL)
    for found in ways(case):
        assert sorted(found) == ["ArgMax", "Cast", "Greater", "ReduceMax", "Softmax"]
    assert not failures(case, np.random.default_rng(0), Counter())


def test_thresholds_are_rational_where_they_can_be() -> None:
    for function, tau in (("Sigmoid", 0.5), ("Tanh", 0.0), ("Exp", 1.0)):
        case = level(function, tau)
        made = network_of(case, ["out"]).constants["tau/peeled"]
        assert made.value == 0 and made.radius is None
        (ball,) = checked(case, case.model, ["out"]).balls.values()
        assert not ball.c.any() and not ball.r.any()


def test_the_level_is_the_stored_float32() -> None:
    stored = Fraction(float(np.float32(0.8)))
    case = level("Sigmoid", np.float32(0.8))
    made = network_of(case, ["out"]).constants["tau/peeled"]
    assert made.radius is not None
    wanted = math.log(stored / (1 - stored))
    assert abs(float(made.value) - wanted) < 4e-16 < abs(wanted - math.log(4))
    (ball,) = checked(case, case.model, ["out"]).balls.values()
    assert abs(int(ball.c.item()) * 2.0**ball.e - wanted) < 4e-16


# ---- against the twin ------------------------------------------------------------------------------------


def failures(case: Case, rng: np.random.Generator, counts: Counter[str]) -> list[str]:
    """What engine and checker say of the output, on segments, points and rays, that the twin contradicts."""
    name = case.model.graph.output[0].name
    try:
        network = network_of(case, [name])
        graph = checked(case, case.model, [name])
    except (ModelError, InvalidCertificate):
        counts["refused"] += 1
        return []
    a = dyadic(rng)
    cells: list[tuple[Any, Any]] = [
        (a, a + 1),
        (a, a + Fraction(1, 2**10)),
        (a, a),
        (Fraction(0), Fraction(0)),
    ]
    rays: list[tuple[Any, Any]] = [(Fraction(2), math.inf), (-math.inf, Fraction(-2))]
    found = []
    for part in [cells, *([r] for r in rays if network.homogeneous)]:
        segments = [(float(lo), float(hi)) for lo, hi in part]
        values = network.enclose(line_of(case), segments)
        for k, cell in enumerate(part):
            for t in points_in(rng, cell, 2):
                exact = {name: case.at(t)[name]}
                scale = 1 / abs(t) if math.inf in map(abs, cell) else Fraction(1)
                tau = tau_of(segments[k], t)
                found += [f"engine at {float(t)}: {w}" for w in contradictions(values, exact, k, tau, scale)]
    for bits in (60, 256):
        ((lows, highs),) = graph.evaluate([*cells, *rays], bits)
        for cell, lo, hi in zip([*cells, *rays], lows, highs, strict=True):
            for t in points_in(rng, cell, 2):
                wanted = case.at(t)[name]
                for index in np.ndindex(wanted.shape):
                    v = wanted[index]
                    if v is not twin.UNKNOWN and not lo[index] <= v <= hi[index]:
                        found.append(f"checker at {float(t)}: {index} is {v}, not {lo[index]}..{hi[index]}")
    counts["peeled"] += len(network.steps) < len(case.model.graph.node)
    return found


def of_random_heads(count: int, seed: int, enough: int = 10) -> tuple[list[str], Counter[str]]:
    found: list[str] = []
    total = Counter[str]()
    for k in range(count):
        if len(found) == enough:
            break
        rng = np.random.default_rng([seed, k])
        case, counts = random_head(rng), Counter[str]()
        found += [f"network {k}: {text}" for text in failures(case, rng, counts)[:1]]
        total += counts
    return found, total


def test_random_heads() -> None:
    found, total = of_random_heads(60, 11)
    assert not found, "\n".join(found)
    assert total["peeled"] > 25 and total["refused"] < 5


@pytest.mark.slow
def test_many_random_heads() -> None:
    found, total = of_random_heads(400, 12)
    print(total)
    assert not found, "\n".join(found)


# ---- false peels -----------------------------------------------------------------------------------------


def _any_row(*_: Any) -> bool:
    return True


MUTANTS: list[tuple[Any, str, Callable[..., Any]]] = [
    (symbolic.rewriting.peeling._Peeler, "_in_one_row", _any_row),
    (symbolic.rewriting.peeling._Chain, "rising", property(_any_row)),
    (verifier.check.graph.peeling._Climber, "same_row", _any_row),
    (verifier.check.graph.peeling.Climb, "rising", property(_any_row)),
]


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_false_peels_contradict_the_twin(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[number])
    found, _ = of_random_heads(150, 11, enough=1)
    assert found


def _shared(original: Callable[..., Any]) -> Callable[..., Any]:
    """Every reader gets the argument instead of the function's value."""

    def replaced(self: Any, node: Any) -> Any:
        if node.op_type != "Sigmoid":
            return original(self, node)
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        proto.op_type = "Identity"
        return [symbolic.rewriting.peeling.replace(node, proto=proto)]

    return replaced


def _off(original: Callable[..., Any]) -> Callable[..., Any]:
    def threshold(*given: Any) -> Any:
        found = original(*given)
        return symbolic.rewriting.peeling.Const(found.value + 0.1) if hasattr(found, "radius") else found

    return threshold


def _reached(original: Callable[..., Any]) -> Callable[..., Any]:
    """The limit of the range as if a large argument reached it."""

    def threshold(levels: Any, functions: Any) -> Any:
        found = original(levels, functions)
        return (
            found
            if hasattr(found, "radius")
            else symbolic.rewriting.peeling.Const(np.full(levels.shape, 4.0))
        )

    return threshold


def _classes(axis: int) -> onnx.ModelProto:
    """Which of three classes each of four pixels has, by a Softmax over an axis."""
    nodes = [
        helper.make_node("Gemm", ["x", "A"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "B"], ["y"]),
        helper.make_node("Softmax", ["y"], ["s"], axis=axis),
        helper.make_node("ArgMax", ["s"], ["out"], axis=1, keepdims=0),
    ]
    rng = np.random.default_rng(5)
    constants = {n: rng.normal(size=s).astype(np.float32) for n, s in (("A", (3, 8)), ("B", (8, 3)))}
    model = small_nets.model(nodes, constants, [4, 3], [4, 3])
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("out", TensorProto.INT64, [4]))
    return model


def _mask(*nodes: onnx.NodeProto, tau: float = 0.5) -> onnx.ModelProto:
    """A convolutional net, and where it exceeds a level."""
    model = small_nets.convolutional()
    del model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array(tau, dtype=np.float32), "tau"))
    model.graph.output.append(helper.make_tensor_value_info("out", TensorProto.BOOL, [1, 1, 8, 8]))
    return model


def _audit(model: onnx.ModelProto, x: np.ndarray, folder: Path, **options: Any) -> sl.InferenceResult:
    eta = np.zeros(x.size)
    eta[0], eta[-1] = 1, -1
    rule = sl.Selection(model, output="out", eta=lambda selection: eta)
    result = sl.audit(None, x, hypothesis=rule, var=1, **options)
    result.certificate.save(folder)
    return result


PLANTED: dict[str, tuple[onnx.ModelProto, str, Callable[..., Any]]] = {
    "wrong axis": (_classes(0), "_Peeler._in_one_row", lambda original: _any_row),
    "shared output": (
        _mask(
            helper.make_node("Sigmoid", ["y"], ["s"]),
            helper.make_node("Greater", ["s", "tau"], ["here"]),
            helper.make_node("ReduceMean", ["s"], ["mean"]),
            helper.make_node("Greater", ["mean", "tau"], ["often"]),
            helper.make_node("Xor", ["here", "often"], ["out"]),
            tau=0.75,
        ),
        "_Peeler.replaced",
        _shared,
    ),
    "wrong threshold": (
        _mask(helper.make_node("Sigmoid", ["y"], ["s"]), helper.make_node("Greater", ["s", "tau"], ["out"])),
        "threshold",
        _off,
    ),
    "a limit of the range": (
        _mask(
            helper.make_node("Sigmoid", ["y"], ["s"]),
            helper.make_node("Less", ["s", "tau"], ["out"]),
            tau=1.0,
        ),
        "threshold",
        _reached,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_false_peels_are_rejected(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, where, mutant = PLANTED[name]
    x = (
        np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
        if name == "wrong axis"
        else small_nets.image(3)
    )
    options: dict[str, Any] = {"inference_mode": "exhaustive"}
    if name == "shared output":
        options = {"precision": 1e-3}
    _audit(model, x, tmp_path / "true", **options)
    assert sl.check(tmp_path / "true").valid
    *owner, attribute = where.split(".")
    target = getattr(symbolic.rewriting.peeling, owner[0]) if owner else symbolic.rewriting.peeling
    monkeypatch.setattr(target, attribute, mutant(getattr(target, attribute)))
    try:
        _audit(model, x, tmp_path / "false", **options)
    except sl.SurelineError:
        return
    with pytest.raises(sl.InvalidCertificate):
        sl.check(tmp_path / "false")


# ---- end to end ------------------------------------------------------------------------------------------


def _headed(function: str | None) -> onnx.ModelProto:
    model = small_nets.convolutional()
    if function:
        model.graph.node.append(helper.make_node(function, ["y"], ["head"]))
        model.graph.output[0].name = "head"
    return model


@pytest.mark.parametrize("mode", ["parametric", "exhaustive", "over_conditioning"])
def test_a_head_changes_nothing(mode: str, tmp_path: Path) -> None:
    x = small_nets.image(3)
    results = []
    for function, threshold in ((None, 0), ("Sigmoid", 0.5), ("Tanh", 0), ("Exp", 1)):
        hypothesis = sl.BackMeanDiff(threshold=threshold)
        result = sl.audit(_headed(function), x, hypothesis=hypothesis, var=1, inference_mode=mode)
        results.append((result.inf_p, result.sup_p, result.cell_list))
        result.certificate.save(tmp_path / "certificate")
        assert sl.check(tmp_path / "certificate", model=_headed(function)).valid
        y = result.output.reshape(-1)
        assert result.score_map is not None and result.score_map.reshape(-1) == pytest.approx(y)
    assert all(other == results[0] for other in results)


def test_an_irrational_threshold(tmp_path: Path) -> None:
    """Sigmoid > 0.75 is y > log 3; over-conditioning and rays too."""
    x = small_nets.image(3)
    for mode in ("exhaustive", "over_conditioning"):
        plain = sl.audit(
            _headed(None), x, hypothesis=sl.BackMeanDiff(threshold=math.log(3)), var=1, inference_mode=mode
        )
        result = sl.audit(
            _headed("Sigmoid"), x, hypothesis=sl.BackMeanDiff(threshold=0.75), var=1, inference_mode=mode
        )
        assert abs(result.p_value - plain.p_value) < 1e-9 and result.sup_p - result.inf_p < 1e-9
        result.certificate.save(tmp_path / "certificate")
        assert sl.check(tmp_path / "certificate").valid
    assert result.cell_list[0].verdict == plain.cell_list[0].verdict


def test_smooth_maps_that_stay_are_still_refused() -> None:
    hypothesis = sl.BackMeanDiff(threshold=0.5, use_norm=True)
    with pytest.raises(sl.OptionError, match="Sigmoid"):
        sl.audit(
            _headed("Sigmoid"),
            small_nets.image(3),
            hypothesis=hypothesis,
            var=1,
            inference_mode="over_conditioning",
        )


def test_classes_behind_a_softmax(tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
    with_head = _audit(_classes(1), x, tmp_path / "a", inference_mode="exhaustive")
    plain = _classes(1)
    del plain.graph.node[3]
    plain.graph.node[3].input[0] = "y"
    without = _audit(plain, x, tmp_path / "b", inference_mode="exhaustive")
    assert (with_head.inf_p, with_head.sup_p) == (without.inf_p, without.sup_p)
    assert [c.verdict for c in with_head.cell_list[:1]] == ["outside"]
    assert sl.check(tmp_path / "a").valid


def test_the_checker_refuses_a_pattern_behind_a_smooth_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the engine to believe a false peel, over-conditioning would be too."""
    monkeypatch.setattr("inference.pattern_nodes._PatternMaker._refuse", lambda self, place: None)
    hypothesis = sl.BackMeanDiff(threshold=0.5, use_norm=True)
    result = sl.audit(
        _headed("Sigmoid"),
        small_nets.image(3),
        hypothesis=hypothesis,
        var=1,
        inference_mode="over_conditioning",
    )
    result.certificate.save(tmp_path / "certificate")
    with pytest.raises(sl.InvalidCertificate, match="activation pattern"):
        sl.check(tmp_path / "certificate")
