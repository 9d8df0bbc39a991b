"""Resize and Upsample: a gather (nearest) or a small matrix per axis (linear, cubic), in exact rationals."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from .check_discrete import Discrete
from .check_integers import Array, Form
from .check_operators import Context, Node, Value, fractions, operator, whole_numbers
from .check_operators_structure import bounded, gather
from .check_products import Weights, linear

__all__: list[str] = []

HALF = Fraction(1, 2)


@operator("Resize", still=(1, 2, 3))
@operator("Upsample", still=(1,))
def _resize(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    x = inputs[0]
    scales, sizes = _scales(ctx, node, inputs)
    bounded(node, sizes)
    regions = _regions(node, inputs, len(sizes))
    where = [
        _sources(node, n, m, s, region)
        for n, m, s, region in zip(x.shape, sizes, scales, regions, strict=True)
    ]
    mode = node.get("mode", b"nearest")
    if mode == b"nearest":
        picked = [[_nearest(node, v, n) for v in axis] for axis, n in zip(where, x.shape, strict=True)]
        index = np.arange(math.prod(x.shape)).reshape(x.shape)
        return gather(ctx, [x], index[np.ix_(*picked)])
    if mode not in (b"linear", b"cubic") or isinstance(x, Discrete) or node.get("antialias"):
        raise node.refuse("this mode is not supported")
    taps = _linear if mode == b"linear" else lambda f: _cubic(f, Fraction(node.get("cubic_coeff_a")))
    exclude = bool(node.get("exclude_outside"))
    weights = ctx.once(
        node,
        lambda: [
            _prepared(ctx, axis, n, m, taps, exclude)
            for axis, n, m in zip(where, x.shape, sizes, strict=True)
        ],
    )
    for axis, matrix in enumerate(weights):
        if matrix is not None:
            x = _along(ctx, x, axis, matrix)
    return x  # type: ignore[no-any-return]


def _prepared(ctx: Context, axis: list[Fraction], n: int, m: int, taps: Any, exclude: bool) -> Weights | None:
    """The matrix of one axis; None if it is the identity."""
    if m == n and all(v == k for k, v in enumerate(axis)):
        return None
    return Weights.of(ctx.ar, ctx.ar.constant(_matrix(axis, n, taps, exclude)[None]))


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
    axes = [int(a) % len(shape) for a in node.get("axes") or range(len(shape))]
    scales, sizes = [Fraction(1)] * len(shape), list(shape)
    if given[1] is not None:
        if node.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
            raise node.refuse("this aspect ratio policy is not supported")
        for a, m in zip(axes, whole_numbers(node, given[1]).tolist(), strict=True):
            sizes[a], scales[a] = m, Fraction(m, shape[a])
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
        axes = [int(a) % rank for a in node.get("axes") or range(rank)]
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
    if how == b"tf_crop_and_resize":
        start, end = (v * (n - 1) for v in region)
        places = [start + k * (end - start) / (m - 1) for k in range(m)] if m > 1 else [(start + end) / 2]
        if min(places) < 0 or max(places) > n - 1:
            raise node.refuse("tf_crop_and_resize beyond the input is not supported")
        return places
    if m == n and scale == 1:
        return [Fraction(k) for k in range(m)]
    if how == b"half_pixel" or how == b"pytorch_half_pixel" and m > 1:
        return [(k + HALF) / scale - HALF for k in range(m)]
    if how == b"pytorch_half_pixel" or how == b"align_corners" and m == 1:
        return [Fraction(0)] * m
    if how == b"align_corners":
        if m != n * scale:
            raise node.refuse("align_corners with a scale that gives no whole size means different things")
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


def _linear(f: Fraction) -> list[tuple[int, Fraction]]:
    return [(0, 1 - f), (1, f)]


def _cubic(f: Fraction, a: Fraction) -> list[tuple[int, Fraction]]:
    def near(u: Fraction) -> Fraction:
        return ((a + 2) * u - (a + 3)) * u * u + 1

    def far(u: Fraction) -> Fraction:
        return ((a * u - 5 * a) * u + 8 * a) * u - 4 * a

    return [(-1, far(f + 1)), (0, near(f)), (1, near(1 - f)), (2, far(2 - f))]


def _matrix(axis: list[Fraction], n: int, taps: Any, exclude: bool) -> Array:
    """Rows: the weights of the input's elements in one element of the output; the edge is repeated."""
    matrix: Array = np.full((len(axis), n), Fraction(0), dtype=object)
    for row, v in zip(matrix, axis, strict=True):
        base = math.floor(v)
        for k, weight in taps(v - base):
            if not exclude or 0 <= base + k < n:
                row[min(max(base + k, 0), n - 1)] += weight
        if exclude:
            row /= row.sum()
    return matrix
