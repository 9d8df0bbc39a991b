"""Numbers for people and files, rounded away from the claim: the enclosure never shrinks in print."""

from __future__ import annotations

import math

from flint import arb, ctx

__all__ = ["GREATEST_POWER", "decimal_down", "decimal_up", "float_down", "float_up", "lower", "upper"]

DIGITS = 17
GREATEST_POWER = 99_999
"""Of ten, in what is written down: the checker reads no larger ones."""


def lower(x: arb) -> arb:
    """The lower end of a ball, as an exact ball."""
    return arb(x.lower().mid())


def upper(x: arb) -> arb:
    """The upper end of a ball, as an exact ball."""
    return arb(x.upper().mid())


def float_down(x: arb) -> float:
    """Largest convenient double that is at most every number of the ball."""
    end = lower(x)
    value = float(end)
    while not arb(value) <= end:
        value = math.nextafter(value, -math.inf)
    return value


def float_up(x: arb) -> float:
    """Smallest convenient double that is at least every number of the ball."""
    return -float_down(-x)


def decimal_down(x: arb) -> str:
    """Decimal string of 17 digits, at most every number of the ball."""
    return _decimal(lower(x), down=True)


def decimal_up(x: arb) -> str:
    """Decimal string of 17 digits, at least every number of the ball."""
    return _decimal(upper(x), down=False)


def _decimal(x: arb, down: bool) -> str:
    if x == 0:
        return "0"
    saved = ctx.prec
    ctx.prec = max(saved, 128)
    try:
        negative = x < 0
        size = -x if negative else x
        power_of_ten = size.log() / arb(10).log()
        away = down == negative  # away from zero
        if power_of_ten < -GREATEST_POWER:
            return f"{'-' if negative else ''}1.0e-{GREATEST_POWER}" if away else "0"
        if not power_of_ten < GREATEST_POWER:
            raise ArithmeticError("a number is too large to be written down")
        exponent = int(float(power_of_ten.floor().mid()))
        shift = DIGITS - 1 - exponent
        scaled = size * arb(10) ** shift if shift >= 0 else size / arb(10) ** -shift  # exact where 10**n is
        whole = scaled.upper().ceil() if away else scaled.lower().floor()
        digits = whole.mid().unique_fmpz()
        if digits is None:
            raise ArithmeticError("a number is too small or too large to be written down")
        text = str(digits)
        power = exponent - DIGITS + 1 + len(text) - 1
        mantissa = text[0] + "." + (text[1:].rstrip("0") or "0")
        return f"{'-' if negative else ''}{mantissa}e{power}"
    finally:
        ctx.prec = saved
