"""Operators that pick, move and put elements by indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from quicktions import Fraction

from .call import Call, operator, to_axis
from .exact import UNKNOWN, Array, Unknown, greatest, least
from .structure import full


def position(index: Any, size: int) -> Any:
    """An index counted from the front; UNKNOWN stays."""
    if isinstance(index, Unknown):
        return UNKNOWN
    if not -size <= index < size:
        raise ValueError(f"index {index} of an axis of {size}")
    return int(index) + size if index < 0 else int(index)


# --- picked ---


@operator("GatherElements")
def gather_elements(call: Call) -> list[Array]:
    x, indices = call[0], call[1]
    axis = to_axis(call.attribute("axis", 0), x.ndim)
    out = np.empty(indices.shape, dtype=object)
    for place in np.ndindex(out.shape):
        k = position(indices[place], x.shape[axis])
        out[place] = k if k is UNKNOWN else x[(*place[:axis], k, *place[axis + 1 :])]
    return [out]


@operator("GatherND")
def gather_nd(call: Call) -> list[Array]:
    x, indices = call[0], call[1]
    batch = call.attribute("batch_dims", 0)
    count = indices.shape[-1]
    lead, rest = indices.shape[:-1], x.shape[batch + count :]
    out = np.empty((*lead, *rest), dtype=object)
    for place in np.ndindex(lead):
        where = [position(k, x.shape[batch + i]) for i, k in enumerate(indices[place])]
        unknown = any(k is UNKNOWN for k in where)
        for tail in np.ndindex(rest):
            out[(*place, *tail)] = UNKNOWN if unknown else x[(*place[:batch], *where, *tail)]
    return [out]


@operator("Compress")
def compress(call: Call) -> list[Array]:
    x, condition = call[0], list(call[1])
    axis = call.attribute("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = to_axis(axis, x.ndim)
    return [np.take(x, [k for k, keep in enumerate(condition) if keep], axis=axis)]


@operator("ReverseSequence")
def reverse_sequence(call: Call) -> list[Array]:
    x, lengths = call[0], call.integers(1)
    assert lengths is not None
    batch, time = call.attribute("batch_axis", 1), call.attribute("time_axis", 0)
    out = np.empty(x.shape, dtype=object)
    for place in np.ndindex(x.shape):
        source, length = list(place), lengths[place[batch]]
        if place[time] < length:
            source[time] = length - 1 - place[time]
        out[place] = x[tuple(source)]
    return [out]


@operator("OneHot")
def one_hot(call: Call) -> list[Array]:
    indices, (off, on) = call[0], call[2]
    depth = int(call[1].reshape(-1)[0])
    axis = to_axis(call.attribute("axis", -1), indices.ndim + 1)
    out = np.empty((*indices.shape[:axis], depth, *indices.shape[axis:]), dtype=object)
    for place in np.ndindex(out.shape):
        index = indices[(*place[:axis], *place[axis + 1 :])]
        if isinstance(index, Unknown):
            out[place] = UNKNOWN
        else:
            out[place] = on if int(index) in (place[axis], place[axis] - depth) else off
    return [out]


# --- put ---


def _times(a: Any, b: Any) -> Any:
    return a * b


MERGE: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda old, new: new,
    "add": lambda old, new: old + new,
    "mul": _times,
    "max": lambda old, new: greatest([old, new]),
    "min": lambda old, new: least([old, new]),
}


def put(out: Array, targets: list[tuple[Any, ...]], values: list[Any], how: str) -> list[Array]:
    """Merge the values into a copy, one after the other; the standard leaves open which of two in one place
    stays, where they are not merged."""
    out = out.copy()
    if any(isinstance(k, Unknown) for target in targets for k in target):
        return [full(list(out.shape), UNKNOWN)]
    merge, done = MERGE[how], set()
    for target, value in zip(targets, values, strict=True):
        again = how == "none" and target in done
        out[target] = UNKNOWN if again and out[target] != value else merge(out[target], value)
        done.add(target)
    return [out]


@operator("Scatter", "ScatterElements")
def scatter_elements(call: Call) -> list[Array]:
    x, indices, updates = call[0], call[1], call[2]
    axis = to_axis(call.attribute("axis", 0), x.ndim)
    targets, values = [], []
    for place in np.ndindex(indices.shape):
        targets.append((*place[:axis], position(indices[place], x.shape[axis]), *place[axis + 1 :]))
        values.append(updates[place])
    return put(x, targets, values, call.attribute("reduction", "none"))


@operator("ScatterND")
def scatter_nd(call: Call) -> list[Array]:
    x, indices, updates = call[0], call[1], call[2]
    rest = x.shape[indices.shape[-1] :]
    targets, values = [], []
    for place in np.ndindex(indices.shape[:-1]):
        where = [position(k, x.shape[i]) for i, k in enumerate(indices[place])]
        for tail in np.ndindex(rest):
            targets.append((*where, *tail))
            values.append(updates[(*place, *tail)])
    return put(x, targets, values, call.attribute("reduction", "none"))


@operator("TensorScatter")
def tensor_scatter(call: Call) -> list[Array]:
    past, update = call[0], call[1]
    axis = to_axis(call.attribute("axis", -2), past.ndim)
    starts = call.integers(2) or [0] * past.shape[0]
    size = past.shape[axis]
    targets, values = [], []
    for place in np.ndindex(update.shape):
        at = starts[place[0]] + place[axis]
        at = at % size if call.attribute("mode", "linear") == "circular" else position(at, size)
        targets.append((*place[:axis], at, *place[axis + 1 :]))
        values.append(update[place])
    return put(past, targets, values, "none")


@operator("MaxUnpool")
def max_unpool(call: Call) -> list[Array]:
    x, indices = call[0], call[1]
    kernel = call.attribute("kernel_shape")
    n = len(kernel)
    strides, pads = call.attribute("strides", [1] * n), call.attribute("pads", [0] * 2 * n)
    size = [(x.shape[2 + i] - 1) * strides[i] - pads[i] - pads[n + i] + kernel[i] for i in range(n)]
    shape = (*x.shape[:2], *size)
    wanted = call.integers(2)
    flat = full([int(np.prod(shape))], Fraction(0))
    targets = [(position(k, flat.size),) for k in indices.reshape(-1)]
    image = put(flat, targets, list(x.reshape(-1)), "none")[0].reshape(shape)
    if wanted is None:
        return [image]
    out = full(wanted, Fraction(0))
    out[tuple(slice(0, s) for s in shape)] = image
    return [out]


# --- moved ---


@operator("Tile")
def tile(call: Call) -> list[Array]:
    x, repeats = call[0], call.integers(1)
    assert repeats is not None
    out = np.empty([n * k for n, k in zip(x.shape, repeats, strict=True)], dtype=object)
    for place in np.ndindex(out.shape):
        out[place] = x[tuple(p % n for p, n in zip(place, x.shape, strict=True))]
    return [out]


@operator("DepthToSpace")
def depth_to_space(call: Call) -> list[Array]:
    x, block = call[0], call.attribute("blocksize")
    n, c, h, w = x.shape
    depth = c // block**2
    out = np.empty((n, depth, h * block, w * block), dtype=object)
    for b, d, y, z in np.ndindex(out.shape):
        part = y % block * block + z % block
        first = d * block**2 + part if call.attribute("mode", "DCR") == "CRD" else part * depth + d
        out[b, d, y, z] = x[b, first, y // block, z // block]
    return [out]


@operator("SpaceToDepth")
def space_to_depth(call: Call) -> list[Array]:
    x, block = call[0], call.attribute("blocksize")
    n, c, h, w = x.shape
    out = np.empty((n, c * block**2, h // block, w // block), dtype=object)
    for b, d, y, z in np.ndindex(out.shape):
        part, channel = divmod(d, c)
        if call.attribute("mode", "DCR") == "CRD":
            channel, part = divmod(d, block**2)
        out[b, d, y, z] = x[b, channel, y * block + part // block, z * block + part % block]
    return [out]


# --- shapes that depend on values ---


@operator("NonZero")
def non_zero(call: Call) -> list[Array]:
    x = call[0]
    found = [place for place in np.ndindex(x.shape) if x[place]]
    out = np.empty((x.ndim, len(found)), dtype=object)
    for column, place in enumerate(found):
        for row, k in enumerate(place):
            out[row, column] = k
    return [out]


@operator("Unique")
def unique(call: Call) -> list[Array]:
    x, axis = call[0], call.attribute("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = to_axis(axis, x.ndim)
    slices = [tuple(np.take(x, [k], axis=axis).reshape(-1)) for k in range(x.shape[axis])]
    kinds = sorted(set(slices)) if call.attribute("sorted", 1) else list(dict.fromkeys(slices))
    first = [slices.index(kind) for kind in kinds]
    rest: list[list[int]] = [first, [kinds.index(s) for s in slices], [slices.count(kind) for kind in kinds]]
    outputs = [np.take(x, first, axis=axis)]
    for numbers in rest:
        outputs.append(np.empty(len(numbers), dtype=object))
        outputs[-1][:] = numbers
    return outputs
