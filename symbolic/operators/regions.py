"""Pooling over regions of interest that are constants."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.moves import gather_map, joined
from symbolic.enclosures.taps import Row, Taps, table
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.extremum import strongest
from symbolic.operators.shapes import bounded

__all__ = ["HALF", "bins_of", "images_of", "places_of", "regions_of", "whole_bins"]

HALF = Fraction(1, 2)
MOST = 2**20
"""Samples, or elements of bins, of all regions together."""
Sample = tuple[tuple[int, Fraction], tuple[int, Fraction]] | None
"""Two neighbouring elements with their weights; None outside the image."""


def _moderate(node: Node, count: int) -> None:
    if count > MOST:
        raise ModelError(f"{node.label} reads more than {MOST} elements.")


def regions_of(node: Node, inputs: Inputs, columns: int) -> list[list[Fraction]]:
    """The coordinates of the regions, scaled to the image."""
    given = constant(node, inputs, 1, "regions")
    if given is None or given.value.ndim != 2 or given.value.shape[1] != columns:
        raise ModelError(f"{node.label} needs regions of {columns} numbers each.")
    if given.radius is not None and given.radius.any():
        raise ModelError(f"{node.label}: its regions are not known exactly.")
    scale = Fraction(node.number("spatial_scale"))
    skipped = columns - 4  # the image comes first, where it is among them
    return [
        [Fraction(v) * (1 if k < skipped else scale) for k, v in enumerate(row)]
        for row in given.value.tolist()
    ]


def images_of(node: Node, images: list[Any], count: int) -> NDArray[np.int64]:
    """Which image each region is in."""
    if any(not 0 <= k < count or k != int(k) for k in images):
        raise ModelError(f"{node.label}: a region lies in no image.")
    return np.array([int(k) for k in images], dtype=np.int64)


# ---- RoiAlign --------------------------------------------------------------------------------------------


@operator("RoiAlign")
def roi_align(node: Node, inputs: Inputs) -> Rule:
    """The mean of samples between the elements in each bin of a region; or the greatest weighted element that
    a sample reads, which is what implementations take for its maximum."""
    x, batches = required(node, inputs), constant(node, inputs, 2, "batch indices")
    rois = regions_of(node, inputs, 4)
    if batches is None or len(x.shape) != 4 or batches.value.size != len(rois):
        raise ModelError(f"{node.label}: its inputs do not fit.")
    planes = images_of(node, batches.value.reshape(-1).tolist(), x.shape[0])
    height, width = (int(node.attributes[name]) for name in ("output_height", "output_width"))
    bounded(node, [len(rois), x.shape[1], height, width])
    # before operator set 16 there was no shift by half an element
    shift = HALF if node.text("coordinate_transformation_mode") == "half_pixel" else Fraction(0)
    ratio = int(node.attributes["sampling_ratio"])
    _moderate(node, len(rois) * (height + width) * max(1, ratio))
    axes = [
        [bins_of(node, roi[k] - shift, roi[k + 2] - shift, bins, size, ratio, not shift) for roi in rois]
        for k, bins, size in ((1, height, x.shape[2]), (0, width, x.shape[3]))
    ]
    mode = node.text("mode").lower()
    if mode not in ("avg", "max"):
        raise ModelError(f"{node.label}: its mode is not known.")
    shape = (len(rois), x.shape[1], height, width)
    if mode == "avg":
        down, across = (_means(rows) for rows in axes)
        place = np.indices((height, width)).reshape(2, -1)
        taps, most = down.at(place[0]).times(across.at(place[1]), x.shape[3]), 1
    else:
        taps, most = corners(node, axes, x.shape[3])
    taps = Taps(taps.index, taps.weights, planes)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        y = taps.of(batch.lift(required(node, values)), batch)
        parts = [v.reshape(batch.size, *shape, most) for v in (y.c, y.d, y.r)]
        return (strongest(Affine(*(np.moveaxis(v, -1, 0) for v in parts))),)

    return rule


def bins_of(
    node: Node, start: Fraction, end: Fraction, bins: int, size: int, ratio: int, widen: bool
) -> list[list[Sample]]:
    """What the samples of each bin of a region read along an axis."""
    length = max(end - start, Fraction(1)) if widen else end - start
    count = ratio if ratio > 0 else max(0, ceil(length / bins))
    _moderate(node, bins * count)
    step = length / bins
    return [
        [_sample(start + k * step + (i + HALF) * step / count, size) for i in range(count)]
        for k in range(bins)
    ]


def _sample(u: Fraction, size: int) -> Sample:
    if u < -1 or u > size:
        return None
    u = min(max(u, Fraction(0)), Fraction(size - 1))
    low = min(floor(u), size - 1)
    return (low, 1 - (u - low)), (min(low + 1, size - 1), u - low)


def _means(regions: list[list[list[Sample]]]) -> Taps:
    """The mean of the samples of each bin."""

    def row(samples: list[Sample]) -> Row:
        total: dict[int, Fraction] = {}
        for k, weight in (pair for sample in samples if sample for pair in sample):
            total[k] = total.get(k, Fraction(0)) + weight / len(samples)
        return [(k, weight, Fraction(0)) for k, weight in total.items() if weight]

    return table([[row(samples) for samples in bins] for bins in regions])


def corners(node: Node, axes: list[list[list[list[Sample]]]], width: int) -> tuple[Taps, int]:
    """Every weighted element that the samples of a bin read, each as an output, and how many there are."""
    empty: list[tuple[int, Fraction]] = [(0, Fraction(0))]
    samples = [[[len(bin_) for bin_ in bins] for bins in regions] for regions in axes]
    _moderate(node, 4 * sum(sum(a) * sum(b) for a, b in zip(*samples, strict=True)))
    regions: list[list[list[tuple[int, Fraction]]]] = []
    for down, across in zip(*axes, strict=True):
        regions.append([])
        for rows in down:
            for columns in across:
                found = [
                    (k * width + m, v * w)
                    for a in rows
                    for b in columns
                    for k, v in (a if a and b else empty)
                    for m, w in (b if a and b else empty)
                ]
                regions[-1].append(found or empty)
    most = max((len(found) for bins in regions for found in bins), default=1)
    _moderate(node, most * sum(map(len, regions)))
    filled = [[found + found[:1] * (most - len(found)) for found in bins] for bins in regions]
    rows_of = [[[(k, w, Fraction(0))] for found in bins for k, w in found] for bins in filled]
    return table(rows_of), most


# ---- MaxRoiPool ------------------------------------------------------------------------------------------


@operator("MaxRoiPool")
def max_roi_pool(node: Node, inputs: Inputs) -> Rule:
    """The greatest element of each bin of a region with whole corners; 0 where a bin has none."""
    x = required(node, inputs)
    rois, pooled = regions_of(node, inputs, 5), node.integers("pooled_shape", ())
    if len(x.shape) != 4 or len(pooled) != 2 or min(pooled) < 1:
        raise ModelError(f"{node.label}: its inputs do not fit.")
    images = images_of(node, [roi[0] for roi in rois], x.shape[0])
    shape = (len(rois), x.shape[1], *pooled)
    bounded(node, shape)
    rows = [whole_bins(roi[2], roi[4], pooled[0], x.shape[2]) for roi in rois]
    columns = [whole_bins(roi[1], roi[3], pooled[1], x.shape[3]) for roi in rois]
    total = int(np.prod(x.shape))
    index = places_of(node, rows, columns, x.shape[3], total)  # (most, regions, bins) in one plane
    first = images[:, None] * x.shape[1] + np.arange(x.shape[1])
    places = index[:, :, None, :] + (first * (x.shape[2] * x.shape[3]))[None, :, :, None]
    move = gather_map(np.where(index[:, :, None, :] < 0, total, places).reshape(-1, *shape), total + 1)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        zero = Const(np.zeros(()))
        rows = map_value(joined([batch.lift(required(node, values)), zero], batch), move)
        form = batch.lift(rows)
        return (strongest(Affine(*(np.moveaxis(v, 1, 0) for v in (form.c, form.d, form.r)))),)

    return rule


def whole_bins(start: Fraction, end: Fraction, bins: int, size: int) -> list[range]:
    """The elements of each bin: corners go to the nearest element, halves away from zero."""
    first, last = (floor(abs(v) + HALF) * (1 if v >= 0 else -1) for v in (start, end))
    length = Fraction(max(last - first + 1, 1))
    return [
        range(
            min(max(floor(k * length / bins) + first, 0), size),
            min(max(ceil((k + 1) * length / bins) + first, 0), size),
        )
        for k in range(bins)
    ]


def places_of(
    node: Node, rows: list[list[range]], columns: list[list[range]], width: int, none: int
) -> NDArray[np.int64]:
    """The elements of every bin, filled up with its first; -1 where there is none."""
    _moderate(node, sum(sum(map(len, a)) * sum(map(len, b)) for a, b in zip(rows, columns, strict=True)))
    bins = [
        [[y * width + x for y in tall for x in wide] or [-1] for tall in down for wide in across]
        for down, across in zip(rows, columns, strict=True)
    ]
    most = max((len(found) for region in bins for found in region), default=1)
    _moderate(node, most * sum(map(len, bins)))
    filled = [[found + found[:1] * (most - len(found)) for found in region] for region in bins]
    return np.moveaxis(np.array(filled, dtype=np.int64), -1, 0)
