"""The numbers of the twin.

A float tensor holds ``Fraction`` where the value is rational and small enough to carry exactly, a ``Bracket``
(two rationals around the value, 300 bits tight) after an irrational function, and ``UNKNOWN`` where the graph
denotes no real number (1/0) or where a bracket cannot decide a discrete value. Integer tensors hold ``int``,
boolean ones ``bool``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Rational
from typing import Any

import flint
import numpy as np
from quicktions import Fraction

__all__ = [
    "UNKNOWN",
    "Array",
    "Bracket",
    "Unknown",
    "absolute",
    "bounds",
    "divide",
    "elementwise",
    "equal",
    "exact_array",
    "exact_scalar",
    "exponential",
    "float32",
    "greater",
    "greatest",
    "hull",
    "least",
    "less_equal",
    "shorten",
    "square_root",
    "to_float",
]

Array = Any  # a numpy array of dtype object

BITS = 320
LONGEST = 6000  # a rational with more bits than this is replaced by a bracket


class Unknown:
    """No claim about the value: every operation on it is unknown as well."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def _unknown(self, *_: object) -> Unknown:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _unknown


UNKNOWN = Unknown()


def _round(value: Fraction, up: bool) -> Fraction:
    """The next rational with BITS significant bits below (or above)."""
    top, bottom = value.numerator, value.denominator
    shift = BITS - top.bit_length() + bottom.bit_length()
    if shift >= 0:
        top <<= shift
    else:
        bottom <<= -shift
    steps = -(-top // bottom) if up else top // bottom
    return Fraction(steps, 1 << shift) if shift >= 0 else Fraction(steps << -shift)


class Bracket:
    """A real number between two rationals."""

    __slots__ = ("hi", "lo")

    def __init__(self, lo: Fraction, hi: Fraction) -> None:
        if lo > hi:
            raise ValueError("empty bracket")
        self.lo = _round(Fraction(lo), up=False)
        self.hi = _round(Fraction(hi), up=True)

    def __repr__(self) -> str:
        return f"[{float(self.lo)!r}, {float(self.hi)!r}]"

    def __neg__(self) -> Bracket:
        return Bracket(-self.hi, -self.lo)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Unknown):
            return UNKNOWN
        lo, hi = bounds(other)
        return Bracket(self.lo + lo, self.hi + hi)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Unknown):
            return UNKNOWN
        corners = [a * b for a in (self.lo, self.hi) for b in bounds(other)]
        return Bracket(min(corners), max(corners))

    __rmul__ = __mul__


def bounds(value: Any) -> tuple[Fraction, Fraction]:
    """Lower and upper bound of a scalar that is known."""
    if isinstance(value, Bracket):
        return value.lo, value.hi
    if isinstance(value, Unknown):
        raise ValueError("an unknown value has no bounds")
    exact = Fraction(value)
    return exact, exact


def hull(values: list[Any]) -> Any:
    """A scalar that contains all the given ones."""
    if any(isinstance(v, Unknown) for v in values):
        return UNKNOWN
    if all(v == values[0] for v in values[1:]):
        return values[0]
    if any(isinstance(v, bool | int) for v in values):
        return UNKNOWN
    ends = [bounds(v) for v in values]
    return Bracket(min(lo for lo, _ in ends), max(hi for _, hi in ends))


def shorten(value: Any) -> Any:
    """The same number, as a bracket when its numerator or denominator has grown too long."""
    if isinstance(value, Fraction) and value.denominator.bit_length() > LONGEST:
        return Bracket(value, value)
    return value


def float32(value: float) -> Fraction:
    """The rational that the number is after rounding to float32 (as attributes and their defaults are)."""
    return Fraction(float(np.float32(value)))


# --- comparisons: True, False or UNKNOWN ---


def greater(a: Any, b: Any) -> Any:
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return UNKNOWN
    (alo, ahi), (blo, bhi) = bounds(a), bounds(b)
    if alo > bhi:
        return True
    if ahi <= blo:
        return False
    return UNKNOWN


def less_equal(a: Any, b: Any) -> Any:
    answer = greater(a, b)
    return answer if isinstance(answer, Unknown) else not answer


def equal(a: Any, b: Any) -> Any:
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return UNKNOWN
    if isinstance(a, Bracket) or isinstance(b, Bracket):
        (alo, ahi), (blo, bhi) = bounds(a), bounds(b)
        return False if alo > bhi or ahi < blo else UNKNOWN
    return bool(a == b)


# --- functions of scalars ---


