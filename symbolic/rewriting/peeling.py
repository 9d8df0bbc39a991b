"""The last monotone step before a selection, taken off where that changes nothing.

A strictly increasing function of a score does not move the place of its maximum, and it exceeds a level where
its argument exceeds the inverse at that level. So ArgMax behind a Softmax, or Sigmoid(y) > 0.8, is a
piecewise-linear question about y: what is linear before the head is decided as such, on rays too.

A chain is followed upward from the head: monotone functions with one inverse for all elements, operators that
only move elements, and for the place of a maximum Softmax, if each row that is compared has one sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from symbolic.enclosures.monotone import Monotone, monotone, threshold
from symbolic.enclosures.values import Affine, Batch, Const, Value
from symbolic.node import Node, Rule, operators

__all__ = ["Peeled", "peeled"]

Prepared = tuple[Node, Rule]
PLACES = {"ArgMax": "ArgMin", "ArgMin": "ArgMax"}
COMPARISONS = {
    "Greater": "Less",
    "Less": "Greater",
    "GreaterOrEqual": "LessOrEqual",
    "LessOrEqual": "GreaterOrEqual",
}
PLAIN = {"Cast", "Dropout", "Identity"}
"""They change neither places nor, between wide float types, values."""
MOVERS = {
    "Expand",
    "Flatten",
    "Gather",
    "Reshape",
    "Slice",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
}
ROWWISE = {"Softmax", "LogSoftmax"}
POSITIVE = {"Exp", "Sigmoid", "Softmax", "Softplus"}
WIDE = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True)
class Peeled:
    """The nodes of a graph with shorter ways to its heads, and the constants that these read.

    Nodes that nothing needs any more are still among them.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Const]


@dataclass(frozen=True)
class _Chain:
    """From a head upward: where it ends, the movers passed, and the functions passed (the last one first)."""

    base: str
    movers: tuple[Prepared, ...] = ()
    functions: tuple[Monotone, ...] = ()

    @property
    def rising(self) -> bool:
        return sum(not f.rising for f in self.functions) % 2 == 0


def peeled(steps: Sequence[Prepared], values: Mapping[str, Value], infinite: bool) -> Peeled:
    """Give every head of a graph its shorter way.

    Parameters
    ----------
    steps : sequence of (Node, Rule)
        The whole graph, in order.
    values : mapping of str to Value
        All its tensors at one point: their shapes, and which of them are constant; without what rules have
        absorbed.
    infinite : bool
        Whether one of the latter holds an infinity.
    """
    peeler = _Peeler(steps, values, infinite or None)
    nodes = [new for node, _ in steps for new in peeler.replaced(node)]
    return Peeled(tuple(nodes), peeler.constants)


