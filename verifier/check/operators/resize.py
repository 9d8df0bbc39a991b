"""Resize and Upsample: a gather (nearest) or a small matrix per axis (linear, cubic), in exact rationals."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.operators.registry import Context, Node, Value, fractions, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather
from verifier.check.operators.taps import cubic, hat

__all__ = ["OPEN_LENGTHS"]

HALF = Fraction(1, 2)
OPEN_LENGTHS = "open lengths"
"""With a node's index, a key of `Context.maps`: a scale times a length is no whole number."""


@operator("Resize", still=(1, 2, 3))
@operator("Upsample", still=(1,))
def _resize(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    x = inputs[0]
    scales, sizes = _scales(ctx, node, inputs)
    bounded(node, sizes)
    if any(n * s != m for n, m, s in zip(x.shape, sizes, scales, strict=True)):
        ctx.maps[OPEN_LENGTHS, node.index] = True
    regions = _regions(node, inputs, len(sizes))
    where = [
        _sources(node, n, m, s, region)
        for n, m, s, region in zip(x.shape, sizes, scales, regions, strict=True)
    ]
    mode = node.get("mode", b"nearest")
    if mode == b"nearest":
        picked = [[_nearest(node, v, n) for v in axis] for axis, n in zip(where, x.shape, strict=True)]
        index = np.arange(math.prod(x.shape)).reshape(x.shape)[np.ix_(*picked)]
        y = gather(ctx, [x], ctx.once(node, lambda: index, exact=True))
        return _extrapolated(ctx, node, y, where, x.shape)
    if mode not in (b"linear", b"cubic") or isinstance(x, Discrete):
        raise node.refuse("this mode is not supported")
    matrices = ctx.once(
        node,
        lambda: [
            _matrix(node, axis, n, scale) if m != n or any(v != k for k, v in enumerate(axis)) else None
            for axis, n, m, scale in zip(where, x.shape, sizes, scales, strict=True)
        ],
        exact=True,
    )
    weights = ctx.once(node, lambda: [None if a is None else _weights(ctx, a) for a in matrices])
    y = x
    for axis, matrix in enumerate(weights):
        if matrix is not None:
            y = _along(ctx, y, axis, matrix)
    return _extrapolated(ctx, node, y, where, x.shape)


def _extrapolated(
    ctx: Context, node: Node, y: Value, where: list[list[Fraction]], shape: tuple[int, ...]
) -> Value:
    """A constant in place of what tf_crop_and_resize would read beyond the input."""
    if node.get("coordinate_transformation_mode") != b"tf_crop_and_resize":
        return y
    inside = [[0 <= v <= n - 1 for v in axis] for axis, n in zip(where, shape, strict=True)]
    whole = np.ones((), dtype=bool)
    for axis in inside:
        whole = whole[..., None] & np.array(axis)
    if whole.all():
        return y
    fill = Fraction(node.get("extrapolation_value"))
    index = np.where(whole, np.arange(whole.size).reshape(whole.shape), whole.size)
    if isinstance(y, Discrete):
        return gather(ctx, [y, Discrete.known(int(fill))], index)
    return gather(ctx, ctx.alike(y, ctx.number(fill)), index)


def _weights(ctx: Context, matrix: Array) -> Weights:
    return Weights.of(ctx.ar, ctx.ar.constant(matrix[None]))


def _along(ctx: Context, x: Form, axis: int, matrix: Weights) -> Form:
    shape = x.shape
    order = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, 0)
    y = linear(ctx.ar, matrix, x, order.reshape(1, shape[axis], -1))
    return y.each(lambda a: np.moveaxis(a.reshape(-1, *order.shape[1:], a.shape[-1]), 0, axis))


def _scales(ctx: Context, node: Node, inputs: list[Any]) -> tuple[list[Fraction], list[int]]:
    """The scale and the size of every axis of the output."""
    shape = inputs[0].shape
    given = inputs[2:4] if node.op == "Resize" and node.opset >= 11 else inputs[1:2]
    given = [v if v is not None and v.shape != (0,) else None for v in given] + [None, None]
    if 0 in shape:
        raise node.refuse("an axis without elements")
    axes = [node.axis(len(shape), a) for a in node.get("axes") or range(len(shape))]
    scales, sizes = [Fraction(1)] * len(shape), list(shape)
    if given[1] is not None:
        wanted = whole_numbers(node, given[1]).tolist()
        policy = node.get("keep_aspect_ratio_policy", b"stretch")
        ratios = [Fraction(m, shape[a]) for a, m in zip(axes, wanted, strict=True)]
        if policy != b"stretch":
            ratios = [(min if policy == b"not_larger" else max)(ratios)] * len(axes)
            wanted = [math.floor(s * shape[a] + HALF) for a, s in zip(axes, ratios, strict=True)]
        for a, m, s in zip(axes, wanted, ratios, strict=True):
            sizes[a], scales[a] = m, s
    else:
        stored = node.get("scales")
        numbers = fractions(node, given[0]) if given[0] is not None else [Fraction(v) for v in stored or ()]
        for a, s in zip(axes, numbers, strict=True):
            sizes[a], scales[a] = math.floor(shape[a] * s), s
    if min(scales) <= 0 or min(sizes) < 1:
        raise node.refuse("a scale is not positive")
    return scales, sizes


