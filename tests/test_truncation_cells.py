"""Truncation sets of random networks: certified cells are confirmed by the twin at random points inside."""

from __future__ import annotations

import math
import os
from collections import Counter
from fractions import Fraction

import numpy as np
import onnx
import pytest
import twin
from enclosure_checks import points_in
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import Case, cases, suite

from inference.truncation import TruncationSet, truncation_set
from symbolic.errors import ModelError, TieError

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
COUNT, CHUNKS = (1000 if THOROUGH else 120), 4
EFFORT = 300 if THOROUGH else 60


def one_input(case: Case) -> onnx.ModelProto:
    """The model with its fixed inputs stored."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for name, value in case.other.items():
        item = next(i for i in model.graph.input if i.name == name)
        model.graph.input.remove(item)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return model


def found(case: Case, lo: object, hi: object, effort: int) -> TruncationSet | None:
    """The truncation set of the case; None where the engine may refuse."""
    try:
        return truncation_set(one_input(case), case.observed, case.direction, lo, hi, max_iter=effort)
    except (TieError, ModelError):
        return None


def false_claims(case: Case, result: TruncationSet, rng: np.random.Generator, cells: int = 12) -> list[str]:
    """Claims of the cells that the twin contradicts."""
    name = case.model.graph.output[0].name
    observed = case.at(Fraction(0))[name].reshape(-1)
    claims = [cell for cell in result.cells if cell.verdict != "gap"]
    failures = []
    for number in rng.permutation(len(claims))[:cells]:
        cell = claims[number]
        lo, hi = cell.lo, cell.hi
        if math.isinf(lo) and math.isinf(hi):
            lo, hi = Fraction(-1000), Fraction(1000)
        for t in points_in(rng, _away_from_zero(lo, hi), 2):
            if not cell.lo < t < cell.hi:
                failures.append(f"{float(t)!r} was not drawn from {cell}")
            seen = case.at(t)[name].reshape(-1)
            if cell.verdict == "outside":
                wrong = (
                    seen[cell.element] is not twin.UNKNOWN and seen[cell.element] == observed[cell.element]
                )
            else:
                both = zip(seen, observed, strict=True)
                wrong = any(a is not twin.UNKNOWN and b is not twin.UNKNOWN and a != b for a, b in both)
            if wrong:
                failures.append(f"{cell} is false at t = {t}: {list(seen)} and observed {list(observed)}")
    return failures


def _away_from_zero(lo: object, hi: object) -> tuple[object, object]:
    """A ray that starts on the wrong side of 0 or at it, cut to one that points can be drawn from."""
    if hi == math.inf and lo <= 0:  # type: ignore[operator]
        return max(lo, Fraction(1, 8)), hi  # type: ignore[type-var]
    if lo == -math.inf and hi >= 0:  # type: ignore[operator]
        return lo, min(hi, Fraction(-1, 8))  # type: ignore[type-var]
    return lo, hi


def covers(result: TruncationSet, lo: float, hi: float) -> bool:
    cells = result.cells
    joined = all(a.hi == b.lo for a, b in zip(cells, cells[1:], strict=False))
    return joined and (cells[0].lo, cells[-1].hi) == (lo, hi) and all(c.lo < c.hi for c in cells)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CHUNKS))
def test_cells_are_true(number: int) -> None:
    failures, verdicts, gap, refused = [], Counter(), [], 0
    for k, case in enumerate(suite(COUNT)):
        if k % CHUNKS != number:
            continue
        rng = np.random.default_rng([4, k])
        whole = bool(rng.random() < 0.5)
        result = found(case, None if whole else -4, None if whole else 4, effort=EFFORT)
        if result is None:
            refused += 1
            continue
        assert covers(result, *((-math.inf, math.inf) if whole else (-4, 4))), f"network {k}"
        verdicts.update(cell.verdict for cell in result.cells)
        gap.append(sum(max(0, min(c.hi, 4) - max(c.lo, -4)) for c in result.cells if c.verdict == "gap") / 8)
        failures += [f"network {k}: {text}" for text in false_claims(case, result, rng)[:1]]
    small = sum(g < 0.01 for g in gap)
    print(f"\n{len(gap)} sets ({refused} refused): {dict(verdicts)}; gaps below 1 % of [-4, 4] in {small}")
    assert not failures, "\n".join(failures)
    assert refused <= 0.15 * (len(gap) + refused)
    assert small >= 0.7 * len(gap)


@given(case=cases(), seed=st.integers(0, 99))
def test_cells_are_true_of_any_network(case: Case, seed: int) -> None:
    result = found(case, -2, 2, effort=30)
    assert result is None or not false_claims(case, result, np.random.default_rng(seed), cells=6)