class _Peeler:
    def __init__(self, steps: Sequence[Prepared], values: Mapping[str, Value], infinite: bool | None) -> None:
        self.values = values
        self.makers = {step[0].proto.output[0]: step for step in steps if step[0].proto.output}
        self.constants: dict[str, Const] = {}
        self.infinite = infinite  # None: not known yet
        self.used = {name for node, _ in steps for name in (*node.proto.input, *node.proto.output)}

    def replaced(self, node: Node) -> list[Node]:
        """The nodes that stand in place of a node: itself, if there is nothing to peel."""
        found = None
        if node.op_type in PLACES:
            found = self._place(node)
        elif node.op_type == "TopK" and len(node.proto.output) > 1 and node.proto.output[1]:
            found = self._top(node)
        elif node.op_type in COMPARISONS:
            found = self._comparison(node)
        return [node] if found is None else found

    # ---- heads --------------------------------------------------------------------------------------------

    def _place(self, node: Node) -> list[Node] | None:
        chain = self._climb(node.proto.input[0], int(node.attributes["axis"]))
        if chain is None:
            return None
        nodes, name = self._moved(chain)
        kind = node.op_type if chain.rising else PLACES[node.op_type]
        return [*nodes, _renamed(node, [name, *node.proto.input[1:]], list(node.proto.output), kind)]

    def _top(self, node: Node) -> list[Node] | None:
        """The indices by themselves; the values keep the node as it is."""
        chain = self._climb(node.proto.input[0], int(node.attributes["axis"]))
        if chain is None or not chain.rising:
            return None
        nodes, name = self._moved(chain)
        inputs, (values, indices) = list(node.proto.input), node.proto.output
        return [
            _renamed(node, inputs, [values, self._fresh(indices)]),
            *nodes,
            _renamed(node, [name, *inputs[1:]], [self._fresh(values or indices), indices]),
        ]

    def _comparison(self, node: Node) -> list[Node] | None:
        inputs = list(node.proto.input)
        moving = [k for k, name in enumerate(inputs) if isinstance(self.values.get(name), Affine)]
        if len(moving) != 1 or len(inputs) != 2:
            return None
        at = moving[0]
        level = self.values.get(inputs[1 - at])
        chain = self._climb(inputs[at], None)
        found = threshold(level, chain.functions) if chain and isinstance(level, Const) else None
        if chain is None or found is None:
            return None
        kind = node.op_type if chain.rising else COMPARISONS[node.op_type]
        if not isinstance(found, Const):  # above all values of the argument, or below them
            truth = found if kind.startswith("Less") == (at == 0) else ~found
            shape = self.values[node.proto.output[0]].shape
            self.constants[node.proto.output[0]] = Const(np.broadcast_to(truth, shape))
            return []
        nodes, name = self._moved(chain)
        inputs[at] = name
        inputs[1 - at] = self._fresh(inputs[1 - at])
        self.constants[inputs[1 - at]] = found
        return [*nodes, _renamed(node, inputs, list(node.proto.output), kind)]

    # ---- the way up ---------------------------------------------------------------------------------------

    def _climb(self, name: str, axis: int | None) -> _Chain | None:
        """The chain up to its farthest smooth function; ``axis`` is that of a place, None for a level."""
        chain = self._farthest(name, axis)
        if (
            chain is not None and self.infinite is None
        ):  # what an infinity does to a function is another matter
            self.infinite = any(map(_has_infinity, self.values.values()))
        return None if self.infinite else chain

    def _farthest(self, name: str, axis: int | None) -> _Chain | None:
        chain, best = _Chain(name), None
        while chain.base in self.makers and isinstance(self.values.get(chain.base), Affine):
            node, rule = self.makers[chain.base]
            kind, name = node.op_type, node.proto.input[0] if node.proto.input else ""
            if kind in PLAIN:
                if not isinstance(self.values.get(name), Affine) or not _is_wide(node):
                    break
                chain = replace(chain, base=name)
            elif kind in MOVERS:
                chain = replace(chain, base=name, movers=(*chain.movers, (node, rule)))
            elif kind in ROWWISE:
                if axis is None or not self._in_one_row(chain, node, axis):
                    break
                chain = replace(chain, base=name)
            else:
                given = [self.values.get(n) for n in node.proto.input]
                function = monotone(node, given)
                if function is None or (function.positive and not self._positive(name)):
                    break
                name = node.proto.input[function.argument]
                if self.values[name].shape != self.values[chain.base].shape:
                    break
                chain = replace(chain, base=name, functions=(*chain.functions, function))
            best = best if operators[kind].exact else chain
        return best

    def _in_one_row(self, chain: _Chain, node: Node, axis: int) -> bool:
        """Whether all entries that are compared with each other come from one row of a Softmax."""
        shape = self.values[node.proto.output[0]].shape
        first = int(node.attributes["axis"]) % max(1, len(shape))
        axes = range(first, len(shape)) if node.opset < 13 else (first,)
        kept = [1 if k in axes else n for k, n in enumerate(shape)]
        rows = np.broadcast_to(np.arange(int(np.prod(kept)), dtype=np.int64).reshape(kept), shape)
        for mover, rule in reversed(chain.movers):
            given = [Const(rows), *(self.values.get(name) for name in mover.proto.input[1:])]
            moved = rule(Batch(1), given)[0]
            if not isinstance(moved, Const):
                return False
            rows = moved.value
        return bool(rows.size and (rows == rows.take([0], axis=axis)).all())

    def _positive(self, name: str) -> bool:
        """Whether a tensor is positive by the function that makes it."""
        while name in self.makers:
            node, _ = self.makers[name]
            inputs = list(node.proto.input)
            if node.op_type in POSITIVE:
                return True
            if node.op_type == "Add":
                added = [self.values.get(n) for n in inputs]
                moving = [k for k, v in enumerate(added) if not isinstance(v, Const)]
                if len(moving) != 1 or not _not_negative(added[1 - moving[0]]):
                    return False
                name = inputs[moving[0]]
            elif node.op_type in PLAIN | MOVERS and _is_wide(node):
                name = inputs[0]
            else:
                return False
        return False

    # ---- new nodes ----------------------------------------------------------------------------------------

    def _moved(self, chain: _Chain) -> tuple[list[Node], str]:
        """Copies of the movers behind the base, and the tensor that the head reads."""
        nodes, name = [], chain.base
        for mover, _ in reversed(chain.movers):
            made = self._fresh(mover.proto.output[0])
            nodes.append(_renamed(mover, [name, *mover.proto.input[1:]], [made]))
            name = made
        return nodes, name

    def _fresh(self, wish: str) -> str:
        name = f"{wish}/peeled"
        while name in self.used:
            name += "'"
        self.used.add(name)
        return name


def _has_infinity(value: Value) -> bool:
    array = value.c if isinstance(value, Affine) else value.value if isinstance(value, Const) else None
    return array is not None and array.dtype.kind == "f" and bool(np.isinf(array).any())


def _is_wide(node: Node) -> bool:
    """Whether a node, if it is a Cast, keeps numbers as they are."""
    return node.op_type != "Cast" or node.attributes["to"] in WIDE


def _not_negative(value: Value | None) -> bool:
    return isinstance(value, Const) and bool((value.value - value.spread >= 0).all())


def _renamed(node: Node, inputs: list[str], outputs: list[str], op_type: str | None = None) -> Node:
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.op_type = op_type or node.op_type
    proto.input[:], proto.output[:] = inputs, outputs
    return replace(node, proto=proto)
