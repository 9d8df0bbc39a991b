"""RoiAlign and MaxRoiPool: pooling over constant regions of interest."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import tournament
from verifier.check.operators.registry import Context, Node, fractions, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather
from verifier.check.operators.taps import Row, crossed, prepared, weighted

__all__: list[str] = []

MOST = 1 << 20  # elements that all bins read together
HALF = Fraction(1, 2)


def _regions(node: Node, value: Any, columns: int) -> list[list[Fraction]]:
    if len(value.shape) != 2 or value.shape[1] != columns:
        raise node.refuse(f"regions need {columns} numbers each")
    flat = fractions(node, value)
    return [flat[k : k + columns] for k in range(0, len(flat), columns)]


def _planes(node: Node, images: list[int], shape: tuple[int, ...], bins: int) -> Array:
    """The first elements of the planes of every bin of every region."""
    if any(not 0 <= image < shape[0] for image in images):
        raise node.refuse("a region lies in no image")
    at = np.array(images, dtype=np.int64)[:, None] * shape[1] + np.arange(shape[1])
    return np.repeat(at * math.prod(shape[2:]), bins, axis=0)


@operator("RoiAlign", still=(1, 2))
def _roi_align(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x = inputs[0]
    images = whole_numbers(node, inputs[2]).reshape(-1).tolist()
    height, width = node.get("output_height"), node.get("output_width")
    bounded(node, (len(images), x.shape[1], height, width))
    if min(height, width, *x.shape[2:]) < 1:
        raise node.refuse("it has no bins")
    planes = _planes(node, images, x.shape, height * width)

    def table() -> tuple[Any, int]:
        rois = _regions(node, inputs[1], 4)
        if len(rois) != len(images):
            raise node.refuse("not every region has an image")
        bins = [pair for roi in rois for pair in _bins(node, roi, x.shape[2:], (height, width))]
        if sum(len(a) * len(b) for a, b in bins) * 4 > MOST:
            raise node.refuse(f"more than {MOST} samples")
        if node.get("mode").lower() == b"avg":
            return prepared(ctx, node, [_mean(a, b, x.shape[3]) for a, b in bins]), 1
        parts = [
            [[tap] for a in down for b in across for tap in _four(a, b, x.shape[3])] for down, across in bins
        ]
        most = max((len(p) for p in parts), default=0) or 1
        if most * len(parts) > MOST:
            raise node.refuse(f"more than {MOST} samples")
        padded = [(p or [[]]) + (p or [[]])[:1] * (most - max(len(p), 1)) for p in parts]
        return prepared(ctx, node, [row for p in padded for row in p]), most

    how, most = ctx.once(node, table)
    y = weighted(ctx, node, x, how, np.repeat(planes, most, axis=0))
    if most > 1:
        y = tournament(ctx.ar, y.each(lambda a: np.swapaxes(a.reshape(-1, most, *a.shape[1:]), 0, 1)))
    return _shaped(y, (len(images), x.shape[1], height, width))


def _shaped(y: Form, shape: tuple[int, ...]) -> Form:
    """(bins of all regions, channels) -> (regions, channels, bins)."""
    return y.each(lambda a: np.moveaxis(a.reshape(shape[0], *shape[2:], shape[1], a.shape[-1]), 3, 1))


def _bins(
    node: Node, roi: list[Fraction], size: Any, bins: tuple[int, int]
) -> list[tuple[list[Row], list[Row]]]:
    """What the samples of each bin read, down and across."""
    # Before operator set 16, and in its mode, regions are not shifted, and no smaller than an element.
    shifted = node.get("coordinate_transformation_mode", b"") == b"half_pixel"
    scale = Fraction(node.get("spatial_scale"))
    x1, y1, x2, y2 = (v * scale - (HALF if shifted else 0) for v in roi)
    axes = []
    for start, end, count, n in ((y1, y2, bins[0], size[0]), (x1, x2, bins[1], size[1])):
        step = (end - start if shifted else max(end - start, Fraction(1))) / count
        samples = node.get("sampling_ratio") if node.get("sampling_ratio") > 0 else max(math.ceil(step), 0)
        if samples * count > MOST:
            raise node.refuse(f"more than {MOST} samples")
        axes.append(
            [
                [_sample(start + step * (k + (i + HALF) / samples), n) for i in range(samples)]
                for k in range(count)
            ]
        )
    return [(down, across) for down in axes[0] for across in axes[1]]


def _sample(u: Fraction, n: int) -> Row:
    """Two neighbours, one of which may weigh nothing; none outside the image."""
    if not -1 <= u <= n:
        return []
    u = max(Fraction(0), min(u, Fraction(n - 1)))
    k = math.floor(u)
    return [(k, 1 - u + k, Fraction(0)), (min(k + 1, n - 1), u - k, Fraction(0))]


def _mean(down: list[Row], across: list[Row], width: int) -> Row:
    """The mean over all pairs of samples."""
    sides = []
    for samples in (down, across):
        total: dict[int, Fraction] = {}
        for k, w, _ in (tap for row in samples for tap in row):
            total[k] = total.get(k, Fraction(0)) + w / len(samples)
        sides.append([(k, w, Fraction(0)) for k, w in total.items() if w])
    return crossed(sides[0], sides[1], width)


def _four(a: Row, b: Row, width: int) -> Row:
    """The four weighted elements of a sample, of which a maximum takes the greatest; zero outside."""
    return crossed(a, b, width) or [(0, Fraction(0), Fraction(0))]


@operator("MaxRoiPool", still=(1,))
def _max_roi_pool(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x = inputs[0]
    rois = _regions(node, inputs[1], 5)
    height, width = node.get("pooled_shape")
    bounded(node, (len(rois), x.shape[1], height, width))
    if any(roi[0].denominator != 1 for roi in rois):
        raise node.refuse("a region lies in no image")
    planes = _planes(node, [int(roi[0]) for roi in rois], x.shape, height * width)
    scale = Fraction(node.get("spatial_scale"))

    def table() -> Array:
        found = []
        for _, x1, y1, x2, y2 in rois:
            down = _whole(y1 * scale, y2 * scale, height, x.shape[2])
            across = _whole(x1 * scale, x2 * scale, width, x.shape[3])
            found += [(a, b) for a in down for b in across]
        if sum(len(a) * len(b) for a, b in found) > MOST:
            raise node.refuse(f"more than {MOST} elements in the bins")
        cells = [[k * x.shape[3] + m for k in a for m in b] or [-1] for a, b in found]
        most = max(map(len, cells), default=1)
        bounded(node, (most, len(cells), x.shape[1]))
        number = np.array([c + c[:1] * (most - len(c)) for c in cells], dtype=np.int64).reshape(-1, most).T
        return np.where(number[:, :, None] < 0, math.prod(x.shape), number[:, :, None] + planes)

    rows = gather(ctx, ctx.alike(x, ctx.number(0)), ctx.once(node, table, exact=True))
    return _shaped(tournament(ctx.ar, rows), (len(rois), x.shape[1], height, width))  # type: ignore[arg-type]


def _whole(start: Fraction, end: Fraction, bins: int, n: int) -> list[range]:
    """The elements of each bin between two corners, rounded away from zero at halves."""
    nearest: Callable[[Fraction], int] = lambda v: int(abs(v) + HALF) * (-1 if v < 0 else 1)  # noqa: E731
    first = nearest(start)
    count = max(nearest(end) - first + 1, 1)
    ends = [(first + k * count // bins, first - (-(k + 1) * count // bins)) for k in range(bins)]
    return [range(min(max(a, 0), n), min(max(b, 0), n)) for a, b in ends]
