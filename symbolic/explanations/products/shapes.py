"""Operators that move, repeat or cut elements without changing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from symbolic.explanations.backward import Gradients, Step, product, unbroadcast
from symbolic.explanations.graph import Tensor

__all__: list[str] = []


@product("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshaped(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    return [None if gradient is None else step.graph.reshape(gradient, step.given())]


@product("Transpose")
def transposed(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    rank = step.given().rank
    order = list(step.node.integers("perm", range(rank)[::-1]))
    return [step.graph.transpose(gradient, [order.index(k) for k in range(rank)])]


@product("Concat")
def concatenated(step: Step, gradients: Gradients) -> Gradients:
    """Each operand gets its part."""
    gradient = gradients[0]
    if gradient is None:
        return []
    graph, found, start = step.graph, [], 0
    axis = step.node.axis(step.given().rank)
    axes = graph.integers([axis])
    for k in range(len(step.inputs)):
        x = step.given(k)
        end = start + x.length(axis)
        ends = graph.integers([start]), graph.integers([end])
        found.append(graph.node("Slice", [gradient, *ends, axes], shape=x.shape) if step.wants(k) else None)
        start = end
    return found


@product("Split")
def split(step: Step, gradients: Gradients) -> Gradients:
    """The parts side by side, zeros for those that nobody reads."""
    graph, x = step.graph, step.given()
    parts = []
    for y, gradient in zip(step.outputs, gradients, strict=False):
        parts.append(graph.expand(y.like(0.0), y) if gradient is None else gradient)
    return [graph.node("Concat", parts, shape=x.shape, axis=step.node.axis(x.rank))]


@product("Slice")
def sliced(step: Step, gradients: Gradients) -> Gradients:
    """Zeros around, and between where steps were left out."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph = step.given(), step.graph
    given = [graph.value(step.given(k).name) if step.has(k) else None for k in range(1, 5)]
    if (
        any(step.has(k) and value is None for k, value in enumerate(given, 1))
        or given[0] is None
        or given[1] is None
    ):
        raise step.refuse("has bounds that are no constants, and so has no derivative here")
    starts, ends = (v.reshape(-1).tolist() for v in given[:2])  # type: ignore[union-attr]
    axes = range(len(starts)) if given[2] is None else given[2].reshape(-1).tolist()
    steps = [1] * len(starts) if given[3] is None else given[3].reshape(-1).tolist()
    made = gradient
    for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
        axis = int(axis) % x.rank
        places = np.arange(x.length(axis))[slice(start, _stop(end, by, x.length(axis)), by)]
        made = _put(made, places, axis, x)
    return [made]


def _stop(end: int, step: int, length: int) -> int | None:
    """The end of a slice as Python reads it."""
    return None if step < 0 and end < -length else end


def _put(x: Tensor, places: np.ndarray, axis: int, like: Tensor) -> Tensor:
    """x along one axis at these places, zeros elsewhere."""
    length, graph = like.length(axis), x.graph
    shape = (*x.known_shape[:axis], length, *x.known_shape[axis + 1 :])
    if len(places) == length and (places == np.arange(length)).all():
        return x
    if len(places) and (np.diff(places) == 1).all():
        pads = np.zeros((2, len(shape)), dtype=np.int64)
        pads[0, axis], pads[1, axis] = places[0], length - places[-1] - 1
        return graph.pad(x, *pads.tolist())
    # one row of zeros behind, and every place takes its own or that row
    pads = np.zeros((2, len(shape)), dtype=np.int64)
    pads[1, axis] = 1
    wider = graph.pad(x, *pads.tolist())
    source = np.full(length, len(places), dtype=np.int64)
    source[places] = np.arange(len(places))
    return graph.node("Gather", [wider, graph.integers(source.tolist())], shape=shape, axis=axis)