def _monotone(value: Any, function: Callable[[Fraction], Fraction]) -> Any:
    lo, hi = bounds(value)
    return Bracket(function(lo), function(hi))


def greatest(values: list[Any]) -> Any:
    kinds = set(map(type, values))
    if Unknown in kinds or not values:
        return UNKNOWN
    if Bracket in kinds:
        ends = [bounds(v) for v in values]
        lo, hi = max(lo for lo, _ in ends), max(hi for _, hi in ends)
        return lo if lo == hi else Bracket(lo, hi)
    return max(values)


def least(values: list[Any]) -> Any:
    kinds = set(map(type, values))
    if Unknown in kinds or not values:
        return UNKNOWN
    if Bracket in kinds:
        ends = [bounds(v) for v in values]
        lo, hi = min(lo for lo, _ in ends), min(hi for _, hi in ends)
        return lo if lo == hi else Bracket(lo, hi)
    return min(values)


def absolute(value: Any) -> Any:
    if isinstance(value, Bracket):
        if value.lo > 0 or value.hi < 0:
            return greatest([value, -value])
        return Bracket(Fraction(0), max(-value.lo, value.hi))
    return value if isinstance(value, Unknown) else abs(value)


def divide(a: Any, b: Any) -> Any:
    """a / b; integers divide toward zero."""
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return UNKNOWN
    if isinstance(a, int) and isinstance(b, int):
        return UNKNOWN if b == 0 else (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)
    lo, hi = bounds(b)
    if lo <= 0 <= hi:
        return UNKNOWN
    return a * (1 / lo) if lo == hi else a * Bracket(1 / hi, 1 / lo)


def square_root(value: Any) -> Any:
    """A bracket around the root of a number >= 0, by integer square roots."""
    if isinstance(value, Unknown) or bounds(value)[0] < 0:
        return UNKNOWN
    scale = 4**BITS

    def root(x: Fraction) -> tuple[Fraction, Fraction]:
        floor = math.isqrt(x.numerator * x.denominator * scale)
        ceiling = floor if floor * floor == x.numerator * x.denominator * scale else floor + 1
        return Fraction(floor, x.denominator * 2**BITS), Fraction(ceiling, x.denominator * 2**BITS)

    lo, hi = bounds(value)
    return Bracket(root(lo)[0], root(hi)[1])


def _exp_end(x: Fraction, upper: bool) -> Fraction:
    with flint.ctx.workprec(BITS):
        ball = flint.arb(flint.fmpq(x.numerator, x.denominator)).exp()
        mantissa, exponent = (ball.upper() if upper else ball.lower()).man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def exponential(value: Any) -> Any:
    if isinstance(value, Unknown):
        return UNKNOWN
    lo, hi = bounds(value)
    if lo == hi == 0:
        return Fraction(1)
    if hi > 20000:  # too large to be written down
        return UNKNOWN
    low = Fraction(0) if lo < -20000 else _exp_end(lo, upper=False)
    return Bracket(low, _exp_end(max(hi, Fraction(-20000)), upper=True))


# --- arrays ---


def exact_scalar(value: Any) -> Any:
    """The number that a numpy or Python scalar is."""
    if isinstance(value, Fraction | Bracket | Unknown):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer) or "int" in type(value).__name__:  # ml_dtypes' own, too
        return int(value)
    if isinstance(value, Rational):
        return Fraction(value)
    as_float = float(value)
    return Fraction(as_float) if math.isfinite(as_float) else UNKNOWN


def exact_array(values: Any) -> Array:
    """An object array of exact scalars with the shape of ``values``."""
    array = np.asarray(values)
    out = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        out[index] = exact_scalar(array[index])
    return out


def elementwise(function: Callable[..., Any], *arrays: Array) -> Array:
    """Apply a function of scalars with multidirectional broadcasting."""
    wide = np.broadcast_arrays(*arrays)
    out = np.empty(wide[0].shape, dtype=object)
    for index in np.ndindex(out.shape):
        out[index] = function(*(a[index] for a in wide))
    return out


def to_float(array: Array) -> np.ndarray:
    """Nearest float64 of each value (middle of a bracket, nan where unknown)."""

    def scalar(value: Any) -> float:
        if isinstance(value, Unknown):
            return math.nan
        lo, hi = bounds(value)
        try:
            return float((lo + hi) / 2)
        except OverflowError:
            return math.inf if lo > 0 else -math.inf

    out = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        out[index] = scalar(array[index])
    return out
