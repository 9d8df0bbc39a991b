"""Floating-point formats of 16 bits and less: tables of all their numbers."""

from __future__ import annotations

import bisect
import functools
import math
from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto
from quicktions import Fraction

from .exact import UNKNOWN, Unknown, bounds, hull

__all__ = ["NARROW", "round_to"]

NARROW: dict[int, Any] = {
    TensorProto.FLOAT16: np.float16,
    TensorProto.BFLOAT16: ml_dtypes.bfloat16,
    TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: ml_dtypes.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
    TensorProto.FLOAT8E8M0: ml_dtypes.float8_e8m0fnu,
    TensorProto.FLOAT4E2M1: ml_dtypes.float4_e2m1fn,
}


@functools.cache
def positive_numbers(kind: int) -> list[Fraction]:
    """Every finite number >= 0 of the format, in the order of its codes."""
    dtype = np.dtype(NARROW[kind])
    codes = np.arange(2 ** (8 * dtype.itemsize)).astype(np.uint8 if dtype.itemsize == 1 else np.uint16)
    if kind == TensorProto.FLOAT4E2M1:
        codes = codes[:8]
    with np.errstate(invalid="ignore"):
        found = [float(v) for v in codes.view(dtype).astype(np.float64)]
    half = found if kind == TensorProto.FLOAT8E8M0 else found[: len(found) // 2 or 1]
    return [Fraction(v) for v in (found if kind == TensorProto.FLOAT4E2M1 else half) if math.isfinite(v)]


def _nearest(x: Fraction, kind: int) -> Fraction | None:
    """The nearest number, ties to the even code; None beyond the largest."""
    table = positive_numbers(kind)
    size = abs(x)
    after = bisect.bisect_left(table, size)
    if after == len(table):
        step = table[-1] - table[-2]
        gap = size - table[-1]
        stays = gap < step / 2 or gap == step / 2 and (len(table) - 1) % 2 == 0
        best = table[-1] if stays else None
    elif after == 0:
        best = table[0]
    else:
        low, high = size - table[after - 1], table[after] - size
        up = high < low or high == low and after % 2 == 0
        best = table[after] if up else table[after - 1]
    return best if best is None or x >= 0 else -best


def _power(x: Fraction, kind: int, mode: str, saturate: bool) -> Any:
    """A power of two by the table in the standard's text on FLOAT8E8M0."""
    table = positive_numbers(kind)
    if x < 0 or not saturate and not table[0] <= x <= table[-1]:
        return UNKNOWN
    if x <= table[0] or x >= table[-1]:
        return table[0] if x <= table[0] else table[-1]
    after = bisect.bisect_left(table, x)
    if table[after] == x:
        return x
    if mode == "nearest":
        return table[after] if table[after] - x <= x - table[after - 1] else table[after - 1]
    return table[after] if mode == "up" else table[after - 1]


def round_to(x: Any, kind: int, saturate: bool = True, mode: str = "up") -> Any:
    """A number of the format; UNKNOWN where the standard says infinite, not a number, or nothing."""
    if isinstance(x, Unknown):
        return UNKNOWN

    def end(v: Fraction) -> Any:
        if kind == TensorProto.FLOAT8E8M0:
            return _power(v, kind, mode, saturate)
        found = _nearest(v, kind)
        if found is not None:
            return found
        clamps = saturate and kind not in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
        largest = positive_numbers(kind)[-1]
        clamps = clamps or kind == TensorProto.FLOAT4E2M1
        return (largest if v > 0 else -largest) if clamps else UNKNOWN

    return hull([end(v) for v in bounds(x)])
