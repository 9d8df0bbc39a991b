"""Elements read between elements as layers: interpolation with rational weights, and regions of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import product
from math import prod

import numpy as np

from symbolic.enclosures.coordinates import Ambiguous, Sampler
from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.columns import starts_of
from symbolic.operators.regions import HALF, bins_of, images_of, places_of, regions_of, whole_bins
from symbolic.operators.resize import extrapolated, interpolations
from symbolic.operators.sampling import MODES, place_of
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.convolutions import shifted
from symbolic.pieces.operators.parts import absent, combination, fractions, moving, standing, units
from symbolic.pieces.operators.products import elementwise, matrix_product
from symbolic.pieces.program import Ids

__all__: list[str] = []

Row = dict[int, Fraction]
"""Elements of an axis, or of a plane, with their weights."""
MOST_WEIGHTS = 1 << 21


def _weighted(b: Builder, planes: Ids, rows: Sequence[Row]) -> Ids:
    """(channels, rows) of planes (channels, elements)."""
    if len(planes) * sum(map(len, rows)) > MOST_WEIGHTS:
        raise ModelError(f"{b.label} is too large for exact linear pieces.")
    found = [[(int(plane[k]), w) for k, w in row.items()] for plane in planes for row in rows]
    return combination(b, found).reshape(len(planes), len(rows))


def _planar(axes: Iterable[Row], sizes: Sequence[int]) -> Row:
    """The product of what is read along every axis."""
    found: Row = {0: Fraction(1)}
    for row, size in zip(axes, sizes, strict=True):
        found = {k * size + m: v * w for (k, v), (m, w) in product(found.items(), row.items())}
    return found


@lowers("Resize", "Upsample")
def resize(b: Builder, node: Node, given: Given) -> list[Units]:
    """Along every axis a sparse matrix of rational numbers."""
    x = moving(node, given)
    fixed = [Const(np.zeros(x.shape)), *(standing(node, given, k) for k in range(1, len(given)))]
    for axis, rows in interpolations(node, fixed):
        front = np.moveaxis(x, axis, -1)
        made = _weighted(b, front.reshape(prod(front.shape[:-1]), front.shape[-1]), rows)
        x = np.moveaxis(made.reshape(*front.shape[:-1], len(rows)), -1, axis)
    outside = extrapolated(node, fixed)
    if not outside.any():
        return b.tensor(x)
    fill = b.constants(np.array(node.finite("extrapolation_value")))
    return b.tensor(np.where(outside, fill, x))


@lowers("GridSample")
def grid_sample(b: Builder, node: Node, given: Given) -> list[Units]:
    """At points that stand."""
    x, grid = moving(node, given), standing(node, given, 1)
    if grid is None:
        raise ModelError(f"{node.label} lacks its grid.")
    mode, padding = node.text("mode"), node.text("padding_mode")
    how = Sampler(MODES.get(mode, mode), padding, node.flag("align_corners"))
    size, points = x.shape[2:], grid.shape[1:-1]
    value = b.exactly(grid).reshape(x.shape[0], prod(points), len(size))
    made = np.zeros((*x.shape[:2], prod(points)), dtype=np.int64)
    for k, planes in enumerate(x.reshape(*x.shape[:2], prod(size))):
        rows = [
            # coordinates are listed from the innermost axis outward
            _planar([_read(b, how, how.exact(u, n), n) for u, n in zip(point[::-1], size, strict=True)], size)
            for point in value[k].tolist()
        ]
        made[k] = _weighted(b, planes, rows)
    return b.tensor(made.reshape(*x.shape[:2], *points))


def _read(b: Builder, how: Sampler, at: Fraction, size: int) -> Row:
    try:
        return how.row(at, size)
    except Ambiguous:
        raise ModelError(f"{b.label}: a place between its elements means different things.") from None


@lowers("AffineGrid")
def affine_grid(b: Builder, node: Node, given: Given) -> list[Units]:
    """The points of a regular grid under an affine map for each image."""
    theta, wanted = moving(node, given), standing(node, given, 1)
    if wanted is None:
        raise ModelError(f"{node.label} lacks a size.")
    size = [int(v) for v in wanted.value.reshape(-1)][2:]
    axes = [[place_of(k, n, node.flag("align_corners")) for k in range(n)] for n in size]
    points = [[*point[::-1], Fraction(1)] for point in product(*axes)]
    made = _weighted(b, theta.reshape(-1, len(size) + 1), [dict(enumerate(point)) for point in points])
    turned = made.reshape(len(theta), len(size), len(points)).swapaxes(1, 2)
    return b.tensor(turned.reshape(len(theta), *size, len(size)))


@lowers("DeformConv")
def deform_conv(b: Builder, node: Node, given: Given) -> list[Units]:
    """At offsets that stand; the kernel is a matrix for what is read."""
    x, kernel, offset = units(b, node, given, 0), given[1], standing(node, given, 2)
    if kernel is None or offset is None:
        raise ModelError(f"{node.label} lacks its kernel or its offsets.")
    size, taps, out = x.shape[2:], kernel.shape[2:], offset.shape[2:]
    groups, shares = int(node.attributes["group"]), int(node.attributes["offset_group"])
    batched, outputs, rank = len(x), kernel.shape[0], len(size)
    starts = starts_of(node, size, taps, out)
    moved = fractions(b, offset).reshape(batched * shares, prod(taps), rank, prod(out))
    how = Sampler("linear", "zeros", align=True)
    planes = x.reshape(batched * shares, x.shape[1] // shares, prod(size))
    seen = []
    for shift, plane in zip(moved, planes, strict=True):
        at = [[Fraction(u) for u in start.reshape(-1).tolist()] for start in starts]
        by = [shift[:, k].reshape(-1).tolist() for k in range(rank)]
        rows = [
            _planar([_read(b, how, at[k][m] + by[k][m], n) for k, n in enumerate(size)], size)
            for m in range(prod(taps) * prod(out))
        ]
        seen.append(_weighted(b, plane, rows))
    columns = np.stack(seen)
    if not absent(given, 4):
        mask = given[4]
        flat = (batched * shares, 1, prod(taps) * prod(out))
        if isinstance(mask, Units):
            columns = elementwise(b, Units(columns), Units(mask.ids.reshape(flat)))
        elif mask is not None:
            columns = elementwise(b, Units(columns), Const(mask.value.reshape(flat), _shaped(mask, flat)))
    terms = prod(kernel.shape[1:])
    parts = Units(columns.reshape(batched, groups, terms, prod(out)))
    shape = (1, groups, outputs // groups, terms)
    if isinstance(kernel, Units):
        made = matrix_product(b, Units(kernel.ids.reshape(shape)), parts)
    else:
        made = matrix_product(b, Const(kernel.value.reshape(shape), _shaped(kernel, shape)), parts)
    y = made.reshape(batched, outputs, *out)
    bias = None if absent(given, 3) else given[3]
    return b.tensor(y if bias is None else shifted(b, y, bias))


def _shaped(value: Const, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if value.radius is None else value.radius.reshape(shape)


# ---- regions -------------------------------------------------------------------------------------


@lowers("RoiAlign")
def roi_align(b: Builder, node: Node, given: Given) -> list[Units]:
    """The mean of samples in each bin of a region, or the greatest weighted element that a sample reads."""
    x, batches = moving(node, given), standing(node, given, 2)
    rois = regions_of(node, [None, standing(node, given, 1)], 4)
    if batches is None:
        raise ModelError(f"{node.label} lacks its batch indices.")
    images = images_of(node, batches.value.reshape(-1).tolist(), len(x))
    height, width = (int(node.attributes[name]) for name in ("output_height", "output_width"))
    shift = HALF if node.text("coordinate_transformation_mode") == "half_pixel" else Fraction(0)
    ratio, greatest = int(node.attributes["sampling_ratio"]), node.text("mode").lower() == "max"
    made = np.zeros((len(rois), x.shape[1], height * width), dtype=np.int64)
    for k, (roi, image) in enumerate(zip(rois, images, strict=True)):
        down, across = (
            bins_of(node, roi[m] - shift, roi[m + 2] - shift, bins, size, ratio, not shift)
            for m, bins, size in ((1, height, x.shape[2]), (0, width, x.shape[3]))
        )
        bins = [[(u, v) for u in rows for v in columns] for rows in down for columns in across]
        planes = x[image].reshape(x.shape[1], prod(x.shape[2:]))
        read = _greatest if greatest else _mean
        made[k] = np.stack([read(b, planes, samples, x.shape[3]) for samples in bins], axis=-1)
    return b.tensor(made.reshape(len(rois), x.shape[1], height, width))


Sample = tuple[tuple[tuple[int, Fraction], ...] | None, tuple[tuple[int, Fraction], ...] | None]


def _corners(sample: Sample, width: int) -> list[tuple[int, Fraction]]:
    """The weighted elements that a sample reads; an empty one outside the image."""
    rows, columns = sample
    if not rows or not columns:
        return [(0, Fraction(0))]
    return [(k * width + m, v * w) for k, v in rows for m, w in columns]


def _mean(b: Builder, planes: Ids, samples: Sequence[Sample], width: int) -> Ids:
    row: Row = {}
    for k, w in (corner for sample in samples for corner in _corners(sample, width)):
        row[k] = row.get(k, Fraction(0)) + w / len(samples)
    return _weighted(b, planes, [row])[:, 0]


def _greatest(b: Builder, planes: Ids, samples: Sequence[Sample], width: int) -> Ids:
    corners = [corner for sample in samples for corner in _corners(sample, width)]
    return b.maximum(_weighted(b, planes, [{k: w} for k, w in corners or [(0, Fraction(0))]]))


@lowers("MaxRoiPool")
def max_roi_pool(b: Builder, node: Node, given: Given) -> list[Units]:
    """The greatest element of each bin of a region with whole corners; 0 where a bin has none."""
    x = moving(node, given)
    rois, pooled = regions_of(node, [None, standing(node, given, 1)], 5), node.integers("pooled_shape", ())
    images = images_of(node, [roi[0] for roi in rois], len(x))
    rows = [whole_bins(roi[2], roi[4], pooled[0], x.shape[2]) for roi in rois]
    columns = [whole_bins(roi[1], roi[3], pooled[1], x.shape[3]) for roi in rois]
    index = np.moveaxis(places_of(node, rows, columns, x.shape[3], 0), 0, -1)  # (regions, bins, most)
    planes = x.reshape(*x.shape[:2], prod(x.shape[2:]))
    table = np.stack(
        [planes[i][:, at] for i, at in zip(images, index, strict=True)] or [np.zeros((0, 0, 0, 1), int)]
    )
    table = np.where(index[:, None] < 0, 0, table)
    return b.tensor(b.maximum(table).reshape(len(rois), x.shape[1], *pooled))
