"""Discrete Fourier transforms as matrix products, and the mel weights that follow them."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.rounding import ELEMENTARY, UP, Array, U
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, one_moves, operator, required
from symbolic.operators.arithmetic import multiply
from symbolic.operators.shapes import bounded

LARGEST_MATRIX = 2**24
"""Entries of a transform's matrix."""


def _circle(numbers: NDArray[np.int64], count: int) -> tuple[Array, Array, Array]:
    """Cosine and sine of 2 pi k / count, and a bound of their errors, which is 0 where they are 0 or 1.

    The angle is folded, exactly, into [0, pi / 4]: its unit is pi / (2 count).
    """
    k, mirrored = numbers % count, -numbers % count
    angle = 4 * np.minimum(k, mirrored)
    beyond = angle > count  # more than a right angle
    angle = np.where(beyond, 2 * count - angle, angle)
    steep = 2 * angle > count
    angle = np.where(steep, count - angle, angle)
    cos, sin = (f(angle * (np.pi / (2 * count))) for f in (np.cos, np.sin))
    cos, sin = np.where(steep, sin, cos), np.where(steep, cos, sin)
    error = np.where(angle == 0, 0.0, ELEMENTARY)
    return np.where(beyond, -cos, cos), np.where(k > mirrored, -sin, sin), error


def _forward(terms: int, bins: int, length: int, parts: int) -> Const:
    """The matrix (terms * parts, bins * 2) from signals, real or complex, to their spectrum."""
    cos, sin, error = _circle(np.arange(terms)[:, None] * np.arange(bins), length)
    real = np.stack([cos, -sin], axis=-1)
    both = real if parts == 1 else np.stack([real, np.stack([sin, cos], axis=-1)], axis=1)
    errors = np.broadcast_to(error[..., None] if parts == 1 else error[:, None, :, None], both.shape)
    return Const(both.reshape(terms * parts, bins * 2), errors.reshape(terms * parts, bins * 2))


def _backward(terms: int, length: int, parts: int) -> Const:
    """The matrix (terms * parts, length * 2) of the inverse transform."""
    matrix = _forward(terms, length, length, parts)
    sign = np.ones((terms, parts, length, 2))  # of the conjugate transform
    sign[:, :, :, 1] = -1
    if parts == 2:
        sign[:, 1] *= -1
    return _divided(Const(matrix.value * sign.reshape(matrix.shape), matrix.spread), length)


def _real_backward(terms: int, length: int) -> Const:
    """The matrix (terms * 2, length) of the inverse transform of the first half of a symmetric spectrum."""
    k = np.arange(terms)
    cos, sin, error = _circle(k[:, None] * np.arange(length), length)
    twice = np.where((k == 0) | (2 * k == length), 1.0, 2.0)[:, None, None]  # with its conjugate
    value = np.stack([cos, -sin], axis=1) * twice
    value[(k == 0) | (2 * k == length), 1] = 0.0
    errors = np.broadcast_to(error[:, None], value.shape) * twice
    return _divided(Const(value.reshape(terms * 2, length), errors.reshape(terms * 2, length)), length)


def _divided(matrix: Const, by: int) -> Const:
    value = matrix.value / by
    return Const(value, (matrix.spread / by + np.abs(value) * (2 * U)) * UP)


def _scalar(node: Node, inputs: Inputs, index: int, name: str) -> int | None:
    """An optional integer input that does not move."""
    value = constant(node, inputs, index, name)
    return None if value is None else int(value.value.reshape(-1)[0])


@operator("DFT", irrational=True)
def dft(node: Node, inputs: Inputs) -> Rule:
    """The discrete Fourier transform of an axis, its inverse, and both for real signals."""
    shape = required(node, inputs).shape
    rank, parts = len(shape), shape[-1]
    stored = _scalar(node, inputs, 2, "axis") if node.opset >= 20 else int(node.attributes["axis"])
    axis = node.axis(rank, -2 if stored is None else stored)
    inverse, onesided = node.flag("inverse"), node.flag("onesided")
    if rank < 2 or axis == rank - 1 or parts not in (1, 2) or (onesided and parts != (2 if inverse else 1)):
        raise ModelError(f"{node.label}: a signal of shape {list(shape)} does not fit its attributes.")
    given = _scalar(node, inputs, 1, "length")
    length = given if given is not None else 2 * (shape[axis] - 1) if inverse and onesided else shape[axis]
    bins = length // 2 + 1 if onesided else length
    terms = min(shape[axis], bins if inverse else length)
    if length < 1:
        raise ModelError(f"{node.label}: its length is {length}.")
    _require_moderate(node, terms * parts, bins * 2)
    if inverse:
        matrix = _real_backward(terms, length) if onesided else _backward(terms, length, parts)
    else:
        matrix = _forward(terms, bins, length, parts)
    weights = Weights.of(matrix)
    made = (length, 1) if inverse and onesided else (bins, 2)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        rows = map_value(
            required(node, values), lambda a, lead: np.moveaxis(a, lead + axis, -2)[..., :terms, :]
        )
        result = _transformed(batch, batch.lift(rows), weights, made)
        return (Affine(*(np.moveaxis(v, -2, axis + 1) for v in (result.c, result.d, result.r))),)

    return rule


