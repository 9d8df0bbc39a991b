"""Cast, and the bits of integers, as layers."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.casting import WHOLE, Whole, narrow_format
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import bits_of, moving, negated, standing, truncated, units, wrapped
from symbolic.pieces.program import Ids

__all__: list[str] = []

WIDE = (TensorProto.FLOAT, TensorProto.DOUBLE)


@lowers("Cast")
def cast(b: Builder, node: Node, given: Given) -> list[Units]:
    """Wide floats hold what they get; booleans ask for zero; integers take whole parts of real numbers that
    they hold, and lose the higher bits of integers."""
    x, to, of = moving(node, given), int(node.attributes["to"]), node.input_type(0)
    if to in WIDE:
        return b.tensor(x)
    if to == TensorProto.BOOL:
        return b.tensor(b.affine([(b.step(x), 1.0), (b.step(negated(b, x)), 1.0)]))
    if to not in WHOLE:
        return b.tensor(_narrow(b, node, x, to))
    if of in WHOLE or of == TensorProto.BOOL:
        return b.tensor(wrapped(b, x, WHOLE[to]))
    made = truncated(b, x)
    b.hold(made, WHOLE[to].least, WHOLE[to].most)
    return b.tensor(made)


def _narrow(b: Builder, node: Node, x: Ids, to: int) -> Ids:
    """Small whole numbers, which no format rounds."""
    form = narrow_format(to)
    known = node.input_type(0) in (*WHOLE, TensorProto.BOOL) and form is not None and form.least < 1
    if known and form is not None and to != TensorProto.FLOAT8E8M0:
        most = min(2.0**form.digits, form.largest)
        low, high = b.bounds(x)
        if ((low >= -most) & (high <= most)).all():
            return x
    raise ModelError(
        f"{node.label} rounds to {TensorProto.DataType.Name(to)}: there are no exact linear pieces."
    )


# ---- bits ----------------------------------------------------------------------------------------


def _kind(node: Node) -> Whole:
    kind = WHOLE.get(node.input_type(0) or 0)
    if kind is None:
        raise ModelError(f"{node.label} needs integers of a known type.")
    return kind


@lowers("BitwiseNot")
def complement(b: Builder, node: Node, given: Given) -> list[Units]:
    """-1 - x, or the greatest number minus x where there are no negative ones."""
    kind, y = _kind(node), b.affine([(moving(node, given), -1.0)], -1.0)
    return b.tensor(y if kind.least else b.affine([(y, 1.0)], float(kind.most + 1)))


@lowers("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def bitwise(b: Builder, node: Node, given: Given) -> list[Units]:
    """Bit by bit, as many as either number may have."""
    kind = _kind(node)
    x, y = np.broadcast_arrays(units(b, node, given, 0), units(b, node, given, 1))
    low, high = zip(b.bounds(x), b.bounds(y), strict=True)
    most = max(1.0, *(float(np.max(np.abs(v), initial=0.0)) for v in (*low, *high)))
    full = (kind.most - kind.least).bit_length()
    count = min(full, int(np.frexp(most)[1]) + 1 if np.isfinite(most) else full)
    level = {"BitwiseOr": 0.0, "BitwiseAnd": -1.0}.get(node.op_type)
    made = []
    for k, pair in enumerate(zip(bits_of(b, x, count), bits_of(b, y, count), strict=True)):
        negative = k == count - 1 and kind.least < 0
        both = [(bit, 1.0) for bit in pair]
        if level is None:
            one = b.affine([*both, (b.step(b.affine(both, -1.0)), -2.0)])
        else:
            one = b.step(b.affine(both, level))
        made.append((one, -(2.0**k) if negative else 2.0**k))
    return b.tensor(b.affine(made))


@lowers("BitShift")
def bit_shift(b: Builder, node: Node, given: Given) -> list[Units]:
    """By a constant number of places."""
    kind, x, by = _kind(node), moving(node, given), standing(node, given, 1)
    if by is None:
        raise ModelError(f"{node.label} lacks a number of places.")
    bits = (kind.most - kind.least).bit_length()
    places = b.exactly(Const(np.where((by.value >= 0) & (by.value < bits), by.value, bits)))
    if node.text("direction") == "RIGHT":
        return b.tensor(b.staircase(b.affine([(x, 2.0**-places)]), "floor"))
    return b.tensor(wrapped(b, b.affine([(x, np.where(places < bits, 2.0**places, 0.0))]), kind))
