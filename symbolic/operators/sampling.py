"""Sampling an image at the points of a grid, and affine grids."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from symbolic.enclosures.coordinates import Ambiguous, Sampler
from symbolic.enclosures.hulls import explicit
from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.moves import gather_map, joined
from symbolic.enclosures.moving_grid import nearest_samples, samples
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.taps import Taps, rounded
from symbolic.enclosures.values import Affine, Batch, Const, Value, holds_integers, is_discrete, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.shapes import bounded

MODES = {"bilinear": "linear", "bicubic": "cubic"}  # as operator set 16 called them


def _grid_stands(node: Node, inputs: Inputs) -> bool:
    """A point of the grid has a scale."""
    return isinstance(inputs[1], Const)


@operator("GridSample", exact=_grid_stands, homogeneous=_grid_stands)
def grid_sample(node: Node, inputs: Inputs) -> Rule:
    """Elements of each image at points of a grid, by nearest element, or by linear or cubic interpolation."""
    x, grid = required(node, inputs), required(node, inputs, 1)
    if len(x.shape) < 3 or grid.shape[:1] != x.shape[:1] or grid.shape[-1] != len(x.shape) - 2:
        raise ModelError(f"{node.label}: its grid does not fit its input.")
    how = Sampler(
        MODES.get(node.text("mode"), node.text("mode")), node.text("padding_mode"), node.flag("align_corners")
    )
    if how.mode not in ("nearest", "linear", "cubic") or how.padding not in ("zeros", "border", "reflection"):
        raise ModelError(f"{node.label}: its mode is not known.")
    size, points = x.shape[2:], grid.shape[1:-1]
    bounded(node, [*x.shape[:2], *points])
    whole = holds_integers(x)
    if whole and (how.mode != "nearest" or not isinstance(grid, Const)):
        raise ModelError(f"{node.label}: interpolation of integers is not supported.")
    if not isinstance(grid, Const):
        return _moving(node, how)
    value, spread = (v.reshape(x.shape[0], -1, len(size)) for v in (grid.value, grid.spread))
    read = _picks if how.mode == "nearest" else _taps
    try:  # coordinates are listed from the innermost axis outward
        columns = [read(how, value[..., -1 - k], spread[..., -1 - k], n) for k, n in enumerate(size)]
    except Ambiguous:
        raise ModelError(
            f"{node.label}: a point of its grid means different things, or is not known exactly enough."
        ) from None
    taps = columns[0]
    for n, more in zip(size[1:], columns[1:], strict=True):
        taps = taps.times(more, n)
    if how.mode == "nearest":
        return _picked(node, taps, x.shape, points)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        y = taps.of(batch.lift(required(node, values)), batch)
        shape = (batch.size, *x.shape[:2], *points)
        return (Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r))),)

    return rule


def _moving(node: Node, how: Sampler) -> Rule:
    """The grid moves, and perhaps the image."""
    if how.mode == "cubic":
        raise ModelError(
            f"{node.label}: in cubic interpolation its grid must not depend on the audited input."
        )

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x, grid = (explicit(batch, batch.lift(required(node, values, k))) for k in (0, 1))
        if not isinstance(x, Affine) or not isinstance(grid, Affine):
            raise ModelError(f"{node.label} needs real numbers.")
        points = (*grid.c.shape[:2], -1, grid.c.shape[-1])
        flat = Affine(*(v.reshape(points) for v in (grid.c, grid.d, grid.r)))
        y = (nearest_samples if how.mode == "nearest" else samples)(how, x, flat)
        shape = (*x.c.shape[:3], *grid.c.shape[2:-1])
        return (Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r))),)

    return rule


def _taps(how: Sampler, points: Array, spread: Array, size: int) -> Taps:
    """What linear or cubic interpolation reads along one axis."""
    u, error = how.coordinates(points, spread, size)
    if how.mode == "cubic" and how.padding == "border":
        low, high = (float(v) for v in how.ends(size))
        for point in _exact(points[~((low <= u - error) & (u + error <= high))], spread):
            how.row(how.exact(point, size), size)  # both ways to read beyond the border must agree
    return how.taps(u, error, size)


def _picks(how: Sampler, points: Array, spread: Array, size: int) -> Taps:
    """What the nearest element is along one axis; weight 0 where it is a zero beyond the border."""
    u, error = how.coordinates(points, spread, size)
    if not (error <= 0.25).all():
        raise Ambiguous
    place = np.rint(u).astype(np.int64)
    near = np.rint(u - error) != np.rint(u + error)
    exact = {point: round(how.exact(point, size)) for point in _exact(points[near], spread)}
    place[near] = [exact[point] for point in points[near].tolist()]
    element = how.elements(place, size)[..., None]
    return Taps(np.maximum(element, 0), Const((element >= 0).astype(np.float64)))


def _exact(points: Array, spread: Array) -> list[float]:
    """The different numbers among some that must be known exactly."""
    if points.size and spread.any():
        raise Ambiguous
    found: list[float] = np.unique(points).tolist()
    return found


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
    axes = [np.array([place_of(k, n, align) for k in range(n)], dtype=object) for n in size]
    points = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.full(size, Fraction(1))], axis=-1)
    weights = Weights.of(rounded(points.reshape(-1, rank + 1)))

    def apply(a: Array, w: Array) -> Array:
        return np.asarray(np.swapaxes(np.matmul(a, w.T), -1, -2))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        y = linear_map(batch.lift(required(node, values)), weights, each(apply), rank + 1, batch, None)
        shape = (batch.size, theta.shape[0], *size, rank)
        return (Affine(*(v.reshape(shape) for v in (y.c, y.d, y.r))),)

    return rule


def place_of(k: int, size: int, align: bool) -> Fraction:
    """Where element k of an axis lies between -1 and 1."""
    return Fraction(2 * k, size - 1) - 1 if align else Fraction(2 * k + 1, size) - 1
