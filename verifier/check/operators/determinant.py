"""Det: elimination in enclosures, the surest pivots first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import select
from verifier.check.numbers.smooth import smooth
from verifier.check.operators.registry import Context, Node, operator

__all__: list[str] = []


@operator("Det")
def _det(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Matrices and cells are one axis here: every matrix on every cell has its own pivots."""
    v = inputs[0]
    size, count, cells = v.shape[-1], math.prod(v.shape[:-2]), v.c.shape[-1]
    if v.shape[-2] != size:
        raise node.refuse("its matrices are not square")
    if not size:
        return ctx.ar.constant(np.ones(v.shape[:-2], dtype=np.int64))
    flat = v.each(lambda a: np.moveaxis(a.reshape(count, size, size, cells), 0, 2).reshape(size, size, -1))
    return _determinant(ctx, flat).each(lambda a: a.reshape(*v.shape[:-2], cells))


def _determinant(ctx: Context, rest: Form) -> Form:
    """Of matrices (m, m, ...); without a sure pivot it is at most the product of the rows' sums."""
    found = ctx.number(1)
    open_: Array = np.ones(rest.c.shape[-1], dtype=bool)
    lost: Form | None = None
    while rest.shape[0] > 2:
        rest, sure, sign = _pivoted(rest)
        if not sure[open_].all():
            bound = ctx.product(found, _row_bound(ctx, rest))
            lost = bound if lost is None else select(ctx.ar, open_ & ~sure, open_ & ~sure, bound, lost)
            open_ &= sure
        pivot = rest.each(lambda a: a[0, 0])
        inverse = smooth(ctx.ar, "Reciprocal", select(ctx.ar, sure, sure, pivot, ctx.number(1)))
        factors = ctx.product(rest.each(lambda a: a[1:, :1]), inverse)
        lower = rest.each(lambda a: a[1:, 1:])
        rest = ctx.ar.subtract(lower, ctx.product(factors, rest.each(lambda a: a[:1, 1:])))
        signed = Form(pivot.c * sign, pivot.d * sign, pivot.r, pivot.e, pivot.degree)
        found = ctx.product(found, signed)
    found = ctx.product(found, _of_small(ctx, rest))
    return found if lost is None else select(ctx.ar, open_, open_, found, lost)


def _pivoted(v: Form) -> tuple[Form, Array, Array]:
    """The entry farthest from 0 in the corner, whether it is not 0, and the sign of the swaps."""
    m = v.shape[0]
    reach = (np.abs(v.c) - np.abs(v.d) - v.r).reshape(m * m, -1)
    place = reach.argmax(axis=0)
    sure = np.asarray(np.take_along_axis(reach, place[None], axis=0)[0] > 0, dtype=bool)
    out = v
    for axis, first in ((0, place // m), (1, place % m)):
        order = np.broadcast_to(np.arange(m)[:, None], (m, len(first))).copy()
        np.put_along_axis(order, first[None], 0, axis=0)
        order[0] = first
        index = order[:, None] if axis == 0 else order[None]
        out = out.each(lambda a, index=index, axis=axis: np.take_along_axis(a, index, axis=axis))
    swapped = (place // m > 0).astype(np.int64) + (place % m > 0)
    return out, sure, 1 - 2 * (swapped % 2)


def _row_bound(ctx: Context, v: Form) -> Form:
    sums = (np.abs(v.c) + np.abs(v.d) + v.r).astype(object).sum(axis=1)
    zero = np.zeros_like(sums[0])
    out = ctx.ar.form(zero, v.e, r=sums[0], degree=v.degree)
    for row in sums[1:]:
        out = ctx.product(out, ctx.ar.form(zero, v.e, r=row, degree=v.degree))
    return out


def _of_small(ctx: Context, v: Form) -> Form:
    a, b = (v.each(lambda x, k=k: x[0, k]) for k in (0, -1))
    if v.shape[0] == 1:
        return a
    c, d = (v.each(lambda x, k=k: x[1, k]) for k in (0, 1))
    return ctx.ar.subtract(ctx.product(a, d), ctx.product(b, c))
