"""Makers of the operators that pick, put and sort elements by indices, known ones and moving ones."""

from __future__ import annotations

import numpy as np
from graph_builder import NUMPY, Builder, Rejected, Tensor
from onnx import TensorProto
from random_operators import maker

__all__: list[str] = []


def moving_indices(b: Builder, least: int) -> Tensor:
    """Integers that depend on the input, from 0 to below ``least`` on the whole line."""
    x = b.pick(lambda t: t.rank > 0 and any(1 < n <= least for n in t.shape))
    axis = b.choose([k for k, n in enumerate(x.shape) if 1 < n <= least])
    return b.node(
        b.choose(["ArgMax", "ArgMin"]), [x], type=TensorProto.INT64, axis=axis, keepdims=b.integer(0, 1)
    )[0]


def indices_of(b: Builder, shape: list[int], size: int) -> Tensor:
    low = -size if b.opset >= 11 else 0
    return b.constant(b.rng.integers(low, size, size=shape, dtype=np.int64))


@maker("GatherElements", since=11)
def gather_elements(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    axis = b.integer(0, x.rank - 1)
    attributes = {"axis": axis - x.rank if b.coin(0.3) else axis}
    if b.coin(0.5) and x.shape[axis] > 1:
        best = b.node("ArgMax", [x], type=TensorProto.INT64, axis=axis, keepdims=1)
        return b.node("GatherElements", [b.weights(x.shape) if b.coin(0.3) else x, *best], **attributes)
    shape = list(x.shape)
    shape[axis] = b.integer(1, 3)
    return b.node("GatherElements", [x, indices_of(b, shape, x.shape[axis])], **attributes)


@maker("GatherND", since=11)
def gather_nd(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    batch = b.integer(0, x.rank - 1) if b.opset >= 12 and b.coin(0.4) else 0
    if batch == 0 and x.shape[0] > 1 and b.coin(0.4):
        index = moving_indices(b, x.shape[0])
        return b.node(
            "GatherND",
            [x, b.node("Unsqueeze", [index, b.integers([-1])])[0]]
            if b.opset >= 13
            else [x, b.node("Unsqueeze", [index], axes=[index.rank])[0]],
        )
    count = b.integer(1, x.rank - batch)
    lead = [*x.shape[:batch], *[b.integer(1, 2) for _ in range(b.integer(0, 1))]]
    columns = [b.rng.integers(-n, n, size=lead, dtype=np.int64) for n in x.shape[batch : batch + count]]
    attributes = {"batch_dims": batch} if batch else {}
    return b.node("GatherND", [x, b.constant(np.stack(columns, axis=-1))], **attributes)


@maker("Compress", since=9)
def compress(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    if b.coin(0.3):
        keep = b.rng.random(x.value.size) < 0.6
        return b.node("Compress", [x, b.constant(keep)])
    axis = b.integer(0, x.rank - 1)
    keep = b.rng.random(b.integer(1, x.shape[axis])) < 0.7
    return b.node(
        "Compress", [x, b.constant(keep)], axis=axis - x.rank if b.opset >= 11 and b.coin() else axis
    )


@maker("ReverseSequence", since=10)
def reverse_sequence(b: Builder) -> object:
    x = b.with_rank(2, 3)
    batch = b.integer(0, 1)
    lengths = b.rng.integers(1, x.shape[1 - batch] + 1, size=x.shape[batch], dtype=np.int64)
    return b.node("ReverseSequence", [x, b.constant(lengths)], batch_axis=batch, time_axis=1 - batch)


@maker("OneHot", since=9)
def one_hot(b: Builder) -> object:
    depth = b.integer(2, 4)
    moves = b.coin(0.7)
    indices = moving_indices(b, depth + 1) if moves else indices_of(b, [b.integer(1, 3)], depth)
    if not indices.rank:  # onnx's inference wants an axis
        raise Rejected("rank")
    axis = b.integer(-indices.rank - 1, indices.rank)
    values = b.weights([2])
    if not moves or b.coin(0.3):
        x = b.pick(lambda t: t.value.size >= 2)
        values = b.node("Reshape", [x, b.integers([-1])])[0]
        values = b.node("Gather", [values, b.constant(np.array([0, 1]))])[0]
    depth_given = b.constant(np.array(depth, dtype=np.int64 if b.coin() else NUMPY[b.type]))
    return b.node("OneHot", [indices, depth_given, values], type=b.type, axis=axis)


def updates_like(b: Builder, shape: list[int]) -> Tensor:
    others = [t for t in b.tensors if t.type == b.type and t.moving and t.shape == tuple(shape)]
    return b.choose(others) if others and b.coin(0.6) else b.weights(shape)


def reduction(b: Builder) -> dict[str, str]:
    if b.opset < 16 or b.coin(0.3):
        return {}
    names = ["none", "add", "mul"] + (["max", "min"] if b.opset >= 18 else [])
    how = b.choose([n for n in names if n != "mul" or b.smooth])
    return {"reduction": how}


@maker("ScatterElements", since=11)
def scatter_elements(b: Builder) -> object:
    return elements(b, "ScatterElements")


@maker("Scatter", since=9)
def scatter(b: Builder) -> object:
    if b.opset > 10:
        raise Rejected("opset")
    return elements(b, "Scatter")


def elements(b: Builder, name: str) -> object:
    """Without a reduction no place is hit twice, unless it is the index that moves."""
    x = b.pick(lambda t: t.rank > 0)
    axis = b.integer(0, x.rank - 1)
    how = reduction(b)
    shape = [b.integer(1, n) for n in x.shape]
    if how.get("reduction", "none") == "none" and x.shape[axis] > 1 and b.coin(0.4):
        best = b.node("ArgMax", [x], type=TensorProto.INT64, axis=axis, keepdims=1)[0]
        data = b.weights(x.shape) if b.coin() else x
        return b.node(name, [data, best, updates_like(b, list(best.shape))], axis=axis, **how)
    if how.get("reduction", "none") == "none":
        rows = [b.rng.permutation(x.shape[axis]) for _ in range(int(np.prod(shape)) // shape[axis])]
        table = np.stack([row[: shape[axis]] for row in rows], axis=-1).astype(np.int64)
        rest = shape[:axis] + shape[axis + 1 :]
        indices = np.moveaxis(table.reshape(shape[axis], *rest), 0, axis)
        if b.opset >= 11 and b.coin(0.3):
            indices = indices - x.shape[axis]
        where = b.constant(np.ascontiguousarray(indices))
    else:
        shape[axis] = b.integer(1, x.shape[axis] + 2)
        where = indices_of(b, shape, x.shape[axis])
    return b.node(name, [x, where, updates_like(b, shape)], axis=axis, **how)


@maker("ScatterND", since=11)
def scatter_nd(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    count, how = b.integer(1, x.rank), reduction(b)
    cells = int(np.prod(x.shape[:count]))
    number = b.integer(1, min(3, cells))
    flat = b.rng.choice(cells, size=number, replace=how.get("reduction", "none") != "none")
    indices = np.stack(np.unravel_index(flat, x.shape[:count]), axis=-1).astype(np.int64)
    if b.coin(0.3):
        indices = indices - np.array(x.shape[:count])
    updates = updates_like(b, [number, *x.shape[count:]])
    return b.node("ScatterND", [x, b.constant(indices), updates], **how)


@maker("TensorScatter", since=24)
def tensor_scatter(b: Builder) -> object:
    x = b.with_rank(2, 3, 4)
    axis = b.integer(1, x.rank - 1)
    shape = list(x.shape)
    shape[axis] = b.integer(1, x.shape[axis])
    mode = b.choose(["linear", "circular"])
    most = x.shape[axis] - (shape[axis] if mode == "linear" else 1)
    starts = [b.constant(b.rng.integers(0, most + 1, size=x.shape[0], dtype=np.int64))] if b.coin(0.7) else []
    return b.node("TensorScatter", [x, updates_like(b, shape), *starts], axis=axis - x.rank, mode=mode)


@maker("MaxUnpool", since=9)
def max_unpool(b: Builder) -> object:
    """Behind a MaxPool whose windows do not overlap, or with places of its own."""
    x = b.with_rank(3, 4)
    n = x.rank - 2
    kernel = [b.integer(1, 2) for _ in range(n)]
    attributes = {"kernel_shape": kernel, "strides": kernel}
    if b.coin(0.6):
        if any(size % k for size, k in zip(x.shape[2:], kernel, strict=True)):
            raise Rejected("window")
        made = b.node("MaxPool", [x], outputs=2, **attributes)
        made[1].type = TensorProto.INT64
        return b.node("MaxUnpool", made, **attributes)
    size = x.value.size * int(np.prod(kernel))
    places = b.rng.permutation(size)[: x.value.size].reshape(x.shape).astype(np.int64)
    return b.node("MaxUnpool", [x, b.constant(places)], **attributes)


@maker("TopK")
def top_k(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    axis = b.integer(0, x.rank - 1)
    count = b.integer(1, x.shape[axis])
    attributes: dict[str, int] = {"axis": axis - x.rank if b.coin(0.3) else axis}
    inputs = [x]
    if b.opset >= 10:
        inputs.append(b.integers([count]))
    else:
        attributes["k"] = count
    if b.opset >= 11 and b.coin():
        attributes["largest"] = b.integer(0, 1)
    made = b.node("TopK", inputs, outputs=2, **attributes)
    made[1].type = TensorProto.INT64
    return made
