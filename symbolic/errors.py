"""Everything that can be wrong with what a user hands in, as typed errors.

Each message is one sentence that says what is wrong and what to do; the command line prints it and exits
with 2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "BudgetError",
    "EngineError",
    "InputError",
    "ModelError",
    "NoHypothesisError",
    "NoiseError",
    "OptionError",
    "SurelineError",
    "TieError",
    "UnsupportedOperatorError",
    "enough_memory",
    "writing",
]


LONGEST = 2000
"""Characters of a message: names and attributes in it are the file's, of any length."""


class SurelineError(Exception):
    """Base class of every error that Sureline raises on purpose."""

    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class ModelError(SurelineError):
    """The model file cannot be read, or is not a network that can be audited."""


class UnsupportedOperatorError(ModelError):
    """The graph has operators that Sureline cannot interpret; all of them are listed."""


class InputError(SurelineError):
    """An input, reference or mask has the wrong shape, type or values."""


class NoiseError(SurelineError):
    """A variance or covariance is not one."""


class OptionError(SurelineError, ValueError):
    """An option has a value outside its domain."""


class NoHypothesisError(SurelineError):
    """The observed selection leaves nothing to compare (empty or full region)."""


class TieError(SurelineError):
    """The observed input sits on an accidental tie: the selection holds there and nowhere near it."""


class BudgetError(SurelineError):
    """The network does not fit the memory budget."""


class EngineError(SurelineError):
    """Two engines contradict each other: one of them is wrong.

    Attributes
    ----------
    found : dict
        By engine, what each of them found.
    certificates : dict
        By engine, the certificate of it, where an audit made them.
    """

    def __init__(self, message: str, found: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.found = found or {}
        self.certificates: dict[str, Any] = {}


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say that a file cannot be written as every other refusal is said."""
    try:
        yield
    except OSError as error:
        raise OptionError(f"{os.fspath(path)} cannot be written ({error.strerror or error}).") from None


@contextmanager
def enough_memory() -> Iterator[None]:
    """Say that memory ran out as every other refusal is said."""
    try:
        yield
    except MemoryError as error:
        raise BudgetError("there is not enough memory for this network and input.") from error
