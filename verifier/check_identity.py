"""Elements that are the same function of t: value numbering over the graph.

Inputs with equal (x_obs, beta) get equal numbers, and equal operations on equal numbers give equal numbers.
So equal numbers are equal functions of t. A comparison that ties on a whole cell because its two sides are
the same expression (a constant background, duplicate patches) is decided by this, whatever the rounding. A
number is *fixed* if nothing in it depends on t: such an element has its value at t = 0 everywhere.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from .check_discrete import Discrete
from .check_integers import Array, Form
from .check_operators import TRAITS, Node
from .check_operators_cast import REALS
from .check_operators_structure import MOVED

__all__ = ["Numbers", "number_elements"]

WINDOWED = {"Conv", "MaxPool", "AveragePool"}
PICKED = {  # what moves elements where its indices are known: the inputs that hold them
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "MaxUnpool"), (0,)),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), (0, 2)),
    "OneHot": (2,),
}
LARGEST_TABLE = 1 << 24


class Numbers:
    """The numbers in use: which are fixed, and the expression each stands for."""

    def __init__(self) -> None:
        self.expressions: dict[Any, int] = {}
        self.fixed: list[bool] = []

    def new(self, fixed: bool) -> int:
        """A number that equals no other."""
        self.fixed.append(fixed)
        return len(self.fixed) - 1

    def of(self, key: Any, fixed: bool) -> int:
        """The number of an expression."""
        if key not in self.expressions:
            self.expressions[key] = self.new(fixed)
        return self.expressions[key]

    def distinct(self, shape: tuple[int, ...], fixed: bool) -> Array:
        """A new number for every element."""
        count = int(np.prod(shape, dtype=np.int64))
        start = len(self.fixed)
        self.fixed.extend([fixed] * count)
        return np.arange(start, start + count).reshape(shape)

    def rows(self, key: Any, rows: Array) -> Array:
        """One number per row of operand numbers (M, K): the operation `key` applied to them."""
        found, back = np.unique(rows, axis=0, return_inverse=True)
        numbers = [self.of((key, row.tobytes()), all(self.fixed[k] for k in row.tolist())) for row in found]
        return np.array(numbers, dtype=np.int64)[back.reshape(-1)]

    def channels(self, operands: Array, count: int) -> Array:
        """New numbers (count, M) for `count` different functions of each operand (M,)."""
        found, back = np.unique(operands, return_inverse=True)
        start = len(self.fixed)
        self.fixed.extend(self.fixed[k] for k in found.tolist() for _ in range(count))
        return start + back.reshape(-1) * count + np.arange(count)[:, None]

    def constant(self, value: Form | Discrete) -> Array:
        """Constants are the same where their values are."""
        if isinstance(value, Discrete):
            keys: list[Any] = [
                ("whole", int(a)) if a == b else None
                for a, b in zip(value.lo[..., 0].flat, value.hi[..., 0].flat, strict=True)
            ]
        else:
            unit = Fraction(2) ** value.e
            marks = np.zeros_like(value.c) if value.special is None else value.special
            keys = [
                ("real", int(c) * unit) if r == 0 and mark == 0 else None
                for c, r, mark in zip(*(a[..., 0].flat for a in (value.c, value.r, marks)), strict=True)
            ]
        return np.array(
            [self.new(True) if k is None else self.of(k, True) for k in keys], dtype=np.int64
        ).reshape(value.shape)


def number_elements(
    nodes: list[Node],
    moving: str,
    entries: list[Any],
    still: Array,
    values: dict[str, Any],
    maps: dict[Any, Any],
) -> tuple[Numbers, dict[str, Array]]:
    """Numbers for all moving tensors.

    `entries` are the pairs (x_obs, beta) of the input, `still` says which have beta = 0; `values` are the
    values of all tensors at t = 0, and `maps` the index maps of the structural and windowed nodes.
    """
    numbers = Numbers()
    known = {
        moving: np.array(
            [
                numbers.of(("input", entry), bool(fixed))
                for entry, fixed in zip(entries, still.flat, strict=True)
            ],
            dtype=np.int64,
        ).reshape(still.shape)
    }
    moves = {moving}
    for node in nodes:
        if not any(name in moves for name in node.inputs) or node.op in ("Shape", "Size", "EyeLike"):
            continue
        moves.update(filter(None, node.outputs))

        def operand(name: str) -> Array:
            if name not in known:
                known[name] = numbers.constant(values[name])
            return known[name]

        known_weights = node.op != "Conv" or not any(name in moves for name in node.inputs[1:])
        outputs = _outputs(node, numbers, operand, values, maps) if known_weights else {}
        for name in filter(None, node.outputs):
            if name in outputs:
                known[name] = outputs[name]
            elif name in values:
                fixed = all(numbers.fixed[k] for i in node.inputs if i in moves for k in np.unique(known[i]))
                known[name] = numbers.distinct(values[name].shape, fixed)
    return numbers, known


def _outputs(
    node: Node, numbers: Numbers, operand: Any, values: dict[str, Any], maps: dict[Any, Any]
) -> dict[str, Array]:
    """The numbers of a node's outputs, as far as this file knows them."""
    first = node.outputs[0]
    if node.op == "Cast" and node.get("to") in REALS and isinstance(values[node.inputs[0]], Form):
        return {first: operand(node.inputs[0])}
    if TRAITS[node.op].elementwise:
        operands = np.broadcast_arrays(*(operand(name) for name in node.inputs if name))
        key = (
            node.op,
            tuple(bool(name) for name in node.inputs),
            str(sorted((k, v) for k, v in node.attributes.items() if not isinstance(v, onnx.TensorProto))),
        )
        rows = np.stack([a.reshape(-1) for a in operands], axis=1)
        return {first: numbers.rows(key, rows).reshape(operands[0].shape)}
    if node.op in (*MOVED, *PICKED) and isinstance(maps.get(node.index), list):
        holds = {**MOVED, **PICKED}[node.op]
        data = [
            operand(name).reshape(-1)
            for k, name in enumerate(node.inputs)
            if name and (node.op == "Concat" or k in holds)
        ]
        if node.op == "Pad" and len(data) == 1:
            data.append(np.array([numbers.of(("real", Fraction(node.get("value") or 0)), True)]))
        if node.op == "MaxUnpool":  # put into zeros
            data.insert(0, np.full(maps[node.index][0].size, numbers.of(("real", Fraction(0)), True)))
        flat = np.concatenate(data)
        return {name: flat[index] for name, index in zip(node.outputs, maps[node.index], strict=False)}
    if node.op in WINDOWED and node.index in maps:
        x = np.append(operand(node.inputs[0]).reshape(-1), numbers.of("padding", True))
        if node.op == "Conv":  # (groups, taps, positions of all images) -> every channel of each group
            index, shape = maps[node.index]
            if index.size > LARGEST_TABLE:
                return {}
            out = values[first].shape
            each = out[1] // len(index)
            patches = [numbers.rows((node.index, g), x[table].T) for g, table in enumerate(index)]
            channels = np.array([numbers.channels(row, each) for row in patches])
            return {first: np.moveaxis(channels.reshape(out[1], out[0], *shape), 0, 1)}
        found, index = maps[node.index]
        if index.size > LARGEST_TABLE:
            return {}
        rows = x[index].reshape(len(index), -1).T
        counts = np.broadcast_to(found.counts, index.shape[1:]).reshape(-1)
        whole = [numbers.of(("count", int(n)), True) for n in counts]
        rows = np.concatenate([rows, np.array(whole)[:, None]], axis=1)
        return {first: numbers.rows((node.op, node.index), rows).reshape(values[first].shape)}
    return {}
