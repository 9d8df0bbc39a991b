"""A model made ready to be explained: one flat graph of a recent operator set, with a free batch axis."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import symbolic.explanations.products  # noqa: F401  (fills the registry)
from symbolic.errors import ModelError
from symbolic.explanations.backward import products
from symbolic.reading.functions import inlined
from symbolic.reading.random_nodes import is_random
from symbolic.reading.static_shapes import (
    copied,
    free_inputs,
    inferred,
    inferred_shapes,
    without_large_tensors,
)
from symbolic.rewriting.composites import expanded

__all__ = ["BATCH", "OPSET", "readied"]

OPSET = 18
"""The oldest operator set that gradients are written in: ScatterElements adds, reductions take axes."""
BATCH = "N"
"""How a batch axis is called that had a fixed length of 1."""
MOST_FOLDED = 2**16
"""Elements of a constant that is computed here: shapes and indices, not weights."""


def readied(proto: onnx.ModelProto, undivided: Collection[str] = ()) -> onnx.ModelProto:
    """Give a copy without local functions, constant subexpressions or composites that have no derivative.

    Composites that are `undivided` stay.

    Raises
    ------
    ModelError
        The model cannot be brought to operator set 18, or its functions cannot be inlined.
    """
    flat = copied(inlined(proto))
    _as_initializers(flat)
    flat = _recent(flat)
    stored = list(flat.graph.initializer)
    opened = expanded(flat, products.keys() | set(undivided))
    if opened is not flat:  # large constants are inputs of what comes back
        nodes, imports = list(opened.graph.node), list(opened.opset_import)
        flat = copied(flat)
        del flat.graph.node[:], flat.opset_import[:]
        flat.graph.node.extend(nodes)
        flat.opset_import.extend(imports)
        known = {tensor.name for tensor in stored}
        flat.graph.initializer.extend(t for t in opened.graph.initializer if t.name not in known)
    _as_initializers(flat)
    _fold(flat)
    del flat.graph.value_info[:]  # runtimes believe stale shapes
    return _with_free_batch(flat)


def _as_initializers(proto: onnx.ModelProto) -> None:
    """Constant nodes become initializers, in place."""
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    for node in nodes:
        value = _constant(node)
        if value is None:
            proto.graph.node.append(node)
        else:
            proto.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))


def _constant(node: onnx.NodeProto) -> NDArray[Any] | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if "value" in given:
        return np.asarray(numpy_helper.to_array(given["value"]))
    for key, kind in (("value_float", np.float32), ("value_int", np.int64),
                      ("value_floats", np.float32), ("value_ints", np.int64)):  # fmt: skip
        if key in given:
            return np.asarray(given[key], dtype=kind)
    return None


def _recent(proto: onnx.ModelProto) -> onnx.ModelProto:
    """In operator set 18 or later; the weights do not pass through the converter."""
    version = next((int(o.version) for o in proto.opset_import if o.domain in ("", "ai.onnx")), OPSET)
    proto.ir_version = max(proto.ir_version, 8)
    if version >= OPSET:
        return proto
    slim = without_large_tensors(proto)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = onnx.version_converter.convert_version(slim, OPSET)
    except Exception as error:  # the C++ side raises several types
        why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model uses operator set {version}, and cannot be converted to {OPSET} ({why}): "
            "export it again with opset 18 or later."
        ) from None
    small = {tensor.name for tensor in slim.graph.initializer}
    converted.graph.initializer.extend(t for t in proto.graph.initializer if t.name not in small)
    names = {value.name for value in free_inputs(proto.graph)}
    inputs = [value for value in converted.graph.input if value.name in names]
    del converted.graph.input[:]
    converted.graph.input.extend(inputs)
    converted.ir_version = max(converted.ir_version, 8)
    return converted


def _fold(proto: onnx.ModelProto) -> None:
    """Small constants that nodes compute from constants are stored, in place."""
    graph = proto.graph
    known = {t.name: t for t in graph.initializer if np.prod(t.dims, dtype=float) <= MOST_FOLDED}
    measured = _measured(proto)
    nodes = list(graph.node)
    del graph.node[:]
    imports = list(proto.opset_import)
    for node in nodes:
        results = _folded(node, {**known, **measured.get(node.output[0], {})}, imports)
        if results is None:
            graph.node.append(node)
            continue
        for name, value in results.items():
            tensor = numpy_helper.from_array(value, name)
            graph.initializer.append(tensor)
            known[name] = tensor


def _measured(proto: onnx.ModelProto) -> dict[str, dict[str, onnx.TensorProto]]:
    """By what a Shape or a Size makes: a stand-in for the tensor that it measures, of all known lengths."""
    asked = [n for n in proto.graph.node if n.op_type in ("Shape", "Size") and n.domain in ("", "ai.onnx")]
    shapes = inferred_shapes(proto) if asked else {}
    return {
        n.output[0]: {n.input[0]: numpy_helper.from_array(np.zeros(shapes[n.input[0]], bool), n.input[0])}
        for n in asked
        if n.input[0] in shapes and np.prod(shapes[n.input[0]], dtype=float) <= MOST_FOLDED
    }


def _folded(
    node: onnx.NodeProto, known: dict[str, onnx.TensorProto], imports: list[Any]
) -> dict[str, NDArray[Any]] | None:
    reads = [name for name in node.input if name]
    if is_random(node) or not all(name in known for name in reads):
        return None
    if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
        return None
    names = [name for name in node.output if name]
    model = helper.make_model(
        helper.make_graph(
            [node],
            "constant",
            [],
            [onnx.ValueInfoProto(name=n) for n in names],
            [known[r] for r in set(reads)],
        ),
        opset_imports=imports,
    )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            values = ReferenceEvaluator(model).run(None, {})
    except Exception:  # what the evaluator cannot do stays a node
        return None
    found = {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
    return found if all(value.size <= MOST_FOLDED for value in found.values()) else None


def _with_free_batch(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a free first axis, where its first input has one of a fixed length of 1.

    Exporters write that length into constants of Reshape; there a 0 stands for "as it comes". The model
    stays as it is where its outputs do not follow.
    """
    source = free_inputs(proto.graph)[0]
    dims = source.type.tensor_type.shape.dim
    if len(dims) < 2 or dims[0].dim_value != 1:
        return proto
    freed = copied(proto)
    entry = free_inputs(freed.graph)[0].type.tensor_type.shape.dim[0]
    entry.Clear()
    entry.dim_param = BATCH
    for value in freed.graph.output:
        value.type.tensor_type.ClearField("shape")
    stored = {tensor.name: tensor for tensor in freed.graph.initializer}
    for _ in range(1 + len(freed.graph.node)):
        leading = _leading(freed)
        if leading is None:
            return proto
        changed = _next_reshape(freed, stored, leading)
        if not changed:
            break
    leading = _leading(freed)
    if leading is None or any(leading.get(v.name) != BATCH for v in freed.graph.output):
        return proto
    shapes = {value.name: value.type for value in inferred(freed).graph.output}
    for value in freed.graph.output:
        value.type.CopyFrom(shapes[value.name])
    return freed


