"""Smooth functions and their slopes at many places at once: Taylor polynomials in 64-bit integers.

Numbers are integers in units of 2**-UNIT. Around a node, a multiple of 2**-SPACING, the polynomial's
coefficients and a bound of what it leaves away come from ball arithmetic. What is lost from there on:

- every coefficient is off by at most 33/64 unit, together less than 67/128 units at a distance <= 2**-7;
- every step of Horner's rule loses less than 2 units (see `product`), of which at most 2**-7 are left after
  the next one: the last step's loss is made up for by 1 more unit, so that it is 1 at most, and all other
  ones together are off by less than 2/127 units.

That makes less than 99/64 units beside the remainder.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from flint import arb, arb_series, ctx

from verifier.check.numbers.integers import Array
from verifier.check.numbers.smooth_branches import Series, whole

__all__ = ["NODE", "UNIT", "Table", "product", "table", "times"]

UNIT = 55
SPACING = 6
REACH = 16  # nodes are between -REACH and REACH
DEGREE = 8
PRECISION = 128  # bits of the balls
LARGEST = 1 << 59  # of coefficients
WORST = 1 << 30  # an error that is larger makes a node useless
NEAREST = arb(33) / 64
LOST = arb(99) / 64  # see the module

NODE = 1 << UNIT - SPACING  # between nodes
_NODES = REACH << SPACING
_LOW = (1 << 30) - 1


def product(a: Array, b: Array) -> Array:
    """a*b in units, rounded down by less than 2, for |a| and |b| <= 2**60 and |a*b| <= 2**116.

    a*b = ah*bh * 2**60 + cross * 2**30 + al*bl with |cross| < 2**61 and |ah*bh| < 2**57. Two shifts cut off
    less than 1 each.
    """
    ah, al, bh, bl = a >> 30, a & _LOW, b >> 30, b & _LOW
    cross = ah * bl + al * bh
    return (ah * bh << 60 - UNIT) + (cross >> UNIT - 30) + (al * bl >> UNIT)  # type: ignore[no-any-return]


def times(doubt: Array, x: Array) -> Array:
    """At least doubt*|x| in units, for doubt <= 2**30 and |x| <= 2**60."""
    return (((np.abs(x) >> 30) + 1) * doubt >> UNIT - 30) + 1


@dataclass(frozen=True, eq=False)
class Table:
    """The nodes of one function, each made when it is first asked for."""

    series: Series
    values: Array = field(default_factory=lambda: np.zeros((2 * _NODES + 1, DEGREE + 1), np.int64))
    slopes: Array = field(default_factory=lambda: np.zeros((2 * _NODES + 1, DEGREE), np.int64))
    errors: Array = field(default_factory=lambda: np.zeros((2 * _NODES + 1, 2), np.int64))
    known: Array = field(default_factory=lambda: np.zeros(2 * _NODES + 1, np.bool_))
    usable: Array = field(default_factory=lambda: np.zeros(2 * _NODES + 1, np.bool_))

    def covers(self, x: Array) -> Array:
        """Where there is a node for x; |x| <= REACH."""
        k = _node(x)
        missing = np.unique(k[~self.known[k]])
        with ctx.workprec(PRECISION):
            for i in missing.tolist():
                self._make(i)
        return np.asarray(self.usable[k])

    def value(self, x: Array) -> tuple[Array, Array]:
        """f(x), and how far off that may be; only of what is covered."""
        return self._evaluate(x, self.values), self.errors[_node(x), 0]

    def slope(self, x: Array) -> tuple[Array, Array]:
        """f'(x), and how far off that may be; only of what is covered."""
        return self._evaluate(x, self.slopes), self.errors[_node(x), 1]

    def bend(self, x: Array) -> Array:
        """f'' at the nearest node, about."""
        return np.asarray(self.slopes[_node(x), 1])

    def _evaluate(self, x: Array, coefficients: Array) -> Array:
        k = _node(x)
        if not self.usable[k].all():
            raise LookupError("a place that is not covered")
        distance = x - (k - _NODES) * NODE  # at most 2**-7
        out: Array = coefficients[k, -1]
        for j in range(coefficients.shape[1] - 2, -1, -1):
            out = coefficients[k, j] + product(out, distance)
        return out

    def _make(self, i: int) -> None:
        """Node i at z: f(z + h) is the sum of c_j * h**j for j <= DEGREE and of c * h**(DEGREE + 1), where c
        is the next coefficient at some place between; f'(z + h) likewise.
        """
        self.known[i] = True
        z, far = arb((i - _NODES, -SPACING)), SPACING + 1
        c = _coefficients(self.series, z, DEGREE)
        near = (z - arb((1, -far))).union(z + arb((1, -far)))
        last = _coefficients(self.series, near, DEGREE + 1)[-1].abs_upper()
        rests = [
            last * arb((1, UNIT - far * (DEGREE + 1))),
            last * (DEGREE + 1) * arb((1, UNIT - far * DEGREE)),
        ]
        values, slopes = [_rounded(v) for v in c], [_rounded((j + 1) * v) for j, v in enumerate(c[1:])]
        if all(rest < WORST for rest in rests) and None not in values + slopes:
            self.values[i], self.slopes[i] = values, slopes
            self.values[i, 0] += 1
            self.slopes[i, 0] += 1
            self.errors[i] = [-whole(-(rest + LOST)) for rest in rests]
            self.usable[i] = True


def _node(x: Array) -> Array:
    """The index of the nearest node."""
    return np.asarray((x + NODE // 2) // NODE + _NODES)


def _coefficients(series: Series, z: arb, degree: int) -> list[arb]:
    """Enclosures of f(v), f'(v), ..., f^(k)(v) / k! for all v in z; not finite where unknown."""
    try:
        out = series(arb_series([z, 1], prec=degree + 1))
    except ValueError:  # a division by 0
        return [arb("nan")] * (degree + 1)
    return [out[j] for j in range(degree + 1)] if out.prec > degree else [arb("nan")] * (degree + 1)


def _rounded(v: arb) -> int | None:
    """An integer within 33/64 of v in units."""
    v = v * arb((1, UNIT))
    if not abs(v) < LARGEST - 1:
        return None
    nearest = whole(v.mid() + arb(0.5))
    return nearest if abs(v - nearest) <= NEAREST else None


@functools.lru_cache(maxsize=64)
def table(series: Series) -> Table:
    """The table of a function."""
    return Table(series)
