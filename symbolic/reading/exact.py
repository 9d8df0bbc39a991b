"""One number from a user, read exactly."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np

from symbolic.errors import InputError, SurelineError

__all__ = ["exact_number"]

# A number of millions of digits costs seconds in every later operation.
_MAX_TEXT = 400
_MAX_EXPONENT = 400
_MAX_BITS = 4096
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
_QUOTIENT = re.compile(r"[+-]?\d+/\d+")


def exact_number(value: object, name: str = "value", *, error: type[SurelineError] = InputError) -> Fraction:
    """Read one number exactly.

    Parameters
    ----------
    value : int, float, str, Fraction, Decimal, or numpy or torch scalar
        A float is its binary value; "0.1" is one tenth; "1/3" is one third.
    name : str
        What error messages call it.
    error : type of SurelineError
        The error to raise.

    Returns
    -------
    Fraction

    Raises
    ------
    SurelineError
        `error`, if it is no finite real number, or unreasonably long (400 characters, exponent 400).

    Examples
    --------
    >>> exact_number("0.1")
    Fraction(1, 10)
    >>> exact_number(0.1) == Fraction(1, 10)
    False
    """
    if not isinstance(value, (int, float, str, Fraction, Decimal)) and callable(getattr(value, "item", None)):
        value = _scalar_item(value, name, error)
    if isinstance(value, bool):
        raise error(f"{name} is {value}; give a number.")
    if isinstance(value, str):
        return _number_from_text(value, name, error)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise error(f"{name} is {value}; give a finite number.")
        if abs(value.adjusted()) > _MAX_EXPONENT or len(value.as_tuple().digits) > _MAX_TEXT:
            raise error(f"{name} has too many digits or too large an exponent.")
        return Fraction(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise error(f"{name} is {value}; give a finite number.")
        return Fraction(value)
    if isinstance(value, Rational):
        number = Fraction(value)
        if max(number.numerator.bit_length(), number.denominator.bit_length()) > _MAX_BITS:
            raise error(f"{name} has too many digits.")
        return number
    raise error(f"{name} is {type(value).__name__}, not a number.")


def _scalar_item(value: Any, name: str, error: type[SurelineError]) -> object:
    try:
        item = value.item()
    except (ValueError, RuntimeError, TypeError):
        raise error(f"{name} has more than one entry; give a single number.") from None
    if isinstance(item, np.floating):  # long double: item() cannot give a Python float
        if not np.isfinite(item):
            raise error(f"{name} is {item}; give a finite number.")
        return Fraction(*item.as_integer_ratio())
    # The narrow types of ml_dtypes give floats; anything else falls to the type check of the caller.
    return item


def _number_from_text(text: str, name: str, error: type[SurelineError]) -> Fraction:
    text = text.strip()
    if len(text) > _MAX_TEXT:
        raise error(f"{name} has more than {_MAX_TEXT} characters.")
    if _QUOTIENT.fullmatch(text) and text.isascii():
        if int(text.partition("/")[2]) == 0:
            raise error(f"{name} is {text}, which divides by zero.")
        return Fraction(text)
    if not (_DECIMAL.fullmatch(text) and text.isascii()):
        raise error(f'{name} is "{text[:40]}"; give a finite number such as 0.1, 1e-3 or 1/3.')
    exponent = text.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > _MAX_EXPONENT:
        raise error(f"{name} has an exponent beyond {_MAX_EXPONENT}.")
    return Fraction(text)
