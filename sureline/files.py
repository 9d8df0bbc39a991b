"""Read the numbers and arrays that the command line is given."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["number", "number_or_array"]

_NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?)", re.ASCII)
_MAX_LENGTH = 1000


def number(text: str, option: str) -> Fraction:
    """Read a decimal number or a quotient, exactly.

    Raises
    ------
    OptionError
        If the text is not a finite number, or has an unreasonable size.
    """
    from symbolic.errors import OptionError

    if len(text) > _MAX_LENGTH or not _NUMBER.fullmatch(text):
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise OptionError(f"{option} must be a number such as 0.1, 1e-6 or 1/3, not {shown!r}.")
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise OptionError(f"{option} must be a number, and {text!r} divides by zero.") from None


def number_or_array(text: str, option: str) -> Fraction | NDArray[Any]:
    """Read a number exactly, or else the array in the ``.npy`` or ``.npz`` file of that name."""
    from symbolic.array_files import read_raw_array

    if text.lower().endswith((".npy", ".npz")):
        return read_raw_array(text)
    return number(text, option)
