"""Fourier transforms by their sums, mel weights, determinants by permutations, triangles, Dropout."""

from __future__ import annotations

import itertools
import math
from typing import Any

import flint
import numpy as np
from flint import arb, fmpq
from quicktions import Fraction

from .call import Call, operator, to_axis
from .elementary import from_ball
from .exact import BITS, UNKNOWN, Array
from .reduction import summed

Complex = tuple[Any, Any]


def root_of_unity(turns: int, length: int) -> Complex:
    """e ** (2 pi i turns / length)."""
    angle = fmpq(2 * (turns % length), length)
    with flint.ctx.workprec(BITS + 100):
        return from_ball(arb.cos_pi_fmpq(angle)), from_ball(arb.sin_pi_fmpq(angle))


def times(a: Complex, b: Complex) -> Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def transform(signal: list[Complex], length: int, bins: int, inverse: bool) -> list[Complex]:
    """The sums of the definition; a short signal is continued by zeros."""
    out = []
    for k in range(bins):
        parts = [
            times(x, root_of_unity(k * n if inverse else -k * n, length))
            for n, x in enumerate(signal[:length])
        ]
        sums = (summed([part[i] for part in parts]) for i in (0, 1))
        real, imaginary = (v * Fraction(1, length) if inverse else v for v in sums)
        out.append((real, imaginary))
    return out


def whole_spectrum(half: list[Complex], length: int) -> list[Complex]:
    """The spectrum of a real signal from its first half."""
    half = half[: length // 2 + 1] + [(Fraction(0), Fraction(0))] * (length // 2 + 1 - len(half))
    half[0] = (half[0][0], Fraction(0))
    if length % 2 == 0:
        half[length // 2] = (half[length // 2][0], Fraction(0))
    return half + [(half[length - k][0], -half[length - k][1]) for k in range(len(half), length)]


@operator("DFT")
def dft(call: Call) -> list[Array]:
    x = call[0]
    inverse, onesided = call.attribute("inverse", 0), call.attribute("onesided", 0)
    if call.opset >= 20:
        given = call.integers(2)
        axis = to_axis(given[0] if given else -2, x.ndim)
    else:
        axis = to_axis(call.attribute("axis", 1), x.ndim)
    asked = call.integers(1)
    length = asked[0] if asked else 2 * (x.shape[axis] - 1) if inverse and onesided else x.shape[axis]
    bins = length // 2 + 1 if onesided and not inverse else length
    parts = 1 if inverse and onesided else 2
    out = np.empty([*(bins if a == axis else n for a, n in enumerate(x.shape[:-1])), parts], dtype=object)
    others = [range(1) if a == axis else range(n) for a, n in enumerate(x.shape[:-1])]
    for place in itertools.product(*others):
        line = (*place[:axis], slice(None), *place[axis + 1 :])
        signal = [(v[0], v[1] if len(v) > 1 else Fraction(0)) for v in x[line]]
        if inverse and onesided:
            signal = whole_spectrum(signal, length)
        for k, value in enumerate(transform(signal, length, bins, bool(inverse))):
            for part in range(parts):
                out[(*place[:axis], k, *place[axis + 1 :], part)] = value[part]
    return [out]


@operator("STFT")
def stft(call: Call) -> list[Array]:
    x, step = call[0], call.integers(1)[0]
    given = call.integers(3)
    length = given[0] if given else call[2].shape[0] if call.has(2) else x.shape[1]
    bins = length // 2 + 1 if call.attribute("onesided", 1) else length
    frames = (x.shape[1] - length) // step + 1
    out = np.empty((x.shape[0], frames, bins, 2), dtype=object)
    for batch, frame in np.ndindex(out.shape[:2]):
        signal = []
        for n in range(length):
            sample = x[batch, frame * step + n]
            weight = call[2][n] if call.has(2) else Fraction(1)
            imaginary = sample[1] if len(sample) > 1 else Fraction(0)
            signal.append((sample[0] * weight, imaginary * weight))
        for k, value in enumerate(transform(signal, length, bins, False)):
            out[batch, frame, k] = value
    return [out]


@operator("MelWeightMatrix")
def mel_weights(call: Call) -> list[Array]:
    """Triangles whose corners are evenly spaced in mel(f) = 2595 log10(1 + f / 700)."""
    count, length, rate = (call.integers(k)[0] for k in range(3))
    edges = [call[k].reshape(-1)[0] for k in (3, 4)]
    with flint.ctx.workprec(BITS):
        low, high = (
            (1 + arb(fmpq(edge.numerator, edge.denominator)) / 700).log() / arb(10).log() * 2595
            for edge in edges
        )
        corners = [math.floor((length + 1) * edges[0] / rate)]
        for k in range(1, count + 2):
            mel = low + (high - low) * k / (count + 2)
            hertz = 700 * (arb(10) ** (mel / 2595) - 1)
            corners.append(int((hertz * (length + 1) / rate).floor().unique_fmpz()))
    out = np.full((length // 2 + 1, count), Fraction(0), dtype=object)
    for band in range(count):
        left, peak, right = corners[band : band + 3]
        for k in range(left, peak + 1):
            out[k, band] = Fraction(k - left, peak - left) if peak > left else Fraction(1)
        for k in range(peak, right):
            out[k, band] = Fraction(right - k, right - peak)
    return [out]


@operator("Det")
def det(call: Call) -> list[Array]:
    x = call[0]
    out = np.empty(x.shape[:-2], dtype=object)
    size = x.shape[-1]
    for index in np.ndindex(out.shape):
        total: Any = Fraction(0)
        for order in itertools.permutations(range(size)):
            swaps = sum(order[i] > order[j] for i in range(size) for j in range(i + 1, size))
            term: Any = Fraction((-1) ** swaps)
            for i, j in enumerate(order):
                term = term * x[(*index, i, j)]
            total = total + term
        out[index] = total
    return [out]


@operator("Trilu")
def trilu(call: Call) -> list[Array]:
    x, upper = call[0], call.attribute("upper", 1)
    k = (call.integers(1) or [0])[0]
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        i, j = index[-2:]
        kept = j - i >= k if upper else j - i <= k
        out[index] = x[index] if kept else type(x[index])(0) if isinstance(x[index], int) else Fraction(0)
    return [out]


@operator("Dropout")
def dropout(call: Call) -> list[Array]:
    """Nothing is dropped, unless in training."""
    training = call.has(2) and bool(call[2].reshape(-1)[0])
    ratio = call[1].reshape(-1)[0] if call.has(1) else Fraction(1, 2)
    x = call[0]
    if training and ratio != 0:
        unknown = np.full(x.shape, UNKNOWN, dtype=object)
        return [unknown, unknown]
    return [x, np.full(x.shape, True if call.opset >= 10 else Fraction(1), dtype=object)]
