"""Sums, means, products, norms and logarithms of sums over axes; running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.convex import log_sum_exp, norm
from symbolic.enclosures.curves import Curve, Piece, relax
from symbolic.enclosures.linear import overflow_blurred
from symbolic.enclosures.rounding import UP, Array, gamma
from symbolic.enclosures.values import Affine, Batch, Const, Value, holds_integers, is_integer
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required
from symbolic.operators.arithmetic import divide, exact_integers
from symbolic.operators.matrix import sum_over
from symbolic.operators.smooth import LOG

__all__ = ["ABSOLUTE", "Places", "mean", "reduced_axes", "total"]

ABSOLUTE = Curve((Piece(0.0, "linear", slope=-1.0), Piece(np.inf, "linear", slope=1.0)))
WHOLE = ("ReduceSum", "ReduceL1", "ReduceSumSquare", "ReduceProd")
"""Reductions that make integers of integers."""
Places = tuple[int, ...]
"""Axes of arrays whose first is the batch axis; what is reduced over them is kept with length 1."""


def reduced_axes(node: Node, inputs: Inputs, rank: int) -> tuple[int, ...]:
    """The axes of a reduction, as an attribute or an input by opset; none named: all, or none if so asked."""
    axes: Any = node.attributes.get("axes")
    if axes is None and len(inputs) > 1:
        value = constant(node, inputs, 1, "axes")
        if value is not None and value.value.ndim > 1:
            raise ModelError(f"{node.label}: its axes are no list.")
        axes = None if value is None else value.value.reshape(-1).tolist()
    if axes is None or len(axes) == 0:
        return () if node.flag("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted({node.axis(rank, int(a)) for a in axes}))


def _count(x: Affine, places: Places) -> int:
    return prod(x.c.shape[a] for a in places)


def total(x: Affine, places: Places) -> Affine:
    """Sum over axes."""
    if _count(x, places) == 1:
        return x
    summed = sum_over(x, places, _count(x, places))
    return Affine(*(np.expand_dims(v, places) for v in (summed.c, summed.d, summed.r)))


def mean(batch: Batch, x: Affine, places: Places) -> Affine:
    """Mean over axes."""
    count = _count(x, places)
    return total(x, places) if count == 1 else divide(batch, total(x, places), Const(np.array(float(count))))


def _product(x: Affine, places: Places) -> Affine:
    """Product over axes: of the two halves, again and again."""
    front = (np.moveaxis(v, places, range(len(places))) for v in (x.c, x.d, x.r))
    rows = Affine(*(v.reshape(-1, *v.shape[len(places) :]) for v in front))
    while len(rows.c) > 1:
        half = len(rows.c) // 2
        made = forms.product(_part(rows, slice(half)), _part(rows, slice(half, 2 * half)))
        rest = _part(rows, slice(2 * half, None))
        rows = Affine(
            *(np.concatenate(v) for v in zip((made.c, made.d, made.r), (rest.c, rest.d, rest.r), strict=True))
        )
    return Affine(*(np.expand_dims(v[0], places) for v in (rows.c, rows.d, rows.r)))


def _part(x: Affine, rows: slice) -> Affine:
    return Affine(x.c[rows], x.d[rows], x.r[rows])


def _euclidean(x: Affine, places: Places) -> Affine:
    return relax(x, ABSOLUTE) if _count(x, places) == 1 else norm(x, 2, places)


def _log_sum_exp(x: Affine, places: Places) -> Affine:
    return x if _count(x, places) == 1 else log_sum_exp(x, places)


def _register(
    name: str,
    reduce: Callable[[Batch, Affine, Places], Affine],
    empty: float,
    *,
    exact: bool = True,
    homogeneous: bool = True,
) -> None:
    """Register a reduction; ``empty`` is what it makes of no elements."""

    @operator(name, exact=exact, homogeneous=homogeneous, wraps=name in WHOLE)
    def build(node: Node, inputs: Inputs) -> Rule:
        x = required(node, inputs)
        axes = reduced_axes(node, inputs, len(x.shape))
        keep = node.flag("keepdims")
        places = tuple(a + 1 for a in axes)

        def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
            form = reduce(batch, batch.lift(required(node, values)), places)
            return (form if keep else Affine(*(np.squeeze(v, places) for v in (form.c, form.d, form.r))),)

        if holds_integers(x):
            return _on_integers(node, inputs)
        if prod(x.shape[a] for a in axes) == 0:
            kept = [1 if k in axes else n for k, n in enumerate(x.shape) if keep or k not in axes]
            return lambda batch, values: (Const(np.full(kept, empty)),)
        return rule


def _on_integers(node: Node, inputs: Inputs) -> Rule:
    """Constant integers, where the reference operator is exact."""
    x = constant(node, inputs, 0, "integers")
    size = 0 if x is None else sum(abs(int(v)) for v in x.value.reshape(-1))
    if node.op_type in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp") or size >= 2**53:
        raise ModelError(f"{node.label}: what it makes of these integers is not exact.")
    return lambda batch, values: exact_integers(node, values)


_register("ReduceSum", lambda batch, x, places: total(x, places), 0.0)
_register("ReduceMean", mean, np.nan)
_register("ReduceL1", lambda batch, x, places: total(relax(x, ABSOLUTE), places), 0.0)
_register("ReduceL2", lambda batch, x, places: _euclidean(x, places), 0.0, exact=False)
_register(
    "ReduceSumSquare",
    lambda batch, x, places: total(forms.square(x), places),
    0.0,
    exact=False,
    homogeneous=False,
)
_register("ReduceProd", lambda batch, x, places: _product(x, places), 1.0, exact=False, homogeneous=False)
_register(
    "ReduceLogSum",
    lambda batch, x, places: relax(total(x, places), LOG),
    -np.inf,
    exact=False,
    homogeneous=False,
)
_register(
    "ReduceLogSumExp",
    lambda batch, x, places: _log_sum_exp(x, places),
    -np.inf,
    exact=False,
    homogeneous=False,
)


@operator("Mean")
def mean_of_several(node: Node, inputs: Inputs) -> Rule:
    """The mean of any number of tensors, element by element."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        terms = [batch.lift(v) for v in values if v is not None]
        summed = terms[0]
        for term in terms[1:]:
            summed = forms.add(summed, term)
        if len(terms) == 1:
            return (summed,)
        return (divide(batch, summed, Const(np.array(float(len(terms))))),)

    return rule


