"""Reductions, argmax and softmax."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from quicktions import Fraction

from .call import Call, operator, to_axis
from .exact import UNKNOWN, Array, Unknown, bounds, divide, elementwise, exponential, greatest, least
from .pooling import first_greatest


def reduced(x: Array, axes: list[int], keepdims: int, function: Callable[[list[Any]], Any]) -> Array:
    axes = [to_axis(a, x.ndim) for a in axes]
    kept = [1 if i in axes else size for i, size in enumerate(x.shape)]
    out = np.empty(kept, dtype=object)
    for index in np.ndindex(out.shape):
        ranges = [range(x.shape[i]) if i in axes else [index[i]] for i in range(x.ndim)]
        out[index] = function([x[place] for place in itertools.product(*ranges)])
    return out if keepdims else out.reshape([size for i, size in enumerate(kept) if i not in axes])


def summed(values: list[Any]) -> Any:
    total = values[0] if values else Fraction(0)
    for value in values[1:]:
        total = total + value
    return total


FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "ReduceSum": summed,
    "ReduceMean": lambda values: divide(summed(values), Fraction(len(values))),
    "ReduceMax": greatest,
    "ReduceMin": least,
}
AXES_BECOME_INPUT = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18, "ReduceMin": 18}


@operator("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def reduce(call: Call) -> list[Array]:
    name = call.node.op_type
    axes = reduction_axes(call, AXES_BECOME_INPUT[name])
    return [reduced(call[0], axes, call.attribute("keepdims", 1), FUNCTIONS[name])]


def reduction_axes(call: Call, input_since: int) -> list[int]:
    """The axes: an attribute, since some opset an input; none named: all, or none if so asked."""
    axes = call.integers(1) if call.opset >= input_since else call.attribute("axes")
    if axes:
        return axes
    return [] if call.attribute("noop_with_empty_axes", 0) else list(range(call[0].ndim))


@operator("Mean")
def mean(call: Call) -> list[Array]:
    count = Fraction(len(call.inputs))
    return [elementwise(lambda *values: divide(summed(list(values)), count), *call.inputs)]


@operator("CumSum", "CumProd")
def running(call: Call) -> list[Array]:
    x = call[0]
    axis = to_axis(call.integers(1)[0], x.ndim)
    sums, reverse = call.node.op_type == "CumSum", call.attribute("reverse", 0)
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        here = index[axis]
        if call.attribute("exclusive", 0):
            places = range(here + 1, x.shape[axis]) if reverse else range(here)
        else:
            places = range(here, x.shape[axis]) if reverse else range(here + 1)
        whole = isinstance(x[index], int)
        total: Any = (0 if whole else Fraction(0)) if sums else (1 if whole else Fraction(1))
        for place in places:
            value = x[(*index[:axis], place, *index[axis + 1 :])]
            total = total + value if sums else total * value
        out[index] = total
    return [out]


@operator("ArgMax", "ArgMin")
def arg(call: Call) -> list[Array]:
    last = bool(call.attribute("select_last_index", 0))

    def winner(values: list[Any]) -> Any:
        if call.node.op_type == "ArgMin":
            values = [-v for v in values]
        return first_greatest(values, last)

    return [reduced(call[0], [call.attribute("axis", 0)], call.attribute("keepdims", 1), winner)]


def softmax(values: list[Any]) -> list[Any]:
    """exp(x_i) / sum exp(x_j), with the largest subtracted everywhere, so that the numbers can be written."""
    if any(isinstance(v, Unknown) for v in values):
        return [UNKNOWN] * len(values)
    largest = max(values, key=lambda v: bounds(v)[1])
    powers = [exponential(v - largest) for v in values]
    total = summed(powers)
    return [divide(power, total) for power in powers]


@operator("Softmax")
def softmax_node(call: Call) -> list[Array]:
    x = call[0]
    out = np.empty(x.shape, dtype=object)
    if call.opset >= 13:
        axis = to_axis(call.attribute("axis", -1), x.ndim)
        for index in np.ndindex(x.shape[:axis] + x.shape[axis + 1 :]):
            line = [(*index[:axis], k, *index[axis:]) for k in range(x.shape[axis])]
            for place, value in zip(line, softmax([x[p] for p in line]), strict=True):
                out[place] = value
        return [out]
    axis = to_axis(call.attribute("axis", 1), x.ndim)
    rows = int(np.prod(x.shape[:axis], dtype=int))
    flat, result = x.reshape(rows, -1), out.reshape(rows, -1)
    for row in range(rows):
        for column, value in enumerate(softmax(list(flat[row]))):
            result[row, column] = value
    return [result.reshape(x.shape)]
