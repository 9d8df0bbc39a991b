"""Holds an enclosure of the engine against exact values of the twin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import twin
from quicktions import Fraction
from random_graphs import Case

from symbolic.enclosures.values import Affine, Const, Range, Value
from symbolic.network import Line, Network, centre

__all__ = ["contradictions", "line_of", "network_of", "points_in", "tau_of", "tensor_names", "undecided"]

U = 2.0**-53
ONE = Fraction(1)


def tensor_names(model: onnx.ModelProto) -> list[str]:
    """Every tensor that a node makes."""
    return [name for node in model.graph.node for name in node.output if name]


def network_of(case: Case, outputs: Sequence[str] | None = None) -> Network:
    """The engine's network; by default with every tensor as an output, so that nothing is dropped."""
    inputs = {case.moving: case.observed, **case.other}
    return Network(case.model, inputs, case.moving, tensor_names(case.model) if outputs is None else outputs)


def line_of(case: Case) -> Line:
    """The line of the case, from exact rationals."""
    start, direction = (list(twin.exact_array(a).reshape(-1)) for a in (case.observed, case.direction))
    return Line.of(start, direction, case.observed.shape)


def tau_of(segment: tuple[float, float], t: Fraction) -> Fraction:
    """Where t lies in the engine's coordinate of the segment (exactly)."""
    lo, hi = segment
    if math.isinf(lo) or math.isinf(hi):
        near = lo if math.isinf(hi) else -hi
        m, h = centre(np.zeros(1), np.nextafter(1.0 / np.array([near]), np.inf))
        return (1 / abs(t) - Fraction(float(m[0]))) / Fraction(float(h[0]))
    m, h = centre(np.array([lo]), np.array([hi]))
    return (t - Fraction(float(m[0]))) / Fraction(float(h[0])) if h[0] else Fraction(0)


def points_in(rng: np.random.Generator, segment: tuple[float, float], count: int) -> list[Fraction]:
    """Random rational points of the open segment (of the point itself when it is degenerate)."""
    lo, hi = segment
    if lo == hi:
        return [Fraction(lo)]
    parts = [Fraction(int(rng.integers(1, 2**20)), 2**20) for _ in range(count)]
    if math.isinf(hi) or math.isinf(lo):  # near its start and far out
        near = Fraction(hi if math.isinf(lo) else lo)
        return [near / part * 2 ** int(rng.choice([0, rng.integers(0, 80)])) for part in parts]
    return [Fraction(lo) + (Fraction(hi) - Fraction(lo)) * part for part in parts]


def contradictions(
    values: Mapping[str, Value],
    exact: Mapping[str, Any],
    batch: int,
    tau: Fraction,
    scale: Fraction = ONE,
) -> Iterator[str]:
    """Every tensor of which the enclosure misses the exact value, in words.

    ``batch`` is the segment's number, ``tau`` the place in it. On a ray values are divided by |t|: ``scale``.
    """
    for name, value in values.items():
        if name not in exact:  # in no graph but the engine's
            continue
        wanted = exact[name]
        if isinstance(value, Const):
            found = _constant(value, wanted)
        elif value.shape != wanted.shape:
            found = f"shape {value.shape} instead of {wanted.shape}"
        elif isinstance(value, Affine):
            found = _affine(value, wanted, batch, tau, scale)
        else:
            found = _range(value, wanted, batch) or _margin(value, wanted, batch, tau)
            if value.form is not None and math.isfinite(scale) and scale == 1:
                found = found or _affine(value.form, wanted, batch, tau, scale)
        if found:
            yield f"{name}: {found}"


def _constant(value: Const, wanted: Any) -> str | None:
    if value.shape != wanted.shape:
        return f"shape {value.shape} instead of {wanted.shape}"
    for index in np.ndindex(wanted.shape):
        v = wanted[index]
        if v is twin.UNKNOWN or not np.isfinite(np.float64(value.value[index])):
            continue
        radius = Fraction(0) if value.radius is None else _fraction(value.radius[index])
        lo, hi = twin.bounds(v)
        at = twin.bounds(twin.exact_array(value.value[index])[()])[0]
        if radius is not None and not (lo <= at + radius and hi >= at - radius):
            return f"{index}: constant {value.value[index]!r} +- {value.radius} misses {float(lo)!r}"
    return None


