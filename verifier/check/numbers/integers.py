"""Affine forms with integer coefficients: the only numbers of the checker.

A tensor on a batch of cells is ``(c + d*t +- r) * 2**e`` for t in (-1, 1): arrays ``c``, ``d``, ``r >= 0``
of integers with the cells on their LAST axis (one cell, d = 0, for a constant), and one exponent ``e``. The
same code runs on two carriers. *Fast*: numpy int64, every |c|, |d|, r kept below 2**60, so that c + d + r
and the sums in this file stay below 2**63. *Wide*: Python integers in object arrays, rounded to ``bits``
bits, or never rounded by +, -, * and max when ``bits`` is None (``exact``). Whatever a shift cuts off is
added to r.

``degree`` is 1 for what scales with the moving input on a ray (`graph.graph`), else 0. ``same`` numbers the
elements: equal numbers >= 0 are equal functions of t (`graph.identity`); None where nothing is known.
``special``, mostly None, marks elements that are no real numbers (`infinities`). No element leaves
``limits``, whatever the form says (`graph.limits`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import InvalidCertificate, NotHomogeneous
from verifier.check.numbers.rationals import ceiling, floor, quotient

__all__ = [
    "EXACT",
    "FAST",
    "FINE",
    "GONE",
    "RATIONAL",
    "Array",
    "Arithmetic",
    "Form",
    "Limits",
    "magnitude",
    "objects",
]

Array = np.ndarray[Any, Any]
Limits = tuple[Fraction | None, Fraction | None]
FAST, FINE = 60, 64  # 60-bit integers; products of 2 limbs (about 50 bits) or 3
EXACT = None
RATIONAL = 1 << 30  # exact, and what no power of two divides is no ball but a rational (see `rationals`)
GONE = 1  # the mark of an exact -inf
EXACT_FILL = 192  # in exact mode only relaxations round; they do so at this many bits
SLOPE = 30  # bits of a relaxation's slope


def _of_one_degree(forms: list[Form]) -> list[Form]:
    """On a ray what scales is neither added to what does not, nor compared with it; a zero has any degree."""
    degrees = {f.degree for f in forms if f.size}
    if len(degrees) > 1:
        raise NotHomogeneous("a sum")
    return [replace(f, degree=max(degrees, default=0)) for f in forms]


def magnitude(a: Array) -> int:
    """The largest absolute value in `a` (0 if it is empty); of rational numbers, rounded up."""
    return max(ceiling(a.max()), -floor(a.min())) if a.size else 0


@dataclass(frozen=True, eq=False)
class Form:
    """``(c + d*t +- r) * 2**e``; see the module."""

    c: Array
    d: Array
    r: Array
    e: int
    degree: int = 0
    same: Array | None = None
    special: Array | None = None
    limits: Limits = (None, None)

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape, without the axis of cells."""
        return tuple(self.c.shape[:-1])

    @property
    def size(self) -> int:
        """A bound on |c|, |d| and r."""
        return max(magnitude(self.c), magnitude(self.d), magnitude(self.r))

    def each(self, function: Any, **changes: Any) -> Form:
        """The form whose three arrays are `function` of these."""
        return Form(function(self.c), function(self.d), function(self.r), self.e, self.degree, **changes)


