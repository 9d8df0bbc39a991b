"""RNN, GRU and LSTM: against ONNX Runtime and the twin, and audited end to end."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import twin
from check_values import contradictions as contradictions_of_checker
from check_values import graph_of, values_on
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case, operator_counts, random_case
from test_random_graphs import failures_of
from unrolled_models import checked_at, runtime

import sureline as sl
from symbolic.bounds import enclose
from symbolic.enclosures.line import Line
from symbolic.errors import ModelError
from symbolic.network import Network
from verifier.check.errors import InvalidCertificate, Undecided

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}


def layer(
    kind: str,
    *,
    steps: int = 4,
    batch: int = 2,
    size: int = 3,
    hidden: int = 2,
    optional: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("Y", "Y_h", "Y_c"),
    opset: int = 21,
    seed: int = 0,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one layer with constant weights, and an input."""
    rng = np.random.default_rng(seed)
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    batchwise = attributes.get("layout", 0)
    state = [batch, ways, hidden] if batchwise else [ways, batch, hidden]
    shapes = {
        "W": [ways, GATES[kind] * hidden, size],
        "R": [ways, GATES[kind] * hidden, hidden],
        "B": [ways, 2 * GATES[kind] * hidden],
        "initial_h": state,
        "initial_c": state,
        "P": [ways, 3 * hidden],
    }
    order = ["W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"][: 7 if kind == "LSTM" else 5]
    given = [name if name in ("W", "R", *optional) else "" for name in order]
    stored = {
        name: rng.normal(size=shapes[name]).astype(np.float32) * 0.8
        for name in given
        if name and name != "sequence_lens"
    }
    if "sequence_lens" in given:
        stored["sequence_lens"] = rng.integers(1, steps + 1, size=batch).astype(np.int32)
    names = outputs[: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, ["x", *given], names, hidden_size=hidden, **attributes)
    y = [batch, steps, ways, hidden] if batchwise else [steps, ways, batch, hidden]
    declared = [helper.make_tensor_value_info(n, 1, y if n == "Y" else state) for n in names if n]
    x = rng.normal(size=[batch, steps, size] if batchwise else [steps, batch, size]).astype(np.float32)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        declared,
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8), {"x": x}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"direction": "reverse", "optional": ("B", "initial_h")},
    "bidirectional": {"direction": "bidirectional", "optional": ("B", "sequence_lens")},
    "lengths backward": {"direction": "reverse", "optional": ("sequence_lens", "initial_h", "initial_c")},
    # in later steps the runtime does not clip the cell before h, as the standard has it
    "clip": {"clip": 0.25, "optional": ("B",), "steps": 1},
    "states": {"optional": ("B", "initial_h", "initial_c", "P")},
    "opset 7": {"opset": 7, "optional": ("B", "P")},
    "opset 22": {"opset": 22, "direction": "bidirectional", "optional": ("B",)},
    "last state only": {"outputs": ("", "Y_h", "")},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", GATES)
def test_agrees_with_the_runtime(kind: str, name: str) -> None:
    model, feeds = layer(kind, **CASES[name])
    require_runtime(model, feeds)


def require_runtime(model: onnx.ModelProto, feeds: dict[str, np.ndarray], atol: float = 2e-6) -> None:
    """Engine, checker and twin give what ONNX Runtime gives."""
    wanted = runtime(model, feeds)
    still = np.zeros(feeds["x"].shape)
    found = enclose(model, feeds, {"x": still}, 0, 0)
    checked = checked_at(model, feeds, "x", still, (Fraction(0), Fraction(0)))
    exact = twin.evaluate(model, feeds)
    for output, value in zip(model.graph.output, wanted, strict=True):
        for lo, hi in (found[output.name], checked[output.name]):
            np.testing.assert_allclose(lo, value, atol=atol)
            np.testing.assert_allclose(hi, lo, atol=1e-12)
        np.testing.assert_allclose(twin.to_float(exact[output.name]), value, atol=atol)


