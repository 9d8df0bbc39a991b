"""Auditor's noise: select and test on the input plus Gaussian noise of known variance.

It needs no new mathematics, as the sum is Gaussian with covariance Sigma + tau**2 I, and repairs what grey
levels on a lattice and heavy tails do to a p-value, at a cost in power.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from inference.covariance import LowRankCovariance, dense_sparse
from inference.noise import Noise
from symbolic.errors import NoiseError, OptionError
from symbolic.reading.arrays import as_exact_array, as_floats
from symbolic.reading.exact import exact_number

__all__ = ["AuditorsNoise", "auditors_noise"]

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, eq=False)
class AuditorsNoise:
    """An input with noise, and the covariance of both together.

    Attributes
    ----------
    x : ndarray of float64
        The input plus the noise, rounded to doubles once.
    var : Fraction, ndarray, sparse matrix or LowRankCovariance
        Sigma + tau**2 I, in the kind of Sigma.
    variance : Fraction
        tau**2.
    seed : int
        Of NumPy's default generator.
    source : str
        Words for the certificate, to be put behind those about Sigma.
    """

    x: NDArray[np.float64]
    var: Any
    variance: Fraction
    seed: int
    source: str


def auditors_noise(x: ArrayLike, var: Any, variance: Any, seed: int) -> AuditorsNoise:
    """Add noise of known variance to an input, before anybody has looked at the selection.

    Parameters
    ----------
    x : array_like
        The input.
    var : number or array_like
        Known covariance of its noise: a scalar, variances, or a matrix. (With an estimated scale the sum has
        no exact law: the one part of its covariance is known, the other is not.)
    variance : number
        tau**2 of the noise that is added.
    seed : int
        Chosen beforehand, and recorded.

    Raises
    ------
    NoiseError, OptionError
    """
    if hasattr(var, "degrees_of_freedom") and var.degrees_of_freedom is not None:
        raise NoiseError(
            "auditor's noise needs a known variance: with an estimated one the sum has no exact law."
        )
    added = exact_number(variance, "variance", error=NoiseError)
    if added <= 0:
        raise NoiseError(f"variance is {variance}; the added noise needs a positive one.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= LARGEST_SEED:
        raise OptionError(f"seed is {seed!r}; it must be an integer from 0 to {LARGEST_SEED}.")
    values = as_floats(as_exact_array(x, "x"), "x").astype(np.float64)
    known = Noise.of(var, values.size)
    normal = np.random.default_rng(int(seed)).standard_normal(values.shape)
    total: Any
    if known.value is not None:
        total = known.value + added
    else:
        total = _with_diagonal(known, float(added))
    source = (
        f"Auditor's noise of variance {float(added):.6g}, drawn from seed {int(seed)}, was added to the "
        "input before "
        "the selection; this costs power."
    )
    return AuditorsNoise(values + np.sqrt(float(added)) * normal, total, added, int(seed), source)


def _with_diagonal(known: Noise, added: float) -> Any:
    """Sigma + tau**2 I in the kind of Sigma: float sums, read as the rationals that they are."""
    array = np.asarray(known.array, dtype=np.float64)
    if known.kind == "low-rank":
        return LowRankCovariance(array[:, 0] + added, array[:, 1:])
    if known.kind == "sparse":
        return dense_sparse(array) + added * sparse.eye_array(known.size, format="csr")
    return array + added if known.kind == "diagonal" else array + added * np.eye(known.size)
