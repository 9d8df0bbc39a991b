"""The moving input on cells and rays of the line x(t) = x_obs + beta*t, as affine forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.numbers.integers import Arithmetic, Array, Form, objects
from verifier.check.numbers.rationals import quotient

__all__ = ["Cell", "MovingInput", "dyadic_above"]

End = Fraction | float
Cell = tuple[End, End]
INEXACT_BITS = 320  # of a direction that is not dyadic, below its smallest entry


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
        if all(_is_dyadic(v) for v in beta):
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

    def on_cells(self, ar: Arithmetic, cells: Sequence[Cell]) -> Form:
        """x_obs + beta*(m + h*t) for cells (m - h, m + h)."""
        middles = [(Fraction(lo) + Fraction(hi)) / 2 for lo, hi in cells]
        halves = [(Fraction(hi) - Fraction(lo)) / 2 for lo, hi in cells]
        nothing = [Fraction(0)] * len(cells)
        return self._combined(ar, [Fraction(1)] * len(cells), nothing, middles, halves)

    def on_rays(self, ar: Arithmetic, rays: Sequence[Cell]) -> tuple[Form, Form]:
        """The scale s = h + h*t with h = 1/(2|L|), and x_obs*s +- beta; `Undecided` for rays that hold 0."""
        starts = [
            Fraction(lo if math.isinf(hi) else -hi) if math.isinf(lo) != math.isinf(hi) else Fraction(0)
            for lo, hi in rays
        ]
        bad = [i for i, start in enumerate(starts) if start <= 0]
        if bad:
            raise Undecided(bad)
        halves = [dyadic_above(1 / (2 * start)) for start in starts]
        signs = [Fraction(1 if math.isinf(hi) else -1) for _, hi in rays]
        h, e = _common(halves)
        scale = ar.form(objects(h), e, objects(h), degree=1)
        form = self._combined(ar, halves, halves, signs, [Fraction(0)] * len(rays))
        return scale, Form(form.c, form.d, form.r, form.e, 1)

    def _combined(
        self, ar: Arithmetic, x0: list[Fraction], x1: list[Fraction], b0: list[Fraction], b1: list[Fraction]
    ) -> Form:
        """x_obs*(x0 + x1*t) + beta*(b0 + b1*t) per cell, all four dyadic unless elements may be rationals."""
        if ar.rational:
            return self._rational(x0, x1, b0, b1)
        if not all(_is_dyadic(v) for v in (*x0, *x1, *b0, *b1)):
            raise InvalidCertificate("an end of a cell is not a dyadic number")
        numbers, e = _common([*x0, *x1, *b0, *b1])
        n = len(x0)
        parts = [objects(numbers[k * n : (k + 1) * n]) for k in range(4)]
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


def _is_dyadic(v: Fraction) -> bool:
    return v.denominator & (v.denominator - 1) == 0


def _common(numbers: Sequence[Fraction]) -> tuple[list[int], int]:
    """Dyadic rationals as integers times one power of two."""
    e = -max((v.denominator.bit_length() - 1 for v in numbers), default=0)
    return [(v.numerator << -e) // v.denominator for v in numbers], e


def _log2(v: Fraction) -> int:
    return v.numerator.bit_length() - v.denominator.bit_length()


def dyadic_above(v: Fraction) -> Fraction:
    """A dyadic number at least v, at most a 2**-30th above it."""
    k = 31 - _log2(v)
    return Fraction(math.ceil(v * Fraction(2) ** k)) / Fraction(2) ** k
