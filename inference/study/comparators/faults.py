"""The same certified truncation set under another variance: the line does not move with a factor."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from inference.laws.normal import NormalLaw
from inference.laws.student import StudentLaw
from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn

__all__ = ["ExactT", "PlugIn", "VarianceFactor"]


def _normal(drawn: Drawn, factor: Fraction) -> Answer:
    line = drawn.result.line
    law = NormalLaw(
        line.stat, line.variance * factor, line.scale, drawn.result.null_value, drawn.result.alternative
    )
    p = law.p_value(drawn.result.cell_list)
    return Answer(p.sup_p, p.inf_p, passes=0)


def _factor(drawn: Drawn, freedom: float) -> Fraction:
    """s^2 / sigma^2 from data that the contrast does not use: the same draw for plug-in and t."""
    draw = np.random.default_rng([drawn.seed, 13, int(1000 * freedom)]).chisquare(freedom)
    return Fraction(float(draw)) / Fraction(freedom)


class VarianceFactor(Comparator):
    """The declared variance is so many times the true one."""

    name = "variance"

    def __init__(self, number: float) -> None:
        self.factor = Fraction(str(number))

    def answer(self, drawn: Drawn) -> Answer:
        return _normal(drawn, self.factor)


class PlugIn(Comparator):
    """The variance was estimated with so many degrees of freedom, and is taken as known."""

    name = "plug-in"

    def __init__(self, number: float) -> None:
        self.freedom = number

    def answer(self, drawn: Drawn) -> Answer:
        return _normal(drawn, _factor(drawn, self.freedom))


class ExactT(Comparator):
    """The same estimate, by the exact t law."""

    name = "t"

    def __init__(self, number: float) -> None:
        self.freedom = number

    def answer(self, drawn: Drawn) -> Answer:
        line = drawn.result.line
        law = StudentLaw(
            line.stat, line.variance * _factor(drawn, self.freedom), line.scale,
            drawn.result.null_value, drawn.result.alternative, Fraction(self.freedom),
        )  # fmt: skip
        p = law.p_value(drawn.result.cell_list)
        return Answer(p.sup_p, p.inf_p, passes=0)
