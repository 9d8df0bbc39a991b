"""Walk the nodes of a graph in order."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from . import (  # noqa: F401  (they fill the table)
    einsum,
    elementary,
    elementwise,
    linear,
    movement,
    normalisation,
    order,
    pooling,
    quantised,
    recurrent,
    reduction,
    resize,
    sampling,
    structure,
    transforms,
)
from .call import OPERATORS, Call
from .exact import Array, exact_array, shorten
from .ml import ML_OPERATORS

__all__ = ["OPERATORS", "evaluate", "outputs_of"]

TABLES = {"": OPERATORS, "ai.onnx": OPERATORS, "ai.onnx.ml": ML_OPERATORS}


def evaluate(model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Array]:
    """Exact value of every tensor of the graph.

    Parameters
    ----------
    model
        Any ONNX model without subgraphs and functions.
    feeds
        Value of every graph input: a numpy array (floats are the rationals they are) or an object array of
        Fractions.

    Returns
    -------
    dict
        Tensor name -> object array (see :mod:`tests.twin.exact` for what the elements are).
    """
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    types = _types(model.SerializeToString())
    values: dict[str, Array] = {}
    values.update({item.name: exact_array(numpy_helper.to_array(item)) for item in model.graph.initializer})
    values.update({name: exact_array(value) for name, value in feeds.items()})
    for node in model.graph.node:
        table = TABLES.get(node.domain, {})
        if node.op_type not in table:
            raise NotImplementedError(node.op_type)
        if any(item.name in ("broadcast", "consumed_inputs") for item in node.attribute):
            raise NotImplementedError("operators of opset 6 and before")
        call = Call(
            node,
            [values[name] if name else None for name in node.input],
            opset,
            tuple(types.get(name, 0) for name in node.input),
        )
        for name, value in zip(node.output, table[node.op_type](call), strict=False):
            if name:
                values[name] = _checked(value)
    return values


@functools.lru_cache(maxsize=64)
def _types(model: bytes) -> dict[str, int]:
    """The element type of every tensor: what the model says, else what onnx infers."""
    loaded = onnx.load_model_from_string(model)
    if all(node.domain != "ai.onnx.ml" for node in loaded.graph.node):  # these crash it without a known type
        loaded = onnx.shape_inference.infer_shapes(loaded)
    graph = loaded.graph
    types = {item.name: item.data_type for item in graph.initializer}
    infos = (*graph.input, *graph.value_info, *graph.output)
    return types | {item.name: item.type.tensor_type.elem_type for item in infos}


def _checked(value: Array) -> Array:
    if not isinstance(value, np.ndarray) or value.dtype != object:
        raise TypeError("an operator of the twin returned something else than an object array")
    out = np.empty(value.shape, dtype=object)
    for index in np.ndindex(value.shape):
        out[index] = shorten(value[index])
    return out


def outputs_of(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Array]:
    """Values of the graph outputs, in order."""
    values = evaluate(model, feeds)
    return [values[item.name] for item in model.graph.output]
