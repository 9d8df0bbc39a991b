"""Trilu: a triangle of matrices, and zeros in the other places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import Discrete
from verifier.check.operators.registry import Context, Node, Value, operator, whole_numbers
from verifier.check.operators.structure import gather

__all__: list[str] = []


@operator("Trilu", still=(1,))
def _trilu(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    v = inputs[0]
    given = inputs[1] if len(inputs) > 1 else None
    diagonal = 0 if given is None else int(whole_numbers(node, given).reshape(-1)[0])
    size, (rows, columns) = math.prod(v.shape), v.shape[-2:]
    beyond = np.arange(columns) - np.arange(rows)[:, None] - max(-(2**40), min(2**40, diagonal))
    kept = beyond >= 0 if node.get("upper") else beyond <= 0
    index = np.where(kept, np.arange(size).reshape(v.shape), size)
    zero = (
        Discrete.known([0])
        if isinstance(v, Discrete)
        else ctx.ar.form(np.zeros((1, 1), dtype=object), v.e, degree=v.degree)
    )
    return gather(ctx, [v, zero], index)
