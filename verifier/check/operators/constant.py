"""Operators whose result has a shape that depends on values: of constants only."""

from __future__ import annotations

from typing import Any

import numpy as np

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Array
from verifier.check.operators.registry import Context, Node, Value, operator, whole_numbers
from verifier.check.operators.structure import gather

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
