"""Models with subgraphs, by the ONNX text format, and what engine and checker say of them at points."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnxruntime
from check_values import values_on
from onnx import helper, parser
from onnx.reference import ReferenceEvaluator

from symbolic.bounds import enclose
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import FAST

__all__ = ["checked_at", "model_of", "require_agreement", "runtime"]

TOLERANCE = 1e-4


def model_of(text: str, opset: int = 21, functions: str = "", ir: int = 10) -> onnx.ModelProto:
    """A checked model from the text of its graph."""
    imports = f'"" : {opset}' + (', "local" : 1' if functions else "")
    model = parser.parse_model(f"<ir_version: {ir}, opset_import: [{imports}]>\n{text}\n{functions}")
    onnx.checker.check_model(model)
    return model


def runtime(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """What ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def checked_at(
    model: onnx.ModelProto, feeds: dict[str, Any], moving: str, direction: np.ndarray, cell: tuple[Any, Any]
) -> dict[str, Any]:
    """The checker's values of the model's outputs on a cell, as pairs of floating-point bounds."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [value.name for value in model.graph.output]
    probe.graph.node.append(helper.make_node("Greater", [moving, moving], ["discrete"]))
    probe.graph.node.extend(helper.make_node("Shape", [name], [f"shape/{name}"]) for name in names)
    outputs = ["discrete", *(f"shape/{name}" for name in names)]
    beta = [Fraction(float(v)) for v in direction.reshape(-1)]
    graph = CheckedGraph.build(probe, dict(feeds), moving, beta, outputs)
    values = {**graph._constants(FAST)[1], **values_on(graph, [cell], FAST)}
    return {name: _bounds(values[name]) for name in names}


def _bounds(value: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(value, Discrete):
        return value.lo[..., 0].astype(float), value.hi[..., 0].astype(float)
    c, d, r = (a[..., 0].astype(float) * 2.0**value.e for a in (value.c, value.d, value.r))
    return c - np.abs(d) - r, c + np.abs(d) + r


def require_agreement(
    model: onnx.ModelProto,
    feeds: dict[str, Any],
    moving: str = "x",
    *,
    reference: bool = True,
    runs: bool = True,
    width: float = 0.125,
) -> list[Any]:
    """Engine and checker contain ONNX Runtime and the reference evaluation along a line, and are tight at
    its middle; gives the values there.
    """
    rng = np.random.default_rng(1)
    x = feeds[moving]
    direction = rng.integers(-4, 5, x.shape).astype(x.dtype) / 4
    cell = Fraction(-width), Fraction(width)
    wide = enclose(model, feeds, {moving: direction}, *cell)
    narrow = enclose(model, feeds, {moving: direction}, 0, 0)
    checked = checked_at(model, feeds, moving, direction, cell)
    at_zero = checked_at(model, feeds, moving, direction, (Fraction(0), Fraction(0)))
    for t in (0.0, width, -width / 2):
        given = {**feeds, moving: (x + t * direction).astype(x.dtype)}
        results = [runtime(model, given)] if runs else []
        if reference:
            results.append(ReferenceEvaluator(model).run(None, given))
        for values in results:
            for (name, (lo, hi)), value in zip(wide.items(), values, strict=True):
                _require_inside(name, value, lo, hi)
                _require_inside(name, value, *checked[name])
        if t == 0:
            for (name, (lo, hi)), value in zip(narrow.items(), results[0], strict=True):
                _require_inside(name, value, lo, hi)
                _require_inside(name, value, *at_zero[name])
    for name, (lo, hi) in narrow.items():
        assert (hi.astype(float) - lo.astype(float)).max(initial=0) < 1e-6
        assert (at_zero[name][1] - at_zero[name][0]).max(initial=0) < 1e-6
    return [narrow[value.name][0] for value in model.graph.output]


def _require_inside(name: str, value: Any, lo: Any, hi: Any) -> None:
    value = np.asarray(value)
    assert value.shape == lo.shape, (name, value.shape, lo.shape)
    slack = TOLERANCE * (1 + np.abs(value.astype(float)))
    assert ((lo - slack <= value) & (value <= hi + slack)).all(), (name, value, lo, hi)
