"""Operators that only move elements, by one mechanism; and those that make constants out of shapes.

The reference operator of the onnx package runs once on an array of indices: the result IS the gather map,
with the standard's own meaning of axes, steps, pads and batches.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from verifier.check.numbers.discrete import Discrete, to_form
from verifier.check.numbers.integers import GONE, Array, Form
from verifier.check.operators.registry import (
    LARGEST_TENSOR,
    Context,
    Node,
    Value,
    operator,
    whole_numbers,
)

__all__ = ["bounded", "gather", "make_constant"]

ALL = "all"
MOVED: dict[str, Any] = {  # which inputs hold elements; the others are shapes, axes and indices
    "Concat": ALL,
    "Pad": (0, 2),
    "TensorScatter": (0, 1),
    **dict.fromkeys(
        (
            "Identity",
            "Dropout",
            "Transpose",
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Slice",
            "Split",
            "Expand",
            "Tile",
            "Compress",
            "ReverseSequence",
            "DepthToSpace",
            "SpaceToDepth",
        ),
        (0,),
    ),
}


def _structural(ctx: Context, node: Node, inputs: list[Any]) -> list[Value]:
    maps = ctx.once(node, lambda: _maps(node, inputs), exact=True)
    data = [v for k, v in enumerate(inputs) if v is not None and _is_data(node, k)]
    if node.op == "Pad" and len(data) == 1:
        pad = 0 if node.opset >= 11 else node.get("value", 0.0)
        data.append(Discrete.known(0) if isinstance(data[0], Discrete) else ctx.number(pad))
    if any(isinstance(v, Form) for v in data):
        data = list(ctx.alike(*data)) if len(data) > 1 else data
    moved = [gather(ctx, data, index) for index in maps]
    if node.op == "Dropout":  # nothing is dropped
        ones = np.ones(inputs[0].shape, dtype=np.int64)
        moved.append(Discrete.known(ones) if node.opset >= 10 else ctx.ar.constant(ones))
    return moved


for _name, _data in MOVED.items():
    operator(_name, still=() if _data == ALL else tuple(k for k in range(8) if k not in _data))(_structural)


def _is_data(node: Node, k: int) -> bool:
    return MOVED[node.op] == ALL or k in MOVED[node.op]


def _maps(node: Node, inputs: list[Any]) -> list[Array]:
    feeds: dict[str, Array] = {}
    start = 0
    shape = inputs[0].shape
    if node.op in ("Identity", "Dropout"):
        training = len(inputs) > 2 and inputs[2] is not None and whole_numbers(node, inputs[2]).any()
        if training and (inputs[1] is None or inputs[1].c.any()):
            raise node.refuse("training mode is random")
        return [np.arange(math.prod(shape)).reshape(shape)]
    if node.op == "Expand":
        bounded(node, np.broadcast_shapes(shape, tuple(whole_numbers(node, inputs[1]))))
    if node.op == "Tile":
        bounded(node, [n * int(k) for n, k in zip(shape, whole_numbers(node, inputs[1]), strict=True)])
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.input[:] = ["" if v is None else f"in{k}" for k, v in enumerate(inputs)]
    for k, v in enumerate(inputs):
        if v is not None and _is_data(node, k):
            size = math.prod(v.shape)
            feeds[f"in{k}"] = np.arange(start, start + size).reshape(v.shape)
            start += size
        elif v is not None:
            feeds[f"in{k}"] = whole_numbers(node, v)
    _require_defined(node, feeds)
    if node.op == "Pad":
        return [_pad(node, feeds, inputs)]
    if node.op in ("Squeeze", "Unsqueeze"):  # the reference implementation removes axes one by one
        axes = feeds["in1"].reshape(-1).tolist() if len(feeds) > 1 else node.get("axes")
        if node.op == "Squeeze":
            return [np.squeeze(feeds["in0"], None if axes is None else tuple(axes))]
        return [np.expand_dims(feeds["in0"], tuple(axes))]
    del proto.output[:]
    proto.output.extend(f"out{k}" for k in range(len(node.outputs)))
    return [np.asarray(out, dtype=np.int64) for out in run_reference(node, proto, feeds)]


def run_reference(node: Node, proto: onnx.NodeProto, feeds: dict[str, Array]) -> list[Array]:
    """The reference implementation of one node, on integer arrays."""
    info = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in feeds.items()
    ]
    outputs = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.UNDEFINED, None) for n in proto.output if n
    ]
    graph = onnx.helper.make_graph([proto], "one", info, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", node.opset)])
    try:
        return list(ReferenceEvaluator(model).run(None, feeds))
    except Exception as error:
        raise node.refuse(f"the reference implementation says {error}") from error


def _require_defined(node: Node, feeds: dict[str, Array]) -> None:
    """What the reference implementation does beyond the ends of a tensor is not the standard's."""
    axis = node.get("axis")
    if axis is not None and not (node.op == "Flatten" and axis == feeds["in0"].ndim):
        node.axis(feeds["in0"].ndim)
    if node.op == "ReverseSequence":
        x, lengths = feeds["in0"], feeds["in1"]
        if {node.get("time_axis"), node.get("batch_axis")} != {0, 1}:
            raise node.refuse("time and batch are not the first two axes")
        if len(lengths) != x.shape[node.get("batch_axis")]:
            raise node.refuse("not every sequence has a length")
        if ((lengths < 0) | (lengths > x.shape[node.get("time_axis")])).any():
            raise node.refuse("a sequence is longer than the tensor")
    if node.op == "TensorScatter" and "in2" in feeds and node.get("mode") != b"circular":
        axis = node.axis(feeds["in0"].ndim)
        ends = feeds["in2"] + feeds["in1"].shape[axis]
        if (feeds["in2"] < 0).any() or (ends > feeds["in0"].shape[axis]).any():
            raise node.refuse("it writes beyond the end of the cache")


