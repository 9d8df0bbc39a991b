"""Operators that keep elements or put zeros in their places: Trilu, and Dropout, which keeps all."""

from __future__ import annotations

from math import prod

import numpy as np

from symbolic.enclosures.moves import gather_map, joined
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, operator, required


@operator("Trilu")
def trilu(node: Node, inputs: Inputs) -> Rule:
    """The upper or lower triangle of matrices; zeros elsewhere."""
    data, k = required(node, inputs), constant(node, inputs, 1, "diagonal")
    if len(data.shape) < 2:
        raise ModelError(f"{node.label} needs matrices.")
    diagonal = 0 if k is None else int(k.value.reshape(-1)[0])
    rows, columns = (np.arange(n) for n in data.shape[-2:])
    distance = columns - rows[:, None]
    kept = distance >= diagonal if node.flag("upper") else distance <= diagonal
    size = prod(data.shape)
    move = gather_map(np.where(kept, np.arange(size).reshape(data.shape), size), size + 1)
    array = data.c if isinstance(data, Affine) else data.lo if isinstance(data, Range) else data.value
    zero = Const(np.zeros((), dtype=array.dtype))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (map_value(joined([required(node, values), zero], batch), move),)

    return rule


@operator("Dropout")
def dropout(node: Node, inputs: Inputs) -> Rule:
    """The identity, with a mask of ones, unless in training mode."""
    training = constant(node, inputs, 2, "training_mode")
    if training is not None and training.value.any():
        ratio = constant(node, inputs, 1, "ratio")
        if ratio is None or ratio.value.any():
            raise ModelError(f"{node.label}: in training mode it is random.")
    kind = np.float64 if node.opset < 10 else np.bool_
    mask = Const(np.ones(required(node, inputs).shape, dtype=kind))
    return lambda batch, values: (required(node, values), mask)
