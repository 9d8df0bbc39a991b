"""Blocks of an image as columns: put together again, and convolved with the blocks deformed."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from symbolic.enclosures.coordinates import Ambiguous, Sampler
from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.rounding import UP, Array, U
from symbolic.enclosures.taps import Taps
from symbolic.enclosures.values import Affine, Batch, Const, Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.shapes import bounded
from symbolic.operators.windows import Window

__all__: list[str] = []


@operator("Col2Im")
def col2im(node: Node, inputs: Inputs) -> Rule:
    """The sum of blocks that overlap, each in its place in the image."""
    x = required(node, inputs)
    given = [constant(node, inputs, k, what) for k, what in ((1, "image shape"), (2, "block shape"))]
    if given[0] is None or given[1] is None or len(x.shape) != 3:
        raise ModelError(f"{node.label}: its input and shapes do not fit.")
    image, block = (tuple(int(v) for v in g.value.reshape(-1)) for g in given if g is not None)
    rank = len(image)
    strides, dilations = (node.integers(name, [1] * rank) for name in ("strides", "dilations"))
    pads = node.integers("pads", [0] * 2 * rank)
    if len(block) != rank or min(*block, *strides, *dilations, *image) < 1:
        raise ModelError(f"{node.label}: its shapes do not fit.")
    counts = tuple(
        (n + pads[k] + pads[k + rank] - dilations[k] * (block[k] - 1) - 1) // strides[k] + 1
        for k, n in enumerate(image)
    )
    channels = x.shape[1] // prod(block)
    if x.shape[1] != channels * prod(block) or x.shape[2] != prod(counts) or min(counts) < 1:
        raise ModelError(f"{node.label}: its input does not have the blocks of the image.")
    bounded(node, [x.shape[0], channels, *image])
    window = Window(block, strides, dilations, pads[:rank], image, counts)
    one = Weights.of(Const(np.ones(())))

    def apply(a: Array, w: Array) -> Array:
        y = np.zeros((*a.shape[:2], channels, *image))
        parts = a.reshape(*a.shape[:2], channels, *block, *counts)
        lead: tuple[Any, ...] = (slice(None),) * 3
        for offset, source, target in window.places:
            y[(*lead, *target)] += parts[(*lead, *offset, *source)]
        return np.asarray(y * w)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (
            linear_map(batch.lift(required(node, values)), one, each(apply), prod(block) + 1, batch, None),
        )

    return rule


@operator("DeformConv")
def deform_conv(node: Node, inputs: Inputs) -> Rule:
    """Convolution that reads between the elements, at constant offsets from their places."""
    x = required(node, inputs)
    kernel, offset = constant(node, inputs, 1, "kernel"), constant(node, inputs, 2, "offsets")
    bias, mask = constant(node, inputs, 3, "bias"), constant(node, inputs, 4, "mask")
    if kernel is None or offset is None or len(x.shape) < 3:
        raise ModelError(f"{node.label} lacks its kernel or its offsets.")
    size, taps, out = x.shape[2:], kernel.shape[2:], offset.shape[2:]
    groups, shares = int(node.attributes["group"]), int(node.attributes["offset_group"])
    batched, channels, rank = x.shape[0], x.shape[1], len(size)
    outputs, terms = kernel.shape[0], prod(kernel.shape[1:])
    if (
        min(groups, shares) < 1
        or channels % shares
        or kernel.shape[1] * groups != channels
        or outputs % groups
        or len(out) != rank
        or offset.shape[:2] != (batched, shares * prod(taps) * rank)
        or mask is not None
        and mask.shape != (batched, shares * prod(taps), *out)
    ):
        raise ModelError(f"{node.label}: its inputs do not fit each other.")
    bounded(node, [batched, channels, *taps, *out])
    read = _deformed(node, x.shape, taps, offset, shares)
    if mask is not None:
        flat = (batched * shares, -1)
        read = read.scaled(Const(mask.value.reshape(flat), mask.spread.reshape(flat)))
    weights = Weights.of(kernel).arranged(lambda w: w.reshape(groups, outputs // groups, terms))
    shift = bias
    if bias is not None:
        spread = None if bias.radius is None else bias.radius.reshape(-1, 1)
        shift = Const(bias.value.reshape(-1, 1), spread)

    def apply(a: Array, w: Array) -> Array:
        parts = a.reshape(len(a), batched, groups, terms, -1)
        return np.asarray(np.matmul(w, parts)).reshape(len(a), batched, outputs, -1)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        form = batch.lift(required(node, values))
        planes = (len(form.c), batched * shares, channels // shares, *size)
        columns = read.of(Affine(*(v.reshape(planes) for v in (form.c, form.d, form.r))), batch)
        y = linear_map(columns, weights, each(apply), terms, batch, shift)
        shape = (len(form.c), batched, outputs, *out)
        return (Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r))),)

    return rule


def _deformed(
    node: Node, shape: tuple[int, ...], kernel: tuple[int, ...], offset: Const, shares: int
) -> Taps:
    """What each entry of the kernel reads at each place, for every image and share of the channels."""
    rank, out = len(kernel), offset.shape[2:]
    strides, dilations = (node.integers(name, [1] * rank) for name in ("strides", "dilations"))
    pads = node.integers("pads", [0] * 2 * rank)
    how = Sampler("linear", "zeros", align=True)
    spread = (shape[0] * shares, *kernel, rank, *out)
    moved, error = offset.value.reshape(spread), offset.spread.reshape(spread)
    found: Taps | None = None
    for k, size in enumerate(shape[2:]):
        steps = np.arange(kernel[k]) * dilations[k] - pads[k]
        reach = (kernel[k] - 1) * dilations[k] + 1
        if (size + pads[k] + pads[k + rank] - reach) // strides[k] + 1 != out[k]:
            raise ModelError(f"{node.label}: its offsets do not have the shape of its result.")
        start = steps.reshape(_along(k, 2 * rank)) + (np.arange(out[k]) * strides[k]).reshape(
            _along(rank + k, 2 * rank)
        )
        own: tuple[Any, ...] = (*(slice(None),) * (rank + 1), k)
        u = start + moved[own]
        bound = (error[own] + np.abs(u) * (2 * U)) * UP  # a sum does not underflow
        try:
            axis = how.taps(u.reshape(spread[0], -1), bound.reshape(spread[0], -1), size)
        except Ambiguous:
            raise ModelError(f"{node.label}: an offset is not known exactly enough.") from None
        found = axis if found is None else found.times(axis, size)
    if found is None:
        raise ModelError(f"{node.label} has no spatial axis.")
    return found


def _along(axis: int, rank: int) -> list[int]:
    """A shape for numbers along one axis."""
    return [-1 if k == axis else 1 for k in range(rank)]
