"""Random nodes, drawn once and frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from symbolic.errors import ModelError, OptionError, UnsupportedOperatorError
from symbolic.reading.static_shapes import copied, element_types, inferred_shapes
from symbolic.reading.tensors import walk_graphs

__all__ = ["RANDOM", "freeze_random", "has_random", "is_random"]

_NORMAL = ("RandomNormal", "RandomNormalLike")
_UNIFORM = ("RandomUniform", "RandomUniformLike")
RANDOM = (*_NORMAL, *_UNIFORM)
"""Operator types that are drawn once and frozen."""
_MAX_ELEMENTS = 2**27


def is_random(node: onnx.NodeProto) -> bool:
    """Whether a node draws random numbers."""
    return node.op_type in RANDOM and node.domain in ("", "ai.onnx")


def has_random(proto: onnx.ModelProto) -> bool:
    """Whether the main graph draws random numbers."""
    return any(is_random(node) for node in proto.graph.node)


def freeze_random(
    proto: onnx.ModelProto,
    shape_of: Callable[[str], tuple[int, ...]] | None = None,
    *,
    seed: int | None,
    copy: bool = True,
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Replace random nodes by what they draw.

    One generator, `numpy.random.default_rng(seed)`, serves the nodes in their order in the graph, as in
    si4onnx; each draw is cast to the node's type and becomes the last initializer, named as the node's
    output.

    Parameters
    ----------
    proto : onnx.ModelProto
        With static input shapes if `shape_of` is left out.
    shape_of : callable, optional
        Static shape of a tensor by name; default: ONNX's shape inference.
    seed : int or None
        Not negative; needed only if there is something to draw.
    copy : bool
        Leave `proto` as it is.

    Returns
    -------
    proto : onnx.ModelProto
        The model without random nodes; the argument itself if there are none.
    names : tuple of str
        The frozen tensors, in order.

    Raises
    ------
    OptionError
        If there are random nodes and no valid seed.
    UnsupportedOperatorError
        If random nodes are in subgraphs or local functions.
    ModelError
        If a shape is not known, or beyond 2**27 elements.
    """
    for graph, depth in walk_graphs(proto):
        if depth > 0 or isinstance(graph, onnx.FunctionProto):
            for node in graph.node:
                if is_random(node):
                    raise UnsupportedOperatorError(
                        f'{node.op_type} (node "{node.name}") is inside a subgraph or local function; '
                        "random nodes "
                        "are supported in the main graph only."
                    )
    if not has_random(proto):
        return proto, ()
    if seed is None:
        raise OptionError("The model draws random numbers: give a seed, so that the audit can be repeated.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(f"seed is {seed}; it must be a whole number, zero or larger.")
    shapes = inferred_shapes(proto) if shape_of is None else {}
    types = element_types(proto)
    rng = np.random.default_rng(int(seed))
    result = copied(proto) if copy else proto
    result.ir_version = max(result.ir_version, 4)  # before, every initializer had to be an input too
    nodes = list(result.graph.node)
    del result.graph.node[:]
    names: list[str] = []
    for node in nodes:
        if not is_random(node):
            result.graph.node.append(node)
            continue
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        name = node.output[0]
        if node.op_type.endswith("Like"):
            source = node.input[0]
            shape = shape_of(source) if shape_of is not None else shapes.get(source)
            default = types.get(source)
        else:
            shape, default = tuple(given.get("shape", ())), int(TensorProto.FLOAT)
        elem_type = int(given.get("dtype", 0)) or default
        if shape is None or elem_type is None:
            raise ModelError(
                f'The shape or type of what {node.op_type} (node "{node.name}") draws is not known.'
            )
        result.graph.initializer.append(
            numpy_helper.from_array(_draw(node, given, shape, elem_type, rng), name)
        )
        names.append(name)
    return result, tuple(names)


def _draw(
    node: onnx.NodeProto,
    given: dict[str, Any],
    shape: tuple[int, ...],
    elem_type: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    count = 1
    for length in shape:
        count *= int(length)
    if count > _MAX_ELEMENTS or min(shape, default=0) < 0:
        raise ModelError(f'{node.op_type} (node "{node.name}") draws a tensor of shape {tuple(shape)}.')
    try:
        dtype = helper.tensor_dtype_to_np_dtype(elem_type)
        if node.op_type in _NORMAL:
            drawn = rng.normal(given.get("mean", 0.0), given.get("scale", 1.0), size=tuple(shape))
        else:
            drawn = rng.uniform(given.get("low", 0.0), given.get("high", 1.0), size=tuple(shape))
        with np.errstate(over="ignore", invalid="ignore"):
            values: NDArray[Any] = np.asarray(drawn).astype(dtype)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise ModelError(f'{node.op_type} (node "{node.name}") cannot be drawn ({error}).') from None
    if elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        raise ModelError(f'{node.op_type} (node "{node.name}") has a type that is no float.')
    if not np.isfinite(values).all():
        raise ModelError(f'{node.op_type} (node "{node.name}") draws infinite numbers.')
    return values
