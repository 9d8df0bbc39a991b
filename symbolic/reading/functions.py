"""Local functions of a model: inlined for reading, with a bound on what that makes."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx.inliner

from symbolic.errors import ModelError, UnsupportedOperatorError
from symbolic.reading.subgraphs import all_nodes

__all__ = ["inlined", "require_finite_functions", "require_known_operators"]

MAX_NODES = 1 << 16

_STANDARD = ("", "ai.onnx", "ai.onnx.ml")

_Key = tuple[str, str, str]


def _key(node: onnx.NodeProto) -> _Key:
    """The function that a node would call."""
    return node.domain, node.op_type, node.overload


def _calls(nodes: Iterable[onnx.NodeProto]) -> list[_Key]:
    return [_key(node) for node in all_nodes(nodes)]


def require_finite_functions(proto: onnx.ModelProto) -> int:
    """Give the number of nodes that the model has once its functions are inlined.

    Raises
    ------
    ModelError
        If functions call each other in a circle, redefine the standard's operators, or there would be more
        than 65,536 nodes.
    """
    called: dict[_Key, list[_Key]] = {}
    for function in proto.functions:
        key = (function.domain, function.name, function.overload)
        if key in called:
            raise ModelError(f'The model defines the function "{function.name}" twice.')
        if function.domain in _STANDARD:  # runtimes are free to take this one or the standard's operator
            raise ModelError(f'The model defines a function "{function.name}" in a domain of the standard.')
        called[key] = _calls(list(function.node))
    size: dict[_Key, int] = {}
    open_now: set[_Key] = set()
    for start in called:
        stack = [start]
        while stack:
            key = stack[-1]
            if key in size:
                stack.pop()
                continue
            open_now.add(key)
            missing = {other for other in called[key] if other in called and other not in size}
            if missing & open_now:
                raise ModelError(f'The model\'s function "{key[1]}" calls itself.')
            if missing:
                stack.extend(missing)
                continue
            size[key] = sum(size.get(other, 1) for other in called[key])
            open_now.discard(key)
            stack.pop()
    total = sum(size.get(other, 1) for other in _calls(list(proto.graph.node)))
    if total > MAX_NODES:
        raise ModelError(f"The model has more than {MAX_NODES} nodes once its functions are inlined.")
    return total


def require_known_operators(proto: onnx.ModelProto) -> None:
    """Raise UnsupportedOperatorError for names that the standard's domains do not have, all at once."""
    nodes = [node for holder in (proto.graph, *proto.functions) for node in all_nodes(holder.node)]
    unknown = dict.fromkeys(
        f"{node.op_type} (node {node.name or ', '.join(node.output)!r})"
        for node in nodes
        if node.domain in _STANDARD
        and not onnx.defs.has(node.op_type, "" if node.domain == "ai.onnx" else node.domain)
    )
    if unknown:
        raise UnsupportedOperatorError(f"the ONNX standard has no such operators: {'; '.join(unknown)}.")


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with its local functions inlined; the same object where it has none.

    Raises
    ------
    ModelError
        If that is impossible, or makes more than 65,536 nodes.
    """
    if not proto.functions:
        return proto
    require_finite_functions(proto)
    complete = onnx.ModelProto()
    complete.CopyFrom(proto)
    _fill_in_defaults(complete)
    try:
        return onnx.inliner.inline_local_functions(complete)
    except Exception as error:  # the C++ side raises several types
        raise ModelError(f"The model's functions cannot be inlined ({str(error)[:200]}).") from None


def _fill_in_defaults(proto: onnx.ModelProto) -> None:
    """State in every call what the function has for attributes left out (ONNX's inliner does not)."""
    functions = {(f.domain, f.name, f.overload): f for f in proto.functions}
    passed_on = {
        key: {a.ref_attr_name for n in all_nodes(f.node) if _key(n) in functions for a in n.attribute}
        for key, f in functions.items()
    }
    for holder in (proto.graph, *proto.functions):
        for node in list(all_nodes(holder.node)):
            function = functions.get(_key(node))
            if function is None:
                continue
            given = {attribute.name for attribute in node.attribute}
            node.attribute.extend(a for a in function.attribute_proto if a.name not in given)
            missing = (set(function.attribute) - given) & passed_on[_key(node)]
            if missing:
                raise ModelError(
                    f'A call of the function "{function.name}" lacks the attribute "{min(missing)}", which '
                    "another function needs."
                )
