"""A tensor over a box of inputs, in integers: linear in symbols up to a remainder.

``(c + sum_j d_j s_j +- r) * 2**e`` for all symbols s_j in [-1, 1]: object arrays of Python integers, c and
r of shape (*shape, 1), d of shape (*shape, symbols). A symbol stands for one input element, or for the
remainder of one element: the same wherever it occurs. Numbers have at most BITS bits; what a shift cuts off
is added to the remainder. A zone with fewer symbols does not depend on the further ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from verifier.check.numbers.integers import Array, Form, magnitude

__all__ = ["BITS", "SLOPE", "Zone", "added", "aligned", "larger", "lifted", "meet", "of_form", "weighted"]

BITS = 96
SLOPE = 30
"""Bits of a slope: a guess, any of which is sound."""


@dataclass(frozen=True, eq=False)
class Zone:
    """See the module."""

    c: Array
    d: Array
    r: Array
    e: int

    @classmethod
    def of(cls, c: Array, d: Array, r: Array, e: int) -> Zone:
        """With numbers cut to BITS bits."""
        c, d, r = (np.asarray(a, dtype=object) for a in (c, d, r))
        k = max(map(magnitude, (c, d, r))).bit_length() - BITS
        if k > 0:
            mask = (1 << k) - 1
            lost = (c & mask != 0).astype(object) + (d & mask != 0).sum(axis=-1, keepdims=True)
            c, d, r, e = c >> k, d >> k, -(-r >> k) + lost, e + k
        return cls(c, d, r, e)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.c.shape[:-1])

    @property
    def symbols(self) -> int:
        return int(self.d.shape[-1])

    def at(self, e: int) -> Zone:
        """With a smaller exponent, exactly."""
        k = self.e - e
        return self if k == 0 else Zone(self.c << k, self.d << k, self.r << k, e)

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds, in units of 2**e, of shape (*shape, 1)."""
        span = np.abs(self.d).sum(axis=-1, keepdims=True) + self.r
        return self.c - span, self.c + span

    def each(self, function: Callable[[Array], Array]) -> Zone:
        """Elements moved, all three arrays alike."""
        return Zone(function(self.c), function(self.d), function(self.r), self.e)

    def widened(self, symbols: int) -> Zone:
        """With zeros for further symbols."""
        more = symbols - self.symbols
        if not more:
            return self
        rest = np.zeros((*self.shape, more), dtype=object)
        return Zone(self.c, np.concatenate([self.d, rest], axis=-1), self.r, self.e)

    def told_apart(self, first: int) -> Zone:
        """With every remainder as a symbol of its own, numbered from `first` on."""
        flat = self.r.reshape(-1)
        places = np.flatnonzero(flat != 0)
        fresh = np.zeros((flat.size, len(places)), dtype=object)
        fresh[places, np.arange(len(places))] = flat[places]
        d = np.concatenate([self.widened(first).d, fresh.reshape(*self.shape, len(places))], axis=-1)
        return Zone(self.c, d, np.zeros_like(self.r), self.e)

    def without_symbols(self) -> Form:
        """The bounds alone, as one cell."""
        lo, hi = self.bounds()
        return Form(lo + hi, np.zeros_like(lo), hi - lo, self.e - 1)


def of_form(form: Form) -> Zone:
    """One cell of a form, as a remainder around its centre."""
    c, d, r = (np.asarray(a[..., :1]).astype(object) for a in (form.c, form.d, form.r))
    shape = np.broadcast_shapes(c.shape, d.shape, r.shape)
    c, r = np.broadcast_to(c, shape), np.broadcast_to(r + np.abs(d), shape)
    return Zone.of(c, np.zeros((*shape[:-1], 0), dtype=object), r, form.e)


def aligned(*zones: Zone) -> list[Zone]:
    """The zones at one exponent, with one number of symbols."""
    e, symbols = min(z.e for z in zones), max(z.symbols for z in zones)
    return [z.widened(symbols).at(e) for z in zones]


def added(a: Zone, b: Zone) -> Zone:
    """a + b, of one shape."""
    a, b = aligned(a, b)
    return Zone.of(a.c + b.c, a.d + b.d, a.r + b.r, a.e)


def weighted(a: Zone, s: Array) -> Zone:
    """a times s * 2**-SLOPE, element by element; s of shape (*shape, 1)."""
    return Zone.of(a.c * s, a.d * s, a.r * np.abs(s), a.e - SLOPE)


def meet(a: Form, b: Form) -> Form:
    """What lies within the bounds of both (one cell each), which overlap."""
    low_a, high_a, low_b, high_b, e = _bounds_of_both(a, b)
    lo, hi = np.maximum(low_a, low_b), np.minimum(high_a, high_b)
    return Form(lo + hi, np.zeros_like(lo), hi - lo, e - 1)


def _bounds_of_both(a: Form, b: Form) -> tuple[Array, Array, Array, Array, int]:
    e = min(a.e, b.e)
    found: list[Array] = []
    for form in (a, b):
        zone = of_form(form).at(e)
        found += zone.bounds()
    return *found, e  # type: ignore[return-value]


def lifted(x: Zone, segment: Form, value: Form) -> Zone:
    """A function f of single elements: x within the segment m + w t, and f within c' + d' t +- r' there.

    For any slope s, f lies in c' + s (x - m) +- (r' + |d' - s w|), because t = (x - m) / w.
    """
    m, w = (np.asarray(a).astype(object) for a in (segment.c, segment.d))
    c, d, r = (np.broadcast_to(np.asarray(a).astype(object), m.shape) for a in (value.c, value.d, value.r))
    k = value.e - segment.e + SLOPE
    rise = d << k if k >= 0 else d >> -k  # in units of w * 2**-SLOPE: a guess
    s = np.where(w == 0, 0, rise // np.where(w == 0, 1, w))
    e = min(value.e, segment.e - SLOPE)
    up, down = value.e - e, segment.e - SLOPE - e
    lost = np.abs((d << up) - ((s * w) << down))
    rest = Zone.of(c << up, np.zeros((*m.shape[:-1], 0), dtype=object), (r << up) + lost, e)
    centre = Zone(-m, np.zeros((*m.shape[:-1], 0), dtype=object), np.zeros_like(m), segment.e)
    return added(weighted(added(x, centre), s), rest)


def larger(a: Zone, b: Zone, lead: Form) -> Zone:
    """max(a, b) for a - b within `lead`: s a + (1 - s) b + [0, M] with M = max((1 - s) hi, -s lo)."""
    a, b = aligned(a, b)
    one = 1 << SLOPE
    difference = added(a, Zone(-b.c, -b.d, b.r, b.e))
    lead = meet(lead, difference.without_symbols())
    span = np.abs(lead.d) + lead.r
    lo, hi = lead.c - span, lead.c + span
    width = np.where(hi - lo == 0, 1, hi - lo)
    s = np.where(lo >= 0, one, np.where(hi <= 0, 0, np.clip((hi << SLOPE) // width, 0, one)))
    most = np.maximum(np.maximum((one - s) * hi, -s * lo), 0)  # times 2**(lead.e - SLOPE)
    nothing = np.zeros((*a.shape, 0), dtype=object)
    half = Zone.of(most, nothing, most, lead.e - SLOPE - 1)
    return added(added(weighted(a, s), weighted(b, one - s)), half)
