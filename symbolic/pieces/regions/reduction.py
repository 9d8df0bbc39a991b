"""Rows that others imply are removed, each with a proof that anybody can check.

Which rows are tried, and in which order, is found in floats (Clarkson's way: a row is compared with rows that
are known to be needed, and a point beyond it leads to another needed one); what is removed has an exact
proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.regions.farkas import Multipliers, implies, maximised, proof
from symbolic.pieces.regions.inequalities import Inequalities

__all__ = ["Reduction", "is_reduction", "reduction_of"]

RAYS = 256
"""Directions at first: the row that a ray meets first is needed."""


@dataclass(frozen=True)
class Reduction:
    """Which rows are left, and why the others could go.

    Attributes
    ----------
    kept : tuple of int
    removed : tuple of (int, multipliers)
        In this order: each row is implied by rows that are still there when it goes.
    """

    kept: tuple[int, ...]
    removed: tuple[tuple[int, Multipliers], ...]


def is_reduction(system: Inequalities, reduction: Reduction) -> bool:
    """Whether every removed row is proved to be implied by those that were still there, exactly."""
    left = set(range(len(system)))
    for row, multipliers in reduction.removed:
        if row not in left:
            return False
        left.remove(row)
        if not left.issuperset(multipliers) or not implies(system, system[row], multipliers):
            return False
    return left == set(reduction.kept) and len(reduction.kept) == len(left)


def reduction_of(system: Inequalities) -> Reduction:
    """Remove what can be proved to be implied."""
    distinct, removed = _without_multiples(system)
    smaller = system.at(np.array(distinct, dtype=np.int64))
    needed = _Needed(smaller)
    for k in range(len(distinct)):
        multipliers = needed.decide(k)
        if multipliers is not None:
            removed.append((distinct[k], {distinct[i]: v for i, v in multipliers.items()}))
    gone = {k for k, _ in removed}
    return Reduction(tuple(k for k in range(len(system)) if k not in gone), tuple(removed))


def _without_multiples(system: Inequalities) -> tuple[list[int], list[tuple[int, Multipliers]]]:
    """The tightest of the rows that are positive multiples of each other; the others follow from it."""
    best: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[Fraction, bool], int, int]] = {}
    rows = []
    for k in range(len(system)):
        row = system[k]
        common = gcd(*row.numbers) or 1
        key = row.columns, tuple(v // common for v in row.numbers)
        rows.append((key, common))
        tightness = (Fraction(row.bound, common), not row.strict)
        if key not in best or tightness < best[key][0]:
            best[key] = tightness, k, common
    removed: list[tuple[int, Multipliers]] = []
    for k, (key, common) in enumerate(rows):
        _, other, its = best[key]
        if other != k:
            removed.append((k, {other: Fraction(common, its)}))
    gone = {k for k, _ in removed}
    return [k for k in range(len(system)) if k not in gone], removed


class _Needed:
    """Rows that are known to be needed, or could not be removed."""

    def __init__(self, system: Inequalities) -> None:
        self.system = system
        self.matrix, self.bounds = system.floats
        self.norms = np.linalg.norm(self.matrix, axis=1)
        self.norms[self.norms == 0] = 1.0
        self.inner = self._inner_point()
        self.rows: list[int] = []
        for direction in np.random.default_rng(0).normal(size=(RAYS, system.width)):
            self._add(self._first_hit(direction))

    def _inner_point(self) -> Array | None:
        """The centre of a large ball inside, of radius at most 1, in floats."""
        wide = np.concatenate([self.matrix, self.norms[:, None]], axis=1)
        last = np.eye(1, wide.shape[1], wide.shape[1] - 1)
        found = maximised(last[0], np.concatenate([wide, last]), np.concatenate([self.bounds, [1.0]]))
        return None if found is None or not found[0][-1] > 0 else found[0][:-1]

    def _first_hit(self, direction: Array) -> int | None:
        """The first row that a ray from the inner point meets."""
        if self.inner is None:
            return None
        rise = self.matrix @ direction
        slack = self.bounds - self.matrix @ self.inner
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(rise > 0, slack / rise, np.inf)
        k = int(far.argmin()) if far.size else -1
        return k if k >= 0 and np.isfinite(far[k]) else None

    def _add(self, k: int | None) -> bool:
        """Whether a row is new."""
        if k is None or k in self.rows:
            return False
        self.rows.append(k)
        return True

    def decide(self, k: int) -> dict[int, Fraction] | None:
        """A proof from needed rows that a row is implied; without one the row is needed from now on."""
        while k not in self.rows and self.rows:
            found = self._beyond(k)
            if found is None:
                break
            x, multipliers = found
            if multipliers is not None:
                return multipliers
            if self.inner is None or not self._add(self._first_hit(x - self.inner)):
                break
        self._add(k)
        return None

    def _beyond(self, k: int) -> tuple[Array, dict[int, Fraction] | None] | None:
        """A point as far beyond a row as the needed rows allow, or the proof that there is none."""
        some = np.array(self.rows)
        matrix = np.concatenate([self.matrix[some], self.matrix[k : k + 1]])
        bounds = np.append(self.bounds[some], self.bounds[k] + self.norms[k])
        found = maximised(self.matrix[k], matrix, bounds)
        if found is None:
            return None
        x, guess = found
        multipliers = proof(self.system.at(some), self.system[k], guess[:-1])
        if multipliers is None:
            return x, None
        return x, {int(some[i]): v for i, v in multipliers.items()}
