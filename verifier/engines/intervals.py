"""What is proved of every unit on a segment of the line, or on a ray, in integers only.

A point of the line is a pair (w, y) of integers that stands for z = y / w; its infinite ends are (0, 1) and
(0, -1). A line in z is given by its values at both ends of the segment, and it bounds another one as soon as
it does at both ends; the greatest of several lines is bounded by the line through the greatest values there.

Every unit is a sum of z and of the *unstable* units below it, whose branch is not proved. The solver gets
it in this form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from symbolic.pieces.line import End
from symbolic.pieces.program import Linear, Maximum, Product, Staircase, Step, Winner
from verifier.engines.forms import Claim, Ends, Form, Stable, Unstable
from verifier.engines.integers import IntegerProgram, Integers, sums
from verifier.engines.rational_pieces import stair_bounds

__all__ = ["TooLoose", "stable_units"]

MOST_VALUES = 64
"""Of a piecewise constant factor."""


class TooLoose(Exception):
    """Too little is proved on the segment; on a shorter one there will be more."""


def stable_units(whole: IntegerProgram, lo: End, hi: End, most: int) -> Stable:
    """Pass through all layers.

    Parameters
    ----------
    whole : IntegerProgram
    lo, hi : Fraction or float
        The open segment; one of them may be infinite.
    most : int
        Unstable units that are allowed; TooLoose is raised when there are more.
    """
    program = whole.program
    find = _Pass(whole, (_point(lo), _point(hi)), most)
    for k, layer in enumerate(program.layers):
        if isinstance(layer, Linear):
            width = 2 + len(find.unstable)
            find.forms[layer.units, :width] = sums(whole.rows[k], find.forms[:, :width])
        else:
            for row in range(layer.size):
                find.unit(layer, row)
    forms = {name: [find.form(int(i)) for i in ids.reshape(-1)] for name, ids in program.outputs.items()}
    return Stable(forms, find.unstable, find.claims)


def _point(z: End) -> tuple[int, int]:
    if isinstance(z, float):
        return 0, 1 if z > 0 else -1
    return z.denominator, z.numerator


@dataclass
class _Pass:
    """The pass so far."""

    whole: IntegerProgram
    ends: tuple[tuple[int, int], tuple[int, int]]
    most: int
    unstable: list[Unstable] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def __post_init__(self) -> None:
        program = self.whole.program
        if not any(w for w, _ in self.ends):
            raise ValueError("a segment needs a finite end")
        self.forms: Integers = np.zeros((program.size, 2 + self.most), dtype=object)
        self.forms[1 : 1 + program.n_inputs, :2] = self.whole.inputs

    # ---- forms and their bounds -------------------------------------------------------------------------

    def form(self, unit: int) -> Form:
        """A unit."""
        return Form(self.forms[unit], self.whole.scales[unit])

    def scaled(self, unit: int, scale: int) -> Form:
        """A unit over a multiple of its scale."""
        form = self.form(unit)
        return Form(form.row * (scale // form.scale), scale)

    def lower(self, form: Form) -> Ends:
        """A line below a form, scaled."""
        first, second = (self._bound(form.row, k, 1) for k in (0, 1))
        return first, second

    def upper(self, form: Form) -> Ends:
        """A line above a form, scaled."""
        first, second = (self._bound(form.row, k, -1) for k in (0, 1))
        return first, second

    def _bound(self, row: Integers, end: int, side: int) -> int:
        w, y = self.ends[end]
        total = row[0] * w + row[1] * y
        for c, other in zip(row[2:].tolist(), self.unstable, strict=False):
            if c:
                total += c * (other.lower if c * side > 0 else other.upper)[end]
        return int(total)

    def holds(self, form: Form, strict: bool) -> bool:
        """Whether a form is proved not to be negative (to be positive) on the open segment."""
        first, second = self.lower(form)
        if min(first, second) < 0 or (strict and not first and not second):
            return False
        self.claims.append(Claim(form, strict))
        return True

    # ---- layers -----------------------------------------------------------------------------------------

    def unit(self, layer: Any, row: int) -> None:
        """A unit of a layer that is not linear."""
        unit = layer.start + row
        if isinstance(layer, (Maximum, Winner)):
            self._greatest(layer, row, unit)
        elif isinstance(layer, Product):
            self._product(layer, row, unit)
        elif isinstance(layer, Step):
            self._step(layer, self.form(int(layer.sources[row])), unit)
        else:
            self._stair(layer, self.form(int(layer.sources[row])), unit)

    def put(self, unit: int, form: Form) -> None:
        """A stable unit; its scale is a multiple of the form's."""
        self.forms[unit] = form.row * (self.whole.scales[unit] // form.scale)

    def put_number(self, unit: int, number: Fraction) -> None:
        """A unit that stands still."""
        self.forms[unit, 0] = int(number * self.whole.scales[unit])

    def add(self, layer: Any, unit: int, lower: Ends, upper: Ends, **parts: Any) -> None:
        """An unstable unit."""
        if len(self.unstable) == self.most:
            raise TooLoose
        self.forms[unit, 2 + len(self.unstable)] = 1
        scale = self.whole.scales[unit]
        found = {"sources": (), "numbers": ()} | parts
        self.unstable.append(Unstable(unit, scale, layer, lower=lower, upper=upper, **found))

    def _greatest(self, layer: Maximum | Winner, row: int, unit: int) -> None:
        places = [p for p, i in enumerate(layer.sources[row].tolist()) if i >= 0]
        scale = (
            self.whole.scales[unit] if isinstance(layer, Maximum) else self.whole.common(layer.sources[row])
        )
        forms = {p: self.scaled(int(layer.sources[row, p]), scale) for p in places}
        last = isinstance(layer, Winner) and layer.last
        best = max(reversed(places) if last else places, key=lambda p: sum(self.lower(forms[p])))
        rivals = []
        for p in places:
            strict = isinstance(layer, Winner) and (p > best if last else p < best)
            if p != best and not self.holds(forms[best].minus(forms[p]), strict):
                rivals.append(p)
        if isinstance(layer, Winner):
            self._winner(layer, row, unit, sorted([best, *rivals]), forms)
        elif not rivals:
            self.put(unit, forms[best])
        else:
            left = [forms[p] for p in (best, *rivals)]
            first, second = (max(ends) for ends in zip(*map(self.upper, left), strict=True))
            values = self._union(left) if self.whole.program.flat[unit] else None
            self.add(layer, unit, self.lower(left[0]), (first, second), sources=tuple(left), values=values)

    def _winner(self, layer: Winner, row: int, unit: int, places: list[int], forms: dict[int, Form]) -> None:
        numbers = tuple(Fraction(float(layer.numbers[row, p])) for p in places)
        if len(set(numbers)) == 1:
            self.put_number(unit, numbers[0])
            return
        lower, upper = self._constant_lines(unit, numbers)
        sources = tuple(forms[p] for p in places)
        self.add(layer, unit, lower, upper, sources=sources, numbers=numbers, values=frozenset(numbers))

    def _step(self, layer: Step, x: Form, unit: int) -> None:
        if self.holds(x, layer.strict):
            self.put_number(unit, Fraction(1))
        elif not self.holds(Form(-x.row, x.scale), not layer.strict):
            both = (Fraction(0), Fraction(1))
            lower, upper = self._constant_lines(unit, both)
            self.add(layer, unit, lower, upper, sources=(x,), values=frozenset(both))

    def _stair(self, layer: Staircase, x: Form, unit: int) -> None:
        low, high = self.lower(x), self.upper(x)
        middle = Fraction(sum(low), sum(w for w, _ in self.ends) * x.scale)
        for n in (round(middle) + k for k in (0, -1, 1)):
            bottom, top, open_low, open_high = stair_bounds(layer, n)
            below, above = x.plus(-bottom), Form(-x.row, x.scale).plus(top)
            if self.holds(below, open_low) and self.holds(above, open_high):
                self.put_number(unit, Fraction(n))
                return
        down, up = {"floor": (1, 0), "ceil": (0, 1), "even": (1, 1)}[layer.rounding]  # over 1, outward
        (first, second), w = low, [w for w, _ in self.ends]
        lower = first // x.scale - down * w[0], second // x.scale - down * w[1]
        upper = -(-high[0] // x.scale) + up * w[0], -(-high[1] // x.scale) + up * w[1]
        self.add(layer, unit, lower, upper, sources=(x,), values=self._whole_numbers(lower, upper))

    def _product(self, layer: Product, row: int, unit: int) -> None:
        factor, x = self.form(int(layer.factors[row])), self.form(int(layer.sources[row]))
        scale = self.whole.scales[unit]
        for number, other in ((factor.constant, x), (x.constant, factor)):
            if number is not None:
                self.forms[unit] = other.row * int(number * (scale // other.scale))
                return
        values = self._values(factor)
        if values is None:
            raise TooLoose
        most, least = max(values), min(values)
        share = scale // x.scale
        lines = (self.lower(x), self.upper(x))
        first, second = ([int(v * share) * line[k] for v in (least, most) for line in lines] for k in (0, 1))
        flat = bool(self.whole.program.flat[unit])
        reached = self._values(x) if flat else None
        self.add(
            layer,
            unit,
            (min(first), min(second)),
            (max(first), max(second)),
            sources=(factor, x),
            numbers=tuple(sorted(values)),
            values=None if reached is None else _few(v * r for v in values for r in reached),
        )

    # ---- small things -----------------------------------------------------------------------------------

    def _constant_lines(self, unit: int, numbers: tuple[Fraction, ...]) -> tuple[Ends, Ends]:
        scale, (first, second) = self.whole.scales[unit], (w for w, _ in self.ends)
        low, high = int(min(numbers) * scale), int(max(numbers) * scale)
        return (low * first, low * second), (high * first, high * second)

    def _whole_numbers(self, lower: Ends, upper: Ends) -> frozenset[Fraction] | None:
        """All between two lines, on a finite segment."""
        ends = [w for w, _ in self.ends]
        if not all(ends):
            return None
        first = min(v // w for v, w in zip(lower, ends, strict=True))
        last = max(-(-v // w) for v, w in zip(upper, ends, strict=True))
        return None if last - first >= MOST_VALUES else _few(map(Fraction, range(first, last + 1)))

    def _values(self, form: Form) -> frozenset[Fraction] | None:
        """What a piecewise constant form can be."""
        if form.row[1]:
            return None
        found: frozenset[Fraction] | None = frozenset({Fraction(form.row[0], form.scale)})
        for c, other in zip(form.row[2:].tolist(), self.unstable, strict=False):
            if c and found is not None:
                weight = Fraction(c * other.scale, form.scale)
                several = other.values
                found = None if several is None else _few(a + weight * b for a, b in product(found, several))
        return found

    def _union(self, forms: list[Form]) -> frozenset[Fraction] | None:
        each = [self._values(form) for form in forms]
        return None if None in each else _few(v for values in each if values is not None for v in values)


def _few(values: Any) -> frozenset[Fraction] | None:
    """A set of not too many."""
    found = frozenset(values)
    return found if len(found) <= MOST_VALUES else None
