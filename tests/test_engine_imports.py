"""Second opinions are independent: engines read no enclosure in floating point and nothing of the search."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_problems import INFINITY, Problem, worked_example

from inference.engines import contradiction
from inference.laws.normal import NormalLaw
from symbolic.enclosures.line import Line
from symbolic.enclosures.values import Affine
from symbolic.network import Network
from symbolic.node import operators
from verifier.cells import joined
from verifier.engines import lp, smt
from verifier.event import Event
from verifier.goal import Goal
from verifier.search import Search

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "verifier.engines.smt": {
        "numpy",
        "numpy.typing",
        "symbolic.errors",
        "symbolic.pieces.line",
        "symbolic.pieces.program",
        "verifier.cells",
        "z3",
    },
    "verifier.engines.lp": {
        "numpy",
        "numpy.typing",
        "symbolic.pieces.exact",
        "symbolic.pieces.regions.farkas",
        "symbolic.pieces.guards",
        "symbolic.pieces.regions.inequalities",
        "symbolic.pieces.line",
        "symbolic.pieces.program",
        "verifier.cells",
    },
}
"""By engine: what it and its own modules may import, besides each other and the standard library."""
PIECES = {"LinePiece", "line_piece"}
"""What would make an engine's own walk along the line idle."""
SEARCH = ("inference", "verifier.search", "verifier.event", "verifier.goal", "verifier.check", "sureline")


def imports(path: Path) -> list[tuple[str, set[str]]]:
    """Modules and names that a file imports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, set()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((str(node.module), {alias.name for alias in node.names}))
    return found


def modules(engine: str) -> list[Path]:
    """The files of an engine."""
    waiting, found = [engine], []
    while waiting:
        path = ROOT / (waiting.pop().replace(".", "/") + ".py")
        if path not in found:
            found.append(path)
            waiting += [name for name, _ in imports(path) if name.startswith("verifier.engines.")]
    return found


@pytest.mark.parametrize("engine", ALLOWED)
def test_imports(engine: str) -> None:
    for path in modules(engine):
        for name, what in imports(path):
            if name.startswith("verifier.engines.") or name.split(".")[0] in sys.stdlib_module_names:
                continue
            assert name in ALLOWED[engine], f"{path.name} imports {name}"
            assert not what & PIECES, f"{path.name} imports {what}"


@pytest.mark.parametrize("engine", ALLOWED)
def test_nothing_of_the_search_is_loaded(engine: str) -> None:
    code = f"import sys, {engine}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not [m for m in out.stdout.split() if m.startswith(SEARCH)]


def network_of(case: Problem) -> Network:
    return Network(case.model, {"x": np.zeros(case.shape, np.float32)}, "x", ["y"])


def searched(case: Problem, observed: list[Fraction]) -> Any:
    """The cells that the search finds."""
    line = Line.of(case.line.start, case.line.direction, case.shape)
    event = Event(network_of(case), line, [np.array([bool(v) for v in observed]).reshape(case.shape)])
    law = NormalLaw(Fraction(0), Fraction(1), Fraction(1), Fraction(0), "two-sided")
    return Search(event, law, Goal("exhaustive", max_cells=2000), reach=10.0).run().cells


OBSERVED = [Fraction(1), Fraction(0)]
TRUE = [(Fraction(-5, 4), Fraction(-3, 4)), (Fraction(5, 4), INFINITY)]


@pytest.fixture
def wrong_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relu is enclosed a quarter too high, wherever something moves."""
    true = operators["Relu"]

    def build(node: Any, inputs: Any) -> Any:
        rule = true.build(node, inputs)

        def lie(batch: Any, values: Any) -> Any:
            (y,) = rule(batch, values)
            assert isinstance(y, Affine)
            return (dataclasses.replace(y, c=y.c + 0.25 * (y.d != 0)),)

        return lie

    monkeypatch.setitem(operators, "Relu", dataclasses.replace(true, build=build))


@pytest.mark.parametrize("engine", [smt, lp])
def test_the_search_agrees_while_enclosures_are_right(engine: Any) -> None:
    case = worked_example()
    found = engine.truncation_set(case.program, case.line, {"y": OBSERVED}, -INFINITY, INFINITY)
    assert joined(found.cells, "inside") == TRUE
    assert contradiction(searched(case, OBSERVED), found.cells) is None


@pytest.mark.parametrize("engine", [smt, lp])
def test_a_wrong_enclosure_is_found_out(engine: Any, wrong_relu: None) -> None:
    """The search believes it, the engine does not: they contradict each other."""
    case = worked_example()
    found = engine.truncation_set(network_of(case).program, case.line, {"y": OBSERVED}, -INFINITY, INFINITY)
    assert joined(found.cells, "inside") == TRUE
    assert contradiction(searched(case, OBSERVED), found.cells) is not None


@pytest.mark.parametrize("engine", [smt, lp])
def test_no_enclosure_is_asked_for(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("an enclosure was asked for")

    case = worked_example()
    program = case.program
    monkeypatch.setattr(Network, "enclose", refuse)
    monkeypatch.setattr(Event, "__init__", refuse)
    if engine is smt:  # it shares no evaluation of pieces either
        monkeypatch.setattr("symbolic.pieces.exact.ExactPiece.__init__", refuse)
    found = engine.truncation_set(program, case.line, {"y": OBSERVED}, -INFINITY, INFINITY)
    assert joined(found.cells, "inside") == TRUE
