"""Resize, by its definition: each output element is a weighted sum of neighbours of a point of the input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from quicktions import Fraction

from .call import Call, operator, to_axis
from .exact import Array, float32

HALF = Fraction(1, 2)


def _triangle(x: Fraction) -> Fraction:
    return max(Fraction(0), 1 - abs(x))


def _cubic(a: Fraction) -> Callable[[Fraction], Fraction]:
    def weight(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else Fraction(0)

    return weight


class Axis:
    """One axis of the input and how it is sampled."""

    def __init__(
        self, call: Call, size: int, scale: Fraction, length: int, roi: tuple[Fraction, Fraction]
    ) -> None:
        self.call, self.size, self.scale, self.length, self.roi = call, size, scale, length, roi
        default = "half_pixel" if call.opset >= 11 else "asymmetric"
        self.transformation = call.attribute("coordinate_transformation_mode", default)
        self.mode = call.attribute("mode", "nearest")

    def source(self, position: int) -> Fraction:
        """The coordinate of the output position in the input."""
        width = self.scale * self.size  # the standard's output_width, may be fractional
        centre = (position + HALF) / self.scale - HALF
        match self.transformation:
            case "half_pixel":
                return centre
            case "pytorch_half_pixel":
                return centre if self.length > 1 else Fraction(0)
            case "half_pixel_symmetric":
                return Fraction(self.size, 2) * (1 - self.length / width) + centre
            case "asymmetric":
                return position / self.scale
            case "align_corners":
                return position * (self.size - 1) / (width - 1) if width != 1 else Fraction(0)
            case "tf_crop_and_resize":
                start, end = self.roi
                if width == 1:
                    return (start + end) * (self.size - 1) / 2
                return start * (self.size - 1) + position * (end - start) * (self.size - 1) / (width - 1)
        raise NotImplementedError(self.transformation)

    def weights(self, position: int) -> list[tuple[int, Fraction]] | None:
        """Pairs of input index and weight; None outside the region of tf_crop_and_resize."""
        x = self.source(position)
        if self.transformation == "tf_crop_and_resize" and not 0 <= x <= self.size - 1:
            return None
        if self.mode == "nearest":
            return [(self._clamp(self._nearest(x)), Fraction(1))]
        cubic = self.mode == "cubic"
        kernel = _cubic(self.call.attribute("cubic_coeff_a", float32(-0.75))) if cubic else _triangle
        stretch = min(self.scale, Fraction(1)) if self.call.attribute("antialias", 0) else Fraction(1)
        reach = (2 if cubic else 1) / stretch
        taps = [
            (i, kernel((i - x) * stretch)) for i in range(math.floor(x - reach), math.ceil(x + reach) + 1)
        ]
        total = sum(weight for _, weight in taps)
        taps = [(i, weight / total) for i, weight in taps if weight != 0]
        if self.call.attribute("exclude_outside", 0):
            taps = [(i, weight) for i, weight in taps if 0 <= i < self.size]
            total = sum(weight for _, weight in taps)
            taps = [(i, weight / total) for i, weight in taps]
        return [(self._clamp(i), weight) for i, weight in taps]

    def _clamp(self, index: int) -> int:
        return min(max(index, 0), self.size - 1)

    def _nearest(self, x: Fraction) -> int:
        match self.call.attribute("nearest_mode", "round_prefer_floor" if self.call.opset >= 11 else "floor"):
            case "round_prefer_floor":
                return math.ceil(x - HALF)
            case "round_prefer_ceil":
                return math.floor(x + HALF)
            case "floor":
                return math.floor(x)
            case "ceil":
                return math.ceil(x)
        raise NotImplementedError("nearest_mode")


def _axes_of(call: Call) -> list[Axis]:
    shape = call[0].shape
    named = call.attribute("axes")
    axes = list(range(len(shape))) if named is None else [to_axis(a, len(shape)) for a in named]
    at = 1 if call.opset < 11 else 2
    roi = list(call[1]) if call.opset >= 11 and call.has(1) and call[1].size else None
    given = list(call[at]) if call.has(at) and call[at].size else None
    sizes = call.integers(3)
    scales = [Fraction(1)] * len(shape)
    lengths = list(shape)
    if given is not None:
        for axis, scale in zip(axes, given, strict=True):
            scales[axis], lengths[axis] = Fraction(scale), math.floor(scale * shape[axis])
    elif sizes is not None:
        ratios = [Fraction(size, shape[axis]) for axis, size in zip(axes, sizes, strict=True)]
        policy = call.attribute("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratios = [min(ratios) if policy == "not_larger" else max(ratios)] * len(axes)
        for axis, ratio, size in zip(axes, ratios, sizes, strict=True):
            scales[axis] = ratio
            lengths[axis] = size if policy == "stretch" else math.floor(ratio * shape[axis] + HALF)
    regions = [(Fraction(0), Fraction(1))] * len(shape)
    if roi is not None:
        for i, axis in enumerate(axes):
            regions[axis] = (Fraction(roi[i]), Fraction(roi[len(axes) + i]))
    return [Axis(call, shape[i], scales[i], lengths[i], regions[i]) for i in range(len(shape))]


@operator("Resize")
def resize(call: Call) -> list[Array]:
    x, axes = call[0], _axes_of(call)
    outside = call.attribute("extrapolation_value", Fraction(0))
    untouched = [
        a.scale == 1 and a.length == a.size and a.transformation != "tf_crop_and_resize" for a in axes
    ]
    tables: list[list[Any]] = [
        [[(p, Fraction(1))] if untouched[i] else a.weights(p) for p in range(a.length)]
        for i, a in enumerate(axes)
    ]
    out = np.empty([a.length for a in axes], dtype=object)
    for index in np.ndindex(out.shape):
        chosen = [tables[i][p] for i, p in enumerate(index)]
        if any(c is None for c in chosen):
            out[index] = outside
            continue
        total: Any = Fraction(0)
        for taps in itertools.product(*chosen):
            total = total + math.prod((w for _, w in taps), start=Fraction(1)) * x[tuple(i for i, _ in taps)]
        out[index] = total
    return [out]