def _regions(node: Node, inputs: list[Any], rank: int) -> list[tuple[Fraction, Fraction]]:
    """The part of every axis that tf_crop_and_resize shows."""
    regions = [(Fraction(0), Fraction(1))] * rank
    if node.get("coordinate_transformation_mode") == b"tf_crop_and_resize" and node.opset >= 11:
        given = fractions(node, inputs[1])
        axes = [node.axis(rank, a) for a in node.get("axes") or range(rank)]
        for k, axis in enumerate(axes):
            regions[axis] = given[k], given[k + len(axes)]
    return regions


def _sources(
    node: Node, n: int, m: int, scale: Fraction, region: tuple[Fraction, Fraction]
) -> list[Fraction]:
    """The coordinate in the input of every coordinate of the output."""
    if m > 1 << 16:
        raise node.refuse("an axis longer than 65,536")
    old = node.op == "Upsample" or node.opset < 11
    how = b"asymmetric" if old else node.get("coordinate_transformation_mode")
    if how in (b"tf_crop_and_resize", b"align_corners") and m != n * scale:
        raise node.refuse(f"{how.decode()} with a scale that gives no whole size means different things")
    if how == b"tf_crop_and_resize":
        start, end = (v * (n - 1) for v in region)
        return [start + k * (end - start) / (m - 1) for k in range(m)] if m > 1 else [(start + end) / 2]
    if m == n and scale == 1:
        return [Fraction(k) for k in range(m)]
    if how == b"half_pixel" or how == b"pytorch_half_pixel" and m > 1:
        return [(k + HALF) / scale - HALF for k in range(m)]
    if how == b"pytorch_half_pixel" or how == b"align_corners" and m == 1:
        return [Fraction(0)] * m
    if how == b"tf_half_pixel_for_nn":
        return [(k + HALF) / scale for k in range(m)]
    if how == b"align_corners":
        return [Fraction(k * (n - 1), m - 1) for k in range(m)]
    if how == b"asymmetric":
        return [k / scale for k in range(m)]
    if how == b"half_pixel_symmetric":
        start = Fraction(n, 2) * (1 - m / (n * scale))
        return [start + (k + HALF) / scale - HALF for k in range(m)]
    raise node.refuse("this coordinate transformation is not supported")


def _nearest(node: Node, v: Fraction, n: int) -> int:
    rounding = node.get("nearest_mode", b"floor") if node.op == "Resize" and node.opset >= 11 else b"floor"
    k = {
        b"floor": math.floor(v),
        b"ceil": math.ceil(v),
        b"round_prefer_floor": math.ceil(v - HALF),
        b"round_prefer_ceil": math.floor(v + HALF),
    }[rounding]
    return min(max(k, 0), n - 1)


def _matrix(node: Node, axis: list[Fraction], n: int, scale: Fraction) -> Array:
    """Rows: the weights of the input's elements in one element of the output; the edge is repeated."""
    a, exclude = Fraction(node.get("cubic_coeff_a") or 0), bool(node.get("exclude_outside"))
    linear_mode = node.get("mode") == b"linear"
    slow = min(scale, Fraction(1)) if node.get("antialias") else Fraction(1)  # the filter is this much wider
    reach = math.ceil((1 if linear_mode else 2) / slow)
    matrix: Array = np.full((len(axis), n), Fraction(0), dtype=object)
    for row, v in zip(matrix, axis, strict=True):
        places = range(math.floor(v) - reach, math.ceil(v) + reach + 1)
        taps = [(k, hat((k - v) * slow) if linear_mode else cubic((k - v) * slow, a)) for k in places]
        for k, weight in taps:
            if not exclude or 0 <= k < n:
                row[min(max(k, 0), n - 1)] += weight
        if not row.sum():
            raise node.refuse("weights that add up to nothing")
        row /= row.sum()  # 1 already, unless the filter is wider or cut off
    return matrix
