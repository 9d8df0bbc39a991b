"""A segment of the line as a formula of linear real arithmetic in z, for Z3."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import z3

from symbolic.pieces.line import End
from symbolic.pieces.program import Maximum, Product, Step, Winner
from verifier.engines.forms import Ends, Form, Stable, Unstable

__all__ = ["Term", "Terms", "between", "either", "rational"]

Term = Any
"""Of Z3, which ships without types."""


class Terms:
    """The formula of one open segment.

    Attributes
    ----------
    z : term
    definitions : list of term
        Where z is, and what the unstable units are.
    bounds : list of term
        What is proved of them besides: it follows from the definitions, and spares the solver many cases.
    """

    def __init__(self, stable: Stable, lo: End, hi: End) -> None:
        self.z = z3.Real("z")
        self.lo, self.hi = lo, hi
        self.definitions: list[Term] = between(self.z, lo, hi)
        self.bounds: list[Term] = []
        self._units: list[Term] = []
        self._scales: list[int] = []
        for unit in stable.unstable:
            y = z3.Real(f"u{unit.unit}")
            self.definitions += self._defined(unit, y)
            self._units.append(y)
            self._scales.append(unit.scale)

    def form(self, form: Form) -> Term:
        """A unit as a sum of z and unstable units."""
        found = [rational(Fraction(form.row[0], form.scale))]
        if form.row[1]:
            found.append(rational(Fraction(form.row[1], form.scale)) * self.z)
        for c, y, scale in zip(form.row[2:].tolist(), self._units, self._scales, strict=False):
            if c:
                found.append(rational(Fraction(c * scale, form.scale)) * y)
        return total(found)

    def equal(self, form: Form, value: Fraction) -> Term:
        """That a unit has a value."""
        return self.form(form) == rational(value)

    def _defined(self, unit: Unstable, y: Term) -> list[Term]:
        layer, terms = unit.layer, [self.form(form) for form in unit.sources]
        lower, upper = (self._line(ends, unit.scale) for ends in (unit.lower, unit.upper))
        self.bounds += [lower <= y, y <= upper]
        if isinstance(layer, Maximum):
            return [y >= t for t in terms] + [either([y <= t for t in terms])]
        if isinstance(layer, Winner):
            numbers = enumerate(unit.numbers)
            return [either([self._wins(layer, terms, k, y == rational(n)) for k, n in numbers])]
        if isinstance(layer, Product):
            factor, x = terms
            values = [rational(v) for v in unit.numbers]
            self.bounds.append(either([factor == v for v in values]))
            return [z3.Implies(factor == v, y == v * x) for v in values]
        if isinstance(layer, Step):
            on = terms[0] > 0 if layer.strict else terms[0] >= 0
            return [z3.Or(z3.And(on, y == 1), z3.And(z3.Not(on), y == 0))]
        return self._stair(layer.rounding, terms[0], y, unit.unit)

    def _wins(self, layer: Winner, terms: Sequence[Term], k: int, then: Term) -> Term:
        """That entry k is the greatest, and what follows."""
        others = []
        for j, t in enumerate(terms):
            if j != k:
                others.append(terms[k] > t if (j > k) == layer.last else terms[k] >= t)
        return z3.And(*others, then)

    def _stair(self, rounding: str, x: Term, y: Term, unit: int) -> list[Term]:
        n = z3.Int(f"n{unit}")
        whole = y == z3.ToReal(n)
        if rounding == "floor":
            return [whole, y <= x, x < y + 1]
        if rounding == "ceil":
            return [whole, y - 1 < x, x <= y]
        half = rational(Fraction(1, 2))
        inner, even = z3.And(y - half < x, x < y + half), n == 2 * z3.Int(f"m{unit}")
        return [whole, y - half <= x, x <= y + half, z3.Or(inner, even)]

    def _line(self, ends: Ends, scale: int) -> Term:
        """The line with these values at the ends."""
        found = []
        for z, far, value in ((self.lo, self.hi, ends[0]), (self.hi, self.lo, ends[1])):
            if not value:
                continue
            sign = 1 if z is self.hi else -1
            if isinstance(z, float):  # a slope away from the other end
                found.append(rational(Fraction(sign * value, scale)) * (self.z - rational(Fraction(far))))
                continue
            height = Fraction(value, scale * z.denominator)
            if isinstance(far, float):
                found.append(rational(height))
            else:
                found.append(rational(height / (z - far)) * (self.z - rational(far)))
        return total(found or [rational(Fraction(0))])


def between(z: Term, lo: End, hi: End) -> list[Term]:
    """lo < z < hi."""
    found = [] if isinstance(lo, float) else [z > rational(lo)]
    return found if isinstance(hi, float) else [*found, z < rational(hi)]


def either(terms: Sequence[Term]) -> Term:
    """At least one; other solvers refuse an "or" of one."""
    return terms[0] if len(terms) == 1 else z3.Or(*terms)


def total(terms: Sequence[Term]) -> Term:
    """Their sum."""
    return terms[0] if len(terms) == 1 else z3.Sum(*terms)


def rational(value: Fraction) -> Term:
    """A number."""
    return z3.Q(value.numerator, value.denominator) if value.denominator > 1 else z3.RealVal(value.numerator)
