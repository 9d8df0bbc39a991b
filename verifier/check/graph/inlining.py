"""A model's own functions, put in place of their calls: with a bound on what that makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
import onnx.inliner

from verifier.check.errors import InvalidCertificate
from verifier.check.graph.subgraphs import all_nodes

__all__ = ["LARGEST_INLINED", "inlined"]

LARGEST_INLINED = 1 << 16

STANDARD = {"", "ai.onnx", "ai.onnx.ml"}

Key = tuple[str, str, str]


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own; refused if they run in a circle, or make too many nodes."""
    if not model.functions:
        return model
    if any(f.domain in STANDARD for f in model.functions):  # which one counts is left to runtimes
        raise InvalidCertificate("the audited graph defines a function in a domain of the standard")
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
        return onnx.inliner.inline_local_functions(_stated(model))
    except Exception as error:  # the C++ side raises several types
        raise InvalidCertificate(f"the functions of the audited graph cannot be inlined: {error}") from error


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[Key]:
    """All nodes, subgraphs included, as the functions that they would call."""
    return ((node.domain, node.op_type, node.overload) for node in all_nodes(nodes))


def _stated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the defaults of functions written into their calls, which the inliner leaves out.

    A default behind another function's attribute that is itself left out has no meaning that all agree on.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    functions = {(f.domain, f.name, f.overload): f for f in out.functions}
    inner = [n for f in out.functions for n in all_nodes(f.node)]
    for node in [*inner, *all_nodes(out.graph.node)]:
        function = functions.get((node.domain, node.op_type, node.overload))
        if function is None:
            continue
        stated = [a.name for a in node.attribute]
        node.attribute.extend(a for a in function.attribute_proto if a.name not in stated)
        for left_out in set(function.attribute) - set(stated):
            if any(
                _passes_on(n, left_out)
                for n in all_nodes(function.node)
                if (n.domain, n.op_type, n.overload) in functions
            ):
                raise InvalidCertificate(f"a call of {function.name} leaves out {left_out}")
    return out


def _passes_on(node: onnx.NodeProto, name: str) -> bool:
    return any(a.ref_attr_name == name for a in node.attribute)