@pytest.mark.parametrize(
    "kind, attributes",
    [
        ("GRU", {"linear_before_reset": 1, "optional": ("B", "initial_h")}),
        ("GRU", {"linear_before_reset": 1}),
        ("LSTM", {"input_forget": 1, "optional": ("B",)}),
    ],
)
def test_variants(kind: str, attributes: dict[str, Any]) -> None:
    model, feeds = layer(kind, **attributes)
    require_runtime(model, feeds)


@pytest.mark.parametrize(
    "name, alpha, beta",
    [
        ("Relu", None, None),
        ("Affine", 0.5, 0.25),
        ("LeakyRelu", 0.125, None),
        ("LeakyRelu", None, None),
        ("ThresholdedRelu", 0.25, None),
        ("ScaledTanh", 0.5, 1.5),
        ("HardSigmoid", 0.3, 0.4),
        ("HardSigmoid", None, None),
        ("Elu", 0.75, None),
        ("Softsign", None, None),
        ("Softplus", None, None),
    ],
)
def test_activations(name: str, alpha: float | None, beta: float | None) -> None:
    """As the last function of each layer, its parameters being the only ones."""
    for kind, others in (("RNN", []), ("GRU", ["Sigmoid"]), ("LSTM", ["Sigmoid", "Tanh"])):
        attributes: dict[str, Any] = {"activations": [*others, name]}
        attributes |= {} if alpha is None else {"activation_alpha": [alpha]}
        attributes |= {} if beta is None else {"activation_beta": [beta]}
        model, feeds = layer(kind, optional=("B",), **attributes)
        require_runtime(model, feeds)


def test_batch_first() -> None:
    """The runtime has no layout 1: it is the other layout, transposed."""
    for kind in GATES:
        options: dict[str, Any] = {"direction": "bidirectional", "optional": ("B", "initial_h", "initial_c")}
        model, feeds = layer(kind, opset=14, layout=1, **options)
        plain, _ = layer(kind, opset=14, **options)
        states = [t for t in plain.graph.initializer if t.name.startswith("initial")]
        for tensor, mine in zip(
            states, [t for t in model.graph.initializer if t.name.startswith("initial")], strict=True
        ):
            turned = numpy_helper.to_array(mine).swapaxes(0, 1)
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(turned), tensor.name))
        for tensor, mine in zip(plain.graph.initializer, model.graph.initializer, strict=True):
            if not tensor.name.startswith("initial"):
                tensor.CopyFrom(mine)
        y, *last = runtime(plain, {"x": feeds["x"].swapaxes(0, 1)})
        found = enclose(model, feeds, None, 0, 0)
        checked = checked_at(model, feeds, "x", np.zeros(feeds["x"].shape), (0, 0))
        wanted = [y.transpose(2, 0, 1, 3), *(v.swapaxes(0, 1) for v in last)]
        for output, value in zip(model.graph.output, wanted, strict=True):
            np.testing.assert_allclose(found[output.name][0], value, atol=2e-6)
            np.testing.assert_allclose(checked[output.name][0], value, atol=2e-6)


@pytest.mark.parametrize(
    "attributes, words",
    [
        ({"activations": ["Sigmoid", "Tanh", "Gelu"]}, "activation function"),
        ({"activations": ["Sigmoid", "Tanh"]}, "activation functions"),
        ({"activations": ["Sigmoid", "Tanh", "Affine"], "activation_alpha": [1.0]}, "beta"),
        ({"activation_alpha": [0.5]}, "more parameters"),
        ({"direction": "sideways"}, "sideways"),
    ],
)
def test_what_has_no_meaning_is_refused(attributes: dict[str, Any], words: str) -> None:
    model, feeds = layer("LSTM", **attributes)
    with pytest.raises(ModelError, match=words):
        enclose(model, feeds, None, 0, 0)
    with pytest.raises(InvalidCertificate):
        checked_at(model, feeds, "x", np.zeros(feeds["x"].shape), (0, 0))


def test_relu_layers_have_rays() -> None:
    """Without biases a layer of ReLU units is positively homogeneous."""
    model, feeds = layer("RNN", activations=["Relu"])
    assert Network(model, feeds, "x", ["Y"]).homogeneous
    model, feeds = layer("RNN")
    assert not Network(model, feeds, "x", ["Y"]).homogeneous


# --- enclosures along lines ---


