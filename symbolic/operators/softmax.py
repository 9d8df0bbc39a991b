"""Softmax and its logarithm, by the logarithm of the sum of exponentials."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.convex import log_sum_exp
from symbolic.enclosures.curves import relax
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.smooth import EXP


@operator("Softmax", "LogSoftmax", exact=False, homogeneous=False)
def softmax(node: Node, inputs: Inputs) -> Rule:
    """x - log sum exp(x), which is at most 0, and its exponential; an exact -inf has the weight 0."""
    rank = len(required(node, inputs).shape)
    first = node.axis(max(rank, 1)) + 1
    last = first + 1 if node.opset >= 13 else rank + 1  # one axis, or all from there on as one
    places = tuple(range(first, last))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        total = log_sum_exp(x, places)
        logarithm = forms.subtract(x, total)
        if node.op_type == "LogSoftmax":
            return (logarithm,)
        return (_without_gone(relax(logarithm, EXP, most=0.0), x, total),)

    return rule


def _without_gone(share: Affine, x: Affine, total: Affine) -> Affine:
    """No share for an exact -inf, where the others are real numbers."""
    gone = forms.without_weight(x)
    if not gone.any():
        return share
    gone &= np.isfinite(total.c) & np.isfinite(total.half_width())
    return Affine(*(np.where(gone, 0.0, v) for v in (share.c, share.d, share.r)))
