"""Cast: the identity between wide floats, rounding to narrow ones, a step to integers and booleans."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.discrete import COMPARISONS, LARGEST, Discrete, logical_not, to_form, to_integer
from verifier.check.numbers.integers import Array, magnitude
from verifier.check.numbers.narrow import format_of, rounded
from verifier.check.numbers.steps import TRUNC, refuse_cells, stepped
from verifier.check.operators.registry import Context, Node, Value, operator

__all__ = ["REALS", "WHOLE", "settled", "whole_type"]

REALS = (TensorProto.FLOAT, TensorProto.DOUBLE)  # types that do not round
WHOLE: dict[int, tuple[int, int]] = {
    TensorProto.INT2: (-2, 1),
    TensorProto.INT4: (-8, 7),
    TensorProto.INT8: (-(2**7), 2**7 - 1),
    TensorProto.INT16: (-(2**15), 2**15 - 1),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
    TensorProto.INT64: (-(2**63), 2**63 - 1),
    TensorProto.UINT2: (0, 3),
    TensorProto.UINT4: (0, 15),
    TensorProto.UINT8: (0, 2**8 - 1),
    TensorProto.UINT16: (0, 2**16 - 1),
    TensorProto.UINT32: (0, 2**32 - 1),
    TensorProto.UINT64: (0, 2**64 - 1),
}


def whole_type(node: Node, kind: int) -> tuple[int, int]:
    """The bounds of an integer type."""
    if kind not in WHOLE:
        raise node.refuse("it is not known, or not supported, of which type a tensor is")
    return WHOLE[kind]


def settled(ctx: Context, node: Node, low: Array, high: Array, least: int, most: int) -> tuple[Array, Array]:
    """Bounds as int64; undecided, or refused in a constant, where they do not lie between two numbers."""
    bad = (low < max(least, -LARGEST)) | (high > min(most, LARGEST))
    if bad.any():
        if not ctx.moves & set(node.inputs):
            raise node.refuse("a value does not fit the integer type")
        refuse_cells(np.asarray(bad, dtype=bool))
    return low.astype(np.int64), high.astype(np.int64)


@operator("Cast", elementwise=True)
def _cast(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """Between floats of 32 and 64 bits the identity; narrower floats round; else a step."""
    v, to, ar = inputs[0], node.get("to"), ctx.ar
    if isinstance(v, Discrete) and max(magnitude(v.lo), magnitude(v.hi)) > LARGEST:
        raise node.refuse("an integer is beyond 2**52")
    if to in REALS:
        return to_form(ar, v)
    mode = (node.get("round_mode") or b"up").decode()
    narrow = format_of(to, bool(node.get("saturate", 1)), mode)
    if narrow is not None:
        if mode not in ("up", "down", "nearest"):
            raise node.refuse("there is no such round_mode")
        if isinstance(v, Discrete) and max(magnitude(v.lo), magnitude(v.hi)) <= 1:
            return to_form(ar, v) if not narrow.powers else rounded(ar, to_form(ar, v), narrow)
        return rounded(ar, to_form(ar, v), narrow)
    if to == TensorProto.BOOL:
        zero = Discrete.known(0)
        return logical_not(
            COMPARISONS["Equal"](ar, v, zero if isinstance(v, Discrete) else to_form(ar, zero))
        )
    least, most = whole_type(node, to)
    if isinstance(v, Discrete):
        return _wrapped(v, least, most)
    if v.degree:
        raise NotHomogeneous("Cast")
    if node.kinds and node.kinds[0] in WHOLE:  # a form of whole numbers: the integers within its bounds
        return _wrapped(to_integer(ar, v, truncate=False), least, most)
    return Discrete(*settled(ctx, node, *stepped(ar, TRUNC, v), least, most))


def _wrapped(v: Discrete, least: int, most: int) -> Discrete:
    """Integers with their higher bits discarded: exact while the bounds stay in one period."""
    if most - least + 1 == 1 << 64:
        inside = np.ones_like(v.lo, dtype=bool) if least else v.lo >= 0
        if inside.all():
            return v
        refuse_cells(~inside)
    span = most - least + 1
    first, last = ((n - least) // span for n in (v.lo, v.hi))
    if not first.any() and not last.any():
        return v
    same = first == last
    return Discrete(np.where(same, v.lo - first * span, least), np.where(same, v.hi - first * span, most))
