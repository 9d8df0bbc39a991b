"""Discrete tensors (booleans, integers, indices): what is known of them on each open cell.

A `Discrete` holds integer bounds lo <= hi; an element is known where they meet. Comparisons of affine forms
follow the rule for open cells: ``c + d*t +- r > 0`` for all t in (-1, 1) if c >= |d| + r and (d != 0 or c >
r).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verifier.check.errors import InvalidCertificate
from verifier.check.numbers.integers import Arithmetic, Array, Form, magnitude

__all__ = [
    "COMPARISONS",
    "LOGIC",
    "Discrete",
    "closer",
    "first_best",
    "logical_not",
    "sign",
    "to_form",
    "to_integer",
]

LARGEST = 1 << 52


@dataclass(frozen=True, eq=False)
class Discrete:
    """Integers between lo and hi: int64 arrays of shape (*shape, cells).

    `form`, if any, encloses the same numbers, and says how they move: a staircase follows the slope that it
    climbs.
    """

    lo: Array
    hi: Array
    form: Form | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape, without the axis of cells."""
        return tuple(self.lo.shape[:-1])

    @classmethod
    def known(cls, values: Any) -> Discrete:
        """The constant `values` (one cell)."""
        a = np.asarray(values, dtype=np.int64)[..., None]
        return cls(a, a)

    def each(self, function: Any) -> Discrete:
        """`function` applied to both bounds (an increasing function, or one that moves elements)."""
        return Discrete(function(self.lo), function(self.hi))


def _signs(ar: Arithmetic, a: Form | Discrete, b: Form | Discrete) -> tuple[Array, Array, Array, Array]:
    """Where a - b is certainly > 0, >= 0, <= 0, < 0."""
    if isinstance(a, Discrete) and isinstance(b, Discrete):
        return a.lo > b.hi, a.lo >= b.hi, a.hi <= b.lo, a.hi < b.lo
    return _sides(ar.subtract(to_form(ar, a), to_form(ar, b)))


def _sides(v: Form) -> tuple[Array, Array, Array, Array]:
    """Where v is certainly > 0, >= 0, <= 0, < 0 on the open cell."""
    span, moves = np.abs(v.d) + v.r, v.d != 0
    high, low = v.c >= span, -v.c >= span
    return high & (moves | (v.c > v.r)), high, low, low & (moves | (-v.c > v.r))


def _truth(yes: Array, no: Array) -> Discrete:
    return Discrete(yes.astype(np.int64), 1 - no.astype(np.int64))


def _greater(ar: Arithmetic, a: Any, b: Any) -> Discrete:
    above, _, at_most, _ = _signs(ar, a, b)
    return _truth(above, at_most)


def _at_least(ar: Arithmetic, a: Any, b: Any) -> Discrete:
    _, at_least, _, below = _signs(ar, a, b)
    return _truth(at_least, below)


def _equal(ar: Arithmetic, a: Any, b: Any) -> Discrete:
    above, at_least, at_most, below = _signs(ar, a, b)
    return _truth(at_least & at_most, above | below)


COMPARISONS: dict[str, Callable[[Arithmetic, Any, Any], Discrete]] = {
    "Greater": _greater,
    "GreaterOrEqual": _at_least,
    "Less": lambda ar, a, b: _greater(ar, b, a),
    "LessOrEqual": lambda ar, a, b: _at_least(ar, b, a),
    "Equal": _equal,
}

LOGIC: dict[str, Callable[[Discrete, Discrete], Discrete]] = {
    "And": lambda a, b: Discrete(a.lo & b.lo, a.hi & b.hi),
    "Or": lambda a, b: Discrete(a.lo | b.lo, a.hi | b.hi),
    "Xor": lambda a, b: Discrete(
        np.where((a.lo == a.hi) & (b.lo == b.hi), a.lo ^ b.lo, 0),
        np.where((a.lo == a.hi) & (b.lo == b.hi), a.lo ^ b.lo, 1),
    ),
}


def logical_not(a: Discrete) -> Discrete:
    """Not."""
    return Discrete(1 - a.hi, 1 - a.lo)


def sign(v: Form) -> Discrete:
    """-1, 0 or 1."""
    above, at_least, at_most, below = _sides(v)
    return Discrete(
        np.where(above, 1, np.where(at_least, 0, -1)), np.where(below, -1, np.where(at_most, 0, 1))
    )


def to_form(ar: Arithmetic, a: Form | Discrete) -> Form:
    """A discrete tensor as numbers; the jumps between its bounds become radius."""
    if isinstance(a, Form):
        return a
    flat = ar.filled(ar.from_bounds(ar.integers(a.lo), ar.integers(a.hi), 0))
    return flat if a.form is None else closer(ar, flat, a.form)


def closer(ar: Arithmetic, a: Form, b: Form) -> Form:
    """Of two enclosures of the same numbers, for each element the one with the smaller radius."""
    a, b = ar.aligned([a, b])
    first = a.r <= b.r
    c, d, r = (np.where(first, x, y) for x, y in ((a.c, b.c), (a.d, b.d), (a.r, b.r)))
    return Form(c, d, r, a.e, a.degree)


def to_integer(ar: Arithmetic, v: Form, truncate: bool) -> Discrete:
    """A form as integers: truncated towards zero, or the integers in its bounds where it is known to be
    one.
    """
    lo, hi = (a.astype(object) for a in ar.bounds(v))
    k = max(-v.e, 0)
    lo, hi = lo << max(v.e, 0), hi << max(v.e, 0)
    if truncate:
        lo, hi = (np.where(a >= 0, a >> k, -(-a >> k)) for a in (lo, hi))
    else:
        lo, hi = -(-lo >> k), hi >> k
    if max(magnitude(lo), magnitude(hi)) > LARGEST:
        raise InvalidCertificate("an integer tensor of the graph has values beyond 2**52")
    return Discrete(lo.astype(np.int64), hi.astype(np.int64), None if truncate or v.degree else v)


def first_best(ar: Arithmetic, rows: Form, least: bool = False, last: bool = False) -> Array:
    """Which index along the first axis can be the first (last) best one: a boolean array of the shape of
    `rows`.

    The guess g is the best one at the centre of the cell. Row j cannot win where row g certainly beats it:
    greater, or at least as great and first.
    """
    rows = replace(ar.negative(rows), same=rows.same) if least else rows
    count = len(rows.c)
    order = np.arange(count).reshape((-1,) + (1,) * (rows.c.ndim - 1))
    guess = (count - 1 - rows.c[::-1].argmax(axis=0) if last else rows.c.argmax(axis=0))[None]
    same = None
    if rows.same is not None:
        same = np.take_along_axis(np.broadcast_to(rows.same, rows.c.shape), guess, axis=0)
    winner = rows.each(lambda x: np.take_along_axis(x, guess, axis=0), same=same)
    above, at_least, _, _ = _sides(ar.subtract(winner, rows))
    beaten = above | (at_least & (order < guess if last else order > guess))
    return np.asarray(~beaten | (order == guess))
