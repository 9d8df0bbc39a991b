"""The claims about the selection: its observed value, and its value on every open cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from verifier.check.claims.certificate import CellClaim
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.cases import Case
from verifier.check.graph.graph import Cell, CheckedGraph
from verifier.check.graph.line import is_dyadic, is_infinite
from verifier.check.numbers.integers import EXACT, FAST, FINE, RATIONAL, Array

__all__ = ["confirm_cells", "confirm_observed", "decided"]

LADDER = (FAST, FINE, 128, 256, 512, EXACT, RATIONAL)
HALVINGS = ((FINE, 7), (128, 17), (256, 2), (512, 2), (EXACT, 2), (RATIONAL, 2))
TO_ROOTS = ((EXACT, 1), (FINE, 5), (EXACT, 1), (FINE, 8), (EXACT, 1), *HALVINGS[1:])
"""For a cell with an end that is no dyadic number: it is likely a root, which only exact numbers reach."""
MIDDLES = (FAST, FINE, 128, 256)
"""Precisions that the middle of a cell is tried in: what that needs, so does the cell."""
PIECES = 64
MOST_CASES = 64
FEW = 3  # pieces; where more are open in the least precision, bits are tried before halves


def confirm_observed(graph: CheckedGraph, observed: Sequence[Array]) -> None:
    """The observed selection is that of the graph at t = 0."""
    for bits in LADDER:
        verdicts = [(lo[0], hi[0]) for lo, hi in graph.evaluate([(Fraction(0), Fraction(0))], bits)]
        for name, (lo, hi), value in zip(graph.outputs, verdicts, observed, strict=True):
            if ((lo > value) | (hi < value)).any():
                raise InvalidCertificate(
                    f"the observed value of {name!r} is not that of the graph at the input"
                )
        if all((lo == hi).all() for lo, hi in verdicts):
            return
    raise InvalidCertificate("the selection at the input cannot be confirmed")


def decided(cells: Sequence[CellClaim], observed: Sequence[Array]) -> list[tuple[int, CellClaim]]:
    """The cells that claim something, numbered; every element that they name exists."""
    claims = [(k, c) for k, c in enumerate(cells) if c.verdict != "gap"]
    for _, c in claims:
        if c.verdict == "outside" and not (c.output < len(observed) and c.element < observed[c.output].size):
            raise InvalidCertificate(f"the witness of the cell from {_text(c.lo)} does not exist")
    return claims


def confirm_cells(
    graph: CheckedGraph, claims: Sequence[tuple[int, CellClaim]], observed: Sequence[Array]
) -> None:
    """The verdicts of a few numbered cells hold on the whole open cells."""
    for (k, claim), state in zip(claims, _confirmed(graph, [c for _, c in claims], observed), strict=True):
        if state != 1:
            raise InvalidCertificate(
                f"cell {k}, from {_text(claim.lo)} to {_text(claim.hi)}: the verdict "
                f"{claim.verdict!r} is {'false' if state else 'not confirmed'}"
            )


def _confirmed(graph: CheckedGraph, claims: list[CellClaim], observed: Sequence[Array]) -> Iterator[int]:
    """The state of one cell after the other: all together in the least precision, then those that are open in
    the one that their middles need, and each by itself.
    """
    cells: list[Cell] = [(c.lo, c.hi) for c in claims]
    states = _states(graph, cells, claims, observed, FAST)
    open_ = [k for k, state in enumerate(states) if state == 0]
    needed = dict.fromkeys(open_, FAST)
    for bits in MIDDLES:
        middles = [_middle(cells[k]) for k in open_]
        found = _states(graph, middles, [claims[k] for k in open_], observed, bits) if open_ else []
        settled = [k for k, state in zip(open_, found, strict=True) if state]
        for k, state in zip(open_, found, strict=True):
            needed[k], states[k] = bits, min(state, 0)
        whole = [k for k in settled if states[k] == 0 and bits != FAST]
        found = (
            _states(graph, [cells[k] for k in whole], [claims[k] for k in whole], observed, bits)
            if whole
            else []
        )
        for k, state in zip(whole, found, strict=True):
            states[k] = state
        open_ = [k for k in open_ if k not in settled]
    for k, state in enumerate(states):
        yield state or _persist(graph, claims[k], observed, FAST if k in open_ else needed[k])


def _states(
    graph: CheckedGraph,
    cells: list[Cell],
    claims: list[CellClaim],
    observed: Sequence[Array],
    bits: int | None,
    case: Case | None = None,
) -> list[int]:
    """1 where the claim is confirmed on the cell, -1 where it is refuted, else 0."""
    found = graph.evaluate(cells, bits, case)
    states = []
    for i, claim in enumerate(claims):
        if claim.verdict == "inside":
            differ = any(
                ((lo[i] > v) | (hi[i] < v)).any() for (lo, hi), v in zip(found, observed, strict=True)
            )
            equal = all(
                ((lo[i] == v) & (hi[i] == v)).all() for (lo, hi), v in zip(found, observed, strict=True)
            )
            states.append(-1 if differ else int(equal))
        else:
            lo, hi = (a[i].reshape(-1)[claim.element] for a in found[claim.output])
            value = observed[claim.output].reshape(-1)[claim.element]
            states.append(1 if lo > value or hi < value else -int(lo == hi))
    return states


def _persist(graph: CheckedGraph, claim: CellClaim, observed: Sequence[Array], least: int = FAST) -> int:
    """The state of a cell in cases, in halves, and then with more bits: until all of it is confirmed or some
    of it refuted. No fewer bits than `least` are of use.
    """
    pending: list[Cell] = [(claim.lo, claim.hi)]
    if _in_every_case(graph, claim, pending[0], observed, least):
        return 1
    dyadic = all(is_infinite(end) or is_dyadic(Fraction(end)) for end in pending[0])
    for bits, halvings in HALVINGS if dyadic else TO_ROOTS:
        if LADDER.index(bits) < LADDER.index(least):
            continue
        whole = first = pending
        for again in range(halvings):
            if again:
                pending = [piece for cell in pending for piece in _pieces(cell)]
            states = _states(graph, pending, [claim] * len(pending), observed, bits)
            pending = [cell for cell, state in zip(pending, states, strict=True) if state == 0]
            if -1 in states:
                return -1
            if not pending or len(pending) > PIECES:
                return int(not pending)
            if bits == FINE and len(pending) > FEW:
                pending = first
                break
            if any(lo == hi for lo, hi in pending):  # a point that needs more bits, as all of it may
                pending = whole
                break
            whole = pending
        pending = [cell for cell in pending if not _in_every_case(graph, claim, cell, observed, bits)]
        if not pending:
            return 1
    return 0


def _in_every_case(
    graph: CheckedGraph, claim: CellClaim, cell: Cell, observed: Sequence[Array], bits: int | None
) -> bool:
    """Whether the claim is confirmed on the cell in each case of the elements that are undecided there."""
    waiting = [Case()]
    for _ in range(MOST_CASES):
        case = waiting.pop()
        # what is false in a case refutes nothing: the case may never occur
        if _states(graph, [cell], [claim], observed, bits, case)[0] != 1:
            parts = case.split()
            if not parts:
                return False
            waiting += parts
        if not waiting:
            return True
    return False


def _middle(cell: Cell) -> Cell:
    """A point of the cell, a dyadic one unless the cell is another point."""
    lo, hi = cell
    if is_infinite(lo) or is_infinite(hi):
        m = (
            Fraction(0)
            if is_infinite(lo) and is_infinite(hi)
            else (
                max(2 * Fraction(lo), Fraction(1)) if is_infinite(hi) else min(2 * Fraction(hi), Fraction(-1))
            )
        )
        m = m if is_dyadic(m) else Fraction(math.floor(m) if m < 0 else math.ceil(m))
    else:
        lo, hi = Fraction(lo), Fraction(hi)
        m = (lo + hi) / 2
        if not is_dyadic(m):  # a short number within an eighth of the width
            unit = Fraction(2) ** ((hi - lo).numerator.bit_length() - (hi - lo).denominator.bit_length() - 4)
            m = math.floor(m / unit) * unit
    return m, m


def _pieces(cell: Cell) -> list[Cell]:
    """The two open halves and the point between them; a point stays one."""
    m = _middle(cell)[0]
    return [cell] if cell[0] == cell[1] else [(cell[0], m), (m, m), (m, cell[1])]


def _text(end: Fraction | float) -> str:
    if isinstance(end, Fraction) and max(abs(end.numerator), end.denominator) < 10**12:
        return str(end)
    try:
        return f"{float(end):.6g}"
    except OverflowError:
        return f"{'-' if end < 0 else ''}2**{int(abs(Fraction(end))).bit_length()}"
