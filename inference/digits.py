"""Numbers in few digits for people, rounded away from the claim: a printed range holds the proved one, and a
range for which something is proved holds the printed one."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

__all__ = ["at_least", "at_most"]

LEAST = Decimal("1e-300")
"""Below it numbers are printed without passing through a double."""


def at_most(value: float | Fraction | Decimal, digits: int = 6) -> str:
    """The greatest number of so many digits (15 at the most) that is not greater."""
    return _text(value, digits, ROUND_FLOOR)


def at_least(value: float | Fraction | Decimal, digits: int = 6) -> str:
    """The least number of so many digits (15 at the most) that is not less."""
    return _text(value, digits, ROUND_CEILING)


def _text(value: float | Fraction | Decimal, digits: int, rounding: str) -> str:
    context = Context(prec=digits, rounding=rounding, Emin=-999_999, Emax=999_999)
    if isinstance(value, Fraction):
        found = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{value:g}"
    else:
        found = context.plus(Decimal(value))
    size = abs(found)
    return f"{float(found):.{digits}g}" if not size or LEAST <= size <= 1 / LEAST else f"{found:e}"