def _leading(proto: onnx.ModelProto) -> dict[str, str | int | None] | None:
    """The first length of every tensor; None if the shapes contradict each other."""
    try:
        graph = inferred(proto).graph
    except ModelError:
        return None
    found: dict[str, str | int | None] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and kind.shape.dim:
            first = kind.shape.dim[0]
            found[value.name] = first.dim_value if first.HasField("dim_value") else first.dim_param or None
    return found


def _next_reshape(
    proto: onnx.ModelProto, stored: dict[str, onnx.TensorProto], leading: dict[str, str | int | None]
) -> bool:
    """Free the first Reshape that fixes the batch, in place; whether there was one."""
    for node in proto.graph.node:
        if node.op_type != "Reshape" or leading.get(node.input[0]) != BATCH:
            continue
        if node.input[1] not in stored or leading.get(node.output[0]) == BATCH:
            continue
        target = numpy_helper.to_array(stored[node.input[1]])
        if not target.size or target[0] not in (1, -1):
            continue
        literal = [a for a in node.attribute if a.name == "allowzero" and a.i]
        if literal and not target.all():
            continue
        for attribute in literal:  # without a 0 in the target it says nothing, and would spoil the new one
            node.attribute.remove(attribute)
        new = target.copy()
        new[0] = 0
        if target[0] == -1 and (new[1:] == -1).any():
            continue
        name = f"{node.input[1]}/free_batch"
        while name in stored:
            name += "_"
        tensor = numpy_helper.from_array(new, name)
        proto.graph.initializer.append(tensor)
        stored[name] = tensor
        node.input[1] = name
        return True
    return False
