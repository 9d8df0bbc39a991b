"""Operators that are linear in what moves, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm, prod
from typing import Any

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.convolution import counts
from symbolic.operators.reductions import reduced_axes
from symbolic.operators.resize import interpolations
from symbolic.operators.windows import Place, Window, transposed_window, whole_window, window_of
from symbolic.pieces.builder import Builder, Given, Units, lowers
from symbolic.pieces.program import Ids, Tap

__all__: list[str] = []

EXACT = 2**53


def moving(node: Node, given: Given, index: int = 0) -> Ids:
    """Input number ``index``, which must move."""
    value = given[index]
    if not isinstance(value, Units):
        raise ModelError(f"{node.label}: there are no linear pieces where its input {index} stands still.")
    return value.ids


def standing(node: Node, given: Given, index: int) -> Const | None:
    """Input number ``index``, which must not move."""
    value = given[index] if index < len(given) else None
    if isinstance(value, Units):
        raise ModelError(f"{node.label}: it is not piecewise linear where its input {index} moves.")
    return value


@lowers("Add", "Sub", "Sum", "Mean")
def sums(b: Builder, node: Node, given: Given) -> list[Units]:
    """Element by element; one constant at a time, as their sum may be no float."""
    ids: list[tuple[Ids, float]] = []
    constants: list[Array] = []
    for k, value in enumerate(v for v in given if v is not None):
        sign = -1.0 if node.op_type == "Sub" and k else 1.0
        if isinstance(value, Units):
            ids.append((value.ids, sign))
        else:
            constants.append(sign * b.exactly(value))
    divisor = len(ids) + len(constants) if node.op_type == "Mean" else 1
    for constant in constants[1:]:
        ids = [(b.affine(ids, constant), 1.0)]
    return b.tensor(b.affine(ids, constants[0] if constants else 0.0, divisor))


@lowers("Neg")
def negative(b: Builder, node: Node, given: Given) -> list[Units]:
    """-x."""
    return b.tensor(b.affine([(moving(node, given), -1.0)]))


@lowers("Mul")
def product(b: Builder, node: Node, given: Given) -> list[Units]:
    """Times a constant, or times something piecewise constant."""
    values = [v for v in given if v is not None]
    fixed = [v for v in values if isinstance(v, Const)]
    moves = [v.ids for v in values if isinstance(v, Units)]
    if fixed:
        return b.tensor(b.affine([(moves[0], b.exactly(fixed[0]))]))
    flat = [bool(b.flat[ids].all()) for ids in moves]
    if not any(flat):
        raise ModelError(f"{node.label}: a product of two moving factors is not piecewise linear.")
    first, second = moves if flat[0] else moves[::-1]
    return b.tensor(b.product(first, second))


@lowers("Div")
def quotient(b: Builder, node: Node, given: Given) -> list[Units]:
    """Over a constant: one common divisor, as far as floats hold the weights that it leaves."""
    divisor = standing(node, given, 1)
    if divisor is None:
        raise ModelError(f"{node.label} lacks its divisor.")
    weights, common = shared_divisor(b, [1 / Fraction(v) for v in b.exactly(divisor).reshape(-1).tolist()])
    return b.tensor(b.affine([(moving(node, given), weights.reshape(divisor.shape))], divisor=common))


def shared_divisor(b: Builder, weights: list[Fraction]) -> tuple[Array, int]:
    """Floats and one divisor whose quotients the weights are."""
    common = 1
    for w in set(weights):
        odd = w.denominator // (w.denominator & -w.denominator)
        common = lcm(common, odd)
        if common > EXACT:
            raise ModelError(f"{b.label}: its weights have no common denominator that is worth having.")
    scaled = [w * common for w in weights]
    floats = np.array([float(w) for w in scaled])
    if any(Fraction(f) != w for f, w in zip(floats.tolist(), scaled, strict=True)):
        raise ModelError(f"{b.label}: its weights are too long for exact linear pieces.")
    return floats, common


@lowers("Gemm")
def gemm(b: Builder, node: Node, given: Given) -> list[Units]:
    """alpha A' B' + beta C."""
    a, w = (_matrix(node, given, k, name) for k, name in enumerate(("transA", "transB")))
    ids = matrix_product(b, node, a, w)
    ids = b.affine([(ids, node.number("alpha"))])
    addend = given[2] if len(given) > 2 else None
    beta = node.number("beta")
    if addend is not None and beta != 0.0:
        if isinstance(addend, Const) and beta == 1.0:
            return b.tensor(b.affine([(ids, 1.0)], b.exactly(addend)))
        return b.tensor(b.affine([(ids, 1.0), (b.ids(addend), beta)]))
    return b.tensor(ids)


def _matrix(node: Node, given: Given, index: int, flag: str) -> Units | Const:
    value = given[index]
    if value is None:
        raise ModelError(f"{node.label} lacks a matrix.")
    if not node.flag(flag):
        return value
    if isinstance(value, Units):
        return Units(value.ids.T)
    return Const(value.value.T, None if value.radius is None else value.radius.T)


@lowers("MatMul")
def matmul(b: Builder, node: Node, given: Given) -> list[Units]:
    """numpy.matmul with one constant factor."""
    left, right = given[0], given[1]
    if left is None or right is None:
        raise ModelError(f"{node.label} lacks a matrix.")
    return b.tensor(matrix_product(b, node, left, right))


def matrix_product(b: Builder, node: Node, left: Units | Const, right: Units | Const) -> Ids:
    """left @ right; transposed where the left factor is the constant."""
    if isinstance(left, Units) and isinstance(right, Const):
        ids, w = left.ids, b.exactly(right)
        vectors = ids.ndim == 1, w.ndim == 1
        ids, w = np.atleast_2d(ids), w[:, None] if vectors[1] else w
    elif isinstance(right, Units) and isinstance(left, Const):
        ids, w = right.ids, b.exactly(left)
        vectors = w.ndim == 1, ids.ndim == 1
        ids, w = (ids[:, None] if vectors[1] else ids).swapaxes(-1, -2), np.atleast_2d(w).swapaxes(-1, -2)
    else:
        raise ModelError(f"{node.label}: a product of two moving factors is not piecewise linear.")
    lead = np.broadcast_shapes(ids.shape[:-2], w.shape[:-2])
    rows, inner = ids.shape[-2:]
    ids = np.broadcast_to(ids, (*lead, rows, inner)).reshape(-1, rows, inner)
    kernels = w.reshape(-1, *w.shape[-2:])
    which = np.broadcast_to(np.arange(len(kernels)).reshape(w.shape[:-2]), lead).reshape(-1)
    blocks = np.arange(len(ids) * rows).reshape(len(ids), rows)
    taps = [
        Tap(ids[which == k].reshape(-1, inner), blocks[which == k].reshape(-1), np.ascontiguousarray(kernel))
        for k, kernel in enumerate(kernels)
    ]
    made = b.blocks(taps, blocks.size, w.shape[-1]).reshape(*lead, rows, w.shape[-1])
    if isinstance(left, Const):
        made = made.swapaxes(-1, -2)
    if vectors[0]:
        made = made[..., 0, :]
    return made[..., 0] if vectors[1] else made


@lowers("Conv")
def conv(b: Builder, node: Node, given: Given) -> list[Units]:
    """Every entry of the kernel is a matrix between channels."""
    x, kernel, bias = moving(node, given), standing(node, given, 1), standing(node, given, 2)
    if kernel is None:
        raise ModelError(f"{node.label} lacks its kernel.")
    groups = int(node.attributes["group"])
    window = window_of(node, x.shape[2:], kernel.shape[2:])
    weights = b.exactly(kernel).reshape(groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
    return b.tensor(_spread(b, x, weights, bias, window.places, window.size_out))


@lowers("ConvTranspose")
def conv_transpose(b: Builder, node: Node, given: Given) -> list[Units]:
    """The same with outputs and inputs of every entry exchanged."""
    x, kernel, bias = moving(node, given), standing(node, given, 1), standing(node, given, 2)
    if kernel is None:
        raise ModelError(f"{node.label} lacks its kernel.")
    groups = int(node.attributes["group"])
    window = transposed_window(node, x.shape[2:], kernel.shape[2:])
    weights = b.exactly(kernel).reshape(groups, -1, *kernel.shape[1:])
    places = [(offset, ins, outs) for offset, outs, ins in window.places]
    return b.tensor(_spread(b, x, weights, bias, places, window.size_in))


def _spread(
    b: Builder, x: Ids, weights: Array, bias: Const | None, places: Sequence[Place], size: tuple[int, ...]
) -> Ids:
    """Channels (last axis) times matrices (groups, in, out, *entries), from input to output places."""
    groups, depth, width = weights.shape[:3]
    last = np.moveaxis(x, 1, -1)
    blocks = np.arange(groups * len(x) * prod(size)).reshape(groups, len(x), *size)
    taps = []
    for offset, outs, ins in places:
        for g in range(groups):
            sources = last[(slice(None), *ins, slice(g * depth, (g + 1) * depth))].reshape(-1, depth)
            targets = blocks[(g, slice(None), *outs)].reshape(-1)
            entry: tuple[Any, ...] = (g, slice(None), slice(None), *offset)
            matrix = np.ascontiguousarray(weights[entry])
            if matrix.any():
                taps.append(Tap(np.ascontiguousarray(sources), targets, matrix))
    shift = None
    if bias is not None:
        rows = b.exactly(bias).reshape(groups, 1, width)
        shift = np.broadcast_to(rows, (groups, blocks[0].size, width)).reshape(-1, width)
    made = b.blocks(taps, blocks.size, width, shift).reshape(groups, len(x), *size, width)
    return np.moveaxis(made, (0, -1), (1, 2)).reshape(len(x), groups * width, *size)


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
    table = windowed(x, window)
    seen = table >= 0
    share = np.broadcast_to((common // count)[..., None], table.shape)
    pointers = np.concatenate([[0], np.cumsum(seen.reshape(-1, table.shape[-1]).sum(axis=1))])
    bias = np.zeros(prod(table.shape[:-1]))
    ids = b.rows(pointers, table[seen], share[seen].astype(np.float64), bias, common)
    return b.tensor(ids.reshape(table.shape[:-1]))


def windowed(x: Ids, window: Window) -> Ids:
    """(N, C, *out, taps): what each kernel entry sees; -1 is padding."""
    table = np.full((*x.shape[:2], *window.size_out, prod(window.kernel)), -1, dtype=np.int64)
    for offset, outs, ins in window.places:
        tap = int(np.ravel_multi_index(offset, window.kernel))
        target: tuple[Any, ...] = (slice(None), slice(None), *outs, tap)
        table[target] = x[(slice(None), slice(None), *ins)]
    return table


@lowers("ReduceSum", "ReduceMean")
def reduce_sum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Sum or mean over axes."""
    table, shape = reduced(node, given)
    return b.tensor(total(b, table, table.shape[-1] if node.op_type == "ReduceMean" else 1).reshape(shape))


