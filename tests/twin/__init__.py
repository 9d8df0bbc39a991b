"""A naive, slow, exact evaluator of ONNX graphs: what the engine and the checker are tested against.

Nothing here is clever and nothing is shared with the packages under test. Every operator follows the sentence
of the ONNX standard that defines it, element by element, in exact rationals (``quicktions``: Python's
``fractions``, compiled).
"""

from __future__ import annotations

from .evaluate import OPERATORS, evaluate, outputs_of
from .exact import UNKNOWN, Bracket, bounds, exact_array, to_float

__all__ = [
    "OPERATORS",
    "UNKNOWN",
    "Bracket",
    "bounds",
    "evaluate",
    "exact_array",
    "outputs_of",
    "to_float",
]
