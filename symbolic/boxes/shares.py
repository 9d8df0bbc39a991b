"""Softmax of forms.

The logarithm of a sum of exponentials is convex, with the gradient s = softmax. About the middle m of the
bounds, with |x_i - m_i| <= w_i and p near s(m),

    lse(x) = p x + g(x),   g(m) - slack <= g(x) <= g(m) + slack + gap,

where slack = sum_i |s_i - p_i| w_i, and gap bounds log sum_i s_i exp(x_i - m_i) - sum_i s_i (x_i - m_i). With
W = max w_i that is at most W**2 / 2 (Hoeffding's lemma), sum_i s_i w_i**2 (e**W - 1 - W) / W**2 (from
log u <= u - 1 and the growth of (e**z - 1 - z) / z**2), and 2 W.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symbolic.boxes.form import Form
from symbolic.boxes.lifting import Lifted, affine, single
from symbolic.enclosures.convex import Places, tangent_of_log_sum_exp
from symbolic.enclosures.curves import relax
from symbolic.enclosures.forms import scale, subtract
from symbolic.enclosures.rounding import UP, Array
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.node import Node
from symbolic.operators.reductions import total
from symbolic.operators.smooth import EXP

__all__ = ["softmax"]


def softmax(node: Node, x: Form) -> Lifted | None:
    """Softmax or its logarithm; None where an element is infinite or unknown."""
    if not (np.isfinite(x.lo).all() and np.isfinite(x.hi).all() and x.lo.size):
        return None
    rank = len(x.shape)
    first = node.axis(rank) + 1
    places = tuple(range(first, first + 1 if node.opset >= 13 else rank + 1))
    logarithm = _logarithm(x, places)
    if node.op_type == "LogSoftmax":
        return logarithm
    share = Form.of(*logarithm, np.full_like(x.lo, -np.inf), np.zeros_like(x.hi))
    return single(lambda batch, values: relax(values[0], EXP, most=0.0), share)


def _logarithm(x: Form, places: Places) -> Lifted:
    """x - lse(x)."""
    segment = x.segment()
    m, w = segment.c, segment.d
    value, error, p, slack = tangent_of_log_sum_exp(m, w, places)

    def tilted(batch: Batch, values: Sequence[Affine]) -> Affine:
        return total(scale(values[0], np.broadcast_to(p[0], values[0].shape)), places)

    def rest(batch: Batch, values: Sequence[Affine]) -> Value:
        return subtract(values[0], tilted(batch, values))

    at_m = tilted(Batch(1), [Affine(m, np.zeros_like(m), np.zeros_like(m))])
    gap = _gap(p, w, places)
    c, d, r = affine(rest, [x])  # less g(x)
    base = subtract(Affine(value, 0 * value, error), at_m)
    middle = Affine(base.c + gap / 2, 0 * value, (base.r + gap / 2 + slack + np.abs(base.c) * 2.0**-51) * UP)
    made = subtract(Affine(c, np.zeros_like(c), r), middle)
    return made.c, d, made.r


def _gap(p: Array, w: Array, places: Places) -> Array:
    """The gap, rounded up."""
    widest = np.asarray(w.max(axis=places, keepdims=True))
    spread = np.asarray((p * w * w).sum(axis=places, keepdims=True))
    small = widest < 1.0
    growth = np.where(
        small, 0.5 + widest / 4, 1.0
    )  # of (e**W - 1 - W) / W**2 <= 1/2 + W (e - 5/2) for W <= 1
    found = np.minimum(widest * widest / 2, 2 * widest)
    return np.asarray(np.where(small, np.minimum(found, spread * growth), found) * (1 + 2.0**-30))
