"""The polytope of inputs with one activation pattern, exactly, and the affine maps on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError, ModelError
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import Branches, Guards, guards_of
from symbolic.pieces.line import RationalLine
from symbolic.pieces.program import Ids, Program
from symbolic.pieces.regions.gradients import Rows, gradients
from symbolic.pieces.regions.inequalities import Inequalities
from symbolic.pieces.regions.labels import Names, RowLabel
from symbolic.pieces.regions.reduction import Reduction, is_reduction, reduction_of

__all__ = ["AffineMap", "LineRow", "Region", "region"]

TRIES = 8
"""Default directions: each but the first is for points where the one before it lies within a facet."""
SHOWN = 8
"""Rows that are printed."""


@dataclass(frozen=True, eq=False)
class AffineMap:
    """A tensor as an affine function of the flat input: (offset + matrix x) / denominator.

    Attributes
    ----------
    pointers, columns, numbers : ndarray
        The matrix in compressed rows of Python integers.
    offsets : ndarray of object
        Python integers.
    denominator : int
        Common to all entries.
    width : int
        Elements of the input.
    shape : tuple of int
        Of the tensor.
    """

    pointers: Ids
    columns: Ids
    numbers: NDArray[Any]
    offsets: NDArray[Any]
    denominator: int
    width: int
    shape: tuple[int, ...]

    @property
    def matrix(self) -> NDArray[Any]:
        """The matrix as Fractions."""
        found = np.full((len(self.offsets), self.width), Fraction(0), dtype=object)
        rows = np.repeat(np.arange(len(self.offsets)), np.diff(self.pointers))
        found[rows, self.columns] = [Fraction(v, self.denominator) for v in self.numbers.tolist()]
        return found

    @property
    def offset(self) -> NDArray[Any]:
        """The offset as Fractions."""
        return np.array([Fraction(v, self.denominator) for v in self.offsets.tolist()], dtype=object)

    def at(self, x: Sequence[Fraction]) -> NDArray[Any]:
        """The tensor at a point, exactly."""
        still = np.zeros(len(self.offsets), dtype=bool)
        rows = Inequalities(self.pointers, self.columns, self.numbers, self.offsets, still, self.width)
        values = zip(rows.products(x), self.offsets.tolist(), strict=True)
        return np.array([(a + b) / self.denominator for a, b in values], dtype=object).reshape(self.shape)

    @property
    def floats(self) -> tuple[Array, Array]:
        """Matrix and offset, rounded."""
        return self.matrix.astype(np.float64), self.offset.astype(np.float64)


@dataclass(frozen=True)
class LineRow:
    """slope * z <= bound (< where the label is strict)."""

    slope: Fraction
    bound: Fraction
    label: RowLabel


@dataclass(frozen=True, eq=False)
class Region:
    """All inputs x with A x <= c: those with one activation pattern.

    Attributes
    ----------
    program : Program
    branches : mapping
        The activation pattern.
    guards : Guards
        What the rows say, in terms of the program.
    rows : Inequalities
        A and c in integers; every row has no common factor. Rows that say nothing about x are not listed.
    """

    program: Program
    branches: Branches
    guards: Guards
    rows: Inequalities

    @cached_property
    def _names(self) -> Names:
        return Names(self.program)

    @cached_property
    def labels(self) -> tuple[RowLabel, ...]:
        """Where each row comes from."""
        return tuple(self._names.label(self.guards, k) for k in range(self.guards.size))

    @property
    def A(self) -> Array:  # noqa: N802  (the field's name)
        """The matrix in floats, its rows divided by powers of two."""
        return self.rows.floats[0]

    @property
    def c(self) -> Array:
        """The right-hand side in floats, divided likewise."""
        return self.rows.floats[1]

    def contains(self, x: Any) -> bool:
        """Whether a point satisfies every row, exactly."""
        return all(self.rows.hold(exact_point(self.program, x)))

    def affine(self, name: str) -> AffineMap:
        """A tensor as a function of the input, exactly."""
        return affine_map(self.program, self.branches, self.program.units_of(name))

    def along(self, line: RationalLine) -> list[LineRow]:
        """The rows on the line x(z) = start + z * direction; those that say nothing there are left out."""
        bases, slopes = self.rows.products(line.start), self.rows.products(line.direction)
        rows = zip(slopes, bases, self.rows.bounds.tolist(), self.labels, strict=True)
        return [LineRow(slope, bound - base, label) for slope, base, bound, label in rows if slope]

    def reduced(self) -> tuple[Region, Reduction]:
        """The same set without rows that others imply, and the proof of it."""
        reduction = reduction_of(self.rows)
        return self.at(reduction.kept), reduction

    def check_reduction(self, smaller: Region, reduction: Reduction) -> bool:
        """Whether a smaller region is this one, by what a reduction says."""
        kept = reduction.kept
        same = len(smaller.rows) == len(kept)
        same = same and all(smaller.rows[i] == self.rows[k] for i, k in enumerate(kept))
        return same and is_reduction(self.rows, reduction)

    def at(self, places: Sequence[int]) -> Region:
        """The region of some of the rows."""
        chosen = np.array(places, dtype=np.int64)
        return Region(self.program, self.branches, self.guards.at(chosen), self.rows.at(chosen))

    def __str__(self) -> str:
        counts = Counter(f"{label.op_type} {label.node!r}" for label in self.labels)
        parts = ", ".join(f"{count} of {name}" for name, count in counts.items())
        head = f"{len(self.rows)} inequalities in {self.rows.width} numbers" + (
            f" ({parts})" if parts else ""
        )
        shown = [f"  {self._row(k)}" for k in range(min(SHOWN, len(self.rows)))]
        rest = [f"  and {len(self.rows) - SHOWN} more"] if len(self.rows) > SHOWN else []
        return "\n".join([head, *shown, *rest])

    def _row(self, k: int) -> str:
        row = self.rows[k]
        terms = [f"{v} {self._names.unit(1 + j)}" for j, v in zip(row.columns, row.numbers, strict=True)]
        if len(terms) > SHOWN:
            terms = [*terms[:SHOWN], f"... ({len(terms)} terms)"]
        return f"{' + '.join(terms)} {'<' if row.strict else '<='} {row.bound}    [{self.labels[k]}]"


def exact_point(program: Program, x: Any) -> list[Fraction]:
    """The moving inputs, flat, as Fractions: of an array, or of one for each input by name."""
    given = x if isinstance(x, Mapping) else {name: x for name in list(program.inputs)[:1]}
    flat: list[Fraction] = []
    for name, ids in program.inputs.items():
        if name not in given:
            raise InputError(f"there is no value for the input {name!r}.")
        array = np.asarray(given[name])
        if array.size != ids.size:
            raise InputError(f"the input {name!r} has {ids.size} elements, not {array.size}.")
        try:
            flat += [Fraction(v) for v in array.reshape(-1).tolist()]
        except (ValueError, OverflowError, TypeError) as error:
            raise InputError(f"the input {name!r} must hold finite numbers.") from error
    return flat


def affine_map(program: Program, branches: Branches, ids: Ids) -> AffineMap:
    """Units as functions of the input on a linear piece."""
    flat = ids.reshape(-1)
    found = gradients(program, branches, flat, np.zeros_like(flat))
    common = lcm(*found.scales.tolist())
    lift = np.array([common // s for s in found.scales.tolist()], dtype=object)
    numbers = found.numbers * np.repeat(lift, np.diff(found.pointers))
    offsets = found.offsets * lift
    return AffineMap(found.pointers, found.columns, numbers, offsets, common, program.n_inputs, ids.shape)


def region(program: Program, x: Any, direction: Any = None) -> Region:
    """The polytope of the activation pattern at a point.

    Parameters
    ----------
    program : Program
        With rational constants.
    x : array_like, or mapping of str to array_like
        The point: one array, or one for each moving input.
    direction : array_like or mapping, optional
        Where a unit is undecided at x, its branch just behind x in this direction counts; x lies in the
        closure of the region then. By default fixed pseudo-random integers. A direction within a facet is
        refused.
    """
    base = exact_point(program, x)
    if direction is not None:
        found = _behind(program, base, exact_point(program, direction))
        if found is None:
            raise InputError("the direction points along a facet of the region; choose another one.")
        return found
    for seed in range(TRIES):
        numbers = np.random.default_rng(seed).integers(-(2**20), 2**20, size=len(base)) * 2 + 1
        found = _behind(program, base, [Fraction(v) for v in numbers.tolist()])
        if found is not None:
            return found
    raise ModelError("no direction leads from the point into the interior of a region.")


def _behind(program: Program, base: list[Fraction], direction: list[Fraction]) -> Region | None:
    """The region just behind a point; None if some facet holds both the point and the direction."""
    piece = ExactPiece(program, base, [direction])
    guards = guards_of(program, piece.branches)
    rows = _inequalities(
        gradients(program, piece.branches, guards.plus, guards.minus), guards, program.n_inputs
    )
    moving = np.nonzero(np.diff(rows.pointers))[0]
    margins, _ = piece.margins(guards)
    if any(value == slope == 0 for value, slope in margins[:, moving].T.tolist()):
        return None
    return Region(program, piece.branches, guards.at(moving), rows.at(moving).lowest_terms())


def _inequalities(found: Rows, guards: Guards, width: int) -> Inequalities:
    """value >= 0 as -gradient x <= offset, in integers."""
    numbers, bounds = -found.numbers, found.offsets.copy()
    for k in np.nonzero(guards.constant)[0].tolist():
        added = Fraction(float(guards.constant[k])) * found.scales[k]
        numbers[found.pointers[k] : found.pointers[k + 1]] *= added.denominator
        bounds[k] = bounds[k] * added.denominator + added.numerator
    return Inequalities(found.pointers, found.columns, numbers, bounds, guards.strict, width)
