"""Det: Gaussian elimination in enclosures."""

from __future__ import annotations

from math import prod

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.rounding import TINY, UP, Array, gamma
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.smooth import reciprocal


def _is_scalar(node: Node, inputs: Inputs) -> bool:
    return required(node, inputs).shape[-1:] == (1,)


@operator("Det", exact=False, homogeneous=_is_scalar)
def det(node: Node, inputs: Inputs) -> Rule:
    """Determinants of square matrices."""
    shape = required(node, inputs).shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ModelError(f"{node.label} needs square matrices.")
    size = shape[-1]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        count = batch.size * prod(shape[:-2])
        found = _determinant(Affine(*(v.reshape(count, size, size) for v in (x.c, x.d, x.r))))
        return (Affine(*(v.reshape(batch.size, *shape[:-2]) for v in (found.c, found.d, found.r))),)

    return rule


def _determinant(rest: Affine) -> Affine:
    """Of matrices (N, m, m), by their surest pivots; what is left without one is bounded by its rows."""
    one, zero = np.ones(len(rest.c)), np.zeros(len(rest.c))
    found, lost, bound = Affine(one, zero, zero), zero > 0, zero
    while rest.c.shape[-1] > 2:
        rest, sign = _pivoted(rest)
        pivot = _block(rest, slice(0, 1), slice(0, 1))
        ends = ~(np.abs(pivot.c) > pivot.half_width())[:, 0, 0] & ~lost
        bound = np.where(ends, (np.abs(found.c) + found.half_width()) * _row_bound(rest) * UP, bound)
        lost |= ends
        column = forms.product(_block(rest, slice(1, None), slice(0, 1)), reciprocal(pivot))
        row = _block(rest, slice(0, 1), slice(1, None))
        rest = forms.subtract(_block(rest, slice(1, None), slice(1, None)), forms.product(column, row))
        found = forms.product(found, Affine(*(v[:, 0, 0] for v in (sign * pivot.c, sign * pivot.d, pivot.r))))
    found = forms.product(found, _of_small(rest))
    return Affine(np.where(lost, 0.0, found.c), np.where(lost, 0.0, found.d), np.where(lost, bound, found.r))


def _block(x: Affine, rows: slice, columns: slice) -> Affine:
    return Affine(x.c[:, rows, columns], x.d[:, rows, columns], x.r[:, rows, columns])


def _pivoted(x: Affine) -> tuple[Affine, Array]:
    """The entry farthest from 0 swapped into the corner, and the sign of that."""
    size = x.c.shape[-1]
    score = (np.abs(x.c) - x.half_width()).reshape(len(x.c), -1)
    place = score.argmax(axis=1)
    rows, columns = (np.tile(np.arange(size), (len(x.c), 1)) for _ in range(2))
    for order, first in ((rows, place // size), (columns, place % size)):
        np.put_along_axis(order, first[:, None], 0, axis=1)
        order[:, 0] = first
    at = np.arange(len(x.c))[:, None, None], rows[:, :, None], columns[:, None, :]
    sign = np.where((rows[:, 0] > 0) ^ (columns[:, 0] > 0), -1.0, 1.0)
    return Affine(x.c[at], x.d[at], x.r[at]), sign[:, None, None]


def _row_bound(x: Affine) -> Array:
    """At most the product of the norms of the rows (Hadamard)."""
    sums = (np.abs(x.c) + x.half_width()).sum(axis=2)
    return np.asarray(
        sums.prod(axis=1) * (1.0 + gamma(2 * x.c.shape[-1] ** 2)) + TINY * (sums > 0).all(axis=1)
    )


def _of_small(x: Affine) -> Affine:
    """Of matrices up to 2 x 2."""
    if x.c.shape[-1] == 0:
        one = np.ones(len(x.c))
        return Affine(one, 0 * one, 0 * one)

    def at(i: int, j: int) -> Affine:
        return Affine(x.c[:, i, j], x.d[:, i, j], x.r[:, i, j])

    if x.c.shape[-1] == 1:
        return at(0, 0)
    return forms.subtract(forms.product(at(0, 0), at(1, 1)), forms.product(at(0, 1), at(1, 0)))
