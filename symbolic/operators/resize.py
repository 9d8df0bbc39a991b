"""Resize: along every axis a constant matrix (linear, cubic) or a gather (nearest), in exact fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import ModelError
from symbolic.linear import Weights, each, linear_map
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.shapes import bounded
from symbolic.rounding import Array
from symbolic.values import Batch, Const, Value, map_value

HALF = Fraction(1, 2)


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


def row_of(mode: str, x: Fraction, n_in: int, cubic: Fraction, exclude: bool) -> dict[int, Fraction]:
    """Interpolation weights by input position; positions outside repeat the border."""
    base = floor(x)
    part = x - base
    if mode == "linear":
        taps = {base: 1 - part, base + 1: part}
    else:
        a = cubic
        near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (part, 1 - part)]
        far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + part, 2 - part)]
        taps = {base - 1: far[0], base: near[0], base + 1: near[1], base + 2: far[1]}
    row: dict[int, Fraction] = {}
    if exclude:
        taps = {k: w for k, w in taps.items() if 0 <= k < n_in}
        total = sum(taps.values())
        taps = {k: w / total for k, w in taps.items()}
    for k, w in taps.items():
        place = min(max(k, 0), n_in - 1)
        row[place] = row.get(place, Fraction(0)) + w
    return row


def rounded_matrix(rows: list[dict[int, Fraction]], n_in: int) -> Const:
    """The exact matrix as floats with the distance to them."""
    value, radius = np.zeros((len(rows), n_in)), np.zeros((len(rows), n_in))
    for i, row in enumerate(rows):
        for k, w in row.items():
            value[i, k] = float(w)
            radius[i, k] = 0.0 if Fraction(float(w)) == w else abs(float(w)) * 2.0**-52
    return Const(value, radius if radius.any() else None)


@operator("Resize", "Upsample")
def resize(node: Node, inputs: Inputs) -> Rule:
    """Separable resampling."""
    x = required(node, inputs)
    rank = len(x.shape)
    scales, sizes, roi = _parameters(node, inputs, rank)
    axes = [a % rank for a in node.integers("axes", range(rank))]
    mode = node.text("mode")
    where = node.text("coordinate_transformation_mode", "asymmetric")  # what it was before opset 11
    how = node.text("nearest_mode", "floor")
    cubic = Fraction(float(node.attributes.get("cubic_coeff_a", 0.0)))  # no cubic mode before opset 11
    exclude = node.flag("exclude_outside")
    if node.flag("antialias"):
        raise ModelError(f"{node.label}: antialias is not supported.")
    steps: list[Callable[[Batch, Value], Value]] = []
    shape = list(x.shape)
    for axis in range(rank):
        k = axes.index(axis) if axis in axes else None
        n_in = x.shape[axis]
        scale = Fraction(1) if k is None or scales is None else scales[k]
        n_out = n_in if k is None else (floor(n_in * scale) if sizes is None else sizes[k])
        if sizes is not None and k is not None:
            scale = Fraction(n_out, n_in)
        shape[axis] = n_out
        bounded(node, shape)
        if where == "align_corners" and n_in * scale != n_out:
            raise ModelError(
                f"{node.label}: align_corners with a scale that gives no whole size is ambiguous in ONNX."
            )
        window = (Fraction(0), Fraction(1)) if k is None else roi[k]
        if n_out == n_in and scale == 1 and where != "tf_crop_and_resize":
            continue
        if where == "align_corners" and n_out > 1 and n_out != n_in * scale:
            raise ModelError(
                f"{node.label}: align_corners with a scale that gives no whole size means different things."
            )
        places = [coordinate(where, o, scale, n_in, n_out, window) for o in range(n_out)]
        outside = where == "tf_crop_and_resize" and any(p < 0 or p > n_in - 1 for p in places)
        if outside:
            raise ModelError(f"{node.label}: tf_crop_and_resize beyond the border is not supported.")
        if mode == "nearest":
            index = np.array([min(max(nearest(how, p), 0), n_in - 1) for p in places])
            steps.append(_gatherer(axis, index))
        elif mode in ("linear", "cubic"):
            rows = [row_of(mode, p, n_in, cubic, exclude) for p in places]
            steps.append(_interpolator(axis, rounded_matrix(rows, n_in)))
        else:
            raise ModelError(f"{node.label}: mode {mode!r} is not known.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        for step in steps:
            value = step(batch, value)
        return (value,)

    return rule


def _parameters(
    node: Node, inputs: Inputs, rank: int
) -> tuple[list[Fraction] | None, list[int] | None, list[tuple[Fraction, Fraction]]]:
    """Scales or sizes (one of them), and the region of interest, per resized axis."""
    if node.op_type == "Upsample":
        attribute = node.attributes.get("scales")
        given = constant(node, inputs, 1, "scales")
        values = attribute if given is None else given.value.tolist()
        return [Fraction(float(v)) for v in values or []], None, [(Fraction(0), Fraction(1))] * rank
    place = 1 if node.opset == 10 else 2
    scales = constant(node, inputs, place, "scales")
    sizes = constant(node, inputs, 3, "sizes") if node.opset >= 11 else None
    region = constant(node, inputs, 1, "roi") if node.opset >= 11 else None
    count = len(node.integers("axes", range(rank)))
    roi = [(Fraction(0), Fraction(1))] * count
    if region is not None and region.value.size == 2 * count:
        ends = [Fraction(float(v)) for v in region.value]
        roi = list(zip(ends[:count], ends[count:], strict=True))
    if sizes is not None and sizes.value.size:
        wanted = [int(v) for v in sizes.value]
        if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise ModelError(f"{node.label}: keep_aspect_ratio_policy is not supported.")
        return None, wanted, roi
    if scales is None or not scales.value.size:
        raise ModelError(f"{node.label} has neither scales nor sizes.")
    return [Fraction(float(v)) for v in scales.value], None, roi


def _gatherer(axis: int, index: NDArray[np.intp]) -> Callable[[Batch, Value], Value]:
    return lambda batch, value: map_value(value, lambda a, lead: np.take(a, index, axis=axis + lead))


def _interpolator(axis: int, matrix: Const) -> Callable[[Batch, Value], Value]:
    weights = Weights.of(matrix)
    terms = 4

    def apply(x: Array, w: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(np.moveaxis(x, axis + 1, -1) @ w.T, -1, axis + 1))

    return lambda batch, value: linear_map(
        batch.lift(value), weights, each(apply), max(terms, matrix.shape[1]), batch, None
    )