def _pad(node: Node, feeds: dict[str, Array], inputs: list[Any]) -> Array:
    """Pad by numpy.pad, the element after the input's being the pad value; negative pads cut."""
    x = feeds["in0"]
    pads = node.get("pads", node.get("paddings")) if node.opset < 11 else feeds["in1"].tolist()
    axes = list(range(x.ndim))
    if len(inputs) > 3 and inputs[3] is not None:
        axes = [node.axis(x.ndim, a) for a in whole_numbers(node, inputs[3])]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (int(pads[i]), int(pads[i + len(axes)]))
    shape = [n + max(a, 0) + max(b, 0) for n, (a, b) in zip(x.shape, widths, strict=True)]
    bounded(node, shape)
    modes = {b"constant": "constant", b"reflect": "reflect", b"edge": "edge", b"wrap": "wrap"}
    mode = modes[node.get("mode", b"constant")]
    grown = [(max(a, 0), max(b, 0)) for a, b in widths]
    x = np.pad(x, grown, **({"mode": mode} if mode != "constant" else {"constant_values": x.size}))
    return x[tuple(slice(max(-a, 0), x.shape[i] - max(-b, 0)) for i, (a, b) in enumerate(widths))]


def bounded(node: Node, shape: Any) -> None:
    """Refuse a tensor that is too large, before it is made."""
    if math.prod(max(int(n), 1) for n in shape) > LARGEST_TENSOR:
        raise node.refuse(f"a tensor of more than {LARGEST_TENSOR} elements")


def gather(ctx: Context, data: list[Any], index: Array) -> Value:
    """The elements `index` of all of `data`, flattened one after the other."""
    shape, flat = index.shape, index.reshape(-1)
    kind = Discrete if isinstance(data[0], Discrete) else Form
    keys = ("lo", "hi") if kind is Discrete else ("c", "d", "r")
    forms = ctx.ar.aligned(data) if kind is Form and len(data) > 1 else data
    cells = max(getattr(f, keys[0]).shape[-1] for f in forms)
    size = sum(math.prod(f.shape) for f in forms)
    plain = flat.size == size and bool((flat == np.arange(size)).all())

    def moved(arrays: list[Array]) -> Array:
        rows = [a.reshape(-1, a.shape[-1]) for a in arrays]
        if len(rows) > 1:
            rows = [np.concatenate([np.broadcast_to(a, (len(a), cells)) for a in rows])]
        return (rows[0] if plain else rows[0].take(flat, axis=0)).reshape(*shape, rows[0].shape[-1])

    out = [moved([getattr(f, k) for f in forms]) for k in keys]
    if kind is Discrete:
        whole = all(f.form is None for f in data)
        form = None if whole else gather(ctx, [to_form(ctx.ar, f) for f in data], index)
        return Discrete(out[0], out[1], form)  # type: ignore[arg-type]
    same = [f.same for f in forms]
    numbers = moved([s for s in same if s is not None]) if all(s is not None for s in same) else None
    return Form(out[0], out[1], out[2], forms[0].e, forms[0].degree, numbers)


@operator("Shape", "Size")
def _shape(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    shape = list(inputs[0].shape)
    return Discrete.known(
        math.prod(shape) if node.op == "Size" else shape[node.get("start", 0) : node.get("end")]
    )


def make_constant(ctx: Context, tensor: Array) -> Value:
    """A stored tensor: floats as the rationals they are, integers and booleans as themselves."""
    if tensor.dtype.name in ("int4", "uint4", "int2", "uint2"):
        tensor = tensor.astype(np.int64)
    if tensor.dtype.kind in "iub":
        if (
            tensor.dtype.kind != "b"
            and tensor.size
            and max(abs(int(tensor.max())), abs(int(tensor.min()))) >= 2**62
        ):
            tensor = np.clip(tensor, -(2**62), 2**62)  # "to the end" in Slice, and nothing else
        return Discrete.known(tensor)
    gone = np.isneginf(tensor.astype(np.float64))
    if not gone.any():
        return ctx.ar.constant(tensor)
    form = ctx.ar.constant(np.where(gone, 0, tensor))
    return replace(form, special=np.where(gone, GONE, 0)[..., None])


@operator("Constant")
def _constant(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    if len(node.attributes) != 1:
        raise node.refuse("it needs exactly one value")
    for name, kind in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if node.get(name) is not None:
            return make_constant(ctx, np.array(node.get(name), dtype=kind))
    return make_constant(ctx, onnx.numpy_helper.to_array(node.get("value")))


@operator("ConstantOfShape", still=(0,))
def _constant_of_shape(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    shape = whole_numbers(node, inputs[0])
    bounded(node, shape)
    value = node.get("value")
    value = np.zeros(1, dtype=np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return make_constant(ctx, np.full(tuple(map(int, shape)), value.reshape(-1)[0]))


@operator("EyeLike")
def _eye_like(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    to = node.get("dtype") or onnx.TensorProto.FLOAT
    rows, columns = inputs[0].shape
    dtype = np.float32 if to in (1, 10, 11, 16) else np.int64
    return make_constant(ctx, np.eye(rows, columns, node.get("k", 0), dtype=dtype))
