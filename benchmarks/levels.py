"""Statistics of p-values: uniformity, rejection rates with exact intervals, paired comparison of power."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

NOMINAL = (0.05, 0.01, 0.001)


@dataclass(frozen=True)
class Level:
    """How often a nominal level was undershot, with the Clopper-Pearson interval of the true rate."""

    nominal: float
    rejections: int
    repetitions: int
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the nominal level lies in the interval."""
        return self.low <= self.nominal <= self.high

    @property
    def rate(self) -> float:
        """The observed rate."""
        return self.rejections / self.repetitions


def level(p: np.ndarray, nominal: float, confidence: float) -> Level:
    """Rejections are p <= nominal."""
    count = int(np.sum(p <= nominal))
    interval = stats.binomtest(count, len(p)).proportion_ci(confidence, method="exact")
    return Level(nominal, count, len(p), float(interval.low), float(interval.high))


def uniformity(p: np.ndarray) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance from the uniform law on [0, 1], and the p-value of that distance."""
    result = stats.kstest(p, "uniform")
    return float(result.statistic), float(result.pvalue)


def dkw(repetitions: int, confidence: float = 0.95) -> float:
    """Half width of the Dvoretzky-Kiefer-Wolfowitz band of an ECDF, with Massart's constant."""
    return math.sqrt(math.log(2 / (1 - confidence)) / (2 * repetitions))


def more_often(first: np.ndarray, second: np.ndarray) -> float:
    """Exact one-sided McNemar p-value for "first rejects more often than second" on the same draws."""
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, alternative="greater").pvalue)
