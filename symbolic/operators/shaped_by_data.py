"""Operators whose result has a shape that depends on values: of constants only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.shapes import fixed


def _exact(node: Node, inputs: Inputs) -> NDArray[Any]:
    """The input, an exact constant."""
    value = required(node, inputs)
    if not isinstance(value, Const):
        raise ModelError(
            f"{node.label}: the shape of its result depends on its input, which must not depend on the "
            "audited input."
        )
    if value.radius is not None and value.radius.any():
        raise ModelError(f"{node.label}: its input is not known exactly.")
    return value.value


@operator("NonZero")
def non_zero(node: Node, inputs: Inputs) -> Rule:
    """The places of what is not zero, one column each."""
    x = _exact(node, inputs)
    if not x.ndim:
        return fixed(np.zeros((0, int(np.count_nonzero(x))), dtype=np.int64))
    return fixed(np.stack(np.nonzero(x)).astype(np.int64))


@operator("Unique")
def unique(node: Node, inputs: Inputs) -> Rule:
    """Different elements (or slices along an axis) in rising order, or in the order in which they come; where
    they come first, which of them each element is, and how often each comes."""
    x = _exact(node, inputs)
    axis = node.attributes.get("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = node.axis(x.ndim, axis)
    _, first, which, count = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    which = which.reshape(-1)
    if not node.attributes["sorted"]:
        order = np.argsort(first)
        first, count, which = first[order], count[order], np.argsort(order)[which]
    numbers = [v.astype(np.int64) for v in (first, which, count)]
    return fixed(np.take(x, first, axis=axis), *numbers)
