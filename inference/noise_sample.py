"""What a sample of noise shows: is it Gaussian, on a lattice, cut off, correlated, and how small may p be?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from inference.noise_measures import (
    as_sample,
    clipped_ends,
    lattice_step,
    neighbour_correlation,
    quantile_band,
    share_expected,
    too_many,
)
from symbolic.errors import NoiseError

__all__ = ["NoiseSample"]

Floats = NDArray[np.float64]
COARSE, VISIBLE = 1.0, 0.1
"""Lattice steps, in standard deviations: refused above the first, reported above the second."""
FEW = 20
"""Below this size nothing is said about the shape."""
SUSPICIOUS = 1e-3
"""p-value below which a test of shape raises a warning."""
LEVELS = (0.05, 0.01, 0.001)


@dataclass(frozen=True, eq=False)
class NoiseSample:
    """Diagnostics of a noise sample; make one with `NoiseSample.of`.

    Attributes
    ----------
    values : ndarray of float64
        The sample, in its own shape and units; of correlated noise, the whitened residuals.
    size : int
        m, its length.
    mean, sd : float
        Of ``values``; the standard deviation has the divisor m - 1.
    step : Fraction or None
        Of the lattice that holds the numbers as they were recorded; None if there is none coarser than
        1e-6 sd.
    step_exact : bool
        The step is the greatest common divisor of the differences; otherwise see `lattice_step`.
    step_over_sd : float
        0 without a lattice. Here the standard deviation is that of the numbers as recorded.
    ties : float
        Share of the numbers that equal another one.
    saturation : (float, float)
        Shares at the least and at the greatest value; 0 where only one number lies there.
    clipped : (bool, bool)
        More than 0.1 % lie there, and more than Gaussian noise on this lattice would put there.
    skewness, excess_kurtosis : float
        Both 0 for Gaussian noise.
    skewness_p, kurtosis_p : float
        p-values of D'Agostino's and of Anscombe and Glynn's test; 1 below 20 numbers.
    shape_test : str
        "shapiro" up to 5,000 numbers, "jarque_bera" above.
    shape_p : float
        Its p-value; 1 below 20 numbers.
    beyond : tuple of float
        Shares beyond the two-sided 5, 1 and 0.1 % points of the normal law.
    serial_correlation : float
        Lag 1, in the order of the numbers in memory; NaN below three numbers.
    axis_correlations : tuple of float
        Lag 1 along each axis; NaN along one of length 1.
    warnings : tuple of str
        What should keep one from trusting the normal law, one sentence each.
    """

    values: Floats
    size: int
    mean: float
    sd: float
    step: Fraction | None
    step_exact: bool
    step_over_sd: float
    ties: float
    saturation: tuple[float, float]
    clipped: tuple[bool, bool]
    skewness: float
    excess_kurtosis: float
    skewness_p: float
    kurtosis_p: float
    shape_test: str
    shape_p: float
    beyond: tuple[float, ...]
    serial_correlation: float
    axis_correlations: tuple[float, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        *,
        recorded: ArrayLike | None = None,
        independent: bool = True,
        centred: bool = False,
    ) -> NoiseSample:
        """Examine a sample.

        Parameters
        ----------
        values : array_like
            Noise, of any shape; neighbours along each axis are compared. Take the signal away first.
        recorded : array_like, optional
            The numbers as they were recorded, if ``values`` are residuals: lattice, ties and saturation are
            read off them.
        independent : bool
            The noise is claimed to be independent, so correlated neighbours are worth a warning.
        centred : bool
            The noise is claimed to have mean zero, so another mean is worth a warning.

        Raises
        ------
        NoiseError
            Fewer than two numbers, a constant sample, one that is not finite, or ``recorded`` of another
            size.
        """
        sample = as_sample(values, "the noise sample")
        if recorded is not None and np.size(recorded) != sample.size:
            raise NoiseError(
                f"the recorded sample has {np.size(recorded)} numbers, the noise sample {sample.size}."
            )
        raw = (sample if recorded is None else as_sample(recorded, "the recorded sample")).ravel()
        size, sd, raw_sd = sample.size, float(sample.std(ddof=1)), float(raw.std(ddof=1))
        step, exact = lattice_step(raw, raw_sd)
        ratio = float(step / Fraction(raw_sd)) if step is not None else 0.0
        unique, counts = np.unique(raw, return_counts=True)
        ties = float(counts[counts > 1].sum() / raw.size)
        ends = int(counts[0]), int(counts[-1])
        saturation = tuple(c / raw.size if c > 1 else 0.0 for c in ends)
        unit = (sample - sample.mean()).ravel() / sd
        judged = size >= FEW
        test = "shapiro" if size <= 5000 else "jarque_bera"
        found = cls(
            values=sample,
            size=size,
            mean=float(sample.mean()),
            sd=sd,
            step=step,
            step_exact=exact,
            step_over_sd=ratio,
            ties=ties,
            saturation=(saturation[0], saturation[1]),
            clipped=clipped_ends(raw, raw_sd, ends, ratio) if judged else (False, False),
            skewness=float(stats.skew(unit)),
            excess_kurtosis=float(stats.kurtosis(unit)),
            skewness_p=float(stats.skewtest(unit).pvalue) if judged else 1.0,
            kurtosis_p=float(stats.kurtosistest(unit).pvalue) if judged else 1.0,
            shape_test=test,
            shape_p=float(getattr(stats, test)(unit).pvalue) if judged else 1.0,
            beyond=tuple(float((np.abs(unit) > stats.norm.isf(level / 2)).mean()) for level in LEVELS),
            serial_correlation=neighbour_correlation(sample.ravel(), 0)[0],
            axis_correlations=tuple(neighbour_correlation(sample, k)[0] for k in range(sample.ndim)),
            warnings=(),
        )
        words = found._lattice_words() + found._end_words()
        if judged and not found.refused and not any(found.clipped):
            words += _heap_words(unique, counts, ratio)
        words += found._shape_words()
        if independent:
            words += found._neighbour_words()
        if centred:
            words += found._mean_words()
        object.__setattr__(found, "warnings", tuple(words))
        return found

    @property
    def smallest_p(self) -> Fraction:
        """1/m: the sample cannot vouch for tails rarer than this."""
        return Fraction(1, self.size)

    @property
    def refused(self) -> bool:
        """Whether the lattice is coarser than one standard deviation."""
        return self.step_over_sd > COARSE

    @property
    def rounding_variance(self) -> Fraction:
        """step**2 / 12, the variance that rounding to the lattice adds; 0 without a lattice."""
        return Fraction(0) if self.step is None else self.step**2 / 12

    def supported(self, p: float) -> str:
        """A p-value in the words that the sample supports."""
        if p >= self.smallest_p:
            return f"p = {p:.3g}"
        return f"p < 1/{self.size} (model value {p:.3g})"

    def qq(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Points of a QQ plot with a simultaneous 95 % band.

        Returns
        -------
        normal, sample, low, high : ndarray of float64
            In standard deviations from the mean, at most 400 points.
        """
        ranks, middle, low, high = quantile_band(self.size)
        unit = np.sort(((self.values - self.mean) / self.sd).ravel())
        return middle, unit[ranks - 1], low, high

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw QQ plot, histogram and correlation of neighbours; needs matplotlib (extra ``plot``).

        Parameters
        ----------
        path : path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from inference.noise_picture import draw_sample

        return draw_sample(self, path)

    @property
    def wants_noise(self) -> bool:
        """Whether auditor's noise is called for."""
        return self.step_over_sd > VISIBLE or self._odd_shape

    def advice(self) -> str:
        """Whether auditor's noise is called for, and how much of it."""
        said = []  # each begins with "A" or "a"
        if self.step is not None and self.step_over_sd > VISIBLE:
            said.append(
                f"uditor's noise of variance {float(self.step**2):.3g} (one step squared) hides the lattice"
            )
        if self._odd_shape:
            said.append(
                f"uditor's noise of variance {self.sd**2:.3g} (that of the sample) brings the shape closer "
                "to the normal law: skewness to 35 %, excess kurtosis to 25 % of what they are"
            )
        if not said:
            text = "Nothing here calls for auditor's noise"
            return f"{text}; but see the warnings." if self.warnings else f"{text}."
        cut = " It does not repair saturation: leave such numbers out." if any(self.clipped) else ""
        return f"A{'; a'.join(said)}. It costs power.{cut}"

    def __str__(self) -> str:
        step = (
            "no lattice" if self.step is None else f"step {float(self.step):.4g} = {self.step_over_sd:.3g} sd"
        )
        low, high = self.saturation
        along = ", ".join(f"{r:+.3f}" for r in self.axis_correlations)
        beyond = ", ".join(f"{b:.3%} ({a:.1%})" for a, b in zip(LEVELS, self.beyond, strict=True))
        lines = [
            f"noise sample of {self.size} numbers: mean {self.mean:.4g}, standard deviation {self.sd:.4g}",
            f"  lattice      {step}; {self.ties:.1%} tied",
            f"  saturation   {low:.2%} at the minimum, {high:.2%} at the maximum",
            f"  shape        skewness {self.skewness:+.3f}, excess kurtosis {self.excess_kurtosis:+.3f}, "
            f"{self.shape_test} p = {self.shape_p:.2g}",
            f"  tails        beyond the normal points: {beyond}",
            f"  neighbours   correlation {along} along the axes",
            f"  smallest p   1/{self.size}",
        ]
        return "\n".join(lines + [f"  ! {warning}" for warning in self.warnings])

    @property
    def _odd_shape(self) -> bool:
        return min(self.shape_p, self.skewness_p, self.kurtosis_p) < SUSPICIOUS and not self.refused

    def _lattice_words(self) -> list[str]:
        if self.step is None or self.step_over_sd <= VISIBLE:
            return []
        size = f"The numbers lie on a lattice of step {float(self.step):.4g} = {self.step_over_sd:.3g} sd"
        if self.refused:
            return [f"{size}, too coarse for the normal law: add auditor's noise, or use finer data."]
        return [
            f"{size}: rounding adds step**2 / 12 = {float(self.rounding_variance):.3g} to the variance, "
            "which "
            "a variance measured on rounded numbers holds already and one stated for the sensor does not."
        ]

    def _end_words(self) -> list[str]:
        return [
            f"{share:.2%} of the numbers sit at the {name}: they look cut off, so leave saturated ones out."
            for share, cut, name in zip(self.saturation, self.clipped, ("minimum", "maximum"), strict=True)
            if cut
        ]

    def _shape_words(self) -> list[str]:
        if self.size < FEW:
            return [f"{self.size} numbers are too few to see whether the noise is Gaussian."]
        words = []
        if self.kurtosis_p < SUSPICIOUS:
            kind = "heavier" if self.excess_kurtosis > 0 else "lighter"
            words.append(
                f"The tails are {kind} than Gaussian (excess kurtosis {self.excess_kurtosis:+.2f}): "
                f"{self.beyond[0]:.2%} lie beyond the 5 % points, {self.beyond[2]:.2%} beyond the 0.1 % "
                "points."
            )
        if self.skewness_p < SUSPICIOUS:
            words.append(f"The noise is lopsided (skewness {self.skewness:+.2f}; Gaussian noise has 0).")
        if self.shape_p < SUSPICIOUS and not words and self.step_over_sd <= VISIBLE:
            words.append(f"The shape is not Gaussian ({self.shape_test} test, p = {self.shape_p:.2g}).")
        return words

    def _mean_words(self) -> list[str]:
        away = self.mean / self.sd * np.sqrt(self.size)
        if 2 * stats.t.sf(abs(away), self.size - 1) >= SUSPICIOUS:
            return []
        return [
            f"The mean is {self.mean:.4g}, {abs(away):.1f} standard errors from the zero that was declared: "
            "subtract it, or say that it is constant."
        ]

    def _neighbour_words(self) -> list[str]:
        axes = range(self.values.ndim)
        measured = ((axis, *neighbour_correlation(self.values, axis)) for axis in axes)
        known = [m for m in measured if m[3] > 0]  # NaN is not
        if not known:
            return []
        reach = float(stats.norm.isf(0.005 / len(known)))
        return [
            f"Neighbours along axis {axis} correlate {r:+.3f}, outside the 99 % band {mean:+.3f} ± "
            f"{reach * sd:.3f} "
            "of independent noise: use a covariance with correlation."
            for axis, r, mean, sd in known
            if abs(r - mean) > reach * sd
        ]


def _heap_words(unique: Floats, counts: NDArray[np.int64], ratio: float) -> list[str]:
    most = int(counts.argmax())
    middle = share_expected(0.0, ratio)  # the fullest cell of Gaussian noise
    if not too_many(int(counts[most]), int(counts.sum()), middle, len(unique)):
        return []
    return [
        f"The value {unique[most]:g} occurs {counts[most]} times, more often than Gaussian noise allows: "
        "look "
        "for copied, padded or filled-in numbers."
    ]
