"""GridSample at points that move: weights are hats of the coordinates; a nearest element that is not known is
the hull of all that it may be.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous, Undecided
from verifier.check.numbers.discrete import Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import absolute, maximum, minimum, relu
from verifier.check.operators.places import Pairs, hull
from verifier.check.operators.registry import LARGEST_TENSOR, Context, Node
from verifier.check.operators.structure import gather
from verifier.check.operators.taps import Reader, rounded

__all__ = ["moving_samples", "samples_at"]

WIDEST = 8  # elements along an axis that a coordinate may pass on a cell


@dataclass(frozen=True)
class Along:
    """An axis: its coordinates (images, points), and the first and last place that each may read, by cell."""

    reader: Reader
    u: Form
    first: Array
    last: Array

    @property
    def most(self) -> int:
        """How many places a point reads at most."""
        return int((self.last - self.first).max(initial=0)) + 1


def moving_samples(ctx: Context, node: Node, x: Form, grid: Form, readers: list[Reader]) -> Form:
    """The samples (images, channels, points) of images at a grid (images, points, axes)."""
    places = [
        _place(ctx, reader, grid.each(lambda a, k=k: a[:, :, -1 - k])) for k, reader in enumerate(readers)
    ]
    return samples_at(ctx, node, x, places, readers)


def samples_at(ctx: Context, node: Node, x: Form, places: list[Form], readers: list[Reader]) -> Form:
    """The same at coordinates (images, points) that count elements, one for each axis."""
    if x.degree or any(u.degree for u in places):
        raise NotHomogeneous(node.op)
    axes = [_along(ctx, reader, u) for reader, u in zip(readers, places, strict=True)]
    cells = max(v.c.shape[-1] for v in (x, *places))
    size = math.prod(places[0].shape) * x.shape[1] * cells
    if math.prod(axis.most for axis in axes) * size > LARGEST_TENSOR:
        raise Undecided([])
    if readers[0].mode == b"nearest":
        return _nearest(ctx, x, axes, cells)
    planes = x.each(lambda a: np.broadcast_to(a, (*a.shape[:-1], cells)).reshape(*x.shape[:2], -1, cells))
    return _linear(ctx, planes, axes, [])


def _place(ctx: Context, reader: Reader, points: Form) -> Form:
    """Coordinates between -1 and 1 as numbers of elements, brought back to the image as the padding asks."""
    n, ar = reader.size, ctx.ar
    if points.degree:
        raise NotHomogeneous("GridSample")
    step = Fraction(n if reader.edges else n - 1, 2)
    u = ar.add(ar.multiply(points, ctx.number(step)), ctx.number(Fraction(n - 1, 2)))
    if reader.padding == b"border":
        u = minimum(ar, maximum(ar, u, ctx.number(0)), ctx.number(n - 1))
    if reader.padding == b"reflection":
        u = _reflected(ctx, reader, u)
    return u


def _along(ctx: Context, reader: Reader, u: Form) -> Along:
    n, ar = reader.size, ctx.ar
    lo, hi = (a.astype(object) for a in ar.bounds(u))
    s = max(1 - u.e, 1)  # bounds in units of 2**-s
    lo, hi = (a << (u.e + s) for a in (lo, hi))
    wide = hi - lo >= WIDEST << s
    if wide.any():
        raise Undecided(_cells(wide))
    if reader.mode == b"nearest":
        first, last = rounded(lo, s), rounded(hi, s)
    else:
        first, last = lo >> s, (hi >> s) + 1
    # what is clipped belongs to a range that lies outside the image as a whole
    first, last = (np.clip(a, -WIDEST - 3, n + WIDEST + 3).astype(np.int64) for a in (first, last))
    return Along(reader, u, first, last)


def _reflected(ctx: Context, reader: Reader, u: Form) -> Form:
    """Thrown back once at each end, which is enough for what is not further out than the image is long."""
    ar = ctx.ar
    edge = Fraction(1, 2) if reader.edges else Fraction(0)
    low, high = -edge, reader.size - 1 + edge
    lo, hi = (a.astype(object) for a in ar.bounds(u))
    unit = Fraction(2) ** u.e
    far = (lo < math.ceil((2 * low - high) / unit)) | (hi > math.floor((2 * high - low) / unit))
    if far.any():
        raise Undecided(_cells(far))
    back = ar.add(absolute(ar, ar.subtract(u, ctx.number(low))), ctx.number(low))
    return ar.subtract(ctx.number(high), absolute(ar, ar.subtract(ctx.number(high), back)))


def _cells(wrong: Array) -> list[int]:
    cells: list[int] = np.flatnonzero(wrong.reshape(-1, wrong.shape[-1]).any(axis=0)).tolist()
    return cells if wrong.shape[-1] > 1 else []


def _linear(ctx: Context, planes: Form, axes: list[Along], read: list[Array]) -> Form:
    """Interpolation along the axes from the one that is not read yet; hats add up to 1."""
    if len(read) == len(axes):
        number, inside = _numbers(axes, read)
        at = number[:, None]
        return planes.each(lambda a: np.take_along_axis(a, at, axis=2) * inside[:, None])
    axis, ar = axes[len(read)], ctx.ar
    middle = 0 if axis.most == 2 else axis.most // 2
    base = _linear(ctx, planes, axes, [*read, axis.first + middle])
    total = base
    for k in range(axis.most):
        if k != middle:
            place = to_form(ar, Discrete(axis.first + k, axis.first + k))
            weight = relu(ar, ar.subtract(ctx.number(1), absolute(ar, ar.subtract(axis.u, place))))
            step = ar.subtract(_linear(ctx, planes, axes, [*read, axis.first + k]), base)
            total = ar.add(total, ar.multiply(weight.each(lambda a: a[:, None]), step))
    return total


def _numbers(axes: list[Along], read: list[Array]) -> tuple[Array, Array]:
    """Element numbers in a plane by the places along the axes, and which are in it."""
    number: Array = np.zeros_like(read[0])
    inside = np.ones(number.shape, dtype=bool)
    for axis, place in zip(axes, read, strict=True):
        element = axis.reader.elements(place)
        inside = inside & (element >= 0)
        number = number * axis.reader.size + np.maximum(element, 0)
    return np.where(inside, number, 0), inside


def _nearest(ctx: Context, x: Form, axes: list[Along], cells: int) -> Form:
    images, channels = x.shape[:2]
    plane, points = math.prod(x.shape[2:]), axes[0].first.shape[1]
    wide = [[np.broadcast_to(a, (images, points, cells)) for a in (axis.first, axis.last)] for axis in axes]
    found: list[Any] = []
    for step in itertools.product(*(range(axis.most) for axis in axes)):
        read = [first + k for (first, _), k in zip(wide, step, strict=True)]
        may = np.logical_and.reduce([place <= last for place, (_, last) in zip(read, wide, strict=True)])
        number, inside = _numbers(axes, read)
        for channel in range(channels):
            image, point, cell = np.nonzero(may)
            first = (image * channels + channel) * plane
            at = np.where(inside[may], first + number[may], images * channels * plane)
            found.append(((image * channels + channel) * points + point, at, cell))
    named, at, cell = (np.concatenate(parts) for parts in zip(*found, strict=True))
    whole: Any = gather(ctx, [x, ctx.number(0)], np.arange(math.prod(x.shape) + 1))
    out: Any = hull(ctx.ar, whole, Pairs(named, at, cell), images * channels * points, cells)
    return out.each(lambda a: a.reshape(images, channels, points, a.shape[-1]))  # type: ignore[no-any-return]