@dataclass(frozen=True)
class Arithmetic:
    """Every operation on forms, at one precision: FAST or FINE (int64), bits (wide), EXACT or RATIONAL."""

    precision: int | None

    @property
    def rational(self) -> bool:
        """Whether elements may be rationals."""
        return self.precision == RATIONAL

    @property
    def exact(self) -> bool:
        """Whether +, -, * and max never round."""
        return self.bits is None

    @property
    def fast(self) -> bool:
        """Whether numbers are int64."""
        return self.precision in (FAST, FINE)

    @property
    def bits(self) -> int | None:
        """How long a number may be."""
        return FAST if self.fast else None if self.rational else self.precision

    @property
    def limbs(self) -> int | None:
        """How many limbs of a number enter a matrix product; None for all."""
        return {FAST: 2, FINE: 3}.get(self.precision or 0)

    @property
    def dtype(self) -> Any:
        """The type of the arrays."""
        return np.int64 if self.fast else object

    def integers(self, values: Any) -> Array:
        """`values` as an array of this carrier."""
        return np.asarray(values, dtype=self.dtype)

    # ---- making forms -------------------------------------------------------------------------------------

    def form(self, c: Any, e: int, d: Any = None, r: Any = None, degree: int = 0) -> Form:
        """A form from Python integers of any size, brought into the carrier with all the bits it has."""
        c = np.asarray(c, dtype=object)
        d, r = (np.zeros_like(c) if a is None else np.asarray(a, dtype=object) for a in (d, r))
        wanted = (self.bits or EXACT_FILL) - max(map(magnitude, (c, d, r))).bit_length()
        if wanted > 0:
            c, d, r, e = c << wanted, d << wanted, r << wanted, e - wanted
        form = self.normal(c, d, r, e)
        return Form(self.integers(form.c), self.integers(form.d), self.integers(form.r), form.e, degree)

    def constant(self, values: Array) -> Form:
        """A float, integer or Fraction array as a constant (one cell, d = 0)."""
        values = np.asarray(values)[..., None]
        if values.dtype == object:
            k = max((Fraction(v).denominator.bit_length() for v in values.flat), default=1)
            scaled = [Fraction(v) * 2**k for v in values.flat]
            dyadic = all(v.denominator == 1 for v in scaled)
            if self.rational and not dyadic:
                whole = objects([quotient(Fraction(v), 1) for v in values.flat]).reshape(values.shape)
                return Form(whole, np.zeros_like(whole), np.zeros_like(whole), 0)
            k, scaled = (k, scaled) if dyadic else (k + 256, [v * 2**256 for v in scaled])
            r = [int(v.denominator > 1) for v in scaled]
            return self.form(
                objects([v.numerator // v.denominator for v in scaled]).reshape(values.shape),
                -k,
                r=objects(r).reshape(values.shape),
            )
        if values.dtype.kind in "iub":
            return self.form(values.astype(object), 0)
        if not np.isfinite(values).all():
            raise InvalidCertificate("a constant of the graph is not a finite number")
        mantissa, exponent = np.frexp(values.astype(np.float64))  # exact: f16, f32, f64 are float64 values
        whole = np.ldexp(mantissa, 53).astype(np.int64)
        exponent = exponent.astype(np.int64) - 53
        if not whole.any():
            return self.form(whole, 0)
        if self.fast:  # 60 bits below the largest entry, rounded to nearest where that cuts
            high = int(exponent[whole != 0].max())
            shift = np.minimum(np.where(whole == 0, 0, high - exponent), 62)
            unit, filled = np.int64(1) << shift, whole << 6
            c = (filled + (unit >> 1)) >> shift
            return Form(c, np.zeros_like(c), ((filled & (unit - 1)) != 0).astype(np.int64), high - 6)
        low = int(exponent[whole != 0].min())
        return self.form(whole.astype(object) << np.where(whole == 0, 0, exponent - low).astype(object), low)

    # ---- rounding -----------------------------------------------------------------------------------------

    def normal(
        self, c: Array, d: Array, r: Array, e: int, degree: int = 0, same: Array | None = None
    ) -> Form:
        """The form, shifted down until it fits."""
        if self.bits is not None:
            over = max(magnitude(c), magnitude(d), magnitude(r)).bit_length() - self.bits
            if over > 0:
                c, d, r, e = *_down(c, d, r, over), e + over
        return Form(c, d, r, e, degree, same)

    def at(self, a: Form, e: int) -> Form:
        """`a` with exponent `e`; the caller knows that it fits."""
        k = a.e - e
        if k == 0:
            return a
        if k > 0:
            # A zero form may sit at any exponent: do not shift int64 by more than it has.
            unit = 1 << (min(k, 62) if self.fast else k)
            return replace(a, c=a.c * unit, d=a.d * unit, r=a.r * unit, e=e)
        c, d, r = _down(a.c, a.d, a.r, min(-k, 62) if self.fast else -k)
        return replace(a, c=c, d=d, r=r, e=e)

    def aligned(self, forms: list[Form]) -> list[Form]:
        """The forms at one exponent, all below 2**60 in the fast carrier, and of one degree."""
        if len({f.degree for f in forms}) > 1:
            forms = _of_one_degree(forms)
        if self.rational:
            e = min(f.e for f in forms)
            return [self.at(f, e) for f in forms]
        sizes = [f.size for f in forms]
        used = [f.e for f, s in zip(forms, sizes, strict=True) if s]
        if not used:
            return [replace(f, e=0) for f in forms]
        e = min(used)
        if self.bits is not None:
            top = max(f.e + s.bit_length() for f, s in zip(forms, sizes, strict=True) if s)
            e = max(e, top + 1 - self.bits)  # one bit to spare: rounding may carry into it
        return [self.at(f, e) for f in forms]

    # ---- exact operations ---------------------------------------------------------------------------------

    def add(self, a: Form, b: Form) -> Form:
        """a + b."""
        a, b = self.aligned([a, b])
        return self.normal(a.c + b.c, a.d + b.d, a.r + b.r, a.e, a.degree)

    def negative(self, a: Form) -> Form:
        """-a."""
        return Form(-a.c, -a.d, a.r, a.e, a.degree)

    def subtract(self, a: Form, b: Form) -> Form:
        """a - b: exactly zero where both are the same function."""
        a, b = self.aligned([a, b])
        c, d, r = a.c - b.c, a.d - b.d, a.r + b.r
        if a.same is not None and b.same is not None:
            differ = (a.same != b.same) | (a.same < 0)
            c, d, r = c * differ, d * differ, r * differ
        return self.normal(c, d, r, a.e, a.degree)

    # ---- products -----------------------------------------------------------------------------------------

    def times(self, a: Array, b: Array) -> tuple[Array, Array | int]:
        """``p, error`` with a*b = (p +- error) * 2**60 (fast) or p exactly (wide)."""
        if not self.fast:
            return a * b, 0
        # 30-bit halves: ah, bh in [-2**30, 2**30], al, bl in [0, 2**30); |cross| < 2**61 and |p| <= 2**60 +
        # 2**31.
        ah, al, bh, bl = a >> 30, a & _LOW, b >> 30, b & _LOW
        cross = ah * bl + al * bh
        lost = ((cross & _LOW) | (al * bl)) != 0
        return ah * bh + (cross >> 30), 2 * lost.astype(np.int64)

    def multiply(self, a: Form, b: Form) -> Form:
        """a * b, the square term d_a*d_b*t**2 enclosed by d_a*d_b*[0, 1]."""
        if self.fast:
            a, b = self.filled(a), self.filled(b)
        e = a.e + b.e + (60 if self.fast else 0)
        c, error = self.times(a.c, b.c)
        moving = bool(a.d.any()), bool(b.d.any())
        d: Array = np.zeros_like(c)
        r = error + np.zeros_like(c)
        for x, y, used in ((a.c, b.d, moving[1]), (a.d, b.c, moving[0])):
            if used:
                p, error = self.times(x, y)
                d, r = d + p, r + error
        if all(moving):
            p, error = self.times(a.d, b.d)
            half = p >> 1  # p*[0, 1] lies within p>>1 +- |p|/2 rounded up
            c, r = c + half, r + (np.abs(p) + 1 >> 1) + (p & 1) + error
        for x, y in ((np.abs(a.c) + np.abs(a.d) + a.r, b.r), (np.abs(b.c) + np.abs(b.d), a.r)):
            if y.any():  # x < 3 * 2**58
                p, error = self.times(x, y)
                r = r + p + error
        return self.normal(c, d, r, e, a.degree + b.degree)

    def filled(self, a: Form) -> Form:
        """`a` with all the bits there are; 58 in the fast carrier, so that sums of four products fit."""
        k = (58 if self.fast else self.bits or EXACT_FILL) - a.size.bit_length()
        return self.at(a, a.e - k) if k > 0 or self.fast else a

    def inverse(self, a: Form) -> Form | None:
        """1 / a, exactly: of a constant without radius, where elements may be rationals; else None."""
        if not self.rational or a.degree or a.d.any() or a.r.any() or not a.c.all():
            return None
        c = objects([quotient(1, v) for v in a.c.flat]).reshape(a.c.shape)
        return Form(c, np.zeros_like(c), np.zeros_like(c), -a.e)

    # ---- bounds -------------------------------------------------------------------------------------------

    def bounds(self, a: Form) -> tuple[Array, Array]:
        """Lower and upper bounds over the cell, in units of 2**e (below 2**62 in the fast carrier)."""
        span = np.abs(a.d) + a.r
        return a.c - span, a.c + span

    def from_bounds(self, lo: Array, hi: Array, e: int, degree: int = 0) -> Form:
        """The constant form [lo, hi]; exact, by one more bit, where lo = hi."""
        return self.normal(lo + hi, np.zeros_like(lo), hi - lo, e - 1, degree)


_LOW = (1 << 30) - 1


def objects(values: list[Any]) -> Array:
    """A one-dimensional array of Python integers."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _down(c: Array, d: Array, r: Array, k: int) -> tuple[Array, Array, Array]:
    """c, d, r divided by 2**k: c and d to the nearest (each within half a unit), what they lose goes into
    r.
    """
    mask, half = (1 << k) - 1, 1 << (k - 1)
    lost = ((c & mask) != 0) | ((d & mask) != 0)
    return (c + half) >> k, (d + half) >> k, ((r + mask) >> k) + lost.astype(r.dtype)
