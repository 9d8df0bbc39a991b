"""Floor, Ceil, Round, Mod and Hardmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.discrete import Discrete, first_best, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import select
from verifier.check.numbers.steps import (
    CEIL,
    FLOOR,
    NEAREST,
    TRUNC,
    Step,
    blurred,
    divided,
    refuse_cells,
    stepped,
)
from verifier.check.operators.cast import settled
from verifier.check.operators.registry import Context, Node, Value, operator

__all__: list[str] = []

STEPS: dict[str, Step] = {"Floor": FLOOR, "Ceil": CEIL, "Round": NEAREST}
ANY = 1 << 62


@operator(*STEPS, elementwise=True)
def _round(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x, ar = to_form(ctx.ar, inputs[0]), ctx.ar
    if x.degree:
        raise NotHomogeneous(node.op)
    low, high = settled(ctx, node, *stepped(ar, STEPS[node.op], x), -ANY, ANY)
    if (low == high).all():
        return to_form(ar, Discrete(low, high))
    half = {"Floor": -1, "Ceil": 1, "Round": 0}[node.op]
    middle = ar.add(x, ar.form(np.full((1,), half, dtype=object), -1))
    return to_form(ar, Discrete(low, high, blurred(ar, middle, -1)))


@operator("Mod", elementwise=True)
def _mod(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    step = TRUNC if node.get("fmod") else FLOOR
    if all(isinstance(v, Discrete) for v in inputs):
        return _whole_remainder(ctx, node, step, *inputs)
    x, y = (to_form(ctx.ar, v) for v in inputs)
    if x.degree or y.degree:
        raise NotHomogeneous("Mod")
    return _remainder(ctx, node, step, x, y)


def _remainder(ctx: Context, node: Node, step: Step, x: Form, y: Form) -> Form:
    """x - k y while the quotient stays on one step k; else anything between 0 and the divisor."""
    ar = ctx.ar
    lo, hi = ar.bounds(y)
    zero = (lo <= 0) & (hi >= 0)
    if zero.any():
        if not ctx.moves & set(node.inputs):
            raise node.refuse("the divisor may be 0")
        refuse_cells(zero)
    if y.r.any() or y.d.any():
        low, high = stepped(ar, step, ctx.quotient(x, y))
    else:
        sign = np.where(y.c < 0, -1, 1)
        low, high = stepped(ar, step, *(Form(f.c * sign, f.d * sign, f.r, f.e) for f in (x, y)))
    steady = low == high
    k = np.where(steady & (np.abs(low) < ANY), low, 0).astype(np.int64)
    line = ar.subtract(x, ar.multiply(to_form(ar, Discrete(k, k)), y))
    size = np.maximum(np.abs(lo), np.abs(hi))
    xlo, xhi = ar.bounds(x)
    down, up = (xlo < 0, xhi > 0) if step is TRUNC else (lo < 0, hi > 0)
    anywhere = ar.from_bounds(np.where(down, -size, 0), np.where(up, size, 0), y.e)
    steady = np.asarray(steady & (np.abs(low) < ANY), dtype=np.int64)
    return select(ar, steady, steady, line, anywhere)


def _whole_remainder(ctx: Context, node: Node, step: Step, a: Discrete, b: Discrete) -> Discrete:
    zero = (b.lo <= 0) & (b.hi >= 0)
    if zero.any():
        if not ctx.moves & set(node.inputs):
            raise node.refuse("division of integers by zero")
        refuse_cells(zero)
    known = b.lo == b.hi
    divisor = np.where(known, b.lo, 1)
    quotients = [_whole_quotient(step, n, divisor) for n in (a.lo, a.hi)]
    same = known & (quotients[0] == quotients[1])
    size = np.maximum(np.abs(b.lo), np.abs(b.hi)) - 1
    down, up = (a.lo < 0, a.hi > 0) if step is TRUNC else (b.lo < 0, b.hi > 0)
    return Discrete(
        np.where(same, a.lo - quotients[0] * divisor, np.where(down, -size, 0)),
        np.where(same, a.hi - quotients[1] * divisor, np.where(up, size, 0)),
    )


def _whole_quotient(step: Step, n: Array, d: Array) -> Array:
    floor, rest = divided(n, d)
    return floor + ((floor < 0) & (rest != 0)) if step is TRUNC else floor


@operator("Hardmax", ties=True)
def _hardmax(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """1 where the first maximum of an axis stands (before opset 13: of that axis and all behind it)."""
    x = to_form(ctx.ar, inputs[0])
    rank = len(x.shape)
    axis = node.axis(max(rank, 1))
    last = axis + 1 if node.opset >= 13 else rank
    shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:last]), math.prod(x.shape[last:]))

    def rows(a: Array) -> Array:
        return np.moveaxis(a.reshape(*shape, a.shape[-1]), 1, 0)

    possible = first_best(ctx.ar, x.each(rows, same=None if x.same is None else rows(x.same)))
    alone = possible & (possible.sum(axis=0) == 1)
    lo, hi = (np.moveaxis(a, 0, 1).reshape(*x.shape, -1).astype(np.int64) for a in (alone, possible))
    return to_form(ctx.ar, Discrete(lo, hi))
