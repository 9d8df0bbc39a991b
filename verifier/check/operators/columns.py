"""Col2Im and DeformConv: blocks of an image as columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.contractions import contract
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.operators.grids import samples_at
from verifier.check.operators.registry import Context, Node, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather
from verifier.check.operators.taps import Reader, Taps, constant, weighted

__all__: list[str] = []


def _reshaped(form: Form, shape: tuple[int, ...]) -> Form:
    return form.each(lambda a: a.reshape(*shape, a.shape[-1]))


@operator("Col2Im", still=(1, 2))
def _col2im(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x = inputs[0]
    image, block = (whole_numbers(node, v).reshape(-1).tolist() for v in inputs[1:3])
    rank = len(image)
    strides, dilations = (node.get(name) or [1] * rank for name in ("strides", "dilations"))
    pads = node.get("pads") or [0] * 2 * rank
    if len(block) != rank or min(*image, *block, *strides, *dilations) < 1 or x.shape[1] % math.prod(block):
        raise node.refuse("shapes that do not fit")
    channels = x.shape[1] // math.prod(block)
    shape = (x.shape[0], channels, *image)
    bounded(node, (*shape, *block))
    ends = list(zip(pads[:rank], pads[rank:], strict=True))
    counts = [
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, d, pad in zip(image, block, strides, dilations, ends, strict=True)
    ]
    if min(counts) < 1 or math.prod(counts) != x.shape[2]:
        raise node.refuse("it does not have the blocks of the image")

    def table() -> Array:
        """For every entry of a block, and every element of the image, which block brings it; -1: none."""
        at = np.zeros((1, 1), dtype=np.int64)
        for axis in range(rank):
            far = np.arange(image[axis]) + ends[axis][0] - (np.arange(block[axis]) * dilations[axis])[:, None]
            own = np.where(far % strides[axis] == 0, far // strides[axis], -1)
            own = np.where((own >= 0) & (own < counts[axis]), own, -1)
            both = at[:, None, :, None] * counts[axis] + own[None, :, None, :]
            both = np.where((at[:, None, :, None] < 0) | (own[None, :, None, :] < 0), -1, both)
            at = both.reshape(len(at) * len(own), -1)
        rows = np.arange(math.prod(x.shape[:2])).reshape(-1, len(at)) * x.shape[2]  # (planes, entries)
        index = np.where(at < 0, math.prod(x.shape), rows[:, :, None] + at)
        return np.asarray(np.moveaxis(index, 1, 0).reshape(1, len(at), -1))

    def ones() -> Weights:
        return Weights.of(ctx.ar, ctx.ar.constant(np.ones((1, 1, math.prod(block)))))

    y = linear(ctx.ar, ctx.once(node, ones), x, ctx.once(node, table, exact=True))
    return _reshaped(y, shape)


@operator("DeformConv")
def _deform_conv(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x, w, offset, bias, mask = [*inputs, None, None][:5]
    kernel, size, out = w.shape[2:], x.shape[2:], offset.shape[2:]
    groups, shares, rank = node.get("group"), node.get("offset_group"), len(size)
    batch, channels, taps = x.shape[0], x.shape[1], math.prod(kernel)
    if (
        min(groups, shares, *kernel, *size) < 1
        or channels != w.shape[1] * groups
        or w.shape[0] % groups
        or channels % shares
    ):
        raise node.refuse("weights and input do not fit")
    if offset.shape[:2] != (batch, shares * taps * rank) or len(out) != rank:
        raise node.refuse("offsets and input do not fit")
    if mask is not None and mask.shape != (batch, shares * taps, *out):
        raise node.refuse("the mask and the input do not fit")
    bounded(node, (batch, channels, taps, *out))
    each, positions = channels // shares, math.prod(out)

    moved = [k < len(node.inputs) and node.inputs[k] in ctx.moves for k in range(5)]

    def constants() -> tuple[Any, Weights | None]:
        """Of what stands still: where is read, with which weights, and the kernel."""
        read, kernels = None, None
        if not moved[2]:
            read = _deformed(node, x.shape, kernel, out, offset, None if moved[4] else mask).weights(
                ctx, node
            )
        if not moved[1]:
            kernels = Weights.of(ctx.ar, w.each(lambda a: a.reshape(groups, w.shape[0] // groups, -1, 1)))
        return read, kernels

    read, kernels = ctx.once(node, constants)
    if read is not None:
        first = np.arange(batch * shares)[:, None] * each + np.arange(each)  # planes of each image and share
        planes = np.repeat(first * math.prod(size), taps * positions, axis=0)
        columns = weighted(ctx, node, x, read, planes)
    else:
        columns = _read_anywhere(ctx, node, x, kernel, offset, shares)
    if mask is not None and (moved[2] or moved[4]):
        columns = ctx.product(columns, _reshaped(mask, (-1, 1)))
    index = np.arange(batch * channels * taps * positions)
    index = np.moveaxis(index.reshape(batch, shares, taps, positions, each), 4, 2)
    index = np.moveaxis(index.reshape(batch, groups, -1, positions), 0, 2).reshape(
        groups, -1, batch * positions
    )
    if kernels is not None:
        y = linear(ctx.ar, kernels, columns, index)
    elif w.degree + columns.degree > 1:
        raise NotHomogeneous(node.op)
    else:
        y = contract(ctx.ar, _reshaped(w, (groups, w.shape[0] // groups, -1)), gather(ctx, [columns], index))  # type: ignore[arg-type]
    y = _reshaped(y, (w.shape[0], batch, *out)).each(lambda a: np.moveaxis(a, 0, 1))
    if bias is None:
        return y
    return ctx.ar.add(*ctx.alike(y, _reshaped(bias, (-1, *(1,) * rank))))


def _read_anywhere(ctx: Context, node: Node, x: Form, kernel: Array, offset: Form, shares: int) -> Form:
    """What every entry of the kernel reads where the offsets move: rows for each image, share, entry and
    position, columns for the channels of the share.
    """
    size, rank, taps, out = x.shape[2:], len(kernel), math.prod(kernel), offset.shape[2:]
    split = _reshaped(offset, (x.shape[0] * shares, taps, rank, math.prod(out)))
    places = []
    for k, start in enumerate(_starts(node, size, kernel, out)):
        u = ctx.ar.add(*ctx.alike(split.each(lambda a, k=k: a[:, :, k]), ctx.ar.constant(start)))
        places.append(_reshaped(u, (u.shape[0], -1)))
    readers = [Reader(node, n, b"linear", b"zeros", False) for n in size]
    planes = _reshaped(x, (x.shape[0] * shares, x.shape[1] // shares, *size))
    found = samples_at(ctx, node, planes, places, readers)
    return found.each(lambda a: np.moveaxis(a, 1, 2).reshape(-1, found.shape[1], a.shape[-1]))


def _starts(node: Node, size: Any, kernel: Any, out: Any) -> list[Array]:
    """Where each entry of the kernel (rows) reads at each position (columns) before offsets, by axis."""
    rank = len(kernel)
    strides, dilations = (node.get(name) or [1] * rank for name in ("strides", "dilations"))
    pads = node.get("pads") or [0] * 2 * rank
    for k, n in enumerate(size):
        if strides[k] < 1 or dilations[k] < 1:
            raise node.refuse("a window does not move")
        room = n + pads[k] + pads[k + rank] - dilations[k] * (kernel[k] - 1) - 1
        if room < 0 or room // strides[k] + 1 != out[k]:
            raise node.refuse("the offsets do not have the shape of the result")
    entries, places = (np.indices(grid).reshape(rank, -1) for grid in (kernel, out))
    return [entries[k][:, None] * dilations[k] + places[k] * strides[k] - pads[k] for k in range(rank)]


def _deformed(
    node: Node, shape: tuple[int, ...], kernel: Any, out: Any, offset: Form, mask: Form | None
) -> Taps:
    """What every entry of the kernel reads at every position, for each image and share of the channels."""
    rank, size = len(kernel), shape[2:]
    starts = _starts(node, size, kernel, out)
    c, r, e = constant(node, offset)
    unit = max(1, -e)  # coordinates are in units of 2**-unit
    c, r = (a.reshape(-1, math.prod(kernel), rank, math.prod(out)) << (e + unit) for a in (c, r))
    found: Taps | None = None
    for k, n in enumerate(size):
        u = c[:, :, k] + (starts[k].astype(object) << unit)
        read = Reader(node, n, b"linear", b"zeros", False).read(u.reshape(-1), r[:, :, k].reshape(-1), unit)
        found = read if found is None else found.along(read, n)
    if mask is not None:
        factor, error, e = constant(node, mask)
        found = found.times(factor.reshape(-1), error.reshape(-1), e)  # type: ignore[union-attr]
    return found  # type: ignore[return-value]
