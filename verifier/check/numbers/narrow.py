"""Narrow floating-point formats: rounding forms to them, exactly, by integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from onnx import TensorProto

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.integers import Arithmetic, Array, Form
from verifier.check.numbers.steps import NEAREST, divided, refuse_cells

__all__ = ["Format", "enclosed", "format_of", "roomy", "rounded", "sticky"]


@dataclass(frozen=True)
class Format:
    """Numbers of `digits` significant bits, multiples of 2**least, at most `largest`.

    What rounds to more is `largest` where it `saturates`, else no number. `powers`: the way of rounding to
    the powers of two from 2**least (no zero, nothing negative); empty for other formats.
    """

    digits: int
    least: int
    largest: Fraction
    saturates: bool
    powers: str = ""


_FORMATS: dict[int, Format] = {
    TensorProto.FLOAT16: Format(11, -24, Fraction(65504), False),
    TensorProto.BFLOAT16: Format(8, -133, Fraction(255 * 2**120), False),
    TensorProto.FLOAT8E4M3FN: Format(4, -9, Fraction(448), True),
    TensorProto.FLOAT8E4M3FNUZ: Format(4, -10, Fraction(240), True),
    TensorProto.FLOAT8E5M2: Format(3, -16, Fraction(57344), True),
    TensorProto.FLOAT8E5M2FNUZ: Format(3, -17, Fraction(57344), True),
    TensorProto.FLOAT8E8M0: Format(1, -127, Fraction(2**127), True, "up"),
    TensorProto.FLOAT6E2M3: Format(4, -3, Fraction(15, 2), True),
    TensorProto.FLOAT6E3M2: Format(3, -4, Fraction(28), True),
    TensorProto.FLOAT4E2M1: Format(2, -1, Fraction(6), True),
}
_NOTHING_ELSE = (TensorProto.FLOAT4E2M1, TensorProto.FLOAT6E2M3, TensorProto.FLOAT6E3M2)  # no inf, no NaN


def format_of(to: int | None, saturate: bool = True, powers: str = "up") -> Format | None:
    """The format of an element type; None for types that do not round."""
    found = _FORMATS.get(to or 0)
    if found is None:
        return None
    saturates = found.saturates and (saturate or to in _NOTHING_ELSE)
    return replace(found, saturates=saturates, powers=powers if found.powers else "")


def rounded(ar: Arithmetic, x: Form, to: Format) -> Form:
    """x in the format: between its rounded bounds, or within half a unit of x."""
    if x.degree:
        raise NotHomogeneous("Cast")
    x = roomy(ar, x)
    return enclosed(ar, *ar.bounds(x), x.e, x, to)


def roomy(ar: Arithmetic, x: Form) -> Form:
    """x with two more bits to spare: what rounds up, and twice that, still fits."""
    return ar.at(x, x.e + 2) if ar.fast and x.size >= 1 << 58 else x


def enclosed(ar: Arithmetic, lo: Array, hi: Array, e: int, x: Form, to: Format) -> Form:
    """x in the format, given bounds of it in units of 2**e."""
    side = (x.d != 0).astype(np.int64)
    low, high, e = _rounded_bounds(to, lo, hi, e, side)
    if low.dtype == object:
        flat = ar.form(low + high, e - 1, r=high - low)
    else:
        flat = ar.from_bounds(low, high, e)
    if to.powers or (low == high).all():
        return flat
    near, follows = _near(ar, x, to)
    scale = 2.0 ** min(max(near.e - flat.e, -900), 900)  # which of the two is taken may be a guess
    closer = follows & (near.r.astype(np.float64) * scale < flat.r.astype(np.float64))
    if not closer.any():
        return flat
    near, flat = ar.aligned([_kept(near, closer), _kept(flat, ~closer)])
    return Form(near.c + flat.c, near.d + flat.d, near.r + flat.r, flat.e)


def _kept(x: Form, where: Array) -> Form:
    """x where it is wanted, 0 elsewhere."""
    return x.each(lambda a: np.where(where, a, 0))


def _near(ar: Arithmetic, x: Form, to: Format) -> tuple[Form, Array]:
    """x +- half a unit of the format, and where that is what rounding does to x."""
    lo, hi = ar.bounds(x)
    size = np.maximum(np.abs(lo), np.abs(hi))
    half = _unit(size, x.e, to) - 1 - x.e  # of half a unit, the exponent in units of 2**x.e
    inside = size <= _limit(to, x.e)
    if ar.fast:
        inside &= half < 59
        half = np.minimum(half, 59)
    extra = 1 << np.maximum(half, 0).astype(ar.dtype)
    return ar.normal(x.c, x.d, x.r + extra, x.e), inside


def sticky(n: Array, d: Array, e: int, to: Format) -> tuple[Array, int]:
    """n/d in units of 2**e as integers and their exponent, so that the format rounds them in the same way:
    what lies between two integers becomes the odd one between them, finer than all midpoints.
    """
    k = max(0, e - to.least + 2)
    if k or d.dtype == object:
        n, d = n.astype(object), d.astype(object)
    q, rest = divided(n * (1 << k), d)
    return 2 * q + (rest != 0), e - k - 1


def _rounded_bounds(to: Format, lo: Array, hi: Array, e: int, side: Array) -> tuple[Array, Array, int]:
    """The bounds in the format, as integers and their exponent; `side` is 1 where they are not attained."""
    if to.powers:
        k = max(0, e - to.least)
        lo, hi = (n.astype(object) << k for n in (lo, hi))
        low, high = (_power(to, n, e - k, s) for n, s in ((lo, side), (hi, -side)))
        return low, high, e - k
    ends = [_nearest(to, n, e, s) for n, s in ((lo, side), (hi, -side))]
    limit = _limit(to, e)
    over = [np.abs(n) > limit for n in ends]
    if any(o.any() for o in over):
        if not to.saturates:
            refuse_cells(over[0] | over[1])
        k = max(0, e - to.least)
        most = int(to.largest / Fraction(2) ** (e - k))
        ends = [
            np.where(o, np.sign(n).astype(object) * most, n.astype(object) << k)
            for n, o in zip(ends, over, strict=True)
        ]
        e -= k
    return ends[0], ends[1], e


def _limit(to: Format, e: int) -> int:
    """The largest number of the format in units of 2**e, rounded down."""
    return int(to.largest / Fraction(2) ** e)


def _unit(size: Array, e: int, to: Format) -> Array:
    """The exponent of the distance of neighbours at numbers of a size in units of 2**e."""
    return np.asarray(np.maximum(bit_lengths(size) + (e - to.digits), to.least))


def _nearest(to: Format, n: Array, e: int, side: Array) -> Array:
    """The nearest number of the format, in units of 2**e; no limit is applied."""
    k = np.clip(_unit(np.abs(n), e, to) - e, 0, None)
    if n.dtype != object:
        gone = k > 61  # less than half of the least number
        k = np.where(gone, 0, k)
        return np.where(gone, 0, NEAREST(n, np.int64(1) << k, side) << k)
    unit = 1 << k.astype(object)
    return np.asarray(NEAREST(n, unit, side) * unit)


def _power(to: Format, n: Array, e: int, side: Array) -> Array:
    """A power of two near n * 2**e; no limit is applied to numbers beyond the largest, but to the least."""
    refuse_cells(n < 0)
    least, most = (
        np.array(int(v / Fraction(2) ** e), dtype=object) for v in (Fraction(2) ** to.least, to.largest)
    )
    small = (n < least) | (n == least) & (side <= 0)
    if not to.saturates:
        refuse_cells(n < least)
        refuse_cells(n > most)
    n = np.where(small, least, n)
    below = 1 << (bit_lengths(n) - 1).astype(object)
    exact = n == below
    if to.powers == "up":
        up = ~exact | (side > 0)
    elif to.powers == "down":
        up = np.zeros_like(exact)
        below = np.where(exact & (side < 0), below >> 1, below)
    else:
        up = (2 * n > 3 * below) | (2 * n == 3 * below) & (side >= 0)
    found = np.where(small, least, np.where(up, 2 * below, below))
    return np.asarray(np.minimum(found, most))


def bit_lengths(n: Array) -> Array:
    """How many bits the integers n >= 0 have."""
    if n.dtype == object:
        return np.asarray(np.frompyfunc(lambda v: v.bit_length(), 1, 1)(n), dtype=np.int64)
    # float64 holds 31 bits exactly
    high, low = (np.frexp(part.astype(np.float64))[1].astype(np.int64) for part in (n >> 31, n & 0x7FFFFFFF))
    return np.where(n >> 31, high + 31, low)
