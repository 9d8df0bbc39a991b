"""Hardmax: 1 where the first maximum of an axis stands, 0 elsewhere."""

from __future__ import annotations

from math import prod

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.extremum import contenders


@operator("Hardmax")
def hardmax(node: Node, inputs: Inputs) -> Rule:
    """Along one axis; before opset 13 along that axis and all behind it together."""
    shape = required(node, inputs).shape
    axis = node.axis(max(len(shape), 1))
    last = axis + 1 if node.opset >= 13 else len(shape)
    length = prod(shape[axis:last])

    def rows(v: Array) -> Array:
        """The joined axes in front of the batch axis."""
        return np.moveaxis(v.reshape(len(v), prod(shape[:axis]), length, -1), 2, 0)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        x = batch.lift(value)
        possible = contenders(Affine(rows(x.c), rows(x.d), rows(x.r)))
        certain = possible & (possible.sum(axis=0) == 1)
        lo, hi = (np.moveaxis(v, 0, 2).reshape(-1, *shape).astype(np.float64) for v in (certain, possible))
        return (Const(lo[0]) if isinstance(value, Const) and value.radius is None else Range(lo, hi),)

    return rule
