"""Maxima of several elements of a form, two at a time.

max(a, b) lies in s a + (1 - s) b + offset +- half for the slope and the offset of max(a - b, 0) on the bounds
of a - b, which both forms share symbols in. A certain winner is copied.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from symbolic.boxes.form import Form, above, below, meet
from symbolic.boxes.lifting import affine, weighted
from symbolic.enclosures.forms import positive
from symbolic.enclosures.rounding import UP, U
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
    """The greatest of each row of competitors, in a knock-out tournament."""
    flat = [v.reshape(len(v), -1) for v in (x.c, x.d, x.r, x.lo, x.hi)]
    field = [Form(*(v[:, table[:, k]] for v in flat)) for k in range(table.shape[1])]
    while len(field) > 1:
        pairs = [larger(a, b) for a, b in zip(field[::2], field[1::2], strict=False)]
        field = pairs + field[len(field) - len(field) % 2 :]
    best = field[0]
    return Form(*(v.reshape(len(v), *shape) for v in (best.c, best.d, best.r, best.lo, best.hi)))


def negated(x: Form) -> Form:
    """-x, exact."""
    return Form(-x.c, -x.d, x.r, -x.hi, -x.lo)


def larger(a: Form, b: Form) -> Form:
    """max(a, b) of forms of one shape."""
    lead = Form.of(*affine(weighted([(1.0, 0.0), (-1.0, 0.0)]), [a, b]))
    with np.errstate(all="ignore"):
        lo, hi = meet((lead.lo, lead.hi), (below(a.lo, b.hi), above(a.hi, -b.lo)))
    lead = Form(lead.c, lead.d, lead.r, lo, hi)
    segment = lead.segment()
    first, second = lo >= 0, hi <= 0
    with np.errstate(all="ignore"):
        slope, offset, half = positive(Affine(segment.c, segment.d, segment.r))
        slope = np.where(first, 1.0, np.where(second, 0.0, slope))
        rest = 1.0 - slope
        error = np.where((slope == 0) | (slope == 1), 0.0, 2 * U)
        offset, half = (np.where(first | second, 0.0, v) for v in (offset, half))
        c, d, r = affine(weighted([(slope[0], 0.0), (rest[0], error[0])], offset[0]), [a, b])
        r = (r + half) * UP
    symbols = max(a.symbols, b.symbols)
    d = np.where(first, a.rows(0, symbols), np.where(second, b.rows(0, symbols), d))
    c, r = (
        np.where(first, of_a, np.where(second, of_b, mixed))
        for mixed, of_a, of_b in ((c, a.c, b.c), (r, a.r, b.r))
    )
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
