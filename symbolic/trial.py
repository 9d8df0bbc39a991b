"""What a model makes of its own declared shapes, before there is any input: nodes without a meaning here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import onnx
from onnx import TensorProto

from symbolic.network import Network
from symbolic.reading.random_nodes import freeze_random
from symbolic.reading.static_shapes import free_inputs

__all__ = ["try_out"]

LARGEST = 1 << 20
"""Elements of an input that is tried: its whole network needs many times its memory."""
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def try_out(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Interpret the graph, so that what has no meaning is refused before there is an input.

    Only a model with one input, of real numbers and of a declared shape, can be tried: of several inputs it
    is not known which will move.

    Raises
    ------
    ModelError
        All nodes that are refused, at once.
    """
    inputs = free_inputs(model.graph)
    if len(inputs) != 1 or not outputs:
        return
    tensor = inputs[0].type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    if tensor.elem_type not in FLOATS or not tensor.HasField("shape") or not all(n > 0 for n in shape):
        return
    if np.prod(shape, dtype=object) > LARGEST:
        return
    frozen, _ = freeze_random(model, seed=0)
    name = inputs[0].name
    with suppress(MemoryError):  # a trial is not worth it
        Network(frozen, {name: np.zeros(shape)}, name, outputs)
