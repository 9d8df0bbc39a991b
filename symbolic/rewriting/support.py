"""Which operators of a model have a meaning here, and the model in the words of the registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import onnx

import symbolic.operators
import symbolic.rewriting.recurrent
import symbolic.rewriting.sequences  # noqa: F401  (they fill the registries)
from symbolic.errors import UnsupportedOperatorError
from symbolic.node import ML, is_registered, operators
from symbolic.reading.functions import inlined
from symbolic.reading.random_nodes import RANDOM, is_random
from symbolic.rewriting import control_flow, recurrent
from symbolic.rewriting.composites import composite_names, expanded
from symbolic.rewriting.unrolling import handlers, pruned

__all__ = [
    "default_opset",
    "lowered",
    "ml_opset",
    "needed_nodes",
    "require_nodes",
    "require_supported",
    "support",
    "unsupported",
]

SUPPORTED_LIST = "docs/operators.md"


def needed_nodes(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that the outputs depend on, in order."""
    return pruned(graph.node, outputs)


def default_opset(model: onnx.ModelProto) -> int:
    """The version of the default operator set that the model imports."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def ml_opset(model: onnx.ModelProto) -> int:
    """The version of the operator set of ai.onnx.ml that the model imports."""
    return next((o.version for o in model.opset_import if o.domain == ML), 1)


def lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the operators of the registry: functions and composite operators are replaced by their
    definitions."""
    return expanded(inlined(model), (*operators, *handlers, *RANDOM))


def require_supported(model: onnx.ModelProto, outputs: Sequence[str] | None = None) -> None:
    """Raise UnsupportedOperatorError, which lists all unsupported nodes at once, if there are any."""
    _refuse(unsupported(model, outputs))


def require_nodes(nodes: Sequence[onnx.NodeProto]) -> None:
    """Raise UnsupportedOperatorError where nodes of a subgraph are not supported."""
    _refuse([_named(node) for node in _all_of(nodes) if _support_of(node) == "unsupported"])


def _refuse(missing: list[str]) -> None:
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
    nodes = graph.node if outputs is None else needed_nodes(graph, outputs)
    return [_named(node) for node in _all_of(nodes) if _support_of(node) == "unsupported"]


def _all_of(nodes: Iterable[onnx.NodeProto], branches: bool = False) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of their subgraphs that their outputs need; branches of If only on demand, for one of
    them may never run."""
    for node in nodes:
        yield node
        if branches or node.op_type != "If":
            for graph, wanted in control_flow.subgraphs(node):
                yield from _all_of(pruned(graph.node, wanted), branches)


def _named(node: onnx.NodeProto) -> str:
    return f"{_called(node)} (node {node.name or node.output[0]!r})"


def _called(node: onnx.NodeProto) -> str:
    """The operator type, with its domain where that is none of the standard's."""
    standard = node.domain in ("", "ai.onnx", ML)
    return str(node.op_type) if standard else f"{node.domain}.{node.op_type}"


def _support_of(node: onnx.NodeProto) -> str:
    if is_registered(node):
        exact = operators[node.op_type].exact
        if not isinstance(exact, bool):
            return "exact with constants"
        return "exact" if exact else "enclosed"
    if node.domain in ("", "ai.onnx") and node.op_type in handlers:
        return "enclosed" if node.op_type in recurrent.CELLS else "unrolled"
    if node.domain in ("", "ai.onnx") and node.op_type in composite_names(onnx.defs.onnx_opset_version()):
        return "by its definition"  # in a subgraph, where definitions come when it runs
    return "drawn once" if is_random(node) else "unsupported"


def support(model: onnx.ModelProto) -> list[tuple[str, int, str]]:
    """Operator types of a model with their number and how each is decided, in subgraphs too.

    Returns
    -------
    list of (op_type, count, how)
        "exact", "enclosed", "unrolled", "by its definition", "drawn once" or "unsupported".
    """
    nodes = _all_of(lowered(model).graph.node, branches=True)
    counts = Counter((_called(node), _support_of(node)) for node in nodes)
    return [(name, count, how) for (name, how), count in sorted(counts.items())]
