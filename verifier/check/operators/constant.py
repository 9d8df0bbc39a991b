"""Operators whose result has a shape that depends on values: of constants only."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Array
from verifier.check.operators.registry import Context, Node, Value, fractions, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather

__all__: list[str] = []


def _comparable(node: Node, x: Value) -> Array:
    """Numbers that are equal, and in order, where those of an exact constant are."""
    if isinstance(x, Discrete):
        return whole_numbers(node, x)
    if x.c.shape[-1] != 1 or x.d.any() or x.r.any():
        raise node.refuse("it needs an exact constant: the shape of its result depends on it")
    return x.c[..., 0]


@operator("NonZero", still=(0,))
def _non_zero(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    x = _comparable(node, inputs[0])
    places = np.array(np.nonzero(x)) if x.ndim else np.zeros((0, int(bool(x))))
    return Discrete.known(places.astype(np.int64))


@operator("Unique", still=(0,))
def _unique(ctx: Context, node: Node, inputs: list[Any]) -> list[Value]:
    """Slices along the axis, or elements; the first of each kind stands for it."""
    x = _comparable(node, inputs[0])
    axis = node.get("axis")
    numbers = np.arange(x.size).reshape(x.shape) if axis is not None else np.arange(x.size)
    axis = 0 if axis is None else node.axis(x.ndim, axis)
    rows = np.moveaxis(x.reshape(numbers.shape), axis, 0)
    keys = [tuple(row.reshape(-1).tolist()) for row in rows]
    first: dict[Any, int] = {}
    for k, key in enumerate(keys):
        first.setdefault(key, k)
    kinds = sorted(first) if node.get("sorted") else list(first)
    which = {key: k for k, key in enumerate(kinds)}
    inverse = [which[key] for key in keys]
    at = np.array([first[key] for key in kinds], dtype=np.int64)
    y = gather(ctx, [inputs[0]], np.take(numbers, at, axis=axis))
    return [y, *(Discrete.known(v) for v in (at, inverse, np.bincount(inverse, minlength=len(kinds))))]


EVERY: list[np.dtype[Any]] = [np.dtype(np.float32), np.dtype(np.float64)]
LONGEST_RANGE = 1 << 20  # of fractions
FLOATS: dict[int, list[np.dtype[Any]]] = {  # what may be computed with, by element type
    TensorProto.DOUBLE: EVERY[1:],
    TensorProto.FLOAT16: [np.dtype(np.float16), *EVERY],
    TensorProto.BFLOAT16: [
        np.dtype(onnx.helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)),
        *EVERY,
    ],
}


def _length(dtype: np.dtype[Any], *numbers: Fraction) -> tuple[float, float]:
    """ceil((limit - start) / delta) with all of it rounded to a type, and with an exact quotient."""
    with np.errstate(all="ignore"):
        first, last, step = (np.array(float(v)).astype(dtype) for v in numbers)
        away = last - first
        rounded = float(away / step)
        if not math.isfinite(rounded) or not step:
            return math.nan, math.nan
        exact = Fraction(float(away)) / Fraction(float(step))
        return max(0, math.ceil(rounded)), max(0, math.ceil(exact))


@operator("Range", still=(0, 1, 2))
def _range(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """start, start + delta, ... before the limit."""
    if isinstance(inputs[0], Discrete):
        start, limit, delta = (whole_numbers(node, v).item() for v in inputs)
        bounded(node, [len(range(start, limit, delta))])
        return Discrete.known(np.arange(start, limit, delta))
    first, last, step = (fractions(node, v)[0] for v in inputs)
    if not step:
        raise node.refuse("its step is 0")
    count = max(0, math.ceil((last - first) / step))
    if count > LONGEST_RANGE:
        raise node.refuse("it has too many elements")
    kind = node.kinds[0] if node.kinds else 0
    if any(_length(dtype, first, last, step) != (count, count) for dtype in FLOATS.get(kind, EVERY)):
        raise node.refuse("a runtime that rounds may find another number of elements")
    return ctx.ar.constant(np.array([first + k * step for k in range(count)], dtype=object))
