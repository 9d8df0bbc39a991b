"""Nodes that stand for many: subgraphs that run once or more, recurrent layers, sequences of tensors.

A graph is read once, in order, and such a node is replaced by plain ones when its turn comes: by then the
constants and shapes that it depends on are known. Inside a subgraph, names are those of a scope, which maps
them to the names of the flat graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from symbolic.enclosures.values import Const, Value
from symbolic.errors import ModelError
from symbolic.node import ML, Node, is_registered, operators
from symbolic.reading.ml_types import ml_output_types
from symbolic.rewriting.composites import composite_names, expanded

__all__ = ["LIMIT", "Body", "Nodes", "Scope", "Unrolling", "handlers", "pruned", "reads", "unrolls"]

LIMIT = 1 << 16
"""Nodes that subgraphs may be unrolled to."""
OWN_OPSET = 11
"""The operator set of nodes that are made here."""
LARGEST_KNOWN = 256

Nodes = Generator[Node, None, None]
Handler = Callable[["Unrolling", Node, "Scope"], Nodes]
handlers: dict[str, Handler] = {}
"""By operator type of the default domain."""


def unrolls(*names: str) -> Callable[[Handler], Handler]:
    """Register what replaces a node; its inputs and outputs have the names of the flat graph."""

    def register(handler: Handler) -> Handler:
        handlers.update(dict.fromkeys(names, handler))
        return handler

    return register


@dataclass(frozen=True)
class Scope:
    """Names of a subgraph, as they are called in the flat graph; ``label`` begins the new ones."""

    names: dict[str, str]
    label: str = ""

    def called(self, name: str) -> str:
        """A name of the flat graph."""
        return self.names.get(name, name)


@dataclass(frozen=True)
class Body:
    """A subgraph, ready to run: the nodes that its wanted outputs need."""

    nodes: list[onnx.NodeProto]
    inputs: list[str]
    outputs: list[str]
    scope: Scope


class Unrolling:
    """The flat sequence of nodes of a graph.

    Parameters
    ----------
    look : callable
        The value of a tensor of the flat graph, as soon as the node that makes it was processed.
    versions : mapping of str to int
        Of the operator sets.
    types : dict
        Element types by name; those of new tensors are added.
    require : callable
        Raises UnsupportedOperatorError where nodes of a subgraph are not supported.
    """

    def __init__(
        self,
        look: Callable[[str], Value | None],
        versions: Mapping[str, int],
        types: dict[str, int],
        require: Callable[[Sequence[onnx.NodeProto]], None],
    ) -> None:
        self.look, self.versions, self.types, self.require = look, versions, types, require
        self.sequences: dict[str, list[str] | None] = {}
        """The tensors of sequences, by their names; None for an optional value that is not there."""
        self.taken: set[str] = set()
        self.made = 0
        self.top = Scope({})

    def flat(self, graph: onnx.GraphProto, wanted: Collection[str]) -> Iterator[Node]:
        """The nodes that some tensors of the main graph need; each must be processed before the next."""
        nodes = pruned(graph.node, wanted)
        self.taken.update(name for node in nodes for name in (*node.input, *node.output))
        self.taken.update(tensor.name for tensor in graph.initializer)
        return self.run(nodes, self.top)

    def run(self, nodes: Iterable[onnx.NodeProto], scope: Scope) -> Nodes:
        """Nodes of a scope, flat."""
        composite = composite_names(self.versions[""]) if scope is not self.top else frozenset()
        for proto in nodes:
            proto = proto if scope is self.top else self._renamed(proto, scope)
            node = Node.of(proto, self.versions[proto.domain], self.types)
            standard = proto.domain in ("", "ai.onnx")
            if standard and proto.op_type in handlers:
                try:
                    yield from handlers[proto.op_type](self, node, scope)
                except (ModelError, MemoryError):
                    raise
                except Exception as error:  # malformed attributes and shapes surface in many ways
                    raise ModelError(f"{node.label} cannot be interpreted: {error}.") from error
            elif standard and proto.op_type in composite and not is_registered(proto):
                yield from self._definition(node)
            else:
                yield from self._plain(node, scope)

    def _plain(self, node: Node, scope: Scope) -> Nodes:
        for name in node.proto.input:
            if name in self.sequences:
                if node.op_type != "Identity":
                    raise ModelError(f"{node.label}: its input {name!r} is a sequence of tensors.")
                self.sequences[node.proto.output[0]] = self.sequences[name]
                return
        if scope is not self.top:
            self.count(node, 1)
        if any(name and name not in self.types for name in node.proto.output):
            self.types.update(self._inferred(node))
        yield node

    def count(self, node: Node, number: int) -> None:
        """Refuse what would be unrolled to too many nodes."""
        self.made += number
        if self.made > LIMIT:
            raise ModelError(f"{node.label}: the model has more than {LIMIT} nodes once it is unrolled.")

    # --- names ---

    def fresh(self, wish: str) -> str:
        """A name that no other tensor has."""
        name, k = wish, 0
        while name in self.taken:
            k += 1
            name = f"{wish}.{k}"
        self.taken.add(name)
        return name

    def _renamed(self, proto: onnx.NodeProto, scope: Scope) -> onnx.NodeProto:
        copy = onnx.NodeProto()
        copy.CopyFrom(proto)
        copy.input[:] = [scope.called(name) for name in proto.input]
        for k, name in enumerate(proto.output):
            if name:
                scope.names[name] = copy.output[k] = self.fresh(f"{scope.label}/{name}")
        if proto.name:
            copy.name = f"{scope.label}/{proto.name}"
        return copy

    # --- making nodes ---

    def make(
        self, op_type: str, inputs: Sequence[str], *outputs: str, opset: int = OWN_OPSET, **attributes: Any
    ) -> Nodes:
        """One node, which may be a composite one."""
        node = Node.of(helper.make_node(op_type, inputs, outputs, **attributes), opset, self.types)
        if not is_registered(node.proto):
            yield from self._definition(node)
            return
        self.count(node, 1)
        self.types.update(self._inferred(node))
        yield node

    def constant(self, array: NDArray[Any], wish: str) -> Generator[Node, None, str]:
        """A stored tensor; gives its name."""
        return (yield from self._stored(numpy_helper.from_array(np.asarray(array)), wish))

    def _stored(self, tensor: onnx.TensorProto, wish: str) -> Generator[Node, None, str]:
        name = self.fresh(wish)
        self.types[name] = tensor.data_type
        yield from self.make("Constant", [], name, value=tensor)
        return name

    def bind(self, target: str, source: str) -> Nodes:
        """Give a tensor, or a sequence, a second name."""
        if source in self.sequences:
            self.sequences[target] = self.sequences[source]
        elif target:
            yield from self.make("Identity", [source], target)

    def joined(self, parts: Sequence[str], target: str, axis: int) -> Nodes:
        """Tensors stacked along a new axis."""
        rows = [self.fresh(f"{target}/row") for _ in parts]
        for part, row in zip(parts, rows, strict=True):
            yield from self.make("Unsqueeze", [part], row, axes=[axis])
        yield from self.make("Concat", rows, target, axis=axis)

    # --- what is known ---

    def array(self, node: Node, name: str, what: str) -> NDArray[Any]:
        """The elements of a constant."""
        value = self.look(name)
        if isinstance(value, Const) and value.radius is None:
            return value.value
        if value is None:
            raise ModelError(f"{node.label}: there is no tensor {name!r}.")
        raise ModelError(
            f"{node.label}: {what} must not depend on the audited input "
            "(control flow on data is not supported)."
        )

    def shape(self, node: Node, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        value = self.look(name)
        if value is None:
            raise ModelError(f"{node.label}: there is no tensor {name!r}.")
        return value.shape

    def _type(self, name: str) -> onnx.TypeProto:
        value = self.look(name)
        kind = self.types.get(name, onnx.TensorProto.UNDEFINED)
        return helper.make_tensor_type_proto(kind, None if value is None else value.shape)

    def _inferred(self, node: Node) -> dict[str, int]:
        """Element types of a node's outputs by ONNX's inference; nothing where it fails."""
        if node.proto.domain == ML:
            return ml_output_types(node.proto)
        known = {name: self._type(name) for name in node.proto.input if name}
        try:
            schema = onnx.defs.get_schema(node.op_type, node.opset, node.proto.domain)
            imports = [helper.make_opsetid(node.proto.domain, node.opset)]
            found = onnx.shape_inference.infer_node_outputs(schema, node.proto, known, None, None, imports)
        except Exception:  # the C++ side raises several types; an operator that needs the type says so
            return {}
        types = {name: int(found[name].tensor_type.elem_type) for name in node.proto.output if name in found}
        return {name: kind for name, kind in types.items() if kind}

    # --- subgraphs ---

    def opened(
        self, graph: onnx.GraphProto, wanted: Sequence[str], scope: Scope, label: str
    ) -> Generator[Node, None, Body]:
        """Prepare a subgraph for running, once or more, for the outputs that are wanted of it."""
        nodes = pruned(graph.node, wanted)
        self.require(nodes)
        names = dict(scope.names)
        needed = set(wanted).union(*(reads(node) for node in nodes))
        for tensor in graph.initializer:
            if tensor.name in needed:
                names[tensor.name] = yield from self._stored(tensor, f"{label}/{tensor.name}")
        outputs = [value.name for value in graph.output]
        return Body(nodes, [value.name for value in graph.input], outputs, Scope(names, label))

    def run_body(self, body: Body, given: Sequence[str], label: str) -> Generator[Node, None, list[str]]:
        """Run a subgraph on some tensors; gives the names of its outputs ("" where not wanted)."""
        if len(given) != len(body.inputs):
            raise ModelError(
                f"The subgraph of {label!r} has {len(body.inputs)} inputs, but gets {len(given)}."
            )
        scope = Scope({**body.scope.names, **dict(zip(body.inputs, given, strict=True))}, label)
        yield from self.run(body.nodes, scope)
        return [scope.called(name) for name in body.outputs]

    def _definition(self, node: Node) -> Nodes:
        """A composite operator inside a subgraph: the definition for exactly these types and shapes."""
        graph = onnx.GraphProto(name="composite", node=[node.proto])
        for name in dict.fromkeys(filter(None, node.proto.input)):
            graph.input.add(name=name, type=self._type(name))
            value = self.look(name)
            if self.types.get(name) == onnx.TensorProto.INT64 and isinstance(value, Const):
                if value.value.size <= LARGEST_KNOWN:
                    graph.initializer.append(numpy_helper.from_array(value.value, name))
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.proto.output if name)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
        nodes = pruned(expanded(model, (*operators, *handlers)).graph.node, node.proto.output)
        self.require(nodes)
        outer = {name: name for name in (*node.proto.input, *node.proto.output)}
        scope = Scope(outer, node.proto.output[0])
        yield from self.run(nodes, scope)
        for name in filter(None, node.proto.output):
            yield from self.bind(name, scope.called(name))


def reads(node: onnx.NodeProto) -> set[str]:
    """The names outside of a node that it reads, its subgraphs included."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            inner = {value.name for value in graph.output}.union(*(reads(n) for n in graph.node))
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            names |= inner - own - {name for n in graph.node for name in n.output}
    return names


def pruned(nodes: Sequence[onnx.NodeProto], wanted: Collection[str]) -> list[onnx.NodeProto]:
    """The nodes that the wanted tensors depend on, in order.

    Outputs that nothing wants are taken off the nodes that are unrolled.
    """
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if not needed.intersection(node.output):
            continue
        if node.op_type in handlers and not needed.issuperset(filter(None, node.output)):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.output[:] = [name if name in needed else "" for name in node.output]
            node = copy
        kept.append(node)
        needed |= reads(node)
    return kept[::-1]
