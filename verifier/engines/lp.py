"""The engine "cvxpy": a line is walked from one linear piece to the next by linear programming.

The piece just behind a point is found by exact evaluation. Its greatest and least z are those of two linear
programs over the polytope of the activation pattern on the line, each with an exact Farkas certificate
(`extremes`). The walk goes on behind the greatest z, until the end of the line, or until a ray along which
all rows hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import Guards, guards_of
from symbolic.pieces.line import Binding, End, RationalLine
from symbolic.pieces.program import Maximum, Program
from symbolic.pieces.regions.inequalities import Inequalities
from verifier.cells import Cell
from verifier.engines.extremes import greatest
from verifier.engines.found import ExactSet, Observed, differing

__all__ = ["truncation_set"]

MOST_PIECES = 1 << 15
"""After so many in one direction the rest is a gap: a staircase that goes on for ever."""


@dataclass(frozen=True)
class Stretch:
    """An open piece in the direction of a walk, with what it selects.

    Attributes
    ----------
    near, far : Fraction or float
        Its ends, in the parameter of the walk.
    outputs : mapping or None
        The discrete outputs; None where nothing is known.
    behind : Binding or None
        What binds at the near end.
    at_far : mapping or None
        The discrete outputs at the far end itself.
    binding : Binding or None
        What binds at the far end.
    """

    near: Fraction
    far: End
    outputs: Observed | None
    behind: Binding | None = None
    at_far: Observed | None = None
    binding: Binding | None = None


def truncation_set(
    program: Program,
    line: RationalLine,
    observed: Observed,
    lo: End,
    hi: End,
    *,
    progress: Callable[[str], None] | None = None,
    timeout: float | None = None,
    most: int | None = None,
) -> ExactSet:
    """The set {z in (lo, hi): outputs(x(z)) = observed}.

    Parameters
    ----------
    program : Program
        With rational constants.
    line : RationalLine
    observed : mapping of str to sequence of Fraction
        The discrete outputs, flat.
    lo, hi : Fraction or float
        Floats are infinities.
    progress : callable, optional
        Gets a line of text for every piece.
    timeout : float, optional
        Seconds; what is not decided then is a gap.
    most : int, optional
        Pieces to each side; what is not decided then is a gap.
    """
    if not lo < hi:
        raise ValueError("an empty part of the line")
    cells = _Cells(observed)
    start = lo if isinstance(lo, Fraction) else hi if isinstance(hi, Fraction) else Fraction(0)
    back = RationalLine(line.start, tuple(-v for v in line.direction))
    deadline = None if timeout is None else time.monotonic() + timeout
    walk = _Walk(program, deadline, progress, min(MOST_PIECES, most or MOST_PIECES))
    if lo < start:
        origin = ExactPiece(program, line.at(start), []).outputs
        to_the_left = list(walk.pieces(back, -start, -lo))
        for k in range(len(to_the_left) - 1, -1, -1):
            one = to_the_left[k]
            point = to_the_left[k - 1].at_far if k else origin
            binding = to_the_left[k - 1].binding if k else one.behind
            cells.add(-one.far, -one.near, one.outputs, point, binding)
    if start < hi:
        for one in walk.pieces(line, start, hi):
            cells.add(one.near, one.far, one.outputs, one.at_far, one.binding)
    return ExactSet(tuple(cells.cells), tuple(cells.ends))


class _Cells:
    """Cells so far, from left to right, adjoining ones with the same verdict as one."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.cells: list[Cell] = []
        self.ends: list[tuple[Fraction, Binding]] = []
        self._point: Observed | None = None
        self._binding: Binding | None = None

    def add(
        self, lo: End, hi: End, outputs: Observed | None, point: Observed | None, binding: Binding | None
    ) -> None:
        """One more open interval, with the outputs at its right end and what binds there."""
        last = self.cells[-1] if self.cells else None
        verdict, witness = self._judged(outputs, last)
        if last is not None and verdict != "gap" and self._joins(last, verdict, witness):
            self.cells[-1] = Cell(last.lo, hi, verdict, *witness)
        else:
            changes = last is not None and {last.verdict, verdict} == {"inside", "outside"}
            if changes and self._binding is not None and isinstance(lo, Fraction):
                self.ends.append((lo, self._binding))
            self.cells.append(Cell(lo, hi, verdict, *witness))
        self._point, self._binding = point, binding

    def _judged(self, outputs: Observed | None, last: Cell | None) -> tuple[Any, tuple[int, int]]:
        """Verdict and witness, that of the cell before if it will do."""
        if outputs is None:
            return "gap", (-1, -1)
        if last is not None and last.verdict == "outside" and self._differs(outputs, last):
            return "outside", (last.output, last.element)
        found = differing(outputs, self.observed)
        return ("inside", (-1, -1)) if found is None else ("outside", found)

    def _differs(self, outputs: Observed, cell: Cell) -> bool:
        name = list(self.observed)[cell.output]
        return outputs[name][cell.element] != self.observed[name][cell.element]

    def _joins(self, last: Cell, verdict: str, witness: tuple[int, int]) -> bool:
        """Whether the point between the last cell and the next is like both."""
        if (last.verdict, last.output, last.element) != (verdict, *witness) or self._point is None:
            return False
        if verdict == "inside":
            return differing(self._point, self.observed) is None
        return self._differs(self._point, last)


