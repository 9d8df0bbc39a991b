"""Convolutions, their transposes, and averages over windows as layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.convolution import counts
from symbolic.operators.windows import Place, Window, transposed_window, whole_window, window_of
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import moving, standing, total
from symbolic.pieces.operators.products import matrix_product
from symbolic.pieces.program import Ids, Tap

__all__ = ["convolved", "shifted", "windowed"]

Factor = Units | Const


@lowers("Conv")
def conv(b: Builder, node: Node, given: Given) -> list[Units]:
    """With a constant kernel, or of a constant with a moving one."""
    x, kernel = _both(node, given)
    return b.tensor(convolved(b, node, x, kernel, _bias(given)))


def convolved(b: Builder, node: Node, x: Factor, kernel: Factor, bias: Factor | None) -> Ids:
    """Every entry of a constant kernel is a matrix between channels."""
    groups = int(node.attributes["group"])
    window = window_of(node, x.shape[2:], kernel.shape[2:])
    if isinstance(x, Units) and isinstance(kernel, Const):
        weights = (
            b.exactly(kernel).reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:]).swapaxes(1, 2)
        )
        return _spread(b, x.ids, weights, bias, window.places, window.size_out)
    rows = _reshaped(kernel, (1, groups, kernel.shape[0] // groups, prod(kernel.shape[1:])))
    return _by_patches(b, x, rows, bias, window.places, kernel.shape[2:], window.size_out)


@lowers("ConvTranspose")
def conv_transpose(b: Builder, node: Node, given: Given) -> list[Units]:
    """The same with outputs and inputs of every entry exchanged."""
    x, kernel = _both(node, given)
    groups = int(node.attributes["group"])
    window = transposed_window(node, x.shape[2:], kernel.shape[2:])
    places = [(offset, ins, outs) for offset, outs, ins in window.places]
    if isinstance(x, Units) and isinstance(kernel, Const):
        weights = b.exactly(kernel).reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
        return b.tensor(_spread(b, x.ids, weights, _bias(given), places, window.size_in))
    split = _reshaped(kernel, (1, groups, kernel.shape[0] // groups, kernel.shape[1], prod(kernel.shape[2:])))
    rows = _moved(
        split, lambda v: np.moveaxis(v, 3, 2).reshape(*v.shape[:2], v.shape[3], v.shape[2] * v.shape[4])
    )
    return b.tensor(_by_patches(b, x, rows, _bias(given), places, kernel.shape[2:], window.size_in))


def _both(node: Node, given: Given) -> tuple[Factor, Factor]:
    x, kernel = given[0], given[1]
    if x is None or kernel is None:
        raise ModelError(f"{node.label} lacks its input or its kernel.")
    return x, kernel


def _bias(given: Given) -> Factor | None:
    return given[2] if len(given) > 2 else None


def _moved(value: Factor, move: Any) -> Factor:
    if isinstance(value, Units):
        return Units(move(value.ids))
    return Const(move(value.value), None if value.radius is None else move(value.radius))


def _reshaped(value: Factor, shape: tuple[int, ...]) -> Factor:
    return _moved(value, lambda v: v.reshape(shape))


def _spread(
    b: Builder, x: Ids, weights: Array, bias: Factor | None, places: Sequence[Place], size: tuple[int, ...]
) -> Ids:
    """Channels (last axis) times matrices (groups, in, out, *entries), from input to output places."""
    groups, depth, width = weights.shape[:3]
    last = np.moveaxis(x, 1, -1)
    blocks = np.arange(groups * len(x) * prod(size)).reshape(groups, len(x), *size)
    taps = []
    for offset, outs, ins in places:
        for g in range(groups):
            found = last[(slice(None), *ins, slice(g * depth, (g + 1) * depth))]
            place: tuple[Any, ...] = (g, slice(None), *outs)
            targets = blocks[place].reshape(-1)
            sources = found.reshape(targets.size, depth)
            entry: tuple[Any, ...] = (g, slice(None), slice(None), *offset)
            matrix = np.ascontiguousarray(weights[entry])
            if matrix.any():
                taps.append(Tap(np.ascontiguousarray(sources), targets, matrix))
    shift = None
    if isinstance(bias, Const):
        rows = b.exactly(bias).reshape(groups, 1, width)
        shift = np.broadcast_to(rows, (groups, blocks[0].size, width)).reshape(-1, width)
    made = b.blocks(taps, blocks.size, width, shift).reshape(groups, len(x), *size, width)
    y = np.moveaxis(made, (0, -1), (1, 2)).reshape(len(x), groups * width, *size)
    return shifted(b, y, bias) if isinstance(bias, Units) else y


def _by_patches(
    b: Builder,
    x: Factor,
    rows: Factor,
    bias: Factor | None,
    places: Sequence[Place],
    kernel: tuple[int, ...],
    size: tuple[int, ...],
) -> Ids:
    """Kernels (1, groups, out, in times entries) times what they see at every place."""
    batch, channels = x.shape[:2]
    groups = rows.shape[1]

    def patches(v: NDArray[Any]) -> NDArray[Any]:
        seen = np.zeros((batch, channels, prod(kernel), *size), dtype=v.dtype)
        for offset, outs, ins in places:
            tap = int(np.ravel_multi_index(offset, kernel))
            target: tuple[Any, ...] = (slice(None), slice(None), tap, *outs)
            seen[target] = v[(slice(None), slice(None), *ins)]
        return seen.reshape(batch, groups, rows.shape[3], prod(size))

    b.require_moderate(batch * channels * prod(kernel) * prod(size))
    made = matrix_product(b, rows, _moved(x, patches))
    y = made.reshape(batch, groups * rows.shape[2], *size)
    return y if bias is None else shifted(b, y, bias)


def shifted(b: Builder, y: Ids, bias: Factor) -> Ids:
    """Plus one number for each channel."""
    column = _reshaped(bias, (-1, *(1,) * (y.ndim - 2)))
    if isinstance(column, Const):
        return b.affine([(y, 1.0)], b.exactly(column))
    return b.affine([(y, 1.0), (column.ids, 1.0)])


@lowers("AveragePool", "GlobalAveragePool")
def average_pool(b: Builder, node: Node, given: Given) -> list[Units]:
    """Sums over windows; their counts share one divisor."""
    x = moving(node, given)
    if node.op_type == "GlobalAveragePool":
        window = whole_window(x.shape[2:])
        count = np.full(window.size_out, prod(x.shape[2:]))
    else:
        window = window_of(node, x.shape[2:], tuple(node.attributes["kernel_shape"]))
        count = counts(node, window).astype(np.int64)
    common = lcm(*(int(c) for c in np.unique(count)))
    if common < 1:
        raise ModelError(f"{node.label}: the mean of nothing is no number.")
    table = windowed(x, window)
    b.require_moderate(table.size)
    seen = table > 0
    share = np.broadcast_to((common // count)[..., None], table.shape)
    places = prod(table.shape[:-1])
    pointers = np.concatenate([[0], np.cumsum(seen.reshape(places, table.shape[-1]).sum(axis=1))])
    ids = b.rows(pointers, table[seen], share[seen].astype(np.float64), np.zeros(places), common)
    return b.tensor(ids.reshape(table.shape[:-1]))


def windowed(x: Ids, window: Window) -> Ids:
    """(N, C, *out, taps): what each kernel entry sees; -1 is padding."""
    table = np.full((*x.shape[:2], *window.size_out, prod(window.kernel)), -1, dtype=np.int64)
    for offset, outs, ins in window.places:
        tap = int(np.ravel_multi_index(offset, window.kernel))
        target: tuple[Any, ...] = (slice(None), slice(None), *outs, tap)
        table[target] = x[(slice(None), slice(None), *ins)]
    return table


@lowers("Col2Im")
def col2im(b: Builder, node: Node, given: Given) -> list[Units]:
    """The sum of blocks that overlap, each in its place in the image."""
    x = moving(node, given)
    image, block = (_lengths(node, given, k) for k in (1, 2))
    rank = len(image)
    strides, dilations = (node.integers(name, [1] * rank) for name in ("strides", "dilations"))
    pads = node.integers("pads", [0] * 2 * rank)
    found = tuple(
        (n + pads[k] + pads[k + rank] - dilations[k] * (block[k] - 1) - 1) // strides[k] + 1
        for k, n in enumerate(image)
    )
    window = Window(block, strides, dilations, pads[:rank], image, found)
    blocks = x.reshape(len(x), x.shape[1] // prod(block), *block, *found)
    table = np.zeros((*blocks.shape[:2], prod(block), *image), dtype=np.int64)
    for offset, outs, ins in window.places:
        tap = int(np.ravel_multi_index(offset, block))
        lead: tuple[Any, ...] = (slice(None), slice(None))
        table[(*lead, tap, *ins)] = blocks[(*lead, *offset, *outs)]
    return b.tensor(total(b, np.moveaxis(table, 2, -1)))


def _lengths(node: Node, given: Given, index: int) -> tuple[int, ...]:
    value = standing(node, given, index)
    if value is None:
        raise ModelError(f"{node.label} lacks a shape.")
    return tuple(int(v) for v in value.value.reshape(-1))
