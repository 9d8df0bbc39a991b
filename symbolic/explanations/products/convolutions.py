"""Convolutions and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.graph import Graph, Tensor
from symbolic.operators.windows import Window, transposed_window, window_of

__all__ = ["Geometry", "convolved", "geometry_of", "spread"]


@dataclass(frozen=True)
class Geometry:
    """How a kernel slides over an input of a known size."""

    window: Window
    group: int

    @property
    def ends(self) -> tuple[int, ...]:
        """Padding behind the last window, negative where elements are left over."""
        w = self.window
        reach = [(k - 1) * d + 1 for k, d in zip(w.kernel, w.dilations, strict=True)]
        return tuple(
            (out - 1) * s + r - begin - n
            for out, s, r, begin, n in zip(w.size_out, w.strides, reach, w.begin, w.size_in, strict=True)
        )


def geometry_of(step: Step, kernel: Sequence[int], transposed: bool = False) -> Geometry:
    """The geometry of a node; of a transposed convolution that of the convolution it transposes."""
    x = step.given()
    size = tuple(x.length(axis) for axis in range(2, x.rank))
    group = int(step.node.attributes.get("group", 1))
    window = (transposed_window if transposed else window_of)(step.node, size, tuple(kernel))
    return Geometry(window, group)


def convolved(x: Tensor, weight: Tensor, geometry: Geometry, channels: int) -> Tensor:
    """The convolution, with padding made explicit."""
    w = geometry.window
    begin, end = list(w.begin), list(geometry.ends)
    if min(begin + end) < 0:
        x, begin, end = _padded(x, begin, end)
    return x.graph.node(
        "Conv",
        [x, weight],
        shape=(x.known_shape[0], channels, *w.size_out),
        dilations=list(w.dilations),
        group=geometry.group,
        kernel_shape=list(w.kernel),
        pads=begin + end,
        strides=list(w.strides),
    )


def _padded(x: Tensor, begin: list[int], end: list[int]) -> tuple[Tensor, list[int], list[int]]:
    """The input cut where padding is negative."""
    cut = [min(b, 0) for b in begin], [min(e, 0) for e in end]
    cropped = x.graph.pad(x, [0, 0, *cut[0]], [0, 0, *cut[1]])
    return cropped, [max(b, 0) for b in begin], [max(e, 0) for e in end]


def spread(gradient: Tensor, weight: Tensor, geometry: Geometry, channels: int) -> Tensor:
    """The transpose of a convolution: what each element of its input gets back from the windows that saw it.

    With strides of 1 it is a convolution with the turned kernel, which runtimes do faster.
    """
    w, graph = geometry.window, gradient.graph
    begin, end = list(w.begin), list(geometry.ends)
    shape = (gradient.known_shape[0], channels, *w.size_in)
    reach = [(k - 1) * d for k, d in zip(w.kernel, w.dilations, strict=True)]
    turned = [r - b for r, b in zip(reach, begin, strict=True)] + [
        r - e for r, e in zip(reach, end, strict=True)
    ]
    value = graph.value(weight.name)
    if set(w.strides) == {1} and min(turned) >= 0 and value is not None:
        grouped = np.flip(value, tuple(range(2, value.ndim)))
        grouped = grouped.reshape(geometry.group, -1, *value.shape[1:]).swapaxes(1, 2)
        flipped = graph.constant(grouped.reshape(-1, *grouped.shape[2:]), weight.elem_type)
        return graph.node(
            "Conv",
            [gradient, flipped],
            shape=shape,
            dilations=list(w.dilations),
            group=geometry.group,
            kernel_shape=list(w.kernel),
            pads=turned,
            strides=list(w.strides),
        )
    # what was never seen lies behind the end: output_padding makes room for it, Pad where that is not allowed
    room = [max(-e, 0) for e in end]
    inner = [min(r, s - 1) if s > 1 else 0 for r, s in zip(room, w.strides, strict=True)]
    size = [n - r + i for n, r, i in zip(w.size_in, room, inner, strict=True)]
    negative = [max(-b, 0) for b in begin]
    made = graph.node(
        "ConvTranspose",
        [gradient, weight],
        shape=(*shape[:2], *(n - m for n, m in zip(size, negative, strict=True))),
        dilations=list(w.dilations),
        group=geometry.group,
        kernel_shape=list(w.kernel),
        output_padding=inner,
        pads=[max(b, 0) for b in begin] + [max(e, 0) for e in end],
        strides=list(w.strides),
    )
    rest = [r - i for r, i in zip(room, inner, strict=True)]
    if any(rest) or any(negative):
        made = graph.pad(made, [0, 0, *negative], [0, 0, *rest])
    return made


def _weight_gradient(x: Tensor, gradient: Tensor, geometry: Geometry, weight: Tensor) -> Tensor:
    """Sum over images and places of what each kernel entry saw times the gradient there."""
    graph, w = x.graph, geometry.window
    begin, end = list(w.begin), list(geometry.ends)
    padded = graph.pad(x, [0, 0, *begin], [0, 0, *end])
    groups, axes = geometry.group, list(range(2, x.rank))
    outs, ins = int(weight.length(0)) // groups, int(weight.length(1))
    count = prod(w.size_out)
    flat = graph.node(
        "Reshape",
        [gradient, graph.integers([-1, groups, outs, count])],
        shape=(gradient.known_shape[0], groups, outs, count),
    )
    taps = []
    for offset in np.ndindex(*w.kernel):
        starts = [o * d for o, d in zip(offset, w.dilations, strict=True)]
        stops = [a + (n - 1) * s + 1 for a, n, s in zip(starts, w.size_out, w.strides, strict=True)]
        given = [graph.integers(v) for v in (starts, stops, axes, list(w.strides))]
        seen = graph.node("Slice", [padded, *given], shape=(*x.known_shape[:2], *w.size_out))
        seen = graph.node(
            "Reshape",
            [seen, graph.integers([-1, groups, ins, count])],
            shape=(x.known_shape[0], groups, ins, count),
        )
        taps.append(graph.node("Einsum", [flat, seen], shape=(groups, outs, ins), equation="ngot,ngit->goi"))
    stacked = [
        graph.node("Unsqueeze", [tap, graph.integers([3])], shape=(groups, outs, ins, 1)) for tap in taps
    ]
    joined = graph.node("Concat", stacked, shape=(groups, outs, ins, len(taps)), axis=3)
    return graph.node(
        "Reshape", [joined, graph.integers([groups * outs, ins, *w.kernel])], shape=weight.shape
    )


def _bias_gradient(gradient: Tensor) -> Tensor:
    return gradient.graph.sum(gradient, [0, *range(2, gradient.rank)], keep=False)


@product("Conv")
def convolution(step: Step, gradients: Gradients) -> Gradients:
    gradient = gradients[0]
    if gradient is None:
        return []
    x, weight = step.given(0), step.given(1)
    kernel = [weight.length(axis) for axis in range(2, weight.rank)]
    geometry = geometry_of(step, kernel)
    return [
        spread(gradient, weight, geometry, x.length(1)) if step.wants(0) else None,
        _weight_gradient(x, gradient, geometry, weight) if step.wants(1) else None,
        _bias_gradient(gradient) if step.wants(2) else None,
    ]


@product("ConvTranspose")
def transposed_convolution(step: Step, gradients: Gradients) -> Gradients:
    """Of the input, the convolution that it transposes."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, weight = step.given(0), step.given(1)
    kernel = [weight.length(axis) for axis in range(2, weight.rank)]
    geometry = geometry_of(step, kernel, transposed=True)
    return [
        convolved(gradient, weight, geometry, x.length(1)) if step.wants(0) else None,
        _weight_gradient(gradient, x, geometry, weight) if step.wants(1) else None,
        _bias_gradient(gradient) if step.wants(2) else None,
    ]


def ones_kernel(graph: Graph, channels: int, kernel: Sequence[int], elem_type: int) -> Tensor:
    """A kernel of ones for every channel by itself."""
    return graph.constant(np.ones((channels, 1, *kernel)), elem_type)