def _running_axis(node: Node, inputs: Inputs) -> int:
    axis = constant(node, inputs, 1, "axis")
    rank = len(required(node, inputs).shape)
    if axis is None or axis.value.size != 1:
        raise ModelError(f"{node.label} needs one axis of its input.")
    return node.axis(rank, int(axis.value.reshape(-1)[0])) + 1


@operator("CumSum", wraps=True)
def cumulative_sum(node: Node, inputs: Inputs) -> Rule:
    """Running sums: a linear map with unit weights."""
    place = _running_axis(node, inputs)
    terms = required(node, inputs).shape[place - 1]
    g = gamma(terms + 2)

    def running(v: Array) -> Array:
        v = np.flip(v, place) if node.flag("reverse") else v
        sums = np.cumsum(v, axis=place)
        if node.flag("exclusive"):
            sums = np.concatenate([np.zeros_like(v.take([0], place)), sums], place)[_all_but_last(place)]
        return np.flip(sums, place) if node.flag("reverse") else sums

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        c, d = running(x.c), running(x.d)
        r = running(x.r + 2 * g * (np.abs(x.c) + np.abs(x.d))) * (1.0 + g) * UP
        return (Affine(c, d, overflow_blurred(r, c, d)),)

    if is_integer(required(node, inputs)):
        return lambda batch, values: exact_integers(node, values)
    return rule if terms else lambda batch, values: (required(node, values),)


def _all_but_last(place: int) -> tuple[slice, ...]:
    return (slice(None),) * place + (slice(-1),)


def _one_element(node: Node, inputs: Inputs) -> bool:
    """Then the running product is the input itself."""
    return not node.flag("exclusive") and required(node, inputs).shape[_running_axis(node, inputs) - 1] <= 1


@operator("CumProd", exact=False, homogeneous=_one_element, wraps=True)
def cumulative_product(node: Node, inputs: Inputs) -> Rule:
    """Running products, one after the other."""
    place = _running_axis(node, inputs)
    terms = required(node, inputs).shape[place - 1]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        x = Affine(*(np.moveaxis(v, place, 0) for v in (x.c, x.d, x.r)))
        order = range(terms - 1, -1, -1) if node.flag("reverse") else range(terms)
        rows: dict[int, Affine] = {}
        so_far = None
        for k in order:
            row = _part(x, slice(k, k + 1))
            after = row if so_far is None else forms.product(so_far, row)
            rows[k] = (so_far or _one(row)) if node.flag("exclusive") else after
            so_far = after
        made = [rows[k] for k in range(terms)]
        joined = (np.concatenate([getattr(row, part) for row in made]) for part in "cdr")
        return (Affine(*(np.moveaxis(v, 0, place) for v in joined)),)

    if is_integer(required(node, inputs)):
        return lambda batch, values: exact_integers(node, values)
    return rule if terms else lambda batch, values: (required(node, values),)


def _one(like: Affine) -> Affine:
    return Affine(np.ones_like(like.c), np.zeros_like(like.d), np.zeros_like(like.r))
