"""Covariances of noise: that they are ones, and what they make of a vector, in exact numbers.

A matrix of low rank plus diagonal is a table (d, F), Sigma = diag(d) + F F'. A sparse one is a table of rows
(i, j, value), i <= j, of its upper triangle.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from verifier.check.errors import InvalidCertificate
from verifier.check.numbers.integers import EXACT, Arithmetic, Array, Form, objects
from verifier.check.numbers.products import Weights, linear

__all__ = ["OTHERS", "definite"]

TOLERANCE = Fraction(1, 10**12)
LARGEST_MATRIX = 1 << 24
Vector = list[Fraction]
Times = Callable[[Vector], Vector]
Sizes = tuple[int, ...]
Entries = dict[tuple[int, int], float]
SHAPE = "the covariance does not have the shape of the noise vector"


def definite(var: Array) -> Form:
    """The exact entries of a full matrix that is symmetric and positive definite up to the tolerance."""
    if var.size > LARGEST_MATRIX:
        raise InvalidCertificate(f"a covariance of more than {LARGEST_MATRIX} entries is not checked")
    if not np.array_equal(var, var.T):
        raise InvalidCertificate("the covariance is not symmetric")
    ar = Arithmetic(EXACT)
    sigma = ar.constant(var.astype(np.float64) if var.dtype.kind == "f" else var)
    _require_definite(ar, sigma, var)
    return sigma


def low_rank(table: Array, sizes: Sizes) -> tuple[int, Times]:
    """diag(d) + F F', which is positive definite as d > 0."""
    if table.ndim != 2 or table.shape[1] < 1 or table.dtype != np.float64 or not np.isfinite(table).all():
        raise InvalidCertificate("a covariance of low rank is a table (d, F) of finite numbers")
    if len(table) not in sizes:
        raise InvalidCertificate(SHAPE)
    own, *factors = ([Fraction(v) for v in column] for column in table.T.tolist())
    if min(own) <= 0:
        raise InvalidCertificate("the diagonal of a covariance of low rank is not positive")

    def times(x: Vector) -> Vector:
        result = [d * v for d, v in zip(own, x, strict=True)]
        for factor in factors:
            inner = sum((f * v for f, v in zip(factor, x, strict=True) if v), Fraction(0))
            result = [r + inner * f for r, f in zip(result, factor, strict=True)]
        return result

    return len(own), times


def sparse(table: Array, sizes: Sizes) -> tuple[int, Times]:
    """A symmetric matrix; definite part by part, where elements hang together by its entries."""
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype != np.float64 or not np.isfinite(table).all():
        raise InvalidCertificate("a sparse covariance is a table of rows (i, j, value) of finite numbers")
    size = int(table[:, 1].max(initial=-1)) + 1
    if size not in sizes:
        raise InvalidCertificate(SHAPE)
    entries: dict[tuple[int, int], float] = {}
    for i, j, value in table.tolist():
        if not (0 <= i <= j < size and i == int(i) and j == int(j)) or (i, j) in entries:
            raise InvalidCertificate("a row of the sparse covariance is no entry of its upper triangle")
        entries[int(i), int(j)] = value
    for members, block in _parts(size, entries):
        if len(members) ** 2 > LARGEST_MATRIX:
            raise InvalidCertificate(
                f"a covariance with more than {LARGEST_MATRIX} entries that hang together is not checked"
            )
        _require_part(members, block)
    exact = {at: Fraction(value) for at, value in entries.items()}

    def times(x: Vector) -> Vector:
        result = [Fraction(0)] * size
        for (i, j), value in exact.items():
            if x[j]:
                result[i] += value * x[j]
            if i != j and x[i]:
                result[j] += value * x[i]
        return result

    return size, times


def _parts(size: int, entries: Entries) -> list[tuple[list[int], Entries]]:
    """Indices that hang together, and their entries."""
    root = list(range(size))

    def of(i: int) -> int:
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    for i, j in entries:
        root[of(i)] = of(j)
    members: dict[int, list[int]] = {}
    mine: dict[int, Entries] = {}
    for i in range(size):
        members.setdefault(of(i), []).append(i)
    for at, value in entries.items():
        mine.setdefault(of(at[0]), {})[at] = value
    return [(found, mine.get(label, {})) for label, found in members.items()]


def _require_part(members: list[int], entries: Entries) -> None:
    if len(members) == 1:
        if entries.get((members[0], members[0]), 0.0) <= 0:
            raise InvalidCertificate("a variance is not positive")
        return
    place = {member: k for k, member in enumerate(members)}
    block = np.zeros((len(members), len(members)))
    for (i, j), value in entries.items():
        block[place[i], place[j]] = block[place[j], place[i]] = value
    definite(block)


OTHERS: dict[str, Callable[[Array, Sizes], tuple[int, Times]]] = {"low-rank": low_rank, "sparse": sparse}
"""Of each kind: the size of the matrix, one of those that fit, and its product with a vector."""


def _require_definite(ar: Arithmetic, sigma: Form, var: Array) -> None:
    """Sigma + tau*I is positive definite, tau = 1e-12 times the largest variance.

    A float Cholesky factor L of Sigma + tau/2*I is only a guess; the proof is that Sigma + tau*I - L*L' ,
    computed in exact integers, is strictly diagonally dominant with a positive diagonal (Gershgorin).
    """
    n = len(var)
    largest = max(Fraction(v) for v in var.diagonal().tolist())
    if largest <= 0:
        raise InvalidCertificate("the covariance has no positive variance")
    tau = TOLERANCE * largest
    try:
        guess = np.linalg.cholesky(var.astype(np.float64) + float(tau / 2) * np.eye(n))
    except np.linalg.LinAlgError as error:
        raise InvalidCertificate("the covariance is not positive definite") from error
    factor = ar.constant(guess)
    weights = Weights.of(ar, factor.each(lambda a: a[None]))
    columns = factor.each(lambda a: np.ascontiguousarray(a[..., 0].T))
    square = linear(ar, weights, columns, np.arange(n).reshape(1, n, 1))  # (1, n, 1) with n cells: L L'
    square = square.each(lambda a: a.reshape(n, n))
    left, right = ar.aligned([sigma.each(lambda a: a[..., 0]), square])
    rest = left.c - right.c
    unit = Fraction(2) ** left.e
    shift = tau / unit
    diagonal = objects([rest[i, i] for i in range(n)])
    others = np.abs(rest).sum(axis=1) - np.abs(diagonal)
    if any(int(d) + shift <= int(o) for d, o in zip(diagonal, others, strict=True)):
        raise InvalidCertificate(
            "the covariance is not positive definite (tolerance 1e-12 of its largest variance)"
        )
