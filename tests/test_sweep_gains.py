"""Bounds by the pattern at hand are never exceeded, by exact values; where norms say little they say much.

Rounding alone is too small to test them: the sweep is given a line that is off the true one, and told so.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from sweep_nets import MAKERS, SAME, a_line, check_verdicts, kernel, net, node, selected, true_layers

from symbolic.pieces.program import Linear, Maximum
from verifier.sweep import rigour
from verifier.sweep.adjoint import adjoint_of
from verifier.sweep.forward import forward, linear
from verifier.sweep.reading_head import MIXED
from verifier.sweep.rigour import CertifiedSweeper
from verifier.sweep.spreading import rigorous
from verifier.sweep.sweeper import Sweep, planned


def deep(seed: int, depth: int = 8) -> onnx.ModelProto:
    """Convolutions in a row, a pooling in the middle, and a sum over two branches."""
    rng = np.random.default_rng(seed)
    constants, nodes, at, width = {}, [], "x", 1
    for k in range(depth):
        constants[f"W{k}"] = kernel(rng, 4, width, 3, 3)
        nodes.append(node("Conv", f"{at} W{k}", f"c{k}", **SAME))
        nodes.append(node("Relu", f"c{k}", f"r{k}"))
        at, width = f"r{k}", 4
        if k == depth // 2:
            nodes.append(node("MaxPool", at, "p", kernel_shape=[2, 2], strides=[2, 2]))
            at = "p"
        elif k == depth - 2:
            nodes.append(node("Add", f"r{k} p", "s"))
            at = "s"
    constants["top"] = kernel(rng, 1, 4, 1, 1)
    nodes.append(node("Conv", f"{at} top", "y"))
    return net(nodes, constants, [1, 1, 6, 6])


def mixed(seed: int) -> onnx.ModelProto:
    """Small random layers: duplicate and dead units, no biases, skips, windows, maxima with the input."""
    rng = np.random.default_rng([77, seed])
    n = int(rng.integers(3, 7))
    constants = {"low": np.array(-0.5, np.float32), "high": np.array(0.75, np.float32)}
    nodes, at, width, known = [], "x", n, {n: "x"}
    for k in range(int(rng.integers(3, 8))):
        m = int(rng.integers(2, 9))
        weights = rng.normal(size=(width, m)) * rng.choice([0.3, 1, 2]) * (rng.random((width, m)) > 0.25)
        bias = rng.normal(size=m) * rng.choice([0, 0.3])
        if rng.random() < 0.4:
            weights[:, 1], bias[1] = weights[:, 0], bias[0]
        if rng.random() < 0.2:
            weights[:, -1] = 0
        constants |= {f"W{k}": weights.astype(np.float32), f"b{k}": bias.astype(np.float32)}
        nodes.append(node("Gemm", f"{at} W{k} b{k}", f"g{k}"))
        at, width, out = f"g{k}", m, f"a{k}"
        other = known.get(width)
        op = rng.choice(["Relu", "Abs", "Clip", "MaxPool", "Max", "Add"])
        if op in ("Max", "Add") and other:
            nodes.append(node(str(op), f"{at} {other}", out))
        elif op == "MaxPool" and width > 2:
            constants |= {f"s{k}": np.array([1, 1, width]), f"t{k}": np.array([1, width - 1])}
            nodes.append(node("Reshape", f"{at} s{k}", f"r{k}"))
            nodes.append(node("MaxPool", f"r{k}", f"p{k}", kernel_shape=[2], strides=[1]))
            nodes.append(node("Reshape", f"p{k} t{k}", out))
            width -= 1
        elif op == "Clip":
            nodes.append(node("Clip", f"{at} low high", out))
        else:
            nodes.append(node("Abs" if op == "Abs" else "Relu", at, out))
        at = known[width] = out
    nodes.append(node("Identity", at, "y"))
    return net(nodes, constants, [1, n])


NETS = {
    "deep": deep,
    **{k: MAKERS[k] for k in ("dense", "convolutional", "stack", "unet", "residual", "clipped")},
}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds by the pattern are used whatever the norms say, and as good as they can be."""
    monkeypatch.setattr(rigour, "COARSE", 0.0)
    monkeypatch.setattr(rigour, "ENOUGH", 1e-12)


def _sweeper(
    name: str | int, seed: int, off: float
) -> tuple[CertifiedSweeper, list[list[Fraction]], np.ndarray]:
    """A sweep that is off the true line; that line, and the observed selection."""
    model = mixed(2 * name + seed) if isinstance(name, int) else NETS[name](seed)
    program, output = selected(model, 0.01)  # places where nothing arrives are 0 throughout
    start, direction = a_line(program, seed)
    observed = forward(program, start, direction).value[program.outputs[output]]
    plan = rigorous(planned(program, {output: observed}))
    rng = np.random.default_rng(seed)
    away = [off * v / np.linalg.norm(v) for v in rng.normal(size=(2, len(start)))]
    exact = [[Fraction(float(v)) for v in row] for row in (start, direction)]
    swept = CertifiedSweeper(plan, start + away[0], direction + away[1], (1.001 * off, 1.001 * off))
    return swept, exact, observed.reshape(-1)


