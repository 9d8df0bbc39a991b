"""Bounds of the sweep's error: norms are never exceeded, nor is the whole bound, and verdicts are true."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from sweep_nets import (
    MAKERS,
    a_line,
    check_verdicts,
    jumps,
    net,
    node,
    program_of,
    saliency,
    selected,
    stack,
    true_layers,
)

from symbolic.errors import ModelError
from symbolic.pieces.program import Linear, Maximum, Product, Program
from verifier.sweep.forward import forward, linear
from verifier.sweep.norms import matrix_norm, norms_of
from verifier.sweep.reading_head import MIXED
from verifier.sweep.rigour import CertifiedSweeper
from verifier.sweep.spreading import rigorous
from verifier.sweep.sweeper import planned
from verifier.swept import is_provable

CONTINUOUS = ["dense", "convolutional", "stack", "unet", "residual", "clipped"]


def of_layer(program: Program, s: int) -> slice:
    return slice(1, 1 + program.n_inputs) if s < 0 else program.layers[s].units


def test_matrix_norms_are_upper_bounds_and_tight() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 5), (40, 7), (4, 6, 6), (64, 64)):
        for scale in (1e-200, 1.0, 1e200):
            a = rng.normal(size=shape) * scale
            true = max(np.linalg.norm(m, 2) for m in a.reshape(-1, *shape[-2:]))
            assert true <= matrix_norm(a) <= 1.1 * true
    assert matrix_norm(np.zeros((3, 4))) == 0.0


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("fuse", [False, True])
def test_layer_norms_are_never_exceeded(name: str, fuse: bool) -> None:
    """By random vectors, and by those that power iteration finds."""
    rng = np.random.default_rng(0)
    program = planned(program_of(MAKERS[name](0)), fuse=fuse).program
    for k, layer in enumerate(program.layers):
        if isinstance(layer, Product):
            continue
        for s, bound in norms_of(program, k).items():
            units = np.arange(program.size)[of_layer(program, s)]
            for _ in range(10):
                x, y = np.zeros((2, program.size))
                x[units] = rng.normal(size=len(units)) * rng.choice([0, 1, 10], size=len(units))
                if isinstance(layer, Linear):
                    for _ in range(10):
                        x /= max(np.linalg.norm(x), 1e-300)
                        made = linear(layer, x[None])[0]
                        assert np.linalg.norm(made) <= bound
                        x = _transposed(program, layer, made, units)
                elif isinstance(layer, Maximum):
                    y[units] = rng.normal(size=len(units)) * rng.choice([0, 1], size=len(units))
                    table = np.where(layer.sources >= 0, layer.sources, 0)
                    first, second = (
                        np.where(layer.sources >= 0, v[table], -np.inf).max(axis=1) for v in (x, y)
                    )
                    assert np.linalg.norm(first - second) <= bound * np.linalg.norm(x - y)


def _transposed(program: Program, layer: Linear, made: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The transposed layer, for some of its sources."""
    found = np.zeros(program.size)
    for tap in layer.taps:
        np.add.at(found, tap.sources, made.reshape(-1, layer.width)[tap.targets] @ tap.weights.T)
    np.add.at(found, layer.sources, layer.weights * made[layer.rows])
    kept = np.zeros(program.size)
    kept[units] = found[units]
    return kept


@pytest.mark.parametrize("name", CONTINUOUS)
def test_errors_bound_what_is_swept(name: str) -> None:
    """Against exact values at random points; the bounds are worth having."""
    for seed in range(2):
        program, output = selected(MAKERS[name](seed))
        start, direction = a_line(program, seed)
        observed = forward(program, start, direction).value[program.outputs[output]]
        plan = rigorous(planned(program, {output: observed}, split=seed == 0))
        exact = [[Fraction(float(v)) for v in row] for row in (start, direction)]
        for sign in (1.0, -1.0):
            sweeper, at = CertifiedSweeper(plan, start, direction), 0.0
            for z in sign * np.sort(np.random.default_rng(seed).uniform(0, 3, 3)):
                sweeper.run(at, float(z))
                at = float(z)
                errors = sweeper.errors(at)
                swept = sweeper.sweeper.units_at(at)
                for j, layer, true in true_layers(plan, exact, at):
                    if not isinstance(layer, (Linear, Maximum)):
                        continue
                    off = [Fraction(float(v)) - t for v, t in zip(swept[layer.units], true, strict=True)]
                    norm = float(sum(d * d for d in off)) ** 0.5
                    rounding = 2.0**-50 * np.linalg.norm(swept[layer.units])  # of units_at
                    assert norm <= errors[j] + rounding
                    assert errors[j] < 1e-8


