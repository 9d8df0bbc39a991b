"""Rows of a matrix times changed units, added to consecutive units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from symbolic.enclosures.rounding import Array

__all__ = ["FAST", "OPTIONS", "add_rows"]

FAST = {"contract", "reassoc", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": FAST, "error_model": "numpy"}


def _adder(width: int) -> Callable[..., None]:
    """For one width, which the compiler then knows."""

    @njit(**OPTIONS)  # type: ignore[misc]
    def add(y: Array, t: int, w: Array, at: int, places: Array, values: Array, a: int, b: int) -> None:
        i = a
        while i + 4 <= b:
            w0 = at + places[i] * width
            w1 = at + places[i + 1] * width
            w2 = at + places[i + 2] * width
            w3 = at + places[i + 3] * width
            x0, x1, x2, x3 = values[i], values[i + 1], values[i + 2], values[i + 3]
            for j in range(width):
                y[t + j] += (x0 * w[w0 + j] + x1 * w[w1 + j]) + (x2 * w[w2 + j] + x3 * w[w3 + j])
            i += 4
        while i < b:
            w0 = at + places[i] * width
            x0 = values[i]
            for j in range(width):
                y[t + j] += x0 * w[w0 + j]
            i += 1

    return add  # type: ignore[no-any-return]


_add8, _add16, _add32, _add64 = _adder(8), _adder(16), _adder(32), _adder(64)


@njit(**OPTIONS)  # type: ignore[misc]
def _add_any(
    y: Array, t: int, w: Array, at: int, places: Array, values: Array, a: int, b: int, width: int
) -> None:
    for i in range(a, b):
        first, x = at + places[i] * width, values[i]
        for j in range(width):
            y[t + j] += x * w[first + j]


@njit(**OPTIONS)  # type: ignore[misc]
def add_rows(
    y: Array, t: int, w: Array, at: int, places: Array, values: Array, a: int, b: int, width: int
) -> None:
    """y[t:t+width] += sum of values[i] * (row places[i] of the matrix at ``at``), i from a to b."""
    if width == 8:
        _add8(y, t, w, at, places, values, a, b)
    elif width == 16:
        _add16(y, t, w, at, places, values, a, b)
    elif width == 32:
        _add32(y, t, w, at, places, values, a, b)
    elif width == 64:
        _add64(y, t, w, at, places, values, a, b)
    else:
        _add_any(y, t, w, at, places, values, a, b, width)
