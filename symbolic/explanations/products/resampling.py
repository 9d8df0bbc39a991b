"""Resize and Upsample: along every axis a constant matrix."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.products.matrices import times_matrix

__all__: list[str] = []


@product("Resize", "Upsample")
def resized(step: Step, gradients: Gradients) -> Gradients:
    """The matrices turned round."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, y, graph = step.given(), step.outputs[0], step.graph
    constants = [None if t is None else graph.value(t.name) for t in step.inputs[1:]]
    if any(t is not None and c is None for t, c in zip(step.inputs[1:], constants, strict=True)):
        raise step.refuse("has sizes that are no constants, and so has no derivative here")
    if step.node.text("keep_aspect_ratio_policy") not in ("", "stretch"):
        raise step.refuse("keeps the aspect ratio, for which there is no derivative here")
    made = gradient
    for axis in range(x.rank):
        if x.known_shape[axis] == y.known_shape[axis] and not _crops(step):
            continue
        n = x.length(axis)
        matrix = _matrix(step.node.proto.SerializeToString(), graph.opset, axis, x.rank, n, _key(constants))
        made = times_matrix(graph, made, graph.constant(matrix.T, gradient.elem_type), axis)
    return [made]


def _crops(step: Step) -> bool:
    return step.node.text("coordinate_transformation_mode") == "tf_crop_and_resize"


def _key(constants: list[NDArray[np.generic] | None]) -> tuple[bytes, ...]:
    arrays = (np.zeros(0) if c is None else c for c in constants)
    return tuple(numpy_helper.from_array(np.asarray(a), str(c is None)).SerializeToString()
                 for a, c in zip(arrays, constants, strict=True))  # fmt: skip


@cache
def _matrix(
    text: bytes, opset: int, axis: int, rank: int, length: int, constants: tuple[bytes, ...]
) -> NDArray[np.float64]:
    """What the operator makes of unit vectors along one axis: its matrix, (out, in)."""
    proto = onnx.NodeProto.FromString(text)
    stored, names = [], ["x"]
    for k, data in enumerate(constants):
        tensor = onnx.TensorProto.FromString(data)
        if tensor.name == "True":
            names.append("")
            continue
        array = numpy_helper.to_array(tensor)
        array = _of_one_axis(proto, k, array, axis, rank, length)
        stored.append(numpy_helper.from_array(array, f"c{k}"))
        names.append(f"c{k}")
    del proto.input[:], proto.output[:]
    proto.input.extend(names)
    proto.output.append("y")
    shape = [1] * rank
    shape[axis] = length
    ports = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, shape)]
    outs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)]
    model = helper.make_model(
        helper.make_graph([proto], "axis", ports, outs, stored),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    run = ReferenceEvaluator(model)
    rows = np.vstack([np.zeros(length), np.eye(length)])
    made = (list(run.run(None, {"x": row.reshape(shape)})) for row in rows)
    columns = np.stack([np.asarray(found[0], dtype=np.float64).reshape(-1) for found in made], axis=1)
    return columns[:, 1:] - columns[:, :1]  # without the extrapolation value


def _of_one_axis(
    proto: onnx.NodeProto, k: int, array: NDArray[np.generic], axis: int, rank: int, length: int
) -> NDArray[np.generic]:
    """Scales, sizes or the region of interest with all axes but one left as they are."""
    named = next((list(a.ints) for a in proto.attribute if a.name == "axes"), list(range(rank)))
    axes = [a % rank for a in named]
    flat = array.reshape(-1).copy()
    for place, other in enumerate(axes):
        if other == axis or not flat.size:
            continue
        if proto.op_type == "Resize" and k == 0:
            flat[place], flat[place + len(axes)] = 0, 1
        else:
            flat[place] = 1
    return flat
