"""The covariance of the noise from data that the contrast does not use, with its degrees of freedom.

Sigma = s**2 R with a shape R. Where R is known and s**2 = r' R**-1 r / nu comes from residuals r of other
data under a declared mean, nu s**2 / sigma**2 is chi-square with nu degrees of freedom, and the exact t law
follows. Where R was estimated, too, that law is conditional on it, which the source says. An estimator need
not be exact: the certificate takes what it returns as given, each float as the rational that it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular, toeplitz

from inference.covariance import LowRankCovariance
from inference.noise_measures import as_sample
from inference.noise_sample import NoiseSample
from symbolic.errors import NoiseError, OptionError

__all__ = [
    "EstimatedNoise",
    "ar1_noise",
    "correlated_noise",
    "iid_noise",
    "low_rank_noise",
    "noise_outside",
    "spatial_ar_noise",
]

Floats = NDArray[np.float64]
Mean = Literal["zero", "constant"]


@dataclass(frozen=True, eq=False)
class EstimatedNoise:
    """What an estimator returns; audits take it as ``var``.

    Attributes
    ----------
    shape : ndarray, LowRankCovariance or None
        R: a matrix, variances of a diagonal one, or None for the identity.
    variance : Fraction
        s**2.
    degrees_of_freedom : int or None
        nu; None where s**2 has no chi-square law, so that it is inserted as if it were known.
    source : str
        From what it was estimated, and what that means, in words for the certificate.
    correlation_known : bool
        R was not estimated.
    sample : NoiseSample
        Diagnostics of the residuals, whitened if the noise is correlated.
    recorded : ndarray or None
        The numbers that it was estimated from; audits refuse an input that they are part of. None where that
        is declared.
    """

    shape: Floats | LowRankCovariance | None
    variance: Fraction
    degrees_of_freedom: int | None
    source: str
    correlation_known: bool
    sample: NoiseSample
    recorded: Floats | None = None

    @property
    def var(self) -> Fraction | Floats | LowRankCovariance:
        """s**2 R, as audits take it."""
        return self.variance if self.shape is None else float(self.variance) * self.shape

    def __str__(self) -> str:
        return f"variance {float(self.variance):.6g}. {self.source}\n{self.sample}"


def iid_noise(
    sample: ArrayLike, *, mean: Mean = "constant", groups: ArrayLike | None = None
) -> EstimatedNoise:
    """Independent noise of one variance.

    Parameters
    ----------
    sample : array_like
        Numbers that neither the network nor the contrast uses.
    mean : "constant" or "zero"
        What is known of their mean; a constant one costs a degree of freedom.
    groups : array_like of int, optional
        Of the sample's shape: numbers of one group share a mean.

    Returns
    -------
    EstimatedNoise
        With nu the size of the sample less the number of means.

    Raises
    ------
    NoiseError
        Too few numbers, a constant sample, or one that is not finite.
    """
    values = as_sample(sample, "the noise sample")
    labels = np.zeros(values.shape, dtype=int) if groups is None else np.asarray(groups)
    if labels.shape != values.shape:
        raise NoiseError(f"groups has shape {labels.shape}, the noise sample {values.shape}.")
    residuals, means = values.copy(), 0
    if _mean(mean) == "constant":
        for label in np.unique(labels):
            residuals[labels == label] -= values[labels == label].mean()
            means += 1
    freedom = _freedom(values.size - means)
    used = f"{values.size} independent numbers" + (f" with {means} means" if means > 1 else "")
    return EstimatedNoise(
        None,
        _square(residuals, freedom),
        freedom,
        _source(used, freedom, mean),
        True,
        NoiseSample.of(residuals, recorded=values, centred=means == 0),
        values,
    )


def correlated_noise(
    samples: ArrayLike, correlation: ArrayLike, *, mean: Mean = "constant", what: str = "samples"
) -> EstimatedNoise:
    """Noise of known correlation.

    Parameters
    ----------
    samples : array_like, shape (m, n)
        m independent vectors of noise.
    correlation : array_like, shape (n, n)
        R.
    mean : "constant" or "zero"
        Of all numbers; a constant one is estimated by generalised least squares.
    what : str
        What the samples are, for the source.
    """
    values = np.atleast_2d(as_sample(samples, "the noise sample"))
    shape = np.asarray(correlation, dtype=np.float64)
    if shape.shape != (values.shape[1],) * 2:
        raise NoiseError(
            f"correlation has shape {shape.shape}; samples of {values.shape[1]} numbers need a square one."
        )
    white, freedom = _whitened(values, shape, mean)
    used = f"{len(values)} {what} of {values.shape[1]} numbers whose correlation is taken as known"
    return _correlated(shape, white, _source(used, freedom, mean), freedom, True, values)


def ar1_noise(
    series: ArrayLike, size: int, *, correlation: float | None = None, mean: Mean = "constant"
) -> EstimatedNoise:
    """Noise of a series with correlation phi**k between numbers k apart.

    Parameters
    ----------
    series : array_like
        Consecutive numbers that neither the network nor the contrast uses.
    size : int
        Length of the audited input.
    correlation : float, optional
        phi; estimated from the series (Yule and Walker), if it is not known.
    mean : "constant" or "zero"
    """
    values = as_sample(series, "the series").reshape(1, -1)
    known = correlation is not None
    phi = correlation if correlation is not None else _lag_one(values[0][None], 1, mean)
    white, freedom = _whitened(values, toeplitz(_phi(phi) ** np.arange(values.size)), mean)
    used = f"a series of {values.size} numbers with correlation {phi:.4g}"
    shape = toeplitz(_phi(phi) ** np.arange(_length(size)))
    return _correlated(shape, white, _source(used, freedom, mean), freedom, known, values)


def spatial_ar_noise(
    patches: ArrayLike,
    shape: tuple[int, int],
    *,
    correlations: tuple[float, float] | None = None,
    mean: Mean = "constant",
) -> EstimatedNoise:
    """Noise of images whose correlation is a product, phi**i psi**j between pixels i down and j across.

    Parameters
    ----------
    patches : array_like, shape (m, height, width)
        Independent patches of noise.
    shape : (int, int)
        Height and width of the audited input.
    correlations : (float, float), optional
        phi and psi; estimated from the patches, if they are not known.
    mean : "constant" or "zero"
    """
    values = as_sample(patches, "the patches")
    if np.ndim(shape) != 1 or len(shape) != 2:
        raise OptionError(f"shape is {shape!r}; give the height and the width of the audited input.")
    height, width = (_length(n) for n in shape)
    if values.ndim != 3:
        raise NoiseError(f"patches has shape {values.shape}; give (patches, height, width).")
    known = correlations is not None
    phi, psi = correlations if correlations is not None else (_lag_one(values, k, mean) for k in (1, 2))

    def of(height: int, width: int) -> Floats:
        down, across = (toeplitz(_phi(c) ** np.arange(n)) for c, n in ((phi, height), (psi, width)))
        return np.asarray(np.kron(down, across))

    flat = values.reshape(len(values), -1)
    white, freedom = _whitened(flat, of(*values.shape[1:]), mean)
    used = (
        f"{len(values)} patches of {values.shape[1]} x {values.shape[2]} pixels with correlations "
        f"{phi:.4g} and {psi:.4g}"
    )
    source = _source(used, freedom, mean)
    return _correlated(of(height, width), white, source, freedom, known, values)


def low_rank_noise(samples: ArrayLike, rank: int) -> EstimatedNoise:
    """Variation between units: a few common factors and a variance of its own for every element.

    Parameters
    ----------
    samples : array_like, shape (m, ...)
        Independent units, each of the audited input's shape.
    rank : int
        Number of factors: the greatest principal components.

    Returns
    -------
    EstimatedNoise
        Without degrees of freedom: every entry of the matrix is an estimate, no chi-square law holds, and the
        certificate is conditional on it.
    """
    values = as_sample(samples, "the samples")
    flat = values.reshape(len(values), -1)
    count = _length(rank)
    if not count < min(len(flat) - 1, flat.shape[1]):
        raise NoiseError(f"rank is {rank}; {len(flat)} samples of {flat.shape[1]} numbers allow less.")
    centred = flat - flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred / np.sqrt(len(flat) - 1), full_matrices=False)
    factors = directions[:count].T * sizes[:count]
    own = np.maximum((centred**2).sum(axis=0) / (len(flat) - 1) - (factors**2).sum(axis=1), 0.0)
    if not (own > 0).any():
        raise NoiseError("the samples do not vary beyond their factors; choose a smaller rank.")
    own = np.maximum(own, own[own > 0].min())  # so that the matrix is definite
    source = (
        f"Covariance of rank {count} plus diagonal estimated from {len(flat)} units, declared independent of "
        "the audited input. All of it is estimated, so it is inserted as known: the certificate is "
        "conditional on it."
    )
    residuals = (centred - centred @ directions[:count].T @ directions[:count]) / np.sqrt(own)
    sample = NoiseSample.of(residuals)
    covariance = LowRankCovariance(own, factors)
    return EstimatedNoise(covariance, Fraction(1), None, source, False, sample, values)


def noise_outside(x: ArrayLike, outside: ArrayLike) -> EstimatedNoise:
    """Independent noise, its variance from elements of the audited input itself with a constant mean.

    Parameters
    ----------
    x : array_like
        The audited input.
    outside : array_like of bool
        Elements that the contrast cannot reach, fixed before the selection was seen.

    Returns
    -------
    EstimatedNoise
        Without degrees of freedom. The network saw these elements, so that s**2 is not independent of the
        selection: neither the t law nor any other on the line is exact.
    """
    values, mine = as_sample(x, "x"), np.asarray(outside, dtype=bool)
    if mine.shape != values.shape:
        raise NoiseError(f"outside has shape {mine.shape}, x has {values.shape}.")
    sample = as_sample(values[mine], "what lies outside")
    freedom = _freedom(sample.size - 1)
    residuals = sample - sample.mean()
    source = (
        f"Variance estimated from {sample.size} elements of the audited input itself (overlapping with "
        "it), as if their mean were constant. The network saw them, so that the covariance is not "
        "independent of the selection, as the law assumes: the value is inserted as known, and the "
        "certificate is conditional on it."
    )
    return EstimatedNoise(
        None, _square(residuals, freedom), None, source, True, NoiseSample.of(residuals, recorded=sample)
    )


def _correlated(
    shape: Floats, white: Floats, source: str, freedom: int, known: bool, recorded: Floats
) -> EstimatedNoise:
    if not known:
        source += " The correlation was estimated, too: the law is conditional on it."
    square = _square(white, freedom)
    return EstimatedNoise(shape, square, freedom, source, known, NoiseSample.of(white), recorded)


def _whitened(values: Floats, shape: Floats, mean: Mean) -> tuple[Floats, int]:
    """Residuals as of independent noise, and their degrees of freedom."""
    if not np.array_equal(shape, shape.T):
        raise NoiseError("the correlation is not symmetric.")
    try:
        root = np.linalg.cholesky(shape)
    except np.linalg.LinAlgError:
        raise NoiseError("the correlation is not positive definite.") from None
    white = solve_triangular(root, values.T, lower=True).T
    if _mean(mean) == "zero":
        return white, _freedom(white.size)
    one = np.tile(solve_triangular(root, np.ones(values.shape[1]), lower=True), (len(values), 1))
    return white - one * ((one * white).sum() / (one * one).sum()), _freedom(white.size - 1)


def _square(residuals: Floats, freedom: int) -> Fraction:
    total = float(np.sum(np.square(residuals)))
    if not 0 < total < np.inf:
        raise NoiseError("the noise sample is constant, or too large: there is no variance to estimate.")
    return Fraction(total / freedom)


def _lag_one(values: Floats, axis: int, mean: Mean) -> float:
    """Correlation of neighbours along an axis of (samples, ...)."""
    away = values - values.mean() if mean == "constant" else values
    n = values.shape[axis]
    first, last = np.take(away, np.arange(n - 1), axis), np.take(away, np.arange(1, n), axis)
    found = float((first * last).sum() / np.square(away).sum() * n / max(n - 1, 1))
    return min(max(found, -0.99), 0.99)


def _phi(value: Any) -> float:
    phi = float(value)
    if not -1 < phi < 1:
        raise OptionError(f"a correlation is {value}; it must be between -1 and 1.")
    return phi


def _length(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise OptionError(f"a size is {value!r}; it must be a positive integer.")
    return int(value)


def _mean(mean: Mean) -> Mean:
    if mean not in ("zero", "constant"):
        raise OptionError(f"mean is {mean!r}; choose zero or constant.")
    return mean


def _freedom(count: int) -> int:
    if count < 1:
        raise NoiseError("the noise sample leaves no degree of freedom: give more numbers.")
    return int(count)


def _source(used: str, freedom: int, mean: Mean) -> str:
    known = " whose mean is declared zero" if mean == "zero" else ""
    return (
        f"Variance estimated from {used}{known}, {freedom} degrees of freedom, declared independent of the "
        "audited input."
    )
