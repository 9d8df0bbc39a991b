"""Small models as onnxscript writes them: local functions, conditions, loops and sequences.

Made with onnxscript 0.7.2, onnx-ir 1.1.0, onnx 1.23.2 and numpy 1.26.4:

    python tests/exported/make_onnxscript.py

Names begin with script_. It writes converted_*.onnx too: a torch export of make_torch.py, taken by
onnx.version_converter through the operator sets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter
from onnxscript import FLOAT, script, values
from onnxscript import opset18 as op

HERE = Path(__file__).parent
local = values.Opset("local.functions", 1)
rng = np.random.default_rng(0)
W1, W2 = (rng.normal(size=shape).astype(np.float32) for shape in ((6, 5), (5, 3)))


@script(local, default_opset=op)
def dense(x, w):
    """A layer."""
    return op.Relu(op.MatMul(x, w))


@script(local, default_opset=op)
def twice(x):
    """x + x."""
    return op.Add(x, x)


@script(local, default_opset=op)
def scaled(x, factor: float = 0.5):
    """A function with an attribute, which calls another."""
    return op.Mul(twice(x), op.Constant(value_float=factor))


@script(default_opset=op)
def functions(x: FLOAT[1, 6], w1: FLOAT[6, 5], w2: FLOAT[5, 3]) -> FLOAT[1, 3]:
    """Calls of local functions, one inside another."""
    return op.Softmax(scaled(op.MatMul(dense(x, w1), w2), factor=0.75))


@script(default_opset=op)
def condition(x: FLOAT[1, 6]) -> FLOAT[1, 6]:
    """A condition on the shape."""
    long = op.Size(x) > op.Constant(value_int=4)
    if long:
        y = op.Tanh(x)
    else:
        y = op.Relu(x)
    return op.Mul(y, y)


@script(default_opset=op)
def loop(x: FLOAT[1, 6]) -> FLOAT[1, 6]:
    """Newton's steps, a fixed number of them."""
    y = x
    for i in range(3):
        y = op.Relu(y) - 0.25 * op.Cast(i, to=1) * op.Neg(y)
    return y


@script(default_opset=op)
def until(x: FLOAT[1, 6]) -> FLOAT[1, 6]:
    """A loop that ends by its condition, which does not depend on the input."""
    y, k = x, op.Constant(value_int=0)
    goes_on = k < 3
    while goes_on:
        y = op.Abs(y) - 0.5
        k = k + 1
        goes_on = k < 3
    return y


@script(default_opset=op)
def parts(x: FLOAT[1, 6]) -> FLOAT[1, 6]:
    """A sequence of pieces, put together in another order."""
    pieces = op.SplitToSequence(x, op.Constant(value_int=2), axis=1)
    first = op.SequenceAt(pieces, op.Constant(value_int=0))
    pieces = op.SequenceInsert(pieces, op.Sigmoid(first))
    pieces = op.SequenceErase(pieces, op.Constant(value_int=0))
    return op.ConcatFromSequence(pieces, axis=1)


def save(function, name: str, **weights: np.ndarray) -> None:
    """Write a file, with weights as initializers."""
    model = function.to_model_proto(io_types=None)
    kept = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in weights.items())
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"script_{name}.onnx")


def scan() -> None:
    """A running sum with a decay along an axis: Scan, which onnxscript has no loop for."""
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["state", "decay"], ["faded"]),
            helper.make_node("Add", ["faded", "step"], ["next"]),
            helper.make_node("Relu", ["next"], ["seen"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, 1, [3]) for name in ("state", "step")],
        [helper.make_tensor_value_info(name, 1, [3]) for name in ("next", "seen")],
    )
    graph = helper.make_graph(
        [helper.make_node("Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1)],
        "scan",
        [helper.make_tensor_value_info("x", 1, [5, 3])],
        [helper.make_tensor_value_info("last", 1, [3]), helper.make_tensor_value_info("y", 1, [5, 3])],
        [
            numpy_helper.from_array(np.zeros(3, dtype=np.float32), "start"),
            numpy_helper.from_array(np.array(0.5, dtype=np.float32), "decay"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, HERE / "script_scan.onnx")


def converted() -> None:
    """Exports taken through the operator sets."""
    newest = onnx.defs.onnx_opset_version()
    for stem, source in (("mlp", "mlp_ts9"), ("autoencoder", "autoencoder_ts11"), ("softmax", "softmax_ts9")):
        model = onnx.load(HERE / f"{source}.onnx")
        for opset in (9, 11, 13, 17, 21, newest):
            try:
                found = version_converter.convert_version(model, opset)
                onnx.checker.check_model(found)
            except Exception as error:
                print(f"{source} to {opset}: {' '.join(str(error).split())[:200]}")
                continue
            onnx.save(found, HERE / f"converted_{stem}_{opset}.onnx")


if __name__ == "__main__":
    save(functions, "functions", w1=W1, w2=W2)
    for made in (condition, loop, until, parts):
        save(made, made.name)
    scan()
    converted()
