"""What a model says of its shapes, where that decides: behind a Resize whose scales give no whole lengths.

The standard rounds such lengths down; exporters declare what their framework made of them, and runtimes
follow the one or the other. Elsewhere declared shapes are not believed: they are often stale.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from symbolic.enclosures.values import Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node
from symbolic.operators.resize import has_open_lengths

__all__ = ["DeclaredShapes"]


class DeclaredShapes:
    """The shapes that a model declares, and the tensors that are held to them.

    Parameters
    ----------
    model : onnx.ModelProto
        Shapes of outputs and inner tensors of its graph; dimensions without a positive length are free.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._shapes = {
            value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*model.graph.value_info, *model.graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        self._behind: dict[str, str] = {}  # by tensor, the Resize node

    def hold(self, node: Node, inputs: Inputs, results: Sequence[Value]) -> None:
        """Raise a ModelError where the outputs of a node have another shape than declared."""
        found = next((self._behind[name] for name in node.proto.input if name in self._behind), None)
        if node.op_type in ("Resize", "Upsample") and has_open_lengths(node, inputs):
            found = node.label
        if found is None:
            return
        for name, value in zip(node.proto.output, results, strict=False):
            self._behind[name] = found
            declared = self._shapes.get(name) or value.shape
            if len(declared) != len(value.shape) or any(
                0 < n != m for n, m in zip(declared, value.shape, strict=True)
            ):
                raise ModelError(
                    f"{found}: its scales give no whole lengths, and rounded down they give {name!r} the "
                    f"shape {tuple(value.shape)} instead of the declared {tuple(declared)}."
                )
