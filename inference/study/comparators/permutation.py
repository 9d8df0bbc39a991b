"""A permutation test of the selected statistic: valid where the whole input is exchangeable noise."""

from __future__ import annotations

import numpy as np

from inference.study.comparators.base import Answer, Comparator, Skipped
from inference.study.drawn import Drawn
from symbolic.errors import NoHypothesisError

__all__ = ["Permutation"]


class Permutation(Comparator):
    """Shuffle the elements, select again, compare the largest of |T| / sd.

    Its null hypothesis is that the whole input is exchangeable noise: more than that the region's contrast
    is zero, so that its rejections say less.
    """

    name = "permutation"

    def __init__(self, number: float) -> None:
        self.count = int(number)

    def answer(self, drawn: Drawn) -> Answer:
        if drawn.test.hypothesis.takes_reference or not isinstance(drawn.x, np.ndarray):
            raise Skipped("a permutation test needs one input of exchangeable elements.")
        rng = np.random.default_rng([drawn.seed, 11])
        flat = drawn.x.reshape(-1)
        observed = abs(drawn.stat - drawn.null) / drawn.sd
        larger = 0
        for _ in range(self.count):
            x = rng.permutation(flat)
            larger += self._statistic(drawn, x) >= observed * (1 - 1e-12)
        return Answer((1 + larger) / (1 + self.count), passes=self.count)

    @staticmethod
    def _statistic(drawn: Drawn, x: np.ndarray) -> float:
        """|T| / sd of what is selected in x; 0 if nothing is."""
        try:
            seen = drawn.select(x.reshape(drawn.x.shape))
            contrast = drawn.test.hypothesis.contrast(seen, None, x.size)
        except NoHypothesisError:
            return 0.0
        eta = np.array([float(v) for v in contrast.eta])
        return float(abs(eta @ x - drawn.null) / np.sqrt(eta @ eta * float(drawn.variance)))
