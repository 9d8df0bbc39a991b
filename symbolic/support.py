"""Which operators of a model have a meaning here, and the model in the words of the registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import onnx

import symbolic.operators  # noqa: F401  (fills the registry)
from symbolic.composites import expanded
from symbolic.errors import UnsupportedOperatorError
from symbolic.functions import inlined
from symbolic.node import ML, is_registered, operators
from symbolic.random_nodes import RANDOM, is_random

__all__ = [
    "default_opset",
    "lowered",
    "ml_opset",
    "needed_nodes",
    "require_supported",
    "support",
    "unsupported",
]

SUPPORTED_LIST = "docs/operators.md"


def needed_nodes(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= {name for name in node.input if name}
    return kept[::-1]


def default_opset(model: onnx.ModelProto) -> int:
    """The version of the default operator set that the model imports."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def ml_opset(model: onnx.ModelProto) -> int:
    """The version of the operator set of ai.onnx.ml that the model imports."""
    return next((o.version for o in model.opset_import if o.domain == ML), 1)


def lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the operators of the registry: functions and composite operators are replaced by their
    definitions."""
    return expanded(inlined(model), (*operators, *RANDOM))


def require_supported(model: onnx.ModelProto, outputs: Sequence[str] | None = None) -> None:
    """Raise UnsupportedOperatorError, which lists all unsupported nodes at once, if there are any."""
    missing = unsupported(model, outputs)
    if missing:
        raise UnsupportedOperatorError(
            f"the model has operators that are not supported: {'; '.join(missing)} "
            f"(supported: {SUPPORTED_LIST})."
        )


def unsupported(model: onnx.ModelProto, outputs: Sequence[str] | None = None) -> list[str]:
    """Every unsupported node as "OpType (node name)".

    Parameters
    ----------
    model : onnx.ModelProto
    outputs : sequence of str, optional
        Only nodes that these tensors need; default: all nodes.
    """
    graph = lowered(model).graph
    return [
        f"{_called(node)} (node {node.name or node.output[0]!r})"
        for node in (graph.node if outputs is None else needed_nodes(graph, outputs))
        if _support_of(node) == "unsupported"
    ]


def _called(node: onnx.NodeProto) -> str:
    """The operator type, with its domain where that is none of the standard's."""
    standard = node.domain in ("", "ai.onnx", ML)
    return str(node.op_type) if standard else f"{node.domain}.{node.op_type}"


def _support_of(node: onnx.NodeProto) -> str:
    if is_registered(node):
        return "exact" if operators[node.op_type].exact else "enclosed"
    return "drawn once" if is_random(node) else "unsupported"


def support(model: onnx.ModelProto) -> list[tuple[str, int, str]]:
    """Operator types of a model with their number and how each is decided.

    Returns
    -------
    list of (op_type, count, "exact" | "enclosed" | "drawn once" | "unsupported")
    """
    counts = Counter((_called(node), _support_of(node)) for node in lowered(model).graph.node)
    return [(name, count, how) for (name, how), count in sorted(counts.items())]
