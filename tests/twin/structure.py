"""Operators that only move elements, and constants."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, numpy_helper
from quicktions import Fraction

from .call import Call, operator, to_axis
from .elementwise import cast_scalar
from .exact import Array, Unknown, exact_array

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


def full(shape: list[int], value: object) -> Array:
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(out.shape):
        out[index] = value
    return out


# --- constants ---


@operator("Constant")
def constant(call: Call) -> list[Array]:
    item = call.node.attribute[0]
    if item.name == "value":
        return [exact_array(numpy_helper.to_array(item.t))]
    if item.name in ("value_float", "value_int"):
        return [full([], call.attribute(item.name))]
    if item.name in ("value_floats", "value_ints"):
        values = call.attribute(item.name)
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return [out]
    raise NotImplementedError(item.name)


@operator("ConstantOfShape")
def constant_of_shape(call: Call) -> list[Array]:
    value = call.attribute("value")
    return [full(call.integers(0) or [], Fraction(0) if value is None else value.reshape(-1)[0])]


@operator("EyeLike")
def eye_like(call: Call) -> list[Array]:
    rows, columns = call[0].shape
    k, to = call.attribute("k", 0), call.attribute("dtype")
    if to is None:
        first = call[0].reshape(-1)[0]
        to = {bool: TensorProto.BOOL, int: TensorProto.INT64}.get(type(first), TensorProto.FLOAT)
    out = np.empty((rows, columns), dtype=object)
    for i, j in np.ndindex(rows, columns):
        out[i, j] = cast_scalar(1 if j == i + k else 0, to)
    return [out]


@operator("Shape")
def shape(call: Call) -> list[Array]:
    sizes = list(call[0].shape)
    ends = []
    for name, default in (("start", 0), ("end", len(sizes))):
        value = call.attribute(name, default)
        ends.append(min(max(value + len(sizes) if value < 0 else value, 0), len(sizes)))
    chosen = sizes[ends[0] : ends[1]]
    out = np.empty(len(chosen), dtype=object)
    out[:] = chosen
    return [out]


# --- another shape for the same elements ---


@operator("Reshape")
def reshape(call: Call) -> list[Array]:
    x, wanted = call[0], call.integers(1)
    assert wanted is not None
    if not call.attribute("allowzero", 0):
        wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(size for size in wanted if size != -1)
        wanted = [x.size // rest if size == -1 else size for size in wanted]
    return [x.reshape(wanted)]


@operator("Flatten")
def flatten(call: Call) -> list[Array]:
    x, axis = call[0], call.attribute("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return [x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))]


@operator("Squeeze")
def squeeze(call: Call) -> list[Array]:
    x = call[0]
    axes = call.integers(1) if call.opset >= 13 else call.attribute("axes")
    if axes is None:
        axes = [i for i, size in enumerate(x.shape) if size == 1]
    gone = [to_axis(a, x.ndim) for a in axes]
    if any(x.shape[a] != 1 for a in gone):
        raise ValueError("Squeeze of a dimension that is not 1")
    return [x.reshape([size for i, size in enumerate(x.shape) if i not in gone])]


@operator("Unsqueeze")
def unsqueeze(call: Call) -> list[Array]:
    x = call[0]
    axes = call.integers(1) if call.opset >= 13 else call.attribute("axes")
    assert axes is not None
    rank = x.ndim + len(axes)
    new = [to_axis(a, rank) for a in axes]
    sizes = iter(x.shape)
    return [x.reshape([1 if i in new else next(sizes) for i in range(rank)])]


@operator("Transpose")
def transpose(call: Call) -> list[Array]:
    x = call[0]
    perm = call.attribute("perm", list(range(x.ndim))[::-1])
    out = np.empty([x.shape[p] for p in perm], dtype=object)
    for index in np.ndindex(out.shape):
        source = [0] * x.ndim
        for i, p in enumerate(perm):
            source[p] = index[i]
        out[index] = x[tuple(source)]
    return [out]


@operator("Expand")
def expand(call: Call) -> list[Array]:
    wanted = np.broadcast_shapes(call[0].shape, tuple(call.integers(1) or []))
    return [np.broadcast_to(call[0], wanted).copy()]


# --- parts ---


@operator("Concat")
def concat(call: Call) -> list[Array]:
    return [np.concatenate(call.inputs, axis=call.attribute("axis"))]


@operator("Split")
def split(call: Call) -> list[Array]:
    x = call[0]
    axis = to_axis(call.attribute("axis", 0), x.ndim)
    sizes = call.integers(1) if call.opset >= 13 else call.attribute("split")
    if sizes is None:
        parts = call.attribute("num_outputs", len(call.node.output))
        chunk = -(-x.shape[axis] // parts)
        sizes = [chunk] * (parts - 1) + [x.shape[axis] - chunk * (parts - 1)]
    out, start = [], 0
    for size in sizes:
        window = [slice(None)] * x.ndim
        window[axis] = slice(start, start + size)
        out.append(x[tuple(window)])
        start += size
    return out


@operator("Slice")
def slice_node(call: Call) -> list[Array]:
    x = call[0]
    if call.opset < 10:
        starts, ends = call.attribute("starts"), call.attribute("ends")
        axes, steps = call.attribute("axes"), None
    else:
        starts, ends, axes, steps = (call.integers(i) for i in range(1, 5))
    axes = list(range(len(starts))) if axes is None else [to_axis(a, x.ndim) for a in axes]
    steps = [1] * len(starts) if steps is None else steps
    chosen = [list(range(size)) for size in x.shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        start, end = (v + size if v < 0 else v for v in (start, end))
        if step > 0:
            chosen[axis] = list(range(min(max(start, 0), size), min(max(end, 0), size), step))
        else:
            chosen[axis] = list(range(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step))
    out = np.empty([len(c) for c in chosen], dtype=object)
    for index in np.ndindex(out.shape):
        out[index] = x[tuple(chosen[i][p] for i, p in enumerate(index))]
    return [out]


@operator("Gather")
def gather(call: Call) -> list[Array]:
    x, indices = call[0], call[1]
    axis = to_axis(call.attribute("axis", 0), x.ndim)
    out = np.empty(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], dtype=object)
    for index in np.ndindex(out.shape):
        k = indices[index[axis : axis + indices.ndim]]
        if isinstance(k, Unknown):
            out[index] = k
        else:
            out[index] = x[(*index[:axis], k, *index[axis + indices.ndim :])]
    return [out]


@operator("Pad")
def pad(call: Call) -> list[Array]:
    x, mode = call[0], call.attribute("mode", "constant")
    if call.opset < 11:
        amounts, value, axes = call.attribute("pads"), call.attribute("value", Fraction(0)), None
    else:
        amounts, axes = call.integers(1), call.integers(3)
        zero = 0 if x.size and isinstance(x.reshape(-1)[0], int) else Fraction(0)
        value = call[2].reshape(-1)[0] if call.has(2) else zero
    axes = list(range(x.ndim)) if axes is None else [to_axis(a, x.ndim) for a in axes]
    begins, ends = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(axes):
        begins[axis], ends[axis] = amounts[i], amounts[len(axes) + i]
    out = np.empty([x.shape[i] + begins[i] + ends[i] for i in range(x.ndim)], dtype=object)
    for index in np.ndindex(out.shape):
        source = [_padded_source(index[i] - begins[i], x.shape[i], mode) for i in range(x.ndim)]
        out[index] = value if None in source else x[tuple(source)]
    return [out]


def _padded_source(position: int, size: int, mode: str) -> int | None:
    """Where the padded position comes from; None for the constant."""
    if 0 <= position < size:
        return position
    if mode == "constant":
        return None
    if mode == "edge":
        return min(max(position, 0), size - 1)
    if mode == "wrap":
        return position % size
    if mode == "reflect":
        period = 2 * (size - 1)
        folded = position % period if period else 0
        return min(folded, period - folded)
    raise NotImplementedError(mode)
