"""Tests that do not know how the region was found: naive, and times the number of regions."""

from __future__ import annotations

import math

from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn

__all__ = ["Bonferroni", "Naive"]

QUANTILE = 1.959963984540054


class Naive(Comparator):
    """As if the region had been fixed beforehand: not valid."""

    name = "naive"

    def answer(self, drawn: Drawn) -> Answer:
        half = QUANTILE * drawn.sd
        interval = (drawn.stat - half, drawn.stat + half)
        return Answer(drawn.result.naive_p_value(), interval=interval, passes=1)


class Bonferroni(Comparator):
    """The naive p-value times the number of regions that there could be, 2^n: valid, and without power."""

    name = "bonferroni"

    def answer(self, drawn: Drawn) -> Answer:
        regions = drawn.result.roi.size * math.log(2)
        return Answer(drawn.result.bonferroni_p_value(regions), passes=1)