@pytest.mark.parametrize("name", CONTINUOUS)
def test_verdicts_are_true(name: str) -> None:
    """By exact values, at random points and right at the ends of pieces; nearly all is decided."""
    program, output = selected(MAKERS[name](2))
    start, direction = a_line(program, 2)
    ids = program.outputs[output]
    observed = forward(program, start, direction).value[ids].reshape(-1)
    plan = rigorous(planned(program, {output: observed}))
    exact = [[Fraction(float(v)) for v in row] for row in (start, direction)]
    for end in (2.0, -2.0):
        found = CertifiedSweeper(plan, start, direction).run(0.0, end)
        assert found.reached == end
        assert (found.hi - found.lo)[found.verdicts == MIXED].sum() < 1e-4
        rng = np.random.default_rng(0)
        some = rng.choice(len(found.lo), size=min(12, len(found.lo)), replace=False)
        check_verdicts(found, program, exact, observed, near=10**6, only=some)


def test_a_check_finds_what_is_wrong() -> None:
    """A unit that has been changed shows in the errors."""
    program, output = selected(stack(0))
    start, direction = a_line(program, 0)
    observed = forward(program, start, direction).value[program.outputs[output]]
    plan = rigorous(planned(program, {output: observed}))
    sweeper = CertifiedSweeper(plan, start, direction)
    sweeper.run(0.0, 0.5)
    sweeper.check()
    before = sweeper.errors(0.5)[-2]
    layer = plan.program.layers[plan.body[2]]
    sweeper.sweeper.state.ahead[layer.start + 5] += 1e-3
    with pytest.raises(ArithmeticError, match="gone wrong at"):
        sweeper.check()
    sweeper.sweeper.state.at[4] = 0.0  # as if there had been no check before
    sweeper.check()
    assert before < 1e-9 and sweeper.errors(0.5)[-2] > 1e-4


