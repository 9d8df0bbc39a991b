"""Sample the statistic under the null and keep what is selected in the same way."""

from __future__ import annotations

import numpy as np

from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn

__all__ = ["MonteCarlo"]


class MonteCarlo(Comparator):
    """Rejection sampling on the line; the observed value counts as one of the samples that are kept."""

    name = "monte-carlo"

    def __init__(self, number: float) -> None:
        self.count = int(number)

    def answer(self, drawn: Drawn) -> Answer:
        z = np.random.default_rng([drawn.seed, 12]).normal(drawn.null, drawn.sd, self.count)
        kept = z[drawn.same(z)]
        tails = [
            (1 + int(np.sum(side))) / (1 + len(kept)) for side in (kept <= drawn.stat, kept >= drawn.stat)
        ]
        return Answer(min(1.0, 2 * min(tails)), passes=self.count)
