"""Operators with branches, as layers: maxima, comparisons, logic, steps."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.windows import whole_window, window_of
from symbolic.pieces.builder import Builder, Given, Units, lowers
from symbolic.pieces.linear_operators import moving, reduced, standing, total, windowed
from symbolic.pieces.program import Ids, Rounding

__all__: list[str] = []

MOST_PAIRS = 1 << 22
"""Comparisons that one TopK may take."""
WIDE = (TensorProto.FLOAT, TensorProto.DOUBLE)
STAIRS: dict[str, Rounding] = {"Floor": "floor", "Ceil": "ceil", "Round": "even"}


def units(b: Builder, node: Node, given: Given, index: int) -> Ids:
    """The units of an input that must be there."""
    value = given[index] if index < len(given) else None
    if value is None:
        raise ModelError(f"{node.label} lacks input {index}.")
    return b.ids(value)


@lowers("Relu")
def relu(b: Builder, node: Node, given: Given) -> list[Units]:
    """max(x, 0)."""
    return b.tensor(b.relu(moving(node, given)))


@lowers("LeakyRelu", "PRelu")
def leaky_relu(b: Builder, node: Node, given: Given) -> list[Units]:
    """slope x + (1 - slope) max(x, 0), in three sums, as 1 - slope may be no float."""
    x = moving(node, given)
    slope = standing(node, given, 1) if node.op_type == "PRelu" else Const(np.array(node.number("alpha")))
    if slope is None:
        raise ModelError(f"{node.label} lacks its slope.")
    above = b.relu(x)
    return b.tensor(b.affine([(b.affine([(x, 1.0), (above, -1.0)]), b.exactly(slope)), (above, 1.0)]))


@lowers("Abs")
def absolute(b: Builder, node: Node, given: Given) -> list[Units]:
    """2 max(x, 0) - x."""
    return b.tensor(magnitude(b, moving(node, given)))


def magnitude(b: Builder, x: Ids) -> Ids:
    """|x|."""
    return b.affine([(b.relu(x), 2.0), (x, -1.0)])


@lowers("ReduceL1")
def reduce_l1(b: Builder, node: Node, given: Given) -> list[Units]:
    """Sum of absolute values."""
    table, shape = reduced(node, given)
    return b.tensor(total(b, magnitude(b, table)).reshape(shape))


@lowers("Clip")
def clip(b: Builder, node: Node, given: Given) -> list[Units]:
    """min(max(x, low), high)."""
    x = units(b, node, given, 0)
    bounds: list[Ids | None] = [None, None]
    for k, name in enumerate(("min", "max")):
        if node.opset < 11:
            if name in node.attributes:
                bounds[k] = b.constants(np.array(node.number(name)))
        elif len(given) > k + 1 and given[k + 1] is not None:
            value = given[k + 1]
            if not isinstance(value, Const) or np.isfinite(value.value).all():
                bounds[k] = units(b, node, given, k + 1).reshape(())
    if bounds[0] is not None:
        x = b.maximum(np.stack(np.broadcast_arrays(x, bounds[0]), axis=-1))
    return b.tensor(x if bounds[1] is None else minimum(b, np.stack(np.broadcast_arrays(x, bounds[1]), -1)))


def minimum(b: Builder, table: Ids) -> Ids:
    """The least of the last axis."""
    flipped = np.where(table < 0, -1, b.affine([(np.maximum(table, 0), -1.0)]))
    return b.affine([(b.maximum(flipped), -1.0)])


@lowers("HardSigmoid")
def hard_sigmoid(b: Builder, node: Node, given: Given) -> list[Units]:
    """max(0, min(1, alpha x + beta))."""
    y = b.affine([(moving(node, given), node.number("alpha"))], node.number("beta"))
    top = minimum(b, np.stack(np.broadcast_arrays(y, b.constants(np.array(1.0))), axis=-1))
    return b.tensor(b.relu(top))


@lowers("Max", "Min")
def extremum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Element by element."""
    table = np.stack(np.broadcast_arrays(*(b.ids(v) for v in given if v is not None)), axis=-1)
    return b.tensor(b.maximum(table) if node.op_type == "Max" else minimum(b, table))


