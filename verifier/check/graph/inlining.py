"""A model's own functions, put in place of their calls: with a bound on what that makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
import onnx.inliner

from verifier.check.errors import InvalidCertificate

__all__ = ["LARGEST_INLINED", "inlined"]

LARGEST_INLINED = 1 << 16

Key = tuple[str, str, str]


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own; refused if they run in a circle, or make too many nodes."""
    if not model.functions:
        return model
    called = {(f.domain, f.name, f.overload): list(_calls(f.node)) for f in model.functions}
    sizes: dict[Key, int] = {}
    while True:
        left = [key for key in called if key not in sizes]
        ready = [key for key in left if all(c in sizes or c not in called for c in called[key])]
        if not ready:
            break
        sizes.update((key, sum(sizes.get(c, 1) for c in called[key])) for key in ready)
    if len(sizes) < len(called):
        raise InvalidCertificate("a function of the audited graph calls itself")
    if sum(sizes.get(c, 1) for c in _calls(model.graph.node)) > LARGEST_INLINED:
        raise InvalidCertificate(f"the functions of the audited graph make more than {LARGEST_INLINED} nodes")
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # the C++ side raises several types
        raise InvalidCertificate(f"the functions of the audited graph cannot be inlined: {error}") from error


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[Key]:
    """All nodes, subgraphs included, as the functions that they would call."""
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _calls(graph.node)
