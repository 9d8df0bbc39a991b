"""Are p-values of true null hypotheses uniform? Rejection rates with exact intervals, tests, a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symbolic.errors import InputError, OptionError

__all__ = [
    "LEVELS",
    "Paired",
    "Rate",
    "UniformityReport",
    "clopper_pearson",
    "dkw_band",
    "excess",
    "mcnemar",
    "p_array",
    "rejection_rate",
    "uniformity",
]

Floats = NDArray[np.float64]
LEVELS = (0.05, 0.01, 0.001)


@dataclass(frozen=True)
class Rate:
    """How often p was at most a level, with the Clopper-Pearson interval of the true rate.

    Attributes
    ----------
    level : float
        The nominal level.
    rejections, repetitions : int
        p-values at most the level, and all.
    low, high : float
        The interval.
    confidence : float
        Of the interval.
    """

    level: float
    rejections: int
    repetitions: int
    low: float
    high: float
    confidence: float

    @property
    def rate(self) -> float:
        """The observed share."""
        return self.rejections / self.repetitions

    @property
    def holds(self) -> bool:
        """Whether the nominal level lies in the interval."""
        return self.low <= self.level <= self.high

    @property
    def exceeds(self) -> bool:
        """Whether the whole interval lies above the nominal level: the test rejects too often."""
        return self.low > self.level

    def __str__(self) -> str:
        return f"{100 * self.rate:.2f} % [{100 * self.low:.2f}, {100 * self.high:.2f}]"


@dataclass(frozen=True)
class Paired:
    """Two tests on the same draws, compared by the exact McNemar test.

    Attributes
    ----------
    first_only, second_only : int
        Draws that only one of the two rejects.
    p_value : float
        Two-sided: the two reject equally often.
    first_more : float
        One-sided: the first does not reject more often than the second.
    """

    first_only: int
    second_only: int
    p_value: float
    first_more: float

    def __str__(self) -> str:
        return f"{self.first_only} to {self.second_only}, McNemar p {self.p_value:.2g}"


@dataclass(frozen=True, eq=False)
class UniformityReport:
    """What :func:`uniformity` found; ``print`` it, or ``plot`` it.

    Attributes
    ----------
    p_values : ndarray
        Sorted.
    rates : tuple of Rate
        One per level.
    confidence : float
        Of the intervals and the band.
    band : float
        Half width of the Dvoretzky-Kiefer-Wolfowitz band of the distribution function.
    ks_distance : float
        Largest distance of the empirical distribution function from the uniform one.
    kolmogorov_smirnov, cramer_von_mises, anderson_darling : float
        p-values of the three tests of uniformity: ``scipy.stats.kstest``, ``scipy.stats.cramervonmises``, and
        Anderson-Darling against the uniform law (SciPy's ``anderson`` has no uniform case; the asymptotic law
        is integrated here, see :func:`uniformity`).
    """

    p_values: Floats = field(repr=False)
    rates: tuple[Rate, ...]
    confidence: float
    band: float
    ks_distance: float
    kolmogorov_smirnov: float
    cramer_von_mises: float
    anderson_darling: float

    @property
    def repetitions(self) -> int:
        """Number of p-values."""
        return len(self.p_values)

    @property
    def inside_band(self) -> bool:
        """Whether the empirical distribution function stays in its band around the uniform one."""
        return self.ks_distance <= self.band

    @property
    def excess(self) -> tuple[Floats, Floats]:
        """p, and the share at or below p minus p: both sides of every step."""
        return excess(self.p_values)

    @property
    def quantiles(self) -> tuple[Floats, Floats]:
        """Uniform quantiles (k - 1/2) / n against the sorted p-values, for a QQ plot."""
        count = self.repetitions
        return (np.arange(count) + 0.5) / count, self.p_values

    def rate(self, level: float) -> Rate:
        """The rejection rate at any level."""
        return rejection_rate(self.p_values, level, self.confidence)

    def as_dict(self) -> dict[str, Any]:
        """Numbers and strings only, without the p-values."""
        return {
            "repetitions": self.repetitions,
            "confidence": self.confidence,
            "rates": [
                {
                    "level": r.level,
                    "rejections": r.rejections,
                    "rate": r.rate,
                    "low": r.low,
                    "high": r.high,
                    "holds": r.holds,
                }
                for r in self.rates
            ],
            "dkw_band": self.band,
            "ks_distance": self.ks_distance,
            "kolmogorov_smirnov_p": self.kolmogorov_smirnov,
            "cramer_von_mises_p": None if math.isnan(self.cramer_von_mises) else self.cramer_von_mises,
            "anderson_darling_p": self.anderson_darling,
        }

    def plot(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Draw the empirical distribution function minus the uniform one, with its band.

        Parameters
        ----------
        path : path
            The picture (any format of matplotlib, which must be installed).
        title : str
            Above it.
        """
        pyplot = plotting()
        figure, axis = pyplot.subplots(figsize=(6, 4), layout="constrained")
        axis.axhspan(-self.band, self.band, color="0.9", label=f"{self.confidence:.0%} band (DKW)")
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.plot(*self.excess, linewidth=1, color="C0", label=f"{self.repetitions} p-values")
        axis.set(xlabel="p-value", ylabel="share at or below p, minus p", xlim=(0, 1), title=title)
        axis.legend(loc="best", fontsize="small")
        figure.savefig(path, dpi=150)
        pyplot.close(figure)

    def __str__(self) -> str:
        verdict = "inside" if self.inside_band else "OUTSIDE"
        lines = [f"{self.repetitions} p-values; intervals: Clopper-Pearson, {self.confidence:.0%}"]
        for r in self.rates:
            note = "" if r.holds else "   the level is outside"
            lines.append(f"rejects at {100 * r.level:g} %".ljust(22) + f"{r}{note}")
        lines += [
            f"distance from uniform {self.ks_distance:.3g}, {verdict} the {self.confidence:.0%} band "
            f"(DKW, {self.band:.3g})",
            f"uniformity tests      Kolmogorov-Smirnov p {self.kolmogorov_smirnov:.2g}, "
            f"Cramér-von Mises p {self.cramer_von_mises:.2g}, Anderson-Darling p {self.anderson_darling:.2g}",
        ]
        return "\n".join(lines)