@lowers("MaxPool", "GlobalMaxPool")
def max_pool(b: Builder, node: Node, given: Given) -> list[Units]:
    """Maxima over windows."""
    x = moving(node, given)
    if len([name for name in node.proto.output if name]) > 1:
        raise ModelError(f"{node.label}: linear pieces of a MaxPool that gives indices are not supported.")
    if node.op_type == "GlobalMaxPool":
        window = whole_window(x.shape[2:])
    else:
        window = window_of(node, x.shape[2:], tuple(node.attributes["kernel_shape"]))
    return b.tensor(b.maximum(windowed(x, window)))


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
    table = np.moveaxis(x if node.op_type == "ArgMax" else b.affine([(x, -1.0)]), axis, -1)
    found = b.winner(table, np.arange(x.shape[axis], dtype=np.float64), node.flag("select_last_index"))
    return b.tensor(np.expand_dims(found, axis) if node.flag("keepdims") else found)


@lowers("Hardmax")
def hardmax(b: Builder, node: Node, given: Given) -> list[Units]:
    """1 for the first greatest entry, 0 for the others."""
    x = moving(node, given)
    axis = node.axis(x.ndim)
    rows = x.reshape(*x.shape[:axis], -1) if node.opset < 13 else np.moveaxis(x, axis, -1)
    n = rows.shape[-1]
    table = np.broadcast_to(rows[..., None, :], (*rows.shape, n))
    found = b.winner(table, np.eye(n))
    return b.tensor(found.reshape(x.shape) if node.opset < 13 else np.moveaxis(found, -1, axis))


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
    if rows.size * n > MOST_PAIRS:
        raise ModelError(f"{node.label} has too many entries for exact linear pieces.")
    mine, other = np.broadcast_arrays(rows[..., :, None], rows[..., None, :])
    ahead = b.affine([(other, 1.0), (mine, -1.0)] if largest else [(mine, 1.0), (other, -1.0)])
    before = np.tri(n, k=-1, dtype=bool)  # of equal entries the lower place comes first
    beats = np.where(before, b.step(ahead, strict=False), b.step(ahead))
    beats = np.where(np.eye(n, dtype=bool), 0, beats)
    rank = total(b, beats)
    has = equal(b, rank[..., None, :], b.constants(np.arange(k, dtype=np.float64))[:, None])
    values = total(b, b.product(has, np.broadcast_to(rows[..., None, :], has.shape)))
    places = total(b, b.affine([(has, np.arange(n, dtype=np.float64))]))
    return [Units(np.moveaxis(v, -1, axis)) for v in (values, places)]


def equal(b: Builder, x: Ids, y: Ids) -> Ids:
    """1 where x = y, else 0."""
    d = b.affine([(x, 1.0), (y, -1.0)])
    both = b.affine([(b.step(d), -1.0), (b.step(b.affine([(d, -1.0)])), -1.0)], 1.0)
    return both


