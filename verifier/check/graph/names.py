"""Copies of nodes under other names: bodies of functions and of loops, put into the graph that uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

__all__ = ["Names", "insert", "needed_for", "reads"]

NOTHING: Mapping[str, onnx.AttributeProto] = {}


class Names:
    """The names of a graph's tensors, and new ones."""

    def __init__(self, used: Iterable[str]) -> None:
        self.used = set(used)
        self.count = 0

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Names:
        """The names in a graph and its subgraphs."""
        used: set[str] = set()
        graphs = [graph]
        while graphs:
            one = graphs.pop()
            used.update(v.name for v in (*one.input, *one.output, *one.initializer))
            for node in one.node:
                used.update(node.input, node.output)
                graphs.extend(g for a in node.attribute for g in (*a.graphs, a.g) if g.node or g.output)
        return cls(used)

    def fresh(self, wish: str) -> str:
        """A name like `wish` that nothing has."""
        while True:
            self.count += 1
            name = f"{wish}#{self.count}"
            if name not in self.used:
                self.used.add(name)
                return name


def insert(
    nodes: Iterable[onnx.NodeProto],
    called: dict[str, str],
    names: Names,
    attributes: Mapping[str, onnx.AttributeProto] = NOTHING,
) -> list[onnx.NodeProto]:
    """Copies of `nodes` that call their tensors as `called` says, and others by new names.

    `called` is filled with the new names of what the nodes make. References to attributes of a function
    become what `attributes` holds, and vanish where it holds nothing.
    """
    copies = []
    for node in nodes:
        for name in filter(None, node.output):
            if name not in called:
                called[name] = names.fresh(name)
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [called.get(name, name) for name in node.input]
        copy.output[:] = [called.get(name, name) for name in node.output]
        del copy.attribute[:]
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                copy.attribute.append(_renamed(attribute, called, names, attributes))
            elif attribute.ref_attr_name in attributes:
                copy.attribute.append(attributes[attribute.ref_attr_name])
                copy.attribute[-1].name = attribute.name
        copies.append(copy)
    return copies


def _renamed(
    attribute: onnx.AttributeProto,
    called: dict[str, str],
    names: Names,
    attributes: Mapping[str, onnx.AttributeProto],
) -> onnx.AttributeProto:
    """The attribute with its subgraphs renamed: what they make themselves gets new names too."""
    copy = onnx.AttributeProto()
    copy.CopyFrom(attribute)
    for graph in [copy.g] if copy.HasField("g") else copy.graphs:
        inner = dict(called)
        for value in (*graph.input, *graph.initializer):
            inner[value.name] = names.fresh(value.name)
            value.name = inner[value.name]
        made = {name for node in graph.node for name in node.output if name}
        for name in made:
            inner.pop(name, None)
        nodes = insert(graph.node, inner, names, attributes)
        del graph.node[:]
        graph.node.extend(nodes)
        for value in graph.output:
            value.name = inner.get(value.name, value.name)
        del graph.value_info[:]
    return copy


def reads(node: onnx.NodeProto) -> set[str]:
    """Every name that a node and its subgraphs mention, but for what subgraphs make themselves."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            made = {v.name for v in (*graph.input, *graph.initializer)}
            used = {value.name for value in graph.output}
            for inner in graph.node:
                used |= reads(inner)
                made.update(inner.output)
            names |= used - made
    return names


def needed_for(nodes: Iterable[onnx.NodeProto], wanted: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that make some tensors, and what these are made of; subgraphs make nothing else."""
    needed, kept = set(wanted), []
    for node in reversed(list(nodes)):
        if needed.isdisjoint(node.output):
            continue
        if any(a.HasField("g") for a in node.attribute) and not needed.issuperset(filter(None, node.output)):
            made = [name if name in needed else "" for name in node.output]
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.output[:] = made
            node = copy
        needed |= reads(node)
        kept.append(node)
    return kept[::-1]
