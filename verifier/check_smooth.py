"""Smooth functions of affine forms, element by element in ball arithmetic.

For any slope s, ``f(v) = s*v + u`` with u between the least and the greatest value of f(v) - s*v over the
range [lo, hi] of v. The range is cut where the curvature of f changes sign. On a piece where f is convex
(concave), the greatest (least) value is at an end, and the tangent at any point of the piece bounds the
other side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb, ctx

from .check_errors import NotHomogeneous, Undecided
from .check_integers import Arithmetic, Array, Form, objects

__all__ = ["FUNCTIONS", "smooth"]

REACH = 1 << 14  # exp(v) for |v| beyond this is left undecided
DEFAULT_BITS = 256  # in exact mode


@dataclass(frozen=True)
class Smooth:
    """A function, a point where its slope is s, the signs of its curvature on both sides of 0, its domain."""

    f: Callable[[arb], arb]
    slope: Callable[[arb], arb]
    touch: Callable[[arb], arb]
    left: int
    right: int
    even: bool = False  # the slope is an even function: `touch` gives its positive root
    domain: str = "all"  # or "positive", "nonnegative", "nonzero", "small" (|v| <= REACH)


def _sigmoid(v: arb) -> arb:
    return 1 / (1 + (-v).exp())


def _logistic_root(s: arb) -> arb:
    """The v > 0 with sigmoid'(v) = s: u = exp(-v) solves s*(1 + u)**2 = u."""
    return -(((1 - 2 * s) - (1 - 4 * s).sqrt()) / (2 * s)).log()


FUNCTIONS = {
    "Exp": Smooth(arb.exp, arb.exp, arb.log, 1, 1, domain="small"),
    "Log": Smooth(arb.log, lambda v: 1 / v, lambda s: 1 / s, -1, -1, domain="positive"),
    "Sqrt": Smooth(
        arb.sqrt, lambda v: 1 / (2 * v.sqrt()), lambda s: 1 / (4 * s * s), -1, -1, domain="nonnegative"
    ),
    "Reciprocal": Smooth(
        lambda v: 1 / v, lambda v: -1 / (v * v), lambda s: (-1 / s).sqrt(), -1, 1, True, "nonzero"
    ),
    "Sigmoid": Smooth(_sigmoid, lambda v: _sigmoid(v) * _sigmoid(-v), _logistic_root, 1, -1, True),
    "Tanh": Smooth(arb.tanh, lambda v: 1 - v.tanh() ** 2, lambda s: _logistic_root(s / 4) / 2, 1, -1, True),
    "Softplus": Smooth(
        lambda v: v.exp().log1p(), _sigmoid, lambda s: (s / (1 - s)).log(), 1, 1, domain="small"
    ),
}


def smooth(ar: Arithmetic, name: str, v: Form) -> Form:
    """The function called `name` of `v`."""
    rule = FUNCTIONS[name]
    if v.degree:
        raise NotHomogeneous(name)
    lo, hi = ar.bounds(v)
    _refuse(_outside(rule.domain, lo, hi, v.e))
    bits = ar.bits or DEFAULT_BITS
    before, ctx.prec = ctx.prec, bits + 40
    try:
        ends = list(zip(map(int, lo.flat), map(int, hi.flat), strict=True))
        chords = {}
        for a, b in set(ends):
            x, y = _ball(a, v.e), _ball(b, v.e)
            chord = (rule.f(y) - rule.f(x)) / (y - x) if a < b else arb(0)
            chords[a, b] = chord.mid() if chord.is_finite() else arb(0)
        slopes, e = _integers(list(chords.values()), bits // 2)
        ranges = [
            _range(rule, _ball(a, v.e), _ball(b, v.e), _ball(s, e))
            for (a, b), s in zip(chords, slopes, strict=True)
        ]
        lows, e_low = _integers([low.lower() for low, _ in ranges], bits)
        highs, e_high = _integers([high.upper() for _, high in ranges], bits, up=True)
    finally:
        ctx.prec = before
    order = {end: k for k, end in enumerate(chords)}
    at = np.array([order[end] for end in ends], dtype=np.int64).reshape(lo.shape)
    unit = min(e_low, e_high)
    low, high = (
        objects([x << (e_low - unit) for x in lows])[at],
        objects([x << (e_high - unit) for x in highs])[at],
    )
    offset = ar.form(low + high, unit - 1, r=high - low)
    if not any(slopes):
        return offset
    return ar.add(ar.multiply(ar.form(objects(slopes)[at], e), v), offset)


def _outside(domain: str, lo: Array, hi: Array, e: int) -> Array:
    if domain == "positive":
        return lo <= 0
    if domain == "nonnegative":
        return lo < 0
    if domain == "nonzero":
        return (lo <= 0) & (hi >= 0)
    if domain == "small":
        limit = REACH << -e if e < 0 else REACH >> e
        return (lo < -limit) | (hi > limit)
    return np.zeros(lo.shape, dtype=bool)


def _refuse(bad: Array) -> None:
    if bad.any():
        raise Undecided(np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(axis=0)).tolist())


def _range(rule: Smooth, a: arb, b: arb, s: arb) -> tuple[arb, arb]:
    """Bounds of f(v) - s*v over a <= v <= b (exact balls)."""
    if a == b:
        value = rule.f(a) - s * a
        return value, value
    cut = [a, arb(0), b] if rule.left != rule.right and a < 0 < b else [a, b]
    lows = [rule.f(v) - s * v for v in cut]
    highs = list(lows)
    for x, y in zip(cut, cut[1:], strict=False):
        p = rule.touch(s).mid()
        p = -p if rule.even and x < 0 else p
        p = ((x + y) / 2).mid() if not p.is_finite() else x if p < x else y if p > y else p
        value, slope = rule.f(p), rule.slope(p)
        convex = (rule.right if x >= 0 else rule.left) > 0
        (lows if convex else highs).extend(value + slope * (v - p) - s * v for v in (x, y))
    return functools.reduce(arb.min, lows), functools.reduce(arb.max, highs)


def _ball(x: int, e: int) -> arb:
    return arb((x, e))  # exact


def _integers(values: list[arb], bits: int, up: bool = False) -> tuple[list[int], int]:
    """Exact balls as integers times 2**e, `bits` bits for the largest, rounded down (up)."""
    if not all(v.is_finite() for v in values):
        raise Undecided([])
    parts = [tuple(map(int, v.man_exp())) for v in values]
    e = max((m.bit_length() + k for m, k in parts if m), default=0) - bits
    sign = -1 if up else 1
    return [sign * (sign * m << (k - e) if k >= e else sign * m >> (e - k)) for m, k in parts], e