@lowers("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
def comparison(b: Builder, node: Node, given: Given) -> list[Units]:
    """The sign of a difference."""
    x, y = units(b, node, given, 0), units(b, node, given, 1)
    name = node.op_type
    if name == "Equal":
        return b.tensor(equal(b, x, y))
    if name.startswith("Less"):
        x, y = y, x
    return b.tensor(b.step(b.affine([(x, 1.0), (y, -1.0)]), strict=not name.endswith("OrEqual")))


@lowers("And", "Or", "Xor")
def boolean(b: Builder, node: Node, given: Given) -> list[Units]:
    """Of zeros and ones."""
    x, y = units(b, node, given, 0), units(b, node, given, 1)
    if node.op_type == "Or":
        return b.tensor(b.step(b.affine([(x, 1.0), (y, 1.0)])))
    both = b.step(b.affine([(x, 1.0), (y, 1.0)], -1.0))
    if node.op_type == "And":
        return b.tensor(both)
    return b.tensor(b.affine([(x, 1.0), (y, 1.0), (both, -2.0)]))


@lowers("Not")
def negation(b: Builder, node: Node, given: Given) -> list[Units]:
    """1 - x."""
    return b.tensor(inverted(b, moving(node, given)))


def inverted(b: Builder, x: Ids) -> Ids:
    """1 - x."""
    return b.affine([(x, -1.0)], 1.0)


@lowers("Where")
def where(b: Builder, node: Node, given: Given) -> list[Units]:
    """One of two tensors, by a condition."""
    condition, x, y = given[:3]
    if isinstance(condition, Const):
        fixed = np.broadcast_arrays(condition.value, units(b, node, given, 1), units(b, node, given, 2))
        return b.tensor(np.where(*fixed))
    yes = units(b, node, given, 0)
    no = inverted(b, yes)
    parts = [
        b.affine([(switch, b.exactly(value))]) if isinstance(value, Const) else b.product(switch, value.ids)
        for switch, value in ((yes, x), (no, y))
        if value is not None
    ]
    return b.tensor(b.affine([(part, 1.0) for part in parts]))


@lowers("Sign")
def sign(b: Builder, node: Node, given: Given) -> list[Units]:
    """-1, 0 or 1."""
    x = moving(node, given)
    return b.tensor(b.affine([(b.step(x), 1.0), (b.step(b.affine([(x, -1.0)])), -1.0)]))


@lowers("Floor", "Ceil", "Round")
def staircase(b: Builder, node: Node, given: Given) -> list[Units]:
    """Whole numbers."""
    return b.tensor(b.staircase(moving(node, given), STAIRS[node.op_type]))


@lowers("ThresholdedRelu")
def thresholded_relu(b: Builder, node: Node, given: Given) -> list[Units]:
    """x where it exceeds alpha, else 0."""
    x = moving(node, given)
    return b.tensor(b.product(b.step(b.affine([(x, 1.0)], -node.number("alpha"))), x))


@lowers("Shrink")
def shrink(b: Builder, node: Node, given: Given) -> list[Units]:
    """x + bias below -lambd, x - bias above lambd, else 0."""
    x, edge, bias = moving(node, given), node.number("lambd"), node.number("bias")
    below, above = b.step(b.affine([(x, -1.0)], -edge)), b.step(b.affine([(x, 1.0)], -edge))
    parts = [b.product(below, b.affine([(x, 1.0)], bias)), b.product(above, b.affine([(x, 1.0)], -bias))]
    return b.tensor(b.affine([(part, 1.0) for part in parts]))


@lowers("Cast")
def cast(b: Builder, node: Node, given: Given) -> list[Units]:
    """Wide floats and integers hold what they get; booleans ask for zero, integers lose their fractions."""
    x, to, of = moving(node, given), int(node.attributes["to"]), node.input_type(0)
    reals = of in WIDE
    if to in WIDE or (not reals and of == TensorProto.BOOL):
        if of not in (*WIDE, TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8):
            raise ModelError(f"{node.label}: there are no exact linear pieces of its types.")
        return b.tensor(x)
    if to == TensorProto.BOOL:
        return b.tensor(b.affine([(b.step(x), 1.0), (b.step(b.affine([(x, -1.0)])), 1.0)]))
    if to == TensorProto.INT64 and reals:
        down, up = b.relu(x), b.affine([(b.relu(b.affine([(x, -1.0)])), -1.0)])
        parts = [b.staircase(down, "floor"), b.staircase(up, "ceil")]
        return b.tensor(b.affine([(part, 1.0) for part in parts]))
    if to == TensorProto.INT64 and not reals or to == of:
        return b.tensor(x)
    raise ModelError(f"{node.label}: there are no exact linear pieces of its types.")
