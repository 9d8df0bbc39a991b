"""What can be measured on a sample of noise: its lattice, its heaps, the correlation of neighbours."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, binom, norm

from symbolic.errors import InputError, NoiseError
from symbolic.reading.arrays import as_exact_array

__all__ = [
    "as_sample",
    "clipped_ends",
    "lattice_step",
    "neighbour_correlation",
    "quantile_band",
    "share_expected",
    "too_many",
]

Floats = NDArray[np.float64]
FINEST = 1e-6
"""A lattice finer than this many standard deviations is no lattice: every double sits on one."""
FINEST_ROUNDED = 1e-3
"""The same for a lattice that its values only come close to, as multiples of 0.1 do."""
FEWEST = 8
"""Distinct values below which closeness to a lattice may be chance."""
MOST_POINTS = 400


def lattice_step(values: Floats, sd: float) -> tuple[Fraction | None, bool]:
    """Find the coarsest lattice that holds all values.

    Parameters
    ----------
    values : ndarray of float64
        Finite numbers.
    sd : float
        Their standard deviation.

    Returns
    -------
    step : Fraction or None
        Distance of neighbouring points of the lattice; None if it is below 1e-6 ``sd``.
    exact : bool
        The greatest common divisor of the differences of the values, which are taken as the rationals that
        they are. Otherwise the values are multiples of the step to about single precision, as decimal
        fractions are, and the step is rounded.
    """
    distinct = np.unique(values)
    if len(distinct) < 2 or not sd > 0:
        return None, True
    exact = _exact_step(distinct, Fraction(sd) * Fraction(FINEST))
    if exact is not None:
        return exact, True
    near = _near_step(distinct, sd) if len(distinct) >= FEWEST else None
    return near, near is None


def _exact_step(distinct: Floats, finest: Fraction) -> Fraction | None:
    small = _as_small_integers(distinct)
    if small is not None:
        whole, unit = small
        step = int(np.gcd.reduce(np.diff(whole))) * unit
        return step if step >= finest else None
    first, step = Fraction(float(distinct[0])), Fraction(0)
    for value in distinct[1:].tolist():  # of values on no lattice, a few suffice
        difference = Fraction(value) - first
        common = lcm(step.denominator, difference.denominator)
        step = Fraction(gcd(int(step * common), int(difference * common)), common)
        if step < finest:
            return None
    return step


def _as_small_integers(distinct: Floats) -> tuple[NDArray[np.int64], Fraction] | None:
    """Multiples of a power of two, where 64 bits hold them."""
    mantissas, exponents = np.frexp(distinct[distinct != 0])
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    lowest = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)  # powers of two: exact
    unit = int((exponents - 53 + lowest).min())
    if int(exponents.max()) - unit > 61:
        return None
    scale = Fraction(2) ** unit
    if abs(unit) > 1000:  # ldexp below would leave the doubles
        return None
    return np.ldexp(distinct, -unit).astype(np.int64), scale


def _near_step(distinct: Floats, sd: float) -> Fraction | None:
    slack = float(np.abs(distinct).max()) * 2.0**-22
    finest = max(FINEST_ROUNDED * sd, 100 * slack)
    kept = distinct[np.append(True, np.diff(distinct) > 2 * slack)]
    differences = kept[1:] - kept[0]
    if len(differences) < FEWEST - 1:
        return None
    step = float(differences[0])
    for value in differences[1:5000].tolist():
        a, b = value, step
        while b > 2 * slack:
            a, b = b, abs(a - b * round(a / b))
        if a < finest:
            return None
        step = value / round(value / a)  # the longer the distance, the better it tells the step
    if (np.abs(differences - step * np.rint(differences / step)) > 4 * slack).any():
        return None
    return Fraction(step)


def share_expected(at: float, width: float) -> float:
    """Share of standard normal numbers that a lattice cell of this width holds, at least 1e-6."""
    return max(float(norm.cdf(at + width / 2) - norm.cdf(at - width / 2)), FINEST)


def too_many(count: int, size: int, share: float, looks: int = 1) -> bool:
    """Whether ``count`` of ``size`` has a probability below 1e-4, searched over ``looks`` places."""
    return count >= 2 and bool(binom.sf(count - 1, size, min(1.0, share)) * looks < 1e-4)


def neighbour_correlation(values: Floats, axis: int, lag: int = 1) -> tuple[float, float, float]:
    """Correlation of neighbours along one axis (Moran's I), and what independent Gaussian noise shows.

    Returns
    -------
    correlation, expected, sd : float
        ``expected`` and ``sd`` are exact for independent Gaussian numbers of equal variance whose mean was
        estimated (Cliff and Ord). All three are NaN if the axis is shorter than ``lag + 1``.
    """
    long, size = values.shape[axis], values.size
    if long <= lag or size < 3:
        return np.nan, np.nan, np.nan
    moved = np.moveaxis(values - values.mean(), axis, 0)
    pairs = (long - lag) * (size // long)
    degrees = np.zeros(long)
    degrees[:-lag] += 1
    degrees[lag:] += 1
    total = float((moved[:-lag] * moved[lag:]).sum()) / pairs
    power = float((moved**2).mean())
    weight, s1, s2 = 2.0 * pairs, 4.0 * pairs, 4.0 * float((degrees**2).sum()) * (size // long)
    expected = -1 / (size - 1)
    square = (size**2 * s1 - size * s2 + 3 * weight**2) / (weight**2 * (size**2 - 1))
    return total / power, expected, float(np.sqrt(max(square - expected**2, 0.0)))


def quantile_band(size: int, level: float = 0.95) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """A band that the whole QQ plot of a Gaussian sample stays in.

    Every order statistic gets a band of the same local level, which simulated samples choose (2,000, from a
    fixed seed) so that all stay inside at once with probability ``level``. A sample that is standardised by
    its own mean and standard deviation strays less, so the band is generous to it.

    Returns
    -------
    ranks : ndarray of int
        From 1; at most 400 of them, dense in the tails.
    middle, low, high : ndarray of float64
        Normal quantiles, in standard deviations.
    """
    ranks = np.arange(1, size + 1)
    if size > MOST_POINTS:
        tail = np.unique(np.geomspace(1, size / 2, MOST_POINTS // 2).astype(np.int64))
        ranks = np.unique(np.concatenate([tail, size + 1 - tail]))
    rng = np.random.default_rng(20260)
    gaps = np.diff(np.concatenate([[0], ranks, [size + 1]]))
    steps = np.cumsum(rng.gamma(gaps, size=(2000, len(gaps))), axis=1)
    uniform = steps[:, :-1] / steps[:, -1:]
    below = beta.cdf(uniform, ranks, size + 1 - ranks)
    local = float(np.quantile(2 * np.minimum(below, 1 - below).min(axis=1), 1 - level))
    low, high = (beta.ppf(q, ranks, size + 1 - ranks) for q in (local / 2, 1 - local / 2))
    return ranks, norm.ppf((ranks - 0.5) / size), norm.ppf(low), norm.ppf(high)


def as_sample(values: ArrayLike, name: str) -> Floats:
    """Read a sample as float64, read-only.

    Raises
    ------
    NoiseError
        Fewer than two numbers, all of them equal, or not finite numbers that doubles hold.
    """
    try:
        array = as_exact_array(values, name)
    except InputError as error:
        raise NoiseError(f"{error} Give finite numbers.") from None
    with np.errstate(over="ignore"):
        floats: Floats = np.atleast_1d(array).astype(np.float64)
        if floats.size < 2:
            raise NoiseError(f"{name} has one number; a variance needs two at least.")
        if (floats == floats.flat[0]).all():
            raise NoiseError(f"{name} is constant, so it shows no noise; give numbers that vary.")
        power = float(floats.std())
    if not (np.isfinite(power) and power > 1e-150):
        raise NoiseError(f"{name} has a spread beyond the reach of doubles; choose another unit.")
    floats.flags.writeable = False
    return floats


def clipped_ends(values: Floats, sd: float, counts: tuple[int, int], ratio: float) -> tuple[bool, bool]:
    """Whether the least and the greatest value hold more numbers than Gaussian noise puts there.

    Parameters
    ----------
    values : ndarray of float64
        One-dimensional.
    sd, ratio : float
        Their standard deviation, and the step of their lattice in units of it.
    counts : (int, int)
        How many lie at either end.
    """
    mean, size = float(values.mean()), values.size
    cut = []
    for count, end in zip(counts, (float(values.min()), float(values.max())), strict=True):
        at = abs(end - mean) / sd
        heap = too_many(count, size, share_expected(at, ratio))
        nothing_beyond = size * float(norm.sf(at + ratio / 2)) > 10
        cut.append(count >= 2 and count / size > 1e-3 and (heap or nothing_beyond))
    return cut[0], cut[1]
