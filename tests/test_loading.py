"""Loading what strangers send: every file gives a model or one typed error, and little memory is used."""

from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
import zipfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from symbolic.errors import InputError, ModelError, OptionError, SurelineError, UnsupportedOperatorError
from symbolic.reading.arrays import (
    as_exact_array,
    exact_number,
    fractions_of,
    matches_graph_input,
    read_array,
    rounded_to_graph_type,
)
from symbolic.reading.loading import freeze_random, inferred_shapes, inlined, load_model, static_inputs
from symbolic.reading.wire import scan


def small_model(
    nodes: list[onnx.NodeProto] | None = None,
    shape: tuple[int | str, ...] = (1, 2, 4, 4),
    stored: list[TensorProto] | None = None,
) -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(2, 2, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes
        or [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (None, None, None, None))],
        [numpy_helper.from_array(weights, "w"), *(stored or [])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def refused(source: Any, words: str = "", **options: Any) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        load_model(source, **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500


def test_a_file_keeps_its_hash_and_a_proto_gets_one(tmp_path: Path) -> None:
    model = small_model()
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    loaded = load_model(path)
    assert loaded.proto == model and loaded.path == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    again = load_model(model)
    assert again.path is None
    assert again.sha256 == hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    assert again.proto is not model


def test_truncations_and_flips_give_one_typed_error_or_a_model(tmp_path: Path) -> None:
    data = small_model().SerializeToString()
    path = tmp_path / "m.onnx"
    rng = np.random.default_rng(7)
    broken = [data[:end] for end in range(0, len(data), 37)]
    for _ in range(400):
        flipped = bytearray(data)
        for at in rng.integers(0, len(data), size=int(rng.integers(1, 4))):
            flipped[at] ^= 1 << int(rng.integers(0, 8))
        broken.append(bytes(flipped))
    # Flips where they hurt most: outside the 288 bytes of weights.
    start = data.index(numpy_helper.to_array(small_model().graph.initializer[0]).tobytes())
    for at in [*range(start), *range(start + 288, len(data))]:
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(0, 8))
        broken.append(bytes(flipped))
    tracemalloc.start()
    outcomes = {"loaded": 0, "refused": 0}
    for contents in broken:
        path.write_bytes(contents)
        try:
            static_inputs(inlined(load_model(path).proto), {"x": (1, 2, 4, 4)})
            outcomes["loaded"] += 1
        except SurelineError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20
    assert outcomes["refused"] > 100 and outcomes["loaded"] > 100


def test_files_that_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for contents, words in (
        (b"", "empty"),
        (b"hello world, no model", "not an ONNX"),
        (b"\x08\x08", "not an ONNX"),
    ):
        path.write_bytes(contents)
        refused(path, words)
    refused(tmp_path / "none.onnx", "no such file")
    refused(tmp_path, "regular file|directory")
    refused(3, "give a path")
    path.write_bytes(small_model().SerializeToString())
    refused(path, "limit", max_bytes=100)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "regular file")


def test_newer_versions_and_empty_graphs_are_named() -> None:
    for change, words in (
        (lambda m: setattr(m, "ir_version", 99), "IR version 99"),
        (lambda m: setattr(m.opset_import[0], "version", 999), "operator set 999"),
        (lambda m: m.graph.ClearField("node"), "no nodes"),
        (lambda m: m.graph.ClearField("output"), "no output"),
        (lambda m: m.graph.ClearField("input"), "no input"),
        (lambda m: m.ClearField("graph"), "not an ONNX"),
        (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "twice"),
        (lambda m: m.graph.node.append(m.graph.node[0]), "not valid ONNX"),
        (lambda m: m.ClearField("opset_import"), "not valid ONNX"),
    ):
        model = small_model()
        change(model)
        refused(model, words)


def test_inputs_that_are_initializers_are_no_inputs() -> None:
    model = small_model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, (2, 2, 3, 3)))
    assert load_model(model)
    del model.graph.input[0]
    refused(model, "no input")


