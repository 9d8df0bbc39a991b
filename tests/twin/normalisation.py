"""Norms and logarithms of sums, and normalisation by statistics of the data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flint import arb
from quicktions import Fraction

from .call import Call, operator, to_axis
from .elementary import by_ball
from .exact import (
    UNKNOWN,
    Array,
    Bracket,
    Unknown,
    absolute,
    bounds,
    divide,
    exponential,
    float32,
    square_root,
)
from .pooling import Windows
from .reduction import reduced, reduction_axes, summed

Values = list[Any]


def square(v: Any) -> Any:
    """v * v, which is not negative."""
    if isinstance(v, Bracket) and v.lo < 0 < v.hi:
        return Bracket(Fraction(0), max(v.lo * v.lo, v.hi * v.hi))
    return v * v


def norm(values: Values, p: int) -> Any:
    """(sum |v|**p) ** (1/p)."""
    if p == 1:
        return summed([absolute(v) for v in values])
    if p == 2:
        return square_root(summed([square(v) for v in values]))
    total = Fraction(0)
    for v in values:
        power, size = Fraction(1), absolute(v)
        for _ in range(p):
            power = power * size
        total = total + power
    return total if total == Fraction(0) else by_ball(lambda x: x.root(p), total)


def log_sum_exp(values: Values) -> Any:
    """log of the sum of exp, with the largest subtracted so that the numbers can be written."""
    if any(isinstance(v, Unknown) for v in values):
        return UNKNOWN
    largest = max(values, key=lambda v: bounds(v)[1])
    return largest + by_ball(arb.log, summed([exponential(v - largest) for v in values]))


def product(values: Values) -> Any:
    total: Any = values[0] if values else Fraction(1)
    for v in values[1:]:
        total = total * v
    return total


FUNCTIONS: dict[str, Callable[[Values], Any]] = {
    "ReduceL1": lambda values: norm(values, 1),
    "ReduceL2": lambda values: norm(values, 2),
    "ReduceSumSquare": lambda values: summed([square(v) for v in values]),
    "ReduceProd": product,
    "ReduceLogSum": lambda values: by_ball(arb.log, summed(values)) if values else UNKNOWN,
    "ReduceLogSumExp": lambda values: log_sum_exp(values) if values else UNKNOWN,
}


@operator(*FUNCTIONS)
def reduce_nonlinear(call: Call) -> list[Array]:
    axes = reduction_axes(call, 18)
    return [reduced(call[0], axes, call.attribute("keepdims", 1), FUNCTIONS[call.node.op_type])]


def lines(shape: tuple[int, ...], axes: list[int]) -> Iterator[list[tuple[int, ...]]]:
    """The places of the elements that share everything but the given axes."""
    others = [range(n) for a, n in enumerate(shape) if a not in axes]
    for fixed in itertools.product(*others):
        rest = iter(fixed)
        ranges = [range(n) if a in axes else [next(rest)] for a, n in enumerate(shape)]
        yield list(itertools.product(*ranges))


def mean(values: Values) -> Any:
    return divide(summed(values), Fraction(len(values)))


def deviation(values: Values, epsilon: Fraction) -> Any:
    """sqrt(mean of squares + epsilon)."""
    return square_root(mean([square(v) for v in values]) + epsilon)


def standardise(x: Array, axes: list[int], epsilon: Any, centre: bool = True) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + epsilon), the mean, and 1 / sqrt(...), of every line."""
    out, kept = np.empty(x.shape, dtype=object), [1 if a in axes else n for a, n in enumerate(x.shape)]
    means, factors = np.empty(kept, dtype=object), np.empty(kept, dtype=object)
    for places in lines(x.shape, axes):
        middle = mean([x[p] for p in places]) if centre else Fraction(0)
        factor = divide(Fraction(1), deviation([x[p] - middle for p in places], epsilon))
        for p in places:
            out[p] = (x[p] - middle) * factor
        first = tuple(0 if a in axes else places[0][a] for a in range(x.ndim))
        means[first], factors[first] = middle, factor
    return out, means, factors


