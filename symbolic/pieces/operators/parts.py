"""What several operators are made of: sums, minima, indicators, whole parts, rational weights."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.casting import Whole
from symbolic.operators.reductions import reduced_axes
from symbolic.pieces.operators.builder import Builder, Given, Units
from symbolic.pieces.program import Ids

__all__ = [
    "absent",
    "bits_of",
    "combination",
    "equal",
    "fractions",
    "inverted",
    "magnitude",
    "minimum",
    "moving",
    "negated",
    "reduced",
    "scaled",
    "standing",
    "times",
    "total",
    "truncated",
    "units",
    "wrapped",
]

Rationals = NDArray[Any]
"""Fractions."""
MOST_DIVISORS = 512
"""Layers that one quotient may take."""
LONGEST = 900
"""Bits of a common divisor, and of a weight."""


# ---- inputs --------------------------------------------------------------------------------------


def absent(given: Given, index: int) -> bool:
    """Whether an optional input is left out."""
    return index >= len(given) or given[index] is None


def units(b: Builder, node: Node, given: Given, index: int) -> Ids:
    """The units of an input that must be there."""
    value = given[index] if index < len(given) else None
    if value is None:
        raise ModelError(f"{node.label} lacks input {index}.")
    return b.ids(value)


def moving(node: Node, given: Given, index: int = 0) -> Ids:
    """Input number ``index``, which must move."""
    value = given[index]
    if not isinstance(value, Units):
        raise ModelError(f"{node.label}: there are no linear pieces where its input {index} stands still.")
    return value.ids


def standing(node: Node, given: Given, index: int) -> Const | None:
    """Input number ``index``, which must not move."""
    value = given[index] if index < len(given) else None
    if isinstance(value, Units):
        raise ModelError(f"{node.label}: it is not piecewise linear where its input {index} moves.")
    return value


def fractions(b: Builder, const: Const) -> Rationals:
    """A constant as rational numbers."""
    made = np.empty(const.shape, dtype=object)
    made[...] = Fraction(0)
    for part in b.parts(const):
        made += np.array([Fraction(v) for v in part.reshape(-1).tolist()], dtype=object).reshape(part.shape)
    return made


# ---- rational weights ----------------------------------------------------------------------------


def scaled(b: Builder, ids: Ids, factors: Rationals) -> Ids:
    """Units times rational numbers, element by element: one layer for every odd denominator."""
    ids, factors = np.broadcast_arrays(ids, factors)
    flat, numbers, made = ids.reshape(-1), factors.reshape(-1), np.zeros(ids.size, dtype=np.int64)
    odd = np.array([_odd(f.denominator) for f in numbers], dtype=object)
    kinds = sorted(set(odd.tolist()))
    if len(kinds) > MOST_DIVISORS:
        raise ModelError(f"{b.label} divides by more than {MOST_DIVISORS} different numbers.")
    for divisor in kinds:
        here = np.nonzero(odd == divisor)[0]
        known = {f: _floats(b, f * divisor) for f in set(numbers[here].tolist())}
        longest = max(map(len, known.values()))
        filled = {f: [*parts, *[0.0] * (longest - len(parts))] for f, parts in known.items()}
        weights = np.array([filled[f] for f in numbers[here]]).reshape(len(here), longest)
        made[here] = b.affine([(flat[here], w) for w in weights.T] or [(flat[here], 0.0)], divisor=divisor)
    return made.reshape(ids.shape)


def combination(b: Builder, rows: Sequence[Sequence[tuple[int, Fraction]]]) -> Ids:
    """Sums of units with rational weights, one per row, with a common divisor; weights are sums of floats."""
    divisor = lcm(*{_odd(w.denominator) for row in rows for _, w in row})
    if divisor.bit_length() > LONGEST:
        raise ModelError(f"{b.label}: its weights have no common denominator that is worth having.")
    counts, sources, weights = [], [], []
    known: dict[Fraction, list[float]] = {}
    for row in rows:
        counts.append(0)
        for unit, weight in row:
            if weight not in known:
                known[weight] = _floats(b, weight * divisor)
            if unit:
                counts[-1] += len(known[weight])
                sources.extend([unit] * len(known[weight]))
                weights.extend(known[weight])
    b.require_moderate(len(sources))
    pointers = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    wide = np.array(weights, dtype=np.float64)
    return b.rows(pointers, np.array(sources, dtype=np.int64), wide, np.zeros(len(rows)), divisor)


def _odd(n: int) -> int:
    return n // (n & -n)


def _floats(b: Builder, weight: Fraction) -> list[float]:
    """Floats that add up to a number with a denominator that is a power of two."""
    found = []
    while weight:
        if max(weight.numerator.bit_length(), weight.denominator.bit_length()) > LONGEST:
            raise ModelError(f"{b.label}: its weights are too long for exact linear pieces.")
        found.append(float(weight))
        weight -= Fraction(found[-1])
    return found


# ---- sums and extrema ----------------------------------------------------------------------------


def negated(b: Builder, ids: Ids) -> Ids:
    """-x."""
    return b.affine([(ids, -1.0)])


def inverted(b: Builder, ids: Ids) -> Ids:
    """1 - x."""
    return b.affine([(ids, -1.0)], 1.0)


def minimum(b: Builder, table: Ids) -> Ids:
    """The least of the last axis; -1 fills rows up."""
    some, places = np.unique(table[table >= 0], return_inverse=True)
    flipped = np.full(table.shape, -1)
    flipped[table >= 0] = negated(b, some)[places]
    return negated(b, b.maximum(flipped))


def magnitude(b: Builder, x: Ids) -> Ids:
    """|x|."""
    return b.affine([(b.relu(x), 2.0), (x, -1.0)])


def total(b: Builder, table: Ids, divisor: int = 1) -> Ids:
    """Sum over the last axis, divided."""
    if divisor < 1:
        raise ModelError(f"{b.label}: the mean of nothing is no number.")
    b.require_moderate(table.size)
    rows, used = prod(table.shape[:-1]), table != 0
    counts = used.reshape(rows, table.shape[-1]).sum(axis=1)
    pointers = np.concatenate([[0], np.cumsum(counts)])
    ids = b.rows(pointers, table[used], np.ones(int(used.sum())), np.zeros(rows), divisor)
    return ids.reshape(table.shape[:-1])


def reduced(node: Node, given: Given) -> tuple[Ids, tuple[int, ...]]:
    """What is reduced, as a last axis, and the shape of the result."""
    x = moving(node, given)
    inputs = [None if isinstance(v, Units) else v for v in given]
    axes = reduced_axes(node, inputs, x.ndim)
    behind = range(x.ndim - len(axes), x.ndim)
    table = np.moveaxis(x, axes, behind) if axes else x[..., None]
    kept = table.shape[: x.ndim - len(axes)]
    shape = tuple(1 if k in axes else n for k, n in enumerate(x.shape)) if node.flag("keepdims") else kept
    return table.reshape(*kept, prod(table.shape[len(kept) :])), shape


def times(b: Builder, x: Ids, y: Ids) -> Ids:
    """Products of which one factor each is piecewise constant."""
    x, y = np.broadcast_arrays(x, y)
    first = b.flat[x]
    if not (first | b.flat[y]).all():
        raise ModelError(f"{b.label}: a product of two moving factors is not piecewise linear.")
    b.require_moderate(x.size)
    return b.product(np.where(first, x, y), np.where(first, y, x))


# ---- indicators and whole numbers ----------------------------------------------------------------


def equal(b: Builder, x: Ids, y: Ids) -> Ids:
    """1 where x = y, else 0."""
    b.require_moderate(int(np.broadcast(x, y).size))
    d = b.affine([(x, 1.0), (y, -1.0)])
    return b.affine([(b.step(d), -1.0), (b.step(negated(b, d)), -1.0)], 1.0)


def truncated(b: Builder, ids: Ids) -> Ids:
    """The whole part, towards zero."""
    down, up = b.relu(ids), negated(b, b.relu(negated(b, ids)))
    return b.affine([(b.staircase(down, "floor"), 1.0), (b.staircase(up, "ceil"), 1.0)])


def wrapped(b: Builder, ids: Ids, kind: Whole) -> Ids:
    """Whole numbers with the bits that a type does not have discarded."""
    low, high = b.bounds(ids)
    if ((low >= kind.least) & (high <= kind.most)).all():
        return ids
    span = float(kind.most - kind.least + 1)  # a power of two
    shares = b.affine([(ids, 1.0 / span)], -float(kind.least) / span)
    return b.affine([(ids, 1.0), (b.staircase(shares, "floor"), -span)])


def bits_of(b: Builder, ids: Ids, count: int) -> list[Ids]:
    """The lowest bits of whole numbers, those of negative ones in two's complement."""
    halves = [ids, *(b.staircase(b.affine([(ids, 2.0**-k)]), "floor") for k in range(1, count + 1))]
    return [b.affine([(x, 1.0), (half, -2.0)]) for x, half in zip(halves, halves[1:], strict=False)]
