"""Networks with all kinds of layers, for tests of the sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import onnx
import small_nets
from onnx import TensorProto, helper, numpy_helper

from symbolic.network import Network
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.program import Layer, Program
from verifier.sweep.reading_head import INSIDE, OUTSIDE
from verifier.sweep.sweeper import Plan, Sweep

__all__ = [
    "MAKERS",
    "a_line",
    "check_verdicts",
    "jumps",
    "kernel",
    "net",
    "node",
    "program_of",
    "saliency",
    "selected",
    "stack",
    "true_layers",
]

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


def stack(seed: int, side: int = 8) -> onnx.ModelProto:
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
    return net(nodes, constants, [1, 1, side, side])


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
        "argmax": [node("ArgMax", "a", "k", axis=1), node("Cast", "k", "f", to=FLOAT),
                   node("Mul", "f V0", "g"), node("Add", "g a", "m")],
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


def saliency(seed: int) -> onnx.ModelProto:
    """The gradient of one output of two convolutions and a sum, by masks: piecewise constant."""
    rng = np.random.default_rng(seed)
    constants = {
        "K": kernel(rng, 3, 1, 3, 3),
        "L": kernel(rng, 4, 3, 3, 3),
        "top": rng.normal(size=(1, 4, 5, 5)).astype(np.float32),
        "zero": np.array(0.0, np.float32),
    }
    nodes = [
        node("Conv", "x K", "a", pads=[1] * 4),
        node("Relu", "a", "ra"),
        node("Conv", "ra L", "b", pads=[1] * 4),
        node("Relu", "b", "rb"),
        node("Greater", "a zero", "ga"),
        node("Cast", "ga", "ma", to=FLOAT),
        node("Greater", "rb zero", "gb"),  # of what is zero all along
        node("Cast", "gb", "mb", to=FLOAT),
        node("Mul", "mb top", "d"),
        node("ConvTranspose", "d L", "e", pads=[1] * 4),
        node("Mul", "ma e", "f"),
        node("ConvTranspose", "f K", "y", pads=[1] * 4),
    ]
    return net(nodes, constants, [1, 1, 5, 5])


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


def selected(model: onnx.ModelProto, threshold: float = 0.0) -> tuple[Program, str]:
    """y > threshold."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.initializer.append(numpy_helper.from_array(np.array(threshold, np.float32), "level"))
    model.graph.node.append(node("Greater", "y level", "selection"))
    model.graph.output.pop()
    model.graph.output.append(helper.make_tensor_value_info("selection", BOOL, None))
    return program_of(onnx.shape_inference.infer_shapes(model)), "selection"


def true_layers(
    plan: Plan, line: Sequence[Sequence[Fraction]], at: float
) -> Iterator[tuple[int, Layer, list[Fraction]]]:
    """The swept layers (number, layer) with the exact values of their units at a point."""
    point = [a + Fraction(at) * b for a, b in zip(*line, strict=True)]
    piece = ExactPiece(plan.program, point, [line[1]])
    for j, k in enumerate(plan.body):
        layer = plan.program.layers[k]
        yield j, layer, piece.rationals(np.arange(layer.size) + layer.start)[0]


def check_verdicts(
    found: Sweep,
    program: Program,
    line: Sequence[Sequence[Fraction]],
    observed: np.ndarray,
    *,
    near: int,
    only: Iterable[int] | None = None,
) -> None:
    """Pieces adjoin, and their verdicts are true by exact values: in the middle, and a fraction 1 / near of
    the piece from both ends.
    """
    (output,) = program.outputs
    assert (found.lo[1:] == found.hi[:-1]).all()
    for k in range(len(found.lo)) if only is None else only:
        lo, hi = Fraction(float(found.lo[k])), Fraction(float(found.hi[k]))
        for z in (lo + (hi - lo) / near, (lo + hi) / 2, hi - (hi - lo) / near):
            point = [a + z * b for a, b in zip(*line, strict=True)]
            seen = np.array([float(v) for v in ExactPiece(program, point, [line[1]]).outputs[output]])
            if found.verdicts[k] == INSIDE:
                assert (seen == observed.reshape(-1)).all()
            elif found.verdicts[k] == OUTSIDE:
                assert seen[found.witness[k]] != observed.reshape(-1)[found.witness[k]]
