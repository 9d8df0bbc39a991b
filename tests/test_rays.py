"""On rays: what engine and checker say of the standard's node tests, one input moving at a time.

Whatever moves is scaled by s = 1/|t| there; a constant that is added must be, too, and it is not always clear
which operand that is (a bias that moves beside constant data, say).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from check_values import graph_of, values_on
from conformance import REFERENCE_ERRS, Case, all_cases
from onnx import helper
from onnx.reference import ReferenceEvaluator

from symbolic.enclosures.values import Affine, Range
from symbolic.errors import SurelineError
from symbolic.network import Line, Network
from verifier.check.errors import InvalidCertificate, NotHomogeneous, Undecided
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import FAST, Form

START = 8.0
TIMES = (9.0, 64.0)
PARTS = 8
OFTEN = 6
"""Tests of one operator: the casts alone are hundreds."""


def movable(case: Case) -> list[str]:
    """Inputs of wide floats, all finite."""
    return [
        name
        for name, array in case.feeds.items()
        if isinstance(array, np.ndarray)
        and array.dtype in (np.float32, np.float64)
        and array.size
        and np.isfinite(array).all()
    ]


def chosen() -> list[Case]:
    """Tests of one node on tensors, with inputs that can move."""
    seen: Counter[str] = Counter()
    cases = []
    for case in all_cases():
        tensors = all(isinstance(v, np.ndarray) and v.dtype.kind not in "OUS" for v in case.feeds.values())
        ops = [node.op_type for node in case.model.graph.node]
        if len(ops) == 1 and tensors and movable(case) and not REFERENCE_ERRS & set(ops):
            seen[ops[0]] += 1
            cases += [case] if seen[ops[0]] <= OFTEN else []
    return cases


def points(case: Case, name: str, direction: np.ndarray) -> list[tuple[float, list[Any]]]:
    """The standard's outputs at some points of the ray; none where its evaluator has gaps."""
    start, found = case.feeds[name], []
    for t in TIMES:
        x = (start.astype(np.float64) + t * direction).astype(start.dtype)
        try:
            with np.errstate(all="ignore"):
                found.append((t, ReferenceEvaluator(case.model).run(None, {**case.feeds, name: x})))
        except Exception:
            return []
    return found


def close(value: np.ndarray, middle: np.ndarray, radius: np.ndarray) -> bool:
    """Within the radius, and what the evaluator rounds."""
    wanted = np.asarray(value, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(middle - wanted) <= radius + 1e-3 * (1 + np.abs(wanted))
    return bool((off | ~np.isfinite(wanted) | ~np.isfinite(middle) | np.isnan(radius)).all())


def engine_says(case: Case, name: str, direction: np.ndarray) -> dict[str, Any]:
    outputs = [value.name for value in case.model.graph.output]
    try:
        network = Network(case.model, case.feeds, name, outputs)
    except SurelineError:
        return {}
    if not network.homogeneous:
        return {}
    exact = ([Fraction(float(v)) for v in a.reshape(-1)] for a in (case.feeds[name], direction))
    return network.enclose(Line.of(*exact, direction.shape), [(START, math.inf)])


def checker_says(case: Case, name: str, direction: np.ndarray) -> dict[str, Any]:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    outputs = [value.name for value in model.graph.output]
    model.graph.node.append(helper.make_node("Greater", [name, name], ["discrete"]))
    model.graph.node.extend(helper.make_node("Shape", [n], [f"shape/{n}"]) for n in outputs)
    del model.graph.output[:]
    for output in ("discrete", *(f"shape/{n}" for n in outputs)):
        model.graph.output.append(helper.make_empty_tensor_value_info(output))
    try:
        graph = graph_of(model, dict(case.feeds), name, direction)
        return values_on(graph, [(Fraction(START), math.inf)], FAST)
    except (InvalidCertificate, NotHomogeneous, Undecided):
        return {}


def holds(value: Any, wanted: Any, t: float) -> bool:
    """Whether a value on the ray allows what the standard computes at t."""
    tau = 2 * START / t - 1  # s = 1/t runs from 0 at tau = -1 to 1/START at tau = 1
    if isinstance(value, Affine):
        return close(wanted, (value.c + value.d * tau)[0] * t, value.r[0] * t)
    if isinstance(value, Form):
        c, d, r = (a[..., 0].astype(np.float64) * 2.0**value.e for a in (value.c, value.d, value.r))
        return close(wanted, (c + d * tau) * t**value.degree, r * t**value.degree)
    if isinstance(value, Range):
        lo, hi = value.lo[0], value.hi[0]
    elif isinstance(value, Discrete):
        lo, hi = value.lo[..., 0], value.hi[..., 0]
    else:
        return True
    return bool(((lo <= wanted) & (np.asarray(wanted) <= hi)).all())


@pytest.mark.parametrize("part", range(PARTS))
def test_node_tests_on_rays(part: int) -> None:
    failures, said = [], Counter[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in chosen()[part::PARTS]:
            for name in movable(case):
                rng = np.random.default_rng(len(case.name))
                direction = rng.normal(size=case.feeds[name].shape).astype(case.feeds[name].dtype)
                where = points(case, name, direction)
                for side, says in (("engine", engine_says), ("checker", checker_says)):
                    values = says(case, name, direction) if where else {}
                    said[side] += bool(values)
                    for t, wanted in where:
                        for item, number in zip(case.model.graph.output, wanted, strict=True):
                            if not holds(values.get(item.name), number, t):
                                failures.append(f"{case.name}, {name} moves: {side}, {item.name} at {t}")
    assert not failures, failures
    assert said["engine"] and said["checker"]
