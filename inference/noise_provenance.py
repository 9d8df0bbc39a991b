"""What a noise sample and an audited input have to do with each other.

The laws of an estimated variance need a sample that the audited input has no part in, and say nothing about
tails that the sample never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.estimated_noise import EstimatedNoise
from inference.noise_sample import NoiseSample
from symbolic.errors import InputError, NoiseError

__all__ = ["require_disjoint", "require_usable", "sample_warnings"]

RUN = 16
"""Consecutive numbers that two samples of one lattice do not share by chance."""
SHARE = 0.05
"""Of the smaller sample: fewer equal numbers may be chance, where float32 is coarse and samples are large."""


def require_usable(noise: EstimatedNoise, parts: Sequence[NDArray[Any]]) -> None:
    """Refuse an estimate that has no law for this input.

    Parameters
    ----------
    noise : EstimatedNoise
    parts : sequence of ndarray
        The audited input, and the reference.

    Raises
    ------
    NoiseError
        The sample shares numbers with the input, or lies on a lattice coarser than its standard deviation.
    """
    if noise.sample.refused:
        raise NoiseError(
            f"the noise sample lies on a lattice of step {noise.sample.step_over_sd:.3g} sd, too coarse for "
            "the normal law: add auditor's noise (sureline.auditors_noise), or use finer data."
        )
    if noise.recorded is None:
        return
    for part in parts:
        shared = _shared(noise, np.asarray(part, dtype=np.float64))
        if shared:
            raise NoiseError(
                f"{shared} of the noise sample's numbers belong to the audited input, so the estimate is not "
                "independent of it: take other data, or sureline.noise_outside, which says so."
            )


def _shared(noise: EstimatedNoise, x: NDArray[np.float64]) -> int:
    """How many numbers of the sample are the input's, as far as that can be told from their values."""
    sample = np.asarray(noise.recorded, dtype=np.float64)
    if noise.sample.step is None:
        found = int(np.isin(sample, x).sum())
        return found if found > max(1.0, SHARE * min(sample.size, x.size)) else 0
    long = min(RUN, x.size, sample.size)
    runs, own = _runs(sample, long), _runs(x, long)
    return long if long > 1 and bool(np.isin(runs, own).any()) else 0


def _runs(values: NDArray[np.float64], long: int) -> NDArray[np.void]:
    """All runs of so many consecutive numbers that are not all the same, each as one item."""
    flat = np.lib.stride_tricks.sliding_window_view(values.ravel(), long)
    flat = np.ascontiguousarray(flat[(flat != flat[:, :1]).any(axis=1)])
    return flat.view(np.dtype((np.void, flat.dtype.itemsize * long))).ravel()


def sample_warnings(sample: NoiseSample, p: float) -> list[str]:
    """What a reader of a p-value must know about the sample that its noise was estimated from."""
    said = [f"the noise sample: {words}" for words in sample.warnings]
    if sample.wants_noise:
        said.append(f"the noise sample: {sample.advice()}")
    if p < sample.smallest_p:
        said.append(
            f"{sample.size} numbers of noise cannot vouch for a tail so rare: report {sample.supported(p)}."
        )
    return said


def require_disjoint(used: ArrayLike, contrast: ArrayLike) -> None:
    """Refuse a noise sample that shares elements with the contrast.

    Parameters
    ----------
    used : array_like of bool
        Elements of the input that the noise sample was taken from.
    contrast : array_like of bool or number, of the same shape
        Elements that the contrast uses: those that are not 0.

    Raises
    ------
    NoiseError
        With the number of elements in both.
    InputError
        Different shapes, or elements that are given by their numbers.
    """
    taken, weights = np.asarray(used), np.asarray(contrast)
    if taken.dtype != bool:
        raise InputError("used holds no booleans; give a mask, not the numbers of elements.")
    if taken.shape != weights.shape:
        raise InputError(f"used has shape {taken.shape}, contrast {weights.shape}.")
    shared = int((taken & (weights != 0)).sum())
    if shared:
        raise NoiseError(f"{shared} elements of the noise sample belong to the contrast; take others.")
