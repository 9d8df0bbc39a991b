"""Layer, root mean square and instance normalisation of forms: each of their steps is lifted by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symbolic.boxes.form import Form
from symbolic.boxes.lifting import Lifted, Map, affine, bilinear, single
from symbolic.enclosures.curves import relax
from symbolic.enclosures.forms import add, product, square, subtract
from symbolic.enclosures.values import Affine, Batch, Const, Value, map_value
from symbolic.node import Node
from symbolic.operators.arithmetic import multiply
from symbolic.operators.normalisation import INVERSE_ROOT
from symbolic.operators.reductions import Places, mean

__all__ = ["NORMALISATIONS", "normalised"]

NORMALISATIONS = frozenset(("InstanceNormalization", "LayerNormalization", "RMSNormalization"))


def normalised(node: Node, x: Form, given: Sequence[Value | None]) -> Lifted | None:
    """The first output; None where scale or bias move, or nothing keeps the variance from 0."""
    parts = [v for v in given[1:] if v is not None]
    epsilon = node.number("epsilon")
    if epsilon <= 0 or not all(isinstance(v, Const) for v in parts):
        return None
    rank = len(x.shape)
    channelwise = node.op_type == "InstanceNormalization"
    places = tuple(range(3 if channelwise else node.axis(rank) + 1, rank + 1))
    if channelwise:
        shape = (-1, *(1,) * (rank - 2))
        parts = [map_value(v, lambda array, lead: array.reshape(shape)) for v in parts]
    z = x if node.op_type == "RMSNormalization" else Form.of(*affine(_centred(places), [x]))
    spread = _at_least(Form.of(*single(lambda batch, values: square(values[0]), z)), 0.0)

    def level(batch: Batch, values: Sequence[Affine]) -> Value:
        return add(mean(batch, values[0], places), batch.lift(Const(np.array(epsilon))))

    variance = _at_least(Form.of(*affine(level, [spread])), epsilon)
    factor = Form.of(*single(lambda batch, values: relax(values[0], INVERSE_ROOT, least=epsilon), variance))
    y = Form.of(*bilinear(lambda batch, values: product(*values), z, factor))

    def scaled(batch: Batch, values: Sequence[Affine]) -> Value:
        made = multiply(batch, values[0], parts[0])
        return made if len(parts) == 1 else add(made, batch.lift(parts[1]))

    return affine(scaled, [y])


def _centred(places: Places) -> Map:
    def f(batch: Batch, values: Sequence[Affine]) -> Value:
        return subtract(values[0], mean(batch, values[0], places))

    return f


def _at_least(x: Form, least: float) -> Form:
    """What is never below a number, where it is known at all."""
    known = np.isfinite(x.lo) & np.isfinite(x.hi)
    lo = np.where(known, np.maximum(x.lo, least), x.lo)
    return Form(x.c, x.d, x.r, lo, np.where(known, np.maximum(x.hi, least), x.hi))
