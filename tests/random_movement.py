"""Makers of the operators that move elements or make constants."""

from __future__ import annotations

import numpy as np
from graph_builder import NUMPY, Builder, Rejected
from onnx import TensorProto
from random_operators import maker

__all__: list[str] = []


@maker("Reshape")
def reshape(b: Builder) -> object:
    x = b.pick()
    shape = b.factors(x.value.size, b.integer(1, 4))
    if b.opset >= 14 and b.coin(0.1):
        return b.node("Reshape", [x, b.integers(shape)], allowzero=1)
    if b.coin(0.3):
        shape = [0 if i < x.rank and shape[i] == x.shape[i] else size for i, size in enumerate(shape)]
    if b.coin(0.4):
        shape[b.integer(0, len(shape) - 1)] = -1
    return b.node("Reshape", [x, b.integers(shape)])


@maker("Flatten")
def flatten(b: Builder) -> object:
    x = b.pick()
    axis = b.integer(-x.rank if b.opset >= 11 else 0, x.rank)
    return b.node("Flatten", [x], **({"axis": axis} if x.rank == 0 or b.coin(0.7) else {}))


@maker("Transpose")
def transpose(b: Builder) -> object:
    x = b.pick()
    perm = {"perm": [int(p) for p in b.rng.permutation(x.rank)]} if x.rank and b.coin(0.8) else {}
    return b.node("Transpose", [x], **perm)


def with_axes(b: Builder, name: str, x: object, axes: list[int]) -> object:
    if b.opset >= 13:
        return b.node(name, [x, b.integers(axes)])  # type: ignore[list-item]
    return b.node(name, [x], axes=axes)  # type: ignore[list-item]


@maker("Squeeze")
def squeeze(b: Builder) -> object:
    x = b.pick()
    ones = [i for i, size in enumerate(x.shape) if size == 1]
    if not ones:
        place = b.integer(0, x.rank)
        x = b.reshaped(x, [*x.shape[:place], 1, *x.shape[place:]])
        ones = [place]
    if b.coin(0.2):
        return b.node("Squeeze", [x])
    chosen = [i - x.rank if b.opset >= 11 and b.coin(0.3) else i for i in ones if b.coin(0.7)] or ones[:1]
    return with_axes(b, "Squeeze", x, chosen)


@maker("Unsqueeze")
def unsqueeze(b: Builder) -> object:
    x = b.pick()
    count = b.integer(1, 2)
    rank = x.rank + count
    axes = sorted(int(a) for a in b.rng.permutation(rank)[:count])
    if b.opset >= 11:
        axes = [a - rank if b.coin(0.3) else a for a in axes]
    return with_axes(b, "Unsqueeze", x, axes)


@maker("Expand", since=8)
def expand(b: Builder) -> object:
    x = b.pick()
    shape = [b.integer(1, 3) if size == 1 else b.choose([size, 1]) for size in x.shape]
    if b.coin(0.4):
        shape = [b.integer(1, 2), *shape]
    elif b.coin(0.2):
        shape = shape[1:]
    return b.node("Expand", [x, b.integers(shape)])