def _require_moderate(node: Node, rows: int, columns: int) -> None:
    if rows * columns > LARGEST_MATRIX:
        raise ModelError(f"{node.label}: a transform with a matrix of {rows} x {columns} is too large.")


def _transformed(batch: Batch, x: Affine, weights: Weights, made: tuple[int, int]) -> Affine:
    """The last two axes, joined, times a matrix; they become two again."""
    flat = Affine(*(v.reshape(*v.shape[:-2], -1) for v in (x.c, x.d, x.r)))
    y = linear_map(flat, weights, each(np.matmul), flat.c.shape[-1], batch, None)
    return Affine(*(v.reshape(*v.shape[:-1], *made) for v in (y.c, y.d, y.r)))


@operator("STFT", exact=one_moves, homogeneous=one_moves, irrational=True)
def stft(node: Node, inputs: Inputs) -> Rule:
    """Fourier transforms of windowed frames of a signal."""
    batches, samples, parts = required(node, inputs).shape
    window = inputs[2] if len(inputs) > 2 else None
    step, given = _scalar(node, inputs, 1, "frame step"), _scalar(node, inputs, 3, "frame length")
    length = given if given is not None else samples if window is None else window.shape[0]
    onesided = node.flag("onesided")
    if step is None or step < 1 or not 1 <= length <= samples or parts not in (1, 2):
        raise ModelError(f"{node.label}: its frames do not fit a signal of {samples} samples.")
    if onesided and parts == 2 or window is not None and window.shape != (length,):
        raise ModelError(f"{node.label}: its window or its attribute onesided does not fit the signal.")
    bins = length // 2 + 1 if onesided else length
    _require_moderate(node, length * parts, bins * 2)
    places = np.arange(0, samples - length + 1, step)[:, None] + np.arange(length)
    bounded(node, [batches, places.size, parts])
    weights = Weights.of(_forward(length, bins, length, parts))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        frames = map_value(required(node, values), lambda a, lead: np.take(a, places, axis=lead + 1))
        if window is not None:
            column = map_value(required(node, values, 2), lambda a, lead: a[..., None])
            frames = multiply(batch, frames, column)
        return (_transformed(batch, batch.lift(frames), weights, (bins, 2)),)

    return rule


@operator("MelWeightMatrix")
def mel_weight_matrix(node: Node, inputs: Inputs) -> Rule:
    """Triangles over the bins of a spectrum, evenly spaced on the mel scale."""
    numbers = [constant(node, inputs, k, "parameters") for k in range(5)]
    if any(n is None or n.value.size != 1 for n in numbers):
        raise ModelError(f"{node.label} needs five numbers.")
    count, length, rate = (int(n.value.reshape(-1)[0]) for n in numbers[:3] if n is not None)
    edges = [float(n.value.reshape(-1)[0]) for n in numbers[3:] if n is not None]
    bounded(node, [length // 2 + 1, count])
    corners = _mel_bins(node, count, length, rate, *edges)
    value = np.zeros((length // 2 + 1, count))
    if count < 1 or rate < 1 or corners[0] < 0 or corners[-1] > len(value):
        raise ModelError(f"{node.label}: its bands do not fit the spectrum.")
    for band, (low, peak, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        value[low : peak + 1, band] = np.arange(peak - low + 1) / (peak - low) if peak > low else 1.0
        value[peak:high, band] = np.arange(high - peak, 0, -1) / (high - peak) if high > peak else []
    matrix = Const(value, value * U if (value % 1).any() else None)
    return lambda batch, values: (matrix,)


def _mel_bins(node: Node, count: int, length: int, rate: int, low: float, high: float) -> list[int]:
    """The bins where the triangles begin, peak and end; the first corner is the lower edge itself."""
    start, stop = (2595 * np.log1p(edge / 700) / np.log(10) for edge in (low, high))
    mel = start + np.arange(count + 2) * ((stop - start) / (count + 2))
    place = (length + 1) * (700 * np.expm1(mel / 2595 * np.log(10))) / rate
    if (np.abs(place[1:] - np.rint(place[1:])) < 1e-9 * (1 + np.abs(place[1:]))).any():
        raise ModelError(f"{node.label}: a band begins too close to the edge of a bin to tell which.")
    return [floor((length + 1) * Fraction(low) / rate), *(floor(p) for p in place[1:])]
