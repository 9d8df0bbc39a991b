"""Random networks of all operators: float64 enclosures contain the exact values, and are worth having."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import twin
from enclosure_checks import contradictions, line_of, network_of, points_in, tau_of
from hypothesis import given
from hypothesis import strategies as st
from quicktions import Fraction
from random_graphs import MAKERS, Case, cases, operator_counts, suite

from symbolic.errors import ModelError
from symbolic.network import Network

COUNT = 2200
FEWER = 1000
CHUNKS = 8
WIDTHS = (1.0, 1e-3, 1e-9, 0.0)
STEPS = {"Sign", "Cast", "Floor", "Ceil", "Round", "Mod", "Hardmax", "LpNormalization"}  # jumps
# What the engine may refuse, in a sentence, of what the standard defines.
MAY_REFUSE = ("with a scale that gives no whole size means different things",)


def chunk(number: int) -> list[tuple[int, Case]]:
    """Every CHUNKS-th network of the suite, with its number."""
    return [(k, case) for k, case in enumerate(suite(COUNT)) if k % CHUNKS == number]


def engine(case: Case) -> Network | str:
    """The engine's network, or what it refuses (empty where it may)."""
    try:
        return network_of(case)
    except ModelError as error:
        return "" if any(words in str(error) for words in MAY_REFUSE) else f"refused: {error}"


def failures_of(
    case: Case, segments: list[tuple[float, float]], rng: np.random.Generator, points: int
) -> list[str]:
    """What the enclosures of all tensors on the segments contradict at random points."""
    network = engine(case)
    if isinstance(network, str):
        return [network] if network else []
    made = {name for node in case.model.graph.node for name in node.output}
    values = network.enclose(line_of(case), segments, keep_all=True)
    values |= {name: value for name, value in network.constants.items() if name in made}
    found = []
    for k, segment in enumerate(segments):
        ray = math.isinf(segment[0]) or math.isinf(segment[1])
        moving = {name: value for name, value in values.items() if not (ray and name in network.constants)}
        for t in points_in(rng, segment, points):
            scale = 1 / abs(t) if ray else Fraction(1)
            for text in contradictions(moving, case.at(t), k, tau_of(segment, t), scale):
                name = text.split(":")[0]
                maker = next((n.op_type for n in case.model.graph.node if name in n.output), "input")
                found.append(f"{maker} on {segment} at {float(t)!r}: {text}")
    return found


# --- the networks themselves ---


def test_networks_are_valid() -> None:
    for case in suite(COUNT):
        # the standard's body of this operator is valid for float32 alone, and only from operator set 13
        whole = "MeanVarianceNormalization" not in operator_counts(case.model)
        onnx.checker.check_model(case.model, full_check=whole)


def test_every_operator_occurs_often() -> None:
    counts = Counter({name: 0 for name in twin.OPERATORS})
    for case in suite(COUNT):
        counts.update(operator_counts(case.model))
    print("\noccurrences: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))
    assert set(MAKERS) == set(twin.OPERATORS)
    assert min(counts.values()) >= 100


def runtime_departs(node: onnx.NodeProto, value: np.ndarray) -> bool:
    """Where the runtime is known not to do what the standard says."""
    if node.op_type == "MeanVarianceNormalization":  # the standard's body adds 1e-9 to the deviation
        return bool(np.isnan(value).any())
    if node.op_type in ("RNN", "GRU", "LSTM"):  # the standard clips the input of every activation
        return any(item.name == "clip" for item in node.attribute)
    return node.op_type == "Resize"  # tf_crop_and_resize


def test_twin_agrees_with_runtime() -> None:
    """ONNX Runtime is a third opinion on the twin, in float: values until a discrete tensor sits on a tie."""
    ran, ties, failures = 0, 0, []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for number, case in enumerate(suite(COUNT)[:800]):
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        names = [name for node in model.graph.node for name in node.output if name]
        given_names = {item.name for item in model.graph.output}
        model.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in given_names
        )
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
            outputs = [item.name for item in model.graph.output]
            got = dict(
                zip(outputs, session.run(None, {case.moving: case.observed, **case.other}), strict=True)
            )
        except Exception:  # the runtime implements not all operators of all opsets and types
            continue
        ran += 1
        exact = case.at(Fraction(0))
        makers = {name: node for node in model.graph.node for name in node.output}
        for name in names:
            value, wanted = np.asarray(got[name], dtype=np.float64), twin.to_float(exact[name])
            if value.shape == wanted.shape and np.allclose(value, wanted, rtol=1e-3, atol=1e-3):
                continue
            if got[name].dtype.kind in "biu" or makers[name].op_type in STEPS:
                ties += 1
            elif not runtime_departs(makers[name], value):
                failures.append(f"{number}: {makers[name].op_type} {name}")
            break
    print(f"\n{ran} networks ran, {ties} differ on a tie")
    assert ran >= 300
    assert ties <= 0.03 * ran
    # dilated SAME padding has one meaning in the standard and another in the runtime
    assert len(failures) <= 2, failures


# --- enclosures ---


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CHUNKS))
def test_enclosures_contain(number: int) -> None:
    failures = []
    for k, case in chunk(number):
        rng = np.random.default_rng([1, k])
        start = float(rng.normal())
        for text in failures_of(case, [(start, start + width) for width in WIDTHS], rng, points=2):
            failures.append(f"network {k}: {text}")
            break
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
def test_rays_contain(side: str) -> None:
    failures, rays = [], 0
    for k, case in enumerate(suite(FEWER)):
        network = engine(case)
        if isinstance(network, str) or not network.homogeneous:
            continue
        rays += 1
        rng = np.random.default_rng([2, k])
        near = float(2.0 ** rng.integers(-3, 12))
        ray = (near, math.inf) if side == "right" else (-math.inf, -near)
        failures += [f"network {k}: {text}" for text in failures_of(case, [ray], rng, points=2)[:1]]
    assert rays >= 100
    assert not failures, "\n".join(failures)


@given(
    case=cases(),
    start=st.fractions(-4, 4, max_denominator=2**20),
    power=st.integers(-60, 2),
    seed=st.integers(0, 99),
)
def test_enclosure_contains(case: Case, start: Fraction, power: int, seed: int) -> None:
    lo = float(start)
    segment = (lo, lo + 2.0**power)
    assert not failures_of(case, [segment], np.random.default_rng(seed), points=3)


def test_share_decided() -> None:
    """On cells of width 1e-3 the selection is known: inside (all of it) or outside (one element)."""
    decided = cells = complete = 0
    for k, case in enumerate(suite(FEWER)):
        try:
            network = network_of(case, [case.model.graph.output[0].name])
        except ModelError:
            continue
        name = case.model.graph.output[0].name
        observed = case.at(Fraction(0))[name]
        if any(v is twin.UNKNOWN for v in observed.reshape(-1)):
            continue
        start = float(np.random.default_rng([3, k]).normal())
        value = network.enclose(line_of(case), [(start, start + 1e-3)])[name]
        cells += 1
        if name in network.constants:
            decided, complete = decided + 1, complete + 1
            continue
        seen = np.array(observed.astype(np.int64))
        lo, hi = value.lo[0].astype(np.int64), value.hi[0].astype(np.int64)
        outside, known = ((lo > seen) | (hi < seen)).any(), (lo == hi).all()
        decided += bool(outside or known)
        complete += bool(known)
    share, every = decided / cells, complete / cells
    print(f"\n{cells} cells of width 1e-3: {share:.1%} decided, {every:.1%} in every element")
    assert decided >= 0.9 * cells
