"""The engine cvxpy: its limits, and solvers that lie."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from engine_checks import inside, require_true
from line_problems import FAMILIES, INFINITY, Nodes, Problem, problem, worked_example

from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.regions import farkas
from symbolic.pieces.regions.farkas import implies
from symbolic.pieces.regions.inequalities import Inequalities, Row
from verifier.engines import extremes, lp
from verifier.engines.extremes import greatest
from verifier.engines.found import ExactSet
from verifier.engines.lp import truncation_set

LINE = ([0], [1])


def found_for(case: Problem, observed: list[Fraction], lo: Any, hi: Any, **options: Any) -> ExactSet:
    return truncation_set(case.program, case.line, {"y": observed}, lo, hi, **options)


def test_a_staircase_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floor(z) has no last piece: what is not decided is a gap."""
    monkeypatch.setattr(lp, "MOST_PIECES", 5)
    nodes: Nodes = [("Floor", ["x"], "f"), ("Equal", ["f", "one"], "y")]
    found = found_for(problem(nodes, {"one": 1.0}, (1, 1), LINE), [Fraction(1)], Fraction(0), INFINITY)
    assert inside(found) == [(1, 2)]
    assert found.cells[-1].verdict == "gap" and (found.cells[-1].lo, found.cells[-1].hi) == (5, INFINITY)


def test_no_time() -> None:
    found = found_for(worked_example(), [Fraction(1), Fraction(0)], -INFINITY, INFINITY, timeout=0)
    assert [(c.lo, c.hi, c.verdict) for c in found.cells] == [
        (-INFINITY, 0, "gap"),
        (0, INFINITY, "gap"),
    ]


# ---- solvers that lie -----------------------------------------------------------------------------------


Solver = Callable[..., Any]


def silent(a: Any, matrix: Any, bounds: Any) -> Any:
    """No answer."""


def zero(a: Any, matrix: Any, bounds: Any) -> Any:
    """Nothing binds."""
    return np.zeros(matrix.shape[1]), np.zeros(len(bounds))


def last_row(a: Any, matrix: Any, bounds: Any) -> Any:
    """The last row binds, says it."""
    return np.ones(matrix.shape[1]), np.eye(len(bounds))[-1]


def scrambled(a: Any, matrix: Any, bounds: Any) -> Any:
    """Random numbers, some of them none."""
    guess = np.random.default_rng(len(bounds)).normal(size=len(bounds))
    guess[::5] = np.nan
    return np.full(matrix.shape[1], np.nan), guess


def short(a: Any, matrix: Any, bounds: Any) -> Any:
    """Too few numbers."""
    return np.ones(matrix.shape[1]), np.ones(1)


@pytest.mark.parametrize("solver", [silent, zero, last_row, scrambled, short])
@pytest.mark.parametrize("family", ["dense", "normalised", "classified"])
def test_a_solver_that_lies(family: str, solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong duals are repaired or lead to gaps, never to a wrong claim."""
    monkeypatch.setattr(extremes, "maximised", solver)
    case = FAMILIES[family](7)
    observed = case.at(Fraction(1, 16))
    lo, hi = Fraction(-5, 2), Fraction(3)
    require_true(case, observed, found_for(case, observed, lo, hi), lo, hi)


@pytest.mark.parametrize("layer", [1, 3, 6])
@pytest.mark.parametrize("family", ["dense", "normalised", "jumping"])
def test_a_wrong_pattern_is_found_out(family: str, layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Branches that do not hold, or hold elsewhere, lead to gaps."""

    class Wrong(ExactPiece):
        def __init__(self, program: Any, base: Any, directions: Any, branches: Any = None) -> None:
            super().__init__(program, base, directions, branches)
            some = [k for k, _ in program.guarded() if k >= layer][:1]
            if directions and some:
                changed = {k: v.copy() for k, v in self.branches.items()}
                changed[some[0]][0] ^= 1
                super().__init__(program, base, directions, changed)

    monkeypatch.setattr(lp, "ExactPiece", Wrong)
    case = FAMILIES[family](11)
    observed = case.at(Fraction(1, 16))
    found = found_for(case, observed, Fraction(-2), Fraction(2))
    expected = case.expected(observed, Fraction(-2), Fraction(2))
    for cell in found.cells:
        shared = [(a, b) for a, b in expected if max(a, cell.lo) < min(b, cell.hi)]
        if cell.verdict == "inside":
            assert any(a <= cell.lo and cell.hi <= b for a, b in shared)
        if cell.verdict == "outside":
            assert not shared


def test_without_pivots_a_lie_leaves_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extremes, "maximised", last_row)
    monkeypatch.setattr(extremes, "MOST_PIVOTS", 1)
    case = worked_example()
    found = found_for(case, [Fraction(1), Fraction(0)], -INFINITY, INFINITY)
    assert any(c.verdict == "gap" for c in found.cells)
    expected = case.expected([Fraction(1), Fraction(0)], -INFINITY, INFINITY)
    assert all(any(a <= lo and hi <= b for a, b in expected) for lo, hi in inside(found))


def line_rows(*pairs: tuple[int, int]) -> Inequalities:
    """Slopes and bounds."""
    return Inequalities.of([Row((0,), (a,), c) for a, c in pairs], 1)


def test_extremes_of_a_polytope() -> None:
    rows = line_rows((3, 2), (-1, 5), (1, 1), (7, 10**30))
    right, left = greatest(rows, 1), greatest(rows, -1)
    assert right is not None and left is not None
    assert (right.z, left.z) == (Fraction(2, 3), -5)
    assert (list(right.multipliers), list(left.multipliers)) == ([0], [1])
    assert implies(rows, Row((0,), (3,), 2), {k: 3 * v for k, v in right.multipliers.items()})
    ray = greatest(line_rows((-1, 5), (-2, 3)), 1)
    assert ray is not None and ray.z is None
    assert greatest(line_rows((1, 0), (-1, -1)), 1) is None  # no solution


def test_several_rows_in_one_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multipliers spread over equal rows are rounded and accepted as they are."""
    rows = line_rows((2, 1), (2, 1), (-1, 0))
    monkeypatch.setattr(extremes, "maximised", lambda *_: (np.array([0.5]), np.array([0.5, 0.5, 0.0])))
    found = greatest(rows, 1)
    assert found is not None and found.z == Fraction(1, 2)
    assert found.multipliers == {0: Fraction(1, 4), 1: Fraction(1, 4)}


def test_the_solver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an honest solver no row is exchanged: the dual vector is the proof."""
    asked: list[int] = []
    plain = farkas.maximised

    def counting(*args: Any) -> Any:
        asked.append(1)
        return plain(*args)

    monkeypatch.setattr(extremes, "maximised", counting)
    monkeypatch.setattr(extremes, "MOST_PIVOTS", 1)
    case = worked_example()
    found = found_for(case, [Fraction(1), Fraction(0)], -INFINITY, INFINITY)
    assert inside(found) == [(Fraction(-5, 4), Fraction(-3, 4)), (Fraction(5, 4), INFINITY)]
    assert len(asked) >= 8
