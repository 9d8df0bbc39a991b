"""Integer arithmetic: that of real numbers, where the type of the integers holds the results.

Runtimes wrap around silently, by type; a result beyond the type is refused in a constant and undecided else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from verifier.check.numbers.discrete import LARGEST, Discrete
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.steps import refuse_cells
from verifier.check.operators.cast import settled, whole_type
from verifier.check.operators.registry import Context, Node, Value

__all__ = ["divided_integers", "held", "like", "whole"]


def like(ctx: Context, node: Node, given: Any, made: Form) -> Value:
    """What a node makes of its operands, taken as real numbers: integers if those are."""
    return whole(ctx, node, made) if isinstance(given, Discrete) else made


def whole(ctx: Context, node: Node, v: Form) -> Discrete:
    """Whole numbers as integers of the type of the first operand."""
    low, high = (a.astype(object) for a in ctx.ar.bounds(v))
    k = max(-v.e, 0)
    low, high = -(-(low << max(v.e, 0)) >> k), high << max(v.e, 0) >> k
    empty = np.asarray(low > high, dtype=bool)  # a fraction
    if empty.any():
        if not ctx.moves & set(node.inputs):
            raise node.refuse("what it makes of integers is no integer")
        refuse_cells(empty)
    return held(ctx, node, low, high, None if v.degree else v)


def held(ctx: Context, node: Node, low: Array, high: Array, form: Form | None = None) -> Discrete:
    """Integers between bounds, if the type of the first operand holds these."""
    return Discrete(*settled(ctx, node, low, high, *_type(ctx, node)), form)


def _type(ctx: Context, node: Node) -> tuple[int, int]:
    kind = node.kinds[0] if node.kinds else 0
    if kind == TensorProto.BOOL:
        return 0, 1
    if not kind and not ctx.moves & set(node.inputs):  # lengths and places, mostly
        return -LARGEST, LARGEST
    return whole_type(node, kind)


def divided_integers(ctx: Context, node: Node, a: Discrete, b: Discrete) -> Discrete:
    """a / b, truncated towards zero."""
    zero = np.asarray((b.lo <= 0) & (b.hi >= 0))
    if zero.any():
        if not ctx.moves & set(node.inputs):
            raise node.refuse("division of integers by zero")
        refuse_cells(zero)
    corners = [_truncated(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return held(ctx, node, low, high)


def _truncated(n: Array, d: Array) -> Array:
    return np.asarray(np.sign(n) * np.sign(d) * (np.abs(n) // np.abs(d)))
