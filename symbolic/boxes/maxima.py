"""Maxima of several elements of a form, two at a time.

max(a, b) lies in s a + (1 - s) b + offset +- half for the slope and the offset of max(a - b, 0) on the bounds
of a - b, which both forms share symbols in. A certain winner is copied.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from symbolic.boxes.form import Form, above, below, centred, meet, total_size
from symbolic.enclosures.forms import positive
from symbolic.enclosures.rounding import TINY, UP, U
from symbolic.enclosures.values import Affine, Const, Value
from symbolic.node import Inputs, Node, required
from symbolic.operators.extremum import flat_numbers, windowed
from symbolic.operators.reductions import reduced_axes
from symbolic.operators.windows import whole_window, window_of

__all__ = ["as_form", "greatest", "larger", "negated", "several", "taps"]

Taps = NDArray[np.int64]


def taps(node: Node, inputs: Inputs) -> tuple[Taps, tuple[int, ...]] | None:
    """Which elements compete, (places, competitors) of flat numbers, and the shape of the result.

    Of MaxPool, GlobalMaxPool, ReduceMax and ReduceMin; a competitor stands in for what reads padding. None
    where nothing competes.
    """
    shape = required(node, inputs).shape
    numbers = flat_numbers(shape, False)
    if node.op_type in ("ReduceMax", "ReduceMin"):
        axes = reduced_axes(node, inputs, len(shape))
        behind = range(len(shape) - len(axes), len(shape))
        table = np.moveaxis(numbers, axes, behind)
        kept = table.shape[: len(shape) - len(axes)]
        full = tuple(1 if k in axes else n for k, n in enumerate(shape)) if node.flag("keepdims") else kept
        found = table.reshape(prod(kept), prod(table.shape[len(kept) :]))
        return (found, full) if found.shape[1] else None
    pool = node.op_type == "MaxPool"
    kernel = tuple(node.attributes["kernel_shape"]) if pool else ()
    window = window_of(node, shape[2:], kernel) if pool else whole_window(shape[2:])
    seen = windowed(numbers[None].astype(np.float64), window, -1.0)[:, 0].astype(np.int64)
    table = seen.reshape(len(seen), -1).T
    some = table.max(axis=1, keepdims=True)
    return (np.where(table < 0, some, table), seen.shape[1:]) if (some >= 0).all() else None


def greatest(x: Form, table: Taps, shape: tuple[int, ...]) -> Form:
    """The greatest of each row of competitors: a certain winner, or else that of a knock-out tournament."""
    flat = [v.reshape(len(v), -1) for v in (x.c, x.d, x.r, x.lo, x.hi)]
    c, lo, hi = (flat[k][0][table] for k in (0, 3, 4))
    winner = np.argmax(np.where(np.isnan(c), -np.inf, c), axis=1)[:, None]
    best = np.take_along_axis(table, winner, axis=1)
    others = np.where(table == best, -np.inf, hi).max(axis=1)
    open_ = np.flatnonzero(~(np.take_along_axis(lo, winner, axis=1)[:, 0] >= others))
    made = [v[:, best[:, 0]] for v in flat]
    if len(open_):
        field = [Form(*(v[:, table[open_, k]] for v in flat)) for k in range(table.shape[1])]
        while len(field) > 1:
            pairs = [larger(a, b) for a, b in zip(field[::2], field[1::2], strict=False)]
            field = pairs + field[len(field) - len(field) % 2 :]
        for whole, part in zip(
            made, (getattr(field[0], n) for n in ("c", "d", "r", "lo", "hi")), strict=True
        ):
            whole[:, open_] = part
    return Form(*(v.reshape(len(v), *shape) for v in made))


def negated(x: Form) -> Form:
    """-x, exact."""
    return Form(-x.c, -x.d, x.r, -x.hi, -x.lo)


def larger(a: Form, b: Form) -> Form:
    """max(a, b) of forms of one shape."""
    symbols = max(a.symbols, b.symbols)
    da, db = a.rows(0, symbols), b.rows(0, symbols)
    with np.errstate(all="ignore"):
        apart = da - db
        lead = a.c - b.c
        # each difference errs by U of itself at most
        reach = (total_size(apart) + a.r + b.r + (np.abs(lead) + total_size(apart)) * (2 * U)) * UP
        lo, hi = meet((below(lead, reach), above(lead, reach)), (below(a.lo, b.hi), above(a.hi, -b.lo)))
        m, w = centred(lo, hi)
        first, second = lo >= 0, hi <= 0
        slope, offset, half = positive(Affine(m, w, np.zeros_like(m)))
        rest = 1.0 - slope
        mixed = (slope != 0) & (slope != 1)
        size_a, size_b = total_size(da), total_size(db)
        # of the products and sums below, and of 1 - slope
        pay = slope * (np.abs(a.c) + size_a) + rest * (np.abs(b.c) + size_b + b.r) + offset
        pay = np.where(mixed | (offset != 0), pay * (8 * U) + (symbols + 8) * TINY, 0.0)
        c = slope * a.c + rest * b.c + offset
        d = slope * da + rest * db
        r = (slope * a.r + rest * b.r + half + pay) * UP
        c, r = (
            np.where(first, of_a, np.where(second, of_b, made))
            for made, of_a, of_b in ((c, a.c, b.c), (r, a.r, b.r))
        )
        for certain, of in ((second & ~first, db), (first, da)):
            d[:, certain[0]] = of[:, certain[0]]
    return Form.of(c, d, r, np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi))


def several(op_type: str, forms: list[Form]) -> Form:
    """Max or Min of several tensors, which are broadcast."""
    shape = np.broadcast_shapes(*(x.shape for x in forms))
    made = [_broadcast(negated(x) if op_type == "Min" else x, shape) for x in forms]
    best = made[0]
    for other in made[1:]:
        best = larger(best, other)
    return negated(best) if op_type == "Min" else best


def _broadcast(x: Form, shape: tuple[int, ...]) -> Form:
    extra = len(shape) - len(x.shape)
    parts = (v.reshape(len(v), *(1,) * extra, *x.shape) for v in (x.c, x.d, x.r, x.lo, x.hi))
    return Form(*(np.broadcast_to(v, (len(v), *shape)) for v in parts))


def as_form(value: Value, form: Form | None) -> Form:
    """A form as it is; a constant as a form without symbols."""
    if form is not None:
        return form
    if not isinstance(value, Const):
        raise TypeError("a value that moves has a form")
    c = value.value.astype(np.float64)[None]
    return Form.of(c, np.zeros((0, *value.shape)), np.array(np.broadcast_to(value.spread, value.shape))[None])
