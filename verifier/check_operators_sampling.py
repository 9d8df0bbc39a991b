"""GridSample and AffineGrid."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from .check_discrete import Discrete
from .check_integers import Array, Form
from .check_operators import Context, Node, Value, operator, whole_numbers
from .check_operators_structure import bounded, gather
from .check_products import Weights, linear
from .check_taps import Reader, Row, constants, crossed, prepared, weighted

__all__: list[str] = []

NAMES = {b"bilinear": b"linear", b"bicubic": b"cubic"}


@operator("GridSample", still=(1,))
def _grid_sample(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    x, grid = inputs
    size, points = x.shape[2:], grid.shape[1:-1]
    if len(x.shape) < 3 or 0 in size or grid.shape[0] != x.shape[0] or grid.shape[-1] != len(size):
        raise node.refuse("the grid does not fit the input")
    mode = NAMES.get(node.get("mode"), node.get("mode"))
    padding = node.get("padding_mode")
    if mode not in (b"nearest", b"linear", b"cubic") or padding not in (b"zeros", b"border", b"reflection"):
        raise node.refuse("this mode is not known")
    bounded(node, (*x.shape[:2], *points))
    readers = [Reader(node, n, mode, padding, not node.get("align_corners")) for n in size]
    channels = x.shape[1]

    def rows() -> list[Row]:
        found = []
        for point in constants(node, grid).reshape(-1, len(size), 2):
            row: Row = [(0, Fraction(1), Fraction(0))]
            for reader, (value, error) in zip(readers, point[::-1], strict=True):  # the innermost axis first
                row = crossed(row, read(reader, value, error), reader.size)
            found.append(row)
        return found

    known: dict[Any, Row] = {}

    def read(reader: Reader, value: Fraction, error: Fraction) -> Row:
        key = (reader.size, value, error)
        if key not in known:
            known[key] = reader.row(value, error)
        return known[key]

    each = math.prod(points)
    images = np.repeat(np.arange(x.shape[0]), each)
    planes = (images[:, None] * channels + np.arange(channels)) * math.prod(size)
    if mode == b"nearest":
        number = np.array([row[0][0] if row else -1 for row in ctx.once(node, rows)])
        index = np.where(number[:, None] < 0, math.prod(x.shape), number[:, None] + planes)
        zero = Discrete.known(0) if isinstance(x, Discrete) else ctx.number(0)
        data = [x, zero] if isinstance(x, Discrete) else ctx.alike(x, zero)
        y: Any = gather(ctx, data, index)
    elif isinstance(x, Discrete):
        raise node.refuse("interpolation of integers")
    else:
        y = weighted(ctx, node, x, ctx.once(node, lambda: prepared(ctx, node, rows())), planes)
    return y.each(  # type: ignore[no-any-return]
        lambda a: np.swapaxes(a.reshape(x.shape[0], each, channels, -1), 1, 2).reshape(
            *x.shape[:2], *points, a.shape[-1]
        )
    )


@operator("AffineGrid", still=(1,))
def _affine_grid(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    theta = inputs[0]
    images, _, *size = whole_numbers(node, inputs[1]).tolist()
    rank = len(size)
    if theta.shape != (images, rank, rank + 1) or rank not in (2, 3):
        raise node.refuse("the maps do not fit the size")
    bounded(node, (images, *size, rank))
    if min(size) < (2 if node.get("align_corners") else 1):
        raise node.refuse("an axis with one element has no two corners")

    def weights() -> Weights:
        places = [
            [
                Fraction(2 * k, n - 1) - 1 if node.get("align_corners") else Fraction(2 * k + 1 - n, n)
                for k in range(n)
            ]
            for n in size
        ]
        rows = [[*place[::-1], Fraction(1)] for place in itertools.product(*places)]
        table: Array = np.array(rows, dtype=object)
        return Weights.of(ctx.ar, ctx.ar.constant(table[None]))

    index = np.arange(math.prod(theta.shape)).reshape(-1, rank + 1).T[None]  # (1, rank + 1, images * rank)
    y = linear(ctx.ar, ctx.once(node, weights), theta, index)
    return y.each(
        lambda a: np.moveaxis(a.reshape(-1, images, rank, a.shape[-1]), 0, 1).reshape(
            images, *size, rank, a.shape[-1]
        )
    )
