"""Proofs that rows follow from others, or contradict each other, checked with loops; tampered ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from line_problems import Nodes, Problem, problem
from region_checks import (
    is_inside,
    network_of,
    random_point,
    start_of,
)

from symbolic.pieces.regions.farkas import contradiction, implies, refutes
from symbolic.pieces.regions.inequalities import Inequalities, Row


def proves(rows: list[Row], row: Row, multipliers: dict[int, Fraction]) -> bool:
    """The definition, with loops over Fractions."""
    sums = [Fraction(0)] * (1 + max(j for r in [*rows, row] for j in r.columns))
    bound = Fraction(0)
    for k, value in multipliers.items():
        if value < 0:
            return False
        for j, number in zip(rows[k].columns, rows[k].numbers, strict=True):
            sums[j] += value * number
        bound += value * rows[k].bound
    for j, number in zip(row.columns, row.numbers, strict=True):
        sums[j] -= number
    return not any(sums) and bound <= row.bound


def wide_network(seed: int) -> Problem:
    """Many units in three dimensions, so that most rows are redundant."""
    rng = np.random.default_rng(seed)
    nodes: Nodes = [
        ("Gemm", ["x", "V", "a"], "h"),
        ("Relu", ["h"], "r"),
        ("MatMul", ["r", "W"], "i"),
        ("Relu", ["i"], "s"),
        ("MatMul", ["s", "U"], "score"),
        ("Greater", ["score", "t"], "y"),
    ]
    v = rng.normal(size=(3, 16)).astype(np.float32)
    v[:, 3], v[:, 4] = v[:, 2], 2 * v[:, 2]  # multiples
    constants = {
        "V": v,
        "a": rng.normal(size=16),
        "W": rng.normal(size=(16, 12)),
        "U": rng.normal(size=(12, 2)),
    }
    return problem(nodes, {**constants, "t": 0.25}, (1, 3), ([0, 0, 0], [1, 0, 0]))


@pytest.mark.parametrize("seed", range(3))
def test_reduced(seed: int) -> None:
    case, rng = wide_network(seed), np.random.default_rng(seed)
    x = start_of(case, seed)
    region = network_of(case).region(np.array(x, dtype=object))
    smaller, reduction = region.reduced()
    assert region.check_reduction(smaller, reduction)
    assert len(smaller.rows) < len(region.rows) - 5
    assert [str(label) for label in smaller.labels] == [str(region.labels[k]) for k in reduction.kept]
    rows = [region.rows[k] for k in range(len(region.rows))]
    left = set(range(len(rows)))
    for row, multipliers in reduction.removed:
        left.remove(row)
        assert set(multipliers) <= left and proves(rows, rows[row], dict(multipliers))
    assert tuple(sorted(left)) == reduction.kept
    for _ in range(200):
        point = [a + b / 8 for a, b in zip(x, random_point(rng, 3), strict=True)]
        assert is_inside(region, point) == is_inside(smaller, point) == smaller.contains(point)
    again, nothing = smaller.reduced()
    assert len(again.rows) == len(smaller.rows) and not nothing.removed


def test_tampered_reductions() -> None:
    case = wide_network(1)
    region = network_of(case).region(np.array(start_of(case, 1), dtype=object))
    smaller, good = region.reduced()
    k = max(range(len(good.removed)), key=lambda i: len(good.removed[i][1]))
    row, multipliers = good.removed[k]
    assert len(multipliers) > 1
    first = next(iter(multipliers))
    changes: list[dict[int, Fraction]] = [
        {**multipliers, first: multipliers[first] + Fraction(1, 10**30)},
        {**multipliers, first: -multipliers[first]},
        {i: v for i, v in multipliers.items() if i != first},
        {i: 2 * v for i, v in multipliers.items()},
        {row: Fraction(1)},
        {},
        {**multipliers, len(region.rows): Fraction(0)},
    ]
    for changed in changes:
        removed = (*good.removed[:k], (row, changed), *good.removed[k + 1 :])
        assert not region.check_reduction(smaller, replace(good, removed=removed))
    assert not region.check_reduction(smaller, replace(good, removed=good.removed[:-1]))
    assert not region.check_reduction(smaller, replace(good, kept=good.kept[:-1]))
    assert not region.check_reduction(smaller.at(range(len(smaller.rows) - 1)), good)
    bounds = smaller.rows.bounds.copy()
    bounds[0] += 1
    assert not region.check_reduction(replace(smaller, rows=replace(smaller.rows, bounds=bounds)), good)


def test_strict_rows_are_not_implied_by_closed_ones() -> None:
    closed, open_ = Row((0,), (1,), 1), Row((0,), (1,), 1, strict=True)
    one = {0: Fraction(1)}
    assert implies(Inequalities.of([closed], 1), closed, one)
    assert not implies(Inequalities.of([closed], 1), open_, one)
    assert implies(Inequalities.of([open_], 1), open_, one)
    assert implies(Inequalities.of([closed], 1), Row((0,), (1,), 2, strict=True), one)


def random_system(rng: np.random.Generator, n: int, m: int, slack: int, scale: int) -> Inequalities:
    """Rows that hold at a point with some slack, which may be negative."""
    x = rng.integers(-5, 6, size=n)
    rows = []
    for _ in range(m):
        numbers = rng.integers(-9, 10, size=n)
        bound = int(numbers @ x) * scale + slack * int(rng.integers(1, 4))
        rows.append(Row(tuple(range(n)), tuple(int(v) * scale for v in numbers), bound))
    return Inequalities.of(rows, n)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1, 3**8])
def test_contradictions(seed: int, scale: int) -> None:
    """Half-spaces that exclude each other, with a proof; none is found where there is a solution."""
    rng = np.random.default_rng(seed)
    system = random_system(rng, 3, 40, -1, scale)
    found = contradiction(system)
    assert found is not None and refutes(system, found)
    rows = [system[k] for k in range(len(system))]
    assert proves(rows, Row((0, 1, 2), (0, 0, 0), -1), {k: v * 10**30 for k, v in found.items()})
    some = next(iter(found))
    assert not refutes(system, {**found, some: found[some] + Fraction(1, 10**20)})
    assert not refutes(system, {k: -v for k, v in found.items()})
    assert contradiction(random_system(rng, 3, 40, 0, scale)) is None
    assert contradiction(random_system(rng, 3, 40, 1, scale)) is None


def test_a_contradiction_of_strict_rows() -> None:
    rows = [Row((0,), (1,), 1, strict=True), Row((0,), (-1,), -1)]
    both = {0: Fraction(1), 1: Fraction(1)}
    assert refutes(Inequalities.of(rows, 1), both)
    assert not refutes(Inequalities.of([replace(rows[0], strict=False), rows[1]], 1), both)
