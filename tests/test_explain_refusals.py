"""What cannot be explained is refused in one sentence, before a wrong number is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import explained_nets
import numpy as np
import onnx
import pytest
from onnx import helper
from test_boxes import made

import sureline as sl
from symbolic.errors import InputError, ModelError, OptionError

W = np.random.default_rng(0).normal(size=(6, 3))
X = np.random.default_rng(1).normal(size=(1, 6)).astype(np.float32)
BACKGROUND = np.zeros((2, 6))
DENSE = explained_nets.dense()


def net(nodes: list[onnx.NodeProto], batch: Any = "N", **weights: Any) -> onnx.ModelProto:
    """A network whose last layer is linear."""
    last = made("MatMul", [nodes[-1].output[0], "w"], "y")
    return explained_nets.model([*nodes, last], {"w": W, **weights}, [batch, 6], [batch, 3])


MIXING = {
    "the mean over the batch": [made("ReduceMean", ["x", "first"], "m"), made("Sub", ["x", "m"], "h")],
    "sums of what was before": [made("CumSum", ["x", "zero"], "h")],
    "a softmax over the batch": [made("Softmax", ["x"], "h", axis=0)],
    "a product of the batch with itself": [
        made("Gemm", ["x", "x"], "g", transB=1),
        made("MatMul", ["g", "x"], "h"),
    ],
    "the greatest of the batch": [
        made("ReduceMax", ["x", "first"], "m"),
        made("Add", ["x", "m"], "h"),
    ],
}


@pytest.mark.parametrize("kind", sorted(MIXING))
@pytest.mark.parametrize(
    "method",
    [sl.Occlusion(), sl.IntegratedGradients(), sl.ExactShapley(), sl.Gradient(), sl.DeepShap(BACKGROUND)],
    ids=lambda m: m.name,
)
def test_rows_that_are_mixed_are_refused(kind: str, method: Any) -> None:
    model = net(MIXING[kind], first=np.array([0]), zero=np.array(0))
    with pytest.raises(ModelError, match="mixes the rows of its batch") as caught:
        sl.explain(model, method, target=0)
    assert "\n" not in str(caught.value)


def test_a_model_of_one_row_that_would_mix_more_is_refused_where_it_is_run_on_more() -> None:
    nodes = [made("ReduceMean", ["x", "first"], "m"), made("Sub", ["x", "m"], "h")]
    model = net(nodes, 1, first=np.array([0]))
    with pytest.raises(ModelError, match="mixes the rows"):
        sl.explain(model, sl.Occlusion(), target=0)


def test_rows_by_themselves_are_no_mixture() -> None:
    """Two inputs, an axis of open length, and a batch that is fixed to 2."""
    nodes = [made("Mul", ["x", "gate"], "h")]
    two = net(nodes)
    two.graph.input.append(helper.make_tensor_value_info("gate", onnx.TensorProto.FLOAT, ["N", 6]))
    gate = np.arange(6, dtype=np.float32)[None]
    found = sl.explain(two, sl.Gradient(), target=1)(X, gate)[1]
    np.testing.assert_allclose(found, gate * W[:, 1], rtol=1e-6)
    fixed = net([made("Relu", ["x"], "h")], 2)
    both = np.repeat(X, 2, axis=0)
    np.testing.assert_allclose(
        sl.explain(fixed, sl.Gradient(), target=1)(both)[1], (both > 0) * W[:, 1], rtol=1e-6
    )
    long = explained_nets.model(
        [made("ReduceMean", ["x", "axes"], "m", keepdims=0), made("MatMul", ["m", "w"], "y")],
        {"w": W, "axes": np.array([2])},
        ["N", 6, "L"],
        ["N", 3],
    )
    x = np.random.default_rng(2).normal(size=(1, 6, 5)).astype(np.float32)
    found = sl.explain(long, sl.Gradient(), target=1)(x)[1]
    np.testing.assert_allclose(found, np.broadcast_to(W[None, :, 1:2] / 5, x.shape), rtol=1e-6)


def test_what_cannot_be_run_with_guessed_lengths_asks_for_them() -> None:
    nodes = [made("Reshape", ["x", "shape"], "m"), made("MatMul", ["m", "w"], "y")]
    weights = {"w": W, "shape": np.array([0, 6])}
    model = explained_nets.model(nodes, weights, ["N", 2, "L"], ["N", 3])
    with pytest.raises(ModelError, match=r"give the shapes of its inputs \(shapes=, --shape\)"):
        sl.explain(model, sl.Gradient(), target=0)
    found = sl.explain(model, sl.Gradient(), target=0, shapes={"x": (1, 2, 3)})(X.reshape(1, 2, 3))[1]
    np.testing.assert_allclose(found.ravel(), W[:, 0], rtol=1e-6)


def test_a_model_without_a_batch_axis() -> None:
    model = explained_nets.model([made("MatMul", ["x", "w"], "y")], {"w": W}, [6], [3])
    for method in (sl.Gradient(), sl.DeepLift(), sl.LrpEpsilon(), sl.Occlusion()):
        with pytest.raises(ModelError, match="export the network with a batch axis"):
            sl.explain(model, method, target=0)
    image = explained_nets.model(
        [made("Flatten", ["x"], "f", axis=0), made("MatMul", ["f", "w"], "y")], {"w": W}, [2, 3], [1, 3]
    )
    with pytest.raises(ModelError, match="first axis of both has to be the batch"):
        sl.explain(image, sl.Gradient(), target=0)


@pytest.mark.parametrize("method", [sl.DeepLift(), sl.DeepShap(BACKGROUND)], ids=lambda m: m.name)
def test_references_need_a_free_batch_and_one_input(method: Any) -> None:
    with pytest.raises(ModelError, match="fixes its batch axis to 2"):
        sl.explain(explained_nets.dense(2), method, target=0)
    model = net([made("Mul", ["x", "gate"], "g"), made("Sigmoid", ["g"], "h")])
    model.graph.input.append(helper.make_tensor_value_info("gate", onnx.TensorProto.FLOAT, ["N", 6]))
    with pytest.raises(ModelError, match="another input, 'gate'"):
        sl.explain(model, method, target=0)


NOT_A_NUMBER = "no finite number"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: sl.LrpBounded(low="a"), f"low is {NOT_A_NUMBER}"),  # type: ignore[arg-type]
        (lambda: sl.LrpBounded(low=float("nan")), f"low is {NOT_A_NUMBER}"),
        (lambda: sl.DeepTaylorBounded(high=float("inf")), f"high is {NOT_A_NUMBER}"),
        (lambda: sl.DeepLift(baseline=np.full(6, np.nan)), f"baseline is {NOT_A_NUMBER}"),
        (lambda: sl.DeepLift(baseline="a"), f"baseline is {NOT_A_NUMBER}"),
        (lambda: sl.IntegratedGradients(baseline=np.inf), f"baseline is {NOT_A_NUMBER}"),
        (lambda: sl.DeepShap([[1], [2, 3]]), f"background is {NOT_A_NUMBER}"),  # type: ignore[list-item]
        (lambda: sl.DeepShap(np.full((2, 6), 1j)), f"background is {NOT_A_NUMBER}"),
        (lambda: sl.ExpectedGradients(np.full((2, 6), np.nan)), f"background is {NOT_A_NUMBER}"),
        (lambda: sl.SmoothGrad(seed=-1), "seed is -1"),
        (lambda: sl.ExpectedGradients(BACKGROUND, seed=-1), "seed is -1"),
        (lambda: sl.Rise(seed=-1), "seed is -1"),
        (lambda: sl.LrpPresetA(until="a"), "until is 'a'"),  # type: ignore[arg-type]
        (lambda: sl.LrpPresetA(until=-1), "until is -1"),
        (lambda: sl.LrpComposite(rules=3), "rules is 3"),  # type: ignore[arg-type]
        (lambda: sl.LrpComposite(rules={"a": 3}), "rules should map"),  # type: ignore[dict-item]
        (lambda: sl.explain(DENSE, sl.PatternNet(patterns=object())), "type object"),  # type: ignore[arg-type]
        (lambda: sl.explain(DENSE, sl.DeepShap(np.full((2, 6), 1e39))), "numbers that float32 has not"),
        (lambda: sl.explain(DENSE, sl.Gradient(), i_idx="a"), "i_idx is 'a'"),  # type: ignore[arg-type]
        (lambda: sl.explain(DENSE, sl.Gradient(), o_idx=1.0), "o_idx is 1.0"),  # type: ignore[arg-type]
        (lambda: sl.explain(DENSE, sl.Gradient(), seed="a"), "seed is 'a'"),  # type: ignore[arg-type]
        (lambda: sl.explain(DENSE, sl.Gradient(), shapes=3), "shapes is 3"),  # type: ignore[arg-type]
        (lambda: sl.eva(DENSE, X, 1, i_idx="a"), "i_idx is 'a'"),  # type: ignore[arg-type]
        (lambda: sl.eva(DENSE, X, 1, clip=3), "clip is 3"),  # type: ignore[arg-type]
        (lambda: sl.eva(DENSE, X, 1, budget=-3), "budget is -3"),
        (lambda: sl.eva(DENSE, X, 1, budget="a"), "budget is 'a'"),  # type: ignore[arg-type]
    ],
)
def test_options_that_mean_nothing(make: Any, match: str) -> None:
    with pytest.raises(OptionError, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    explained, report = sl.explain(DENSE, sl.Gradient()), sl.eva(DENSE, X, "1/10")
    (tmp_path / "file").write_text("")
    for write in (explained.save, report.save, report.plot):
        with pytest.raises(OptionError, match="cannot be written"):
            write(tmp_path / "file" / "m.png")
    with pytest.raises(OptionError, match="Is a directory"):
        explained.save(tmp_path)
    with pytest.raises(OptionError, match="cannot be drawn"):
        report.plot(tmp_path / "picture.abc")


def test_inputs_that_do_not_fit() -> None:
    explained = sl.explain(DENSE, sl.Gradient())
    with pytest.raises(InputError, match="has shape"):
        explained(np.zeros((1, 5)))
    with pytest.raises(InputError, match="array of float32"):
        explained("a")
    with pytest.raises(InputError, match="1 inputs, 2 were given"):
        explained(X, X)
