"""Covariances of large inputs that are not written down as full matrices: low rank plus diagonal, and sparse.

Each is one array, in the form in which the certificate stores it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from symbolic.errors import NoiseError
from symbolic.reading.arrays import fractions_of

__all__ = ["LowRankCovariance", "dense_sparse", "require_definite", "sparse_entries", "sparse_times"]

Floats = NDArray[np.float64]
DEFINITENESS_TOLERANCE = Fraction(1, 10**12)
"""Relative to the largest variance: Sigma plus this much of the identity must be positive definite."""
LARGEST_PART = 4096
"""Elements of a sparse covariance that may hang together: definiteness is shown part by part."""


@dataclass(frozen=True, eq=False)
class LowRankCovariance:
    """Sigma = diag(d) + F F'.

    Parameters
    ----------
    diagonal : array_like, shape (n,)
        d, positive.
    factors : array_like, shape (n, k)
        F.
    """

    diagonal: Any
    factors: Any

    @property
    def table(self) -> Floats:
        """(d, F) as one array of shape (n, 1 + k).

        Raises
        ------
        NoiseError
            Numbers that are not finite, a diagonal that is not positive, or shapes that do not go together.
        """
        try:
            own, factors = (np.asarray(a, dtype=np.float64) for a in (self.diagonal, self.factors))
        except (TypeError, ValueError):
            raise NoiseError(
                "the diagonal and the factors of a covariance must be arrays of numbers."
            ) from None
        if own.ndim != 1 or factors.ndim != 2 or len(factors) != len(own):
            raise NoiseError(
                f"the diagonal has shape {own.shape}, the factors {factors.shape}; give (n,) and (n, k)."
            )
        table = np.column_stack([own, factors])
        if not np.isfinite(table).all() or not (own > 0).all():
            raise NoiseError(
                "a covariance of low rank needs finite numbers, and a diagonal that is positive."
            )
        return table

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The full matrix, in float64."""
        table = self.table
        full = np.diag(table[:, 0]) + table[:, 1:] @ table[:, 1:].T
        return np.asarray((full + full.T) / 2, dtype=dtype)

    def __mul__(self, factor: float) -> LowRankCovariance:
        """Sigma times a positive number, in floats."""
        return LowRankCovariance(
            np.asarray(self.diagonal) * factor, np.asarray(self.factors) * np.sqrt(factor)
        )

    __rmul__ = __mul__


def sparse_entries(matrix: Any) -> Floats:
    """The entries of the upper triangle of a SciPy sparse matrix: rows (i, j, value), i <= j, in order.

    Raises
    ------
    NoiseError
        Not square, not symmetric, no finite numbers, or a variance that is not positive.
    """
    coo = sparse.coo_array(matrix)
    coo.sum_duplicates()
    if coo.shape[0] != coo.shape[1]:
        raise NoiseError(f"the covariance has shape {coo.shape}; it must be square.")
    if coo.data.dtype.kind not in "fiu" or not np.isfinite(coo.data).all():
        raise NoiseError("the covariance must hold finite real numbers.")
    if (abs(coo - coo.T)).nnz:
        raise NoiseError("the covariance matrix is not symmetric; symmetrise it before the audit.")
    if not (coo.diagonal() > 0).all():
        raise NoiseError("the covariance matrix has a variance that is not positive.")
    kept = (coo.row <= coo.col) & (coo.data != 0)
    order = np.lexsort((coo.col[kept], coo.row[kept]))
    table = np.column_stack([coo.row[kept], coo.col[kept], coo.data[kept].astype(np.float64)])
    return np.ascontiguousarray(table[order])


def dense_sparse(entries: Floats) -> sparse.csr_array:
    """The matrix of `sparse_entries`."""
    i, j = entries[:, 0].astype(np.int64), entries[:, 1].astype(np.int64)
    size, off = int(j.max()) + 1, i != j
    rows, columns = np.concatenate([i, j[off]]), np.concatenate([j, i[off]])
    values = np.concatenate([entries[:, 2], entries[off, 2]])
    return sparse.csr_array((values, (rows, columns)), shape=(size, size))


def sparse_times(entries: Floats, eta: Sequence[Fraction]) -> list[Fraction]:
    """Sigma eta, exactly."""
    result = [Fraction(0)] * len(eta)
    used = np.array([bool(e) for e in eta])
    i, j = entries[:, 0].astype(np.int64), entries[:, 1].astype(np.int64)
    read = used[i] | used[j]
    values = fractions_of(entries[read, 2])
    for row, column, value in zip(i[read].tolist(), j[read].tolist(), values, strict=True):
        result[row] += value * eta[column]
        if row != column:
            result[column] += value * eta[row]
    return result


def require_definite(matrix: Any) -> None:
    """Raise NoiseError unless a covariance, full or sparse, is positive definite up to the tolerance."""
    if not sparse.issparse(matrix):
        _require_part(np.asarray(matrix, dtype=np.float64))
        return
    count, part = connected_components(matrix, directed=False)
    sizes = np.bincount(part)
    if sizes.max() > LARGEST_PART:
        raise NoiseError(
            f"{sizes.max()} elements of the sparse covariance hang together; up to {LARGEST_PART} can be "
            "shown to be definite. Cut distant correlations, or use LowRankCovariance."
        )
    for label in np.flatnonzero(sizes > 1).tolist():
        mine = np.flatnonzero(part == label)
        _require_part(matrix[mine][:, mine].toarray())


def _require_part(floats: Floats) -> None:
    diagonal = np.diag(floats)
    shift = float(DEFINITENESS_TOLERANCE) * diagonal.max()
    try:
        np.linalg.cholesky(floats + shift * np.eye(len(floats)))
    except np.linalg.LinAlgError:
        raise NoiseError(
            "the covariance matrix is not positive definite (tolerance 1e-12 of its largest variance)."
        ) from None
