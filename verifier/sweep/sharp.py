"""Single linear pieces in double-double numbers, for the ends of what a sweep has proved.

After a dozen layers a sweep in float64 knows the scores to 1e-5, and leaves some thousandths of the line
undecided at every end. There a piece is computed afresh: values and slopes of all units as sums of two
floats, with the pattern at one point. By the theorem of `rigour`, with other residuals: of sums the rounding
of double-double numbers; of maxima by how much the greatest entry exceeds the pattern's at the two ends of
the stretch (the excess is convex in z and not negative, and so is its norm).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.guards import Branches
from symbolic.pieces.program import Linear, Maximum
from verifier.sweep.double_double import Doubled, sums, two_product, two_sum
from verifier.sweep.forward import Forward
from verifier.sweep.head import scratch_of
from verifier.sweep.reading_head import MIXED, every_element, want
from verifier.sweep.residuals import UP, terms
from verifier.sweep.running import DEEPEST, judge
from verifier.sweep.spreading import spread
from verifier.sweep.sweeper import Plan, Sweep, begun

__all__ = ["SharpSweeper"]

MOST_PIECES = 24
"""Linear pieces of a stretch; what is left then stays undecided."""
ROUNDS = 4
"""Looks at a bracket within a bracket."""
MOST_LOOKS = 256
"""On a stretch."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """Lines of all units (of layers alive): values at the origin, and slopes; the pattern, and its ends."""

    origin: float
    lines: Doubled
    errors: NDArray[np.float64]
    branches: Branches
    lo: float
    hi: float


class SharpSweeper:
    """Decides short stretches of a line, piece by piece.

    Parameters
    ----------
    plan : Plan
        As `rigour.rigorous` makes it.
    start, direction : Doubled
        Of the line, to 2^-106.
    """

    def __init__(self, plan: Plan, start: Doubled, direction: Doubled) -> None:
        self.plan, self.start, self.direction = plan, start, direction
        self.scratch = scratch_of(plan.program, plan.head, len(plan.body))
        self.every = every_element(plan.head, self.scratch)
        nothing = np.zeros(plan.program.size)
        self.state = begun(plan, Forward(nothing, nothing, {}), 0.0)
        self.pieces = self.looks = 0
        want(plan.head, self.scratch, 0, 1)

    @np.errstate(over="ignore", invalid="ignore")  # then nothing is claimed
    def run(self, lo: float, hi: float) -> Sweep:
        """Verdicts of a stretch, in ascending order; `MIXED` where nothing is proved."""
        rows: list[tuple[float, float, float, float]] = []
        waiting = [(lo, hi)]
        most = self.pieces + MOST_PIECES
        self.looks = 0
        while waiting and self.pieces < most:
            a, b = waiting.pop(0)
            piece = self._piece(0.5 * (a + b))
            self.pieces += 1
            left, right = max(a, piece.lo), min(b, piece.hi)
            if not left < right:  # between two kinks that float64 does not tell apart
                rows.append((a, b, float(MIXED), 0.0))
                continue
            rows += self._judged(piece, left, right, ROUNDS)
            waiting += [(c, d) for c, d in ((a, left), (right, b)) if c < d]
        rows += [(a, b, float(MIXED), 0.0) for a, b in waiting]
        table = np.array(sorted(rows)).reshape(-1, 4)
        verdicts, witness = table[:, 2].astype(np.int64), table[:, 3].astype(np.int64)
        return Sweep(np.zeros((0, 5)), table[:, 0], table[:, 1], verdicts, witness, hi)

    # ---- one piece --------------------------------------------------------------------------------------

    def _piece(self, origin: float) -> _Piece:
        """The piece around a point."""
        program, body = self.plan.program, self.plan.body
        high, low = np.zeros((2, program.size)), np.zeros((2, program.size))
        moved, off = two_product(np.array(origin), self.direction.high)
        value, rest = two_sum(self.start.high, moved)
        rest += off + self.start.low + origin * self.direction.low
        inputs = slice(1, 1 + program.n_inputs)
        high[0, inputs], low[0, inputs] = two_sum(value, rest)
        high[1, inputs], low[1, inputs] = self.direction.high, self.direction.low
        errors = np.zeros((len(body) + 1, 2))
        size = np.abs(self.start.high) + np.abs(moved), np.abs(self.direction.high)
        errors[-1] = [2.0**-98 * np.linalg.norm(v) + 1e-280 for v in size]
        errors[-1, ~np.isfinite(low[:, inputs]).all(axis=1)] = np.inf
        ranges = [program.layers[k].units for k in body] + [inputs]
        rows = np.zeros((6, program.size))
        branches: Branches = {}
        for j, k in enumerate(body):
            layer = program.layers[k]
            if isinstance(layer, Linear):
                read = [ranges[s] for s in np.nonzero(self.plan.net.norm[j])[0]]
                found, wrong = sums(layer, Doubled(high, low), read, terms(layer), rows)
                errors[j] = wrong * np.sqrt(layer.size) * UP
                high[:, layer.units], low[:, layer.units] = found.high, found.low
            elif isinstance(layer, Maximum):
                branches[k] = _greatest(layer, high, low)
                chosen = layer.sources[np.arange(layer.size), branches[k]]
                high[:, layer.units], low[:, layer.units] = high[:, chosen], low[:, chosen]
            else:
                errors[j] = np.inf
        lo, hi = self._ends(origin, high, branches)
        return _Piece(origin, Doubled(high, low), errors, branches, lo, hi)

    def _ends(self, origin: float, high: Array, branches: Branches) -> tuple[float, float]:
        """Where the first entry that is behind its winner catches up, on both sides (about)."""
        lo, hi = -np.inf, np.inf
        for k, branch in branches.items():
            gap, fall = _gaps(self.plan.program.layers[k].sources, branch, high)
            with np.errstate(divide="ignore", invalid="ignore"):
                time = np.where(np.isfinite(gap) & (gap < 0) & (fall != 0), -gap / fall, np.nan)
            hi = min(hi, float(np.min(time, where=time > 0, initial=np.inf)))
            lo = max(lo, float(np.max(time, where=time < 0, initial=-np.inf)))
        return origin + lo, origin + hi

    def _bounds(self, piece: _Piece, lo: float, hi: float) -> Array:
        """The errors e_l of `rigour` on a stretch."""
        reach = max(abs(lo - piece.origin), abs(hi - piece.origin)) * UP
        off = piece.errors[:, 0] + reach * piece.errors[:, 1]
        for j, k in enumerate(self.plan.body):
            layer = self.plan.program.layers[k]
            if isinstance(layer, Maximum):
                off[j] = max(_behind(layer.sources, piece, k, z) for z in (lo, hi))
        return spread(self.plan, float(off[-1]) * UP, off[:-1])

    def _judged(
        self, piece: _Piece, lo: float, hi: float, rounds: int
    ) -> list[tuple[float, float, float, float]]:
        """Verdicts on a piece; what is undecided on less of it is looked at again, where less is off."""
        plan, scratch = self.plan, self.scratch
        high = piece.lines.high
        reach = max(abs(lo - piece.origin), abs(hi - piece.origin))
        error = self._bounds(piece, lo, hi)
        ranges = [plan.program.layers[k].units for k in plan.body]
        for j, units in enumerate([*ranges, slice(1, 1 + plan.program.n_inputs)]):
            most = np.abs(high[:, units]).max(axis=1, initial=0.0)
            error[j] += 2.0**-51 * (most[0] + reach * most[1])  # of lines rounded to float64
        scratch.error[:] = error
        self.state.at[1] = piece.origin
        self.state.ahead[:], self.state.slope[:] = high[:, plan.units.old]
        pieces, made = np.zeros((4 * DEEPEST, 4)), np.zeros(3)
        judge(plan.head, scratch, self.every, self.state, lo, hi, pieces, made)
        self.looks += 1
        rows: list[tuple[float, float, float, float]] = []
        found = pieces[: int(made[1])].copy()
        mixed = found[found[:, 2] == MIXED]
        closer = rounds > 0 and (mixed[:, 1] - mixed[:, 0]).sum() < 0.5 * (hi - lo)
        for a, b, verdict, witness in found.tolist():
            if verdict == MIXED and closer and self.looks < MOST_LOOKS:
                rows += self._judged(piece, a, b, rounds - 1)
            else:
                rows.append((a, b, verdict, witness))
        return rows


def _greatest(layer: Maximum, high: Array, low: Array) -> NDArray[np.int64]:
    """The place of the greatest entry of each row, of equals the one that grows most."""
    seen = layer.sources >= 0
    for row in (high[0], low[0], high[1], low[1]):
        entries = np.where(seen, row[layer.sources], -np.inf)
        seen &= entries == entries.max(axis=1, keepdims=True)
    return np.asarray(seen.argmax(axis=1))


def _gaps(sources: NDArray[np.int64], branch: NDArray[np.int64], high: Array) -> tuple[Array, Array]:
    """By how much entries exceed their winners, and how fast that grows; nothing where there is no entry."""
    chosen = sources[np.arange(len(sources)), branch][:, None]
    gap, fall = high[:, sources] - high[:, chosen]
    return np.where(sources >= 0, gap, -np.inf), fall


def _behind(sources: NDArray[np.int64], piece: _Piece, k: int, z: float) -> float:
    """The l2 norm of by how much entries exceed the winners at a point, at most."""
    high, low = piece.lines.high, piece.lines.low
    at = z - piece.origin
    chosen = sources[np.arange(len(sources)), piece.branches[k]][:, None]
    gap, off = two_sum(high[0][sources], -high[0][chosen])
    off = off + (low[0][sources] - low[0][chosen])
    fall = (high[1][sources] - high[1][chosen]) + (low[1][sources] - low[1][chosen])
    exceeds = gap + (off + at * fall)
    size = np.abs(high[:, sources]) + np.abs(high[:, chosen])
    room = 2.0**-50 * (np.abs(off) + np.abs(at * fall) + np.abs(exceeds))
    room = room + 2.0**-100 * (size[0] + abs(at) * size[1])
    counted = (sources >= 0) & (sources != chosen) & (exceeds + room > 0)
    if np.isnan(exceeds + room)[sources >= 0].any():  # from numbers beyond float64
        return float("inf")
    most = np.where(counted, np.maximum(exceeds, 0.0) + room, 0.0).max(axis=1, initial=0.0)
    return float(np.linalg.norm(most)) * UP
