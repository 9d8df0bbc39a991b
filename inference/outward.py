"""Numbers for people and files, rounded away from the claim: the enclosure never shrinks in print."""

from __future__ import annotations

import math

from flint import arb, ctx

__all__ = ["decimal_down", "decimal_up", "float_down", "float_up", "lower", "upper"]

DIGITS = 17


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
        exponent = int(float((size.log() / arb(10).log()).floor().mid()))
        scaled = size / arb(10) ** (exponent - DIGITS + 1)
        away = down == negative  # away from zero
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
