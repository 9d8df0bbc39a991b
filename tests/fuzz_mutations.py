"""Damage for `fuzz.py`: bytes, ONNX graphs, JSON documents and array files, changed a little at random."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

__all__ = ["mutated_bytes", "mutated_json", "mutated_model", "mutated_npy"]

Rng = np.random.Generator
INTEGERS = [
    -(2**63),
    -(2**31),
    -1000,
    -2,
    -1,
    0,
    1,
    2,
    3,
    7,
    100,
    65536,
    10**7,
    2**31 - 1,
    2**32,
    2**62,
    2**63 - 1,
]
SMALL = [-3, -2, -1, 0, 1, 2, 3, 4, 5]
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
WORDS = [
    "",
    "x",
    "linear",
    "cubic",
    "nearest",
    "reflect",
    "edge",
    "wrap",
    "SAME_UPPER",
    "VALID",
    "NOTSET",
    "max",
]
WORDS += [
    "mean",
    "sum",
    "add",
    "none",
    "tanh",
    "half_pixel",
    "align_corners",
    "zeros",
    "é\0",
    "i,ij->j",
    "...ii",
]
DOMAINS = ["", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "com.example", "sureline", "local"]
OPERATORS = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain in ("", "ai.onnx.ml")})
TYPES = sorted(TensorProto.DataType.values())


def pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def mutated_bytes(data: bytes, rng: Rng) -> bytes:
    """Flip, set, insert, delete, repeat or cut."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(out) + 1))
        size = int(min(len(out) - at, rng.integers(1, 20)))
        kind = int(rng.integers(8))
        if kind <= 2 and size:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            out[at : at + size] = bytes([pick(rng, [0, 1, 127, 128, 255])]) * size
        elif kind == 4:
            out[at:at] = rng.bytes(int(rng.integers(1, 12)))
        elif kind == 5:
            del out[at : at + size]
        elif kind == 6:
            out[at:at] = out[at : at + int(rng.integers(1, 400))]
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


# ---- ONNX graphs


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


def _bomb(model: onnx.ModelProto, rng: Rng) -> None:
    """Little that asks for much."""
    graph, name = model.graph, model.graph.input[0].name if model.graph.input else "x"
    sizes = np.array([pick(rng, [2, 2**10, 2**20, 2**31, 2**40]) for _ in range(int(rng.integers(1, 4)))])
    graph.initializer.append(numpy_helper.from_array(sizes.astype(np.int64), "sizes"))
    graph.initializer.append(numpy_helper.from_array(sizes.astype(np.float32), "factors"))
    first = int(sizes[0])
    one = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [helper.make_tensor_value_info(n, k, s) for n, k, s in (("i", 7, []), ("go", 9, []), ("v", 1, None))],
        [helper.make_tensor_value_info(n, k, s) for n, k, s in (("on", 9, []), ("w", 1, None))],
    )
    graph.initializer.append(numpy_helper.from_array(np.array(first), "first"))
    makes: list[Callable[[], onnx.NodeProto]] = [
        lambda: helper.make_node("ConstantOfShape", ["sizes"], ["big"]),
        lambda: helper.make_node("Expand", [name, "sizes"], ["big"]),
        lambda: helper.make_node("Tile", [name, "sizes"], ["big"]),
        lambda: helper.make_node("Resize", [name, "", "factors"], ["big"]),
        lambda: helper.make_node("Pad", [name, "sizes"], ["big"]),
        lambda: helper.make_node("OneHot", ["sizes", "first", "factors"], ["big"]),
        lambda: helper.make_node("Range", ["first", "first", "sizes"], ["big"]),
        lambda: helper.make_node("Loop", ["first", "", name], ["big"], body=one),
        lambda: helper.make_node("HannWindow", ["first"], ["big"]),
        lambda: helper.make_node("DFT", [name, "first"], ["big"]),
        lambda: helper.make_node("RandomNormal", [], ["big"], shape=sizes.tolist()),
        lambda: helper.make_node("MaxPool", [name], ["big"], kernel_shape=[first], pads=[first - 1] * 2),
        lambda: helper.make_node("LpPool", [name], ["big"], kernel_shape=[2], dilations=[first]),
        lambda: helper.make_node("MelWeightMatrix", ["first"] * 5, ["big"]),
        lambda: helper.make_node("SplitToSequence", [name, "first"], ["big"]),
    ]
    graph.node.insert(0, pick(rng, makes)())
    if rng.random() < 0.7 and len(graph.node) > 1 and graph.node[1].input:
        graph.node[1].input[0] = "big"
    else:
        graph.output.append(helper.make_tensor_value_info("big", 1, None))


