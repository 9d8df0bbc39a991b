"""A short run of `fuzz.py`, and what longer ones have found."""

from __future__ import annotations

from pathlib import Path

import fuzz
import numpy as np
import onnx
import pytest
from architectures import mlp, recurrent
from check_folder import Folder
from fuzzing.sources import prepare
from onnx import TensorProto, helper, numpy_helper
from small_nets import dense, model

import sureline as sl
from sureline.running import describe

X = np.zeros((1, 12), dtype=np.float32)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    prepare(standard=False)
    results = fuzz.fuzz(list(range(120)), 2, str(tmp_path / "log"), lambda result, done: None)
    assert not [r for r in results if r["failure"]]
    steps = {step for r in results for step in r["steps"]}
    assert {"load ok", "load ModelError", "enclose ok", "info ok"} <= steps


def test_two_versions_of_one_operator_set(tmp_path: Path) -> None:
    folder = Folder()
    folder.audited.opset_import.append(helper.make_opsetid("ai.onnx", 9))
    with pytest.raises(sl.UnusableCertificate, match="two versions of one operator set"):
        sl.check(folder.write(tmp_path / "folder"))
    net = dense()
    net.opset_import.append(helper.make_opsetid("ai.onnx", 9))
    with pytest.raises(sl.ModelError, match="two versions of one operator set"):
        sl.enclose(net, X)


def test_functions_in_a_certificate_are_bounded(tmp_path: Path) -> None:
    for circle, words in ((False, "more than 65536 nodes"), (True, "calls itself|Cycle")):
        folder = Folder()
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        for k in range(40):
            called = ("own", f"f{k - 1}") if k else ("own", "f39") if circle else ("", "Identity")
            nodes = [helper.make_node(called[1], [a], [b], domain=called[0]) for a, b in ("xh", "hy")]
            folder.audited.functions.append(
                helper.make_function("own", f"f{k}", ["x"], ["y"], nodes, imports)
            )
        folder.audited.opset_import.append(helper.make_opsetid("own", 1))
        folder.audited.graph.node.insert(0, helper.make_node("f39", ["x"], ["called"], domain="own"))
        folder.audited.graph.node[1].input[0] = "called"
        with pytest.raises((sl.InvalidCertificate, sl.UnusableCertificate), match=words):
            sl.check(folder.write(tmp_path / f"folder{circle}"))


def test_a_stored_tensor_of_no_type(tmp_path: Path) -> None:
    folder = Folder()
    folder.audited.graph.initializer[0].data_type = 99
    with pytest.raises(sl.UnusableCertificate, match="not a valid ONNX model"):
        sl.check(folder.write(tmp_path / "folder"))


def test_messages_are_one_short_sentence(tmp_path: Path) -> None:
    net = model([helper.make_node("Einsum", ["x"], ["y"], equation="i.i" * 10**5)], {}, [1, 12], [1, 12])
    with pytest.raises(sl.ModelError) as caught:
        sl.enclose(net, X)
    assert len(str(caught.value)) <= 2000
    folder = Folder()
    folder.audited.graph.node[0].attribute.append(helper.make_attribute("axis", 1))
    with pytest.raises(sl.UnusableCertificate) as refused:
        sl.check(folder.write(tmp_path / "folder"))
    assert "\n" not in str(refused.value)


def test_an_array_that_is_small_only_in_memory() -> None:
    wide = np.broadcast_to(np.float64(1), (2**20, 2**20))
    with pytest.raises(sl.InputError, match="more than the limit"):
        sl.enclose(dense(), wide)


def test_entries_of_no_bytes(tmp_path: Path) -> None:
    from symbolic.reading.array_files import read_raw_array

    np.save(tmp_path / "x.npy", np.zeros(3, dtype="S1"))
    data = (tmp_path / "x.npy").read_bytes().replace(b"|S1", b"|S0")[:-3]
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(sl.InputError, match="no bytes"):
        read_raw_array(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("ConvTranspose", ["p", "w"], ["y"], output_padding=[2**40], strides=[2**41]),
        helper.make_node("MaxPool", ["p"], ["y"], kernel_shape=[2], pads=[2**40, 2**40]),
        helper.make_node("AveragePool", ["p"], ["y"], kernel_shape=[2**24], pads=[2**24, 2**24]),
        helper.make_node("Expand", ["p", "sizes"], ["y"]),
    ],
    ids=lambda node: str(node.op_type),
)
def test_little_that_asks_for_much(node: onnx.NodeProto) -> None:
    constants = {"w": np.ones((1, 1, 2), np.float32), "sizes": np.array([2**13, 1, 2**14 * 12])}
    net = model([node], constants, [1, 1, 12], [1, 1, 12])
    net.graph.node[0].input[0] = "x"
    with pytest.raises((sl.ModelError, sl.BudgetError)):
        sl.enclose(net, X[None])


