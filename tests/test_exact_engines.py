"""The engines z3 and cvxpy against networks solved by hand and against whole functions of z."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from engine_checks import inside, require_true
from line_problems import FAMILIES, INFINITY, Nodes, Problem, problem, worked_example

from symbolic.errors import ModelError
from symbolic.pieces.line import RationalLine
from verifier.engines import lp, smt
from verifier.engines.found import ExactSet

Found = Callable[..., ExactSet]
ENGINES: dict[str, Found] = {"z3": smt.truncation_set, "cvxpy": lp.truncation_set}
LINE = ([0], [1])


@pytest.fixture(params=ENGINES)
def found_for(request: pytest.FixtureRequest) -> Found:
    """Every test is asked of both."""

    def asked(case: Problem, observed: list[Fraction], *ends: Any, **options: Any) -> ExactSet:
        return ENGINES[request.param](case.program, case.line, {"y": observed}, *ends, **options)

    return asked


def test_worked_example(found_for: Found) -> None:
    case = worked_example()
    found = found_for(case, [Fraction(1), Fraction(0)], -INFINITY, INFINITY)
    assert inside(found) == [(Fraction(-5, 4), Fraction(-3, 4)), (Fraction(5, 4), INFINITY)]
    assert [(z, b.unit, b.node.split()[0]) for z, b in found.ends] == [
        (Fraction(-5, 4), 0, "Greater"),
        (Fraction(-3, 4), 1, "Greater"),
        (Fraction(5, 4), 1, "Greater"),
    ]
    assert [(c.verdict, c.element) for c in found.cells] == [
        ("outside", 0),
        ("inside", -1),
        ("outside", 1),
        ("inside", -1),
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("family", FAMILIES)
def test_random_networks(found_for: Found, family: str, seed: int) -> None:
    case = FAMILIES[family](seed)
    observed = case.at(Fraction(1, 16))
    lo, hi = Fraction(-5, 2), Fraction(3)
    require_true(case, observed, found_for(case, observed, lo, hi), lo, hi)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "jumping"])
def test_whole_line(found_for: Found, family: str, seed: int) -> None:
    case = FAMILIES[family](100 + seed)
    observed = case.at(Fraction(-1, 32))
    require_true(case, observed, found_for(case, observed, -INFINITY, INFINITY), -INFINITY, INFINITY)


@pytest.mark.parametrize(("lo", "hi"), [(-INFINITY, Fraction(-1)), (Fraction(-1), INFINITY)])
def test_rays(found_for: Found, lo: Any, hi: Any) -> None:
    case = worked_example()
    observed = [Fraction(1), Fraction(0)]
    require_true(case, observed, found_for(case, observed, lo, hi), lo, hi)


def test_single_points_are_left_out(found_for: Found) -> None:
    """|z| = 1 only at two points: nothing is inside, and no outside cell contains them."""
    nodes: Nodes = [("Abs", ["x"], "a"), ("Equal", ["a", "one"], "y")]
    case = problem(nodes, {"one": 1.0}, (1, 1), LINE)
    found = found_for(case, [Fraction(1)], -INFINITY, INFINITY)
    assert [(c.lo, c.hi) for c in found.cells] == [(-INFINITY, -1), (-1, 1), (1, INFINITY)]
    assert not inside(found) and not found.ends


def test_a_single_point_ends_a_cell(found_for: Found) -> None:
    """z = 1 is missing in the middle: it is a point of no cell, and no end of the set."""
    nodes: Nodes = [("Equal", ["x", "one"], "y")]
    case = problem(nodes, {"one": 1.0}, (1, 1), LINE)
    found = found_for(case, [Fraction(0)], Fraction(-4), Fraction(4))
    assert [(c.lo, c.hi, c.verdict) for c in found.cells] == [(-4, 1, "inside"), (1, 4, "inside")]
    assert not found.ends


def test_identical_ties(found_for: Found) -> None:
    """Relu(z) = 0 on a whole half line."""
    nodes: Nodes = [("Relu", ["x"], "r"), ("Equal", ["r", "zero"], "y")]
    case = problem(nodes, {"zero": 0.0}, (1, 1), LINE)
    assert inside(found_for(case, [Fraction(1)], -INFINITY, INFINITY)) == [(-INFINITY, 0)]


def test_two_ends_closer_than_floats(found_for: Found) -> None:
    """x1 > 1/3 and x2 > 1/3 + 1e-40 on parallel coordinates: exact, whatever the distance."""
    nodes: Nodes = [("Greater", ["x", "zero"], "y")]
    tiny = Fraction(1, 10**40)
    case = problem(nodes, {"zero": 0.0}, (1, 2), ([Fraction(-1, 3), -Fraction(1, 3) - tiny], [1, 1]))
    found = found_for(case, [Fraction(1), Fraction(0)], -INFINITY, INFINITY)
    assert inside(found) == [(Fraction(1, 3), Fraction(1, 3) + tiny)]


def test_many_units_change_at_one_point(found_for: Found) -> None:
    """40 kinks at z = 1/3: the line is cut there."""
    nodes: Nodes = [
        ("Mul", ["x", "w"], "h"),
        ("Relu", ["h"], "r"),
        ("MatMul", ["r", "v"], "s"),
        ("Greater", ["s", "t"], "y"),
    ]
    w = [[float(k + 1) for k in range(40)]]
    case = problem(nodes, {"w": w, "v": [[1.0]] * 40, "t": 820.0}, (1, 1), ([Fraction(-1, 3)], [1]))
    assert inside(found_for(case, [Fraction(1)], Fraction(-3), Fraction(3))) == [(Fraction(4, 3), 3)]


def test_of_several_that_bind_the_last_is_named(found_for: Found) -> None:
    """A kink and the threshold at the same point."""
    nodes: Nodes = [("Relu", ["x"], "r"), ("Add", ["r", "x"], "s"), ("Greater", ["s", "zero"], "y")]
    case = problem(nodes, {"zero": 0.0}, (1, 1), LINE)
    ((z, binding),) = found_for(case, [Fraction(1)], -INFINITY, INFINITY).ends
    assert z == 0 and binding.node.startswith("Greater")


def test_nothing_bends(found_for: Found) -> None:
    """The whole line in one piece."""
    case = problem(
        [("Mul", ["x", "zero"], "s"), ("Greater", ["s", "zero"], "y")], {"zero": 0.0}, (1, 1), LINE
    )
    found = found_for(case, [Fraction(0)], -INFINITY, INFINITY)
    assert [(c.lo, c.hi, c.verdict) for c in found.cells] == [(-INFINITY, INFINITY, "inside")]


def test_a_line_that_stands_still(found_for: Found) -> None:
    case = worked_example()
    still = dataclasses.replace(case, line=RationalLine(case.line.start, (Fraction(0), Fraction(0))))
    found = found_for(still, [Fraction(1), Fraction(1)], -INFINITY, INFINITY)
    assert [(c.lo, c.hi, c.verdict) for c in found.cells] == [(-INFINITY, INFINITY, "inside")]


def test_constants_that_are_no_rationals(found_for: Found) -> None:
    """The message names the node."""
    nodes: Nodes = [("BatchNormalization", ["x", *"sbmv"], "n"), ("Greater", ["n", "zero"], "y")]
    constants = {"s": [1.0], "b": [0.0], "m": [0.0], "v": [2.0], "zero": 0.0}
    with pytest.raises(ModelError, match="BatchNormalization"):
        found_for(problem(nodes, constants, (1, 1), LINE), [Fraction(1)], -INFINITY, INFINITY)


def test_progress(found_for: Found) -> None:
    lines: list[str] = []
    found_for(worked_example(), [Fraction(1), Fraction(0)], -INFINITY, INFINITY, progress=lines.append)
    assert lines and {line.partition(":")[0] for line in lines} <= set(ENGINES)
