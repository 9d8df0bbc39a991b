"""Sweeping with proved verdicts.

Theorem. Let v(z) be what is swept: of every unit a line, its value at the horizon plus slope times the
distance. Let x(z) be the true values. For a layer l let r_l(z) be v_l(z) less what the layer makes of the
swept values v(z) that it reads, in real arithmetic, and let n_ls bound the l2 Lipschitz constant of layer l
in layer s. Then |v_l(z) - x_l(z)| <= e_l with

    e_l = |r_l| + sum over s of n_ls e_s                 (linear layers)
    e_l = |r_l| + root of the sum of (n_ls e_s)^2        (maxima)

and e of the inputs is what their lines are off the true line.

Proof. v_l - x_l = r_l + L(v) - L(x), where L is the layer, and |L(v) - L(x)| <= the sum of the n_ls e_s for
a linear layer. For a maximum |max a_j - max b_j| <= max |a_j - b_j|, so the square of the l2 norm is at
most the sum of the squared differences of all entries of all rows: those of layer s occur at most n_ls^2
times.

The residuals. On a piece r_l of a linear layer is affine in z (all its units are lines), so its norm is
convex and at most |r_ahead| + |z - horizon| |r_slope|: two vectors that are computed afresh here now and
then, with gamma_n (|W||v| + |b|) for the rounding of doing so (its norm by that of |W|), and that the loops
change by rounding only: by what a sum of lines is rounded, by what the changes handed over were rounded (each
at most the norm of the layer times the norm of what its sources were off), and by moving the horizon. The
tally holds the sum of the norms of all of them. Of a maximum r_l is the chosen entry less the greatest one:
a concave function of z, zero but for units whose winner lags; `wrong_maxima` bounds each for as long as its
block stays as it is, and as every unit's bound is found when its block is looked at, the root of the sum of
all squares found bounds the norm at any time. The copies that maxima make are exact; that is checked.

So between two checks every e_l grows only, and the bound at the end holds throughout. The head widens what
it reads by an assumed error (see `head`); if the bound at the end is greater the stretch is swept again
with a greater one. What the head still knows is proved. The input line is start + z direction, as the floats
are; ``off`` says how far that is from the true one.

Where products of norms say too little of what the head reads, `gains` bounds e by the pattern at hand.

Jumps. Steps, winners and stairs whose inputs stay farther from their edges than the inputs' error have their
true branches, and no error; verdicts are given only where that is so for all of them (`certainty`). A product
of a whole number that is made of such (`norms.whole_numbers`) has the greatest of these numbers as Lipschitz
constant, and its rounding as residual. In an event that jumps the changes of values are sums of their own,
tallied as those of slopes are. Products of other numbers have no bounds here: nothing is claimed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Staircase, Step, Winner
from verifier.sweep.adjoint import adjoint_of
from verifier.sweep.double_double import two_product, two_sum
from verifier.sweep.fusing import reads
from verifier.sweep.gains import Gains
from verifier.sweep.horizon import note_margins, schedule
from verifier.sweep.reading_head import MIXED
from verifier.sweep.residuals import (
    ULP,
    UP,
    fine_residual,
    l2_norm,
    linear_residual,
    product_residual,
)
from verifier.sweep.spreading import spread
from verifier.sweep.state import State
from verifier.sweep.sweeper import Plan, Sweep, Sweeper

__all__ = ["LARGEST", "SEGMENT", "CertifiedSweeper"]

LARGEST = 2.0**20
"""Points of the line beyond it are not swept with rigour: differences of horizons are exact below."""
COARSE, ENOUGH = 2.0**-12, 2.0**-20
"""Of the size of what the head reads: errors that norms leave greater are bounded by the pattern, which need
not do better than the second."""
MOST_READ = 1024
"""Units of a layer of which that is done."""
SEGMENT, SHORT_SEGMENT = 1024, 64
"""Events between two checks; where something jumps, as what stays undecided there is as wide as the error."""


class CertifiedSweeper:
    """A sweeper whose verdicts are proved.

    Parameters
    ----------
    plan : Plan
        As `rigorous` makes it, with an observed selection.
    start, direction : ndarray
    off : (float, float)
        Bounds of the l2 norm of the true start, and of the true direction, less the given ones.
    """

    def __init__(
        self, plan: Plan, start: Array, direction: Array, off: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.plan = plan
        self.sweeper = Sweeper(plan, start, direction)
        self.off = off
        kinds = [plan.program.layers[k] for k in plan.body]
        self.discrete = np.array(
            [isinstance(layer, (Step, Winner, Staircase)) for layer in kinds], dtype=bool
        )
        self.fine = bool(self.discrete.any())
        self.segment = SHORT_SEGMENT if self.fine else SEGMENT
        self.checks = 0
        self.unchecked = self.segment
        self.repeats = 0
        self.growth: Array | None = None  # of the errors per event
        self.adjoint = None if self.fine else adjoint_of(plan)
        self.read = {} if self.adjoint is None else _read_by_head(plan, self.adjoint.owner)
        self.needed = slice(None) if self.adjoint is None else np.array(list(self.read), dtype=np.int64)
        self.known: Array | None = None  # the last bounds
        self.by_pattern = False  # whether these are so

    def run(self, z0: float, z1: float, max_events: int = 1 << 30) -> Sweep:
        """As `Sweeper.run`; pieces that are not proved are `MIXED`."""
        sign = 1.0 if z1 >= z0 else -1.0
        found: list[Sweep] = []
        sweeper, at, left = self.sweeper, z0, max_events
        if sweeper.stands(z0, sign) is False:
            sweeper.begin(z0, sign)
            self.unchecked = self.segment
        while left > 0 and at != z1:
            if self.unchecked >= self.segment:
                self.check()
            kept = _copied(sweeper.state)
            begins, witness = at, int(sweeper.scratch.witness[0])
            error = self.scratch_error()
            far = max(abs(begins), abs(z1))
            fresh = self.errors(far)
            most = min(left, self.segment - self.unchecked)
            if self.growth is None:
                self.growth = fresh / self.segment
            error[:] = np.minimum(1.1 * fresh + 1.5 * most * self.growth, self._expected(fresh))
            part = sweeper.run(at, z1, most)
            bound = self.errors(far)
            known = self._sharper(bound)
            while not (known <= error)[self.needed].all():
                self.repeats += 1
                sweeper.restore(_copied(kept), begins, witness)
                if self.by_pattern and most > SHORT_SEGMENT:  # which has changed too much
                    most = self.segment = max(SHORT_SEGMENT, most // 4)
                else:
                    error[:] = 1.5 * known
                part = sweeper.run(begins, z1, most)
                bound = self.errors(far)
                known = self._sharper(bound)
            self.known = known
            if len(part.events):
                grown = np.where(np.isfinite(bound), bound - fresh, 0.0)
                self.growth = np.maximum(grown, 0.0) / len(part.events)
            found.append(part if max(abs(begins), abs(part.reached)) < LARGEST else _unknown(part))
            left -= len(part.events)
            self.unchecked += len(part.events)
            at = part.reached
        return _joined(found, sign, z0)

    def scratch_error(self) -> Array:
        """What the head assumes."""
        error: Array = self.sweeper.scratch.error
        return error

    # ---- bounds -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compute all residuals afresh, and begin a new tally."""
        self.checks += 1
        self.unchecked = 0
        plan, s = self.plan, self.sweeper.state
        old = plan.units.new
        lines = np.stack([s.slope[old], s.ahead[old]])  # numbered as in the program
        known = s.tally.copy() if s.at[4] > 0 else np.full_like(s.tally, np.inf)
        s.tally[:] = 0.0
        s.margin[:] = np.inf
        inputs = slice(1, 1 + plan.program.n_inputs)
        ranges = [*(plan.program.layers[k].units for k in plan.body), inputs]
        rows = np.zeros((6, plan.program.size)) if self.fine else lines
        size = np.array([[l2_norm(np.abs(row[units])) for row in lines] for units in ranges])
        for j, k in enumerate(plan.body):
            layer = plan.program.layers[k]
            if isinstance(layer, Linear):
                made = size[j] + plan.net.absolute[j] @ size
                if self.fine:
                    read = [ranges[k] for k in np.nonzero(plan.net.norm[j])[0]]
                    found, least = fine_residual(layer, lines, read, rows)
                else:
                    found, least = linear_residual(layer, lines, made, float(plan.net.gamma[j]))
                if (least > known[j, :2]).any():
                    raise ArithmeticError(f"the sweep has gone wrong at {layer.label}; please report this.")
                s.tally[j, :2] = found
            elif isinstance(layer, Product):
                s.tally[j, :2] = product_residual(layer, lines)
            elif isinstance(layer, Maximum):
                branch = s.branch[old][layer.units].astype(np.int64)
                chosen = layer.sources[np.arange(layer.size), branch]
                if (lines[:, chosen] != lines[:, layer.units]).any():
                    s.tally[j, 2] = np.inf
        s.tally[-1, 1] = self._input_error(lines[1, inputs])
        s.at[4], s.at[5] = 1.0, max(s.at[1] - s.at[0], s.at[2])
        schedule(plan.net, s)  # finds the residuals of the maxima

    def _input_error(self, ahead: Array) -> float:
        """What the input lines are off start + z direction at the horizon."""
        sweeper = self.sweeper
        moved, least = two_product(np.array(sweeper.state.at[1] * sweeper.sign), sweeper.direction)
        there, off = two_sum(sweeper.start, moved)
        apart, rest = two_sum(ahead, -there)
        found = np.abs(apart + (rest - (off + least)))
        found += 4 * ULP * (np.abs(apart) + np.abs(rest) + np.abs(off) + np.abs(least)) + 1e-280
        return l2_norm(found)

    def errors(self, z: float) -> Array:
        """The bounds e_l of all swept layers, and of the inputs last, as far as a point is from 0."""
        s = self.sweeper.state
        far = max(abs(float(s.at[1])), abs(z))
        inputs = (s.tally[-1, 1] + self.off[0] + far * self.off[1]) * UP
        return spread(self.plan, inputs, self._own())

    def _own(self) -> Array:
        """Bounds of |r_l|."""
        s = self.sweeper.state
        span = max(s.at[5], s.at[1] - s.at[0])
        own = s.tally[:-1, 1] + span * s.tally[:-1, 0] + np.sqrt(s.tally[:-1, 2])
        own[self.discrete] = 0.0  # exact wherever a verdict is given (`certainty`)
        return np.asarray(own)

    def _coarse(self, bound: Array) -> dict[int, float]:
        """The layers that the head reads and norms tell too little of, and how large their units are."""
        s, new = self.sweeper.state, self.plan.units.new
        found = {}
        for j, units in self.read.items():
            if j == len(self.plan.body):
                continue
            start = self.plan.program.layers[self.plan.body[j]].start
            size = float(np.sqrt((s.ahead[new[start + units]] ** 2).mean()))
            if bound[j] > COARSE * size and len(units) <= MOST_READ:
                found[j] = size
        return found

    def _sharper(self, bound: Array) -> Array:
        """The same bounds, with better ones of what is coarse."""
        coarse = self._coarse(bound)
        self.by_pattern = bool(coarse)
        if not coarse:
            return bound
        gains = self.gains(bound, ENOUGH * min(coarse.values()))
        bound = bound.copy()
        for j in sorted(coarse):
            bound[j] = min(bound[j], l2_norm(gains.of_layer(j, self.read[j])))
        return bound

    def gains(self, bound: Array, enough: float = 0.0) -> Gains:
        """Better bounds than those by norms, of what is sums and maxima."""
        if self.adjoint is None:
            raise ValueError("something jumps")
        s, new = self.sweeper.state, self.plan.units.new
        note_margins(self.plan.net, s)
        return Gains(
            self.plan, self.adjoint, self._own(), bound, s.branch[new].astype(np.int64), s.margin[new], enough
        )

    def _expected(self, fresh: Array) -> Array:
        """What the bounds of coarse layers will be, as it seems; infinite of all others."""
        expected = np.full_like(fresh, np.inf)
        coarse = list(self._coarse(fresh))
        if coarse:
            known = self.known if self.known is not None else self._sharper(fresh)
            expected[coarse] = 4.0 * known[coarse]
        return expected


