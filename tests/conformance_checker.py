"""One node test of the standard in the checker: its value at the test's input is the expected one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from check_values import values_on

from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import EXACT, FAST

__all__ = ["checker_outcome"]

PRECISIONS = (FAST, 256, EXACT)


def checker_outcome(case: Any) -> tuple[str, str]:
    """ "pass", "refused" or "wrong", and why."""
    for value in [*case.feeds.values(), *case.expected]:
        if not isinstance(value, np.ndarray) or value.dtype.kind in "OUS":
            return "refused", "not a tensor of numbers"
    names = [
        n for n, a in case.feeds.items() if a.size and not a.dtype.name.startswith(("int", "uint", "bool"))
    ]
    if not names:
        return "refused", "no input can move"
    try:
        fault = _fault(case, names[0])
    except (InvalidCertificate, Undecided, MemoryError) as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001  (a defect, to be counted and not to end the run)
        return "wrong", f"{type(error).__name__}: {error}"
    return ("wrong", fault) if fault else ("pass", "")


def _fault(case: Any, moving: str) -> str:
    """What is wrong with the checker's values; empty if nothing."""
    # A discrete output for the graph to be about; every other tensor is compared.
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.graph.node.append(onnx.helper.make_node("Greater", [moving, moving], ["discrete"]))
    outputs = [v.name for v in case.model.graph.output]
    model.graph.node.extend(onnx.helper.make_node("Shape", [name], [f"shape/{name}"]) for name in outputs)
    graph = CheckedGraph.build(
        model,
        case.feeds,
        moving,
        [Fraction(0)] * case.feeds[moving].size,
        ["discrete", *(f"shape/{name}" for name in outputs)],
    )
    fault = "no precision gives a value"
    for bits in PRECISIONS:
        if bits not in graph.constants:
            continue
        values = {**graph.constants[bits][1], **values_on(graph, [(Fraction(0), Fraction(0))], bits)}
        fault = next(
            (f for n, w in zip(outputs, case.expected, strict=True) if (f := _differs(case, values, n, w))),
            "",
        )
        if not fault:
            return ""
    return fault


def _differs(case: Any, values: dict[str, Any], name: str, wanted: Any) -> str:
    if name not in values:
        return f"{name} has no value"
    value = values[name]
    if value.shape != wanted.shape:
        return f"{name} has shape {value.shape}, not {wanted.shape}"
    exact = wanted.astype(np.float64)
    if isinstance(value, Discrete):
        same = (value.lo[..., 0] == exact) & (value.hi[..., 0] == exact)
        return "" if same.all() else f"{name} is not known at the input"
    unit = 2.0**value.e
    real = np.isfinite(exact)
    off = np.where(real, np.abs(value.c[..., 0].astype(np.float64) * unit - exact), 0.0)
    size = np.abs(np.where(real, exact, 0.0))
    tolerance = max(case.rtol, 1e-6) * (1 + size) + case.atol + case.rounding * size.max(initial=0.0)
    if (off > tolerance).any():
        return f"{name} is off by {off.max():.2g}"
    wide = np.where(real, value.r[..., 0].astype(np.float64) * unit, 0.0)
    return f"{name} is {wide.max():.2g} wide at the input" if (wide > tolerance).any() else ""
