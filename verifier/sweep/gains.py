"""Sharper bounds of what a sweep is off, by what errors below can do with the pattern at hand.

Products of the layers' norms (`spreading.spread`) grow by a factor of almost three with every convolution,
and allow for errors that a network with its pattern does not let through. Here the adjoint of the pattern
says what can reach a unit.

Theorem. Let e = v - x be what the swept values are off, as in `rigour`, at any point of a stretch that is
swept without jumps, r_l the residuals, and S the winners of all maxima at one time of the stretch. A maximum
u differs by w_u (v - x) on the entries of its row, with weights w_u >= 0 that add up to 1 (those of a point
between, by the mean value theorem), up to its residual. So

    e_l = r_l + A_l e                   (sums)
    e_u = r_u + e_S(u) + d_u            (maxima), |d_u| <= c_u, d_u = 0 if u is certain,

where c_u is what the two entries of its row with the largest bounds are off together. For any unit and any
rows g_l, beginning with the unit's own: g_l e_l = g_l (r_l + d_l) + (g_l A_l) e, so that e of the unit is
bounded by the sum over all layers of |g_l| |r_l| + sum of |g_u| c_u over the uncertain u, plus |g_l| |e_l|
where the rows end, plus for the rounding of every g_s its norm times a bound of |e_s|.

Certain. The winner of u is the same one all along, of the true values too, if it has not changed and has led
by more than 3 c_u whenever the sweep looked (`State.margin`): at every point v is within e of x, so that what
the true margin differs from the swept one is at most c_u. Between two looks the swept margin is a line; where
a look replaces one line by another both are within c_u of the true margin there, so within 2 c_u of each
other. So the swept margin is more than c_u at all times, and the true one positive.

The bounds c_u come from norms; where these do not do, from rows of the adjoint that begin at the entries, in
the order of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Maximum
from verifier.sweep.adjoint import Adjoint
from verifier.sweep.residuals import UP, l2_norm
from verifier.sweep.spreading import handed_on
from verifier.sweep.sweeper import Plan

__all__ = ["Gains"]

CHUNK = 64
"""Rows at a time."""
FEW = 4.0
"""Of what is enough: so much better winners that may change are known, if they can be."""
MOST_ROWS = 4096
"""That one layer may need; else its norms have to do."""


@dataclass
class Gains:
    """Bounds at the end of a stretch, which hold on its last part: as far as ``bounds`` do.

    Parameters
    ----------
    plan : Plan
        As `spreading.rigorous` makes it.
    adjoint : Adjoint
    own : ndarray
        Bounds of |r_l|, per swept layer.
    bounds : ndarray
        Bounds of |e_l| by norms, of the inputs last.
    branch, margin : ndarray
        Per unit, numbered as in the program.
    enough : float
        Errors that need not be known better.
    """

    plan: Plan
    adjoint: Adjoint
    own: Array
    bounds: Array
    branch: Ids
    margin: Array
    enough: float
    _uncertain: dict[int, tuple[Ids, Array]] = field(default_factory=dict)
    """Of layers of maxima: units (counted in the layer) that may change, and c."""

    def of_layer(self, layer: int, units: Ids) -> Array:
        """Bounds of the errors of some units (counted in the layer) of one layer."""
        for j in range(layer + 1):
            if j not in self._uncertain and isinstance(self._layer(j), Maximum):
                self._uncertain[j] = self._find_uncertain(j)
        return self._of_units(layer, units, np.full(len(units), self.enough))

    def _layer(self, j: int) -> Any:
        return self.plan.program.layers[self.plan.body[j]]

    def _find_uncertain(self, j: int) -> tuple[Ids, Array]:
        """The maxima of a layer that are not certain, and bounds of what that does."""
        layer = self._layer(j)
        owner, start = self.adjoint.owner, self.adjoint.start
        table = layer.sources
        owners = np.where(table > 0, owner[np.maximum(table, 0)], -1)
        margin = self.margin[layer.units]
        both = _two_largest(np.where(owners >= 0, self.bounds[owners], 0.0))
        found = np.nonzero(~(margin > 3.0 * both))[0]
        if len(found) == 0 or both[found].max() <= self.enough / FEW:
            return found, both[found]
        few = table[found]
        # a source need not be known better than its maxima need it to be certain
        needed = np.maximum(np.maximum(margin[found], 0.0) / 6.0, self.enough / FEW)
        better = np.full(len(owner), np.inf)
        np.minimum.at(better, few.clip(0), needed[:, None])
        values = np.zeros(len(owner))
        for s in np.unique(owners[found]).tolist():
            if s < 0:
                continue
            mine = np.unique(few[owners[found] == s])
            if len(mine) > MOST_ROWS:
                return found, both[found]
            values[mine] = self._of_units(s, mine - start[s], better[mine])
        off = np.where(few > 0, values[few.clip(0)], 0.0)
        both = _two_largest(off)
        still = ~(margin[found] > 3.0 * both)
        return found[still], both[still]

    def _of_units(self, layer: int, units: Ids, enough: Array) -> Array:
        """Bounds of units of one layer, in chunks; each as good as is enough, if that can be had."""
        found = [
            self._of_rows(layer, units[k : k + CHUNK], enough[k : k + CHUNK])
            for k in range(0, len(units), CHUNK)
        ]
        return np.asarray(np.minimum(np.concatenate([*found, np.zeros(0)]), self.bounds[layer]))

    def _of_rows(self, layer: int, units: Ids, enough: Array) -> Array:
        """Bounds of a few units: the least of those where rows may end."""
        adjoint, net = self.adjoint, self.plan.net
        if not np.isfinite(self.bounds).all():
            return np.full(len(units), np.inf)
        best = np.full(len(units), np.inf)
        going = np.arange(len(units))
        total = np.zeros(len(units))
        first = np.zeros((int(adjoint.size[layer]), len(units)))
        first[units, going] = 1.0
        pending = {layer: first}
        absolute = {layer: np.zeros(len(units))}  # of what was summed, for the rounding
        while pending:
            size = {s: _norms(rows) for s, rows in pending.items()}
            rest = sum((size[s] + adjoint.rounding[s] * absolute[s]) * self.bounds[s] for s in pending)
            best[going] = np.minimum(best[going], (total + rest) * UP)
            open_ = best[going] > enough[going]
            if not open_.any():
                break
            if open_.sum() <= len(going) // 2:
                going, total = going[open_], total[open_]
                pending = {s: np.ascontiguousarray(rows[:, open_]) for s, rows in pending.items()}
                size = {s: v[open_] for s, v in size.items()}
                absolute = {s: v[open_] for s, v in absolute.items()}
            j = _last(pending, len(self.own))
            rows, norm = pending.pop(j), size[j]
            total = total + adjoint.rounding[j] * absolute.pop(j) * self.bounds[j]
            if j == len(self.own):
                total = total + norm * self.bounds[j]
                continue
            found = self._layer(j)
            total = total + norm * self.own[j]
            if isinstance(found, Maximum):
                total = total + self._of_changes(j, rows)
            branch = self.branch[found.units] if isinstance(found, Maximum) else self.branch[:0]
            adjoint.through(found, j, rows, branch, pending)
            weights = net.norm if isinstance(found, Maximum) else net.absolute
            for s in pending:
                absolute[s] = absolute.get(s, 0.0) + weights[j, s] * norm
        else:
            best[going] = np.minimum(best[going], total * UP)
        return best

    def _of_changes(self, j: int, rows: Array) -> Array | float:
        """What winners that may change can add."""
        units, off = self._uncertain[j]
        if len(units) == 0:
            return 0.0
        some = np.abs(rows[units])
        together = l2_norm(handed_on(self.plan.net, j, self.bounds))
        return np.asarray(np.minimum(off @ some, np.sqrt(2.0) * together * _norms(some)) * UP)


def _two_largest(values: Array) -> Array:
    """The sum of the two largest of every row."""
    if values.shape[1] == 1:
        return values[:, 0]
    return np.asarray(np.partition(values, -2, axis=1)[:, -2:].sum(axis=1) * UP)


def _norms(rows: Array) -> NDArray[np.float64]:
    """At least the l2 norms of columns."""
    found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->j", rows, rows)) * UP + 1e-140
    return found


def _last(pending: dict[int, Array], inputs: int) -> int:
    """The last layer, which nothing that is left reads; the inputs are the first."""
    return max(pending, key=lambda s: -1 if s == inputs else s)