@pytest.mark.parametrize("name", ["floor", "round", "ceil", "where", "argmax", "gate", "saliency"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_verdicts_between_jumps_are_true(name: str, seed: int) -> None:
    """By exact values right at the ends of what is decided; next to nothing is left around the jumps."""
    model = saliency(seed) if name == "saliency" else jumps(seed, name)
    program, output = selected(model, 0.05 if name == "saliency" else 0.0)
    start, direction = a_line(program, seed)
    observed = forward(program, start, direction).value[program.outputs[output]].reshape(-1)
    plan = rigorous(planned(program, {output: observed}))
    assert is_provable(program, [output])
    exact = [[Fraction(float(v)) for v in row] for row in (start, direction)]
    for end in (1.5, -1.5):
        sweeper = CertifiedSweeper(plan, start, direction)
        found = sweeper.run(0.0, end)
        assert len(found.events) > 0
        assert (found.hi - found.lo)[found.verdicts == MIXED].sum() < 1e-5
        known = np.nonzero(found.verdicts != MIXED)[0]
        some = np.random.default_rng(seed).choice(known, size=min(10, len(known)), replace=False)
        check_verdicts(found, program, exact, observed, near=10**9, only=some)


@pytest.mark.parametrize("name", ["floor", "where", "argmax", "gate", "saliency"])
def test_errors_bound_what_jumps(name: str) -> None:
    """At points away from jumps, against exact values."""
    model = saliency(0) if name == "saliency" else jumps(0, name)
    program, output = selected(model)
    start, direction = a_line(program, 0)
    observed = forward(program, start, direction).value[program.outputs[output]]
    plan = rigorous(planned(program, {output: observed}))
    exact = [[Fraction(float(v)) for v in row] for row in (start, direction)]
    sweeper, at = CertifiedSweeper(plan, start, direction), 0.0
    for z in (0.3, 0.7, 1.1, 1.9):
        sweeper.run(at, z)
        at = z
        errors = sweeper.errors(at)
        swept = sweeper.sweeper.units_at(at)
        for j, layer, true in true_layers(plan, exact, at):
            off = [Fraction(float(v)) - t for v, t in zip(swept[layer.units], true, strict=True)]
            norm = float(sum(d * d for d in off)) ** 0.5
            assert norm <= errors[j] + 2.0**-50 * np.linalg.norm(swept[layer.units])
            assert errors[j] < 1e-8


@pytest.mark.parametrize("seed", range(12))
def test_sums_that_jump_to_zero_leave_rounding_behind(seed: int) -> None:
    """What reads them is zero up to rounding, which counts though nothing is left of its source: the next
    check finds no more than what has been tallied.
    """
    rng = np.random.default_rng(seed)
    thresholds, n = np.arange(1, 11)[None] / 16, int(rng.integers(9, 14))
    constants = {
        "h": thresholds,
        "w": rng.integers(-8, 9, size=(10, n)) / 8.0,
        "U": rng.normal(size=(n, 1)),
        "zero": np.array(0.0),
    }
    nodes = [
        node("Less", "x h", "s"),
        node("Cast", "s", "f", to=TensorProto.DOUBLE),
        node("MatMul", "f w", "u"),
        node("MatMul", "u U", "v"),
        node("Relu", "v", "r"),
        node("Greater", "r zero", "y"),
    ]
    program = program_of(net(nodes, constants, [1, 1], TensorProto.DOUBLE))
    observed = forward(program, np.zeros(1), np.ones(1)).value[program.outputs["y"]]
    plan = rigorous(planned(program, {"y": observed}, split=False))
    sweeper = CertifiedSweeper(plan, np.zeros(1), np.ones(1))
    last = float(thresholds[0, -1])  # all but this mask are off
    found = sweeper.run(last - 2.0**-12, last + 2.0**-12)
    assert len(found.events) >= 1
    sweeper.check()


def test_products_with_what_is_no_whole_number_prove_nothing() -> None:
    constants = {"A": np.eye(3, dtype=np.float32), "B": np.ones((3, 2), np.float32)}
    nodes = [
        node("MatMul", "x A", "a"),
        node("Floor", "a", "f"),
        node("Mul", "f a", "m"),
        node("MatMul", "m B", "y"),
    ]
    program, output = selected(net(nodes, constants, [1, 3]))
    assert not is_provable(program, [output])


def turned() -> onnx.ModelProto:
    """Both ends of a convolution whose middle is zero read one place each, but not the same."""
    constants = {
        "A": np.array([[[1]], [[1]], [[2]], [[0.5]]], np.float32),
        "b": np.array([20, 20, 40, 20], np.float32),
        "B": np.array([[[2.0**34], [2.0**34], [-(2.0**34)], [1]]], np.float32),
        "K": np.array([[[3, 0, -3]]], np.float32),
        **{name: np.array([v]) for name, v in (("from", -1), ("to", -5), ("axis", 2), ("step", -1))},
    }
    nodes = [
        node("Conv", "x A b", "a0"),
        node("Relu", "a0", "a"),
        node("Conv", "a B", "h"),
        node("Relu", "h", "r"),
        node("Slice", "r from to axis step", "s"),
        node("Conv", "s K", "y", pads=[1, 1]),
    ]
    return net(nodes, constants, [1, 1, 2])


def doubled() -> onnx.ModelProto:
    """A convolution that reads every unit twice."""
    constants = {"A": np.ones((1, 1, 1), np.float32), "K": np.ones((1, 2, 3), np.float32)}
    nodes = [
        node("Conv", "x A", "a"),
        node("Relu", "a", "r"),
        node("Concat", "r r", "s", axis=1),
        node("Conv", "s K", "y", pads=[1, 1]),
    ]
    return net(nodes, constants, [1, 1, 8])


@pytest.mark.parametrize("make", [turned, doubled])
def test_convolutions_of_what_is_turned_or_doubled(make: Callable[[], onnx.ModelProto]) -> None:
    """Their taps look like translations of a grid; the norms of such do not bound them."""
    program = planned(program_of(make())).program
    k = max(k for k, layer in enumerate(program.layers) if isinstance(layer, Linear))
    layer = program.layers[k]
    ((s, bound),) = norms_of(program, k).items()
    units = np.zeros((program.layers[s].size, program.size))
    units[:, of_layer(program, s)] = np.eye(program.layers[s].size)
    assert np.linalg.norm(linear(layer, units), 2) <= bound


def test_norms_of_tiny_weights_are_not_zero() -> None:
    """The product of a row's and a column's sum is too small for float64."""
    constants = {
        "V": np.eye(2),
        "s": np.array(1e-170),
    }
    nodes = [node("MatMul", "x V", "a"), node("Relu", "a", "r"), node("Mul", "r s", "y")]
    program = program_of(net(nodes, constants, [1, 2], TensorProto.DOUBLE))
    k = max(k for k, layer in enumerate(program.layers) if isinstance(layer, Linear))
    assert all(bound >= 1e-170 for bound in norms_of(program, k).values())


def test_integers_that_may_wrap_are_not_swept() -> None:
    """100 + 100 in int8."""
    constants = {
        "A": np.eye(4, dtype=np.float32),
        "level": np.array(0.25, np.float32),
        "hundred": np.array(100, np.int8),
        "fifty": np.array(50, np.int8),
    }
    nodes = [
        node("MatMul", "x A", "a"),
        node("LeakyRelu", "a", "r", alpha=0.5),
        node("Greater", "r level", "g"),
        node("Cast", "g", "i", to=TensorProto.INT8),
        node("Mul", "i hundred", "m"),
        node("Add", "m m", "q"),
        node("Greater", "q fifty", "y"),
    ]
    program = program_of(net(nodes, constants, [1, 4], TensorProto.BOOL))
    assert not is_provable(program, ["y"])
    with pytest.raises(ModelError, match="integers"):
        rigorous(planned(program, {"y": np.zeros((1, 4))}))
