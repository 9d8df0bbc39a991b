"""Systems of linear inequalities with integer entries, in compressed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids

__all__ = ["Inequalities", "Row"]


@dataclass(frozen=True)
class Row:
    """sum of numbers[j] x[columns[j]] <= bound, or < where ``strict``."""

    columns: tuple[int, ...]
    numbers: tuple[int, ...]
    bound: int
    strict: bool = False


@dataclass(frozen=True, eq=False)
class Inequalities:
    """Rows A x <= c.

    Attributes
    ----------
    pointers, columns, numbers : ndarray
        Row k holds ``numbers[j]`` (Python integers) at ``columns[j]``, j from ``pointers[k]`` on.
    bounds : ndarray of object
        Python integers.
    strict : ndarray of bool
        Whether a row means < instead.
    width : int
        Columns of A.
    """

    pointers: Ids
    columns: Ids
    numbers: NDArray[Any]
    bounds: NDArray[Any]
    strict: NDArray[np.bool_]
    width: int

    @classmethod
    def of(cls, rows: Sequence[Row], width: int) -> Inequalities:
        """From rows."""
        pointers = np.cumsum([0, *(len(row.columns) for row in rows)])
        columns = np.array([j for row in rows for j in row.columns], dtype=np.int64)
        numbers, bounds = np.empty(len(columns), dtype=object), np.empty(len(rows), dtype=object)
        numbers[:] = [v for row in rows for v in row.numbers]
        bounds[:] = [row.bound for row in rows]
        strict = np.array([row.strict for row in rows], dtype=bool)
        return cls(pointers, columns, numbers, bounds, strict, width)

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, k: int) -> Row:
        part = slice(self.pointers[k], self.pointers[k + 1])
        columns, numbers = tuple(self.columns[part].tolist()), tuple(self.numbers[part].tolist())
        return Row(columns, numbers, int(self.bounds[k]), bool(self.strict[k]))

    def at(self, places: NDArray[Any]) -> Inequalities:
        """Some of the rows."""
        starts, counts = self.pointers[places], np.diff(self.pointers)[places]
        pointers = np.concatenate([[0], np.cumsum(counts)])
        entries = np.repeat(starts - pointers[:-1], counts) + np.arange(pointers[-1])
        bounds, strict = self.bounds[places], self.strict[places]
        return Inequalities(
            pointers, self.columns[entries], self.numbers[entries], bounds, strict, self.width
        )

    def lowest_terms(self) -> Inequalities:
        """Every row without the common factor of its entries."""
        numbers, bounds = self.numbers.copy(), self.bounds.copy()
        for k, (start, stop) in enumerate(zip(self.pointers[:-1], self.pointers[1:], strict=True)):
            common = gcd(*numbers[start:stop].tolist(), bounds[k])
            if common > 1:
                numbers[start:stop] //= common
                bounds[k] //= common
        return Inequalities(self.pointers, self.columns, numbers, bounds, self.strict, self.width)

    def products(self, x: Sequence[Fraction]) -> list[Fraction]:
        """A x, exactly."""
        common = lcm(*(v.denominator for v in x))
        whole = np.empty(len(x), dtype=object)
        whole[:] = [int(v * common) for v in x]
        sums = np.zeros(len(self), dtype=object)
        used = np.diff(self.pointers) > 0
        if used.any():
            sums[used] = np.add.reduceat(self.numbers * whole[self.columns], self.pointers[:-1][used])
        return [Fraction(v, common) for v in sums.tolist()]

    def hold(self, x: Sequence[Fraction]) -> list[bool]:
        """Which rows a point satisfies."""
        rows = zip(self.products(x), self.bounds.tolist(), self.strict.tolist(), strict=True)
        return [left < right or (left == right and not strict) for left, right, strict in rows]

    @cached_property
    def shifts(self) -> list[int]:
        """Such that no entry of a row over 2**shift exceeds 1."""
        found = np.ones(len(self), dtype=np.int64)
        used = np.diff(self.pointers) > 0
        if used.any():
            lengths = np.array([v.bit_length() for v in self.numbers.tolist()])
            found[used] = np.maximum.reduceat(lengths, self.pointers[:-1][used])
        return [int(v) for v in found]

    @cached_property
    def floats(self) -> tuple[Array, Array]:
        """A and c, rounded, with the rows divided by powers of two so that the greatest entry is about 1."""
        matrix = np.zeros((len(self), self.width))
        whole = [1 << shift for shift in self.shifts]
        rows = np.repeat(np.arange(len(self)), np.diff(self.pointers))
        entries = zip(self.numbers.tolist(), rows.tolist(), strict=True)
        matrix[rows, self.columns] = [v / whole[k] for v, k in entries]
        bounds = [_quotient(v, s) for v, s in zip(self.bounds.tolist(), whole, strict=True)]
        return matrix, np.array(bounds)


def _quotient(value: int, over: int) -> float:
    """A rounded quotient; infinite beyond all floats."""
    try:
        return value / over
    except OverflowError:
        return float("inf") if value > 0 else -float("inf")
