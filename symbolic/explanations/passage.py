"""One run of a network inside a graph: the model's own, or a copy of its nodes on other inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx

from symbolic.errors import ModelError
from symbolic.explanations.backward import Rule, Step, backward
from symbolic.explanations.graph import Dim, Graph, Tensor
from symbolic.reading.static_shapes import free_inputs, inferred

__all__ = ["Passage", "folded_batch", "spread_batch"]


@dataclass(frozen=True, eq=False)
class Passage:
    """A run of the network.

    Attributes
    ----------
    graph : Graph
    nodes : tuple of onnx.NodeProto
        In order.
    source : str
        The tensor that is explained.
    scores : str
        What is explained of it: usually the logits, classes along axis 1.
    """

    graph: Graph
    nodes: tuple[onnx.NodeProto, ...]
    source: str
    scores: str

    @property
    def x(self) -> Tensor:
        """The tensor that is explained."""
        return self.graph.tensor(self.source)

    @property
    def y(self) -> Tensor:
        """The scores."""
        return self.graph.tensor(self.scores)

    @property
    def between(self) -> list[onnx.NodeProto]:
        """The nodes between source and scores: the others give the same values in every run."""
        return _needed(self.nodes, self.source, self.scores)

    def gradients(self, start: Tensor, rule_of: Callable[[Step], Rule] | None = None) -> dict[str, Tensor]:
        """Go back from the scores with a start of their shape; see `backward`."""
        return backward(self.graph, self.nodes, {self.scores: start}, self.source, rule_of)

    def gradient(self, start: Tensor, rule_of: Callable[[Step], Rule] | None = None) -> Tensor:
        """The gradient at the source.

        Raises
        ------
        ModelError
            Nothing arrives: every way back passes a step, where all derivatives are zero.
        """
        found = self.gradients(start, rule_of).get(self.source)
        if found is None:
            raise ModelError(
                f"the scores {self.scores!r} do not follow the input {self.source!r} but in steps, so that "
                "every derivative is zero: take a method of perturbation, such as occlusion."
            )
        return found

    def at(self, x: Tensor, count: int = 1) -> Passage:
        """The same network on another input, whose first axis may have another length.

        Parameters
        ----------
        x : Tensor
        count : int
            How many times as many rows it has, one copy of the batch after the other: other inputs of the
            model are repeated likewise.

        Raises
        ------
        ModelError
            The network fixes the length of its batch axis.
        """
        graph = self.graph
        names = {self.source: x.name}
        names.update((name, graph.repeat(graph.tensor(name), count).name) for name in self._beside())
        nodes = []
        for node in self.between:
            made = onnx.NodeProto()
            made.CopyFrom(node)
            for k, name in enumerate(node.input):
                made.input[k] = names.get(name, name)
            for k, name in enumerate(node.output):
                if name:
                    names[name] = graph.fresh(name)
                    made.output[k] = names[name]
            made.name = graph.fresh(node.name or node.op_type)
            nodes.append(made)
        graph.adopt(nodes, _shapes(graph, nodes, x, names[self.scores]))
        copy = replace(self, nodes=tuple(nodes), source=x.name, scores=names[self.scores])
        if not self.y.known_shape:
            raise ModelError(
                f"the scores {self.scores!r} have no batch axis: export the network with one for methods "
                "that run it on many inputs."
            )
        old, new = self.y.known_shape[0], copy.y.known_shape[0]
        if self.x.known_shape[0] != x.known_shape[0] and isinstance(old, int) and old == new:
            fixed = _fixing(graph, nodes, old)
            raise ModelError(
                f"{fixed} fixes the batch axis to {old}: export the network with a free batch axis for "
                "methods that run it on many inputs."
            )
        return copy

    def _beside(self) -> list[str]:
        """What the run reads of other inputs with the batch axis of the explained one."""
        after = {port.name for port in free_inputs(self.graph.proto.graph)} - {self.source}
        between = self.between
        own = {name for node in between for name in node.output}
        for node in self.nodes:
            if not after.isdisjoint(node.input):
                after.update(name for name in node.output if name and name not in own)
        reads = dict.fromkeys(name for node in between for name in node.input if name in after)
        shapes = {name: self.graph.tensor(name).shape for name in reads}
        return [name for name, shape in shapes.items() if shape and shape[0] == self.x.known_shape[0]]


def _needed(nodes: Sequence[onnx.NodeProto], source: str, target: str) -> list[onnx.NodeProto]:
    after = {source}
    for node in nodes:
        if not after.isdisjoint(node.input):
            after.update(name for name in node.output if name)
    wanted, found = {target}, []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output) and not after.isdisjoint(node.output):
            found.append(node)
            wanted.update(node.input)
    return found[::-1]


def _shapes(
    graph: Graph, nodes: Sequence[onnx.NodeProto], x: Tensor, target: str
) -> list[onnx.ValueInfoProto]:
    """Types and shapes of what the nodes make."""
    slim = onnx.ModelProto()
    slim.ir_version = graph.proto.ir_version
    slim.opset_import.extend(graph.proto.opset_import)
    slim.graph.name = "run"
    slim.graph.node.extend(nodes)
    made = {name for node in nodes for name in node.output}
    stored = {t.name: t for t in graph.proto.graph.initializer}
    reads = dict.fromkeys(name for node in nodes for name in node.input if name and name not in made)
    for name in reads:
        if name in stored:
            slim.graph.initializer.append(stored[name])
        else:
            slim.graph.input.append(_info(graph.tensor(name)))
    if x.name not in reads:
        slim.graph.input.append(_info(x))
    slim.graph.output.append(onnx.ValueInfoProto(name=target))
    found = inferred(slim).graph
    return [value for value in (*found.value_info, *found.output) if value.name in made]


def _info(x: Tensor) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(x.name, x.elem_type, None if x.shape is None else list(x.shape))


def _fixing(graph: Graph, nodes: Sequence[onnx.NodeProto], length: int) -> str:
    for node in nodes:
        shape = graph.tensor(node.output[0]).shape
        if shape and shape[0] == length:
            return f"{node.op_type} node {node.name!r}"
    return "the network"


def folded_batch(x: Tensor) -> Tensor:
    """(S, N, ...) as (S N, ...)."""
    graph, rest = x.graph, x.known_shape[2:]
    first = _times(x.known_shape[0], x.known_shape[1])
    return graph.node("Reshape", [x, _lengths(x, [-1], 2)], shape=(first, *rest))


def spread_batch(x: Tensor, count: int, batch: Dim) -> Tensor:
    """(S N, ...) as (S, N, ...)."""
    shape = (count, batch, *x.known_shape[1:])
    return x.graph.node("Reshape", [x, _lengths(x, [count, -1], 1)], shape=shape)


def _lengths(x: Tensor, first: list[int], kept: int) -> Tensor:
    """A target of Reshape: some lengths, then those of x from an axis on."""
    graph, rest = x.graph, x.known_shape[kept:]
    if all(isinstance(n, int) for n in rest):
        return graph.integers([*first, *(int(n) for n in rest)])  # type: ignore[arg-type]
    tail = graph.node("Shape", [x], shape=(len(rest),), elem_type=onnx.TensorProto.INT64, start=kept)
    return graph.node("Concat", [graph.integers(first), tail], shape=(len(first) + len(rest),), axis=0)


def _times(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if a is None or b is None:
        return None
    return b if a == 1 else a if b == 1 else f"{a}*{b}"
