"""Sums, means, extrema, products and norms over axes; running sums; softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.graph import Shape, Tensor
from symbolic.explanations.products.maxima import to_the_first

__all__ = ["axes_of", "opened", "to_the_winner"]


def axes_of(step: Step) -> list[int]:
    """The axes of a reduction, counted from the front."""
    rank = step.given().rank
    axes = step.node.attributes.get("axes")
    if axes is None and step.has(1):
        value = step.graph.value(step.given(1).name)
        if value is None:
            raise step.refuse("reduces over axes that are no constant, and so has no derivative here")
        axes = value.reshape(-1).tolist()
    if axes is None or len(axes) == 0:
        return [] if step.node.flag("noop_with_empty_axes") else list(range(rank))
    return sorted({step.node.axis(rank, int(a)) for a in axes})


def opened(step: Step, reduced: Tensor, axes: Sequence[int]) -> Tensor:
    """A reduced tensor with its axes kept at length 1."""
    if step.node.flag("keepdims") or not axes:
        return reduced
    shape: Shape = tuple(1 if k in axes else n for k, n in enumerate(step.given().known_shape))
    return step.graph.node("Unsqueeze", [reduced, step.graph.integers(list(axes))], shape=shape)


def _count(step: Step, x: Tensor, axes: Sequence[int]) -> Tensor:
    """How many elements are reduced to one."""
    lengths = [x.known_shape[a] for a in axes]
    if all(isinstance(n, int) for n in lengths):
        return x.like(float(np.prod(lengths)) if lengths else 1.0)  # type: ignore[arg-type]
    graph = step.graph
    picked = graph.node("Gather", [graph.shape_of(x), graph.integers(list(axes))], shape=(len(axes),), axis=0)
    return graph.node("ReduceProd", [picked], shape=(), keepdims=0).cast(x.elem_type)


def _spread(step: Step, gradients: Gradients) -> tuple[Tensor, Tensor, Tensor, list[int]] | None:
    """Input, output and gradient, the latter two with the reduced axes at length 1, and these axes."""
    gradient = gradients[0]
    if gradient is None:
        return None
    axes = axes_of(step)
    return step.given(), opened(step, step.outputs[0], axes), opened(step, gradient, axes), axes


@product("ReduceSum")
def reduce_sum(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    return [] if found is None else [step.graph.expand(found[2], found[0])]


@product("ReduceMean")
def reduce_mean(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    if found is None:
        return []
    x, _, gradient, axes = found
    return [step.graph.expand(gradient / _count(step, x, axes), x)]


@product("ReduceL1")
def reduce_l1(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    return [] if found is None else [step.graph.same("Sign", found[0]) * found[2]]


@product("ReduceL2")
def reduce_l2(step: Step, gradients: Gradients) -> Gradients:
    """x / |x|, and 0 at 0."""
    found = _spread(step, gradients)
    if found is None:
        return []
    x, y, gradient, _ = found
    where = step.graph.where
    return [x * where(y > 0.0, gradient / where(y > 0.0, y, 1.0, like=y), 0.0, like=y)]


@product("ReduceSumSquare")
def reduce_sum_square(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    return [] if found is None else [found[0] * (found[2] * 2.0)]


@product("ReduceLogSum")
def reduce_log_sum(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    if found is None:
        return []
    x, y, gradient, _ = found
    return [step.graph.expand(gradient * step.graph.same("Exp", -y), x)]


@product("ReduceLogSumExp")
def reduce_log_sum_exp(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    if found is None:
        return []
    x, y, gradient, _ = found
    return [gradient * step.graph.same("Exp", x - y)]


@product("ReduceProd")
def reduce_product(step: Step, gradients: Gradients) -> Gradients:
    """The product of the others; where one factor is 0 it alone has a slope, with two none has."""
    found = _spread(step, gradients)
    if found is None:
        return []
    x, y, gradient, axes = found
    graph = step.graph
    zero = graph.node("Equal", [x, x.like(0.0)], shape=x.shape, elem_type=9)
    filled = graph.where(zero, 1.0, x, like=x)
    rest = graph.node("ReduceProd", [filled, graph.integers(axes)], shape=y.shape, keepdims=1)
    count = graph.sum(zero.cast(x.elem_type), axes, keep=True)
    alone = graph.where(zero & (count < 1.5), rest, 0.0, like=x)
    return [gradient * graph.where(count > 0.5, alone, rest / filled, like=x)]


@product("ReduceMax", "ReduceMin")
def reduce_extremum(step: Step, gradients: Gradients) -> Gradients:
    found = _spread(step, gradients)
    if found is None:
        return []
    x, _, gradient, axes = found
    return [to_the_winner(step, gradient, x, axes, least=step.node.op_type == "ReduceMin")]


def to_the_winner(step: Step, gradient: Tensor, x: Tensor, axes: Sequence[int], least: bool) -> Tensor:
    """The gradient (reduced axes at length 1) at the first greatest element, zero elsewhere."""
    graph = step.graph
    if not axes:
        return gradient
    rest = [k for k in range(x.rank) if k not in axes]
    order = [*rest, *axes]
    moved = x if order == list(range(x.rank)) else graph.transpose(x, order)
    lead = tuple(x.known_shape[k] for k in rest)
    whole = graph.shape_of(moved)
    if rest:
        front = graph.node("Slice", [whole, graph.integers([0]), graph.integers([len(rest)])], elem_type=7)
        wide = graph.node("Concat", [front, graph.integers([-1])], axis=0, elem_type=7)
    else:
        wide = graph.integers([-1])
    lengths = [x.known_shape[k] for k in axes]
    count = prod(lengths) if all(isinstance(n, int) for n in lengths) else None  # type: ignore[arg-type]
    flat = graph.node("Reshape", [moved, wide], shape=(*lead, count))
    turned = gradient if order == list(range(x.rank)) else graph.transpose(gradient, order)
    front = (
        graph.node("Concat", [front, graph.integers([1])], axis=0, elem_type=7)
        if rest
        else graph.integers([1])
    )
    given = graph.node("Reshape", [turned, front], shape=(*lead, 1))
    made = to_the_first(graph, given, flat, len(rest), least)
    made = graph.node("Reshape", [made, whole], shape=moved.shape)
    back = [order.index(k) for k in range(x.rank)]
    return made if order == list(range(x.rank)) else graph.transpose(made, back)


@product("CumSum")
def cumulative_sum(step: Step, gradients: Gradients) -> Gradients:
    """The running sum from the other side."""
    gradient = gradients[0]
    if gradient is None:
        return []
    more = {"exclusive": int(step.node.flag("exclusive")), "reverse": int(not step.node.flag("reverse"))}
    return [step.graph.node("CumSum", [gradient, step.given(1)], shape=gradient.shape, **more)]


@product("Softmax")
def softmax(step: Step, gradients: Gradients) -> Gradients:
    """y (g - sum of g y)."""
    gradient = gradients[0]
    if gradient is None:
        return []
    y = step.outputs[0]
    axis = step.node.axis(y.rank)
    return [y * (gradient - step.graph.sum(gradient * y, [axis], keep=True))]


@product("LogSoftmax")
def log_softmax(step: Step, gradients: Gradients) -> Gradients:
    """g - softmax times the sum of g."""
    gradient = gradients[0]
    if gradient is None:
        return []
    y = step.outputs[0]
    axis = step.node.axis(y.rank)
    return [gradient - step.graph.same("Exp", y) * step.graph.sum(gradient, [axis], keep=True)]
