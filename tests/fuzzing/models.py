"""Damage for `fuzz.py`: ONNX graphs, changed a little at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from fuzzing.bombs import bomb, functions, nested
from fuzzing.mutations import SMALL, Rng, mutated_bytes, pick

__all__ = ["mutated_model"]

INTEGERS = [-(2**63), -(2**31), -1000, -2, -1, 0, 1, 2, 3, 7, 100, 65536, 10**7]
INTEGERS += [2**31 - 1, 2**32, 2**62, 2**63 - 1]
REALS = [
    float("nan"),
    float("inf"),
    float("-inf"),
    3.4e38,
    -3.4e38,
    1e-45,
    -0.0,
    0.0,
    0.5,
    1.0,
    -1.0,
    1e9,
    1e-9,
]
WORDS = "x linear cubic nearest reflect edge wrap SAME_UPPER VALID NOTSET max mean sum add none tanh".split()
WORDS += ["", "half_pixel", "align_corners", "zeros", "é\0", "i,ij->j", "...ii"]
DOMAINS = ["", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "com.example", "sureline", "local"]
OPERATORS = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain in ("", "ai.onnx.ml")})
TYPES = sorted(TensorProto.DataType.values())


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for a in node.attribute:
            for inner in [a.g] if a.HasField("g") else a.graphs:
                yield from _graphs(inner)


def _tensors(model: onnx.ModelProto) -> list[TensorProto]:
    found = [t for graph in _graphs(model.graph) for t in graph.initializer]
    return found + [a.t for n in _nodes(model) for a in n.attribute if a.HasField("t")]


def _nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [n for g in _graphs(model.graph) for n in g.node] + [n for f in model.functions for n in f.node]


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    names = [v.name for v in (*graph.input, *graph.initializer)] + [o for n in graph.node for o in n.output]
    return [*names, "", "nowhere"]


def _attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = pick(rng, _nodes(model))
    if not node.attribute or rng.random() < 0.25:
        _new_attribute(node, rng)
        return
    a = pick(rng, node.attribute)
    kind = rng.random()
    if kind < 0.06:
        node.attribute.remove(a)
    elif kind < 0.1:
        node.attribute.append(a)
    elif kind < 0.14:
        a.name = pick(rng, ["axis", "axes", "value", "to", "k", "", "mode"])
    elif kind < 0.2:
        a.type = pick(rng, AttributeProto.AttributeType.values())
    elif a.type == AttributeProto.INT:
        a.i = pick(rng, INTEGERS if rng.random() < 0.5 else SMALL)
    elif a.type == AttributeProto.FLOAT:
        a.f = pick(rng, REALS)
    elif a.type == AttributeProto.STRING:
        a.s = (pick(rng, WORDS) * (1 if rng.random() < 0.95 else 10**5)).encode()
    elif a.type == AttributeProto.INTS:
        _list(a.ints, [*INTEGERS, *SMALL, *SMALL], rng)
    elif a.type == AttributeProto.FLOATS:
        _list(a.floats, REALS, rng)
    elif a.type == AttributeProto.STRINGS:
        _list(a.strings, [w.encode() for w in WORDS], rng)
    elif a.type == AttributeProto.TENSOR:
        _change_tensor(a.t, rng)


def _list(values: Any, choices: list[Any], rng: Rng) -> None:
    now = list(values)
    for _ in range(int(rng.integers(1, 3))):
        at, kind = int(rng.integers(len(now) + 1)), rng.random()
        if kind < 0.6 and at < len(now):
            now[at] = pick(rng, choices)
        elif kind < 0.8:
            now.insert(at, pick(rng, choices))
        else:
            del now[at : at + 1]
    values[:] = now


def _new_attribute(node: onnx.NodeProto, rng: Rng) -> None:
    """One that the operator has, mostly."""
    try:
        known = list(onnx.defs.get_schema(node.op_type, 26, node.domain).attributes)
    except onnx.defs.SchemaError:
        known = []
    if not known and rng.random() < 0.9:
        return
    known = known or ["axis"]
    value = pick(
        rng, [pick(rng, INTEGERS), pick(rng, SMALL), pick(rng, REALS), pick(rng, WORDS), SMALL[:3], [2, 2]]
    )
    node.attribute.append(helper.make_attribute(pick(rng, known), value))


def _tensor(model: onnx.ModelProto, rng: Rng) -> None:
    if found := _tensors(model):
        _change_tensor(pick(rng, found), rng)


def _change_tensor(tensor: TensorProto, rng: Rng) -> None:
    kind = rng.random()
    if kind < 0.5:
        _change_values(tensor, rng)
    elif kind < 0.65:
        _list(tensor.dims, [*INTEGERS, *SMALL], rng)
    elif kind < 0.75:
        tensor.data_type = pick(rng, [*TYPES, 99, -1])
    elif kind < 0.85:
        tensor.raw_data = mutated_bytes(tensor.raw_data, rng)
    elif kind < 0.93:
        tensor.data_location = TensorProto.EXTERNAL
        place = pick(rng, ["../x", "/etc/passwd", "model.onnx", "", "a\0b", ".", "x" * 5000, "C:\\x"])
        for key, value in (("location", place), ("offset", str(pick(rng, INTEGERS))), ("length", "4")):
            tensor.external_data.add(key=key, value=value)
    else:
        tensor.float_data.extend([1.0])
        tensor.name = pick(rng, ["", "x", tensor.name])


def _change_values(tensor: TensorProto, rng: Rng) -> None:
    """Other numbers, or another shape, in a tensor that stays well formed."""
    try:
        array = np.array(numpy_helper.to_array(tensor))
        if array.size and array.dtype.kind in "fiu":
            number = pick(rng, REALS) if array.dtype.kind == "f" else pick(rng, INTEGERS + SMALL * 3)
            info = None if array.dtype.kind == "f" else np.iinfo(array.dtype)
            number = number if info is None else min(max(number, info.min), info.max)
            array.reshape(-1)[rng.integers(array.size) if rng.random() < 0.8 else slice(None)] = number
        if rng.random() < 0.3:
            array = pick(rng, [array.reshape(-1), array[None], array.T, array[..., :1], array[..., :0]])
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
    except (ValueError, TypeError, IndexError, OverflowError):
        tensor.dims.append(2)


def _node(model: onnx.ModelProto, rng: Rng) -> None:
    graph = pick(rng, list(_graphs(model.graph)))
    if not graph.node:
        return
    node, kind = pick(rng, graph.node), rng.random()
    if kind < 0.1:
        graph.node.remove(node)
    elif kind < 0.15:
        graph.node.append(node)
    elif kind < 0.3:
        node.op_type = pick(rng, OPERATORS)
    elif kind < 0.35:
        node.domain = pick(rng, DOMAINS)
    elif kind < 0.6 and node.input:
        node.input[int(rng.integers(len(node.input)))] = pick(rng, _names(model))
    elif kind < 0.7 and len(node.input) > 1:
        node.input[:] = list(node.input)[::-1]
    elif kind < 0.78 and node.output:
        node.output[int(rng.integers(len(node.output)))] = pick(rng, _names(model))
    elif kind < 0.84:
        node.input.append(pick(rng, _names(model)))
    elif kind < 0.88:
        node.output.append(pick(rng, ["", "fresh", *_names(model)]))
    elif kind < 0.92 and node.input:
        del node.input[-1]
    else:
        _insert(graph, rng, model)


def _insert(graph: onnx.GraphProto, rng: Rng, model: onnx.ModelProto) -> None:
    """A new operator in the way of an old one."""
    node = pick(rng, graph.node)
    if not node.input:
        return
    operator = pick(rng, OPERATORS)
    schemas = [s for s in onnx.defs.get_all_schemas() if s.name == operator]
    count = int(rng.integers(max(schemas[0].min_input, 1), min(schemas[0].max_input, 5) + 1))
    inputs = [node.input[0], *(pick(rng, _names(model)) for _ in range(count - 1))]
    made = helper.make_node(operator, inputs, ["fresh"], domain=schemas[0].domain)
    _new_attribute(made, rng)
    node.input[0] = "fresh"
    graph.node.insert(list(graph.node).index(node), made)


def _declared(model: onnx.ModelProto, rng: Rng) -> None:
    """Declared types and shapes, names, versions."""
    graph, kind = model.graph, rng.random()
    values = [*graph.input, *graph.output, *graph.value_info]
    if kind < 0.35 and values:
        dims = pick(rng, values).type.tensor_type.shape.dim
        if dims and rng.random() < 0.7:
            pick(rng, dims).dim_value = pick(rng, INTEGERS + SMALL)
        else:
            dims.add(dim_value=pick(rng, INTEGERS + SMALL))
    elif kind < 0.55 and values:
        pick(rng, values).type.tensor_type.elem_type = pick(rng, [*TYPES, 99])
    elif kind < 0.65 and values:
        pick(rng, values).name = pick(rng, _names(model))
    elif kind < 0.7 and values:
        pick(rng, values).type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif kind < 0.75 and len(graph.output):
        graph.output.append(pick(rng, graph.output))
    elif kind < 0.92 and len(model.opset_import):
        pick(rng, model.opset_import).version = int(pick(rng, [*range(-1, 29), *range(5, 28), 2**62]))
    elif len(model.opset_import):
        model.opset_import.append(helper.make_opsetid(pick(rng, DOMAINS), pick(rng, [1, 2, 9, 17])))
    model.ir_version = pick(rng, [model.ir_version] * 20 + [0, 3, 99])


STRUCTURAL = (
    [_attribute] * 6 + [_tensor] * 5 + [_node] * 6 + [_declared] * 3 + [bomb] * 2 + [functions, nested]
)


def mutated_model(model: onnx.ModelProto, rng: Rng) -> bytes:
    """The file of a damaged model."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if rng.random() < 0.15:
        return mutated_bytes(copy.SerializeToString(), rng)
    for _ in range(int(rng.integers(1, 3))):
        try:
            pick(rng, STRUCTURAL)(copy, rng)
        except Exception:  # nothing there to damage, or protobuf refuses
            continue
    return copy.SerializeToString()
