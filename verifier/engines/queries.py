"""What Z3 is asked of a segment, and the SMT-LIB files of what it refutes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import z3

from symbolic.pieces.line import End
from symbolic.pieces.program import Staircase
from verifier.engines.forms import Form, Stable
from verifier.engines.smt_terms import Term, Terms, between, either, rational

__all__ = ["Queries", "SmtFolder", "Undecided"]

COORDINATE = "z is the t of the certificate's cells: 0 is the observed input."
EFFORT = 4_000_000
"""Z3's resource limit of a query: it does not depend on the machine, as seconds do."""


class Undecided(Exception):
    """Z3 gave up, or the segment has too many intervals."""


class SmtFolder:
    """Numbered SMT-LIB files of what is "unsat", without the bounds that the engine proves itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        path.mkdir(parents=True, exist_ok=True)

    def write(self, kind: str, comment: str, assertions: Sequence[Term], whole_numbers: bool) -> None:
        """One file."""
        solver = z3.Solver()
        solver.add(*assertions)
        logic = "QF_LIRA" if whole_numbers else "QF_LRA"
        body = "\n".join(line for line in solver.to_smt2().splitlines() if not line.startswith(";"))
        lines = "".join(
            f"; {line}\n" for line in [*comment.splitlines(), COORDINATE, 'Expected answer: "unsat".']
        )
        body = body.replace("(set-info :status unknown)\n", "")
        text = f"{lines}(set-logic {logic})\n(set-info :status unsat)\n{body}"
        (self.path / f"{self.count:05d}-{kind}.smt2").write_text(text + "\n")
        self.count += 1

    def write_claims(self, stable: Stable, lo: End, hi: End) -> None:
        """That the branches hold on which the forms of the stable units rest."""
        terms = Terms(stable, lo, hi)
        broken = []
        for claim in stable.claims:
            term = terms.form(claim.form)
            broken.append(term <= 0 if claim.strict else term < 0)
        comment = (
            f"The units that are not named here have one branch {where(lo, hi)}.\n"
            "The files that follow, up to the next one of this kind, rest on it."
        )
        if broken:
            self.write("stable", comment, [*terms.definitions, either(broken)], has_whole_numbers(stable))


class Queries:
    """Of one open segment.

    Parameters
    ----------
    stable : Stable
        What is proved of the segment.
    lo, hi : Fraction or float
    wanted : mapping
        The elements of the selection that may change on the segment: their forms and observed values.
    folder : SmtFolder, optional
    deadline : float, optional
    """

    def __init__(
        self,
        stable: Stable,
        lo: End,
        hi: End,
        wanted: Mapping[tuple[int, int], tuple[Form, Fraction]],
        folder: SmtFolder | None,
        deadline: float | None,
    ) -> None:
        self.lo, self.hi, self.folder, self.deadline = lo, hi, folder, deadline
        self.whole_numbers = has_whole_numbers(stable)
        self.terms = Terms(stable, lo, hi)
        self.equal = {key: self.terms.equal(form, value) for key, (form, value) in wanted.items()}

    def selecting(self, runs: Sequence[tuple[End, End]]) -> Fraction | None:
        """A point with the observed selection outside closed intervals; None if there is none."""
        beyond = [self._outside(lo, hi) for lo, hi in runs]
        apart = "".join(f"\nand outside [{lo}, {hi}]" for lo, hi in runs)
        comment = f"No point has the observed selection {where(self.lo, self.hi)}{apart}."
        return self._find([*self.equal.values(), *beyond], "complete", comment)

    def all_select(self) -> bool:
        """Whether every point has the observed selection."""
        other = either([z3.Not(term) for term in self.equal.values()])
        comment = f"Every point has the observed selection {where(self.lo, self.hi)}."
        return self._find([other], "inside", comment) is None

    def differs(self, lo: End, hi: End, element: tuple[int, int]) -> bool:
        """Whether an element of the selection differs everywhere between two points; if Z3 can tell."""
        named = f"Element {element[1]} of output {element[0]}"
        comment = f"{named} differs from the observed one {where(lo, hi)}."
        try:
            query = [self.equal[element], *between(self.terms.z, lo, hi)]
            return self._find(query, "outside", comment) is None
        except Undecided:
            return False

    def _outside(self, lo: End, hi: End) -> Term:
        sides = []
        if lo > self.lo:
            sides.append(self.terms.z < rational(Fraction(lo)))
        if hi < self.hi:
            sides.append(self.terms.z > rational(Fraction(hi)))
        return either(sides or [z3.BoolVal(False)])

    def _find(self, query: Sequence[Term], kind: str, comment: str) -> Fraction | None:
        """A z that satisfies a query; None if there is none."""
        solver = z3.Solver()
        solver.set("rlimit", EFFORT)
        if self.deadline is not None:
            solver.set("timeout", max(1, int(1000 * (self.deadline - time.monotonic()))))
        solver.add(*self.terms.definitions, *self.terms.bounds, *query)
        answer = solver.check()
        if answer == z3.unsat:
            if self.folder is not None:
                self.folder.write(kind, comment, [*self.terms.definitions, *query], self.whole_numbers)
            return None
        if answer != z3.sat:
            raise Undecided
        value: Any = solver.model().eval(self.terms.z, model_completion=True)
        return Fraction(value.numerator_as_long(), value.denominator_as_long())


def where(lo: End, hi: End) -> str:
    """In words."""
    return f"for {lo} < z < {hi}"


def has_whole_numbers(stable: Stable) -> bool:
    """Whether the formula has variables that are whole numbers."""
    return any(isinstance(unit.layer, Staircase) for unit in stable.unstable)
