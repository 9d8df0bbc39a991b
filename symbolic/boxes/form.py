"""A tensor over a box of inputs: linear in the coordinates of the box, up to a remainder, and within bounds.

The box is {c + sum_j w_j e_j : |e_j| <= 1}, one *symbol* e_j for every input element that moves. A tensor is
enclosed twice, and every value that it takes satisfies both:

    value = c + sum_j d_j e_j + rho with |rho| <= r,   and   lo <= value <= hi.

Symbols beyond the first may stand for something else that lies in [-1, 1], the same wherever they occur.
Arrays have a batch axis of length 1 in front, as a rule of one segment has it, and `d` one of symbols; a form
with fewer symbols than another does not depend on the others. NaN and infinity read as "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import TINY, UP, Array, gamma
from symbolic.enclosures.values import Affine
from symbolic.errors import BudgetError

__all__ = [
    "CHUNK",
    "Form",
    "above",
    "below",
    "bounds_of",
    "centred",
    "held_within",
    "meet",
    "promoted",
    "require_room",
    "subnormal_sum",
    "total_size",
]

NEGLIGIBLE = 2.0**-30
"""A remainder that is less of its element's range is not worth a symbol."""
CHUNK = 1 << 25
"""Bytes of symbols that are worth looking at at once."""


@dataclass(frozen=True, slots=True)
class Form:
    """c + sum_j d_j e_j +- r, within [lo, hi].

    Attributes
    ----------
    c, r, lo, hi : ndarray of float64, shape (1, *shape)
    d : ndarray of float64, shape (symbols, *shape)
    """

    c: Array
    d: Array
    r: Array
    lo: Array
    hi: Array

    @classmethod
    def of(cls, c: Array, d: Array, r: Array, lo: Array | None = None, hi: Array | None = None) -> Form:
        """A form with the bounds that follow from it, and those given."""
        low, high = bounds_of(c, d, r)
        return cls(c, d, r, *meet((low, high), (low if lo is None else lo, high if hi is None else hi)))

    @classmethod
    def interval(cls, lo: Array, hi: Array) -> Form:
        """What is only known to lie within bounds."""
        m, w = centred(lo, hi)
        return cls(m, np.zeros((0, *lo.shape[1:])), w, lo, hi)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.c.shape[1:]

    @property
    def symbols(self) -> int:
        """How many symbols it may depend on."""
        return len(self.d)

    @property
    def known(self) -> bool:
        """Whether every element has bounds; an exact infinity (a mask) has."""
        finite = np.isfinite(self.lo) & np.isfinite(self.hi)
        return bool((finite | (self.lo == self.hi)).all())

    def rows(self, start: int, stop: int) -> Array:
        """Coefficients of some symbols; zeros beyond its own."""
        own = self.d[start:stop]
        if len(own) == stop - start:
            return own
        if not len(own):
            return np.broadcast_to(0.0, (stop - start, *self.shape))
        rest = np.zeros((stop - start - len(own), *self.shape))
        return np.concatenate([own, rest])

    def centre(self) -> Affine:
        """c +- r, as what a rule is given."""
        return Affine(self.c, np.zeros_like(self.c), self.r)

    def box(self) -> Affine:
        """[lo, hi] as what a rule is given."""
        m, w = centred(self.lo, self.hi)
        return held_within(Affine(m, np.zeros_like(m), w), self.lo, self.hi)

    def segment(self) -> Affine:
        """[lo, hi] as one segment of every element: m + w t."""
        m, w = centred(self.lo, self.hi)
        return held_within(Affine(m, w, np.zeros_like(m)), self.lo, self.hi)


def promoted(x: Form, first: int, most: int) -> Form:
    """A form with its largest remainders as symbols of their own, numbered from ``first`` on.

    A remainder becomes a coefficient as it is, so nothing is rounded.
    """
    r = x.r.reshape(-1)
    with np.errstate(all="ignore"):
        worth = np.flatnonzero((r > NEGLIGIBLE * (x.hi - x.lo).reshape(-1)) & np.isfinite(r))
    worth = worth[np.argsort(-r[worth], kind="stable")[: max(0, most)]]
    if not len(worth):
        return x
    d = np.zeros((first + len(worth), *x.shape))
    d[: x.symbols] = x.d
    d.reshape(len(d), -1)[np.arange(first, len(d)), worth] = r[worth]
    rest = np.array(x.r)
    rest.reshape(-1)[worth] = 0.0
    return Form(x.c, d, rest, x.lo, x.hi)


def total_size(d: Array) -> Array:
    """sum_j |d_j|, rounded up, with the batch axis."""
    step = max(1, CHUNK // max(1, 8 * d[:1].size))
    total = np.zeros((1, *d.shape[1:]))
    for k in range(0, len(d), step):
        total += np.abs(d[k : k + step]).sum(axis=0)
    return np.asarray(total * ((1.0 + gamma(len(d) + 2)) * UP)) if len(d) > 1 else total


def above(a: Array, b: Array) -> Array:
    """a + b, rounded up: the exact sum is total + rest (Knuth's two-sum)."""
    total = a + b
    part = total - a
    rest = (a - (total - part)) + (b - part)
    return np.where(rest > 0, np.nextafter(total, np.inf), total)


def below(a: Array, b: Array) -> Array:
    """a - b, rounded down."""
    return -above(-a, b)


def bounds_of(c: Array, d: Array, r: Array) -> tuple[Array, Array]:
    """Bounds of c + sum_j d_j e_j +- r; infinite where nothing is known."""
    with np.errstate(all="ignore"):
        size = total_size(d)
        h = above(size, r)
        lo, hi = below(c, h), above(c, h)
    unknown = np.isnan(lo) | np.isnan(hi)
    return np.where(unknown, -np.inf, lo), np.where(unknown, np.inf, hi)


def meet(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """What satisfies both bounds; nothing is known where nothing can (it has no value there)."""
    lo, hi = np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    empty = ~(lo <= hi)
    if empty.any():
        lo, hi = np.where(empty, -np.inf, lo), np.where(empty, np.inf, hi)
    return lo, hi


def centred(lo: Array, hi: Array) -> tuple[Array, Array]:
    """m and w so that [lo, hi] lies in [m - w, m + w] exactly; m is NaN where a bound is infinite.

    w is rounded up; lo = hi, infinite or not, has the width 0.
    """
    with np.errstate(all="ignore"):
        m = lo / 2 + hi / 2
        w = np.maximum(above(hi, -m), above(m, -lo))
    point = lo == hi
    m = np.where(point, lo, m)
    unknown = ~point & ~np.isfinite(w)
    return np.where(unknown, np.nan, m), np.where(point, 0.0, np.where(unknown, np.inf, w))


def held_within(x: Affine, lo: Array, hi: Array) -> Affine:
    """An affine form that knows the least and the greatest of all its elements."""
    if not lo.size:
        return x
    return Affine(x.c, x.d, x.r, least=float(lo.min()), most=float(hi.max()))


def subnormal_sum(d: Array) -> Array:
    """What the underflow of one product for every nonzero coefficient adds up to."""
    count: NDArray[np.int64] = np.count_nonzero(d, axis=0)[None]
    return np.asarray(count * TINY)


def require_room(what: str, size: int, budget: int) -> None:
    """A BudgetError where the symbols of a tensor take more bytes than there are for them."""
    if size > budget:
        raise BudgetError(
            f"linear bounds of {what} take {size / 2**30:.2g} GiB, more than the {budget / 2**30:.2g} GiB "
            'that they may: use bounds="interval".'
        )
