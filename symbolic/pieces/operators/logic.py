"""Comparisons, boolean algebra and selection as layers."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.values import Const
from symbolic.node import Node
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import equal, inverted, moving, negated, units
from symbolic.pieces.operators.products import elementwise
from symbolic.pieces.program import Ids

__all__: list[str] = []


@lowers("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
def comparison(b: Builder, node: Node, given: Given) -> list[Units]:
    """The sign of a difference; a number and an infinity compare always alike."""
    (x, first), (y, second) = (_with_infinities(b, given[k]) for k in (0, 1))
    name = node.op_type
    if name == "Equal":
        made = equal(b, x, y)
    else:
        plus, minus = (y, x) if name.startswith("Less") else (x, y)
        made = b.step(b.affine([(plus, 1.0), (minus, -1.0)]), strict=not name.endswith("OrEqual"))
    far = first - second  # of what is not infinite on both sides
    if not far.any():
        return b.tensor(made)
    above = (far < 0) if name.startswith("Less") else (far > 0)
    known = np.zeros(far.shape) if name == "Equal" else above.astype(np.float64)
    return b.tensor(np.where(far != 0, b.constants(known), made))


def _with_infinities(b: Builder, value: Units | Const | None) -> tuple[Ids, np.ndarray]:
    """Units, and the signs of what is infinite, for which any units stand."""
    if isinstance(value, Const) and value.is_float and value.radius is None:
        infinite = np.isinf(value.value)
        return b.ids(Const(np.where(infinite, 0.0, value.value))), np.where(
            infinite, np.sign(value.value), 0.0
        )
    ids = value.ids if isinstance(value, Units) else b.ids(value or Const(np.zeros(())))
    return ids, np.zeros(ids.shape)


@lowers("And", "Or", "Xor")
def boolean(b: Builder, node: Node, given: Given) -> list[Units]:
    """Of zeros and ones."""
    x, y = units(b, node, given, 0), units(b, node, given, 1)
    if node.op_type == "Or":
        return b.tensor(b.step(b.affine([(x, 1.0), (y, 1.0)])))
    both = b.step(b.affine([(x, 1.0), (y, 1.0)], -1.0))
    if node.op_type == "And":
        return b.tensor(both)
    return b.tensor(b.affine([(x, 1.0), (y, 1.0), (both, -2.0)]))


@lowers("Not")
def negation(b: Builder, node: Node, given: Given) -> list[Units]:
    """1 - x."""
    return b.tensor(inverted(b, moving(node, given)))


@lowers("IsNaN", "IsInf")
def special(b: Builder, node: Node, given: Given) -> list[Units]:
    """Units are real numbers."""
    return b.tensor(np.zeros_like(moving(node, given)))


@lowers("Where")
def where(b: Builder, node: Node, given: Given) -> list[Units]:
    """One of two tensors, by a condition."""
    condition = given[0]
    if isinstance(condition, Const):
        kept = [_seen(given[k], condition.value if k == 1 else ~condition.value) for k in (1, 2)]
        fixed = np.broadcast_arrays(condition.value, *(units(b, node, kept, k) for k in (0, 1)))
        return b.tensor(np.where(*fixed))
    yes = units(b, node, given, 0)
    parts = [
        elementwise(b, Units(switch), value)
        for switch, value in ((yes, given[1]), (inverted(b, yes), given[2]))
        if value is not None
    ]
    return b.tensor(b.affine([(part, 1.0) for part in parts]))


def _seen(value: Units | Const | None, used: np.ndarray) -> Units | Const | None:
    """A constant whose elements count only in places: infinite ones in others do not matter."""
    if not isinstance(value, Const) or not value.is_float or np.isfinite(value.value).all():
        return value
    wide, used = np.broadcast_arrays(value.value, used)
    return Const(
        np.where(used, wide, 0.0), None if value.radius is None else np.broadcast_to(value.radius, wide.shape)
    )


@lowers("Sign")
def sign(b: Builder, node: Node, given: Given) -> list[Units]:
    """-1, 0 or 1."""
    x = moving(node, given)
    return b.tensor(b.affine([(b.step(x), 1.0), (b.step(negated(b, x)), -1.0)]))
