"""The declared noise of the input: its covariance, in one of five kinds, kept exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from inference.covariance import (
    LowRankCovariance,
    dense_sparse,
    require_definite,
    sparse_entries,
    sparse_times,
)
from symbolic.errors import NoiseError
from symbolic.reading.arrays import as_exact_array, fractions_of
from symbolic.reading.exact import exact_number

__all__ = ["Noise"]

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Noise:
    """Covariance of the noise.

    Attributes
    ----------
    kind : "scalar", "diagonal", "full", "low-rank" or "sparse"
        One variance, one per element, or a matrix.
    value : Fraction or None
        The scalar variance, exactly.
    array : ndarray or None
        The diagonal or the matrix as given; each entry is the rational it is. Of a matrix of low rank plus
        diagonal (d, F), shape (n, 1 + k); of a sparse one (i, j, value) of its upper triangle, shape (m, 3).
    source : str or None
        Where the variance comes from, in the user's words.
    degrees_of_freedom : Fraction or None
        Of an estimated variance.
    second : Fraction
        The covariance of the second of two halves (input and reference) is so many times that of the first.
    """

    kind: Literal["scalar", "diagonal", "full", "low-rank", "sparse"]
    value: Fraction | None
    array: NDArray[Any] | None
    source: str | None = None
    degrees_of_freedom: Fraction | None = None
    second: Fraction = Fraction(1)

    def __str__(self) -> str:
        size = f"variance {float(self.value):.6g}" if self.value is not None else f"{self.kind} covariance"
        nu = self.degrees_of_freedom
        known = "inserted as known" if nu is None else f"estimated on {nu} degrees of freedom"
        return f"{size}, {known}. {self.source or 'Where it comes from is not stated.'}"

    @classmethod
    def of(
        cls,
        var: Any,
        size: int,
        *,
        halves: bool = False,
        second: Fraction = Fraction(1),
        source: str | None = None,
    ) -> Noise:
        """Read and check a variance.

        Parameters
        ----------
        var : number, str, Fraction, array_like, SciPy sparse matrix, LowRankCovariance or EstimatedNoise
            A scalar, ``size`` variances, or a ``size`` x ``size`` matrix; or what an estimator returned,
            with its degrees of freedom and its source.
        size : int
            Length of the noise vector.
        halves : bool
            The vector consists of two halves (input and reference); a diagonal or matrix of half the length
            is used for each of them independently.
        second : Fraction
            The covariance of the second half is so many times that of the first.

        Raises
        ------
        NoiseError
            A variance that is not positive, a matrix that is not symmetric or not positive definite, or a
            wrong length.
        """
        if second != 1:
            half = cls.of(var, size, halves=halves, source=source)
            if half.size == size:
                raise NoiseError("reference_scale needs the variances of the input alone.")
            return replace(half, second=second)
        if hasattr(var, "degrees_of_freedom"):
            known = cls.of(var.var, size, halves=halves, source=source or var.source)
            freedom = var.degrees_of_freedom
            return known if freedom is None else known.estimated(freedom)
        if isinstance(var, (int, float, str, Fraction, np.generic)) or np.ndim(var) == 0:
            value = exact_number(var.item() if isinstance(var, np.ndarray) else var, "var", error=NoiseError)
            if value <= 0:
                raise NoiseError(f"var is {value}; a variance must be positive.")
            return cls("scalar", value, None, source)
        sizes = (size // 2, size) if halves else (size,)
        if isinstance(var, LowRankCovariance):
            return cls("low-rank", None, var.table, source)._fitting(sizes)
        if sparse.issparse(var):
            entries = sparse_entries(var)
            require_definite(dense_sparse(entries))
            return cls("sparse", None, entries, source)._fitting(sizes)
        array = as_exact_array(var, "var")
        if array.size == 1:
            return cls.of(fractions_of(array.reshape(1))[0], size, halves=halves, source=source)
        if array.ndim == 2 and array.shape[0] == array.shape[1] and array.shape[0] in sizes:
            if not np.array_equal(array, array.T):
                raise NoiseError("the covariance matrix is not symmetric; symmetrise it before the audit.")
            if not (np.diag(array) > 0).all():
                raise NoiseError("the covariance matrix has a variance that is not positive.")
            require_definite(array)
            return cls("full", None, array, source)
        if array.size in sizes and (array.ndim != 2 or array.size != array.shape[0] ** 2):
            flat = array.reshape(-1)
            if not (flat > 0).all():
                raise NoiseError("var has an entry that is not positive; every variance must be.")
            return cls("diagonal", None, flat, source)
        lengths = " or ".join(str(s) for s in sizes)
        raise NoiseError(
            f"var has shape {array.shape}; give a number, {lengths} variances, or a square matrix of that "
            "size."
        )

    def _fitting(self, sizes: Sequence[int]) -> Noise:
        if self.size in sizes:
            return self
        lengths = " or ".join(str(s) for s in sizes)
        raise NoiseError(f"var is a covariance of {self.size} elements; it must be one of {lengths}.")

    @property
    def size(self) -> int:
        """Elements that the covariance is of; 1 of a scalar."""
        if self.array is None:
            return 1
        return int(self.array[:, 1].max()) + 1 if self.kind == "sparse" else len(self.array)

    @property
    def variances(self) -> NDArray[np.float64]:
        """The diagonal, in float64."""
        if self.array is None:
            return np.array([float(self.value or 0)])
        array = self.array.astype(np.float64)
        if self.kind == "low-rank":
            return np.asarray(array[:, 0] + np.square(array[:, 1:]).sum(axis=1))
        if self.kind == "sparse":
            return np.asarray(dense_sparse(array).diagonal())
        return array if self.kind == "diagonal" else np.diag(array)

    def drawn(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """One draw of so many elements, in blocks of the covariance's size.

        Raises
        ------
        NoiseError
            A matrix without a Cholesky factor.
        """
        normal = rng.standard_normal(size)
        if self.array is None:
            return np.asarray(np.sqrt(float(self.value or 0)) * normal)
        array, blocks = self.array.astype(np.float64), normal.reshape(-1, self.size)
        if self.kind == "diagonal":
            return np.asarray((blocks * np.sqrt(array)).reshape(-1))
        if self.kind == "low-rank":
            common = rng.standard_normal((len(blocks), array.shape[1] - 1)) @ array[:, 1:].T
            return np.asarray((blocks * np.sqrt(array[:, 0]) + common).reshape(-1))
        return np.asarray((blocks @ self._root.T).reshape(-1))

    @cached_property
    def _root(self) -> NDArray[np.float64]:
        """The Cholesky factor of a full or sparse matrix."""
        array = np.asarray(self.array, dtype=np.float64)
        try:
            return np.linalg.cholesky(dense_sparse(array).toarray() if self.kind == "sparse" else array)
        except np.linalg.LinAlgError:
            raise NoiseError("noise of a covariance without a Cholesky factor cannot be drawn.") from None

    def estimated(self, degrees_of_freedom: Any) -> Noise:
        """The same covariance, its scale being estimated on so many degrees of freedom."""
        freedom = exact_number(degrees_of_freedom, "degrees_of_freedom", error=NoiseError)
        if freedom <= 0:
            raise NoiseError(f"degrees_of_freedom is {degrees_of_freedom}; it must be positive.")
        return replace(self, degrees_of_freedom=freedom)

    def times(self, eta: Sequence[Fraction]) -> list[Fraction]:
        """Sigma eta, exactly."""
        if self.second != 1:
            half, same = len(eta) // 2, replace(self, second=Fraction(1))
            return same.times(eta[:half]) + [self.second * v for v in same.times(eta[half:])]
        if self.kind == "scalar" and self.value is not None:
            value = self.value
            # contrasts repeat few objects
            products = {id(e): value * e for e in {id(e): e for e in eta}.values()}
            return [products[id(e)] for e in eta]
        array = self.array
        if array is None:
            raise NoiseError("the covariance has no entries.")
        size = self.size
        result: list[Fraction] = []
        for start in range(0, len(eta), size):  # one block, or the two halves
            part = eta[start : start + size]
            if self.kind == "diagonal":
                result += [v * e for v, e in zip(fractions_of(array), part, strict=True)]
            elif self.kind == "sparse":
                result += sparse_times(array, part)
            elif self.kind == "low-rank":
                own = [v * e for v, e in zip(fractions_of(array[:, 0]), part, strict=True)]
                common = _matrix_times(array[:, 1:], _matrix_times(array[:, 1:].T, part))
                result += [a + b for a, b in zip(own, common, strict=True)]
            else:
                result += _matrix_times(array, part)
        return result


def _matrix_times(matrix: NDArray[Any], eta: Sequence[Fraction]) -> list[Fraction]:
    used = [k for k, e in enumerate(eta) if e]
    if not used:
        return [Fraction(0)] * len(matrix)
    columns = np.ascontiguousarray(matrix[:, used])
    weights = [eta[k] for k in used]
    common = int(np.lcm.reduce(np.array([w.denominator for w in weights], dtype=object)))
    whole = np.array([int(w * common) for w in weights], dtype=object)
    result: list[Fraction] = []
    for first in range(0, len(matrix), ROWS_AT_ONCE):
        block = columns[first : first + ROWS_AT_ONCE]
        entries = fractions_of(block.reshape(-1))
        shared = max(e.denominator for e in entries)  # powers of two: the largest is common
        if any(shared % e.denominator for e in entries[:64]):
            shared = int(np.lcm.reduce(np.array([e.denominator for e in entries], dtype=object)))
        table = np.array([e.numerator * (shared // e.denominator) for e in entries], dtype=object)
        sums = table.reshape(block.shape).dot(whole)
        result += [Fraction(int(s), shared * common) for s in sums]
    return result
