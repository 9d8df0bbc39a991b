"""Sums and means as layers: element by element, over axes, running."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import magnitude, moving, negated, reduced, standing, times, total
from symbolic.pieces.program import Ids

__all__: list[str] = []


@lowers("Add", "Sub", "Sum", "Mean")
def sums(b: Builder, node: Node, given: Given) -> list[Units]:
    """Element by element; one constant at a time, as their sum may be no float."""
    ids: list[tuple[Ids, float]] = []
    constants: list[Array] = []
    values = [v for v in given if v is not None]
    for k, value in enumerate(values):
        sign = -1.0 if node.op_type == "Sub" and k else 1.0
        if isinstance(value, Units):
            ids.append((value.ids, sign))
        else:
            constants.extend(sign * part for part in b.parts(value))
    for constant in constants[1:]:
        ids = [(b.affine(ids, constant), 1.0)]
    divisor = len(values) if node.op_type == "Mean" else 1
    return b.tensor(b.affine(ids, constants[0] if constants else 0.0, divisor))


@lowers("Neg")
def negative(b: Builder, node: Node, given: Given) -> list[Units]:
    """-x."""
    return b.tensor(negated(b, moving(node, given)))


@lowers("ReduceSum", "ReduceMean", "ReduceL1")
def reduce_sum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Sum (of absolute values), or mean, over axes."""
    table, shape = reduced(node, given)
    if node.op_type == "ReduceL1":
        table = magnitude(b, table)
    divisor = table.shape[-1] if node.op_type == "ReduceMean" else 1
    return b.tensor(total(b, table, divisor).reshape(shape))


@lowers("ReduceSumSquare", "ReduceProd")
def reduce_product(b: Builder, node: Node, given: Given) -> list[Units]:
    """Of what is piecewise constant, as integers are."""
    table, shape = reduced(node, given)
    if node.op_type == "ReduceSumSquare":
        return b.tensor(total(b, times(b, table, table)).reshape(shape))
    made = b.constants(np.ones(table.shape[:-1])) if not table.shape[-1] else table[..., 0]
    for k in range(1, table.shape[-1]):
        made = times(b, made, table[..., k])
    return b.tensor(made.reshape(shape))


@lowers("CumSum", "CumProd")
def running(b: Builder, node: Node, given: Given) -> list[Units]:
    """One after the other; products of what is piecewise constant."""
    x, place = moving(node, given), standing(node, given, 1)
    if place is None:
        raise ModelError(f"{node.label} needs an axis.")
    axis, adds = node.axis(x.ndim, int(place.value.reshape(-1)[0])), node.op_type == "CumSum"
    rows = np.moveaxis(x, axis, 0)
    rows = rows[::-1] if node.flag("reverse") else rows
    start = np.zeros(rows.shape[1:]) if adds else np.ones(rows.shape[1:])
    made, so_far = [], b.constants(start)
    for k, row in enumerate(rows):
        after = row if not k else b.affine([(so_far, 1.0), (row, 1.0)]) if adds else times(b, so_far, row)
        made.append(so_far if node.flag("exclusive") else after)
        so_far = after
    whole = np.stack(made[::-1] if node.flag("reverse") else made) if made else rows
    return b.tensor(np.moveaxis(whole, 0, axis))
