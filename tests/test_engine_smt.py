"""The engine z3: its stairs, its hints, and the proofs that another solver repeats."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from engine_checks import inside
from line_problems import FAMILIES, INFINITY, Nodes, Problem, problem, worked_example

from verifier.engines.found import ExactSet
from verifier.engines.smt import truncation_set


def found_for(case: Problem, observed: list[Fraction], lo: Any, hi: Any, **options: Any) -> ExactSet:
    return truncation_set(case.program, case.line, {"y": observed}, lo, hi, **options)


LINE = ([0], [1])


def test_a_staircase_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floor(z) mod 2 has no end: what is not decided is a gap, and the rest is right."""
    nodes: Nodes = [
        ("Mul", ["x", "half"], "h"),
        ("Floor", ["h"], "f"),
        ("Floor", ["x"], "g"),
        ("Mul", ["f", "two"], "e"),
        ("Equal", ["e", "g"], "y"),
    ]
    case = problem(nodes, {"half": 0.5, "two": 2.0}, (1, 1), LINE)
    found = found_for(case, [Fraction(1)], Fraction(0), Fraction(40))
    assert inside(found) == [(2 * k, 2 * k + 1) for k in range(20)]
    monkeypatch.setattr("verifier.engines.cutting.DEEPEST", 8)
    endless = found_for(case, [Fraction(1)], Fraction(0), INFINITY)
    assert endless.cells[-1].verdict == "gap" and endless.cells[-1].hi == INFINITY
    assert inside(endless)[:3] == [(0, 1), (2, 3), (4, 5)]


def test_stairs_on_rays() -> None:
    """Floor(z) has no last piece, but far out it is surely not 1."""
    nodes: Nodes = [("Floor", ["x"], "f"), ("Equal", ["f", "one"], "y")]
    case = problem(nodes, {"one": 1.0}, (1, 1), LINE)
    assert inside(found_for(case, [Fraction(1)], -INFINITY, INFINITY)) == [(1, 2)]


def test_products_of_stairs(tmp_path: Path) -> None:
    """Floor(z) z > 3 where z < -3/2 or z >= 2: a factor with several values."""
    nodes: Nodes = [("Floor", ["x"], "f"), ("Mul", ["f", "x"], "p"), ("Greater", ["p", "three"], "y")]
    case = problem(nodes, {"three": 3.0}, (1, 1), LINE)
    found = found_for(case, [Fraction(1)], Fraction(-4), Fraction(4), smt_folder=tmp_path)
    assert inside(found) == [(-4, Fraction(-3, 2)), (2, 4)]
    assert {answer_of(f) for f in tmp_path.iterdir()} == {"unsat"}


def test_no_time() -> None:
    case = worked_example()
    found = found_for(case, [Fraction(1), Fraction(0)], -INFINITY, INFINITY, timeout=0)
    assert {c.verdict for c in found.cells} <= {"gap", "inside", "outside"}
    assert (found.cells[0].lo, found.cells[-1].hi) == (-INFINITY, INFINITY)


def test_known_intervals_are_proved() -> None:
    """A wrong hint changes nothing."""
    case = worked_example()
    observed = [Fraction(1), Fraction(0)]
    hints = [(Fraction(-5, 4), Fraction(-3, 4)), (Fraction(0), Fraction(1))]
    plain, told = (found_for(case, observed, -INFINITY, INFINITY, known=k) for k in (None, hints))
    assert plain == told


@pytest.mark.parametrize("family", FAMILIES)
def test_another_solver_repeats_the_proof(family: str, tmp_path: Path) -> None:
    """cvc5 answers "unsat" to every file."""
    case = FAMILIES[family](3)
    observed = case.at(Fraction(1, 16))
    found_for(case, observed, Fraction(-1), Fraction(2), smt_folder=tmp_path)
    files = sorted(tmp_path.glob("*.smt2"))
    assert files and {answer_of(f) for f in files} == {"unsat"}


def test_the_proof_has_every_part(tmp_path: Path) -> None:
    """Completeness, the elements that differ, and the stable units; whole numbers where there are stairs."""
    observed = [Fraction(1), Fraction(0)]
    found_for(worked_example(), observed, Fraction(-2), Fraction(2), smt_folder=tmp_path / "a")
    parts = {f.stem.split("-")[1] for f in (tmp_path / "a").iterdir()}
    assert parts == {"stable", "complete", "outside"}
    for rounding, low in (("Floor", Fraction(1)), ("Ceil", Fraction(0)), ("Round", Fraction(1, 2))):
        nodes: Nodes = [(rounding, ["x"], "r"), ("Equal", ["r", "one"], "y")]
        folder = tmp_path / rounding
        case = problem(nodes, {"one": 1.0}, (1, 1), LINE)
        found = found_for(case, [Fraction(1)], Fraction(-1), Fraction(3), smt_folder=folder)
        assert inside(found) == [(low, low + 1)]
        assert any("(set-logic QF_LIRA)" in f.read_text() for f in folder.iterdir())
        assert {answer_of(f) for f in folder.iterdir()} == {"unsat"}


def test_a_wrong_bound_shows_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the engine's own bounds were wrong, another solver would refute what is claimed to be stable."""
    monkeypatch.setattr("verifier.engines.intervals._Pass.lower", lambda self, form: (1, 1))
    observed = [Fraction(1), Fraction(0)]
    found_for(worked_example(), observed, Fraction(-2), Fraction(2), smt_folder=tmp_path)
    assert any("got sat" in answer_of(f) for f in tmp_path.glob("*-stable.smt2"))


def answer_of(path: Path) -> str:
    """What cvc5 makes of an SMT-LIB file."""
    cvc5 = pytest.importorskip("cvc5")
    solver = cvc5.Solver()
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, str(path))
    answers = []
    while not (command := parser.nextCommand()).isNull():
        said = command.invoke(solver, parser.getSymbolManager()).strip()
        answers += [said] if said else []
    return " ".join(answers)
