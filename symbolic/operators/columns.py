"""Blocks of an image as columns: put together again, and convolved with the blocks deformed."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.coordinates import Ambiguous, Sampler
from symbolic.enclosures.linear import Weights, bilinear_map, each, linear_map
from symbolic.enclosures.moving_grid import samples_at
from symbolic.enclosures.rounding import UP, Array, U
from symbolic.enclosures.taps import Taps
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.arithmetic import multiply
from symbolic.operators.shapes import bounded
from symbolic.operators.windows import Window

__all__ = ["starts_of"]

Shape = tuple[int, ...]


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


def _reads_constantly(node: Node, inputs: Inputs) -> bool:
    """Whether data and bias alone move."""
    return all(isinstance(v, Const) or v is None for k, v in enumerate(inputs) if k not in (0, 3))


@operator("DeformConv", exact=_reads_constantly, homogeneous=_reads_constantly)
def deform_conv(node: Node, inputs: Inputs) -> Rule:
    """Convolution that reads between the elements, at offsets from their places."""
    x, kernel, offset = (required(node, inputs, k) for k in range(3))
    mask = inputs[4] if len(inputs) > 4 else None
    if len(x.shape) < 3 or len(kernel.shape) != len(x.shape):
        raise ModelError(f"{node.label}: its inputs do not fit each other.")
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
    starts = starts_of(node, size, taps, out)
    flat = (batched * shares, prod(taps) * prod(out))
    if isinstance(offset, Const):
        read = _deformed(node, size, starts, offset, flat)
        if isinstance(mask, Const):
            read = read.scaled(Const(mask.value.reshape(flat), mask.spread.reshape(flat)))

    def columns(batch: Batch, values: Inputs) -> Affine:
        planes = _split(batch, required(node, values), (batched * shares, channels // shares, *size))
        if isinstance(offset, Const):
            y = read.of(planes, batch)
        else:
            moved = _split(batch, required(node, values, 2), (*flat[:1], prod(taps), rank, prod(out)))
            places = [forms.add(_axis(moved, k), _still(start)) for k, start in enumerate(starts)]
            flattened = (batch.size, *flat)
            y = samples_at(planes, [Affine(*(v.reshape(flattened) for v in (u.c, u.d, u.r))) for u in places])
        if mask is None or isinstance(offset, Const) and isinstance(mask, Const):
            return y
        by = map_value(required(node, values, 4), lambda a, lead: a.reshape(*a.shape[:lead], *_column(flat)))
        return multiply(batch, y, by)

    weights = None
    if isinstance(kernel, Const):
        weights = Weights.of(kernel).arranged(lambda w: w.reshape(groups, outputs // groups, terms))

    def apply(a: Array, w: Array) -> Array:
        parts = a.reshape(len(a), batched, groups, terms, -1)
        made = np.asarray(np.matmul(w, parts))
        return made.reshape(*made.shape[:2], outputs, -1)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a = columns(batch, values)
        if weights is not None:
            y = linear_map(a, weights, each(apply), terms, batch, None)
        else:
            w = batch.lift(required(node, values, 1))
            split = (len(w.c), 1, groups, outputs // groups, terms)
            y = bilinear_map(a, Affine(*(v.reshape(split) for v in (w.c, w.d, w.r))), apply, terms)
        shape = (len(y.c), batched, outputs, *out)
        y = Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r)))
        bias = values[3] if len(values) > 3 else None
        if bias is None:
            return (y,)
        column = map_value(bias, lambda a, lead: a.reshape(*a.shape, *(1,) * rank))
        return (forms.add(y, batch.lift(column)),)

    return rule


def _column(flat: tuple[int, int]) -> tuple[int, int, int]:
    """The shape of what is the same for all channels of a share."""
    return flat[0], 1, flat[1]


def starts_of(node: Node, size: Shape, kernel: Shape, out: Shape) -> list[Array]:
    """Where each entry of the kernel (rows) is at each place (columns) before it is moved, for every axis."""
    rank = len(kernel)
    strides, dilations = (node.integers(name, [1] * rank) for name in ("strides", "dilations"))
    pads = node.integers("pads", [0] * 2 * rank)
    entries, places = (np.indices(shape).reshape(rank, -1) for shape in (kernel, out))
    for k, n in enumerate(size):
        reach = (kernel[k] - 1) * dilations[k] + 1
        if (n + pads[k] + pads[k + rank] - reach) // strides[k] + 1 != out[k]:
            raise ModelError(f"{node.label}: its offsets do not have the shape of its result.")
    return [entries[k][:, None] * dilations[k] - pads[k] + places[k] * strides[k] for k in range(rank)]


def _split(batch: Batch, value: Value, shape: Shape) -> Affine:
    """A value with all its elements for every segment, in another shape."""
    form = batch.lift(value)
    whole = (batch.size, *value.shape)
    parts = (np.broadcast_to(v, whole).reshape(batch.size, *shape) for v in (form.c, form.d, form.r))
    return Affine(*parts)


def _axis(offset: Affine, k: int) -> Affine:
    """The offsets along an axis."""
    return Affine(*(v[:, :, :, k] for v in (offset.c, offset.d, offset.r)))


def _still(array: Array) -> Affine:
    zero = np.zeros((1, 1, *array.shape))
    return Affine(zero + array, zero, zero)


def _deformed(node: Node, size: Shape, starts: list[Array], offset: Const, flat: tuple[int, int]) -> Taps:
    """What each entry of the kernel reads at each place, for every image and share of the channels."""
    how = Sampler("linear", "zeros", align=True)
    spread = (flat[0], len(starts[0]), len(size), -1)
    moved, error = offset.value.reshape(spread), offset.spread.reshape(spread)
    found: Taps | None = None
    for k, n in enumerate(size):
        u = starts[k] + moved[:, :, k]
        bound = (error[:, :, k] + np.abs(u) * (2 * U)) * UP  # a sum does not underflow
        try:
            axis = how.taps(u.reshape(flat), bound.reshape(flat), n)
        except Ambiguous:
            raise ModelError(f"{node.label}: an offset is not known exactly enough.") from None
        found = axis if found is None else found.times(axis, n)
    if found is None:
        raise ModelError(f"{node.label} has no spatial axis.")
    return found
