"""Sampling an image at the points of a grid, and affine grids."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod

import numpy as np

from symbolic.coordinates import Ambiguous, Sampler
from symbolic.errors import ModelError
from symbolic.linear import Weights, each, linear_map
from symbolic.moves import gather_map, joined
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.shapes import bounded
from symbolic.rounding import Array
from symbolic.taps import Row, Taps, rounded, unique_rows
from symbolic.values import Affine, Batch, Const, Value, is_discrete, map_value

MODES = {"bilinear": "linear", "bicubic": "cubic"}  # as operator set 16 called them


@operator("GridSample")
def grid_sample(node: Node, inputs: Inputs) -> Rule:
    """Elements of each image at points of a grid, by nearest element, or by linear or cubic interpolation."""
    x, grid = required(node, inputs), constant(node, inputs, 1, "grid")
    if (
        grid is None
        or len(x.shape) < 3
        or grid.shape[:1] != x.shape[:1]
        or grid.shape[-1] != len(x.shape) - 2
    ):
        raise ModelError(f"{node.label}: its grid does not fit its input.")
    how = Sampler(
        MODES.get(node.text("mode"), node.text("mode")), node.text("padding_mode"), node.flag("align_corners")
    )
    if how.mode not in ("nearest", "linear", "cubic") or how.padding not in ("zeros", "border", "reflection"):
        raise ModelError(f"{node.label}: its mode is not known.")
    size, points = x.shape[2:], grid.shape[1:-1]
    bounded(node, [*x.shape[:2], *points])
    pairs = np.stack([grid.value, grid.spread]).reshape(2, x.shape[0], -1, len(size))
    columns = [  # coordinates are listed from the innermost axis outward
        unique_rows(pairs[..., -1 - k], _reader(node, how, n)) for k, n in enumerate(size)
    ]
    taps = columns[0]
    for n, more in zip(size[1:], columns[1:], strict=True):
        taps = taps.times(more, n)
    if how.mode == "nearest":
        return _picked(node, taps, x.shape, points)
    if is_discrete(x):
        raise ModelError(f"{node.label}: interpolation of integers is not supported.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        y = taps.of(batch.lift(required(node, values)), batch)
        shape = (batch.size, *x.shape[:2], *points)
        return (Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r))),)

    return rule


def _reader(node: Node, how: Sampler, size: int) -> Callable[[float, float], Row]:
    """What a coordinate from -1 to 1, known up to an error, reads along an axis."""

    def row(point: float, error: float) -> Row:
        u = how.coordinate(Fraction(point), size)
        try:
            return how.row(u, Fraction(error) * how.step(size), size)
        except Ambiguous:
            raise ModelError(
                f"{node.label}: what it reads at coordinate {float(u):.6g} means different things, or is not "
                "known exactly enough."
            ) from None

    return row


def _picked(node: Node, taps: Taps, shape: tuple[int, ...], points: tuple[int, ...]) -> Rule:
    """Weights 0 and 1 are an index map, with a zero behind the elements."""
    plane, total = prod(shape[2:]), prod(shape)
    first = np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1) * plane
    at = taps.index[:, None, :, 0] + first
    at = np.where(taps.weights.value[:, None, :, 0] != 0, at, total)
    move = gather_map(at.reshape(*shape[:2], *points), total + 1)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        zero = Const(np.zeros((), dtype=np.int64 if is_discrete(value) else np.float64))
        return (map_value(joined([value, zero], batch), move),)

    return rule


@operator("AffineGrid")
def affine_grid(node: Node, inputs: Inputs) -> Rule:
    """The points of a regular grid under an affine map for each image."""
    theta, wanted = required(node, inputs), constant(node, inputs, 1, "size")
    if wanted is None:
        raise ModelError(f"{node.label} lacks a size.")
    size = [int(v) for v in wanted.value.reshape(-1)][2:]
    rank = len(size)
    if theta.shape != (int(wanted.value.reshape(-1)[0]), rank, rank + 1) or rank not in (2, 3):
        raise ModelError(f"{node.label}: its maps do not fit its size.")
    bounded(node, [theta.shape[0], *size, rank])
    align = node.flag("align_corners")
    if min(size) < (2 if align else 1):
        raise ModelError(f"{node.label}: an axis with one element has no two corners.")
    axes = [np.array([_place(k, n, align) for k in range(n)], dtype=object) for n in size]
    points = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.full(size, Fraction(1))], axis=-1)
    weights = Weights.of(rounded(points.reshape(-1, rank + 1)))

    def apply(a: Array, w: Array) -> Array:
        return np.asarray(np.swapaxes(np.matmul(a, w.T), -1, -2))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        y = linear_map(batch.lift(required(node, values)), weights, each(apply), rank + 1, batch, None)
        shape = (batch.size, theta.shape[0], *size, rank)
        return (Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r))),)

    return rule


def _place(k: int, size: int, align: bool) -> Fraction:
    """Where element k of an axis lies between -1 and 1."""
    return Fraction(2 * k, size - 1) - 1 if align else Fraction(2 * k + 1, size) - 1