def test_a_tiny_file_that_claims_a_huge_tensor() -> None:
    for dims, words in (
        ([10**12], "claims"),
        ([2**62, 2**62], "claims more"),
        ([-3], "negative"),
        ([7], "claims 7"),
    ):
        model = small_model()
        tensor = model.graph.initializer[0]
        del tensor.dims[:]
        tensor.dims.extend(dims)
        refused(model, words)
    for change, words in (
        (lambda t: setattr(t, "data_type", 99), "unknown element type"),
        (lambda t: setattr(t, "data_type", 0), "no element type"),
        (lambda t: t.ClearField("raw_data"), "holds 0"),
        (lambda t: t.float_data.append(1) or t.ClearField("raw_data"), "holds 1"),
    ):
        model = small_model()
        change(model.graph.initializer[0])
        refused(model, words)


def test_constants_and_subgraphs_are_looked_into() -> None:
    lie = TensorProto(dims=[10**9], data_type=TensorProto.FLOAT, raw_data=b"1234")
    constant = helper.make_node("Constant", [], ["k"], value=lie)
    refused(small_model([constant, helper.make_node("Add", ["x", "k"], ["y"])]), "claims")
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("k", 1, None)])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    refused(small_model([branch]), "claims")


def nested(depth: int) -> onnx.ModelProto:
    result = [helper.make_tensor_value_info("y", 1, None)]
    leaf = inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], result)
    for _ in range(depth):
        node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=leaf)
        inner = helper.make_graph([node], "g", [], result)
    return small_model(list(inner.node))


def test_deep_nesting_is_bounded(tmp_path: Path) -> None:
    refused(nested(18), "nested deeper")
    deep = b""
    for _ in range(300):
        deep = b"\x32" + _varint(len(deep)) + deep  # AttributeProto.g
        deep = b"\x2a" + _varint(len(deep)) + deep  # NodeProto.attribute
        deep = b"\x0a" + _varint(len(deep)) + deep  # GraphProto.node
    (tmp_path / "deep.onnx").write_bytes(b"\x08\x08\x3a" + _varint(len(deep)) + deep)
    refused(tmp_path / "deep.onnx", "nested deeper than 60")


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def test_a_file_of_empty_messages_is_refused_before_it_is_built(tmp_path: Path) -> None:
    nodes = b"\x0a\x00" * 2_100_000
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08\x3a" + _varint(len(nodes)) + nodes)
    refused(path, "protobuf fields")
    refused_name = small_model().SerializeToString().replace(b"small", b"sm\xffll")
    path.write_bytes(refused_name)
    refused(path, "not text")
    assert scan(small_model().SerializeToString()) < 100


# External data


def with_external(folder: Path, **changes: str) -> Path:
    model = small_model()
    tensor = model.graph.initializer[0]
    (folder / "w.bin").write_bytes(b"head" + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", "offset": "4", "length": "144", **changes}.items():
        tensor.external_data.add(key=key, value=value)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_external_data_becomes_internal(tmp_path: Path) -> None:
    loaded = load_model(with_external(tmp_path))
    assert loaded.proto == small_model()
    assert loaded.sha256 == load_model(small_model()).sha256
    refused(tmp_path / "m.onnx", "limit", max_bytes=143)
    refused(onnx.load(str(tmp_path / "m.onnx"), load_external_data=False), "external data")


def test_external_data_stays_inside_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "model"
    inside.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"s" * 200)
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    (inside / "out").symlink_to(tmp_path)
    for location, words in (
        ("../secret.bin", "out of the folder"),
        ("sub/../../secret.bin", "out of the folder"),
        (str(tmp_path / "secret.bin"), "out of the folder"),
        ("C:\\secret.bin", "out of the folder"),
        ("..\\secret.bin", "out of the folder"),
        ("link.bin", "symbolic link"),
        ("out/secret.bin", "symbolic link"),
        ("", "out of the folder"),
        ("none.bin", "cannot be read"),
        (".", "regular file|cannot be read|directory|out of"),
        ("a\0b", "out of the folder"),
    ):
        refused(with_external(inside, location=location), words)
    for changes in (
        {"offset": "5"},
        {"offset": "-4"},
        {"length": "143"},
        {"offset": "9" * 30},
        {"offset": "1e3"},
    ):
        refused(with_external(inside, **changes), "w.bin|number|length")


# Functions