@maker("Concat")
def concat(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    axis = b.integer(0, x.rank - 1)
    parts = [x]
    for _ in range(b.integer(0, 2)):
        others = [
            t
            for t in b.tensors
            if t.type == x.type
            and t.rank == x.rank
            and t.shape[:axis] + t.shape[axis + 1 :] == x.shape[:axis] + x.shape[axis + 1 :]
        ]
        shape = list(x.shape)
        shape[axis] = b.integer(1, 2)
        parts.append(b.choose(others) if b.coin(0.7) else b.weights(shape))
    b.rng.shuffle(parts)  # type: ignore[arg-type]
    return b.node("Concat", parts, axis=axis - x.rank if b.opset >= 11 and b.coin(0.3) else axis)


@maker("Split")
def split(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0 and max(t.shape) > 1)
    axis = b.choose([i for i, size in enumerate(x.shape) if size > 1])
    length = x.shape[axis]
    attributes: dict[str, object] = {"axis": axis - x.rank if b.opset >= 11 and b.coin(0.3) else axis}
    if b.opset >= 18 and b.coin(0.4):
        parts = b.choose([p for p in range(1, length + 1) if length - (-(-length // p)) * (p - 1) > 0])
        return b.node("Split", [x], outputs=parts, num_outputs=parts, **attributes)
    even = [p for p in range(1, length + 1) if length % p == 0]
    if b.opset < 18 and b.coin(0.4):
        return b.node("Split", [x], outputs=b.choose(even), **attributes)
    cuts = sorted({b.integer(1, length - 1) for _ in range(b.integer(1, 2))})
    sizes = [int(s) for s in np.diff([0, *cuts, length])]
    if b.opset >= 13:
        return b.node("Split", [x, b.integers(sizes)], outputs=len(sizes), **attributes)
    return b.node("Split", [x], outputs=len(sizes), split=sizes, **attributes)


@maker("Slice")
def slice_node(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    axes = sorted(int(a) for a in b.rng.permutation(x.rank)[: b.integer(1, x.rank)])
    starts, ends, steps = [], [], []
    for axis in axes:
        size = x.shape[axis]
        low = b.integer(0, size - 1)
        high = b.integer(low + 1, size)
        step = b.choose([1, 1, 2, -1, -2]) if b.opset >= 10 else 1
        if step > 0:
            starts.append(low - size if b.coin(0.2) else low)
            ends.append(b.choose([high, high - size if high < size else 2**31 - 1]))
        else:
            starts.append(b.choose([high - 1, high - 1 - size]))
            ends.append(low - 1 if low > 0 else -size - 1)
        steps.append(step)
    if b.opset < 10:
        return b.node("Slice", [x], starts=starts, ends=ends, axes=axes)
    named = [a - x.rank if b.opset >= 11 and b.coin(0.3) else a for a in axes]
    inputs = [x, b.integers(starts), b.integers(ends), b.integers(named)]
    if any(s != 1 for s in steps) or b.coin():
        inputs.append(b.integers(steps))
    return b.node("Slice", inputs)


@maker("Gather")
def gather(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    axis = b.integer(0, x.rank - 1)
    size = x.shape[axis]
    shape = [b.integer(1, 3) for _ in range(b.integer(0, 2))]
    indices = b.rng.integers(-size if b.opset >= 11 else 0, size, size=shape, dtype=np.int64)
    return b.node("Gather", [x, b.constant(indices)], axis=axis - x.rank if b.coin(0.3) else axis)


@maker("Pad")
def pad(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    mode = b.choose(["constant", "constant", "edge", "reflect"] + (["wrap"] if b.opset >= 19 else []))
    axes = sorted(int(a) for a in b.rng.permutation(x.rank)[: b.integer(1, x.rank)])
    if b.opset < 18 or b.coin():
        axes = list(range(x.rank))
    low = [-1 if x.shape[a] > 2 and mode == "constant" else 0 for a in axes]
    high = [min(2, x.shape[a] - 1) if mode in ("reflect", "wrap") else 2 for a in axes]
    amounts = [b.integer(p, q) for p, q in zip(low + low, high + high, strict=True)]
    if b.opset < 11:
        return b.node("Pad", [x], mode=mode, pads=amounts, value=b.integer(-4, 4) / 4)
    inputs = [x, b.integers(amounts)]
    if len(axes) < x.rank or (b.opset >= 18 and b.coin(0.3)):
        named = [a - x.rank if b.coin(0.3) else a for a in axes]
        inputs += [b.constant(NUMPY[b.type](b.integer(-4, 4) / 4)), b.integers(named)]
    elif mode == "constant" and b.coin():
        inputs.append(b.constant(NUMPY[b.type](b.integer(-4, 4) / 4)))
    return b.node("Pad", inputs, **({"mode": mode} if mode != "constant" or b.coin() else {}))


# --- constants that take part ---


@maker("Constant")
def constant(b: Builder) -> object:
    x = b.pick()
    return b.node("Add", [x, b.constant(b.numbers([]), as_node=True)])


@maker("Shape")
def shape(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    others = [t for t in b.tensors if t.moving and t.type == b.type and t.value.size == x.value.size]
    attributes = (
        {"start": b.integer(-x.rank, 0), "end": b.integer(1, x.rank)} if b.opset >= 15 and b.coin(0.3) else {}
    )
    if attributes:
        sizes = b.node("Shape", [x], type=TensorProto.INT64, **attributes)[0]
        return b.node(
            "Add", [x, b.node("Cast", [b.node("ReduceMax", [sizes])[0]], type=b.type, to=b.type)[0]]
        )
    sizes = b.node("Shape", [x], type=TensorProto.INT64)[0]
    return b.node("Reshape", [b.choose(others), sizes])


@maker("ConstantOfShape", since=9)
def constant_of_shape(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    if b.coin(0.3) and b.type == TensorProto.FLOAT:
        filler = b.node("ConstantOfShape", [b.integers([*x.shape[:-1], 1])])[0]
        filler.type = b.type
        return b.node("Add", [x, filler])
    from onnx import numpy_helper

    sizes = b.node("Shape", [x], type=TensorProto.INT64)[0]
    value = numpy_helper.from_array(b.numbers([1]))
    filler = b.node("ConstantOfShape", [sizes], type=b.type, value=value)[0]
    return b.node("Max" if b.coin() else "Sub", [x, filler])


@maker("EyeLike", since=9)
def eye_like(b: Builder) -> object:
    x = b.with_rank(2)
    attributes: dict[str, object] = {"k": b.integer(-1, 1)} if b.coin() else {}
    if b.coin(0.4):
        eye = b.node("EyeLike", [x], type=TensorProto.BOOL, dtype=TensorProto.BOOL, **attributes)[0]
        return b.node("Where", [eye, x, b.weights([])], type=b.type)
    if b.coin():
        attributes["dtype"] = b.type
    eye = b.node("EyeLike", [x], **attributes)[0]
    if x.shape[0] == x.shape[1] and b.coin():
        return b.node("MatMul", [eye, x])
    if not b.coin(0.9):
        raise Rejected("variety")
    return b.node("Mul" if b.coin() else "Add", [x, eye])