def test_info_on_an_unknown_type(tmp_path: Path) -> None:
    net = dense()
    net.graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 16]))
    net.graph.output[1].type.tensor_type.elem_type = 99
    onnx.save(net, tmp_path / "model.onnx")
    try:
        assert "type 99" in str(describe(tmp_path / "model.onnx").outputs)
    except sl.ModelError:
        pass  # some versions of onnx refuse it first


def test_a_constant_with_two_values(tmp_path: Path) -> None:
    twice = helper.make_node("Constant", [], ["c"], value_float=1.0, value_ints=[1])
    net = model([twice, helper.make_node("Add", ["x", "c"], ["y"])], {}, [1, 12], [1, 12])
    with pytest.raises(sl.ModelError, match="exactly one value"):
        sl.enclose(net, X)
    folder = Folder()
    folder.audited.graph.node.insert(0, twice)
    folder.audited.graph.node[1].input[2] = "c"
    folder.document["model"]["nodes"] += 1
    with pytest.raises(sl.InvalidCertificate, match="exactly one value"):
        sl.check(folder.write(tmp_path / "folder"))


def test_an_input_so_far_off_that_p_has_a_huge_exponent(tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 12)[None]
    x[0, 4] = 2.0**53 + 2
    result = sl.load(dense(), sl.BackMeanDiff(threshold=0.1)).inference(x, 1, precision=1e-2, max_iter=10)
    result.certificate.save(tmp_path / "folder")
    assert sl.check(tmp_path / "folder").valid


def test_a_bound_that_rounds_above_one() -> None:
    from flint import arb

    from inference.laws.p_value import rounded
    from inference.outward import decimal_down, decimal_up

    p = rounded(arb("0.5"), arb("1.0 +/- 1e-20"), arb(0))
    assert p.decimals["sup_p"] == "1.0e0" and p.decimals["log_sup_p"] == "0"
    tiny = arb(10) ** -(10**25)  # an exponent that no double holds exactly
    assert decimal_down(tiny) in ("0", "-1.0e-99999") and decimal_up(tiny) == "1.0e-99999"


def test_a_split_that_ends_the_inference_is_refused_before(tmp_path: Path) -> None:
    split = helper.make_node("Split", ["x"], ["y", "z"], num_outputs=1, axis=1)
    with pytest.raises(sl.ModelError, match="has 2 outputs, not 1"):
        sl.enclose(model([split], {}, [1, 12], [1, 6], opset=18), X)
    folder = Folder()
    folder.audited.graph.node.append(split)
    with pytest.raises(sl.UnusableCertificate, match="number of outputs"):
        sl.check(folder.write(tmp_path / "folder"))


def test_stored_data_that_do_not_fit_their_type(tmp_path: Path) -> None:
    folder = Folder()
    folder.audited.graph.initializer[0].raw_data += b"x"
    with pytest.raises((sl.InvalidCertificate, sl.UnusableCertificate)):
        sl.check(folder.write(tmp_path / "folder"))


def test_gemm_is_of_matrices() -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"])
    with pytest.raises(sl.ModelError, match="needs two matrices"):
        sl.enclose(model([node], {"w": np.ones((1, 12, 2), np.float32)}, [1, 12], [1, 2]), X)


@pytest.mark.parametrize("operator, weights", [("Conv", (4, 4, 1)), ("ConvTranspose", (2, 2, 1))])
def test_channels_that_do_not_fit_the_groups(operator: str, weights: tuple[int, ...]) -> None:
    net = model(
        [helper.make_node(operator, ["x", "w"], ["y"], group=2)],
        {"w": np.ones(weights, np.float32)},
        [1, 4, 3],
        [1, 4, 3],
    )
    with pytest.raises(sl.ModelError, match="do not fit each other"):
        sl.enclose(net, X.reshape(1, 4, 3))


def _checked(net: onnx.ModelProto, hypothesis: object, x: object, folder: Path) -> sl.InferenceResult:
    result = sl.load(net, hypothesis).inference(x, 1, precision=1e-2, max_iter=20)
    result.certificate.save(folder)
    assert sl.check(folder, model=net).valid
    return result


