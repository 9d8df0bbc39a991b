"""The nodes of a graph together with those of its subgraphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

__all__ = ["all_nodes"]


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Every node, and after it those of its subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from all_nodes(graph.node)
