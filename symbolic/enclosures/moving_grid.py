"""Sampling an image at points that move: weights are hats of the coordinates, and so are enclosed like any
piecewise-linear function; where a nearest element is unknown, all that it may be take its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures import forms
from symbolic.enclosures.coordinates import Sampler
from symbolic.enclosures.curves import Curve, Piece, relax
from symbolic.enclosures.hulls import Candidates, grouped_hull
from symbolic.enclosures.values import Affine

__all__ = ["nearest_samples", "samples", "samples_at"]

HAT = Curve(
    (
        Piece(-1.0, "linear"),
        Piece(0.0, "linear", slope=1.0, intercept=1.0),
        Piece(1.0, "linear", slope=-1.0, intercept=1.0),
        Piece(np.inf, "linear"),
    )
)
ABS = Curve((Piece(0.0, "linear", slope=-1.0), Piece(np.inf, "linear", slope=1.0)))
WIDEST = 8
"""Elements along an axis that a coordinate may pass on a segment; where there are more, nothing is said."""
MOST = 2**24
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Along:
    """What an axis contributes: the first place that may be read, how many, and the coordinates."""

    size: int
    first: Places
    count: Places
    u: Affine
    lost: NDArray[np.bool_]


def _constant(like: Affine, number: float) -> Affine:
    zero = np.zeros_like(like.c)
    return Affine(zero + number, zero, zero)


def _shifted(a: Affine, number: float) -> Affine:
    return forms.add(a, _constant(a, number))


def _coordinates(how: Sampler, points: Affine, size: int) -> Affine:
    """From [-1, 1] to elements, brought back to the image as the padding asks."""
    step = np.array((size - 1 if how.align else size) / 2)
    u = _shifted(forms.scale(points, step), (size - 1) / 2)
    low, high = (float(v) for v in how.ends(size))
    if how.padding == "border":
        u = forms.maximum(u, _constant(u, 0.0))
        return forms.negative(forms.maximum(forms.negative(u), _constant(u, 1.0 - size)))
    if how.padding == "reflection":
        back = _shifted(relax(_shifted(u, -low), ABS), low - high)  # u - high, thrown back at the lower end
        back = _shifted(forms.negative(relax(back, ABS)), high)
        lo, hi = u.bounds()  # once at each end is enough for these
        near = (lo >= 2 * low - high) & (hi <= 2 * high - low)
        return Affine(np.where(near, back.c, np.nan), back.d, back.r)
    return u


def _along(how: Sampler, u: Affine, size: int) -> Along:
    lo, hi = u.bounds()
    lost = ~(np.isfinite(lo) & np.isfinite(hi) & (hi - lo < WIDEST))
    # what is clipped belongs to a range that lies outside the image as a whole
    lo, hi = (np.clip(np.where(lost, 0.0, v), -WIDEST - 3.0, size + WIDEST + 2.0) for v in (lo, hi))
    if how.mode == "nearest":
        first, last = np.rint(lo), np.rint(hi)
    else:
        first, last = np.floor(lo), np.floor(hi) + 1
    return Along(size, first.astype(np.int64), (last - first).astype(np.int64) + 1, u, lost)


def _axes(how: Sampler, x: Affine, grid: Affine) -> list[Along]:
    """The axes of the image; the grid is (segments, images, points, axes), its last axis reversed."""
    size = x.c.shape[3:]
    points = [Affine(*(v[..., -1 - k] for v in (grid.c, grid.d, grid.r))) for k in range(len(size))]
    return [_along(how, _coordinates(how, at, n), n) for at, n in zip(points, size, strict=True)]


def samples(how: Sampler, x: Affine, grid: Affine) -> Affine:
    """Linear interpolation of images (segments, images, channels, ...) at points: (..., channels, points)."""
    return _linear(how, x, _axes(how, x, grid))


def samples_at(x: Affine, places: Sequence[Affine]) -> Affine:
    """The same at coordinates (segments, images, points) that count elements, one for each axis; beyond the
    image are zeros."""
    how = Sampler("linear", "zeros", align=True)
    return _linear(how, x, [_along(how, u, n) for u, n in zip(places, x.c.shape[3:], strict=True)])


def _linear(how: Sampler, x: Affine, axes: Sequence[Along]) -> Affine:
    counts = [int(axis.count.max(initial=1)) for axis in axes]
    lost = np.logical_or.reduce([axis.lost for axis in axes])
    if prod(counts) * lost.size * x.c.shape[2] > MOST:
        return _nothing(x, lost)
    planes = Affine(*(v.reshape(*v.shape[:3], -1) for v in (x.c, x.d, x.r)))
    y = _interpolated(how, planes, axes, counts, [])
    return Affine(np.where(lost[:, :, None], np.nan, y.c), y.d, y.r)


def _interpolated(
    how: Sampler, x: Affine, axes: Sequence[Along], counts: Sequence[int], read: list[Places]
) -> Affine:
    """Interpolation along the axes that are not read yet: hats add up to 1, so one of the elements is a base
    that the differences from it are weighted against."""
    if len(read) == len(axes):
        return _elements(how, x, axes, read)
    axis, count = axes[len(read)], counts[len(read)]
    base = 0 if count == 2 else count // 2

    def along(k: int) -> Affine:
        return _interpolated(how, x, axes, counts, [*read, axis.first + k])

    start = along(base)
    total = start
    for k in range(count):
        if k != base:
            place = (axis.first + k).astype(np.float64)
            weight = relax(
                forms.subtract(axis.u, Affine(place, np.zeros_like(place), np.zeros_like(place))), HAT
            )
            weight = Affine(*(v[:, :, None] for v in (weight.c, weight.d, weight.r)))
            total = forms.add(total, forms.product(weight, forms.subtract(along(k), start)))
    return total


def _elements(how: Sampler, x: Affine, axes: Sequence[Along], read: Sequence[Places]) -> Affine:
    """The elements at places (segments, images, points) of all channels; zero beyond the border."""
    number, inside = _numbers(how, axes, read)
    at, keep = number[:, :, None], inside[:, :, None]
    return Affine(*(np.where(keep, np.take_along_axis(v, at, axis=3), 0.0) for v in (x.c, x.d, x.r)))


def _numbers(how: Sampler, axes: Sequence[Along], read: Sequence[Places]) -> tuple[Places, NDArray[np.bool_]]:
    """Elements of a plane by their places along the axes, and which are in it."""
    number, inside = np.zeros_like(read[0]), np.ones(read[0].shape, dtype=bool)
    for axis, place in zip(axes, read, strict=True):
        element = how.elements(place, axis.size)
        inside &= element >= 0
        number = number * axis.size + np.maximum(element, 0)
    return np.where(inside, number, 0), inside


def _nothing(x: Affine, lost: NDArray[np.bool_]) -> Affine:
    shape = (*x.c.shape[:3], lost.shape[-1])
    return Affine(np.full(shape, np.nan), np.zeros(shape), np.zeros(shape))


def nearest_samples(how: Sampler, x: Affine, grid: Affine) -> Affine:
    """The nearest element at points, or the hull of all that may be it."""
    axes = _axes(how, x, grid)
    lost = np.logical_or.reduce([axis.lost for axis in axes])
    ways = np.prod([axis.count.astype(np.float64) for axis in axes], axis=0)
    if ways.sum() * x.c.shape[2] > MOST:
        return _nothing(x, lost)
    owners = np.arange(lost.size, dtype=np.int64)
    places: list[Places] = []
    for axis in axes:
        found = Candidates(np.zeros(len(owners), dtype=np.int64), owners).shifted(
            axis.first.reshape(-1)[owners], axis.count.reshape(-1)[owners], 1
        )
        again = np.repeat(np.arange(len(owners)), axis.count.reshape(-1)[owners])
        places = [*(p[again] for p in places), found.number]
        owners = found.owner
    number, inside = _numbers(how, axes, places)
    plane = owners // lost.shape[-1]  # of all segments and images
    size = prod(x.c.shape[3:]) + 1  # with a zero behind each plane
    picked = Candidates(plane * size + np.where(inside, number, size - 1), owners)
    channels = []
    for channel in range(x.c.shape[2]):
        flat = [v[:, :, channel].reshape(*v.shape[:2], -1) for v in (x.c, x.d, x.r)]
        whole = Affine(*(np.concatenate([v, np.zeros((*v.shape[:2], 1))], axis=2) for v in flat))
        channels.append(grouped_hull(whole, picked))
    parts = [np.stack([getattr(y, name).reshape(lost.shape) for y in channels], axis=2) for name in "cdr"]
    return Affine(np.where(lost[:, :, None], np.nan, parts[0]), parts[1], parts[2])
