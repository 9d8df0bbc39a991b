"""Integer arithmetic on data: that of real numbers, known only where the integer type holds every result.

Runtimes wrap around silently, by type: what a result beyond the type becomes is not claimed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto

from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, holds_integers, is_integer
from symbolic.errors import ModelError
from symbolic.node import Builder, Inputs, Node, Rule, moves_integers, operators
from symbolic.operators.casting import LARGEST, WHOLE, Whole, as_reals, integers
from symbolic.operators.steps import tight_bounds

__all__ = ["built", "on_integers", "require_discrete", "whole"]

TRUTH = Whole(0, 1, np.bool_)


def built(node: Node, inputs: Inputs) -> Rule:
    """The rule of a node; of one that `wraps`, that for real numbers serves integers on data too."""
    how = operators[node.op_type]
    if how.wraps and moves_integers(inputs):
        return on_integers(node, inputs, how.build)
    rule = how.build(node, inputs)
    return _of_constants(node, rule) if how.wraps and is_integer(inputs[0]) else rule


def _kind(node: Node) -> Whole | None:
    """The type of the first operand, which is that of the result."""
    kinds = {kind for kind in (node.input_type(0), node.output_type) if kind}
    if len(kinds) > 1:
        raise ModelError(f"{node.label}: its result must be of the type of its input.")
    name = kinds.pop() if kinds else 0
    return TRUTH if name == TensorProto.BOOL else WHOLE.get(name)


def _of_constants(node: Node, rule: Rule) -> Rule:
    """A rule of constant integers, some of whose results may be real numbers."""

    def settled(value: Value) -> Value:
        kind = _kind(node)
        if not isinstance(value, Affine) or kind is None:
            return value
        found = whole(value, kind)
        if not found.known.all():
            raise ModelError(f"{node.label}: a value does not fit the integer type.")
        return Const(found.lo[0].astype(kind.stored))

    return lambda batch, values: tuple(settled(v) for v in rule(batch, values))


def on_integers(node: Node, inputs: Inputs, build: Builder) -> Rule:
    """The rule of integer arithmetic, by the one that ``build`` gives for real numbers.

    Integers have no scale: on a ray, too, they are reckoned with as they are.
    """
    kind = _kind(node)
    if kind is None:
        raise ModelError(f"{node.label}: integer arithmetic on data wraps around, and its type is not known.")
    rule = build(node, _as_real(node, Batch(1), inputs))

    def held(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        plain = Batch(batch.size)
        return tuple(_held(v, kind) for v in rule(plain, _as_real(node, plain, values)))

    return held


def _as_real(node: Node, batch: Batch, values: Inputs) -> list[Value | None]:
    """The operands as real numbers; axes and the like stay as they are."""
    kinds = _type_names(node.op_type)
    operands = [kinds[min(k, len(kinds) - 1)] == kinds[0] for k in range(len(values))]
    return [_real(batch, v) if is_one else v for v, is_one in zip(values, operands, strict=True)]


def _real(batch: Batch, value: Value | None) -> Value | None:
    if isinstance(value, Range):
        return batch.lift(value)
    return as_reals(value) if isinstance(value, Const) and holds_integers(value) else value


@cache
def _type_names(op_type: str) -> tuple[str, ...]:
    """What the schema calls the type of each input; the last one may stand for more."""
    return tuple(i.type_str for i in onnx.defs.get_schema(op_type).inputs)


def _held(value: Value, kind: Whole) -> Value:
    if isinstance(value, Const):  # of no elements
        return Const(value.value.astype(kind.stored))
    if not isinstance(value, Affine):
        return value
    found = whole(value, kind)
    if kind is not TRUTH:
        return found
    return Range(found.lo > 0, found.hi > 0)  # what is not known is anything


def require_discrete(node: Node, results: Inputs) -> None:
    """A ModelError if real numbers stand for integers that move: nobody would truncate them, or know of what
    type they are."""
    for name, value in zip(node.proto.output, results, strict=False):
        if isinstance(value, Affine) and node.types.get(name) in (*WHOLE, TensorProto.BOOL):
            raise ModelError(f"{node.label}: what it makes of integers on data is not supported.")


def whole(sums: Affine, kind: Whole) -> Range:
    """The integers in what is known to enclose one; undefined where the type may not hold it."""
    lo, hi = tight_bounds(sums)
    low, high = np.ceil(lo), np.floor(hi)
    fits = (low >= max(kind.least, -LARGEST)) & (high <= min(kind.most, LARGEST)) & (low <= high)
    form = Affine(sums.c, sums.d, np.where(fits, sums.r, np.inf))
    return Range(*integers(low, high, fits), form=form)
