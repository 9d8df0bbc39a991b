"""Piecewise-linear functions of one variable as layers."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import inverted, magnitude, minimum, moving, units
from symbolic.pieces.operators.products import elementwise
from symbolic.pieces.program import Ids, Rounding

__all__: list[str] = []

STAIRS: dict[str, Rounding] = {"Floor": "floor", "Ceil": "ceil", "Round": "even"}


@lowers("Relu")
def relu(b: Builder, node: Node, given: Given) -> list[Units]:
    """max(x, 0)."""
    return b.tensor(b.relu(moving(node, given)))


@lowers("LeakyRelu", "PRelu")
def leaky_relu(b: Builder, node: Node, given: Given) -> list[Units]:
    """slope min(x, 0) + max(x, 0), in three sums, as 1 - slope may be no float."""
    slope = given[1] if node.op_type == "PRelu" else Const(np.array(node.finite("alpha")))
    if slope is None:
        raise ModelError(f"{node.label} lacks its slope.")
    x = given[0]
    if isinstance(x, Const):
        below: Units | Const = Const(np.minimum(x.value, 0), x.radius)
        above = b.ids(Const(np.maximum(x.value, 0), x.radius))
    else:
        ids = moving(node, given)
        above = b.relu(ids)
        below = Units(b.affine([(ids, 1.0), (above, -1.0)]))
    return b.tensor(b.affine([(elementwise(b, below, slope), 1.0), (above, 1.0)]))


@lowers("Abs")
def absolute(b: Builder, node: Node, given: Given) -> list[Units]:
    """2 max(x, 0) - x."""
    return b.tensor(magnitude(b, moving(node, given)))


@lowers("Clip")
def clip(b: Builder, node: Node, given: Given) -> list[Units]:
    """min(max(x, low), high)."""
    x = units(b, node, given, 0)
    low, high = (_bound(b, node, given, k) for k in (1, 2))
    if low is not None:
        x = b.maximum(np.stack(np.broadcast_arrays(x, low), axis=-1))
    return b.tensor(x if high is None else minimum(b, np.stack(np.broadcast_arrays(x, high), axis=-1)))


def _bound(b: Builder, node: Node, given: Given, index: int) -> Ids | None:
    """The least (1) or the greatest value (2), unless it is infinite: an attribute before opset 11."""
    name = ("min", "max")[index - 1]
    value = given[index] if len(given) > index else None
    if node.opset < 11:
        value = Const(np.array(node.number(name))) if name in node.attributes else None
    if value is None:
        return None
    if isinstance(value, Const) and value.value.reshape(-1)[0] == (-np.inf if index == 1 else np.inf):
        return None
    return b.ids(value).reshape(())


@lowers("HardSigmoid")
def hard_sigmoid(b: Builder, node: Node, given: Given) -> list[Units]:
    """max(0, min(1, alpha x + beta))."""
    y = b.affine([(moving(node, given), node.finite("alpha"))], node.finite("beta"))
    top = minimum(b, np.stack(np.broadcast_arrays(y, b.constants(np.array(1.0))), axis=-1))
    return b.tensor(b.relu(top))


@lowers("Floor", "Ceil", "Round")
def staircase(b: Builder, node: Node, given: Given) -> list[Units]:
    """Whole numbers."""
    return b.tensor(b.staircase(moving(node, given), STAIRS[node.op_type]))


@lowers("ThresholdedRelu")
def thresholded_relu(b: Builder, node: Node, given: Given) -> list[Units]:
    """x where it exceeds alpha, else 0."""
    x = moving(node, given)
    return b.tensor(b.product(b.step(b.affine([(x, 1.0)], -node.finite("alpha"))), x))


@lowers("Shrink")
def shrink(b: Builder, node: Node, given: Given) -> list[Units]:
    """x + bias below -lambd, else x - bias above lambd, else 0."""
    x, edge, bias = moving(node, given), node.finite("lambd"), node.finite("bias")
    below, above = b.step(b.affine([(x, -1.0)], -edge)), b.step(b.affine([(x, 1.0)], -edge))
    if edge < 0:  # both may hold: the first counts
        above = b.product(inverted(b, below), above)
    parts = [b.product(below, b.affine([(x, 1.0)], bias)), b.product(above, b.affine([(x, 1.0)], -bias))]
    return b.tensor(b.affine([(part, 1.0) for part in parts]))
