"""Rational numbers as elements of a form, for what no power of two divides: a third, a ninth.

They add, multiply and compare; nothing else. Whatever needs bits of a number (a shift, a conversion to an
integer or a float) raises `Undecided` instead of rounding, and the cell is left to the other precisions.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from operator import index
from typing import Any, NoReturn

from flint import fmpq

from verifier.check.errors import Undecided

__all__ = ["Rational", "ceiling", "denominator_of", "floor", "quotient"]


def _refuse(*_: Any) -> NoReturn:
    raise Undecided([])


def _plain(other: Any) -> Any:
    if isinstance(other, Rational):
        return other.value
    return index(other) if hasattr(other, "__index__") else _refuse()


def _arithmetic(combine: Callable[[fmpq, Any], fmpq]) -> Callable[[Rational, Any], Any]:
    def operation(self: Rational, other: Any) -> Any:
        return _reduced(combine(self.value, _plain(other)))

    return operation


def _comparison(holds: Callable[[fmpq, Any], bool]) -> Callable[[Rational, Any], bool]:
    def operation(self: Rational, other: Any) -> bool:
        return bool(holds(self.value, _plain(other)))

    return operation


def _reduced(value: fmpq) -> Rational | int:
    """Whole numbers are Python integers again."""
    return int(value.p) if value.q == 1 else Rational(value)


class Rational:
    """A rational number that is not whole."""

    __slots__ = ("value",)

    def __init__(self, value: fmpq) -> None:
        self.value = value

    __add__ = __radd__ = _arithmetic(lambda a, b: a + b)
    __sub__ = _arithmetic(lambda a, b: a - b)
    __rsub__ = _arithmetic(lambda a, b: b - a)
    __mul__ = __rmul__ = _arithmetic(lambda a, b: a * b)
    __lt__ = _comparison(lambda a, b: a < b)
    __le__ = _comparison(lambda a, b: a <= b)
    __gt__ = _comparison(lambda a, b: a > b)
    __ge__ = _comparison(lambda a, b: a >= b)
    __eq__ = _comparison(lambda a, b: a == b)
    __ne__ = _comparison(lambda a, b: a != b)

    def __neg__(self) -> Rational:
        return Rational(-self.value)

    def __abs__(self) -> Rational:
        return Rational(abs(self.value))

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return str(self.value)

    __int__ = __index__ = __trunc__ = __float__ = __complex__ = _refuse
    __floor__ = __ceil__ = __round__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _refuse
    __truediv__ = __rtruediv__ = __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _refuse
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = bit_length = to_bytes = _refuse


def quotient(a: Any, b: Any) -> Any:
    """a / b of whole and rational numbers."""
    x, y = (fmpq(v.numerator, v.denominator) if isinstance(v, Fraction) else fmpq(_plain(v)) for v in (a, b))
    return _reduced(x / y)


def ceiling(value: Any) -> int:
    """A whole or rational number, rounded up."""
    return int(value.value.ceil()) if isinstance(value, Rational) else int(value)


def floor(value: Any) -> int:
    """A whole or rational number, rounded down."""
    return int(value.value.floor()) if isinstance(value, Rational) else int(value)


def denominator_of(value: Any) -> int:
    """The least whole number that makes the value whole."""
    return int(value.value.q) if isinstance(value, Rational) else 1
