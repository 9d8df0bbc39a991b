"""Selective inference: exact, and conditioned on the activation pattern too."""

from __future__ import annotations

from fractions import Fraction

from inference.laws.estimates import estimates
from inference.result import InferenceResult
from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn
from symbolic.errors import OptionError

__all__ = ["Exact", "OverConditioning"]

LEVEL = Fraction(95, 100)


def _answer(result: InferenceResult, seconds: float) -> Answer:
    """Upper bound of p, and the certified interval: what is undecided makes it wider."""
    found = [(float(a), float(b)) for a, b in result.truncated_intervals]
    try:
        interval = estimates(result.law, result.cell_list, LEVEL).interval
    except OptionError:  # a length has no mean
        interval = None
    return Answer(result.sup_p, result.inf_p, found, interval, seconds=seconds)


class Exact(Comparator):
    """The certified audit: p is its upper bound."""

    name = "exact"

    def answer(self, drawn: Drawn) -> Answer:
        return _answer(drawn.result, drawn.seconds)


class OverConditioning(Comparator):
    """Valid as well, but it conditions on more than was selected, and so has less power."""

    name = "over-conditioning"

    def answer(self, drawn: Drawn) -> Answer:
        result = drawn.test.inference(drawn.x, drawn.variance, inference_mode="over_conditioning")
        return _answer(result, result.seconds)
