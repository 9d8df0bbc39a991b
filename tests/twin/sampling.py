"""Reading images between their elements, region by region and block by block."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from quicktions import Fraction

from .call import Call, operator
from .exact import UNKNOWN, Array, Unknown, bounds, greatest
from .structure import full

HALF = Fraction(1, 2)


def exactly(value: Any) -> Fraction | None:
    """A number that is known exactly."""
    if isinstance(value, Unknown) or bounds(value)[0] != bounds(value)[1]:
        return None
    return bounds(value)[0]


def hat(u: Fraction) -> Fraction:
    return max(Fraction(0), 1 - abs(u))


def keys(u: Fraction) -> Fraction:
    """Keys' cubic kernel with a = -3/4."""
    a, u = Fraction(-3, 4), abs(u)
    if u <= 1:
        return (a + 2) * u**3 - (a + 3) * u**2 + 1
    return a * u**3 - 5 * a * u**2 + 8 * a * u - 4 * a if u < 2 else Fraction(0)


# --- GridSample ---


def reflect(u: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """Thrown back at the borders until it lies between them."""
    if low == high:
        return low
    while not low <= u <= high:
        u = 2 * low - u if u < low else 2 * high - u
    return u


class Axis:
    """One spatial axis of the image."""

    def __init__(self, call: Call, size: int) -> None:
        self.size = size
        self.align = call.attribute("align_corners", 0)
        self.mode = call.attribute("mode", "bilinear" if call.opset < 20 else "linear")
        self.padding = call.attribute("padding_mode", "zeros")
        edge = Fraction(0) if self.align else HALF
        self.low, self.high = -edge, size - 1 + edge

    def pixel(self, k: int) -> int | None:
        """Which element is read at place k; None for zero."""
        if 0 <= k < self.size:
            return k
        if self.padding == "zeros":
            return None
        if self.padding == "border":
            return min(max(k, 0), self.size - 1)
        return int(reflect(Fraction(k), self.low, self.high))

    def taps(self, point: Fraction) -> list[tuple[int | None, Fraction]]:
        """Elements and weights."""
        if self.align:
            u = (point + 1) / 2 * (self.size - 1)
        else:
            u = ((point + 1) * self.size - 1) / 2
        if self.mode == "nearest":
            u = Fraction(round(u))
        if not self.low <= u <= self.high and self.padding == "border":
            u = min(max(u, Fraction(0)), Fraction(self.size - 1))
        if not self.low <= u <= self.high and self.padding == "reflection":
            u = reflect(u, self.low, self.high)
        if self.mode == "nearest":
            return [(self.pixel(int(u)), Fraction(1))]
        kernel, reach = (keys, 2) if self.mode in ("cubic", "bicubic") else (hat, 1)
        near = range(math.floor(u) - reach, math.floor(u) + reach + 2)
        return [(self.pixel(k), kernel(u - k)) for k in near if kernel(u - k) != 0]


@operator("GridSample")
def grid_sample(call: Call) -> list[Array]:
    x, grid = call[0], call[1]
    axes = [Axis(call, size) for size in x.shape[2:]]
    out = np.empty((*x.shape[:2], *grid.shape[1:-1]), dtype=object)
    for index in np.ndindex(out.shape):
        point = [exactly(v) for v in grid[(index[0], *index[2:])][::-1]]
        if None in point:
            out[index] = UNKNOWN
            continue
        taps = [axis.taps(p) for axis, p in zip(axes, point, strict=True)]  # type: ignore[arg-type]
        out[index] = read(x[index[:2]], taps)
    return [out]


def read(image: Array, taps: list[list[tuple[int | None, Fraction]]]) -> Any:
    """The weighted sum over all combinations of the taps of the axes."""
    total: Any = Fraction(0)
    for choice in itertools.product(*taps):
        if all(k is not None for k, _ in choice):
            weight = math.prod((w for _, w in choice), start=Fraction(1))
            total = total + weight * image[tuple(k for k, _ in choice)]
    return total


@operator("AffineGrid")
def affine_grid(call: Call) -> list[Array]:
    theta, size = call[0], call.integers(1)
    assert size is not None
    spatial = size[2:]
    out = np.empty((size[0], *spatial, len(spatial)), dtype=object)
    for index in np.ndindex(out.shape):
        place = [
            Fraction(2 * k, n - 1) - 1 if call.attribute("align_corners", 0) else Fraction(2 * k + 1, n) - 1
            for k, n in zip(index[1:-1], spatial, strict=True)
        ]
        row = theta[index[0], index[-1]]
        out[index] = sum((a * b for a, b in zip(row, [*place[::-1], Fraction(1)], strict=True)), Fraction(0))
    return [out]


# --- regions ---


@operator("RoiAlign")
def roi_align(call: Call) -> list[Array]:
    x, rois, images = call[0], call[1], call.integers(2)
    assert images is not None
    height, width = call.attribute("output_height", 1), call.attribute("output_width", 1)
    out = np.empty((len(images), x.shape[1], height, width), dtype=object)
    scale, ratio = call.attribute("spatial_scale", Fraction(1)), call.attribute("sampling_ratio", 0)
    default = "output_half_pixel" if call.opset < 16 else "half_pixel"
    half = call.attribute("coordinate_transformation_mode", default) == "half_pixel"
    for index in np.ndindex(out.shape):
        corner = [exactly(v) * scale - (HALF if half else 0) for v in rois[index[0]]]  # type: ignore[operator]
        axes = []
        for k, bins, place in ((1, height, index[2]), (0, width, index[3])):
            length = corner[k + 2] - corner[k]
            length = length if half else max(length, Fraction(1))
            count = ratio if ratio > 0 else max(0, math.ceil(length / bins))
            step = length / bins
            axes.append([corner[k] + place * step + (i + HALF) * step / count for i in range(count)])
        image = x[images[index[0]], index[1]]
        samples = [corners(image, y, x_) for y in axes[0] for x_ in axes[1]]
        if call.attribute("mode", "avg") == "avg":
            total = sum((v for four in samples for v in four), Fraction(0))
            out[index] = total * Fraction(1, max(1, len(samples)))
        else:
            out[index] = greatest([v for four in samples for v in four]) if samples else Fraction(0)
    return [out]


def corners(image: Array, y: Fraction, x: Fraction) -> list[Any]:
    """The four elements around a point, times their weights; zeros outside the image."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return [Fraction(0)] * 4
    found = []
    sides = []
    for u, size in ((y, height), (x, width)):
        u = max(u, Fraction(0))
        low = min(int(u), size - 1)
        u = min(u, Fraction(size - 1))
        sides.append([(low, 1 - (u - low)), (min(low + 1, size - 1), u - low)])
    for (k, v), (m, w) in itertools.product(*sides):
        found.append(v * w * image[k, m])
    return found


@operator("MaxRoiPool")
def max_roi_pool(call: Call) -> list[Array]:
    """The standard does not say what the bins are; these are those of Fast R-CNN."""
    x, rois, pooled = call[0], call[1], call.attribute("pooled_shape")
    scale = call.attribute("spatial_scale", Fraction(1))
    out = np.empty((len(rois), x.shape[1], *pooled), dtype=object)
    for index in np.ndindex(out.shape):
        image, x1, y1, x2, y2 = (exactly(v) for v in rois[index[0]])
        ranges = []
        for start, end, bins, place, size in (
            (y1, y2, pooled[0], index[2], x.shape[2]),
            (x1, x2, pooled[1], index[3], x.shape[3]),
        ):
            first, last = away(start * scale), away(end * scale)  # type: ignore[operator]
            length = Fraction(max(last - first + 1, 1), bins)
            low, high = math.floor(place * length) + first, math.ceil((place + 1) * length) + first
            ranges.append(range(min(max(low, 0), size), min(max(high, 0), size)))
        cells = [x[int(image), index[1], k, m] for k in ranges[0] for m in ranges[1]]  # type: ignore[arg-type]
        out[index] = greatest(cells) if cells else Fraction(0)
    return [out]


def away(value: Fraction) -> int:
    """The nearest integer; halves go away from zero."""
    return math.floor(value + HALF) if value >= 0 else -math.floor(-value + HALF)


# --- blocks ---


@operator("Col2Im")
def col2im(call: Call) -> list[Array]:
    x, image, block = call[0], call.integers(1), call.integers(2)
    assert image is not None and block is not None
    n = len(image)
    strides, dilations = call.attribute("strides", [1] * n), call.attribute("dilations", [1] * n)
    pads = call.attribute("pads", [0] * 2 * n)
    channels = x.shape[1] // math.prod(block)
    out = full([x.shape[0], channels, *image], Fraction(0))
    counts = [
        (image[i] + pads[i] + pads[n + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
        for i in range(n)
    ]
    for b, c in np.ndindex(x.shape[0], channels):
        for e, entry in enumerate(np.ndindex(*block)):
            for p, place in enumerate(np.ndindex(*counts)):
                at = [place[i] * strides[i] - pads[i] + entry[i] * dilations[i] for i in range(n)]
                if all(0 <= k < size for k, size in zip(at, image, strict=True)):
                    where = (b, c, *at)
                    out[where] = out[where] + x[b, c * math.prod(block) + e, p]
    return [out]


@operator("DeformConv")
def deform_conv(call: Call) -> list[Array]:
    x, w, offset = call[0], call[1], call[2]
    n = x.ndim - 2
    kernel, out_size = w.shape[2:], offset.shape[2:]
    strides, dilations = call.attribute("strides", [1] * n), call.attribute("dilations", [1] * n)
    pads = call.attribute("pads", [0] * 2 * n)
    groups, shares = call.attribute("group", 1), call.attribute("offset_group", 1)
    taps = math.prod(kernel)
    out = np.empty((x.shape[0], w.shape[0], *out_size), dtype=object)
    if any(exactly(v) is None for v in offset.reshape(-1)):
        return [np.full(out.shape, UNKNOWN, dtype=object)]
    for index in np.ndindex(out.shape):
        total: Any = call[3][index[1]] if call.has(3) else Fraction(0)
        first = index[1] // (w.shape[0] // groups) * w.shape[1]
        for c in range(w.shape[1]):
            share = (first + c) // (x.shape[1] // shares)
            for e, entry in enumerate(np.ndindex(*kernel)):
                point = []
                for i in range(n):
                    step = exactly(offset[(index[0], (share * taps + e) * n + i, *index[2:])])
                    base = index[2 + i] * strides[i] - pads[i] + entry[i] * dilations[i]
                    point.append(base + step)  # type: ignore[operator]
                weight = w[(index[1], c, *entry)]
                if call.has(4):
                    weight = weight * call[4][(index[0], share * taps + e, *index[2:])]
                total = total + weight * between(x[index[0], first + c], point)
        out[index] = total
    return [out]


def between(image: Array, point: list[Fraction]) -> Any:
    """Linear interpolation; what is outside is zero."""
    taps: list[list[tuple[int | None, Fraction]]] = [
        [(k, hat(u - k)) for k in (math.floor(u), math.floor(u) + 1) if 0 <= k < size]
        for u, size in zip(point, image.shape, strict=True)
    ]
    return read(image, taps)
