"""Discrete Fourier transforms as matrices of balls, and the mel weights that follow them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, fmpq
from flint import ctx as flint_context

from verifier.check.numbers.integers import Array, Form, objects
from verifier.check.numbers.products import Weights, linear
from verifier.check.operators.registry import Context, Node, fractions, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather

__all__: list[str] = []

LARGEST_MATRIX = 1 << 24
DEFAULT_BITS = 256  # in exact mode


def _circle(context: Context, length: int) -> tuple[Form, Form]:
    """Cosine and sine of 2*pi*k/length for k = 0 ... length - 1."""
    bits = context.ar.bits or DEFAULT_BITS
    with flint_context.workprec(bits + 20):
        angles = [fmpq(2 * k, length) for k in range(length)]
        tables = [[f(q) for q in angles] for f in (arb.cos_pi_fmpq, arb.sin_pi_fmpq)]
        return tuple(_constant(context, table, bits) for table in tables)  # type: ignore[return-value]


def _constant(context: Context, balls: list[arb], bits: int) -> Form:
    """Numbers of at most 1 in size as a constant form; those that are exact have no radius."""
    c, r = [], []
    for ball in balls:
        low, high = _down(ball.lower(), bits), -_down(-ball.upper(), bits)
        c.append(low + high)
        r.append(high - low)
    return context.ar.form(objects(c)[:, None], -bits - 1, r=objects(r)[:, None])


def _down(end: arb, bits: int) -> int:
    """An exact number in units of 2**-bits, rounded down."""
    mantissa, exponent = map(int, end.man_exp())
    shift = exponent + bits
    return mantissa << shift if shift >= 0 else mantissa >> -shift


def _signed(form: Form, sign: Array) -> Form:
    """`form` times signs, 0 among them."""
    return Form(form.c * sign, form.d * sign, form.r * np.abs(sign), form.e)


def _matrix(context: Context, node: Node, turns: Array, length: int, quarter: Array) -> Form:
    """cos(2*pi*turns/length) where `quarter` is 0, the sine where it is 1, minus these where it is 2 and 3,
    nothing where it is 4."""
    if turns.size > LARGEST_MATRIX:
        raise node.refuse("the matrix of the transform is too large")
    cos, sin = _circle(context, length)
    table = gather(context, [cos, sin], turns % length + length * (quarter % 2))
    signs = np.array([1, 1, -1, -1, 0])[quarter]
    return _signed(table, context.ar.integers(signs)[..., None])  # type: ignore[arg-type]


def _times(context: Context, matrix: Form, v: Form, axis: int, terms: int) -> Form:
    """`matrix` (outputs, terms * parts) times `axis` and the last axis of `v`, joined; (outputs, others)."""
    parts = v.shape[-1]
    index = np.moveaxis(np.arange(math.prod(v.shape)).reshape(v.shape), (axis, -1), (0, 1))[:terms]
    weights = Weights.of(context.ar, matrix.each(lambda a: a[None]))
    return linear(context.ar, weights, v, index.reshape(1, terms * parts, -1)).each(lambda a: a[0])


def _number(node: Node, inputs: list[Any], k: int) -> int | None:
    given = inputs[k] if k < len(inputs) else None
    return None if given is None else int(whole_numbers(node, given).reshape(-1)[0])


@operator("DFT", still=(1, 2))
def _dft(context: Context, node: Node, inputs: list[Any]) -> Form:
    v, rank = inputs[0], len(inputs[0].shape)
    inverse, onesided, parts = bool(node.get("inverse")), bool(node.get("onesided")), inputs[0].shape[-1]
    given = _number(node, inputs, 2) if node.opset >= 20 else node.get("axis")
    axis = node.axis(rank, -2 if given is None else given)
    real = onesided and inverse
    if rank < 2 or axis == rank - 1 or parts not in (1, 2) or onesided and parts != 1 + inverse:
        raise node.refuse("its signal does not fit its attributes")
    asked = _number(node, inputs, 1)
    length = asked if asked is not None else 2 * (v.shape[axis] - 1) if real else v.shape[axis]
    if length < 1:
        raise node.refuse("its length is not positive")
    bins = length // 2 + 1 if onesided else length
    terms = min(v.shape[axis], bins if inverse else length)
    outputs = length if real else bins
    bounded(node, [math.prod(v.shape) // max(1, v.shape[axis] * parts), outputs, 2])
    if outputs * terms * parts * 2 > LARGEST_MATRIX:
        raise node.refuse("the matrix of the transform is too large")

    def make() -> Form:
        # a bin (part q) from a term (part p): e**(-i angle) is cos - i sin, so the quarters below
        k, q, n, p = np.ix_(*(np.arange(size) for size in (outputs, 1 if real else 2, terms, parts)))
        turns = (k * n + 0 * q + 0 * p) * (-1 if inverse else 1)
        quarter = np.broadcast_to(np.where(q == p, 0, np.where(q == 1, 3, 1)), turns.shape)
        if not real:
            return _scaled(context, node, turns, length, quarter, inverse, 1)
        single = (n == 0) | (2 * n == length)  # the others stand for their conjugates too
        quarter = np.where(single & (p == 1), 4, quarter)
        return _scaled(context, node, turns, length, quarter, True, np.where(single, 1, 2) + 0 * turns)

    matrix = context.once(node, make)
    y = _times(context, matrix, v, axis, terms)
    others = [n for a, n in enumerate(v.shape[:-1]) if a != axis]
    y = y.each(lambda a: a.reshape(outputs, -1, *others, a.shape[-1]))
    return y.each(lambda a: np.moveaxis(np.moveaxis(a, 1, -2), 0, axis))


def _scaled(
    context: Context, node: Node, turns: Array, length: int, quarter: Array, inverse: bool, weight: Any
) -> Form:
    """The matrix, (outputs * parts, terms * parts), of an inverse transform divided by its length."""
    matrix = _matrix(context, node, turns, length, quarter)
    if inverse:
        share = np.asarray(weight * np.ones(turns.shape, dtype=np.int64)).astype(object)
        shares = np.frompyfunc(lambda w: Fraction(int(w), length), 1, 1)(share)
        matrix = context.ar.multiply(matrix, context.ar.constant(np.asarray(shares, dtype=object)))
    rows = turns.shape[0] * turns.shape[1]
    return matrix.each(lambda a: a.reshape(rows, -1, 1))


@operator("STFT", still=(1, 3))
def _stft(context: Context, node: Node, inputs: list[Any]) -> Form:
    v, window = inputs[0], inputs[2] if len(inputs) > 2 else None
    batch, samples, parts = v.shape
    step, given = _number(node, inputs, 1), _number(node, inputs, 3)
    length = given if given is not None else samples if window is None else window.shape[0]
    onesided = bool(node.get("onesided"))
    if step is None or step < 1 or not 1 <= length <= samples or parts not in (1, 2):
        raise node.refuse("its frames do not fit the signal")
    if onesided and parts == 2 or window is not None and window.shape != (length,):
        raise node.refuse("its window or its attribute onesided does not fit the signal")
    bins = length // 2 + 1 if onesided else length
    starts = np.arange(0, samples - length + 1, step)
    bounded(node, [batch, len(starts), max(length, bins), 2])
    places = np.arange(math.prod(v.shape)).reshape(v.shape)[:, starts[:, None] + np.arange(length)]
    frames: Any = gather(context, [v], places)  # (batch, frames, length, parts)
    if window is not None:
        frames = context.product(frames, window.each(lambda a: a[:, None]))
    if bins * length * parts * 2 > LARGEST_MATRIX:
        raise node.refuse("the matrix of the transform is too large")

    def make() -> Form:
        k, q, n, p = np.ix_(*(np.arange(size) for size in (bins, 2, length, parts)))
        quarter = np.where(q == p, 0, np.where(q == 1, 3, 1)) + 0 * k * n
        return _scaled(context, node, k * n + 0 * (q + p), length, quarter, False, 1)

    y = _times(context, context.once(node, make), frames, 2, length)
    y = y.each(lambda a: a.reshape(bins, 2, batch, len(starts), a.shape[-1]))
    return y.each(lambda a: np.moveaxis(a, (0, 1), (2, 3)))


@operator("MelWeightMatrix", still=(0, 1, 2, 3, 4))
def _mel(context: Context, node: Node, inputs: list[Any]) -> Form:
    """Triangles over the bins of a spectrum; their corners are evenly spaced on the mel scale."""
    count, length, rate = (int(whole_numbers(node, v).reshape(-1)[0]) for v in inputs[:3])
    low, high = (fractions(node, v)[0] for v in inputs[3:5])
    bins = length // 2 + 1
    bounded(node, [bins, max(count, 0) + 2])
    if count < 1 or rate < 1 or low < 0 or high < 0:
        raise node.refuse("its parameters make no bands")
    corners = _corners(node, count, length, rate, low, high)
    if corners[-1] > bins:
        raise node.refuse("its bands do not fit the spectrum")
    matrix = np.full((bins, count), Fraction(0), dtype=object)
    for band, (left, peak, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        for k in range(left, peak + 1):
            matrix[k, band] = Fraction(k - left, peak - left) if peak > left else Fraction(1)
        for k in range(peak, right):
            matrix[k, band] = Fraction(right - k, right - peak)
    return context.ar.constant(matrix)


def _corners(node: Node, count: int, length: int, rate: int, low: Fraction, high: Fraction) -> list[int]:
    """The bins of the corners; the first is at the lower edge itself."""
    found = [math.floor((length + 1) * low / rate)]
    with flint_context.workprec(DEFAULT_BITS):

        def ball(value: Fraction) -> arb:
            return arb(fmpq(value.numerator, value.denominator))

        start, stop = ((1 + ball(edge) / 700).log() for edge in (low, high))
        for k in range(1, count + 2):
            hertz = 700 * ((start + (stop - start) * k / (count + 2)).exp() - 1)
            place = (ball(Fraction(length + 1, rate)) * hertz).floor().unique_fmpz()
            if place is None:
                raise node.refuse("a corner is too close to the edge of a bin")
            found.append(int(place))
    return found
