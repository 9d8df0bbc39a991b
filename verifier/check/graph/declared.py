"""The shapes that a model declares, where they decide: behind a Resize whose scales give no whole lengths.

The standard rounds such lengths down; a file that declares others was made for a runtime that does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx

from verifier.check.operators.registry import Node
from verifier.check.operators.resize import OPEN_LENGTHS

__all__ = ["hold_to_declared"]


def hold_to_declared(
    model: onnx.ModelProto,
    nodes: Iterable[Node],
    shapes: Mapping[str, tuple[int, ...]],
    maps: Mapping[Any, Any],
) -> None:
    """Refuse a Resize behind which a tensor has another shape than the model declares."""
    declared = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    behind: dict[str, Node] = {}
    for node in nodes:
        found = next((behind[name] for name in node.inputs if name in behind), None)
        found = node if (OPEN_LENGTHS, node.index) in maps else found
        if found is None:
            continue
        behind.update((name, found) for name in node.outputs if name)
        for name in node.outputs:
            wanted, shape = declared.get(name), shapes.get(name)
            if not wanted or shape is None:
                continue
            if len(wanted) != len(shape) or any(0 < n != m for n, m in zip(wanted, shape, strict=True)):
                raise found.refuse(
                    f"its scales give no whole lengths, and {name!r} has another shape than declared"
                )