@pytest.mark.parametrize("seed", range(6))
def test_enclosures_contain_the_twin(seed: int) -> None:
    """Random layers with random attributes: engine and checker, wide and narrow cells, at random points."""
    found = Counterexamples()
    for number in range(5):
        case = random_case(np.random.default_rng([7, seed, number]), smooth=True, prefer=list(GATES), nodes=3)
        if any(operator_counts(case.model)[kind] for kind in GATES):
            found.look(case, seed)
    assert not found.texts
    assert found.layers


class Counterexamples:
    """What is wrong with the enclosures of some cases."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.layers = 0

    def look(self, case: Case, seed: int) -> None:
        rng = np.random.default_rng(seed)
        start = float(rng.normal())
        self.layers += 1
        self.texts += failures_of(case, [(start, start + w) for w in (0.5, 2.0**-20, 0.0)], rng, points=1)
        graph = graph_of(case.model, {case.moving: case.observed, **case.other}, case.moving, case.direction)
        a = Fraction(start)
        for lo, hi in ((a, a + Fraction(1, 8)), (a, a + Fraction(1, 2**20)), (a, a)):
            try:
                values = values_on(graph, [(lo, hi)], 60)
            except Undecided:
                continue
            tau = Fraction(1, 3)
            exact = case.at((lo + hi) / 2 + (hi - lo) / 2 * tau)
            self.texts += contradictions_of_checker(values, exact, 0, tau)


@pytest.mark.parametrize("kind", GATES)
def test_halving_a_segment_quarters_the_remainder(kind: str) -> None:
    model, feeds = layer(kind, optional=("B",), steps=6)
    direction = np.random.default_rng(3).normal(size=feeds["x"].shape)
    network = Network(model, feeds, "x", ["Y_h"])
    line = Line.of(
        *([Fraction(float(v)) for v in a.reshape(-1)] for a in (feeds["x"], direction)), direction.shape
    )
    radii = []
    for k in range(4, 8):
        value = network.enclose(line, [(-(2.0**-k), 2.0**-k)])["Y_h"]
        radii.append(float(np.asarray(value.r).max()))
    ratios = [a / b for a, b in zip(radii, radii[1:], strict=False)]
    assert all(3.3 < ratio < 4.7 for ratio in ratios), ratios


# --- audits ---


def series_model(kind: str, steps: int = 10, hidden: int = 3, seed: int = 0) -> onnx.ModelProto:
    """A one-step predictor of a series: the layer's states, and a linear read-out."""
    rng = np.random.default_rng(seed)
    constants = {
        "W": rng.normal(size=(1, GATES[kind] * hidden, 1)),
        "R": 0.5 * rng.normal(size=(1, GATES[kind] * hidden, hidden)),
        "B": 0.1 * rng.normal(size=(1, 2 * GATES[kind] * hidden)),
        "V": rng.normal(size=(hidden, 1)),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["in"], perm=[2, 0, 1]),
        helper.make_node(kind, ["in", "W", "R", "B"], ["states"], hidden_size=hidden),
        helper.make_node("MatMul", ["states", "V"], ["read"]),
        helper.make_node("Reshape", ["read", "shape"], ["y"]),
    ]
    stored = [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()]
    stored.append(numpy_helper.from_array(np.array([1, 1, steps], dtype=np.int64), "shape"))
    value = helper.make_tensor_value_info
    shape = [1, 1, steps]
    graph = helper.make_graph(nodes, kind, [value("x", 1, shape)], [value("y", 1, shape)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_audit_of_a_series(kind: str, tmp_path: Path) -> None:
    """Which times the network predicts badly, and whether the series is different there."""
    x = np.random.default_rng(5).normal(size=(1, 1, 10)).astype(np.float32)
    hypothesis = sl.BackMeanDiff(threshold=0.9, post_process=[sl.InputDiff(), sl.Abs()])
    model = series_model(kind)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    result = sl.audit(path, x, hypothesis=hypothesis, var=1.0, precision=1e-3)
    assert result.runtime_agrees
    assert 0 <= result.inf_p <= result.sup_p <= 1 and result.sup_p - result.inf_p <= 1e-3
    result.certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit", model=path)
    assert report.model_checked and report.cells == len(result.cell_list)
