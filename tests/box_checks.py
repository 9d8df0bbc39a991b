"""Holds bounds over boxes against exact values of the twin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction as Plain
from typing import Any

import numpy as np
import twin
from quicktions import Fraction

from symbolic.boxes.ball import Ball
from symbolic.boxes.form import Form
from symbolic.enclosures.values import Const, Range

__all__ = ["contradictions", "points_of"]


def points_of(
    ball: Ball, radius: Plain, observed: Any, rng: np.random.Generator, count: int
) -> Iterator[Any]:
    """Exact points of the ball around an array: corners, points of edges and of the inside."""
    x = twin.exact_array(observed)
    for k in range(count):
        shares = rng.integers(-(2**20), 2**20, size=x.shape, endpoint=True)
        if k % 2 == 0:
            shares = np.where(shares > 0, 2**20, -(2**20))
        elif k % 4 == 1:
            shares = np.where(rng.random(x.shape) < 0.5, shares, np.sign(shares) * 2**20)
        move = np.vectorize(lambda s: Fraction(int(s), 2**20) * Fraction(radius), otypes=[object])(shares)
        yield x + move


def contradictions(found: dict[str, Any], exact: dict[str, Any], x: Any, start: Form) -> Iterator[str]:
    """Every element that is beyond its bounds or misses its form, in words."""
    symbols = _symbols(x, start)
    for name, value in found.items():
        if name not in exact or isinstance(value, Const):
            continue
        wanted = exact[name]
        if value.shape != wanted.shape:
            yield f"{name}: shape {value.shape} instead of {wanted.shape}"
            continue
        for index in np.ndindex(wanted.shape):
            v = wanted[index]
            if v is twin.UNKNOWN or isinstance(v, str):
                continue
            low, high = twin.bounds(v) if not isinstance(v, (bool, np.bool_)) else (int(v), int(v))
            said = _within(value, index, low, high) or _on_form(value, index, low, high, symbols)
            if said:
                yield f"{name}{index}: {said}"


def _symbols(x: Any, start: Form) -> list[Any]:
    """The exact values of the symbols at a point."""
    flat, made = x.reshape(-1), []
    for row in start.d:
        (at,) = np.flatnonzero(row)
        centre, width = (Fraction(float(v)) for v in (start.c.reshape(-1)[at], row.reshape(-1)[at]))
        made.append((flat[at] - centre) / width)
        assert abs(made[-1]) <= 1
    return made


def _within(value: Form | Range, index: tuple[int, ...], low: Any, high: Any) -> str | None:
    lo, hi = value.lo[(0, *index)], value.hi[(0, *index)]
    if (math.isfinite(lo) and Fraction(_number(lo)) > high) or (
        math.isfinite(hi) and Fraction(_number(hi)) < low
    ):
        return f"{float(low)!r} is not in [{lo!r}, {hi!r}]"
    return None


def _number(v: Any) -> Any:
    return float(v) if isinstance(v, (float, np.floating)) else int(v)


def _on_form(value: Any, index: tuple[int, ...], low: Any, high: Any, symbols: list[Any]) -> str | None:
    if not isinstance(value, Form):
        return None
    c, r, d = (v[(slice(None), *index)] for v in (value.c, value.r, value.d))
    if not (np.isfinite(c).all() and np.isfinite(r).all() and np.isfinite(d).all()):
        return None
    if r[0] < 0:
        return "a negative remainder"
    own = d[: len(symbols)].tolist()
    middle = Fraction(float(c[0])) + sum(
        (Fraction(s) * e for s, e in zip(own, symbols, strict=False) if s), Fraction(0)
    )
    reach = Fraction(float(r[0])) + sum((abs(Fraction(s)) for s in d[len(symbols) :].tolist()), Fraction(0))
    if middle - reach > high or middle + reach < low:
        return f"misses the form by {float(max(middle - reach - high, low - middle - reach)):.3g}"
    return None
