"""Ways to a p-value, each in a file: by name with a number, as in "grid:101"."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module

from inference.study.comparators.base import Answer, Comparator, Skipped
from symbolic.errors import OptionError

__all__ = ["Answer", "Comparator", "Skipped", "comparator"]

_HOME = {
    "exact": ("conditional", "Exact"),
    "over-conditioning": ("conditional", "OverConditioning"),
    "naive": ("unconditional", "Naive"),
    "bonferroni": ("unconditional", "Bonferroni"),
    "permutation": ("permutation", "Permutation"),
    "data-thinning": ("randomised", "DataThinning"),
    "randomised": ("randomised", "Randomised"),
    "grid": ("grid", "Grid"),
    "adaptive": ("grid", "Adaptive"),
    "monte-carlo": ("monte_carlo", "MonteCarlo"),
    "si4onnx": ("peer", "Si4onnx"),
    "variance": ("faults", "VarianceFactor"),
    "plug-in": ("faults", "PlugIn"),
    "t": ("faults", "ExactT"),
}
_NUMBERS = {
    "permutation": 199, "data-thinning": 1, "randomised": 1, "grid": 101, "adaptive": 21,
    "monte-carlo": 10_000, "variance": None, "plug-in": None, "t": None,
}  # fmt: skip
"""Which names take a number, and the default."""


@lru_cache
def comparator(text: str) -> Comparator:
    """The comparator of a name such as "naive" or "grid:101".

    Raises
    ------
    OptionError
    """
    name, colon, number = str(text).partition(":")
    if name not in _HOME:
        raise OptionError(f"there is no comparator {text!r}; there are {', '.join(_HOME)}.")
    module, kind = _HOME[name]
    made = getattr(import_module(f"inference.study.comparators.{module}"), kind)
    if name not in _NUMBERS:
        if colon:
            raise OptionError(f"the comparator {name} takes no number, but {text!r} has one.")
        found: Comparator = made()
    else:
        default = _NUMBERS[name]
        try:
            value = float(number) if colon or default is None else float(default)
        except ValueError:
            value = -1.0
        if not 0 < value < 1e9:
            raise OptionError(f"the comparator {text!r} needs a positive number, as in {name}:4.")
        found = made(value)
    found.name = str(text)
    return found
