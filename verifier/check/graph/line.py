"""The moving input on cells and rays of the line x(t) = x_obs + beta*t, as affine forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.numbers.integers import Arithmetic, Array, Form, objects
from verifier.check.numbers.rationals import quotient

__all__ = ["Cell", "MovingInput", "Place", "dyadic_above", "is_dyadic", "is_infinite", "longest"]

End = Fraction | float
Cell = tuple[End, End]
Place = tuple[Form | None, Form]
"""A scale of degree one, if there is one, and the moving input times it."""
INEXACT_BITS = 320  # of a direction that is not dyadic, below its smallest entry
OUTWARD_BITS = 192  # of an end that is not dyadic, below the width of its cell
LONGEST, LARGEST = 1 << 17, 1 << 30  # bits of the common denominator of a direction, and of all its entries


@dataclass(frozen=True, eq=False)
class MovingInput:
    """x_obs and beta as integers times 2**e (columns); `inexact` is 1 where an entry of beta is rounded
    down.
    """

    shape: tuple[int, ...]
    observed: Array
    direction: Array
    inexact: Array
    e: int
    beta: tuple[Fraction, ...]

    @classmethod
    def of(cls, x: Array, beta: Sequence[Fraction]) -> MovingInput:
        """From the stored input and the direction (flat)."""
        if x.dtype.name.startswith(("bfloat16", "float8", "float6", "float4")):
            x = x.astype(np.float64)
        if x.dtype.kind not in "fiub" or not np.isfinite(x).all():
            raise InvalidCertificate("the input does not hold finite real numbers")
        if len(beta) != x.size:
            raise InvalidCertificate(f"the direction has {len(beta)} entries, the input {x.size}")
        observed, e_x = _common([Fraction(v) for v in x.reshape(-1).tolist()])
        if all(is_dyadic(v) for v in beta):
            direction, e_beta = _common(beta)
            inexact = [0] * len(beta)
        else:
            e_beta = min(0, *(_log2(v) for v in beta if v)) - INEXACT_BITS
            scaled = [v * Fraction(2) ** -e_beta for v in beta]
            direction, inexact = [math.floor(v) for v in scaled], [int(v.denominator > 1) for v in scaled]
        e = min(e_x, e_beta)
        return cls(
            x.shape,
            objects(observed)[:, None] << (e_x - e),
            objects(direction)[:, None] << (e_beta - e),
            objects(inexact)[:, None] << (e_beta - e),
            e,
            tuple(beta),
        )

    def pairs(self) -> list[tuple[int, Fraction]]:
        """(x_obs, beta) of every element, exactly (x_obs in units of 2**e)."""
        return list(zip(self.observed[:, 0].tolist(), self.beta, strict=True))

    def places(self, ar: Arithmetic, cells: Sequence[Cell]) -> list[Place]:
        """The input on cells, all finite or all rays: what is exact, if anything is, before what always is
        there.
        """
        if any(is_infinite(end) for cell in cells for end in cell):
            return [self.on_rays(ar, cells)]
        whole = self._whole_cells(ar, cells) if ar.exact else None
        return [*([] if whole is None else [whole]), (None, self.on_cells(ar, cells))]

    def on_cells(self, ar: Arithmetic, cells: Sequence[Cell]) -> Form:
        """x_obs + beta*(m + h*t) for cells (m - h, m + h).

        An end that is not dyadic lies a little further out (what holds there, holds on the cell), unless
        elements may be rationals.
        """
        middles, halves = _centred(cells if ar.rational else [_outward(cell) for cell in cells])
        nothing = [Fraction(0)] * len(cells)
        return self._combined(ar, [Fraction(1)] * len(cells), nothing, middles, halves)

    def _whole_cells(self, ar: Arithmetic, cells: Sequence[Cell]) -> tuple[Form, Form] | None:
        """The same times whole numbers, one a cell, that leave nothing to be rounded; None where they are
        not needed.
        """
        middles, halves = _centred(cells)
        nothing = [Fraction(0)] * len(cells)
        return self._whole(ar, [Fraction(1)] * len(cells), nothing, middles, halves)

    def on_rays(self, ar: Arithmetic, rays: Sequence[Cell]) -> tuple[Form, Form]:
        """The scale s = h + h*t with h = 1/(2|L|), and x_obs*s +- beta; `Undecided` for rays that hold 0."""
        starts = [
            Fraction(lo if is_infinite(hi) else -hi) if is_infinite(lo) != is_infinite(hi) else Fraction(0)
            for lo, hi in rays
        ]
        bad = [i for i, start in enumerate(starts) if start <= 0]
        if bad:
            raise Undecided(bad)
        signs = [Fraction(1 if is_infinite(hi) else -1) for _, hi in rays]
        halves = [1 / (2 * start) for start in starts]
        if ar.exact:
            found = self._whole(ar, halves, halves, signs, [Fraction(0)] * len(rays))
            if found is not None:
                return found
        halves = [dyadic_above(half) for half in halves]
        h, e = _common(halves)
        scale = ar.form(objects(h), e, objects(h), degree=1)
        form = self._combined(ar, halves, halves, signs, [Fraction(0)] * len(rays))
        return scale, Form(form.c, form.d, form.r, form.e, 1)

    @cached_property
    def _cleared(self) -> tuple[Array, int, int] | None:
        """Integers n, e and an odd d > 0 with beta = n*2**e/d; None where they are too long."""
        longest = min(LONGEST, LARGEST // max(len(self.beta), 1))
        common = 1
        for v in {v.denominator for v in self.beta}:
            odd = _odd(v)
            common = common if common % odd == 0 else math.lcm(common, odd)
            if common.bit_length() > longest:
                return None
        numbers, e = _common([v * common for v in self.beta])
        return objects(numbers)[:, None], e, common

    def _whole(
        self, ar: Arithmetic, x0: list[Fraction], x1: list[Fraction], b0: list[Fraction], b1: list[Fraction]
    ) -> tuple[Form, Form] | None:
        """q*(x0 + x1*t) and q*x_obs*(x0 + x1*t) + q*beta*(b0 + b1*t), with a whole q > 0 per cell, such that
        nothing is rounded; None where the numbers are too long, or where all is dyadic and x0 is 1.
        """
        if self._cleared is None:
            return None
        direction, e_beta, common = self._cleared
        factors = [
            math.lcm(
                *(_odd(v.denominator) for v in (u0, u1)),
                *(common * _odd(v.denominator) for v in (v0, v1) if v),
            )
            for u0, u1, v0, v1 in zip(x0, x1, b0, b1, strict=True)
        ]
        if max(factors) == 1 and not any(x1):
            return None
        (u0, u1, e_u), (v0, v1, e_v) = (
            _columns([[v * q / d for v, q in zip(vs, factors, strict=True)] for vs in pair])
            for pair, d in (((x0, x1), 1), ((b0, b1), common))
        )
        e_x, e_b = self.e + e_u, e_beta + e_v
        e = min(e_x, e_b)
        c, d = (
            ((self.observed * u << (e_x - e)) + (direction * v << (e_b - e))).reshape(*self.shape, len(x0))
            for u, v in ((u0, v0), (u1, v1))
        )
        return ar.form(u0, e_u, u1, degree=1), ar.form(c, e, d, degree=1)

    def _combined(
        self, ar: Arithmetic, x0: list[Fraction], x1: list[Fraction], b0: list[Fraction], b1: list[Fraction]
    ) -> Form:
        """x_obs*(x0 + x1*t) + beta*(b0 + b1*t) per cell, all four dyadic unless elements may be rationals."""
        if ar.rational:
            return self._rational(x0, x1, b0, b1)
        n = len(x0)
        *parts, e = _columns([x0, x1, b0, b1])
        c = self.observed * parts[0] + self.direction * parts[2]
        d = self.observed * parts[1] + self.direction * parts[3]
        r = self.inexact * (np.abs(parts[2]) + np.abs(parts[3]))
        c, d, r = (a.reshape(*self.shape, n) for a in (c, d, r))
        return ar.form(c, self.e + e, d, r)

    def _rational(
        self, x0: list[Fraction], x1: list[Fraction], b0: list[Fraction], b1: list[Fraction]
    ) -> Form:
        """The same, exactly."""
        unit = Fraction(2) ** self.e
        pairs = [(int(x) * unit, b) for x, b in zip(self.observed[:, 0], self.beta, strict=True)]
        c, d = (
            objects([quotient(x * p + b * q, 1) for x, b in pairs for p, q in zip(ps, qs, strict=True)])
            for ps, qs in ((x0, b0), (x1, b1))
        )
        c, d = (a.reshape(*self.shape, len(x0)) for a in (c, d))
        return Form(c, d, np.zeros_like(c), 0)


def is_infinite(end: End) -> bool:
    """Whether an end is -inf or inf; of Fractions of any size."""
    return end in (-math.inf, math.inf)


def longest(cells: Sequence[Cell]) -> int:
    """Bits of the longest end."""
    ends = [Fraction(end) for cell in cells for end in cell if not is_infinite(end)]
    return max((max(v.numerator.bit_length(), v.denominator.bit_length()) for v in ends), default=0)


def is_dyadic(v: Fraction) -> bool:
    """Whether the denominator is a power of two."""
    return v.denominator & (v.denominator - 1) == 0


def _odd(n: int) -> int:
    """n > 0 without its factors 2."""
    return n >> ((n & -n).bit_length() - 1)


def _centred(cells: Sequence[Cell]) -> tuple[list[Fraction], list[Fraction]]:
    """m and h of cells (m - h, m + h)."""
    ends = [(Fraction(lo), Fraction(hi)) for lo, hi in cells]
    return [(lo + hi) / 2 for lo, hi in ends], [(hi - lo) / 2 for lo, hi in ends]


def _outward(cell: Cell) -> Cell:
    """The cell, with the ends that are not dyadic a little further out."""
    lo, hi = (Fraction(end) for end in cell)
    if is_dyadic(lo) and is_dyadic(hi):
        return lo, hi
    unit = Fraction(2) ** (_log2(hi - lo or lo) - OUTWARD_BITS)
    return (
        lo if is_dyadic(lo) else math.floor(lo / unit) * unit,
        hi if is_dyadic(hi) else math.ceil(hi / unit) * unit,
    )


def _common(numbers: Sequence[Fraction]) -> tuple[list[int], int]:
    """Dyadic rationals as integers times one power of two."""
    e = -max((v.denominator.bit_length() - 1 for v in numbers), default=0)
    return [(v.numerator << -e) // v.denominator for v in numbers], e


def _columns(several: list[list[Fraction]]) -> tuple[Any, ...]:
    """Lists of dyadic rationals as arrays of integers, and the exponent of all of them."""
    numbers, e = _common([v for numbers in several for v in numbers])
    n = len(several[0])
    return (*(objects(numbers[k * n : (k + 1) * n]) for k in range(len(several))), e)


def _log2(v: Fraction) -> int:
    return v.numerator.bit_length() - v.denominator.bit_length()


def dyadic_above(v: Fraction) -> Fraction:
    """A dyadic number at least v, at most a 2**-30th above it."""
    k = 31 - _log2(v)
    return Fraction(math.ceil(v * Fraction(2) ** k)) / Fraction(2) ** k
