"""Resize: along every axis a constant matrix (linear, cubic) or a gather (nearest), in exact fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.coordinates import cubic_kernel, linear_kernel
from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.moves import gather_map, joined
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.taps import rounded
from symbolic.enclosures.values import Batch, Const, Value, holds_integers, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.casting import WHOLE
from symbolic.operators.shapes import bounded

HALF = Fraction(1, 2)
LONGEST_AXIS = 1 << 16
"""Coordinates are Fractions, a few microseconds each."""


def coordinate(
    mode: str, x: int, scale: Fraction, n_in: int, n_out: int, roi: tuple[Fraction, Fraction]
) -> Fraction:
    """Where output x looks in the input (ONNX's coordinate_transformation_mode)."""
    if mode == "asymmetric":
        return Fraction(x) / scale
    if mode == "half_pixel":
        return (x + HALF) / scale - HALF
    if mode == "pytorch_half_pixel":
        return (x + HALF) / scale - HALF if n_out > 1 else Fraction(0)
    if mode == "half_pixel_symmetric":
        # output sizes are floors: keep the centres of both grids together
        centre = Fraction(n_in, 2) * (1 - Fraction(n_out) / (scale * n_in))
        return centre + (x + HALF) / scale - HALF
    if mode == "align_corners":
        return Fraction(x * (n_in - 1), n_out - 1) if n_out > 1 else Fraction(0)
    if mode == "tf_half_pixel_for_nn":
        return (x + HALF) / scale
    if mode == "tf_crop_and_resize":
        start, end = roi
        if n_out > 1:
            return start * (n_in - 1) + x * (end - start) * (n_in - 1) / (n_out - 1)
        return HALF * (start + end) * (n_in - 1)
    raise ModelError(f"Resize mode {mode!r} is not known.")


def nearest(mode: str, x: Fraction) -> int:
    """ONNX's nearest_mode."""
    if mode == "floor":
        return floor(x)
    if mode == "ceil":
        return ceil(x)
    if mode == "round_prefer_floor":
        return ceil(x - HALF)
    if mode == "round_prefer_ceil":
        return floor(x + HALF)
    raise ModelError(f"Resize rounding {mode!r} is not known.")


@dataclass(frozen=True)
class Kernel:
    """How elements around a coordinate are weighted: by ``of`` their distance, within ``reach``."""

    of: Callable[[Fraction], Fraction]
    reach: int
    antialias: bool
    exclude: bool

    def row(self, x: Fraction, scale: Fraction, n_in: int) -> dict[int, Fraction]:
        """Weights by input position; positions outside repeat the border."""
        stretch = min(scale, Fraction(1)) if self.antialias else Fraction(1)
        reach = ceil(self.reach / stretch)
        near = range(floor(x) - reach, floor(x) + reach + 2)
        taps = {k: weight for k in near if (weight := self.of((k - x) * stretch))}
        if self.antialias:
            taps = _normalised(taps)
        if self.exclude:
            taps = _normalised({k: weight for k, weight in taps.items() if 0 <= k < n_in})
        row: dict[int, Fraction] = {}
        for k, weight in taps.items():
            place = min(max(k, 0), n_in - 1)
            row[place] = row.get(place, Fraction(0)) + weight
        return row


def _normalised(taps: dict[int, Fraction]) -> dict[int, Fraction]:
    total = sum(taps.values())
    return {k: weight / total for k, weight in taps.items()}


def _kernel(node: Node) -> Kernel | None:
    """What the mode asks for; None for the nearest element."""
    mode, exclude = node.text("mode"), node.flag("exclude_outside")
    if mode == "linear":
        return Kernel(linear_kernel, 1, node.flag("antialias"), exclude)
    if mode == "cubic":
        a = Fraction(node.number("cubic_coeff_a"))
        return Kernel(lambda x: cubic_kernel(x, a), 2, node.flag("antialias"), exclude)
    if mode != "nearest":
        raise ModelError(f"{node.label}: mode {mode!r} is not known.")
    return None


def rounded_matrix(rows: list[dict[int, Fraction]], n_in: int) -> Const:
    """The exact matrix as floats with the distance to them."""
    value, radius = np.zeros((len(rows), n_in)), np.zeros((len(rows), n_in))
    places = [(i, k) for i, row in enumerate(rows) for k in row]
    if places:
        at = tuple(np.array(places).T)
        found = rounded(np.array([weight for row in rows for weight in row.values()], dtype=object))
        value[at], radius[at] = found.value, found.spread
    return Const(value, radius if radius.any() else None)


@operator("Resize", "Upsample")
def resize(node: Node, inputs: Inputs) -> Rule:
    """Separable resampling."""
    x = required(node, inputs)
    axes = _axes(node, inputs, x.shape)
    bounded(node, [axis.n_out for axis in axes])
    if any(axis.n_out > LONGEST_AXIS for axis in axes):
        raise ModelError(f"{node.label} makes an axis longer than {LONGEST_AXIS}.")
    where = _transformation(node)
    how = node.text("nearest_mode", "floor")
    kernel = _kernel(node)
    if node.text("mode", "nearest") != "nearest" and node.input_type(0) in WHOLE:
        raise ModelError(f"{node.label}: interpolation of integers is not supported.")
    steps: list[Callable[[Batch, Value], Value]] = []
    outside = np.zeros([axis.n_out for axis in axes], dtype=bool)
    for number, places in _looked_at(node, axes):
        n_in, scale = axes[number].n_in, axes[number].scale
        if where == "tf_crop_and_resize":
            outside |= _beyond(places, number, axes)
        if kernel is None:
            index = np.array([min(max(nearest(how, p), 0), n_in - 1) for p in places])
            steps.append(_gatherer(number, index))
        else:
            steps.append(_interpolator(number, [kernel.row(p, scale, n_in) for p in places], n_in))
    if outside.any():
        steps.append(_extrapolator(outside, float(node.attributes["extrapolation_value"])))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        for step in steps:
            value = step(batch, value)
        return (value,)

    return rule


def _transformation(node: Node) -> str:
    """The coordinate transformation; before opset 11 there was one only."""
    return node.text("coordinate_transformation_mode", "asymmetric")


def _looked_at(node: Node, axes: list[Axis]) -> Iterator[tuple[int, list[Fraction]]]:
    """The axes that change, and where their outputs look in the input."""
    where = _transformation(node)
    for number, axis in enumerate(axes):
        n_in, n_out, scale = axis.n_in, axis.n_out, axis.scale
        if where in ("align_corners", "tf_crop_and_resize") and n_in * scale != n_out:
            raise ModelError(
                f"{node.label}: {where} with a scale that gives no whole size means different things."
            )
        if n_out != n_in or scale != 1 or where == "tf_crop_and_resize":
            yield number, [coordinate(where, o, scale, n_in, n_out, axis.roi) for o in range(n_out)]


def interpolations(node: Node, inputs: Inputs) -> Iterator[tuple[int, list[dict[int, Fraction]]]]:
    """The axes that are interpolated, and for each of their outputs the weights by input position."""
    kernel = _kernel(node)
    if kernel is None:
        raise ModelError(f"{node.label} is no interpolation.")
    axes = _axes(node, inputs, required(node, inputs).shape)
    for number, places in _looked_at(node, axes):
        n_in, scale = axes[number].n_in, axes[number].scale
        yield number, [kernel.row(p, scale, n_in) for p in places]


def extrapolated(node: Node, inputs: Inputs) -> NDArray[np.bool_]:
    """Which elements of the result lie outside the input, so that a constant stands for them."""
    axes = _axes(node, inputs, required(node, inputs).shape)
    outside = np.zeros([axis.n_out for axis in axes], dtype=bool)
    if _transformation(node) == "tf_crop_and_resize":
        for number, places in _looked_at(node, axes):
            outside |= _beyond(places, number, axes)
    return outside


def _beyond(places: list[Fraction], number: int, axes: list[Axis]) -> NDArray[np.bool_]:
    """Which places along an axis lie outside it."""
    beyond = np.array([p < 0 or p > axes[number].n_in - 1 for p in places], dtype=bool)
    return beyond.reshape([-1 if k == number else 1 for k in range(len(axes))])


def has_open_lengths(node: Node, inputs: Inputs) -> bool:
    """Whether a scale times a length is no whole number, so that the standard rounds it."""
    axes = _axes(node, inputs, required(node, inputs).shape)
    return any(axis.n_in * axis.scale != axis.n_out for axis in axes)


@dataclass(frozen=True)
class Axis:
    """What becomes of one axis."""

    n_in: int
    n_out: int
    scale: Fraction = Fraction(1)
    roi: tuple[Fraction, Fraction] = (Fraction(0), Fraction(1))


def _axes(node: Node, inputs: Inputs, shape: tuple[int, ...]) -> list[Axis]:
    """Every axis; those that are not named keep their elements."""
    rank = len(shape)
    scales, sizes, roi = _parameters(node, inputs, rank)
    named = [node.axis(rank, a) for a in node.integers("axes", range(rank))]
    if sizes is None:
        scales = scales or []
        sizes = [floor(shape[a] * scale) for a, scale in zip(named, scales, strict=True)]
    else:
        scales = [Fraction(n, shape[a]) for a, n in zip(named, sizes, strict=True)]
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            scales = [min(scales) if policy == "not_larger" else max(scales)] * len(named)
            sizes = [floor(shape[a] * scale + HALF) for a, scale in zip(named, scales, strict=True)]
    if min(scales, default=Fraction(1)) <= 0:
        raise ModelError(f"{node.label}: a scale is not positive.")
    axes = [Axis(n, n) for n in shape]
    for k, a in enumerate(named):
        axes[a] = Axis(shape[a], sizes[k], scales[k], roi[k])
    return axes


def _parameters(
    node: Node, inputs: Inputs, rank: int
) -> tuple[list[Fraction] | None, list[int] | None, list[tuple[Fraction, Fraction]]]:
    """Scales or sizes (one of them), and the region of interest, per resized axis."""
    if node.op_type == "Upsample":
        attribute = node.attributes.get("scales")
        given = constant(node, inputs, 1, "scales")
        values = [Fraction(float(v)) for v in attribute or []] if given is None else _exactly(node, given)
        return values, None, [(Fraction(0), Fraction(1))] * rank
    place = 1 if node.opset == 10 else 2
    scales = constant(node, inputs, place, "scales")
    sizes = constant(node, inputs, 3, "sizes") if node.opset >= 11 else None
    region = constant(node, inputs, 1, "roi") if node.opset >= 11 else None
    count = len(node.integers("axes", range(rank)))
    roi = [(Fraction(0), Fraction(1))] * count
    if region is not None and region.value.size == 2 * count:
        ends = _exactly(node, region)
        roi = list(zip(ends[:count], ends[count:], strict=True))
    if sizes is not None and sizes.value.size:
        return None, [int(v) for v in sizes.value], roi
    if scales is None or not scales.value.size:
        raise ModelError(f"{node.label} has neither scales nor sizes.")
    return _exactly(node, scales), None, roi


def _exactly(node: Node, numbers: Const) -> list[Fraction]:
    if numbers.radius is not None and numbers.radius.any():
        raise ModelError(f"{node.label}: its scales, or its region, are computed and not known exactly.")
    return [Fraction(float(v)) for v in numbers.value.reshape(-1)]


def _gatherer(axis: int, index: NDArray[np.intp]) -> Callable[[Batch, Value], Value]:
    return lambda batch, value: map_value(value, lambda a, lead: np.take(a, index, axis=axis + lead))


def _interpolator(axis: int, rows: list[dict[int, Fraction]], n_in: int) -> Callable[[Batch, Value], Value]:
    weights = Weights.of(rounded_matrix(rows, n_in))

    def apply(x: Array, w: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(np.moveaxis(x, axis + 1, -1) @ w.T, -1, axis + 1))

    return lambda batch, value: linear_map(batch.lift(value), weights, each(apply), n_in, batch, None)


def _extrapolator(outside: NDArray[np.bool_], fill: float) -> Callable[[Batch, Value], Value]:
    """Put a constant where the coordinates lie outside the input."""
    move = gather_map(
        np.where(outside, outside.size, np.arange(outside.size).reshape(outside.shape)), outside.size + 1
    )

    def step(batch: Batch, value: Value) -> Value:
        outer = Const(np.array(int(fill) if holds_integers(value) else fill))
        return map_value(joined([value, outer], batch), move)

    return step