def reduced(node: Node, given: Given) -> tuple[Ids, tuple[int, ...]]:
    """What is reduced, as a last axis, and the shape of the result."""
    x = moving(node, given)
    inputs = [None if isinstance(v, Units) else v for v in given]
    axes = reduced_axes(node, inputs, x.ndim)
    behind = range(x.ndim - len(axes), x.ndim)
    table = np.moveaxis(x, axes, behind) if axes else x[..., None]
    kept = table.shape[: x.ndim - len(axes)]
    shape = tuple(1 if k in axes else n for k, n in enumerate(x.shape)) if node.flag("keepdims") else kept
    return table.reshape(*kept, -1), shape


def total(b: Builder, table: Ids, divisor: int = 1) -> Ids:
    """Sum over the last axis, divided."""
    rows, each = prod(table.shape[:-1]), table.shape[-1]
    pointers = np.arange(rows + 1) * each
    ids = b.rows(pointers, table.reshape(-1), np.ones(table.size), np.zeros(rows), divisor)
    return ids.reshape(table.shape[:-1])


@lowers("CumSum")
def cumulative_sum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Running sums, one after the other."""
    x, place = moving(node, given), standing(node, given, 1)
    if place is None:
        raise ModelError(f"{node.label} needs an axis.")
    axis = node.axis(x.ndim, int(place.value.reshape(-1)[0]))
    rows = np.moveaxis(x, axis, 0)
    rows = rows[::-1] if node.flag("reverse") else rows
    made, so_far = [], np.zeros(rows.shape[1:], dtype=np.int64)
    for row in rows:
        after = b.affine([(so_far, 1.0), (row, 1.0)]) if so_far.any() else row
        made.append(so_far if node.flag("exclusive") else after)
        so_far = after
    whole = np.stack(made[::-1] if node.flag("reverse") else made) if made else rows
    return b.tensor(np.moveaxis(whole, 0, axis))


@lowers("Resize", "Upsample")
def resize(b: Builder, node: Node, given: Given) -> list[Units]:
    """Along every axis a sparse matrix of rational numbers."""
    x = moving(node, given)
    fixed = [Const(np.zeros(x.shape)), *(standing(node, given, k) for k in range(1, len(given)))]
    for axis, rows in interpolations(node, fixed):
        weights, common = shared_divisor(b, [w for row in rows for w in row.values()])
        front = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
        lengths = np.array([len(row) for row in rows])
        sources = front[[k for row in rows for k in row]]  # (entries, columns)
        columns = front.shape[1]
        parts = np.split(np.arange(lengths.sum()), np.cumsum(lengths)[:-1])
        entries = np.concatenate([np.tile(part, columns) for part in parts])
        column = np.concatenate([np.repeat(np.arange(columns), n) for n in lengths])
        pointers = np.concatenate([[0], np.cumsum(np.repeat(lengths, columns))])
        ids = b.rows(
            pointers, sources[entries, column], weights[entries], np.zeros(len(rows) * columns), common
        )
        shape = (len(rows), *np.delete(x.shape, axis))
        x = np.moveaxis(ids.reshape(shape), 0, axis)
    return b.tensor(x)


@lowers("BatchNormalization")
def batch_normalization(b: Builder, node: Node, given: Given) -> list[Units]:
    """(x - mean) scale / sqrt(variance + epsilon) + bias: the root is a float, and no rational number."""
    x = moving(node, given)
    scale, bias, mean, variance = (
        b.exactly(v) for v in (standing(node, given, k) for k in range(1, 5)) if v is not None
    )
    shape = (-1, *(1,) * (x.ndim - 2)) if x.ndim > 1 else (-1,)
    root = np.sqrt(variance + node.number("epsilon"))
    b.inexact.append(str(b.label))
    centred = b.affine([(x, 1.0)], -mean.reshape(shape))
    return b.tensor(b.affine([(centred, (scale / root).reshape(shape))], bias.reshape(shape)))


@lowers("DequantizeLinear")
def dequantize(b: Builder, node: Node, given: Given) -> list[Units]:
    """(x - zero point) scale, by tensor or by axis."""
    x, scale, zero = moving(node, given), standing(node, given, 1), standing(node, given, 2)
    if scale is None or len(scale.shape) > 1:
        raise ModelError(f"{node.label}: its scale is not one number, or one of an axis.")
    shape = [1] * x.ndim
    if scale.value.size > 1:
        shape[node.axis(x.ndim)] = -1
    shift = np.zeros(1) if zero is None else b.exactly(zero)
    whole = b.affine([(x, 1.0)], -shift.reshape(shape if shift.size > 1 else [1] * x.ndim))
    return b.tensor(b.affine([(whole, b.exactly(scale).reshape(shape))]))