def test_one_enormous_weight_leaves_the_checker_its_precision(tmp_path: Path) -> None:
    net = mlp()
    stored = next(t for t in net.graph.initializer if t.name == "constant4")
    changed = numpy_helper.to_array(stored).copy()
    changed.reshape(-1)[0] = 3.4e38
    stored.CopyFrom(numpy_helper.from_array(changed, stored.name))
    shape = [d.dim_value for d in net.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    _checked(net, sl.BackMeanDiff(threshold="1/10"), x, tmp_path / "folder")


@pytest.mark.parametrize(
    "operator, level",
    [("Asin", "1/5"), ("Acosh", "3/4"), ("Log", "1/5"), ("Tan", "1/5"), ("Reciprocal", "4/5")],
)
def test_an_undefined_element_is_a_gap_for_engine_and_checker(
    operator: str, level: str, tmp_path: Path
) -> None:
    low, high = {"Asin": (-0.9, 0.9), "Tan": (-2, 2), "Acosh": (1.1, 3)}.get(operator, (0.5, 2))
    x = np.random.default_rng(1).uniform(low, high, (1, 12)).astype(np.float32)
    net = model([helper.make_node(operator, ["x"], ["y"])], {}, [1, 12], [1, 12])
    result = _checked(net, sl.BackMeanDiff(threshold=level), x, tmp_path / "folder")
    assert result.inf_p > 0


def test_what_is_undefined_is_not_searched() -> None:
    x = np.random.default_rng(1).uniform(0.2, 0.9, (1, 12)).astype(np.float32)
    net = model([helper.make_node("Asin", ["x"], ["y"])], {}, [1, 12], [1, 12])
    result = sl.load(net, sl.BackMeanDiff(threshold="1/2")).inference(x, 1, max_iter=10_000)
    assert result.ended_by != "budget"


@pytest.mark.parametrize(
    "nodes, words",
    [
        ([helper.make_node("Sigmoid", ["two"], ["z"])], "must hold real numbers"),
        ([helper.make_node("ReduceSum", ["x", "table"], ["z"])], "axes are no list"),
    ],
)
def test_what_the_standard_does_not_allow(nodes: list[onnx.NodeProto], words: str) -> None:
    constants = {"two": np.array([2]), "table": np.array([[1]])}
    net = model([*nodes, helper.make_node("Add", ["x", "z"], ["y"])], constants, [1, 12], [1, 12])
    with pytest.raises(sl.ModelError, match=words):
        sl.enclose(net, X)


def test_recurrent_weights_of_another_shape() -> None:
    net = recurrent(steps=3)
    bias = next(t for t in net.graph.initializer if t.name == "constant2")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias).T.copy(), bias.name))
    shape = [d.dim_value for d in net.graph.input[0].type.tensor_type.shape.dim]
    with pytest.raises(sl.ModelError, match="has shape"):
        sl.enclose(net, np.zeros(shape, np.float32))


def test_following_values_of_a_long_vector_takes_no_memory() -> None:
    from symbolic.reading.static_shapes import inferred

    net = model([helper.make_node("Add", ["x", "x"], ["y"])], {}, [2**40], [2**40])
    assert inferred(net).graph.output[0].type.tensor_type.shape.dim[0].dim_value == 2**40


def test_an_input_that_is_a_scalar(tmp_path: Path) -> None:
    net = model([helper.make_node("Mul", ["x", "factor"], ["y"])], {}, [1, 12], [1, 12])
    net.graph.input.append(helper.make_tensor_value_info("factor", TensorProto.FLOAT, []))
    x = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)
    _checked(net, sl.BackMeanDiff(threshold="1/10"), [x, np.array(2, np.float32)], tmp_path / "folder")


def test_ends_beyond_float64() -> None:
    with pytest.raises(sl.InputError, match="within the range"):
        sl.enclose(dense(), X, X, "-1e400", 1)


def test_a_stride_of_zero(tmp_path: Path) -> None:
    folder = Folder()
    pool = {"kernel_shape": [1], "strides": [0], "auto_pad": "SAME_UPPER"}
    folder.audited.graph.node.insert(0, helper.make_node("Unsqueeze", ["x", "first"], ["deep"]))
    folder.audited.graph.node.insert(1, helper.make_node("AveragePool", ["deep"], ["pooled"], **pool))
    folder.audited.graph.node[2].input[0] = "pooled"
    folder.audited.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first"))
    folder.document["model"]["nodes"] += 2
    folder.document["model"]["initializers"] += 1
    with pytest.raises(sl.InvalidCertificate, match="AveragePool.* do not fit"):
        sl.check(folder.write(tmp_path / "folder"))


def test_a_negative_number_of_batch_axes() -> None:
    from verifier.check.errors import InvalidCertificate
    from verifier.check.graph.nodes import decoded
    from verifier.check.operators.places import by_tuple

    node = decoded(0, helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=-(2**63)), 17)
    with pytest.raises(InvalidCertificate, match="do not fit"):
        by_tuple(node, (2, 2), (2, 2), node.get("batch_dims"))
