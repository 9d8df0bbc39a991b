"""IsNaN and IsInf: false for real numbers."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.values import Batch, Range, Value
from symbolic.node import Inputs, Node, Rule, operator, required


@operator("IsNaN", "IsInf")
def special(node: Node, inputs: Inputs) -> Rule:
    """False where the tensor is a real number; unknown where it may be undefined."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        real = np.isfinite(x.c) & np.isfinite(x.half_width())
        return (Range(np.zeros_like(real), ~real),)

    return rule
