"""Maxima over windows in DeepLIFT: the difference of two maxima goes to who won the greater one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from symbolic.explanations.backward import Gradients, Step
from symbolic.explanations.graph import Shape, Tensor
from symbolic.explanations.methods.secants import raised
from symbolic.explanations.passage import folded_batch
from symbolic.explanations.products.maxima import joined, patches, window_of_pool, winner

if TYPE_CHECKING:
    from symbolic.explanations.methods.deep_lift_rules import Multipliers

__all__ = ["pooled"]


def pooled(rules: Multipliers, step: Step, multipliers: Gradients) -> Gradients:
    """At the winner of the greater maximum x - r has the sign of the difference of the maxima, and is at
    least as large: their quotient is the multiplier. It is 1 where both maxima have the same winner (as the
    discrete winners say, so that no rounding divides 0 by 0), or both are 0. Windows with one winner add up.
    """
    if multipliers[0] is None:
        return []
    graph, count = rules.graph, rules.references.count
    x, y, w = step.given(), step.outputs[0], window_of_pool(step)
    seen = _opened(patches(x, w), 0)  # (1, N, C, K, ...)
    r = graph.constant(rules.references.value(x.name), x.elem_type)
    there = _opened(patches(r, w), 1)  # (R, 1, C, K, ...)
    mine, theirs = winner(patches(x, w)), winner(patches(r, w))
    shape = (y.length(1), 1, *w.size_out)
    rise = _as(y, shape, 0) - _as(graph.constant(rules.references.value(y.name), y.elem_type), shape, 1)
    mine, theirs = _opened(mine, 0), _opened(theirs, 1)
    place = graph.where(rise > 0.0, mine, theirs, like=mine)
    lit = _lit(place, prod(w.kernel), seen)
    apart = graph.sum(lit * (seen - there), [3], keep=True)
    alike = _equal(mine, theirs, rise.known_shape).cast(x.elem_type)
    unlike = 1.0 - alike
    rise, apart = (graph.same("Abs", part) * unlike + alike for part in (rise, apart))
    slope = raised(rise) / raised(apart)
    m = rules.spread(multipliers[0])
    lengths = graph.integers([0, 0, *shape])
    m = graph.node("Reshape", [m, lengths], shape=(*m.known_shape[:2], *shape))
    return [joined(folded_batch(lit * (m * slope)), w, graph.repeat(x, count))]


def _opened(x: Tensor, axis: int) -> Tensor:
    """A further axis of length 1, for references (0) or for the batch (1)."""
    shape = (*x.known_shape[:axis], 1, *x.known_shape[axis:])
    return x.graph.node("Unsqueeze", [x, x.graph.integers([axis])], shape=shape)


def _as(x: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """(N, C, ...) as (1, N, C, 1, ...), or (R, C, ...) as (R, 1, C, 1, ...)."""
    made = x.graph.node("Reshape", [x, x.graph.integers([0, *shape])], shape=(x.known_shape[0], *shape))
    return _opened(made, axis)


def _lit(place: Tensor, count: int, like: Tensor) -> Tensor:
    """1 at a place among the elements of its window, else 0: a factor, which runtimes take faster than a
    choice, and no index moves."""
    wheel = np.arange(count).reshape(-1, *[1] * (place.rank - 4))
    shape = (*place.known_shape[:3], count, *place.known_shape[4:])
    return _equal(place, place.graph.constant(wheel, TensorProto.INT64), shape).cast(like.elem_type)


def _equal(a: Tensor, b: Tensor, shape: Shape) -> Tensor:
    return a.graph.node("Equal", [a, b], shape=shape, elem_type=TensorProto.BOOL)
