"""Copies of nodes under other names: bodies of functions and of loops, put into the graph that uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

__all__ = ["Names", "insert"]

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
