"""Pooling: means, maxima and norms over windows."""

from __future__ import annotations

import numpy as np

from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.graph import Tensor
from symbolic.explanations.products.convolutions import Geometry, geometry_of, ones_kernel, spread

__all__ = ["average_counts"]


def _geometry(step: Step) -> Geometry:
    found = geometry_of(step, step.node.integers("kernel_shape", ()))
    return Geometry(found.window, step.given().length(1))


def _unpooled(step: Step, gradient: Tensor) -> Tensor:
    """The sum over the windows that saw an element."""
    geometry = _geometry(step)
    kernel = ones_kernel(step.graph, geometry.group, geometry.window.kernel, gradient.elem_type)
    return spread(gradient, kernel, geometry, geometry.group)


def average_counts(step: Step) -> np.ndarray:
    """By how many elements a mean over a window divides."""
    w = _geometry(step).window
    padded = bool(step.node.flag("count_include_pad"))
    ends = step.node.integers("pads", [0] * 2 * len(w.kernel))[len(w.kernel) :]
    if step.node.text("auto_pad") in ("SAME_UPPER", "SAME_LOWER"):
        ends = tuple(max(e, 0) for e in _geometry(step).ends)
    counts = np.ones(())
    for axis, (k, s, d, begin, n, out) in enumerate(
        zip(w.kernel, w.strides, w.dilations, w.begin, w.size_in, w.size_out, strict=True)
    ):
        places = np.arange(out)[:, None] * s - begin + np.arange(k)[None] * d
        low, high = (-begin, n + ends[axis]) if padded else (0, n)
        mine = ((places >= low) & (places < high)).sum(axis=1)
        counts = np.multiply.outer(counts, mine)
    return np.asarray(counts)


@product("AveragePool")
def average_pool(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    counts = average_counts(step)
    if (counts == counts.flat[0]).all():
        return [_unpooled(step, gradient / float(counts.flat[0]))]
    return [_unpooled(step, gradient / np.maximum(counts, 1))]


@product("GlobalAveragePool")
def global_average_pool(step: Step, gradients: Gradients) -> Gradients:
    gradient, x = gradients[0], step.given()
    if gradient is None:
        return []
    lengths = [x.known_shape[axis] for axis in range(2, x.rank)]
    if all(isinstance(n, int) for n in lengths):
        return [step.graph.expand(gradient / float(np.prod(lengths)), x)]  # type: ignore[arg-type]
    graph = step.graph
    part = graph.node(
        "Slice", [graph.shape_of(x), graph.integers([2]), graph.integers([x.rank])], elem_type=7
    )
    count = graph.node("ReduceProd", [part], shape=(), keepdims=0).cast(gradient.elem_type)
    return [graph.expand(gradient / count, x)]


def _pool_norm(step: Step, gradient: Tensor, unpool: bool) -> Tensor:
    """Of (sum |x|^p)^(1/p): sign(x) |x|^(p - 1) times what comes back of gradient y^(1 - p)."""
    x, y, p = step.given(), step.outputs[0], int(step.node.attributes.get("p", 2))
    graph = step.graph
    sign = graph.same("Sign", x)
    if p == 1:
        back = gradient
    else:
        safe = graph.where(y > 0.0, y, 1.0, like=y)
        back = graph.where(y > 0.0, gradient / _power(safe, p - 1), 0.0, like=gradient)
    came = _unpooled(step, back) if unpool else graph.expand(back, x)
    size = graph.same("Abs", x)
    return came * (sign if p == 1 else x if p == 2 else sign * _power(size, p - 1))


def _power(x: Tensor, exponent: int) -> Tensor:
    found = x
    for _ in range(exponent - 1):
        found = found * x
    return found


@product("LpPool")
def lp_pool(step: Step, gradients: Gradients) -> Gradients:
    return [None if gradients[0] is None else _pool_norm(step, gradients[0], True)]


@product("GlobalLpPool")
def global_lp_pool(step: Step, gradients: Gradients) -> Gradients:
    return [None if gradients[0] is None else _pool_norm(step, gradients[0], False)]


@product("MaxUnpool")
def max_unpool(step: Step, gradients: Gradients) -> Gradients:
    """Elements that were put somewhere get the gradient from there."""
    gradient = gradients[0]
    if gradient is None:
        return []
    graph, places = step.graph, step.given(1)
    if step.has(2):
        raise step.refuse("has an output shape, and so has no derivative here")
    flat = graph.node("Reshape", [gradient, graph.integers([-1])], shape=(None,))
    picked = graph.node("Gather", [flat, places], shape=places.shape, axis=0)
    return [picked]
