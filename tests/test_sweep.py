"""The event-driven sweep against fresh forward passes and exact linear pieces."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto
from sweep_nets import MAKERS, a_line, kernel, net, node, program_of, selected, stack

from symbolic.pieces.line import RationalLine, line_piece
from symbolic.pieces.program import Maximum
from verifier.sweep.forward import forward
from verifier.sweep.reading_head import INSIDE, OUTSIDE
from verifier.sweep.sweeper import Plan, Sweeper, planned


def check_states(plan: Plan, sweeper: Sweeper, z: float) -> None:
    """All values and branches are those of a fresh forward pass."""
    fresh = forward(plan.program, sweeper.start + z * sweeper.direction, sweeper.sign * sweeper.direction)
    swept = sweeper.units_at(z)
    for k in plan.body:
        layer = plan.program.layers[k]
        size = 1 + np.abs(fresh.value[layer.units]).max()
        assert np.abs(swept[layer.units] - fresh.value[layer.units]).max() < 1e-10 * size, str(layer.label)
    for k, branch in sweeper.branches().items():
        layer = plan.program.layers[k]
        rows = np.nonzero(branch != fresh.branches[k])[0]
        if isinstance(layer, Maximum):  # of equals any is right
            chosen = [fresh.value[layer.sources[rows, b[rows]]] for b in (branch, fresh.branches[k])]
            rows = rows[np.abs(chosen[0] - chosen[1]) > 1e-10]
        assert not rows.size, str(layer.label)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("fuse", [False, True])
def test_states(name: str, fuse: bool) -> None:
    """After many events, in both directions."""
    for seed in range(2):
        program = program_of(MAKERS[name](seed))
        plan = planned(program, fuse=fuse)
        start, direction = a_line(program, seed)
        for sign in (1.0, -1.0):
            sweeper = Sweeper(plan, start, direction)
            at, total = -3.0 * sign, 0
            for z in np.sort(np.random.default_rng(seed).uniform(-3, 3, 8)) * sign:
                found = sweeper.run(at, float(z))
                assert found.reached == z
                total += len(found.events)
                check_states(plan, sweeper, float(z))
                at = float(z)
            assert total > 0


@pytest.mark.parametrize("name", MAKERS)
def test_breakpoints(name: str) -> None:
    """They are the ends of the exact pieces."""
    program = program_of(MAKERS[name](3))
    plan = planned(program, fuse=False)
    start, direction = a_line(program, 3)
    line = RationalLine(
        tuple(Fraction(float(v)) for v in start), tuple(Fraction(float(v)) for v in direction)
    )
    found = Sweeper(plan, start, direction).run(0.0, 5.0, 400)
    points = np.unique(np.concatenate([[0.0], found.events[:, 0]]))
    points = points[np.concatenate([[True], np.diff(points) > 1e-8])]
    gaps = np.nonzero(np.diff(points) > 1e-6)[0]
    assert len(gaps) > 1
    for k in np.random.default_rng(0).choice(gaps[1:], size=min(5, len(gaps) - 1), replace=False):
        lo, hi = points[k], points[k + 1]
        piece = line_piece(program, line, Fraction((lo + hi) / 2))
        assert abs(float(piece.lo) - lo) < 1e-9 and abs(float(piece.hi) - hi) < 1e-9


def test_events_name_the_units_that_flip() -> None:
    """The unit's margin is zero at the event."""
    program = program_of(stack(0))
    plan = planned(program)
    start, direction = a_line(program, 0)
    found = Sweeper(plan, start, direction).run(0.0, 1.0)
    assert len(found.events) > 20
    for z, k, unit, old, new in found.events[:: len(found.events) // 10]:
        layer = plan.program.layers[int(k)]
        value = forward(plan.program, start + z * direction, direction).value
        row = layer.sources[int(unit)]
        assert abs(value[row[int(old)]] - value[row[int(new)]]) < 1e-9


def test_there_is_no_drift() -> None:
    """After ten thousand events."""
    program = program_of(stack(0, 40))
    plan = planned(program)
    start, direction = a_line(program, 0)
    sweeper = Sweeper(plan, start, direction)
    found = sweeper.run(-20.0, 20.0, 11_000)
    assert len(found.events) >= 10_000
    fresh = forward(plan.program, start + found.reached * direction, direction)
    swept = sweeper.units_at(found.reached)
    for k in plan.body:
        units = plan.program.layers[k].units
        assert np.abs(swept[units] - fresh.value[units]).max() < 1e-11


def test_simultaneous_events_end() -> None:
    """Duplicate neurons and ties: all of a kind at one point."""
    rng = np.random.default_rng(0)
    one = kernel(rng, 4, 9).T
    constants = {
        "V": np.concatenate([one, one, one, -one, 2 * one], axis=1),
        "W": np.ones((20, 3), np.float32),
        "zero": np.array(0, np.float32),
    }
    nodes = [
        node("MatMul", "x V", "a"),
        node("Relu", "a", "r"),
        node("MatMul", "r W", "b"),
        node("Relu", "b", "c"),
        node("ReduceMax", "c", "d", axes=[1], keepdims=1),
        node("Equal", "c d", "y"),
    ]
    program = program_of(net(nodes, constants, [1, 9], TensorProto.BOOL))
    start, direction = np.zeros(9), rng.normal(size=9)
    plan = planned(program)
    sweeper = Sweeper(plan, start, direction)
    found = sweeper.run(-1.0, 1.0, 1000)
    assert found.reached == 1.0 and len(found.events) < 200


@pytest.mark.parametrize("name", ["dense", "stack", "unet", "residual", "clipped", "floor", "where"])
@pytest.mark.parametrize("split", [False, True])
def test_verdicts(name: str, split: bool) -> None:
    """Pieces cover the stretch, and have the selection that forward passes find."""
    program, output = selected(MAKERS[name](1))
    start, direction = a_line(program, 1)
    ids = program.outputs[output]
    observed = forward(program, start, direction).value[ids].reshape(-1)
    plan = planned(program, {output: observed}, split=split)
    for end in (2.0, -2.0):
        found = Sweeper(plan, start, direction).run(0.0, end)
        lo, hi = min(0.0, end), max(0.0, end)
        assert found.lo[0] == lo and found.hi[-1] == hi
        assert (found.lo[1:] == found.hi[:-1]).all()
        assert ((found.hi - found.lo)[(found.verdicts != INSIDE) & (found.verdicts != OUTSIDE)]).sum() < 1e-3
        for z in np.random.default_rng(0).uniform(lo, hi, 100):
            k = np.searchsorted(found.hi, z)
            seen = forward(program, start + z * direction, direction).value[ids].reshape(-1)
            if found.verdicts[k] == INSIDE:
                assert (seen == observed).all()
            elif found.verdicts[k] == OUTSIDE:
                assert seen[found.witness[k]] != observed[found.witness[k]]