def test_functions_are_kept_and_inlined_on_demand() -> None:
    nodes = [helper.make_node("Relu", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    model = small_model([helper.make_node("twice", ["x"], ["y"], domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.append(helper.make_function("own", "twice", ["a"], ["b"], nodes, opsets))
    loaded = load_model(model)
    assert len(loaded.proto.functions) == 1
    assert [node.op_type for node in inlined(loaded.proto).graph.node] == ["Relu"]
    plain = small_model()
    assert inlined(plain) is plain


def test_function_bombs_and_circles_are_refused() -> None:
    model = small_model([helper.make_node("f30", ["x"], ["y"], domain="own")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model.opset_import.append(helper.make_opsetid("own", 1))
    for k in range(31):
        name = f"f{k - 1}" if k else "Relu"
        domain = "own" if k else ""
        nodes = [
            helper.make_node(name, ["a"], ["m"], domain=domain),
            helper.make_node(name, ["m"], ["b"], domain=domain),
        ]
        model.functions.append(helper.make_function("own", f"f{k}", ["a"], ["b"], nodes, opsets))
    refused(model, "more than 65536 nodes")
    model.functions[0].node[0].CopyFrom(helper.make_node("f30", ["a"], ["m"], domain="own"))
    refused(model, "calls itself")


# Static shapes and random nodes


def test_dynamic_dimensions_need_values() -> None:
    model = small_model(shape=("batch", 2, 4, "width"))
    with pytest.raises(InputError, match=r'"x" has a dynamic dimension "batch" \(axis 0\)'):
        static_inputs(model, {})
    done = static_inputs(model, {"x": (3, 2, 4, 5)})
    assert [d.dim_value for d in done.graph.input[0].type.tensor_type.shape.dim] == [3, 2, 4, 5]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for shape in ((3, 2, 5, 5), (3, 2, 4), (3, 2, 4, 5, 6)):
        with pytest.raises(InputError, match="cannot be"):
            static_inputs(model, {"x": shape})
    with pytest.raises(InputError, match='no input "z"'):
        static_inputs(model, {"z": (1,)})
    assert static_inputs(small_model(), {}) == small_model()


def test_declared_inner_shapes_are_not_believed() -> None:
    model = small_model()
    model.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, (9, 9)))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (7, 7, 7, 7)))
    shapes = inferred_shapes(model)
    assert shapes["c"] == shapes["y"] == (1, 2, 4, 4)
    assert shapes["w"] == (2, 2, 3, 3)


def random_model() -> onnx.ModelProto:
    return small_model(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("RandomNormalLike", ["r"], ["e1"], mean=1.0, scale=2.0),
            helper.make_node(
                "RandomUniform", [], ["e2"], shape=[1, 2, 4, 4], low=-1.0, dtype=TensorProto.DOUBLE
            ),
            helper.make_node("RandomNormalLike", ["x"], ["e3"], dtype=TensorProto.FLOAT16),
            helper.make_node("Add", ["e1", "r"], ["y"]),
        ],
        shape=("n", 2, 4, 4),
    )


def test_random_nodes_draw_in_order_from_one_generator() -> None:
    model = static_inputs(random_model(), {"x": (1, 2, 4, 4)})
    for shape_of in (None, lambda name: (1, 2, 4, 4)):
        frozen, names = freeze_random(model, shape_of, seed=5)
        assert names == ("e1", "e2", "e3")
        assert [node.op_type for node in frozen.graph.node] == ["Relu", "Add"]
        stored = {t.name: numpy_helper.to_array(t) for t in frozen.graph.initializer}
        assert list(stored) == ["w", "e1", "e2", "e3"]
        rng = np.random.default_rng(5)
        np.testing.assert_array_equal(stored["e1"], rng.normal(1, 2, size=(1, 2, 4, 4)).astype(np.float32))
        np.testing.assert_array_equal(stored["e2"], rng.uniform(-1, 1, size=(1, 2, 4, 4)))
        np.testing.assert_array_equal(stored["e3"], rng.normal(size=(1, 2, 4, 4)).astype(np.float16))
        onnx.checker.check_model(frozen, full_check=True)
    assert len(model.graph.node) == 5
    plain = small_model()
    assert freeze_random(plain, seed=None) == (plain, ())


def test_random_nodes_that_cannot_be_frozen() -> None:
    model = static_inputs(random_model(), {"x": (1, 2, 4, 4)})
    for seed in (None, -1, 1.5, True):
        with pytest.raises(OptionError, match="seed"):
            freeze_random(model, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="not known"):
        freeze_random(random_model(), seed=0)
    big = small_model([helper.make_node("RandomNormal", [], ["y"], shape=[10**6, 10**6])])
    with pytest.raises(ModelError, match="draws a tensor"):
        freeze_random(big, seed=0)
    negative = small_model([helper.make_node("RandomNormal", [], ["y"], shape=[3], scale=-1.0)])
    with pytest.raises(ModelError, match="cannot be drawn"):
        freeze_random(negative, seed=0)
    inner = helper.make_graph(
        [helper.make_node("RandomNormal", [], ["k"], shape=[3])],
        "g",
        [],
        [helper.make_tensor_value_info("k", 1, [3])],
    )
    with pytest.raises(UnsupportedOperatorError, match="subgraph"):
        freeze_random(
            small_model([helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)]), seed=0
        )


# Arrays and numbers


def test_arrays_are_taken_losslessly() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for given in (
        [1, 2],
        np.array([0.1, 2.5], np.float16),
        np.array([[0.1]], ">f4"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([2**63], np.uint64),
        np.array([Fraction(1, 3), 2], dtype=object),
    ):
        array = as_exact_array(given)
        assert array.flags.c_contiguous and not array.flags.writeable
        assert array.shape == np.asarray(given).shape
        exact = [
            Fraction(v) if isinstance(v, (Fraction, int)) else Fraction(float(v))
            for v in np.asarray(given).ravel()
        ]
        assert fractions_of(array) == exact
        if array.dtype != object:
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=False)
            stream.seek(0)
            assert fractions_of(np.load(stream)) == exact
    mine = np.zeros(3)
    taken = as_exact_array(mine)
    mine[0] = 5
    assert taken[0] == 0


class FakeTensor:
    """What torch tensors look like from outside."""

    dtype = "torch.bfloat16"

    def detach(self) -> FakeTensor:
        return self

    def cpu(self) -> FakeTensor:
        return self

    def float(self) -> FakeTensor:
        self.dtype = "torch.float32"
        return self

    def numpy(self) -> NDArray[Any]:
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return np.ones((2, 2), np.float32)


def test_tensors_are_read_without_importing_their_package() -> None:
    assert as_exact_array(FakeTensor()).dtype == np.float32


def test_arrays_that_are_none() -> None:
    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    for given, words in (
        ([], "empty"),
        ([np.nan, np.inf, 1], "2 entries"),
        ([[1, 2], [0, -np.inf]], r"index \(1, 1\)"),
        ([1j], "complex"),
        (["0.1"], "not a numeric type"),
        ([None], "Python objects"),
        ([[1], [1, 2]], "cannot be read"),
        ("x.npy", "not an array"),
        (b"x", "not an array"),
        (masked, "masked"),
        (np.array([1], "M8[s]"), "not a numeric"),
        (np.zeros(2, dtype=[("a", "f4")]), "not a numeric"),
        (object(), "Python objects"),
        (np.array([True, 1.5], dtype=object), "Python objects"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            as_exact_array(given, "the thing")
        assert "the thing" in str(caught.value)


def test_numbers_are_read_exactly() -> None:
    for given, exact in (
        ("0.1", Fraction(1, 10)),
        (" 1e-3 ", Fraction(1, 1000)),
        ("1/3", Fraction(1, 3)),
        (0.1, Fraction(0.1)),
        (3, Fraction(3)),
        (Decimal("0.1"), Fraction(1, 10)),
        (np.float32(0.1), Fraction(float(np.float32(0.1)))),
        (np.longdouble(1) / 3, Fraction(*(np.longdouble(1) / 3).as_integer_ratio())),
        (np.int8(-4), Fraction(-4)),
        (np.array([2.5]), Fraction(5, 2)),
    ):
        assert exact_number(given) == exact
    texts = ("nan", "1e3000000", "9" * 500, "1/0", "", "0x1", "1_000", "\u0661")
    others = (float("inf"), Decimal("1e999999"), Decimal("NaN"), 2**5000, None, True, np.ones(2), 1j, [1])
    for bad in (*texts, *others, np.longdouble("inf")):
        with pytest.raises(InputError, match="alpha"):
            exact_number(bad, "alpha")
    with pytest.raises(OptionError):
        exact_number("x", "alpha", error=OptionError)


def test_files_of_arrays(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "c.npy", x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    np.savez_compressed(tmp_path / "one.npz", x=x)
    for name in ("c.npy", "f.npy", "one.npz"):
        np.testing.assert_array_equal(read_array(tmp_path / name), x)
    np.savez(tmp_path / "two.npz", x=x, y=x)
    np.save(tmp_path / "pickled.npy", np.array([Fraction(1, 2)], dtype=object), allow_pickle=True)
    data = (tmp_path / "c.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(data[:-1])
    (tmp_path / "long.npy").write_bytes(data + b"1")
    (tmp_path / "liar.npy").write_bytes(data.replace(b"(2, 3)", b"(9**9,)"))
    (tmp_path / "huge.npy").write_bytes(data.replace(b"(2, 3), }" + b" " * 12, b"(2000000000000, 3), }"))
    (tmp_path / "text.npy").write_bytes(b"1 2 3")
    (tmp_path / "bad.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:-30])
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", data[: len(data) - 24] + b"\0" * 10**7)
    for name, words in (
        ("two.npz", "2 arrays"),
        ("pickled.npy", "pickled"),
        ("short.npy", "truncated"),
        ("long.npy", "after its array"),
        ("liar.npy", "damaged"),
        ("huge.npy", "claims"),
        ("text.npy", "not a .npy"),
        ("bad.npz", "damaged"),
        ("none.npy", "no such file"),
        ("", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            read_array(tmp_path / name)
    with pytest.raises(InputError, match="limit"):
        read_array(tmp_path / "bomb.npz", max_bytes=10**6)
    with pytest.raises(InputError, match="limit"):
        read_array(tmp_path / "c.npy", max_bytes=23)


def test_damaged_array_files_give_typed_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name, write in (("x.npy", np.save), ("x.npz", np.savez_compressed)):
        path = tmp_path / name
        write(path, np.arange(20.0))
        data = path.read_bytes()
        for _ in range(300):
            flipped = bytearray(data)
            flipped[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(
                bytes(flipped[: int(rng.integers(1, len(data) + 1))] if rng.random() < 0.3 else flipped)
            )
            try:
                read_array(path, max_bytes=10**6)
            except InputError as error:
                assert "\n" not in str(error)


def test_shapes_and_types_of_graph_inputs() -> None:
    declared = small_model(shape=("n", 2, 4, 4)).graph.input[0]
    matches_graph_input(np.zeros((7, 2, 4, 4)), declared)
    with pytest.raises(InputError, match=r"shape \(2, 4, 4\).*\(n, 2, 4, 4\)"):
        matches_graph_input(np.zeros((2, 4, 4)), declared)
    exact = as_exact_array([0.5, 2.0])
    for elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        rounded, changed = rounded_to_graph_type(exact, elem_type)
        assert not changed and rounded.astype(float).tolist() == [0.5, 2.0]
    assert rounded_to_graph_type(as_exact_array([0.1]), TensorProto.FLOAT)[1]
    assert rounded_to_graph_type(as_exact_array([2**60 + 1]), TensorProto.DOUBLE)[1]
    assert not rounded_to_graph_type(as_exact_array([2**60]), TensorProto.DOUBLE)[1]
    assert rounded_to_graph_type(as_exact_array([Fraction(1, 3)]), TensorProto.DOUBLE)[1]
    assert rounded_to_graph_type(as_exact_array([1.5]), TensorProto.UINT8)[1]
    for elem_type, value in (
        (TensorProto.FLOAT16, 1e6),
        (TensorProto.UINT8, -1),
        (TensorProto.FLOAT, Fraction(10) ** 400),
    ):
        with pytest.raises(InputError, match="range"):
            rounded_to_graph_type(as_exact_array(np.array([value])), elem_type)
    with pytest.raises(InputError, match="no real numbers"):
        rounded_to_graph_type(exact, TensorProto.STRING)
