"""Local functions of a model: inlined for reading, with a bound on what that makes."""

from __future__ import annotations

import onnx
import onnx.inliner

from symbolic.errors import ModelError

__all__ = ["inlined", "require_finite_functions"]

MAX_NODES = 1 << 16

_Key = tuple[str, str, str]


def _calls(nodes: list[onnx.NodeProto]) -> list[_Key]:
    """Every node as the function that it would call, subgraphs included."""
    calls: list[_Key] = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        calls.append((node.domain, node.op_type, node.overload))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                waiting.extend(attribute.g.node)
            for graph in attribute.graphs:
                waiting.extend(graph.node)
    return calls


def require_finite_functions(proto: onnx.ModelProto) -> int:
    """Give the number of nodes that the model has once its functions are inlined.

    Raises
    ------
    ModelError
        If functions call each other in a circle, or there would be more than 65,536 nodes.
    """
    called: dict[_Key, list[_Key]] = {}
    for function in proto.functions:
        key = (function.domain, function.name, function.overload)
        if key in called:
            raise ModelError(f'The model defines the function "{function.name}" twice.')
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
    try:
        return onnx.inliner.inline_local_functions(proto)
    except Exception as error:  # the C++ side raises several types
        raise ModelError(f"The model's functions cannot be inlined ({str(error)[:200]}).") from None
