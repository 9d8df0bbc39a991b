"""Regions and points for the tests of regions, with loops over Fractions."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import twin
from line_problems import Problem

from symbolic.network import Network
from symbolic.pieces.regions.region import Region

Point = list[Fraction]
LINE = ([0], [1])


def network_of(case: Problem) -> Network:
    return Network(case.model, {"x": np.zeros(case.shape, np.float32)}, "x", ["y"])


def values_at(case: Problem, x: Point) -> dict[str, Any]:
    """Every tensor, by the twin."""
    return twin.evaluate(case.model, {"x": np.array(x, dtype=object).reshape(case.shape)})


def random_point(rng: np.random.Generator, n: int, divisor: int = 3) -> Point:
    return [Fraction(int(v), 1 << 10) / divisor for v in rng.integers(-(1 << 11), 1 << 11, size=n)]


def left_over(region: Region, x: Point) -> list[Fraction]:
    """c - A x, with loops."""
    found = []
    for k in range(len(region.rows)):
        row = region.rows[k]
        found.append(row.bound - sum(v * x[j] for j, v in zip(row.columns, row.numbers, strict=True)))
    return found


def is_inside(region: Region, x: Point) -> bool:
    rows = zip(left_over(region, x), region.rows.strict, strict=True)
    return all(left > 0 or (left == 0 and not strict) for left, strict in rows)


def points_inside(region: Region, x: Point, rng: np.random.Generator, count: int = 6) -> list[Point]:
    """Random points of the region: far out on random rays from a point of its closure."""
    found = []
    for _ in range(4 * count):
        direction = random_point(rng, len(x))
        step = Fraction(4)
        while step > Fraction(1, 2**60):
            moved = [a + step * b for a, b in zip(x, direction, strict=True)]
            if is_inside(region, moved):
                found.append(moved)
                break
            step /= 3
    return found[:count]


def named(values: dict[str, Any], name: str) -> Fraction | None:
    """The value of "h[0, 1]" or of a number; None for a unit without a name in the graph."""
    element = re.fullmatch(r"(\w+)\[([\d, ]+)\]", name)
    if element:
        return Fraction(values[element[1]][tuple(int(v) for v in element[2].split(","))])
    return Fraction(name) if re.fullmatch(r"[-+.\de]+", name) else None


def start_of(case: Problem, seed: int) -> Point:
    return random_point(np.random.default_rng(seed), len(case.line.start))
