"""Maxima over windows in DeepLIFT: the difference of two maxima goes to who won the greater one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto

from symbolic.explanations.backward import Gradients, Step
from symbolic.explanations.graph import Tensor
from symbolic.explanations.passage import spread_batch
from symbolic.explanations.products.pooling import winners
from symbolic.explanations.references import computed

if TYPE_CHECKING:
    from symbolic.explanations.methods.deep_lift_rules import Multipliers

__all__ = ["pooled"]


def pooled(rules: Multipliers, step: Step, multipliers: Gradients) -> Gradients:
    """At the winner of the greater maximum x - r is at least the difference of the maxima: their quotient
    is the multiplier there. Windows that share a winner add up."""
    if multipliers[0] is None:
        return []
    graph, count = rules.graph, rules.references.count
    x, y = step.given(), step.outputs[0]
    size = prod(x.length(axis) for axis in range(1, x.rank))
    windows = prod(y.length(axis) for axis in range(1, y.rank))
    mine, theirs = _places(rules, step, x, size, windows)
    m = _flat(rules.spread(multipliers[0]), windows, 2)
    flat_x, flat_y = _flat(x, size), _flat(y, windows)
    flat_r, other_y = _constant(rules, x, size), _constant(rules, y, windows)
    lead = (count, x.known_shape[0])
    rise = flat_y - graph.node("Unsqueeze", [other_y, graph.integers([1])], shape=(count, 1, windows))
    at_mine = graph.node("Gather", [flat_r, mine], shape=(*lead, windows), axis=1)
    at_theirs = graph.node("Gather", [flat_x, theirs], shape=(*lead[::-1], windows), axis=1)
    beaten = graph.transpose(at_theirs, [1, 0, 2]) - (flat_y - rise)
    up = rise > 0.0
    apart = graph.where(up, flat_y - at_mine, beaten, like=rise)
    same = graph.node("Equal", [apart, apart.like(0.0)], shape=apart.shape, elem_type=TensorProto.BOOL)
    slope = graph.where(same, 1.0, rise / graph.where(same, 1.0, apart, like=apart), like=rise)
    place = graph.where(
        up, mine, graph.node("Unsqueeze", [theirs, graph.integers([1])], shape=(count, 1, windows)), like=mine
    )
    whole = graph.repeat(x, count)
    zeros = spread_batch(_flat(graph.expand(x.like(0.0), whole), size), count, lead[1])
    made = graph.node(
        "ScatterElements", [zeros, place, m * slope], shape=(*lead, size), axis=2, reduction="add"
    )
    return [graph.node("Reshape", [made, graph.shape_of(whole)], shape=whole.shape)]


def _constant(rules: Multipliers, x: Tensor, size: int) -> Tensor:
    """A tensor at the references, (R, size)."""
    values = rules.references.value(x.name)
    return rules.graph.constant(values.reshape(len(values), size), x.elem_type)


def _flat(x: Tensor, size: int, kept: int = 1) -> Tensor:
    """(N, ...) as (N, size), or (R, N, ...) as (R, N, size)."""
    shape = (*x.known_shape[:kept], size)
    return x.graph.node("Reshape", [x, x.graph.integers([*[0] * kept, size])], shape=shape)


def _places(rules: Multipliers, step: Step, x: Tensor, size: int, windows: int) -> tuple[Tensor, Tensor]:
    """Within one input, flat: the winners at x, (N, windows), and at the references, (R, windows)."""
    graph = rules.graph
    values = rules.references.value(x.name)
    if step.node.op_type == "GlobalMaxPool":
        channels, each = x.length(1), size // x.length(1)
        offsets = np.arange(channels) * each
        rows = graph.node(
            "Reshape", [x, graph.integers([0, channels, each])], shape=(x.known_shape[0], channels, each)
        )
        won = graph.node(
            "ArgMax",
            [rows],
            shape=(x.known_shape[0], channels),
            elem_type=TensorProto.INT64,
            axis=2,
            keepdims=0,
        )
        theirs = values.reshape(len(values), channels, each).argmax(axis=2) + offsets
        return won + offsets, graph.constant(theirs, TensorProto.INT64)
    found = winners(step)
    mine = graph.node("Mod", [_flat(found, windows), graph.integers(size)], shape=(x.known_shape[0], windows))
    node = onnx.NodeProto()
    node.CopyFrom(step.node.proto)
    del node.input[:], node.output[:]
    node.input.extend(["x"])
    node.output.extend(["y", "places"])
    for attribute in list(node.attribute):
        if attribute.name == "storage_order":
            node.attribute.remove(attribute)
    rows_of = [computed(node, graph.opset, [row[None]])[1].reshape(windows) for row in values]
    return mine, graph.constant(np.stack(rows_of), TensorProto.INT64)
