"""Step functions of forms and of their quotients, exactly: divisions of integers.

A cell is open: where a form moves, its bounds are not attained, and the step function takes its one-sided
limit there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from verifier.check.errors import Undecided
from verifier.check.numbers.integers import Arithmetic, Array, Form, magnitude
from verifier.check.numbers.rationals import Rational, quotient

__all__ = [
    "CEIL",
    "FLOOR",
    "NEAREST",
    "TRUNC",
    "Step",
    "blurred",
    "divided",
    "exact_divisor",
    "refuse_cells",
    "stepped",
]

Step = Callable[[Array, Array, Array], Array]
"""``(n, d, side) -> integers``: the function at n/d for d > 0, or its limit from above (below) where `side`
is 1 (-1)."""


def _floor(n: Array, d: Array, side: Array) -> Array:
    q, rest = divided(n, d)
    return np.asarray(q - ((rest == 0) & (side < 0)))


def _ceil(n: Array, d: Array, side: Array) -> Array:
    return -_floor(-n, d, -side)


def _trunc(n: Array, d: Array, side: Array) -> Array:
    up = (n < 0) | (n == 0) & (side < 0)
    return np.where(up, _ceil(n, d, side), _floor(n, d, side))


def _nearest(n: Array, d: Array, side: Array) -> Array:
    q, rest = divided(n, d)
    other = d - rest
    odd = q - 2 * (q // 2) != 0
    return np.asarray(q + ((rest > other) | (rest == other) & ((side > 0) | (side == 0) & odd)))


FLOOR, CEIL, TRUNC, NEAREST = _floor, _ceil, _trunc, _nearest


def divided(n: Array, d: Array) -> tuple[Array, Array]:
    """Quotient rounded down, and rest; the entries may be rational."""
    if n.dtype != object and d.dtype != object:
        q = n // d
        return q, n - q * d
    q = np.asarray(np.frompyfunc(_whole_quotient, 2, 1)(n, d), dtype=object)
    return q, n - q * d


def _whole_quotient(n: Any, d: Any) -> Any:
    if isinstance(n, Rational) or isinstance(d, Rational):
        ratio = quotient(n, d)
        return int(ratio.value.floor()) if isinstance(ratio, Rational) else ratio
    return n // d


def stepped(ar: Arithmetic, step: Step, x: Form, divisor: Form | None = None) -> tuple[Array, Array]:
    """Bounds of step(x / divisor) on open cells, for an exact positive divisor; integers of any size."""
    lo, hi = ar.bounds(x)
    d, e = (np.ones((1,), dtype=np.int64), 0) if divisor is None else _shortened(divisor)
    k = x.e - e
    if lo.dtype == object or not (_fits(d, -k) and _fits(lo, k) and _fits(hi, k)):
        lo, hi, d = (a.astype(object) for a in (lo, hi, d))
    lo, hi, d = lo * (1 << max(k, 0)), hi * (1 << max(k, 0)), d * (1 << max(-k, 0))
    side = (x.d != 0).astype(np.int64)
    return step(lo, d, side), step(hi, d, -side)


def _fits(a: Array, k: int) -> bool:
    """Whether a * 2**k (not below a) stays within 62 bits."""
    return magnitude(a).bit_length() + max(k, 0) <= 61


def exact_divisor(v: Form) -> tuple[Array, int] | None:
    """The integers and the exponent of a form of exact positive numbers; None of others."""
    return None if v.r.any() or v.d.any() or not (v.c > 0).all() else _shortened(v)


def _shortened(v: Form) -> tuple[Array, int]:
    """The integers and the exponent of an exact form, without common factors 2."""
    c = v.c
    if any(isinstance(n, Rational) for n in (c.flat if c.dtype == object else ())):
        return c, v.e
    together = int(np.bitwise_or.reduce(np.abs(c).reshape(-1))) if c.size else 0
    zeros = (together & -together).bit_length() - 1 if together else 0
    return c >> zeros, v.e + zeros


def blurred(ar: Arithmetic, x: Form, exponent: int) -> Form:
    """x +- 2**exponent."""
    one = np.ones((1,), dtype=object)
    return ar.add(x, ar.form(0 * one, exponent, r=one))


def refuse_cells(bad: Array) -> None:
    """Leave the cells undecided on which something is not known to have a value."""
    if bad.any():
        raise Undecided(np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(axis=0)).tolist())
