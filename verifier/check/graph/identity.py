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

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Array, Form
from verifier.check.operators.cast import REALS
from verifier.check.operators.registry import TRAITS, Node
from verifier.check.operators.structure import MOVED

__all__ = ["Numbers", "number_elements"]

RESIZED = {"Resize", "Upsample"}
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
        self.operations: dict[Any, Table] = {}
        self._fixed = np.zeros(1024, dtype=bool)
        self._count = 0

    @property
    def fixed(self) -> Array:
        """Whether each number is fixed."""
        return self._fixed[: self._count]

    def new(self, fixed: Array) -> Array:
        """Numbers that equal no other, one for every flag."""
        start = self._count
        self._count += fixed.size
        if self._count > self._fixed.size:
            self._fixed = np.concatenate([self._fixed, np.zeros(self._count, dtype=bool)])
        self._fixed[start : self._count] = fixed.reshape(-1)
        return np.arange(start, self._count).reshape(fixed.shape)

    def of(self, key: Any, fixed: bool) -> int:
        """The number of an expression."""
        if key not in self.expressions:
            self.expressions[key] = int(self.new(np.array(fixed)))
        return self.expressions[key]

    def distinct(self, shape: tuple[int, ...], fixed: bool) -> Array:
        """A new number for every element."""
        return self.new(np.full(shape, fixed))

    def rows(self, key: Any, rows: Array) -> Array:
        """One number per row of operand numbers (M, K): the operation `key` applied to them."""
        table = self.operations.setdefault(key, Table())
        first, back = distinct_rows(rows)
        found = rows[first]
        result = table.numbers_of(found)
        new = result < 0
        result[new] = self.new(np.asarray(self.fixed[found[new]].all(axis=1)))
        table.add(found[new], result[new])
        return result[back]

    def channels(self, operands: Array, count: int) -> Array:
        """New numbers (count, M) for `count` different functions of each operand (M,)."""
        found, back = np.unique(operands, return_inverse=True)
        of_each = self.new(np.repeat(self.fixed[found][None], count, axis=0))
        return of_each[:, back.reshape(-1)]

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
        alone = np.array(True)
        return np.array(
            [int(self.new(alone)) if k is None else self.of(k, True) for k in keys], dtype=np.int64
        ).reshape(value.shape)


class Table:
    """Numbers of rows, in parts sorted by hash: each is more than twice the next, so that there are few."""

    def __init__(self) -> None:
        self.parts: list[tuple[Array, Array, Array]] = []  # hashes, rows, numbers

    def numbers_of(self, rows: Array) -> Array:
        """The number of every row; -1 where there is none."""
        hashes, result = hashes_of(rows), np.full(len(rows), -1)
        for known, entries, numbers in self.parts:
            at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            same = (entries[at] == rows).all(axis=1)
            result[same] = numbers[at[same]]
        return result

    def add(self, rows: Array, numbers: Array) -> None:
        """Add rows that have no number yet."""
        if not len(rows):
            return
        part = (hashes_of(rows), rows, numbers)
        while self.parts and len(self.parts[-1][0]) <= 2 * len(part[0]):
            one, two, three = (np.concatenate(pair) for pair in zip(self.parts.pop(), part, strict=True))
            part = (one, two, three)
        order = np.argsort(part[0], kind="stable")
        self.parts.append((part[0][order], part[1][order], part[2][order]))


def hashes_of(rows: Array) -> Array:
    """A number for every row, seldom that of another one."""
    factors = np.random.default_rng(0).integers(1 << 62, size=rows.shape[1]) * 2 + 1
    return np.asarray((rows * factors).sum(axis=1))


def distinct_rows(rows: Array) -> tuple[Array, Array]:
    """The first of each kind of row, and the kind of every row: by hashes, which are then confirmed."""
    _, first, back = np.unique(hashes_of(rows), return_index=True, return_inverse=True)
    if not (rows == rows[first[back]]).all():
        _, first, back = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, back.reshape(-1)


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
                fixed = all(numbers.fixed[known[i]].all() for i in node.inputs if i in moves)
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
    if node.op == "BatchNormalization" and len(values[first].shape) > 1:
        x = operand(node.inputs[0])
        channel = np.broadcast_to(np.arange(x.shape[1]).reshape(-1, *(1,) * (x.ndim - 2)), x.shape)
        rows = np.stack([x, *(operand(name)[channel] for name in node.inputs[1:])], axis=-1)
        return {first: numbers.rows(node.index, rows.reshape(x.size, -1)).reshape(x.shape)}
    cut = node.get("coordinate_transformation_mode") == b"tf_crop_and_resize"  # with a constant beyond
    if node.op in RESIZED and node.index in maps and not cut:
        x, found = operand(node.inputs[0]), maps[node.index]
        return {first: _resized(numbers, x, found) if isinstance(found, list) else x.reshape(-1)[found]}
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
        counts, which = np.unique(found.counts, return_inverse=True)
        whole = np.array([numbers.of(("count", int(n)), True) for n in counts])[
            which.reshape(found.counts.shape)
        ]
        whole = np.broadcast_to(whole, index.shape[1:]).reshape(-1, 1)
        rows = np.concatenate([rows, whole], axis=1)
        return {first: numbers.rows((node.op, node.index), rows).reshape(values[first].shape)}
    return {}


def _resized(numbers: Numbers, x: Array, matrices: list[Array | None]) -> Array:
    """Weighted sums along each axis; None: the axis stays."""
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            count = int((matrix != 0).sum(axis=1).max(initial=1))
            places = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]  # those that count come first
            factors = [Fraction(v) for v in np.take_along_axis(matrix, places, axis=1).reshape(-1)]
            weights = np.array([numbers.of(("real", v), True) for v in factors]).reshape(places.shape)
            operands = np.moveaxis(x, axis, -1)[..., places]  # (*others, m, count)
            operands = np.where(weights == numbers.of(("real", Fraction(0)), True), weights, operands)
            rows = np.concatenate([np.broadcast_to(weights, operands.shape), operands], axis=-1)
            sums = numbers.rows(("weighted sum", count), rows.reshape(-1, 2 * count))
            x = np.moveaxis(sums.reshape(operands.shape[:-1]), -1, axis)
    return x