def scaled(y: Array, scale: Array, bias: Array | None) -> Array:
    out = np.empty(y.shape, dtype=object)
    scale = np.broadcast_to(scale, y.shape)
    for index in np.ndindex(y.shape):
        out[index] = y[index] * scale[index]
        if bias is not None:
            out[index] = out[index] + np.broadcast_to(bias, y.shape)[index]
    return out


EPSILON = float32(1e-5)


@operator("LayerNormalization", "RMSNormalization")
def layer(call: Call) -> list[Array]:
    x, layers = call[0], call.node.op_type == "LayerNormalization"
    axis = to_axis(call.attribute("axis", -1), x.ndim)
    y, means, factors = standardise(
        x, list(range(axis, x.ndim)), call.attribute("epsilon", EPSILON), centre=layers
    )
    bias = call[2] if call.has(2) else None
    return [scaled(y, call[1], bias), *([means, factors] if layers else [])]


@operator("InstanceNormalization")
def instance(call: Call) -> list[Array]:
    x = call[0]
    y, _, _ = standardise(x, list(range(2, x.ndim)), call.attribute("epsilon", EPSILON))
    channels = (-1, *[1] * (x.ndim - 2))
    return [scaled(y, call[1].reshape(channels), call[2].reshape(channels))]


@operator("GroupNormalization")
def group(call: Call) -> list[Array]:
    x, groups = call[0], call.attribute("num_groups")
    joined = x.reshape(x.shape[0], groups, -1)
    y, _, _ = standardise(joined, [2], call.attribute("epsilon", EPSILON))
    y = y.reshape(x.shape)
    per_channel = [np.repeat(v, x.shape[1] // groups) if call.opset < 21 else v for v in (call[1], call[2])]
    shape = (-1, *[1] * (x.ndim - 2))
    return [scaled(y, *(v.reshape(shape) for v in per_channel))]


@operator("MeanVarianceNormalization")
def mean_variance(call: Call) -> list[Array]:
    """The standard's definition adds 1e-9 to the standard deviation."""
    x = call[0]
    out = np.empty(x.shape, dtype=object)
    axes = [to_axis(a, x.ndim) for a in call.attribute("axes", [0, 2, 3])]
    for places in lines(x.shape, axes):
        middle = mean([x[p] for p in places])
        below = deviation([x[p] - middle for p in places], Fraction(0)) + float32(1e-9)
        for p in places:
            out[p] = divide(x[p] - middle, below)
    return [out]


@operator("LpNormalization")
def lp_normalization(call: Call) -> list[Array]:
    """0 where the norm is 0."""
    x = call[0]
    out = np.empty(x.shape, dtype=object)
    for places in lines(x.shape, [to_axis(call.attribute("axis", -1), x.ndim)]):
        size = norm([x[p] for p in places], call.attribute("p", 2))
        for p in places:
            nothing = not isinstance(size, Unknown) and bounds(size) == (0, 0)
            out[p] = Fraction(0) if nothing else divide(x[p], size)
    return [out]


@operator("LRN")
def local_response(call: Call) -> list[Array]:
    x, size = call[0], call.attribute("size")
    alpha, beta = call.attribute("alpha", float32(1e-4)), call.attribute("beta", Fraction(3, 4))
    bias = call.attribute("bias", Fraction(1))
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        n, c, *rest = index
        near = range(max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2) + 1)
        base = bias + summed([square(x[(n, i, *rest)]) for i in near]) * Fraction(alpha, size)
        below = by_ball(lambda v: v ** arb(float(beta)), base) if beta else Fraction(1)
        out[index] = divide(x[index], below)
    return [out]


@operator("LpPool")
def lp_pool(call: Call) -> list[Array]:
    x, windows, p = call[0], Windows(call), call.attribute("p", 2)
    out = np.empty((*x.shape[:2], *windows.positions), dtype=object)
    for index in np.ndindex(out.shape):
        taps = [tap for tap in windows.taps(index[2:]) if windows.inside(tap)]
        out[index] = norm([x[(*index[:2], *tap)] for tap in taps], p)
    return [out]


@operator("GlobalLpPool")
def global_lp_pool(call: Call) -> list[Array]:
    axes = list(range(2, call[0].ndim))
    return [reduced(call[0], axes, 1, lambda values: norm(values, call.attribute("p", 2)))]
