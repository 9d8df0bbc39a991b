"""The exact interval pass of the engine z3: what it claims of a segment or a ray holds at points of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from line_problems import FAMILIES, INFINITY, Problem

from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.program import Program
from verifier.engines.forms import Ends, Form, Stable
from verifier.engines.integers import IntegerProgram
from verifier.engines.intervals import TooLoose, stable_units

SEGMENTS: list[tuple[Any, Any]] = [
    (Fraction(-1), Fraction(1)),
    (Fraction(1, 3), Fraction(2, 3)),
    (Fraction(-2), Fraction(-2) + Fraction(1, 1000)),
    (Fraction(5, 2), INFINITY),
    (-INFINITY, Fraction(-7, 3)),
]


def line_at(ends: Ends, scale: int, lo: Any, hi: Any, z: Fraction) -> Fraction:
    """A line at a point, from its values at the ends."""
    if lo == -INFINITY:
        return Fraction(ends[1], scale * hi.denominator) + Fraction(ends[0], scale) * (hi - z)
    first = Fraction(ends[0], scale * lo.denominator)
    if hi == INFINITY:
        return first + Fraction(ends[1], scale) * (z - lo)
    return first + (Fraction(ends[1], scale * hi.denominator) - first) * (z - lo) / (hi - lo)


def points(rng: np.random.Generator, lo: Any, hi: Any) -> list[Fraction]:
    parts = [Fraction(int(k), 1009) for k in rng.integers(1, 1009, size=6)]
    if lo == -INFINITY:
        return [hi - p / (1 - p) for p in parts]
    return [lo + p / (1 - p) for p in parts] if hi == INFINITY else [lo + p * (hi - lo) for p in parts]


def value(form: Form, stable: Stable, units: list[Fraction], z: Fraction) -> Fraction:
    """A form where the unstable units are what they are."""
    others = sum(
        (Fraction(c * u.scale, form.scale) * units[u.unit])
        for c, u in zip(form.row[2:].tolist(), stable.unstable, strict=False)
    )
    return Fraction(form.row[0], form.scale) + Fraction(form.row[1], form.scale) * z + others


def units_at(program: Program, case: Problem, z: Fraction) -> list[Fraction]:
    return ExactPiece(program, case.line.at(z), []).rationals(np.arange(program.size))[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", FAMILIES)
def test_claims_hold(family: str, seed: int) -> None:
    case, rng = FAMILIES[family](200 + seed), np.random.default_rng(seed)
    program = case.program
    whole = IntegerProgram(program, case.line)
    for lo, hi in SEGMENTS:
        try:
            stable = stable_units(whole, lo, hi, 60)
        except TooLoose:
            continue
        for z in points(rng, lo, hi):
            units = units_at(program, case, z)
            for claim in stable.claims:
                found = value(claim.form, stable, units, z)
                assert found > 0 if claim.strict else found >= 0
            for unit in stable.unstable:
                bounds = [line_at(ends, unit.scale, lo, hi, z) for ends in (unit.lower, unit.upper)]
                assert bounds[0] <= units[unit.unit] <= bounds[1]
                assert unit.values is None or units[unit.unit] in unit.values
            for name, forms in stable.forms.items():
                ids = program.outputs[name].reshape(-1)
                assert [value(form, stable, units, z) for form in forms] == [units[i] for i in ids]


def test_short_segments_are_stable() -> None:
    """Bounds are worth having: on a segment without a kink nothing is unstable."""
    case = FAMILIES["dense"](1)
    lo = Fraction(1, 7)
    stable = stable_units(IntegerProgram(case.program, case.line), lo, lo + Fraction(1, 10**9), 0)
    assert not stable.unstable and stable.claims


def test_the_whole_line_is_no_segment() -> None:
    case = FAMILIES["dense"](1)
    with pytest.raises(ValueError, match="finite end"):
        stable_units(IntegerProgram(case.program, case.line), -INFINITY, INFINITY, 10)
