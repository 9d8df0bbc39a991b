"""Maxima and minima as layers, where they are attained, and ranks."""

from __future__ import annotations

from math import prod

import numpy as np

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.extremum import flat_numbers
from symbolic.operators.windows import whole_window, window_of
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.convolutions import windowed
from symbolic.pieces.operators.parts import equal, minimum, moving, negated, reduced, standing, times, total
from symbolic.pieces.program import Ids

__all__: list[str] = []


@lowers("Max", "Min")
def extremum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Element by element; what is infinitely far on the other side does not count."""
    neutral = -np.inf if node.op_type == "Max" else np.inf
    rows = [_competitor(b, v, neutral) for v in given if v is not None]
    table = np.stack(np.broadcast_arrays(*rows), axis=-1)
    return b.tensor(b.maximum(table) if node.op_type == "Max" else minimum(b, table))


def _competitor(b: Builder, value: Units | Const, neutral: float) -> Ids:
    if isinstance(value, Units) or not value.is_float:
        return b.ids(value)
    absent = value.value == neutral
    kept = Const(np.where(absent, 0.0, value.value), value.radius)
    return np.where(absent, -1, b.ids(kept))


@lowers("MaxPool", "GlobalMaxPool")
def max_pool(b: Builder, node: Node, given: Given) -> list[Units]:
    """Maxima over windows, and the flat number of the first greatest element."""
    x = moving(node, given)
    if node.op_type == "GlobalMaxPool":
        window = whole_window(x.shape[2:])
    else:
        window = window_of(node, x.shape[2:], tuple(node.attributes["kernel_shape"]))
    table = windowed(x, window)
    made = b.tensor(b.maximum(table))
    if len([name for name in node.proto.output if name]) > 1:
        numbers = windowed(flat_numbers(x.shape, node.flag("storage_order")), window)
        made += b.tensor(b.winner(table, numbers.astype(np.float64)))
    return made


@lowers("ReduceMax", "ReduceMin")
def reduce_extremum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Over axes."""
    table, shape = reduced(node, given)
    found = b.maximum(table) if node.op_type == "ReduceMax" else minimum(b, table)
    return b.tensor(found.reshape(shape))


@lowers("ArgMax", "ArgMin")
def position(b: Builder, node: Node, given: Given) -> list[Units]:
    """Where the greatest or least entry stands."""
    x = moving(node, given)
    axis = node.axis(x.ndim)
    table = np.moveaxis(x if node.op_type == "ArgMax" else negated(b, x), axis, -1)
    found = b.winner(table, np.arange(x.shape[axis], dtype=np.float64), node.flag("select_last_index"))
    return b.tensor(np.expand_dims(found, axis) if node.flag("keepdims") else found)


@lowers("Hardmax")
def hardmax(b: Builder, node: Node, given: Given) -> list[Units]:
    """1 for the first greatest entry, 0 for the others."""
    x = moving(node, given)
    axis = node.axis(max(x.ndim, 1))
    joined = node.opset < 13
    lead = x.shape[:axis]
    rows = x.reshape(*lead, prod(x.shape[axis:])) if joined else np.moveaxis(x, axis, -1)
    n = rows.shape[-1]
    b.require_moderate(rows.size * n)
    table = np.broadcast_to(rows[..., None, :], (*rows.shape, n))
    found = b.winner(table, np.eye(n))
    return b.tensor(found.reshape(x.shape) if joined else np.moveaxis(found, -1, axis))


@lowers("TopK")
def top_k(b: Builder, node: Node, given: Given) -> list[Units]:
    """Ranks by comparing all pairs; entry and place of a rank are sums over the one entry that has it."""
    x = moving(node, given)
    count = standing(node, given, 1) if node.opset >= 10 else None
    k = int(node.attributes.get("k", 0) if count is None else count.value.reshape(-1)[0])
    axis, largest = node.axis(x.ndim), bool(node.attributes.get("largest", 1))
    if not node.attributes.get("sorted", 1) and k > 1:
        raise ModelError(f"{node.label}: the order of its entries is not defined.")
    rows = np.moveaxis(x, axis, -1)
    n = rows.shape[-1]
    b.require_moderate(rows.size * n)
    mine, other = np.broadcast_arrays(rows[..., :, None], rows[..., None, :])
    ahead = b.affine([(other, 1.0), (mine, -1.0)] if largest else [(mine, 1.0), (other, -1.0)])
    before = np.tri(n, k=-1, dtype=bool)  # of equal entries the lower place comes first
    beats = np.where(before, b.step(ahead, strict=False), b.step(ahead))
    rank = total(b, np.where(np.eye(n, dtype=bool), 0, beats))
    has = equal(b, rank[..., None, :], b.constants(np.arange(k, dtype=np.float64))[:, None])
    values = total(b, times(b, has, rows[..., None, :]))
    places = total(b, b.affine([(has, np.arange(n, dtype=np.float64))]))
    return [Units(np.moveaxis(v, -1, axis)) for v in (values, places)]