def _functions(model: onnx.ModelProto, rng: Rng) -> None:
    """Local functions that call one another: in a circle, or twice each."""
    depth, circle = int(rng.integers(1, 60)), rng.random() < 0.4
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    for k in range(depth):
        inner = (k + 1) % depth if circle else k + 1
        call = ("local", f"f{inner}") if circle or k + 1 < depth else ("", "Relu")
        nodes = [helper.make_node(call[1], [a], [b], domain=call[0]) for a, b in (("x", "h"), ("h", "y"))]
        model.functions.append(helper.make_function("local", f"f{k}", ["x"], ["y"], nodes, imports))
    model.opset_import.append(helper.make_opsetid("local", 1))
    if model.graph.node and model.graph.node[0].input:
        made = helper.make_node("f0", [model.graph.node[0].input[0]], ["called"], domain="local")
        model.graph.node[0].input[0] = "called"
        model.graph.node.insert(0, made)


def _nested(model: onnx.ModelProto, rng: Rng) -> None:
    """Branches in branches."""
    graph = model.graph
    if not graph.node or not graph.node[-1].output:
        return
    name = graph.node[-1].output[0]
    graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    out = helper.make_tensor_value_info("leaf0", 1, None)
    inner = helper.make_graph([helper.make_node("Relu", [name], ["leaf0"])], "g", [], [out])
    for k in range(1, int(pick(rng, [2, 10, 30, 60, 150]))):
        branch = helper.make_node(
            "If", ["yes"], [f"leaf{k}"], then_branch=inner, else_branch=inner if k < 8 else None
        )
        if k >= 8:
            branch.attribute.append(helper.make_attribute("else_branch", helper.make_graph([], "e", [], [])))
        inner = helper.make_graph([branch], "g", [], [helper.make_tensor_value_info(f"leaf{k}", 1, None)])
    graph.node.append(helper.make_node("If", ["yes"], ["nested"], then_branch=inner, else_branch=inner))
    graph.output.append(helper.make_tensor_value_info("nested", 1, None))


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
    [_attribute] * 6 + [_tensor] * 5 + [_node] * 6 + [_declared] * 3 + [_bomb] * 2 + [_functions, _nested]
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


# ---- JSON and arrays

