"""Selective inference: exact, and conditioned on the activation pattern too."""

from __future__ import annotations

from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn
from inference.study.truncated import confidence_interval

__all__ = ["Exact", "OverConditioning"]


class Exact(Comparator):
    """The certified audit: p is its upper bound."""

    name = "exact"

    def answer(self, drawn: Drawn) -> Answer:
        result = drawn.result
        interval = confidence_interval(drawn.exact, drawn.stat, drawn.sd, 0.05) if drawn.exact else None
        return Answer(result.sup_p, result.inf_p, drawn.exact, interval, seconds=drawn.seconds)


class OverConditioning(Comparator):
    """Valid as well, but it conditions on more than was selected, and so has less power."""

    name = "over-conditioning"

    def answer(self, drawn: Drawn) -> Answer:
        result = drawn.test.inference(drawn.x, drawn.variance, inference_mode="over_conditioning")
        found = [(float(a), float(b)) for a, b in result.truncated_intervals]
        interval = confidence_interval(found, drawn.stat, drawn.sd, 0.05) if found else None
        return Answer(result.sup_p, result.inf_p, found, interval, seconds=result.seconds)
