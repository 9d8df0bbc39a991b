"""Elements picked or put by index: Gather, Scatter and their relatives, TopK, Compress."""

from __future__ import annotations

from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.graph import Graph, Tensor

__all__ = ["scatter_flat", "zeros_like"]

INT64 = 7


def zeros_like(x: Tensor) -> Tensor:
    """Zeros in the shape of a tensor."""
    return x.graph.expand(x.like(0.0), x)


def _zeros(graph: Graph, like: Tensor, elem_type: int) -> Tensor:
    return graph.expand(graph.constant(0.0, elem_type), Tensor(graph, like.name, elem_type, like.shape))


def scatter_flat(values: Tensor, places: Tensor, like: Tensor) -> Tensor:
    """Zeros in the shape of `like`, to which the values are added at flat places."""
    graph, all_of = values.graph, values.graph.integers([-1])
    zeros = graph.node("Reshape", [_zeros(graph, like, values.elem_type), all_of], shape=(None,))
    flat = [graph.node("Reshape", [t, all_of], shape=(None,)) for t in (places, values)]
    made = graph.node("ScatterElements", [zeros, *flat], shape=(None,), axis=0, reduction="add")
    return graph.reshape(made, like)


@product("Gather")
def gather(step: Step, gradients: Gradients) -> Gradients:
    """Whole slices along an axis: they are added where they came from."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, places, graph = step.given(0), step.given(1), step.graph
    axis = step.node.axis(x.rank)
    if places.rank != 1:  # one axis of indices in place of several, or of none
        lead, rest = x.known_shape[:axis], x.known_shape[axis + 1 :]
        target = _lengths(graph, x, axis)
        gradient = graph.node("Reshape", [gradient, target], shape=(*lead, None, *rest))
        places = graph.node("Reshape", [places, graph.integers([-1])], shape=(None,))
    ones = graph.integers([1] * (x.rank - axis - 1))
    if x.rank - axis - 1:
        shaped = graph.node(
            "Reshape", [places, graph.node("Concat", [graph.integers([-1]), ones], axis=0)], shape=None
        )
    else:
        shaped = places
    spread = graph.node(
        "Expand", [shaped, graph.node("Shape", [gradient], elem_type=INT64)], shape=gradient.shape
    )
    zeros = _zeros(graph, x, gradient.elem_type)
    return [
        graph.node("ScatterElements", [zeros, spread, gradient], shape=x.shape, axis=axis, reduction="add")
    ]


def _lengths(graph: Graph, x: Tensor, axis: int) -> Tensor:
    """The lengths of x, with -1 in place of one axis."""
    whole = graph.shape_of(x)
    parts = []
    if axis:
        parts.append(
            graph.node("Slice", [whole, graph.integers([0]), graph.integers([axis])], elem_type=INT64)
        )
    parts.append(graph.integers([-1]))
    if axis + 1 < x.rank:
        ends = graph.integers([axis + 1]), graph.integers([x.rank])
        parts.append(graph.node("Slice", [whole, *ends], elem_type=INT64))
    return graph.node("Concat", parts, axis=0, elem_type=INT64) if len(parts) > 1 else parts[0]


@product("GatherElements")
def gather_elements(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    x, places, graph = step.given(0), step.given(1), step.graph
    zeros = _zeros(graph, x, gradient.elem_type)
    axis = step.node.axis(x.rank)
    return [
        graph.node("ScatterElements", [zeros, places, gradient], shape=x.shape, axis=axis, reduction="add")
    ]


@product("GatherND")
def gather_nd(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    if step.node.attributes.get("batch_dims", 0):
        raise step.refuse("has batch_dims, for which there is no derivative here")
    x, places, graph = step.given(0), step.given(1), step.graph
    zeros = _zeros(graph, x, gradient.elem_type)
    return [graph.node("ScatterND", [zeros, places, gradient], shape=x.shape, reduction="add")]


@product("ScatterElements", "Scatter", "ScatterND")
def scatter(step: Step, gradients: Gradients) -> Gradients:
    """What is overwritten gets nothing; what is written gets the gradient from its place."""
    gradient = gradients[0]
    if gradient is None:
        return []
    kind, reduction = step.node.op_type, step.node.text("reduction") or "none"
    if reduction not in ("none", "add"):
        raise step.refuse(f"reduces by {reduction!r}, for which there is no derivative here")
    x, places, updates, graph = step.given(0), step.given(1), step.given(2), step.graph
    more = {} if kind == "ScatterND" else {"axis": step.node.axis(x.rank)}
    found: list[Tensor | None] = [gradient if step.wants(0) else None, None, None]
    if step.wants(0) and reduction == "none":
        zeros = zeros_like(updates)
        op_type = "ScatterND" if kind == "ScatterND" else "ScatterElements"
        found[0] = graph.node(op_type, [gradient, places, zeros], shape=x.shape, **more)
    if step.wants(2):
        op_type = "GatherND" if kind == "ScatterND" else "GatherElements"
        found[2] = graph.node(op_type, [gradient, places], shape=updates.shape, **more)
    return found


@product("TopK")
def top_k(step: Step, gradients: Gradients) -> Gradients:
    """Of the values; places do not move."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph = step.given(0), step.graph
    zeros, axis = _zeros(graph, x, gradient.elem_type), step.node.axis(x.rank)
    places = step.outputs[1] if len(step.outputs) > 1 else None
    if places is None:
        raise step.refuse("does not say which elements it picks, and so has no derivative here")
    return [graph.node("ScatterElements", [zeros, places, gradient], shape=x.shape, axis=axis)]


@product("Compress")
def compress(step: Step, gradients: Gradients) -> Gradients:
    """Slices where a condition holds: by their numbers."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph = step.given(0), step.graph
    found = graph.node("NonZero", [step.given(1)], elem_type=INT64, shape=(1, None))
    places = graph.node("Reshape", [found, graph.integers([-1])], shape=(None,))
    if "axis" not in step.node.attributes:
        return [scatter_flat(gradient, places, x)]
    axis = step.node.axis(x.rank)
    shaped = graph.node("Reshape", [places, graph.integers([-1, *[1] * (x.rank - axis - 1)])], shape=None)
    spread = graph.node(
        "Expand", [shaped, graph.node("Shape", [gradient], elem_type=INT64)], shape=gradient.shape
    )
    zeros = _zeros(graph, x, gradient.elem_type)
    return [graph.node("ScatterElements", [zeros, spread, gradient], shape=x.shape, axis=axis)]