def _read_by_head(plan: Plan, owner: Ids) -> dict[int, Ids]:
    """Of the swept layers, and the inputs, what the head or an output reads: units counted in the layer."""
    program = plan.program
    parts = [reads(program.layers[k]) for k in plan.tail] + [
        ids.reshape(-1) for ids in program.outputs.values()
    ]
    units = np.unique(np.concatenate(parts))
    starts = [*(program.layers[k].start for k in plan.body), 1]
    return {
        j: units[owner[units] == j] - start for j, start in enumerate(starts) if (owner[units] == j).any()
    }


def _copied(state: State) -> State:
    return State(*(part.copy() for part in state))


def _unknown(part: Sweep) -> Sweep:
    return replace(part, verdicts=np.full_like(part.verdicts, MIXED))


def _joined(found: list[Sweep], sign: float, z0: float) -> Sweep:
    """Parts one after the other."""
    if not found:
        nothing = np.zeros(0)
        return Sweep(np.zeros((0, 5)), nothing, nothing, np.zeros(0, np.int64), np.zeros(0, np.int64), z0)
    ordered = found if sign > 0 else found[::-1]

    def glued(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in ordered])

    events = np.concatenate([part.events for part in found])
    return Sweep(events, glued("lo"), glued("hi"), glued("verdicts"), glued("witness"), found[-1].reached)