def _fraction(number: Any) -> Fraction | None:
    """None for inf and nan: no claim."""
    return Fraction(float(number)) if np.isfinite(number) else None


def _affine(value: Affine, wanted: Any, batch: int, tau: Fraction, scale: Fraction) -> str | None:
    c, d, r = (np.broadcast_to(a, (len(a), *value.shape))[batch] for a in (value.c, value.d, value.r))
    if np.any(r < 0):
        return "a negative radius"
    # A quick look in float64 settles what is far inside; everything else is compared exactly.
    number = twin.to_float(wanted)
    with np.errstate(all="ignore"):
        off = np.abs(number - (c + d * float(tau)) / float(scale))
        slack = 8 * U * (np.abs(number) + (np.abs(c) + np.abs(d)) / float(scale))
        surely = off + slack < r / float(scale) * (1 - 8 * U)
    for index in zip(*np.nonzero(~surely), strict=True) if value.shape else ([()] if not surely else []):
        numbers = [_fraction(a[index]) for a in (c, d, r)]
        v = wanted[index]
        if None in numbers or v is twin.UNKNOWN:
            continue
        middle = numbers[0] + numbers[1] * tau  # type: ignore[operator]
        lo, hi = (end * scale for end in twin.bounds(v))
        if not (lo <= middle + numbers[2] and hi >= middle - numbers[2]):  # type: ignore[operator]
            place = tuple(int(i) for i in index)
            form = f"{c[index]!r} + {d[index]!r} tau +- {r[index]!r}"
            miss = f"misses {float(lo)!r} by {float(abs(lo - middle)):.3g}"
            return f"{place}: {form} at tau = {float(tau)!r} {miss}"
    return _beyond_limits(value, wanted, number)


def _beyond_limits(value: Affine, wanted: Any, number: Any) -> str | None:
    """An element that leaves the limits of its tensor; a comparison of floats finds those that are near."""
    for limit, sign in ((value.least, 1), (value.most, -1)):
        if not math.isfinite(limit):
            continue
        near = ~(sign * (number - limit) > 1e-6 * (1 + abs(limit)))
        for index in zip(*np.nonzero(near), strict=True) if value.shape else ([()] if near else []):
            v = wanted[index]
            if v is not twin.UNKNOWN and max(sign * end for end in twin.bounds(v)) < sign * Fraction(limit):
                return f"{index}: the limit {limit!r} misses {float(twin.bounds(v)[0])!r}"
    return None


def _range(value: Range, wanted: Any, batch: int) -> str | None:
    lo, hi = (np.broadcast_to(a, (len(a), *value.shape))[batch] for a in (value.lo, value.hi))
    for index in np.ndindex(wanted.shape):
        v = wanted[index]
        if v is twin.UNKNOWN:
            continue
        least, most = twin.bounds(v)
        if most < lo[index] or least > hi[index]:
            return f"{index}: {lo[index]}..{hi[index]} misses {v}"
    return None


def _margin(value: Range, wanted: Any, batch: int, tau: Fraction) -> str | None:
    """The margin of a boolean is positive only where it is true, negative only where it is false."""
    if value.margin is None:
        return None
    m = value.margin
    c, d, r = (np.broadcast_to(a, (len(a), *value.shape))[batch] for a in (m.c, m.d, m.r))
    for index in np.ndindex(wanted.shape):
        numbers = [_fraction(a[index]) for a in (c, d, r)]
        v = wanted[index]
        if None in numbers or v is twin.UNKNOWN:
            continue
        middle = numbers[0] + numbers[1] * tau  # type: ignore[operator]
        if abs(middle) > numbers[2] and (middle > 0) != v:  # type: ignore[operator]
            return (
                f"{index}: margin {c[index]!r} + {d[index]!r} tau +- {r[index]!r} has the wrong sign for {v}"
            )
    return None


def undecided(values: Mapping[str, Value]) -> dict[str, float]:
    """Share of the elements of each tensor of which nothing is claimed (infinite or nan radius)."""
    out = {}
    for name, value in values.items():
        if isinstance(value, Affine):
            finite = np.isfinite(value.c) & np.isfinite(value.d) & np.isfinite(value.r)
            out[name] = 1 - float(np.mean(finite)) if finite.size else 0.0
    return out