NUMBERS = [
    "0",
    "1",
    "-1",
    "1/2",
    "-1/2",
    "1/3",
    "7/4",
    "2/4",
    "1/0",
    "0/1",
    "+1",
    " 1",
    "1e5",
    "1e999999",
    "NaN",
]
NUMBERS += [
    "inf",
    "-inf",
    "",
    "9" * 3999,
    "9" * 5000,
    "1/" + "7" * 3000,
    "0.05",
    "1.0",
    "0.99999",
    "1e-320",
    "٣",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**53,
    10**17,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    [],
    {},
]
VALUES += [
    "selection",
    "inside",
    "outside",
    "gap",
    "custom",
    "BackMeanDiff",
    "full",
    "diagonal",
    "scalar",
    "less",
]
VALUES += [
    "greater",
    "two-sided",
    "activation_pattern",
    "audited.onnx",
    "input_0.npy",
    "certificate.json",
    "../x.npy",
]
VALUES += [
    [[[[[[[]]]]]]],
    ["-inf", "inf", "gap"],
    ["-inf", "inf", "inside"],
    [1, 2],
    {"a": 1},
    "\ud800",
    "\0",
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ():
        yield (*path, key)
        yield from _places(value[key], (*path, key))


def mutated_json(document: Any, rng: Rng) -> Any:
    """A document with one to three places changed."""
    whole = json.loads(json.dumps(document))
    if isinstance(whole, dict) and rng.random() < 0.4:
        _change_claims(whole, rng)
        return whole
    for _ in range(int(pick(rng, [1, 1, 1, 2, 3]))):
        by_key: dict[Any, list[tuple[Any, ...]]] = {}
        for path in _places(whole):
            by_key.setdefault(path[0] if path else None, []).append(path)
        if not by_key:
            return whole
        path = pick(rng, by_key[pick(rng, sorted(by_key, key=str))])
        place = whole
        for key in path[:-1]:
            place = place[key]
        _change_place(place, path[-1], rng)
    return whole


def _change_place(place: Any, key: Any, rng: Rng) -> None:
    kind, value = rng.random(), place[key]
    if kind < 0.12:
        del place[key]
    elif kind < 0.18:
        if isinstance(place, list):
            place.insert(key, value)
        else:
            place[key + "x"] = place.pop(key)
    elif kind < 0.3:
        other = pick(rng, list(place) if isinstance(place, dict) else range(len(place)))
        place[key], place[other] = place[other], place[key]
    elif isinstance(value, str) and kind < 0.6:
        place[key] = pick(rng, NUMBERS)
    elif isinstance(value, str) and kind < 0.85 and value:
        at = int(rng.integers(len(value)))
        place[key] = value[:at] + pick(rng, list("0123456789-/.einfA+=")) + value[at + int(rng.integers(2)) :]
    elif isinstance(value, int) and kind < 0.7:
        place[key] = int(value) + pick(rng, SMALL)
    else:
        place[key] = pick(rng, VALUES)


def _change_claims(document: dict[str, Any], rng: Rng) -> None:
    """Other claims, in good form."""
    cells, kind = document["cells"], int(rng.integers(8))
    k = int(rng.integers(1, len(cells)))
    verdicts: list[list[Any]] = [["inside"], ["gap"], ["outside", 0, int(rng.integers(7))]]
    if kind == 0:  # an end moves
        moved = Fraction(cells[k][0]) + pick(rng, [1, -1]) * Fraction(1, 2 ** int(rng.integers(1, 70)))
        cells[k - 1][1] = cells[k][0] = str(moved)
    elif kind == 1:
        cells[k][2:] = pick(rng, verdicts)
    elif kind == 2:  # two become one
        cells[k - 1 : k + 1] = [[cells[k - 1][0], cells[k][1], *pick(rng, [cells[k - 1][2:], cells[k][2:]])]]
    elif kind == 3:
        claim = document["claim"]
        key = pick(rng, ["inf_p", "sup_p", "log_inf_p", "log_sup_p"])
        claim[key] = str(
            Decimal(claim[key]) * (1 + pick(rng, [1, -1]) * Decimal(10) ** -int(rng.integers(15)))
        )
    elif kind == 4:
        claim = document["claim"]
        claim["stat"] = str(Fraction(claim["stat"]) * pick(rng, [-1, 2, Fraction(2**60 + 1, 2**60)]))
    elif kind == 5:
        document["line"]["scale"] = str(
            Fraction(document["line"]["scale"]) * pick(rng, [-1, 2, Fraction(1, 3)])
        )
    elif kind == 6:
        place, key = pick(rng, [(document["law"], "null_value"), (document["hypothesis"], "threshold")])
        place[key] = str(Fraction(place.get(key, "0")) + Fraction(1, 2 ** int(rng.integers(60))))
    else:
        raw = bytearray(base64.b64decode(document["observed"][0]["values"]))
        raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        document["observed"][0]["values"] = base64.b64encode(raw).decode()


HEADERS = [
    "(1099511627776,)", "(1, -2)", "(2,)", "()", "(1, 2, 3)", "(1.5,)", "(True, 2)", "[1, 2]", "(0,)", "1", "None",
    "(" + "1," * 70 + ")", "(2, 9223372036854775807)", "((1,), 2)", "(" * 90 + ")" * 90,
]  # fmt: skip
DTYPES = ["'<f8'", "'>f8'", "'<f4'", "'<f2'", "'<i8'", "'|b1'", "'<u8'", "'|O'", "'<c16'", "'<U4'", "'|V8'"]
DTYPES += [
    "'<M8[s]'",
    "[('a', '<f8')]",
    "'<f16'",
    "'|S0'",
    "'x'",
    "None",
    "'<f8,<f8'",
    "'(2,)f8'",
    "5",
    "'|i1'",
]


def mutated_npy(array: Any, rng: Rng) -> bytes:
    """An .npy file (or what says it is one) with a damaged header or body."""
    buffer = io.BytesIO()
    kind = rng.random()
    if kind < 0.1:
        np.savez_compressed(buffer, *[array] * int(rng.integers(3)))
        return mutated_bytes(buffer.getvalue(), rng) if rng.random() < 0.6 else buffer.getvalue()
    np.save(buffer, np.array([None, {}]) if kind < 0.14 else array, allow_pickle=True)
    data = buffer.getvalue()
    if kind < 0.4:
        return mutated_bytes(data, rng)
    shape, dtype = str(array.shape), repr(array.dtype.str)
    shape = pick(rng, HEADERS) if rng.random() < 0.5 else shape
    dtype = pick(rng, DTYPES) if rng.random() < 0.5 else dtype
    order = pick(rng, ["False", "True", "0", "'C'"]) if rng.random() < 0.3 else "False"
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    body = array.tobytes()
    special = np.array([pick(rng, [np.nan, np.inf, 5e-324, -0.0, 1.7e308])]).tobytes()
    body = (
        special + body[8:]
        if rng.random() < 0.3
        else body[: int(rng.integers(len(body) + 1))] * int(rng.integers(3))
    )
    version = pick(rng, [b"\x01\x00"] * 5 + [b"\x02\x00", b"\x03\x00", b"\x09\x00", b"\x00\x00"])
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header + (body if rng.random() < 0.5 else array.tobytes())