@product("Pad")
def padded(step: Step, gradients: Gradients) -> Gradients:
    """Constant borders are cut off; mirrored and repeated ones are added to what they show."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph = step.given(), step.graph
    pads = graph.value(step.given(1).name)
    if pads is None:
        raise step.refuse("has pads that are no constants, and so has no derivative here")
    axes = list(range(x.rank))
    if step.has(3):
        named = graph.value(step.given(3).name)
        if named is None:
            raise step.refuse("has axes that are no constants, and so has no derivative here")
        axes = [int(a) % x.rank for a in named.reshape(-1)]
    both = pads.reshape(2, -1)
    around = np.zeros((2, x.rank), dtype=np.int64)
    around[:, axes] = both
    mode = step.node.text("mode")
    if mode == "constant":
        inner = graph.pad(gradient, *(-around).tolist())
        border = None
        if step.wants(2):
            border = graph.sum(gradient, None, keep=False) - graph.sum(inner, None, keep=False)
            border = graph.reshape(border, step.given(2))
        return [inner, None, border]
    made = gradient
    for axis in np.flatnonzero(around.any(axis=0)).tolist():
        n = x.length(axis)
        numbers = np.arange(-around[0, axis], n + around[1, axis])
        made = _gathered_back(made, _seen(numbers, n, mode), axis, n)
    return [made]


def _seen(numbers: np.ndarray, length: int, mode: str) -> np.ndarray:
    """What stands at positions beyond an axis."""
    if mode == "edge":
        return np.asarray(np.clip(numbers, 0, length - 1))
    if mode == "wrap":
        return np.asarray(numbers % length)
    period = max(2 * (length - 1), 1)
    folded = numbers % period
    return np.asarray(np.where(folded < length, folded, period - folded))


def _gathered_back(x: Tensor, places: np.ndarray, axis: int, length: int) -> Tensor:
    """The transpose of taking elements along an axis: they are added at the places that they came from."""
    from symbolic.explanations.products.matrices import times_matrix

    matrix = np.zeros((length, len(places)))
    matrix[places, np.arange(len(places))] = 1
    return times_matrix(x.graph, x, x.graph.constant(matrix, x.elem_type), axis)


@product("Expand")
def expanded(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    return [None if gradient is None else unbroadcast(gradient, step.given())]


@product("Tile")
def tiled(step: Step, gradients: Gradients) -> Gradients:
    """The sum over the copies."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph = step.given(), step.graph
    repeats = graph.value(step.given(1).name)
    if repeats is None:
        raise step.refuse("repeats by numbers that are no constants, and so has no derivative here")
    made = gradient
    for axis, count in enumerate(repeats.reshape(-1).tolist()):
        if count != 1:
            places = np.tile(np.arange(x.length(axis)), count)
            made = _gathered_back(made, places, axis, x.length(axis))
    return [made]


@product("DepthToSpace")
def depth_to_space(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph = step.given(), step.graph
    size = int(step.node.attributes["blocksize"])
    if step.node.text("mode") != "CRD":
        return [graph.node("SpaceToDepth", [gradient], shape=x.shape, blocksize=size)]
    n, c, h, w = x.known_shape[0], x.length(1), x.length(2), x.length(3)
    split = graph.integers([-1, c // size**2, h, size, w, size])
    parts = graph.node("Reshape", [gradient, split], shape=(n, c // size**2, h, size, w, size))
    return [graph.reshape(graph.transpose(parts, [0, 1, 3, 5, 2, 4]), x)]


@product("SpaceToDepth")
def space_to_depth(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    node = step.node
    how: dict[str, Any] = {"mode": node.text("mode")} if node.text("mode") else {}
    size = int(node.attributes["blocksize"])
    return [step.graph.node("DepthToSpace", [gradient], shape=step.given().shape, blocksize=size, **how)]


@product("ReverseSequence")
def reversed_sequence(step: Step, gradients: Gradients) -> Gradients:
    """Turning round is its own inverse."""
    gradient = gradients[0]
    if gradient is None:
        return []
    node = step.node
    axes = {"batch_axis": int(node.attributes["batch_axis"]), "time_axis": int(node.attributes["time_axis"])}
    return [step.graph.node("ReverseSequence", [gradient, step.given(1)], shape=gradient.shape, **axes)]


@product("Trilu")
def triangle(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    more = [step.given(1)] if step.has(1) else []
    upper = int(step.node.attributes["upper"])
    return [step.graph.node("Trilu", [gradient, *more], shape=gradient.shape, upper=upper)]
