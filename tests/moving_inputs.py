"""One operator of which several inputs move at once: engine and checker against the twin and the runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import twin
from check_values import contradictions, graph_of, values_on
from enclosure_checks import line_of
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case
from test_random_graphs import failures_of
from unrolled_models import checked_at, runtime

from symbolic.bounds import enclose
from symbolic.network import Network
from verifier.check.errors import NotHomogeneous, Undecided
from verifier.check.numbers.integers import EXACT, FAST

__all__ = [
    "Operator",
    "failures",
    "failures_of_case",
    "halvings",
    "on_rays_of_the_checker",
    "tight_at_points",
]

CELLS = (1.0, 2.0**-4, 2.0**-20, 0.0)
RAYS = [(4.0, math.inf), (-math.inf, -4.0)]
PRECISIONS = (FAST, 256, EXACT)


@dataclass(frozen=True)
class Operator:
    """A node and the values of its inputs at t = 0; those named in `still` are constants.

    `gaps` are the places of inputs that are left out.
    """

    kind: str
    inputs: Mapping[str, np.ndarray]
    still: Sequence[str] = ()
    opset: int = 21
    gaps: Sequence[int] = ()
    attributes: Mapping[str, Any] | None = None

    def model(self) -> onnx.ModelProto:
        """From x, the moving inputs one after the other, to y and y > 0."""
        names = list(self.inputs)
        moving = [name for name in names if name not in self.still]
        nodes, start = [], 0
        stored = {name: np.asarray(self.inputs[name]) for name in self.still}
        for name in moving:
            size = self.inputs[name].size
            stored[f"{name}/places"] = np.arange(start, start + size)
            stored[f"{name}/shape"] = np.array(self.inputs[name].shape, dtype=np.int64)
            nodes += [
                helper.make_node("Gather", ["x", f"{name}/places"], [f"{name}/flat"]),
                helper.make_node("Reshape", [f"{name}/flat", f"{name}/shape"], [name]),
            ]
            start += size
        for place in self.gaps:
            names.insert(place, "")
        nodes.append(helper.make_node(self.kind, names, ["y"], name="it", **(self.attributes or {})))
        stored["zero"] = np.zeros((), dtype=np.float32)
        nodes.append(helper.make_node("Greater", ["y", "zero"], ["above"]))
        graph = helper.make_graph(
            nodes,
            "one operator",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [start])],
            [helper.make_tensor_value_info("above", TensorProto.BOOL, None)],
            [numpy_helper.from_array(value, name) for name, value in stored.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)

    def observed(self) -> np.ndarray:
        """The value of x."""
        moving = [self.inputs[name].reshape(-1) for name in self.inputs if name not in self.still]
        return np.concatenate(moving).astype(np.float32)

    def case(self, seed: int = 0, scale: float = 0.25) -> Case:
        """Along a random line."""
        x = self.observed()
        direction = np.random.default_rng(seed).normal(0, scale, x.shape).astype(np.float32)
        return Case(self.model(), "x", x, direction, {}, True)


def failures(operator: Operator, seed: int = 0, rays: bool = False) -> list[str]:
    """What engine and checker say against the twin, on cells of several widths (and on rays)."""
    case = operator.case(seed)
    found = failures_of_case(case, seed)
    if rays:
        found += _on_rays(case, np.random.default_rng(seed)) + on_rays_of_the_checker(operator, seed)
    return found


def failures_of_case(case: Case, seed: int) -> list[str]:
    """What engine and checker say of all tensors against the twin, on cells of several widths."""
    rng = np.random.default_rng(seed)
    start = float(rng.normal(0, 0.25))
    cells = [(start, start + width) for width in CELLS]
    found = failures_of(case, cells, rng, points=2)
    graph = graph_of(case.model, {case.moving: case.observed, **case.other}, case.moving, case.direction)
    for lo, hi in cells:
        a, b = Fraction(lo), Fraction(hi)
        for bits in PRECISIONS[: 2 if hi > lo else 3]:
            try:
                values = values_on(graph, [(a, b)], bits)
            except Undecided:
                continue
            tau = Fraction(1, 3)
            exact = case.at((a + b) / 2 + (b - a) / 2 * tau)
            found += [f"checker, {hi - lo}: {text}" for text in contradictions(values, exact, 0, tau)]
    return found


def _on_rays(case: Case, rng: np.random.Generator) -> list[str]:
    assert Network(case.model, {"x": case.observed}, "x", ["above"]).homogeneous
    return [text for end in RAYS for text in failures_of(case, [end], rng, points=3)]


def on_rays_of_the_checker(operator: Operator, seed: int = 0) -> list[str]:
    """What the checker says against the twin on rays, where it says anything."""
    case, found = operator.case(seed), list[str]()
    graph = graph_of(case.model, {"x": case.observed}, "x", case.direction)
    for lo, hi in RAYS:
        cell = (lo if math.isinf(lo) else Fraction(lo), hi if math.isinf(hi) else Fraction(hi))
        try:
            values = values_on(graph, [cell], FAST)  # type: ignore[list-item]
        except (NotHomogeneous, Undecided):
            continue
        for t in (Fraction(9, 2), Fraction(1000)):
            s = 1 / t  # in (0, 1/4): tau runs from -1 to 1
            exact = case.at(t if math.isinf(hi) else -t)
            found += contradictions(values, exact, 0, s * 8 - 1, s)
    return found


def tight_at_points(operator: Operator, *, runs: bool = True, atol: float = 3e-6) -> None:
    """At the observed input everything is known to rounding, and is what the runtime computes."""
    model, x = operator.model(), operator.observed()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    still = np.zeros(x.shape)
    wanted = twin.to_float(twin.evaluate(model, {"x": twin.exact_array(x)})["y"])
    found = [enclose(model, {"x": x}, {"x": still}, 0, 0)["y"]]
    found.append(checked_at(model, {"x": x}, "x", still, (Fraction(0), Fraction(0)))["y"])
    for lo, hi in found:
        assert lo.shape == wanted.shape
        assert (hi - lo <= 1e-9 * (1 + np.abs(wanted))).all(), (hi - lo).max()
        np.testing.assert_allclose(lo, wanted, rtol=1e-9, atol=1e-9)
    if runs:
        np.testing.assert_allclose(runtime(model, {"x": x})[0], wanted, rtol=atol, atol=atol)


def halvings(operator: Operator, seed: int = 0, scale: float = 0.25) -> list[float]:
    """By how much the engine's greatest radius shrinks as a cell is halved, again and again."""
    case = operator.case(seed, scale)
    radii = []
    for k in range(4, 8):
        width = 2.0**-k
        made = Network(case.model, {"x": case.observed}, "x", ["y", "above"])
        radii.append(float(np.asarray(made.enclose(line_of(case), [(-width, width)])["y"].r).max()))  # type: ignore[union-attr]
    return [a / b for a, b in zip(radii, radii[1:], strict=False)]
