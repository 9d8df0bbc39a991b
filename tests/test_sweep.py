"""The event-driven sweep against fresh forward passes and exact linear pieces."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
import small_nets
from onnx import TensorProto, helper, numpy_helper

from symbolic.network import Network
from symbolic.pieces.line import RationalLine, line_piece
from symbolic.pieces.program import Maximum, Program
from verifier.sweep.forward import forward
from verifier.sweep.reading_head import INSIDE, OUTSIDE
from verifier.sweep.sweeper import Plan, Sweeper, planned

FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64


def net(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[int], kind: int = FLOAT
) -> onnx.ModelProto:
    """A model from x to y, whose shape is inferred."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def kernel(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def node(op_type: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], **attributes)


SAME = {"pads": [1, 1, 1, 1]}
HALF = {"kernel_shape": [2, 2], "strides": [2, 2]}


def stack(seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    constants = {"A": kernel(rng, 8, 1, 3, 3), "B": kernel(rng, 16, 8, 3, 3), "C": kernel(rng, 1, 16, 1, 1)}
    nodes = [
        node("Conv", "x A", "a", **SAME),
        node("Relu", "a", "ar"),
        node("MaxPool", "ar", "p", **HALF),
        node("Conv", "p B", "b", **SAME),
        node("Relu", "b", "br"),
        node("Conv", "br C", "y"),
    ]
    return net(nodes, constants, [1, 1, 8, 8])


def unet(seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    constants = {
        "A": kernel(rng, 4, 1, 3, 3),
        "B": kernel(rng, 8, 4, 3, 3),
        "U": kernel(rng, 8, 4, 2, 2),
        "C": kernel(rng, 6, 8, 3, 3),
        "D": kernel(rng, 1, 6, 1, 1),
    }
    nodes = [
        node("Conv", "x A", "a", **SAME),
        node("Relu", "a", "ar"),
        node("MaxPool", "ar", "p", **HALF),
        node("Conv", "p B", "b", **SAME),
        node("Relu", "b", "br"),
        node("ConvTranspose", "br U", "u", strides=[2, 2]),
        node("Concat", "ar u", "j", axis=1),
        node("Conv", "j C", "c", **SAME),
        node("Relu", "c", "cr"),
        node("Conv", "cr D", "y"),
    ]
    return net(nodes, constants, [1, 1, 8, 8])


def residual(seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    constants = {"A": kernel(rng, 5, 1, 3, 3), "B": kernel(rng, 5, 5, 3, 3), "W": kernel(rng, 5, 20)}
    nodes = [
        node("Conv", "x A", "a", **SAME),
        node("LeakyRelu", "a", "ar", alpha=0.1),
        node("Conv", "ar B", "b", **SAME),
        node("Add", "ar b", "s"),
        node("Abs", "s", "sa"),
        node("MaxPool", "sa", "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("AveragePool", "p", "q", **HALF),
        node("Flatten", "q", "f"),
        node("Gemm", "f W", "y", transB=1),
    ]
    return net(nodes, constants, [1, 1, 8, 8])


def clipped(seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    constants = {
        "V": kernel(rng, 20, 9).T.copy(),
        "W": kernel(rng, 6, 20).T.copy(),
        "low": np.array(-0.5, np.float32),
        "high": np.array(0.75, np.float32),
    }
    nodes = [
        node("MatMul", "x V", "a"),
        node("Clip", "a low high", "c"),
        node("MatMul", "c W", "d"),
        node("Max", "d high", "e"),
        node("Min", "e d", "y"),
    ]
    return net(nodes, constants, [1, 9])


def jumps(seed: int, op_type: str) -> onnx.ModelProto:
    """A jump between two layers of Relu."""
    rng = np.random.default_rng(seed)
    constants = {
        "V": kernel(rng, 12, 9).T.copy(),
        "W": kernel(rng, 10, 12).T.copy(),
        "U": kernel(rng, 4, 10).T.copy(),
        "zero": np.array(0.0, np.float32),
    }
    middle = {
        "floor": [node("Floor", "a", "m")],
        "round": [node("Round", "a", "m")],
        "ceil": [node("Ceil", "a", "m")],
        "where": [node("Relu", "a", "r"), node("Greater", "a zero", "g"), node("Neg", "a", "n"),
                  node("Where", "g r n", "v"), node("Sign", "v", "s"), node("Add", "s v", "m")],
        "argmax": [node("ArgMax", "a", "k", axis=1), node("Cast", "k", "f", to=FLOAT), node("Mul", "f V0", "g"),
                   node("Add", "g a", "m")],
        "gate": [node("Relu", "a", "r"), node("Greater", "r zero", "g"), node("Cast", "g", "f", to=FLOAT),
                 node("Mul", "f a", "m")],
    }[op_type]  # fmt: skip
    constants["V0"] = rng.normal(size=(1, 12)).astype(np.float32)
    nodes = [
        node("MatMul", "x V", "a0"),
        node("Mul", "a0 two", "a"),
        *middle,
        node("MatMul", "m W", "b"),
        node("Relu", "b", "br"),
        node("MatMul", "br U", "y"),
    ]
    constants["two"] = np.array(2.0, np.float32)
    return net(nodes, constants, [1, 9])


MAKERS = {
    "dense": lambda seed: small_nets.dense(seed),
    "convolutional": lambda seed: small_nets.convolutional(seed),
    "stack": stack,
    "unet": unet,
    "residual": residual,
    "clipped": clipped,
    **{k: (lambda seed, k=k: jumps(seed, k)) for k in ("floor", "round", "ceil", "where", "argmax", "gate")},
}


def program_of(model: onnx.ModelProto) -> Program:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    names = [value.name for value in model.graph.output]
    return Network(model, {"x": np.zeros(shape)}, "x", names).program


def a_line(program: Program, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1000 + seed)
    return tuple(rng.normal(size=(2, program.n_inputs)).astype(np.float32).astype(float))


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
    program = program_of(net(nodes, constants, [1, 9], BOOL))
    start, direction = np.zeros(9), rng.normal(size=9)
    plan = planned(program)
    sweeper = Sweeper(plan, start, direction)
    found = sweeper.run(-1.0, 1.0, 1000)
    assert found.reached == 1.0 and len(found.events) < 200


def selected(model: onnx.ModelProto, threshold: float = 0.0) -> tuple[Program, str]:
    """y > threshold."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.initializer.append(numpy_helper.from_array(np.array(threshold, np.float32), "level"))
    model.graph.node.append(node("Greater", "y level", "selection"))
    model.graph.output.pop()
    model.graph.output.append(helper.make_tensor_value_info("selection", BOOL, None))
    return program_of(onnx.shape_inference.infer_shapes(model)), "selection"


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