def uniformity(
    p_values: ArrayLike, levels: Sequence[float] = LEVELS, confidence: float = 0.99
) -> UniformityReport:
    """Compare p-values of true null hypotheses with the uniform law on [0, 1].

    Parameters
    ----------
    p_values : array_like
        Any shape; independent of each other. Failures belong in here, as 0.
    levels : sequence of float
        Nominal levels.
    confidence : float
        Of the Clopper-Pearson intervals and the band.

    Returns
    -------
    UniformityReport

    Raises
    ------
    InputError
        No p-value, or one that is not a number between 0 and 1.
    OptionError
        A level or the confidence is not strictly between 0 and 1.

    Notes
    -----
    Anderson-Darling: A2 of the fully specified uniform law; its p-value is from the asymptotic law
    (Anderson and Darling, 1952), given as 1e-12 where it is smaller; for a handful of p-values it is an
    approximation. There p = 0 and p = 1 count as the nearest doubles in between.
    """
    from scipy import stats

    p = np.sort(p_array(p_values))
    _between(confidence, "confidence")
    rates = tuple(rejection_rate(p, level, confidence) for level in levels)
    ks = stats.kstest(p, "uniform")
    return UniformityReport(
        p_values=p,
        rates=rates,
        confidence=confidence,
        band=dkw_band(len(p), confidence),
        ks_distance=float(ks.statistic),
        kolmogorov_smirnov=float(ks.pvalue),
        cramer_von_mises=float(stats.cramervonmises(p, "uniform").pvalue) if len(p) > 1 else math.nan,
        anderson_darling=_anderson_darling(p),
    )


