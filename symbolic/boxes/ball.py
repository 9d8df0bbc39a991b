"""The inputs within a distance of one input: from outside as a box, from inside as floats."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from symbolic.boxes.form import Form, centred, require_room
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine
from symbolic.errors import InputError
from symbolic.reading.arrays import fractions_of

__all__ = ["Ball"]


@dataclass(frozen=True)
class Ball:
    """{x' : |x' - x| <= radius, low <= x' <= high}, element by element.

    Attributes
    ----------
    lo, hi : ndarray of float64
        The ends, rounded outward.
    first, last : ndarray of float64
        The least and the greatest float of every element, exactly within the ball.
    x_lo, x_hi : ndarray of float64
        The floats around x itself, equal where it is one.
    lost : ndarray of bool
        Where the ball has no float: `first` and `last` are the float below x, and stand for x.
    """

    lo: Array
    hi: Array
    first: Array
    last: Array
    x_lo: Array
    x_hi: Array
    lost: NDArray[np.bool_]

    @classmethod
    def of(cls, x: NDArray[np.generic], radius: Fraction, clip: tuple[Fraction, Fraction] | None) -> Ball:
        """The ball around an array, of which each entry is an exact rational.

        Raises
        ------
        InputError
            x itself is outside the clip.
        """
        rows = []
        for v in fractions_of(x):
            low, high = v - radius, v + radius
            if clip is not None:
                if not clip[0] <= v <= clip[1]:
                    raise InputError(
                        f"the input has the value {float(v):g}, which is outside the clip from "
                        f"{float(clip[0]):g} to {float(clip[1]):g}."
                    )
                low, high = max(low, clip[0]), min(high, clip[1])
            (below_low, above_low), (below_high, above_high) = _around(low), _around(high)
            rows.append((below_low, above_high, above_low, below_high, *_around(v)))
        lo, hi, first, last, x_lo, x_hi = np.array(rows).T.reshape(6, *x.shape)
        lost = ~(first <= last)
        return cls(lo, hi, np.where(lost, x_lo, first), np.where(lost, x_lo, last), x_lo, x_hi, lost)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lo.shape

    @property
    def centre(self) -> Array:
        """x, or the float of the ball next to it."""
        return np.clip(self.x_lo, self.first, self.last)

    def without(self, held: NDArray[np.bool_]) -> Ball:
        """The same ball with some elements held at x."""
        pairs = ((self.lo, self.x_lo), (self.hi, self.x_hi), (self.first, self.x_lo), (self.last, self.x_lo))
        lo, hi, first, last = (np.where(held, x, end) for end, x in pairs)
        lost = np.where(held, self.x_lo < self.x_hi, self.lost)
        return Ball(lo, hi, first, last, self.x_lo, self.x_hi, lost)

    def box(self) -> Form:
        """The box around it, by its bounds alone."""
        return Form.interval(self.lo[None], self.hi[None])

    def form(self, budget: int) -> Form:
        """The box around it, with a symbol for every element that moves.

        Raises
        ------
        BudgetError
            They take more bytes than the budget.
        """
        c, w = centred(self.lo[None], self.hi[None])
        moves = np.flatnonzero(w)
        require_room("the input", len(moves) * self.lo.size * 8, budget)
        d = np.zeros((len(moves), self.lo.size))
        d[np.arange(len(moves)), moves] = w.reshape(-1)[moves]
        return Form.of(c, d.reshape(-1, *self.shape), np.zeros_like(c), self.lo[None], self.hi[None])

    def points(self, wishes: Array) -> Affine:
        """The points of the ball next to some, with the distance to what stands for x."""
        c = np.clip(wishes, self.first, self.last)
        error = np.where(self.lost, self.x_hi - self.x_lo, 0.0)  # neighbours: the difference is exact
        return Affine(c, np.zeros_like(c), np.broadcast_to(error, c.shape))


def _around(v: Fraction) -> tuple[float, float]:
    """The floats next to a rational, equal if it is one."""
    try:
        nearest = float(v)
    except OverflowError:
        raise InputError("the ball reaches beyond the range of float64.") from None
    exact = Fraction(nearest)
    if exact == v:
        return nearest, nearest
    if exact < v:
        return nearest, float(np.nextafter(nearest, np.inf))
    return float(np.nextafter(nearest, -np.inf)), nearest
