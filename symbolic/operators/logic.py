"""Comparisons, boolean algebra and selection by a condition: where real numbers become discrete."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures import forms
from symbolic.enclosures.ranges import aligned_ranges
from symbolic.enclosures.values import (
    ANYTHING,
    Affine,
    Batch,
    Const,
    Range,
    Value,
    as_range,
    is_discrete,
    is_integer,
)
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import exact_integers

Bools = NDArray[np.bool_]


def compare(difference: Affine, strict: bool) -> Range:
    """difference > 0 (strict) or >= 0, on the whole open segment."""
    c, h = difference.c, difference.half_width()
    finite = h < np.inf
    if strict:
        return Range((c > h) & finite, ~((-c >= h) & finite), difference)
    return Range((c >= h) & finite, ~((-c > h) & finite), difference)


@operator("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
def comparison(node: Node, inputs: Inputs) -> Rule:
    """a > b and its relatives."""
    name = node.op_type

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, b = required(node, values, 0), required(node, values, 1)
        if name.startswith("Less"):
            a, b = b, a
        if is_discrete(a) and is_discrete(b):
            return (_compare_discrete(name, *aligned_ranges(batch, a, b)),)
        x, y = forms.aligned(batch.lift(a), batch.lift(b))
        difference = forms.subtract(x, y)
        found = _signs(difference, name)
        return (found if np.isfinite(difference.r).all() else _with_infinities(found, x, y, name),)

    if all(is_integer(v) for v in inputs):
        return lambda batch, values: exact_integers(node, values)
    return rule


def _signs(difference: Affine, name: str) -> Range:
    if name != "Equal":
        return compare(difference, not name.endswith("OrEqual"))
    h = difference.half_width()
    apart = (np.abs(difference.c) > h) & (h < np.inf)
    return Range((difference.c == 0) & (h == 0), ~apart)


def _with_infinities(found: Range, a: Affine, b: Affine, name: str) -> Range:
    """A comparison, known too where one side is exactly infinite and the other is that or a real number."""
    sides, clear, some = [], True, False
    for x in (a, b):
        exact = np.isinf(x.c) & (x.d == 0) & (x.r == 0)
        sides.append(np.where(exact, x.c, 0.0))
        clear = clear & (exact | (np.isfinite(x.c) & np.isfinite(x.half_width())))
        some = some | exact
    truth = {"Equal": np.equal}.get(name, np.greater_equal if name.endswith("OrEqual") else np.greater)(
        *sides
    )
    known = clear & some
    return Range(np.where(known, truth, found.lo), np.where(known, truth, found.hi), found.margin)


def _compare_discrete(name: str, a: Range, b: Range) -> Range:
    undefined = (a.hi == ANYTHING) | (b.hi == ANYTHING)  # these are no bounds
    if name == "Equal":
        surely, maybe = a.known & b.known & (a.lo == b.lo), (a.lo <= b.hi) & (b.lo <= a.hi)
    elif name.endswith("OrEqual"):
        surely, maybe = a.lo >= b.hi, a.hi >= b.lo
    else:
        surely, maybe = a.lo > b.hi, a.hi > b.lo
    return Range(surely & ~undefined, maybe | undefined)


@operator("And", "Or", "Xor")
def boolean(node: Node, inputs: Inputs) -> Rule:
    """Three-valued logic; a constant operand keeps the margin of the other."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, b = required(node, values, 0), required(node, values, 1)
        x, y = aligned_ranges(batch, a, b)
        if node.op_type == "Xor":
            known = x.known & y.known
            value = x.lo ^ y.lo
            return (Range(known & value, ~known | value),)
        margin = None
        moving, fixed = (a, b) if isinstance(b, Const) else (b, a)
        if isinstance(moving, Range) and moving.margin is not None and isinstance(fixed, Const):
            margin = _masked(moving.margin, fixed.value, node.op_type == "And")
        if node.op_type == "And":
            return (Range(x.lo & y.lo, x.hi & y.hi, margin),)
        return (Range(x.lo | y.lo, x.hi | y.hi, margin),)

    if all(is_integer(v) for v in inputs):
        return lambda batch, values: exact_integers(node, values)
    return rule


def _masked(margin: Affine, fixed: Bools, conjunction: bool) -> Affine | None:
    """The margin where the constant lets it through, else a constant of the right sign."""
    shape = np.broadcast_shapes(margin.shape, fixed.shape)
    if shape != margin.shape:
        return None
    free = np.broadcast_to(fixed == conjunction, shape)
    other = -1.0 if conjunction else 1.0
    return Affine(
        np.where(free, margin.c, other), np.where(free, margin.d, 0.0), np.where(free, margin.r, 0.0)
    )


@operator("Not")
def negation(node: Node, inputs: Inputs) -> Rule:
    """Swap the bounds."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = values[0]
        if isinstance(value, Const):
            return (Const(~value.value),)
        if not isinstance(value, Range):
            raise ModelError(f"{node.label} needs a boolean.")
        margin = None if value.margin is None else forms.negative(value.margin)
        return (Range(~value.hi, ~value.lo, margin),)

    return rule


@operator("Where")
def where(node: Node, inputs: Inputs) -> Rule:
    """Branch by a condition; an unknown condition takes the hull of both branches."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        condition, a, b = (required(node, values, k) for k in range(3))
        if all(isinstance(v, Const) and v.radius is None for v in (condition, a, b)):
            return (Const(np.where(*(v.value for v in (condition, a, b) if isinstance(v, Const)))),)
        choice = as_range(batch, condition)
        if is_discrete(a) and is_discrete(b):
            x, y = aligned_ranges(batch, a, b)
            lo = np.where(choice.lo, x.lo, np.where(choice.hi, np.minimum(x.lo, y.lo), y.lo))
            hi = np.where(choice.lo, x.hi, np.where(choice.hi, np.maximum(x.hi, y.hi), y.hi))
            return (Range(lo, hi),)
        return (_choose(choice, batch.lift(a), batch.lift(b)),)

    return rule


def _choose(choice: Range, a: Affine, b: Affine) -> Affine:
    a, b = forms.aligned(a, b)
    rank = max(a.c.ndim, choice.lo.ndim)
    missing = rank - choice.lo.ndim
    shape = (choice.lo.shape[0], *(1,) * missing, *choice.lo.shape[1:])
    yes, maybe = choice.lo.reshape(shape), choice.hi.reshape(shape)
    if a.c.ndim < rank:
        probe = Affine(*(np.zeros((a.c.shape[0], *(1,) * (rank - 1))),) * 3)
        a, b = forms.aligned(a, probe)[0], forms.aligned(b, probe)[0]
    both = forms.hull(a, b)
    return Affine(
        *(
            np.where(yes, x, np.where(maybe, m, y))
            for x, y, m in zip((a.c, a.d, a.r), (b.c, b.d, b.r), (both.c, both.d, both.r), strict=True)
        )
    )
