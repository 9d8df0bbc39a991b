"""Heads that ask about a monotone function of something, rewritten to ask about that something itself.

If f is strictly increasing, f(y) > tau says the same as y > u with f(u) = tau, and y and f(y) have their
maxima at one place. Softmax keeps the order within its rows. So a head is followed upwards, over such
functions and over operators that only move elements, to the argument of the outermost function; copies of the
moving operators then take the head there. Nodes that read f(y) themselves are not touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeGuard

import numpy as np
import onnx
from flint import arb, ctx

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Arithmetic, Array, Form, objects
from verifier.check.numbers.inverses import Inverse, inverse_of
from verifier.check.operators.registry import OPERATORS, Context, Node, Value

__all__ = ["Ball", "Peeled", "peel"]

BITS = 640  # of an irrational threshold: more than any evaluation uses
LARGEST = arb(2) ** 4096
LEVELS = 1 << 16
TURNED = {"ArgMax": "ArgMin", "Greater": "Less", "GreaterOrEqual": "LessOrEqual"}
TURNED |= {b: a for a, b in TURNED.items()}
SAME = {"Identity", "Dropout"}
MOVING = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Expand", "Tile"}
WIDE = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
ABOVE_ZERO = {"Exp", "Sigmoid", "Softplus", "Softmax"}


@dataclass(frozen=True)
class Ball:
    """Constants (c +- r) * 2**e of a shape, as Python integers with an axis of one cell."""

    c: Array
    r: Array
    e: int

    def form(self, ar: Arithmetic) -> Form:
        """As a constant form of some precision."""
        return ar.form(self.c, self.e, r=self.r)


@dataclass
class Peeled:
    """The nodes with their heads moved; the constants that these need: thresholds, and settled answers."""

    nodes: list[Node] = field(default_factory=list)
    balls: dict[str, Ball] = field(default_factory=dict)
    answers: dict[str, Array] = field(default_factory=dict)


def peel(
    nodes: list[Node],
    moves: set[str],
    values: dict[str, Value],
    context: Context,
    exactly: Callable[[str], Form],
) -> Peeled:
    """Rewrite the heads of a graph.

    `values` are all tensors at one point (for their shapes), in the arithmetic of `context`; `moves` says
    which of them move; `exactly` gives a constant tensor, with many more bits.
    """
    out, climber = Peeled(), _Climber(nodes, moves, values, context)
    for node in nodes:
        if node.op in ("ArgMax", "ArgMin"):
            found = climber.climb(node.inputs[0], node.get("axis"))
            out.nodes += [node] if found is None else climber.moved(node, 0, found, {})
        elif node.op == "TopK" and len(node.outputs) == 2 and node.outputs[1]:
            found = climber.climb(node.inputs[0], node.get("axis"))
            if found is None or not found.rising:
                out.nodes.append(node)
            else:
                both = (climber.new(node.outputs[0]), climber.new(node.outputs[1]))
                out.nodes.append(replace(node, outputs=(node.outputs[0], both[1])))
                out.nodes += climber.moved(replace(node, outputs=(both[0], node.outputs[1])), 0, found, {})
        elif node.op in TURNED:
            out.nodes += _compared(climber, node, exactly, out)
        else:
            out.nodes.append(node)
    return out


def _compared(climber: _Climber, node: Node, exactly: Callable[[str], Form], out: Peeled) -> list[Node]:
    """A comparison of one moving tensor with constants."""
    moving = [k for k in (0, 1) if node.inputs[k] in climber.moves]
    if len(moving) != 1:
        return [node]
    at, level = moving[0], node.inputs[1 - moving[0]]
    found = climber.climb(node.inputs[at], None)
    form = exactly(level) if found else None
    if found is None or not _is_real(form) or not 0 < form.c.size <= LEVELS:
        return [node]
    solved, shape = _solutions(found, form), form.shape
    if solved is None:
        return [node]
    if all(isinstance(u, float) for u in solved):  # never reached: the answer is the same everywhere
        kind = node.op if found.rising else TURNED[node.op]
        high = np.array([u > 0 for u in solved]).reshape(shape)
        answer = high if (at == 0) == kind.startswith("Less") else ~high
        result = climber.values[node.outputs[0]].shape
        out.answers[node.outputs[0]] = np.broadcast_to(answer, result)
        return []
    if any(isinstance(u, float) for u in solved):
        return [node]
    name = climber.new(level)
    out.balls[name] = _stored(solved, shape)
    return climber.moved(node, at, found, {1 - at: name})


@dataclass(frozen=True)
class Climb:
    """Where a head can be moved to: a tensor, the moving operators below it, the functions (outermost last,
    as they were met).
    """

    top: str
    moving: tuple[Node, ...] = ()
    functions: tuple[Inverse, ...] = ()

    @property
    def rising(self) -> bool:
        """Whether all functions together are increasing."""
        return sum(f.falling for f in self.functions) % 2 == 0


@dataclass
class _Climber:
    nodes: list[Node]
    moves: set[str]
    values: dict[str, Value]
    context: Context
    made: int = 0

    def __post_init__(self) -> None:
        self.source = {node.outputs[0]: node for node in self.nodes}
        self.names = {name for node in self.nodes for name in node.inputs + node.outputs}

    def climb(self, name: str, axis: int | None) -> Climb | None:
        """To the argument of the highest smooth function; for a place `axis` is where it is looked for."""
        here, best = Climb(name), None
        while here.top in self.moves and here.top in self.source:
            node = self.source[here.top]
            if not isinstance(self.values.get(here.top), Form):
                break
            smooth = False
            if node.op in SAME or node.op == "Cast" and node.get("to") in WIDE:
                if not isinstance(self.values.get(node.inputs[0]), Form):
                    break
                here = replace(here, top=node.inputs[0])
            elif node.op in MOVING:
                here = replace(here, top=node.inputs[0], moving=(*here.moving, node))
            elif node.op in ("Softmax", "LogSoftmax"):
                if axis is None or not self.same_row(here, node, axis):
                    break
                here, smooth = replace(here, top=node.inputs[0]), True
            else:
                function = inverse_of(node, self._number)
                if function is None or function.above_zero and not self.above_zero(node.inputs[0]):
                    break
                top = node.inputs[function.argument]
                if top not in self.moves or self.values[top].shape != self.values[here.top].shape:
                    break
                here = replace(here, top=top, functions=(*here.functions, function))
                smooth = function.smooth
            best = here if smooth else best
        return best

    def _number(self, name: str) -> Fraction | None:
        """A constant of one element that is known exactly."""
        value = self.values.get(name)
        if name in self.moves or not _is_real(value) or value.c.size != 1 or value.r.any():
            return None
        return int(value.c.flat[0]) * Fraction(2) ** value.e

    def same_row(self, here: Climb, softmax: Node, axis: int) -> bool:
        """Whether what is compared along `axis` always lies in one row of the softmax."""
        shape = self.values[softmax.inputs[0]].shape
        first = softmax.get("axis") % max(len(shape), 1)
        last = first + 1 if softmax.opset >= 13 else len(shape)
        before, after = math.prod(shape[:first]), math.prod(shape[last:])
        row = np.arange(before).reshape(*shape[:first], *[1] * (len(shape) - first)) * after
        row = row + np.arange(after).reshape(*[1] * last, *shape[last:])
        value: Any = Discrete.known(np.broadcast_to(row, shape))
        for node in reversed(here.moving):
            rest = [self.values[n] if n else None for n in node.inputs[1:]]
            value = OPERATORS[node.op](self.context, node, [value, *rest])
            value = value[0] if isinstance(value, list) else value
        numbers = value.lo[..., 0]
        least, most = (f(axis=axis) for f in (numbers.min, numbers.max)) if numbers.size else (0, 1)
        return bool(np.all(least == most))

    def above_zero(self, name: str) -> bool:
        """Whether a tensor is positive whatever the input, by the functions that make it."""
        while name in self.source and name in self.moves:
            node = self.source[name]
            if node.op in ABOVE_ZERO:
                return True
            if node.op == "Add" and len(node.inputs) == 2 and len(self.moves & set(node.inputs)) == 1:
                added = next(n for n in node.inputs if n not in self.moves)
                value = self.values[added]
                if not _is_real(value) or (value.c < value.r).any():
                    return False
                name = next(n for n in node.inputs if n in self.moves)
            elif node.op in SAME | MOVING or node.op == "Cast" and node.get("to") in WIDE:
                name = node.inputs[0]
            else:
                return False
        return False

    def new(self, wish: str) -> str:
        """A name that no tensor has."""
        while (name := f"{wish}#{self.made}") in self.names:
            self.made += 1
        self.names.add(name)
        return name

    def moved(self, head: Node, at: int, found: Climb, others: dict[int, str]) -> list[Node]:
        """The head with its input number `at` taken from where the climb ended."""
        name, nodes = found.top, []
        for node in reversed(found.moving):
            made = self.new(node.outputs[0])
            nodes.append(self._copy(node, node.op, (name, *node.inputs[1:]), (made,)))
            name = made
        inputs = tuple(name if k == at else others.get(k, n) for k, n in enumerate(head.inputs))
        op = head.op if found.rising else TURNED[head.op]
        return [*nodes, self._copy(head, op, inputs, head.outputs)]

    def _copy(self, node: Node, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Node:
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        proto.op_type, proto.input[:], proto.output[:] = op, inputs, outputs
        self.made += 1
        index = max(node.index for node in self.nodes) + self.made
        return replace(node, index=index, op=op, inputs=inputs, outputs=outputs, proto=proto)


# ---- thresholds ------------------------------------------------------------------------------------------


def _solutions(found: Climb, levels: Form) -> list[arb | float] | None:
    """For each tau the u with f(u) = tau; +inf (-inf) where f stays below (above) it; None if unclear."""
    pairs = [(int(c), int(r)) for c, r in zip(levels.c.flat, levels.r.flat, strict=True)]
    known: dict[tuple[int, int], arb | float | None] = {}
    before, ctx.prec = ctx.prec, BITS
    try:
        for c, r in set(pairs):
            u: arb | float | None = arb(arb((c, levels.e)), arb((r, levels.e)))
            for function in found.functions:
                u = None if u is None else function.solve(u)
            known[c, r] = u
    finally:
        ctx.prec = before
    solved = [known[pair] for pair in pairs]
    clear = all(u is not None and (isinstance(u, float) or abs(u) < LARGEST) for u in solved)
    return solved if clear else None  # type: ignore[return-value]


def _stored(balls: list[Any], shape: tuple[int, ...]) -> Ball:
    """Finite balls with a common exponent."""
    parts = [[tuple(map(int, x.man_exp())) for x in (b.mid(), b.rad())] for b in balls]
    e = min((k for pair in parts for m, k in pair if m), default=0)
    centres, radii = ([m << (k - e) if m else 0 for m, k in column] for column in zip(*parts, strict=True))
    return Ball(objects(centres).reshape(*shape, 1), objects(radii).reshape(*shape, 1), e)


def _is_real(value: Any) -> TypeGuard[Form]:
    """Whether a value is a tensor of real numbers, none of them marked."""
    return isinstance(value, Form) and value.special is None
