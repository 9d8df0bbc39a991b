"""The plain nodes that a graph runs: definitions inserted, control flow followed, sequences taken apart.

The graph is read at t = 0, node by node, and each plain node is evaluated at once: which branch runs, how
often a loop does, and the shapes and types that a definition asks for are then known. What is read off must
not move with the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.functions import definition, is_composite, output_types
from verifier.check.graph.line import MovingInput
from verifier.check.graph.names import Names, insert, needed_for, reads
from verifier.check.graph.nodes import STANDARD, Versioned, applied, decoded, follow
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import EXACT, FAST, Arithmetic, Array
from verifier.check.operators.registry import OPERATORS, Context, Value
from verifier.check.operators.structure import make_constant

__all__ = ["LARGEST_UNROLLED", "Reader", "replaces", "unrolled"]

LARGEST_UNROLLED = 1 << 16
DEPTH = 32
OWN = 11  # the operator set of nodes that are made here

Replacement = Callable[["Reader", onnx.NodeProto, int], None]
REPLACEMENTS: dict[str, Replacement] = {}


def replaces(*names: str) -> Callable[[Replacement], Replacement]:
    """Register what is read in place of an operator."""

    def register(function: Replacement) -> Replacement:
        REPLACEMENTS.update(dict.fromkeys(names, function))
        return function

    return register


def unrolled(
    model: onnx.ModelProto,
    stored: Mapping[str, Array],
    line: MovingInput,
    moving: str,
    outputs: Sequence[str],
) -> list[Versioned]:
    """The nodes that some outputs need, all of them plain.

    `stored` are the constants and the inputs that do not move; `line` is that of the input `moving`.
    """
    versions = {o.domain: o.version for o in model.opset_import}
    versions[""] = versions["ai.onnx"] = versions.get("", versions.get("ai.onnx", 1))
    nodes = [(node, versions.get(node.domain, 1)) for node in needed_for(model.graph.node, outputs)]
    if not any(_is_special(node, version) for node, version in nodes):
        return nodes
    read = set(outputs).union(*(reads(node) for node, _ in nodes))
    for bits in (FAST, 256, EXACT):
        reader = Reader(bits, model, {n: a for n, a in stored.items() if n in read}, line, moving)
        try:
            reader.run(nodes)
        except Undecided:
            continue
        return reader.found
    raise InvalidCertificate("a function of the graph has no value at the observed input")


def _is_special(node: onnx.NodeProto, version: int) -> bool:
    standard = node.domain in STANDARD
    return standard and node.op_type in REPLACEMENTS or is_composite(node, version, OPERATORS)


class Reader:
    """The tensors of a graph at t = 0, as far as it is read."""

    def __init__(
        self,
        bits: int | None,
        model: onnx.ModelProto,
        stored: Mapping[str, Array],
        line: MovingInput,
        moving: str,
    ) -> None:
        self.ctx = Context(Arithmetic(bits), {moving})
        self.values: dict[str, Value] = {n: make_constant(self.ctx, a) for n, a in stored.items()}
        self.values[moving] = line.on_cells(self.ctx.ar, [(Fraction(0), Fraction(0))])
        self.kinds: dict[str, int] = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in stored.items()}
        self.kinds |= {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
        self.kinds |= {t.name: t.data_type for t in model.graph.initializer}
        self.names = Names.of(model.graph)
        self.sequences: dict[str, list[str] | None] = {}  # None: an optional value that is missing
        self.found: list[Versioned] = []
        self.depth = self.inner = 0

    def run(self, nodes: Iterable[Versioned]) -> None:
        """Read nodes in order."""
        for node, version in nodes:
            standard = node.domain in STANDARD
            if standard and node.op_type in REPLACEMENTS:
                self.deeper(node, lambda node=node, version=version: self._replace(node, version))  # type: ignore[misc]
            elif is_composite(node, version, OPERATORS):
                body = definition(node, version, self._types(node), self.names)
                self.deeper(node, lambda body=body: self.run(body))  # type: ignore[misc]
            else:
                self._plain(node, version)

    def deeper(self, node: onnx.NodeProto, action: Callable[[], None]) -> None:
        """Do something one level down."""
        if self.depth == DEPTH:
            raise refused(node, "it is nested too deep")
        self.depth += 1
        action()
        self.depth -= 1

    def _replace(self, node: onnx.NodeProto, version: int) -> None:
        try:
            REPLACEMENTS[node.op_type](self, node, version)
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise refused(node, f"its inputs do not fit ({error})") from error

    def _plain(self, node: onnx.NodeProto, version: int) -> None:
        whole = [name for name in node.input if name in self.sequences]
        if whole:
            if node.op_type != "Identity":
                raise refused(node, f"{whole[0]!r} is a sequence")
            self.sequences[node.output[0]] = self.sequences[whole[0]]
            return
        plain = decoded(len(self.found), node, version, self.kinds)
        follow(plain, self.ctx.moves)
        missing = [name for name in node.input if name and name not in self.values]
        if missing:
            raise plain.refuse(f"tensor {missing[0]!r} does not exist")
        if self.depth:
            self.inner += 1
            if self.inner > LARGEST_UNROLLED:
                raise plain.refuse(f"the graph runs more than {LARGEST_UNROLLED} nodes in subgraphs")
        results = applied(self.ctx, plain, [self.values[n] if n else None for n in node.input])
        self.values.update((n, v) for n, v in zip(node.output, results, strict=False) if n)
        for name, kind in output_types(node, version, self._types(node)).items():
            self.kinds[name] = kind.tensor_type.elem_type
        self.found.append((node, version))

    def _types(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        """The types of a node's inputs, with the shapes that they have."""
        found = {}
        for name in node.input:
            if name in self.values and self.kinds.get(name):
                found[name] = helper.make_tensor_type_proto(self.kinds[name], self.values[name].shape)
        return found

    # ---- for replacements ---------------------------------------------------------------------------------

    def whole(self, node: onnx.NodeProto, name: str, what: str) -> Array:
        """A constant tensor of integers."""
        value = self.values.get(name)
        if name in self.ctx.moves:
            raise refused(node, f"{what} moves with the input")
        if not isinstance(value, Discrete) or (value.lo != value.hi).any():
            raise refused(node, f"{what} is not known")
        return value.lo[..., 0]

    def make(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Read a new node."""
        self.run([(helper.make_node(op, list(inputs), list(outputs), **attributes), OWN)])

    def constant(self, array: Any, wish: str) -> str:
        """A new tensor; its name."""
        name = self.names.fresh(wish)
        self.make("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array)))
        return name

    def alias(self, target: str, source: str) -> None:
        """Give a tensor or a sequence another name."""
        if source in self.sequences:
            self.sequences[target] = self.sequences[source]
        elif target:
            self.make("Identity", [source], [target])

    def stack(self, rows: Sequence[str], target: str, axis: int) -> None:
        """Tensors along a new axis."""
        wide = [self.names.fresh(row) for row in rows]
        for row, name in zip(rows, wide, strict=True):
            self.make("Unsqueeze", [row], [name], axes=[axis])
        self.make("Concat", wide, [target], axis=axis)

    def body(
        self,
        node: onnx.NodeProto,
        version: int,
        graph: onnx.GraphProto,
        given: Sequence[str],
        wanted: set[int],
    ) -> list[str]:
        """Run a subgraph on tensors, for its outputs with some numbers; the names of all outputs."""
        if len(given) != len(graph.input):
            raise refused(node, "its subgraph has another number of inputs")
        if graph.sparse_initializer:
            raise refused(node, "it stores sparse tensors")
        kept = needed_for(graph.node, [graph.output[k].name for k in sorted(wanted)])
        called = {value.name: name for value, name in zip(graph.input, given, strict=True)}
        for tensor in graph.initializer:
            called[tensor.name] = self.names.fresh(tensor.name)
            self.run([(helper.make_node("Constant", [], [called[tensor.name]], value=tensor), OWN)])
        self.run((inner, version) for inner in insert(kept, called, self.names))
        return [called.get(value.name, value.name) for value in graph.output]


def refused(node: onnx.NodeProto, why: str) -> InvalidCertificate:
    """An error that names a node."""
    name = node.name or next(filter(None, node.output), "")
    return InvalidCertificate(f"cannot evaluate {node.op_type} node {name!r}: {why}")