@pytest.mark.parametrize("off", [1e-9, 1e-4, 1e-2])
@pytest.mark.parametrize("name", [*NETS, *range(5)])
def test_bounds_are_never_exceeded(name: str | int, off: float) -> None:
    """Of every unit of every layer, at random points of both halves of the line."""
    for seed, sign in ((0, 1.0), (1, -1.0)):
        sweeper, exact, _ = _sweeper(name, seed, off)
        plan, at = sweeper.plan, 0.0
        for z in sign * np.sort(np.random.default_rng(seed).uniform(0, 1.5, 3)):
            sweeper.run(at, float(z))
            at = float(z)
            gains = sweeper.gains(sweeper.errors(at))
            swept = sweeper.sweeper.units_at(at)
            for j, layer, true in true_layers(plan, exact, at):
                bounds = gains.of_layer(j, np.arange(layer.size))
                wrong = np.abs(swept[layer.units] - np.array([float(v) for v in true]))
                assert (wrong <= bounds + 2.0**-48 * (1 + np.abs(swept[layer.units]))).all()


def test_they_are_better_than_norms() -> None:
    """By orders of magnitude, on a deep network; and nothing is given away."""
    sweeper, _, _ = _sweeper("deep", 0, 1e-9)
    sweeper.run(0.0, 0.5)
    by_norms = sweeper.errors(0.5)
    last = len(sweeper.plan.body) - 1
    units = np.arange(sweeper.plan.program.layers[sweeper.plan.body[last]].size)
    sharp = np.linalg.norm(sweeper.gains(by_norms).of_layer(last, units))
    assert sharp < by_norms[last] / 20
    assert sharp > 1e-10


def test_they_decide_more_than_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    by_pattern = _undecided(_sweeper("deep", 2, 1e-9)[0].run(0.0, 1.5))
    monkeypatch.setattr(rigour, "COARSE", np.inf)
    assert by_pattern < 0.1 * _undecided(_sweeper("deep", 2, 1e-9)[0].run(0.0, 1.5))


def _undecided(found: Sweep) -> float:
    return float((found.hi - found.lo)[found.verdicts == MIXED].sum())


@pytest.mark.parametrize("off", [1e-9, 1e-3])
@pytest.mark.parametrize("name", list(NETS))
def test_verdicts_are_true(name: str, off: float) -> None:
    """Of the true line, by exact values."""
    for end in (1.5, -1.5):
        sweeper, exact, observed = _sweeper(name, 2, off)
        found = sweeper.run(0.0, end)
        assert found.reached == end
        if off < 1e-6:
            assert _undecided(found) < 5e-4
        rng = np.random.default_rng(0)
        some = rng.choice(len(found.lo), size=min(20, len(found.lo)), replace=False)
        check_verdicts(found, sweeper.plan.program, exact, observed, near=10**6, only=some)


@pytest.mark.parametrize("name", list(NETS))
def test_the_adjoint(name: str) -> None:
    """<A x, g> = <x, A' g> of every layer, with some winners."""
    program, output = selected(NETS[name](0))
    start, direction = a_line(program, 0)
    observed = forward(program, start, direction).value[program.outputs[output]]
    plan = rigorous(planned(program, {output: observed}))
    adjoint = adjoint_of(plan)
    assert adjoint is not None
    rng = np.random.default_rng(0)
    for j, k in enumerate(plan.body):
        layer = plan.program.layers[k]
        x, rows = rng.normal(size=(1, plan.program.size)), rng.normal(size=(layer.size, 3))
        x[:, 0] = 0.0
        branch = np.zeros(layer.size, dtype=np.int64)
        if isinstance(layer, Linear):
            made = linear(layer, x)[0]
        else:
            assert isinstance(layer, Maximum)
            branch = np.array([rng.choice(np.nonzero(row >= 0)[0]) for row in layer.sources])
            made = x[0, layer.sources[np.arange(layer.size), branch]]
        below: dict[int, np.ndarray] = {}
        adjoint.through(layer, j, rows, branch, below)
        found = sum(
            x[0, adjoint.start[s] : adjoint.start[s] + adjoint.size[s]] @ values
            for s, values in below.items()
        )
        np.testing.assert_allclose(found, made @ rows, rtol=1e-10, atol=1e-10)