@dataclass(frozen=True)
class _Walk:
    """From piece to piece, as long as there is time."""

    program: Program
    deadline: float | None
    progress: Callable[[str], None] | None
    most: int

    def pieces(self, line: RationalLine, at: Fraction, stop: End) -> Iterator[Stretch]:
        """The pieces from a point on, to the right."""
        finer = 0
        for count in range(self.most):
            if self.deadline is not None and time.monotonic() >= self.deadline:
                break
            one = _stretch(self.program, line, at, stop, finer)
            yield one
            if one.binding is None or not one.far < stop:
                return
            finer, at = _unit(Fraction(one.far) - at), Fraction(one.far)
            if self.progress is not None:
                self.progress(f"cvxpy: {count + 1} pieces, z = {float(at):.6g}")
        yield Stretch(at, stop, None)


def _stretch(program: Program, line: RationalLine, at: Fraction, stop: End, finer: int) -> Stretch:
    """The piece just right of a point; linear programs begin in units of 2**-finer."""
    piece = ExactPiece(program, line.at(at), [line.direction])
    guards = guards_of(program, piece.branches)
    margins, _ = piece.margins(guards)
    moving = np.nonzero(margins[1])[0]
    system = _system(margins[:, moving])
    right = greatest(system, 1, finer=finer)
    unit = _unit(right.z) if right is not None and right.z else finer
    left = greatest(system, -1, finer=unit, scales=1)
    # all guards hold at both ends, so in between: the pattern is right, however it was found
    if right is None or left is None or not _hold(guards, margins):
        return Stretch(at, stop, None)
    if _sign(left.z, -1) > 0 or _sign(right.z, 1) <= 0:
        return Stretch(at, stop, None)
    behind = _binding(program, guards, moving[_zeros(margins[:, moving], Fraction(0))])
    if right.z is None or at + right.z > stop:
        return Stretch(at, stop, piece.outputs, behind)
    far = at + right.z
    zero = moving[_zeros(margins[:, moving], right.z)]
    jump = _jump(program, guards.at(zero))
    point = ExactPiece(program, line.at(far), []).outputs if jump else piece.outputs
    return Stretch(at, far, piece.outputs, behind, point, _binding(program, guards, zero))


def _unit(width: Fraction) -> int:
    """The k such that a width is about 2**-k."""
    return width.denominator.bit_length() - abs(width.numerator).bit_length()


def _sign(z: Fraction | None, infinite: int) -> int:
    """The sign of an extreme; of none as given."""
    return infinite if z is None else (z > 0) - (z < 0)


def _system(margins: NDArray[Any]) -> Inequalities:
    """value + slope z >= 0 of every guard that moves."""
    count = margins.shape[1]
    zeros, one_each = np.zeros(count, dtype=np.int64), np.arange(count + 1)
    return Inequalities(one_each, zeros, -margins[1], margins[0], np.zeros(count, dtype=bool), 1)


def _hold(guards: Guards, margins: NDArray[Any]) -> bool:
    """Whether the guards that do not move hold."""
    still = np.nonzero(margins[1] == 0)[0]
    value, strict = margins[0, still], guards.strict[still]
    return bool(((value > 0) | ((value == 0) & ~strict)).all())


def _zeros(margins: NDArray[Any], z: Fraction) -> NDArray[np.int64]:
    """Which margins are zero at a point."""
    return np.nonzero(margins[0] * z.denominator + margins[1] * z.numerator == 0)[0]


def _jump(program: Program, guards: Guards) -> bool:
    """Whether some guards are those of operators that jump."""
    return any(not isinstance(program.layers[k], Maximum) for k in guards.layer.tolist())


def _binding(program: Program, guards: Guards, zero: NDArray[np.int64]) -> Binding | None:
    """The last of some guards."""
    if not zero.size:
        return None
    layer = int(guards.layer[zero[-1]])
    return Binding(layer, int(guards.unit[zero[-1]]), str(program.layers[layer].label))
