"""Farkas certificates: exact proofs that rows A x <= c imply another row, or contradict each other.

If lambda >= 0, lambda A = a and lambda c <= b, then every x with A x <= c has a x <= b. If lambda A = 0 and
lambda c < 0, there is no such x. A solver of linear programs suggests lambda in floats, and nothing that it
says is believed: lambda is rounded to rationals and checked; where rounding fails, the rows that lambda names
are solved for it in exact arithmetic, and checked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from importlib import import_module
from math import lcm
from typing import Any

import numpy as np
from flint import fmpz_mat, nmod_mat

from symbolic.enclosures.rounding import Array
from symbolic.pieces.regions.inequalities import Inequalities, Row

__all__ = [
    "Multipliers",
    "implies",
    "contradiction",
    "maximised",
    "proof",
    "refutation",
    "refutes",
    "upper_bounds",
]

Multipliers = Mapping[int, Fraction]
"""lambda, by the numbers of the rows; rows not named have 0."""
PRIME = (1 << 61) - 1
LARGEST_DENOMINATOR = 1 << 16
SUPPORTS = (1e-7, 1e-10, 1e-4, 1e-13)
"""Which multipliers count as positive, by their size beside the largest: each is tried."""


def implies(system: Inequalities, row: Row, multipliers: Multipliers) -> bool:
    """Whether the multipliers prove that every solution of a system satisfies a row."""
    found = _combined(system, multipliers)
    if found is None:
        return False
    sums, bound, strict = found
    if sums != {j: Fraction(v) for j, v in zip(row.columns, row.numbers, strict=True) if v}:
        return False
    return bound < row.bound or (bound == row.bound and (strict or not row.strict))


def refutes(system: Inequalities, multipliers: Multipliers) -> bool:
    """Whether the multipliers prove that a system has no solution."""
    found = _combined(system, multipliers)
    if found is None:
        return False
    sums, bound, strict = found
    return not sums and (bound < 0 or (bound == 0 and strict))


def _combined(
    system: Inequalities, multipliers: Multipliers
) -> tuple[dict[int, Fraction], Fraction, bool] | None:
    """The sum of rows times multipliers, and whether a strict row counts; None if a multiplier is none."""
    if any(v < 0 or not 0 <= k < len(system) for k, v in multipliers.items()):
        return None
    common = lcm(*(v.denominator for v in multipliers.values()))
    sums: dict[int, int] = {}
    bound, strict = 0, False
    for k, value in multipliers.items():
        row, factor = system[k], int(value * common)
        for j, number in zip(row.columns, row.numbers, strict=True):
            sums[j] = sums.get(j, 0) + factor * number
        bound += factor * row.bound
        strict = strict or (row.strict and factor > 0)
    return {j: Fraction(v, common) for j, v in sums.items() if v}, Fraction(bound, common), strict


def proof(system: Inequalities, row: Row, guess: Array) -> dict[int, Fraction] | None:
    """Exact multipliers near a guess that prove a row.

    Parameters
    ----------
    system : Inequalities
    row : Row
    guess : ndarray of float
        For the rows of ``system.floats`` and the row divided by the power of two of its largest entry.
    """
    target = dict(zip(row.columns, row.numbers, strict=True))
    largest = max((abs(v) for v in row.numbers), default=1).bit_length()
    for multipliers in _candidates(system, target, guess, largest):
        if implies(system, row, multipliers):
            return multipliers
    return None


def upper_bounds(
    system: Inequalities, target: Mapping[int, int], guess: Array
) -> Iterator[tuple[dict[int, Fraction], Fraction]]:
    """Upper bounds of a linear function with the multipliers, near a guess, that prove them."""
    largest = max((abs(v) for v in target.values()), default=1).bit_length()
    for multipliers in _candidates(system, target, guess, largest):
        found = _combined(system, multipliers)
        if found is not None and found[0] == target:
            yield multipliers, found[1]


def refutation(system: Inequalities, guess: Array) -> dict[int, Fraction] | None:
    """Exact multipliers near a guess (for the rows of ``system.floats``) that prove a contradiction."""
    # one more column keeps the multipliers of the scaled rows at the sum 1
    ones = [1 << shift for shift in system.shifts]
    rows = [system[k] for k in range(len(system))]
    wide = [
        Row((*row.columns, system.width), (*row.numbers, one), row.bound)
        for row, one in zip(rows, ones, strict=True)
    ]
    total = float(guess.sum())
    if not total > 0:
        return None
    lifted = Inequalities.of(wide, system.width + 1)
    for multipliers in _candidates(lifted, {system.width: 1}, guess / total, 0, system.shifts):
        if refutes(system, multipliers):
            return multipliers
    return None


def _candidates(
    system: Inequalities,
    target: Mapping[int, int],
    guess: Array,
    largest: int,
    shifts: Sequence[int] | None = None,
) -> Iterator[dict[int, Fraction]]:
    """Multipliers that may give the target: the guess rounded, then solutions on its supports."""
    guess = np.nan_to_num(np.asarray(guess, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if guess.shape != (len(system),) or not (guess > 0).any():
        return
    shifts = system.shifts if shifts is None else shifts
    scales = {k: _power(largest - shifts[k]) for k in np.nonzero(guess > 0)[0].tolist()}
    near = {k: Fraction(float(guess[k])).limit_denominator(LARGEST_DENOMINATOR) for k in scales}
    yield {k: v * scales[k] for k, v in near.items() if v}
    seen: set[tuple[int, ...]] = set()
    for tolerance in SUPPORTS:
        support = np.nonzero(guess > tolerance * guess.max())[0]
        order = support[np.argsort(-guess[support], kind="stable")].tolist()
        if tuple(order) not in seen:
            seen.add(tuple(order))
            solved = _solved(system, target, order)
            if solved is not None:
                yield solved


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def _solved(
    system: Inequalities, target: Mapping[int, int], support: Sequence[int]
) -> dict[int, Fraction] | None:
    """The multipliers of independent rows of a support that give the target at independent columns."""
    rows = [system[k] for k in support]
    columns = sorted({j for row in rows for j in row.columns})
    if not columns or not set(target) <= set(columns):
        return None
    place = {j: i for i, j in enumerate(columns)}
    table: list[list[int]] = [[0] * len(columns) for _ in rows]
    for line, row in zip(table, rows, strict=True):
        for j, number in zip(row.columns, row.numbers, strict=True):
            line[place[j]] = number
    chosen = _pivots([list(column) for column in zip(*table, strict=True)])
    table = [table[i] for i in chosen]
    used = _pivots(table)
    square = fmpz_mat([[line[i] for line in table] for i in used])
    right = fmpz_mat([[target.get(columns[i], 0)] for i in used])
    try:
        solution = square.solve(right)
    except ZeroDivisionError:
        return None
    values = [Fraction(int(v.p), int(v.q)) for v in solution.entries()]
    return {support[i]: v for i, v in zip(chosen, values, strict=True) if v}


def _pivots(table: list[list[int]]) -> list[int]:
    """Columns that are independent, the first ones first (modulo a prime: independent all the more)."""
    reduced, rank = nmod_mat(
        len(table), len(table[0]), [v % PRIME for row in table for v in row], PRIME
    ).rref()
    entries = np.array([int(v) != 0 for v in reduced.entries()]).reshape(len(table), len(table[0]))
    return [int(entries[i].argmax()) for i in range(rank)]


def maximised(a: Array, matrix: Array, bounds: Array) -> tuple[Array, Array] | None:
    """Argument and multipliers of max a x, matrix x <= bounds, in floats; None if no solver answers.

    A suggestion: it may be wrong.
    """
    cvxpy: Any = import_module("cvxpy")  # takes a second
    x = cvxpy.Variable(matrix.shape[1])
    rows = cvxpy.Constant(matrix) @ x <= bounds
    problem = cvxpy.Problem(cvxpy.Maximize(a @ x), [rows])
    for solver in (cvxpy.HIGHS, cvxpy.CLARABEL):
        try:
            problem.solve(solver=solver)
        except (cvxpy.error.SolverError, ValueError, ArithmeticError):
            continue
        if x.value is not None and rows.dual_value is not None:
            return np.asarray(x.value), np.abs(np.asarray(rows.dual_value)).reshape(-1)
    return None


def contradiction(system: Inequalities) -> dict[int, Fraction] | None:
    """A proof that a system has no solution, if the solver leads to one.

    The least t with A x <= c + t is positive then, and its multipliers are those of a contradiction.
    """
    matrix, bounds = system.floats
    wide = np.concatenate([matrix, -np.ones((len(matrix), 1))], axis=1)
    # t > -1 keeps the program bounded
    last: Any = np.eye(1, wide.shape[1], wide.shape[1] - 1)
    found = maximised(-last[0], np.concatenate([wide, -last]), np.concatenate([bounds, [1.0]]))
    return None if found is None else refutation(system, found[1][:-1])
