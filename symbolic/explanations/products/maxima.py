"""Maxima over windows: who wins each, and what goes back to the winner.

Winners are named by their place in the window, and a window's elements stand side by side, so that all is
slices, comparisons and sums: exact engines can follow it along a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as tuples
from math import prod

import numpy as np
from onnx import TensorProto

from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.graph import Graph, Tensor
from symbolic.explanations.products.convolutions import Geometry, geometry_of
from symbolic.explanations.signs import never_negative
from symbolic.operators.windows import Window

__all__ = ["joined", "patches", "spread_out", "to_the_first", "winner", "window_of_pool"]

LOWEST = float(np.finfo(np.float32).min)
"""Stands around the input: it wins against nothing. Around what is never negative -1 does, which leaves more
bits to the numbers beside it where all of a tensor share an exponent."""


def window_of_pool(step: Step) -> Window:
    """How the windows of a MaxPool lie; a GlobalMaxPool has one."""
    x = step.given()
    if step.node.op_type == "GlobalMaxPool":
        size = tuple(x.length(axis) for axis in range(2, x.rank))
        none = (0,) * len(size)
        return Window(size, (1,) * len(size), (1,) * len(size), none, size, (1,) * len(size))
    return geometry_of(step, step.node.integers("kernel_shape", ())).window


def patches(x: Tensor, w: Window) -> Tensor:
    """(N, C, ...) as (N, C, K, ...): the K elements of every window along an axis."""
    graph, rank = x.graph, len(w.kernel)
    ends = Geometry(w, 1).ends
    x = _bordered(x, [0, 0, *w.begin], [0, 0, *ends])
    channels, count = x.length(1), prod(w.kernel)
    shape = (x.known_shape[0], channels, count, *w.size_out)
    if w.kernel == w.strides and set(w.dilations) == {1}:
        split = [n for pair in zip(w.size_out, w.kernel, strict=True) for n in pair]
        blocks = _reshaped(x, [channels, *split])
        order = [0, 1, *range(3, 3 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2)]
        return _reshaped(graph.transpose(blocks, order), list(shape[1:]))  # type: ignore[arg-type]
    taken = []
    for offset in np.ndindex(*w.kernel):
        starts = [o * d for o, d in zip(offset, w.dilations, strict=True)]
        stops = [a + (n - 1) * s + 1 for a, n, s in zip(starts, w.size_out, w.strides, strict=True)]
        given = [graph.integers(list(v)) for v in (starts, stops, range(2, 2 + rank), w.strides)]
        one = graph.node("Slice", [x, *given], shape=(*shape[:2], *w.size_out))
        taken.append(_reshaped(one, [channels, 1, *w.size_out]))
    return taken[0] if count == 1 else graph.node("Concat", taken, shape=shape, axis=2)


def winner(seen: Tensor) -> Tensor:
    """The first greatest of the K elements of every window, (N, C, 1, ...)."""
    shape = (*seen.known_shape[:2], 1, *seen.known_shape[3:])
    return seen.graph.node("ArgMax", [seen], shape=shape, elem_type=TensorProto.INT64, axis=2, keepdims=1)


def spread_out(values: Tensor, places: Tensor, w: Window, like: Tensor) -> Tensor:
    """Values (..., C, 1, ...) at places in windows, back at the elements; what meets there is added."""
    graph, count = values.graph, prod(w.kernel)
    wheel = np.arange(count).reshape(-1, *[1] * len(w.kernel))
    lit = graph.node(
        "Equal",
        [places, graph.constant(wheel, TensorProto.INT64)],
        shape=(*values.known_shape[:2], count, *w.size_out),
        elem_type=TensorProto.BOOL,
    )
    return joined(graph.where(lit, values, 0.0, like=values), w, like)


def joined(seen: Tensor, w: Window, like: Tensor) -> Tensor:
    """The transpose of `patches`. Offsets in a window that differ by strides form layers: within one, windows
    do not overlap, and layers are shifted by places and added."""
    graph, rank, channels = seen.graph, len(w.kernel), seen.length(1)
    kernel = [(k - 1) * d + 1 for k, d in zip(w.kernel, w.dilations, strict=True)]
    layers = [-(-k // s) for k, s in zip(kernel, w.strides, strict=True)]
    parts = _reshaped(seen, [channels, *w.kernel, *w.size_out])
    if set(w.dilations) != {1}:
        parts = _dilated(parts, w)
    total: Tensor | None = None
    axes = list(range(2, 2 + rank))
    for layer in tuples(*map(range, layers)):
        starts = [q * s for q, s in zip(layer, w.strides, strict=True)]
        stops = [min(a + s, k) for a, s, k in zip(starts, w.strides, kernel, strict=True)]
        lengths = [b - a for a, b in zip(starts, stops, strict=True)]
        given = [graph.integers(v) for v in (starts, stops, axes)]
        shape = (parts.known_shape[0], channels, *lengths, *w.size_out)
        block = parts if prod(layers) == 1 else graph.node("Slice", [parts, *given], shape=shape)
        short = [s - n for s, n in zip(w.strides, lengths, strict=True)]
        after = [q - 1 - k for q, k in zip(layers, layer, strict=True)]
        whole = graph.pad(block, [0] * (2 + rank) + list(layer), [0, 0, *short, *after])
        total = whole if total is None else total + whole
    if total is None:
        raise ValueError("a window has no elements")
    order = [0, 1, *(a for k in range(rank) for a in (2 + rank + k, 2 + k))]
    size = [(o + q - 1) * s for o, q, s in zip(w.size_out, layers, w.strides, strict=True)]
    total = _reshaped(graph.transpose(total, order), [channels, *size])
    cut = [n + b - t for n, b, t in zip(w.size_in, w.begin, size, strict=True)]
    made = graph.pad(total, [0, 0, *(-b for b in w.begin)], [0, 0, *cut])
    return Tensor(graph, made.name, made.elem_type, like.shape)


def _dilated(parts: Tensor, w: Window) -> Tensor:
    """Zeros between the elements of a dilated kernel."""
    graph, rank = parts.graph, len(w.kernel)
    for k, d in enumerate(w.dilations):
        if d > 1:
            axis, length = 2 + k, parts.length(2 + k)
            shape = [*map(int, parts.known_shape[1:])]  # type: ignore[arg-type]
            opened = _reshaped(parts, [*shape[:axis], 1, *shape[axis:]])
            filled = graph.pad(
                opened, [0] * opened.rank, [0] * (axis + 1) + [d - 1] + [0] * (2 * rank - k - 1)
            )
            shape[axis - 1] = length * d
            flat = _reshaped(filled, shape)
            parts = graph.crop(flat, [0] * flat.rank, [d - 1 if a == axis else 0 for a in range(flat.rank)])
    return parts


def _bordered(x: Tensor, begin: Sequence[int], end: Sequence[int]) -> Tensor:
    """x on the canvas of its windows."""
    graph = x.graph
    x = graph.crop(x, [max(-n, 0) for n in begin], [max(-n, 0) for n in end])
    pads = [max(n, 0) for n in (*begin, *end)]
    if not any(pads):
        return x
    half = len(begin)
    border = -1.0 if never_negative(x) else LOWEST
    shape = (x.known_shape[0], *(x.length(k) + pads[k] + pads[half + k] for k in range(1, half)))
    return graph.node("Pad", [x, graph.integers(pads), x.like(border)], shape=shape)


def _reshaped(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """x with its first axis as it is, and these lengths behind it."""
    target = x.graph.integers([0, *lengths])
    return x.graph.node("Reshape", [x, target], shape=(x.known_shape[0], *lengths))


@product("MaxPool", "GlobalMaxPool")
def max_pool(step: Step, gradients: Gradients) -> Gradients:
    """To the first winner of every window; overlapping windows add up."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, w = step.given(), window_of_pool(step)
    seen = patches(x, w)
    opened = _reshaped(gradient, [x.length(1), 1, *w.size_out])
    return [spread_out(opened, winner(seen), w, x)]


def to_the_first(graph: Graph, gradient: Tensor, x: Tensor, axis: int, least: bool) -> Tensor:
    """The gradient (length 1 along the axis) at the first greatest element along one axis, zero elsewhere."""
    shape = tuple(1 if k == axis else n for k, n in enumerate(x.known_shape))
    op_type = "ArgMin" if least else "ArgMax"
    place = graph.node(op_type, [x], shape=shape, elem_type=TensorProto.INT64, axis=axis, keepdims=1)
    wheel = np.arange(x.length(axis)).reshape(-1, *[1] * (x.rank - axis - 1))
    lit = graph.node(
        "Equal", [place, graph.constant(wheel, TensorProto.INT64)], shape=x.shape, elem_type=TensorProto.BOOL
    )
    return graph.where(lit, gradient, 0.0, like=gradient)
