"""Double-double numbers and pieces in them, against exact rationals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from sweep_nets import MAKERS, a_line, check_verdicts, net, node, program_of, selected

from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.program import Linear, Maximum, Program
from verifier.proving import _runs
from verifier.sweep.double_double import Doubled, doubled, sums, two_product, two_sum
from verifier.sweep.forward import forward
from verifier.sweep.reading_head import MIXED, OUTSIDE
from verifier.sweep.residuals import terms
from verifier.sweep.sharp import SharpSweeper
from verifier.sweep.spreading import rigorous
from verifier.sweep.sweeper import Sweep, planned

CONTINUOUS = ["dense", "convolutional", "stack", "unet", "residual", "clipped"]
NUMBERS = st.floats(-1e60, 1e60).filter(lambda x: x == 0 or abs(x) > 1e-60)


@given(NUMBERS, NUMBERS)
def test_transformations_lose_nothing(a: float, b: float) -> None:
    high, low = two_sum(np.array(a), np.array(b))
    assert Fraction(float(high)) + Fraction(float(low)) == Fraction(a) + Fraction(b)
    high, low = two_product(np.array(a), np.array(b))
    assert Fraction(float(high)) + Fraction(float(low)) == Fraction(a) * Fraction(b)


def exact_sums(layer: Linear, row: list[Fraction], constant: bool) -> list[Fraction]:
    """Sum by sum."""
    found = [Fraction(float(b)) if constant else Fraction(0) for b in layer.bias]
    for tap in layer.taps:
        for sources, target in zip(tap.sources.tolist(), tap.targets.tolist(), strict=True):
            for s, weights in zip(sources, tap.weights.tolist(), strict=True):
                for k, w in enumerate(weights):
                    found[target * layer.width + k] += Fraction(w) * row[s]
    for r, s, w in zip(layer.rows.tolist(), layer.sources.tolist(), layer.weights.tolist(), strict=True):
        found[r] += Fraction(w) * row[s]
    return [v / layer.divisor for v in found]


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("width", ["as they are", "all bits", "of all sizes"])
def test_sums_are_as_near_as_they_say(name: str, width: str) -> None:
    """Weights of 24 or 53 bits, units and weights of very different size, divisors."""
    rng = np.random.default_rng(0)
    program = planned(program_of(MAKERS[name](0))).program
    for layer in [layer for layer in program.layers if isinstance(layer, Linear)][:4]:
        spread = 10.0 ** rng.integers(-12, 12, size=program.size) if width == "of all sizes" else 1.0
        high = rng.normal(size=(2, program.size)) * spread
        high[:, 0] = 0.0
        low = high * rng.uniform(-(2.0**-54), 2.0**-54, size=high.shape)
        if width != "as they are":
            taps = tuple(replace(tap, weights=rng.normal(size=tap.weights.shape)) for tap in layer.taps)
            weights = rng.normal(size=layer.weights.shape) * (rng.random(layer.weights.shape) ** 30)
            layer = replace(layer, weights=weights, taps=taps, divisor=int(rng.integers(1, 10)))
        rows = np.zeros((6, program.size))
        found, error = sums(layer, Doubled(high, low), [slice(1, program.size)], terms(layer), rows)
        for k in range(2):
            units = [
                Fraction(a) + Fraction(b) for a, b in zip(high[k].tolist(), low[k].tolist(), strict=True)
            ]
            true = exact_sums(layer, units, constant=k == 0)
            made = zip(found.high[k].tolist(), found.low[k].tolist(), true, strict=True)
            worst = max(abs(Fraction(a) + Fraction(b) - t) for a, b, t in made)
            assert worst <= error[k]
            assert error[k] <= 1e-19 * np.abs(high[k]).max() * (1 + np.abs(layer.bias).max())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_sharp_verdicts_are_true(name: str) -> None:
    """By exact values right at the ends of what is decided; hardly anything is left."""
    program, output = selected(MAKERS[name](2))
    start, direction = a_line(program, 2)
    ids = program.outputs[output]
    observed = forward(program, start, direction).value[ids].reshape(-1)
    plan = rigorous(planned(program, {output: observed}))
    exact = [
        [Fraction(float(v)) + Fraction(k + 1, 3 * 2**60) for v in row]
        for k, row in enumerate((start, direction))
    ]
    sweeper = SharpSweeper(plan, *(doubled(row) for row in exact))
    for lo, hi in ((-0.3, -0.15), (-0.01, 0.02), (1.0, 1.1)):
        found = sweeper.run(lo, hi)
        assert found.lo[0] == lo and found.hi[-1] == hi
        check_verdicts(found, program, exact, observed, near=10**6)
        decided = (found.hi - found.lo)[found.verdicts != MIXED].sum()
        assert decided > hi - lo - 1e-10 or sweeper.pieces >= 24


@pytest.mark.parametrize("name", CONTINUOUS)
def test_errors_bound_the_lines(name: str) -> None:
    """Also on a stretch over the ends of the piece, where the pattern is wrong."""
    program, output = selected(MAKERS[name](1))
    start, direction = a_line(program, 1)
    observed = forward(program, start, direction).value[program.outputs[output]]
    plan = rigorous(planned(program, {output: observed}))
    exact = [[Fraction(float(v)) for v in row] for row in (start, direction)]
    sweeper = SharpSweeper(plan, *(doubled(row) for row in exact))
    piece = sweeper._piece(0.25)
    assert piece.lo < 0.25 < piece.hi
    for reach, most in ((0.0, 1e-12), (0.5, np.inf)):
        wide = reach * (piece.hi - piece.lo)
        lo, hi = piece.lo - wide, piece.hi + wide
        errors = sweeper._bounds(piece, lo, hi)
        assert errors.max() < most
        for at in np.linspace(lo, hi, 5):
            point = [a + Fraction(float(at)) * b for a, b in zip(*exact, strict=True)]
            true = ExactPiece(plan.program, point, [exact[1]])
            moved = Fraction(float(at)) - Fraction(piece.origin)
            for j, k in enumerate(plan.body):
                layer = plan.program.layers[k]
                if not isinstance(layer, (Linear, Maximum)):
                    continue
                values, _ = true.rationals(np.arange(layer.size) + layer.start)
                lines = [
                    [Fraction(a) + Fraction(b) for a, b in zip(high.tolist(), low.tolist(), strict=True)]
                    for high, low in zip(
                        piece.lines.high[:, layer.units], piece.lines.low[:, layer.units], strict=True
                    )
                ]
                off = [v + moved * s - t for v, s, t in zip(*lines, values, strict=True)]
                assert sum(d * d for d in off) <= Fraction(float(errors[j])) ** 2


def decided(program: Program, line: list[list[Fraction]], lo: float, hi: float) -> Sweep:
    """A stretch of a line, whose verdicts are checked at the ends of all pieces."""
    observed = np.array([float(v) for v in ExactPiece(program, line[0], [line[1]]).outputs["y"]])
    plan = rigorous(planned(program, {"y": observed}))
    found = SharpSweeper(plan, *(doubled(row) for row in line)).run(lo, hi)
    assert found.lo[0] == lo and found.hi[-1] == hi
    check_verdicts(found, program, line, observed, near=1000)
    return found


def test_a_needle_between_two_kinks_is_not_lost() -> None:
    """f is positive within 0.025 of 1/3, where two kinks lie less than a rounding apart."""
    o = 1 / 3
    constants = {
        "V": np.array([[11.0, -5.0, 1.0, 1.0]]),
        "b": np.array([-3.6666666666666665, 1.6666666666666665, 1 / 16 - o, -1 / 16 - o]),
        "W": np.array([[-5 / 11], [-1.0], [1e-9], [1e-9]]),
        "t": np.array([1 / 8]),
        "z": np.array(0.0),
    }
    nodes = [
        node("MatMul", "x V", "a0"),
        node("Add", "a0 b", "a"),
        node("Relu", "a", "r"),
        node("MatMul", "r W", "f0"),
        node("Add", "f0 t", "f"),
        node("Greater", "f z", "y"),
    ]
    program = program_of(net(nodes, constants, [1, 1], TensorProto.DOUBLE))
    found = decided(program, [[Fraction(0)], [Fraction(1)]], o - 0.25, o + 0.5)
    assert (found.verdicts == MIXED).any()
    for a, b in _runs(found, one_witness=True):
        assert not (found.verdicts[a] == OUTSIDE and found.lo[a] < o < found.hi[b - 1])


@pytest.mark.parametrize("size", [-170, 151, 155])
def test_numbers_at_the_edge_of_float64(size: int) -> None:
    """Products that are too small or too large in between: what is claimed is true."""
    constants = {
        "V": np.array([[1.0, 0.5], [0.25, 1.0]]) * 1e150,
        "up": np.eye(2) * 10.0**size,
        "down": np.eye(2) * 1e-150,
        "back": np.eye(2) * 10.0**-size,
        "c": np.array(0.25),
        "t": np.array(2.0),
    }
    nodes = [
        node("MatMul", "x V", "a"),
        node("MatMul", "a up", "b"),
        node("MatMul", "b down", "d"),
        node("Max", "c d", "r"),
        node("MatMul", "r back", "q"),
        node("LeakyRelu", "q", "p", alpha=0.5),
        node("Greater", "p t", "y"),
    ]
    program = program_of(net(nodes, constants, [1, 2], TensorProto.DOUBLE))
    decided(program, [[Fraction(3), Fraction(1, 5)], [Fraction(-1), Fraction(1)]], -0.3, 0.9)


def test_a_tie_all_along_ends() -> None:
    """Nothing can be told of an output that is 0 > 0 everywhere, and soon."""
    rng = np.random.default_rng(0)
    twice = rng.normal(size=(20, 3)).astype(np.float32)
    twice[:, 2] = twice[:, 1]
    constants = {
        "V": rng.normal(size=(9, 20)).astype(np.float32),
        "W": twice,
        "D": np.array([[1, 0], [0, 1], [0, -1]], np.float32),
        "z": np.array(0, np.float32),
    }
    nodes = [
        node("MatMul", "x V", "a"),
        node("Relu", "a", "r"),
        node("MatMul", "r W", "f"),
        node("MatMul", "f D", "g"),
        node("Greater", "g z", "y"),
    ]
    program = program_of(net(nodes, constants, [1, 9]))
    line = [[Fraction(float(v)) for v in row] for row in rng.normal(size=(2, 9)).astype(np.float32)]
    observed = np.array([float(v) for v in ExactPiece(program, line[0], [line[1]]).outputs["y"]])
    sweeper = SharpSweeper(rigorous(planned(program, {"y": observed})), *(doubled(row) for row in line))
    sweeper.run(-0.1, 0.1)
    assert sweeper.looks <= 256
