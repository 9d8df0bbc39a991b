"""GridSample and AffineGrid."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.operators.grids import moving_samples
from verifier.check.operators.registry import Context, Node, Value, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather
from verifier.check.operators.taps import Reader, Taps, constant, weighted

__all__: list[str] = []

NAMES = {b"bilinear": b"linear", b"bicubic": b"cubic"}


@operator("GridSample")
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
    channels, each = x.shape[1], math.prod(points)
    y: Any
    if node.inputs[1] in ctx.moves:
        if mode == b"cubic":
            raise node.refuse("in cubic interpolation its indices move with the input")
        if isinstance(x, Discrete):
            raise node.refuse("interpolation of integers")
        flat = grid.each(lambda a: a.reshape(grid.shape[0], each, len(size), a.shape[-1]))
        y = moving_samples(ctx, node, x, flat, readers)
        return y.each(lambda a: a.reshape(*x.shape[:2], *points, a.shape[-1]))  # type: ignore[no-any-return]

    def taps() -> Taps:
        c, r, e = constant(node, grid)
        c, r = (v.reshape(-1, len(size)) for v in (c, r))
        found: Taps | None = None
        for k, reader in enumerate(readers):  # coordinates are listed from the innermost axis outward
            read = reader.read(*reader.coordinates(c[:, -1 - k], r[:, -1 - k], e))
            found = read if found is None else found.along(read, reader.size)
        return found  # type: ignore[return-value]

    images = np.repeat(np.arange(x.shape[0]), each)
    planes = (images[:, None] * channels + np.arange(channels)) * math.prod(size)
    if mode == b"nearest":
        number = ctx.once(node, taps).element
        index = np.where(number < 0, math.prod(x.shape), number + planes)
        zero = Discrete.known(0) if isinstance(x, Discrete) else ctx.number(0)
        y = gather(ctx, [x, zero] if isinstance(x, Discrete) else ctx.alike(x, zero), index)
    elif isinstance(x, Discrete):
        raise node.refuse("interpolation of integers")
    else:
        y = weighted(ctx, node, x, ctx.once(node, lambda: taps().weights(ctx, node)), planes)
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
