"""Rearrangements of elements: index maps, and several tensors as one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, as_range, is_discrete

__all__ = ["Move", "gather_map", "joined"]

Move = Callable[[NDArray[Any], int], NDArray[Any]]
"""A rearrangement as a function of (array, number of leading axes)."""


def gather_map(index: NDArray[np.int64], total: int) -> Move:
    """The gather map ``index`` on arrays of ``total`` elements; plain reshapes copy nothing."""
    shape, flat = index.shape, np.ascontiguousarray(index.reshape(-1))
    if flat.size == total and np.array_equal(flat, np.arange(total)):
        return lambda array, lead: array.reshape((*array.shape[:lead], *shape))

    def move(array: NDArray[Any], lead: int) -> NDArray[Any]:
        head = array.shape[:lead]
        return np.take(array.reshape((*head, -1)), flat, axis=lead).reshape((*head, *shape))

    return move


def joined(parts: list[Value], batch: Batch) -> Value:
    """All elements of the parts as one value, flat if several; empty parts do not decide its type."""
    parts = [p for p in parts if prod(p.shape)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    consts = [p for p in parts if isinstance(p, Const)]
    if len(consts) == len(parts):
        radius = None
        if any(p.radius is not None for p in consts):
            radius = np.concatenate([p.spread.reshape(-1) for p in consts])
        return Const(np.concatenate([p.value.reshape(-1) for p in consts]), radius)
    if all(is_discrete(p) for p in parts):
        ranges = [as_range(batch, p) for p in parts]
        lo, hi = (
            np.concatenate(
                [np.broadcast_to(v, (batch.size, *v.shape[1:])).reshape(batch.size, -1) for v in side], axis=1
            )
            for side in ([r.lo for r in ranges], [r.hi for r in ranges])
        )
        return Range(lo, hi)
    forms = [batch.lift(p) for p in parts]
    flat = [[x.reshape(batch.size, -1) for x in (f.c, f.d, f.r)] for f in forms]
    c, d, r = (np.concatenate([f[k] for f in flat], axis=1) for k in range(3))
    return Affine(c, d, r)