def p_array(p_values: ArrayLike, name: str = "p_values") -> Floats:
    """Read p-values as a flat array.

    Raises
    ------
    InputError
        No p-value, or one that is not a number between 0 and 1.
    """
    try:
        p = np.asarray(p_values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers.") from None
    if not len(p):
        raise InputError(f"{name} is empty: there is nothing to compare.")
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        k = int(wrong.argmax())
        raise InputError(f"{name}[{k}] is {p[k]}, which is not a number between 0 and 1.")
    return p


def rejection_rate(p_values: ArrayLike, level: float, confidence: float = 0.99) -> Rate:
    """Share of p-values that are at most a level, with its Clopper-Pearson interval."""
    p = p_array(p_values)
    _between(level, "level")
    count = int(np.sum(p <= level))
    low, high = clopper_pearson(count, len(p), confidence)
    return Rate(float(level), count, len(p), low, high, confidence)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.99) -> tuple[float, float]:
    """Interval of a probability from a count.

    Raises
    ------
    OptionError
        Counts that are not counts, or a confidence outside (0, 1).
    """
    from scipy import stats

    _between(confidence, "confidence")
    if not 0 <= successes <= trials or trials < 1:
        raise OptionError(f"{successes} of {trials} is not a share.")
    found = stats.binomtest(int(successes), int(trials)).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def dkw_band(repetitions: int, confidence: float = 0.99) -> float:
    """Half width of the Dvoretzky-Kiefer-Wolfowitz band, with Massart's constant."""
    _between(confidence, "confidence")
    if repetitions < 1:
        raise OptionError(f"there are {repetitions} repetitions; a band needs at least one.")
    return math.sqrt(math.log(2 / (1 - confidence)) / (2 * repetitions))


def mcnemar(first: ArrayLike, second: ArrayLike) -> Paired:
    """Compare two tests by their rejections of the same draws (exact McNemar test).

    Parameters
    ----------
    first, second : array_like of bool
        Whether each draw was rejected.

    Raises
    ------
    InputError
        Arrays that are not boolean, or of different lengths.
    """
    from scipy import stats

    a, b = np.asarray(first).reshape(-1), np.asarray(second).reshape(-1)
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise InputError("McNemar's test compares rejections: give two arrays of booleans.")
    if len(a) != len(b):
        raise InputError(f"McNemar's test is paired, but there are {len(a)} and {len(b)} rejections.")
    one, two = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    if one + two == 0:
        return Paired(0, 0, 1.0, 1.0)
    sides = [
        float(stats.binomtest(one, one + two, alternative=side).pvalue) for side in ("two-sided", "greater")
    ]
    return Paired(one, two, *sides)


def excess(p_values: ArrayLike) -> tuple[Floats, Floats]:
    """Both sides of every step of the empirical distribution function minus the uniform one."""
    x = np.sort(p_array(p_values))
    steps = np.arange(len(x) + 1) / len(x)
    return np.repeat(x, 2), np.column_stack([steps[:-1] - x, steps[1:] - x]).ravel()


def plotting() -> Any:
    """matplotlib.pyplot that needs no screen.

    Raises
    ------
    OptionError
        matplotlib is not installed.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise OptionError("a picture needs matplotlib; install it with pip install matplotlib.") from None
    return pyplot


def _between(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise OptionError(f"{name} is {value}; it must be between 0 and 1.")


LEAST = 1e-12
"""The asymptotic law of Anderson and Darling is summed as a distribution function: its tail ends here."""


def _anderson_darling(p: Floats) -> float:
    """p-value of A2 for sorted p-values, at least `LEAST`."""
    from scipy import integrate, special

    x = np.clip(p, np.finfo(float).smallest_subnormal, 1 - 2.0**-53)  # 0 and 1 have an infinite distance
    odd = 2 * np.arange(1, len(x) + 1) - 1
    square = -len(x) - float(np.mean(odd * (np.log(x) + np.log1p(-x[::-1]))))
    if square > 40:
        return LEAST
    total = 0.0
    for j in range(8):
        k = (4 * j + 1) ** 2 * math.pi**2 / (8 * square)
        if k > 700:
            break
        value, _ = integrate.quad(
            lambda w, k=k: math.exp(square / (8 * (w * w + 1)) - k * w * w), 0, math.inf, epsabs=1e-14
        )
        total += float(special.binom(-0.5, j)) * (4 * j + 1) * math.exp(-k) * value
    return min(1.0, max(LEAST, 1 - math.sqrt(2 * math.pi) / square * total))
