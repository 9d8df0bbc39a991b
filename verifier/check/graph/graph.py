"""An ONNX graph on the line x(t) = x_obs + beta*t: what its discrete outputs are on cells of t.

On a ray (L, inf), L > 0, the graph must be homogeneous of degree one in the moving input and the constants
that are added to it; then with s = 1/t in (0, 1/L) its input is x_obs*s + beta, every added constant is
multiplied by s, and all signs and winners are those of t. On (-inf, U), s = 1/|t| and the input is x_obs*s
- beta.

In the same way exact numbers take a whole s > 0 on a cell whose ends, or the direction, are not dyadic: the
common denominator, so that all numbers are integers and a cell is decided up to a root at its very end.
Where the graph is not homogeneous, such an end lies a little further out, or elements are rationals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

import verifier.check.graph.control
import verifier.check.graph.sequences
import verifier.check.operators  # noqa: F401  (these three register what they know)
from verifier.check.errors import InvalidCertificate, NotHomogeneous, Undecided
from verifier.check.graph.batches import cells_at_once
from verifier.check.graph.cases import Case
from verifier.check.graph.declared import hold_to_declared
from verifier.check.graph.functions import element_kinds
from verifier.check.graph.identity import number_elements
from verifier.check.graph.inlining import inlined
from verifier.check.graph.limits import limits_of, of_constant
from verifier.check.graph.line import Cell, MovingInput, is_infinite, longest
from verifier.check.graph.nodes import SHAPE_ONLY, STANDARD, applied, decoded, hollow, kept, weights_of
from verifier.check.graph.peeling import Ball, peel
from verifier.check.graph.unroll import unrolled
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import EXACT, FAST, FINE, Arithmetic, Array, Form, Limits
from verifier.check.operators.registry import LARGEST_TENSOR, TRAITS, Context, Node, Value
from verifier.check.operators.structure import make_constant

__all__ = ["Cell", "CheckedGraph", "Verdict"]

Verdict = tuple[Array, Array]
LONGEST = 1 << 33  # bits of a tensor, when its numbers have those of the cell's ends
LARGE = 1 << 22  # weights of which not every precision is kept


@dataclass
class CheckedGraph:
    """A graph, its constant inputs, and the line of its moving input."""

    nodes: list[Node]
    stored: dict[str, Array]
    moving: str
    line: MovingInput
    outputs: list[str]
    moves: set[str] = field(default_factory=set)
    elements: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    maps: dict[Any, Any] = field(default_factory=dict)
    constants: dict[int | None, tuple[Context, dict[str, Value]]] = field(default_factory=dict)
    same: dict[str, Array] = field(default_factory=dict)
    fixed: dict[str, Verdict] = field(default_factory=dict)
    balls: dict[str, Ball] = field(default_factory=dict)
    weights: set[str] = field(default_factory=set)
    limits: dict[str, Limits] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        model: onnx.ModelProto,
        inputs: dict[str, Array],
        moving: str,
        beta: Sequence[Fraction],
        outputs: list[str],
    ) -> CheckedGraph:
        """Read the graph of `model`; `inputs` holds every input (exact), `beta` the direction of `moving`,
        flat.
        """
        model = inlined(model)
        opset = _opset(model)
        if opset < 7 and any(n.domain in STANDARD for n in model.graph.node):  # broadcasting was another one
            raise InvalidCertificate(f"operator set {opset} is older than 7")
        stored: dict[str, Array] = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        stored |= {name: np.asarray(a) for name, a in inputs.items() if name != moving}
        for name, a in stored.items():
            if a.size > LARGEST_TENSOR:
                raise InvalidCertificate(f"tensor {name!r} is larger than {LARGEST_TENSOR} elements")
        if model.graph.sparse_initializer:
            raise InvalidCertificate("sparse initializers are not supported")
        line = MovingInput.of(np.asarray(inputs[moving]), beta)
        found = unrolled(model, stored, line, moving, outputs)
        kinds = element_kinds(model, stored, found)
        nodes = [decoded(index, proto, version, kinds) for index, (proto, version) in enumerate(found)]
        graph = cls(nodes, stored, moving, line, list(outputs))
        graph._trace()
        hold_to_declared(model, nodes, graph.shapes, graph.maps)
        return graph

    def _trace(self) -> None:
        """Which tensors move, what is needed, and all shapes, from one evaluation at t = 0."""
        needed = self._keep_needed()
        ctx, values = self._observe(needed)
        self.shapes = {name: v.shape for name, v in values.items()}
        self.shapes |= {name: self.stored[name].shape for name in self.weights}
        self._peel(ctx, values)
        self._limit(ctx, values)
        self.elements = max(math.prod(self.shapes[name]) for name in self.moves if name in self.shapes)
        missing = [name for name in self.outputs if not isinstance(values.get(name), Discrete)]
        if missing:
            raise InvalidCertificate(f"output {missing[0]!r} is missing or not discrete")
        self._number(values)

    def _keep_needed(self) -> set[str]:
        """Drop what no output needs; find what moves. Returns the tensors that are needed."""
        needed = self.upstream(self.outputs)
        self.nodes, self.moves = kept(self.nodes, needed, self.moving)
        readers = weights_of(self.nodes, self.moves, self.outputs)
        self.weights = {
            name for name in readers if name in self.stored and self.stored[name].dtype.kind == "f"
        }
        return needed

    def upstream(self, outputs: Sequence[str]) -> set[str]:
        """Everything that some tensors are computed from, themselves included."""
        needed = set(outputs)
        for node in reversed(self.nodes):
            if needed & set(node.outputs):
                needed.update(filter(None, node.inputs))
        return needed

    def _peel(self, ctx: Context, values: dict[str, Value]) -> None:
        """Move the heads above monotone functions; the new tensors join `values`."""
        found = peel(self.nodes, self.moves, values, ctx, self._exactly)
        old = {node.index for node in self.nodes}
        self.nodes, self.balls = found.nodes, found.balls
        self.stored |= found.answers
        self._keep_needed()
        ctx.moves = self.moves
        values |= {name: ball.form(ctx.ar) for name, ball in self.balls.items()}
        self._run(ctx, [node for node in self.nodes if node.index not in old], values, keep=True)
        known = {name: v for name, v in values.items() if name not in self.moves}
        self.constants[ctx.ar.precision] = (ctx, known)

    def _limit(self, ctx: Context, values: dict[str, Value]) -> None:
        """Find the limits of the tensors that move."""

        def look(name: str) -> Limits:
            constant = self.stored.get(name) if name in self.weights else values.get(name)
            return (None, None) if constant is None else of_constant(ctx.ar, constant)

        self.limits = limits_of(self.nodes, self.moves, look)

    def _exactly(self, name: str) -> Any:
        """A constant tensor, as exactly as there is arithmetic."""
        needed = self.upstream([name])
        ctx = Context(Arithmetic(EXACT), self.moves, maps=self.maps)
        values = self._made(ctx, needed)
        nodes = [n for n in self.nodes if needed & set(n.outputs) and not self.moves & set(n.outputs)]
        self._run(ctx, nodes, values, keep=True)
        return values[name]

    def _observe(self, needed: set[str]) -> tuple[Context, dict[str, Value]]:
        """All tensors at t = 0, at the first precision at which all functions have a value."""
        for bits in (FAST, 256, EXACT):
            ctx = Context(Arithmetic(bits), self.moves, maps=self.maps)
            values = self._made(ctx, needed - self.weights)
            values[self.moving] = self.line.on_cells(ctx.ar, [(Fraction(0), Fraction(0))])
            try:
                self._run(ctx, self.nodes, values, keep=True)
            except Undecided:
                continue
            return ctx, values
        raise InvalidCertificate("a function of the graph has no value at the observed input")

    def _number(self, values: dict[str, Any]) -> None:
        """Find equal and fixed elements."""
        entries = self.line.pairs()
        still = np.array([b == 0 for _, b in entries], dtype=bool).reshape(self.line.shape)
        still &= not still.all()  # on a line that is a point nothing is gained
        numbers, known = number_elements(self.nodes, self.moving, entries, still, values, self.maps)
        read = {name for node in self.nodes if TRAITS[node.op].ties for name in node.inputs}
        self.same = {name: a[..., None] for name, a in known.items() if name in read}
        fixed = np.array(numbers.fixed)
        masks = {
            name: fixed[known[name]] for name in self.outputs if name in known and fixed[known[name]].any()
        }
        for bits in (FAST, 256, EXACT) if masks else ():
            found = dict(zip(self.outputs, self.evaluate([(Fraction(0), Fraction(0))], bits), strict=True))
            if all((found[name][0] == found[name][1])[0][mask].all() for name, mask in masks.items()):
                self.fixed = {name: (mask, found[name][0][0]) for name, mask in masks.items()}
                break

    def _constants(self, bits: int | None) -> tuple[Context, dict[str, Value]]:
        """The constant part of the graph at a precision, evaluated once."""
        if bits not in self.constants:
            ctx = Context(Arithmetic(bits), self.moves, maps=self.maps)
            names = {*self.outputs, *(name for node in self.nodes for name in node.inputs)}
            values = self._made(ctx, names - self.weights)
            values |= {name: ball.form(ctx.ar) for name, ball in self.balls.items()}
            if self._is_large:  # what the weights became at another precision is made again when it is needed
                for other in set(self.constants) - {FAST}:
                    del self.constants[other]
            self._run(ctx, [n for n in self.nodes if not self.moves & set(n.outputs)], values, keep=True)
            self.constants[bits] = (ctx, values)
        return self.constants[bits]

    def _made(self, ctx: Context, names: set[str]) -> dict[str, Value]:
        return {name: make_constant(ctx, a) for name, a in self.stored.items() if name in names}

    @property
    def _is_large(self) -> bool:
        return sum(self.stored[name].size for name in self.weights) > LARGE

    def _run(self, ctx: Context, nodes: list[Node], values: dict[str, Any], keep: bool = False) -> None:
        last = {name: node.index for node in nodes for name in node.inputs}
        for node in nodes:
            inputs = [self._value(ctx, node, values, name) for name in node.inputs]
            for name, value in zip(node.outputs, applied(ctx, node, inputs), strict=False):
                if name in self.same and isinstance(value, Form) and value.same is None:
                    value = replace(value, same=self.same[name])
                if name in self.limits and isinstance(value, Form) and value.special is None:
                    value = value if value.degree else replace(value, limits=self.limits[name])
                if name:
                    values[name] = value if ctx.case is None else ctx.case.hold(name, value)
            if not keep:
                for name in set(node.inputs):
                    if last[name] == node.index and name in self.moves and name not in self.outputs:
                        del values[name]

    def _value(self, ctx: Context, node: Node, values: dict[str, Any], name: str) -> Any:
        if not name:
            return None
        if name in values:
            return values[name]
        if name in self.weights:
            tensor = self.stored[name]
            return hollow(tensor.shape) if node.index in ctx.cache else make_constant(ctx, tensor)
        if node.op in SHAPE_ONLY and name in self.shapes:
            return Discrete.known(np.broadcast_to(np.int64(0), self.shapes[name]))
        raise node.refuse(f"tensor {name!r} does not exist")

    # ---- evaluation ---------------------------------------------------------------------------------------

    def evaluate(self, cells: list[Cell], bits: int | None = FAST, case: Case | None = None) -> list[Verdict]:
        """Bounds lo <= hi of every output on the open cells, as arrays (cells, *shape); lo = hi where known.

        `bits` is the precision: up to 64 the fast carrier, more the wide one, EXACT or RATIONAL. A cell
        (t, t) is a point. Where nothing is known (no enclosure, or a ray of a graph that is not homogeneous)
        lo and hi are the least and greatest int64. In a `case` elements are as supposed.
        """
        bits = (
            FAST if bits is not None and bits <= FAST else FINE if bits is not None and bits <= FINE else bits
        )
        length = longest(cells) if Arithmetic(bits).exact else 0
        if length * self.elements > LONGEST:
            bits, length = 512, 0
        step = cells_at_once(self.elements, bits, length)
        found: list[list[Verdict]] = [[] for _ in cells]
        rays = [is_infinite(lo) or is_infinite(hi) for lo, hi in cells]
        for kind in (False, True):
            batch = [i for i, ray in enumerate(rays) if ray == kind]
            for start in range(0, len(batch), step):
                part = batch[start : start + step]
                for i, verdicts in zip(part, self._batch([cells[i] for i in part], bits, case), strict=True):
                    found[i] = verdicts
        return [
            (np.stack([f[k][0] for f in found]), np.stack([f[k][1] for f in found]))
            for k in range(len(self.outputs))
        ]

    def _batch(self, cells: list[Cell], bits: int | None, case: Case | None) -> list[list[Verdict]]:
        nothing = [
            tuple(
                np.full(self.shapes[name], v, dtype=np.int64)
                for v in (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
            )
            for name in self.outputs
        ]
        if not cells:
            return []
        try:
            values = self._on(cells, bits, case)
        except NotHomogeneous:
            return [nothing for _ in cells]  # type: ignore[misc]
        except Undecided as error:
            bad = set(error.cells) or set(range(len(cells)))
            rest = iter(self._batch([c for i, c in enumerate(cells) if i not in bad], bits, case))
            return [nothing if i in bad else next(rest) for i in range(len(cells))]  # type: ignore[misc]
        out = [self._settled(name, values[name]) for name in self.outputs]
        return [
            [(lo[..., i % lo.shape[-1]], hi[..., i % hi.shape[-1]]) for lo, hi in out]
            for i in range(len(cells))
        ]

    def _on(self, cells: list[Cell], bits: int | None, case: Case | None) -> dict[str, Any]:
        """The tensors on cells, without rounding if there is a way that the graph allows."""
        constants, known = self._constants(bits)
        nodes = [n for n in self.nodes if self.moves & set(n.outputs)]
        *better, (scale, moving) = self.line.places(constants.ar, cells)
        for exact_scale, exact in better:
            ctx = Context(constants.ar, self.moves, exact_scale, constants.cache, self.maps, case)
            values: dict[str, Any] = {**known, self.moving: exact}
            try:
                self._run(ctx, nodes, values)
            except NotHomogeneous:
                continue
            return values
        ctx = Context(constants.ar, self.moves, scale, constants.cache, self.maps, case)
        values = {**known, self.moving: moving}
        self._run(ctx, nodes, values)
        return values

    def _settled(self, name: str, value: Discrete) -> Verdict:
        """The bounds of an output; elements that do not depend on t have their value at t = 0."""
        if name not in self.fixed:
            return value.lo, value.hi
        mask, known = (a[..., None] for a in self.fixed[name])
        return np.where(mask, known, value.lo), np.where(mask, known, value.hi)


def _opset(model: onnx.ModelProto) -> int:
    versions = {o.domain: o.version for o in model.opset_import}
    return int(versions.get("", versions.get("ai.onnx", 1)))
