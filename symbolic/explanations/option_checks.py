"""Options that are no numbers, or not the right ones, refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import OptionError

__all__ = ["as_numbers", "require_index", "require_number", "require_whole"]


def require_whole(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number, or too small."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or int(value) < least:
        raise OptionError(f"{name} is {value!r}; it must be a whole number, {least} or larger.")


def require_number(name: str, value: object, good: Callable[[float], bool], words: str) -> None:
    """Refuse what is no finite number, or not a good one."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not isfinite(value) or not good(value):  # type: ignore[arg-type]
        raise OptionError(f"{name} is {value!r}; it must be {words}.")


def require_index(name: str, value: object, count: int, what: str) -> None:
    """Refuse what is no place among `count`."""
    whole = isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))
    if not whole or not 0 <= value < count:  # type: ignore[operator]
        raise OptionError(f"{name} is {value!r}, but the model has {count} {what}, counted from 0.")


def as_numbers(name: str, value: Any) -> NDArray[np.float64]:
    """A number or an array of finite real ones."""
    try:
        array = np.asarray(value)
        good = array.dtype.kind in "biuf" and bool(np.isfinite(array).all())
    except (TypeError, ValueError):
        good = False
    if not good:
        raise OptionError(f"{name} is no finite number, and no array of finite numbers.")
    return array.astype(np.float64)
