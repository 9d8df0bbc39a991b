"""Models as exporters and converters write them: they load, agree with ONNX Runtime, and can be certified.

The files are in tests/exported/, with the scripts that made them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import sureline as sl
from sureline.running import describe

FOLDER = Path(__file__).parent / "exported"
FILES = sorted(path.stem for path in FOLDER.glob("*.onnx"))
SHAPES = {"dynamic_ts17": (2, 8), "dynamic_dy18": (2, 8)}
"""Shapes of inputs with dynamic axes; elsewhere there is only the batch, of one."""
TOLERANCE = {TensorProto.FLOAT16: 2e-2, TensorProto.BFLOAT16: 2e-1, TensorProto.DOUBLE: 1e-9}
NARROW = {TensorProto.FLOAT16: 2.0**-10, TensorProto.BFLOAT16: 2.0**-7}
NEWEST_IN_RUNTIME = 27


def source(name: str) -> onnx.ModelProto:
    """The model, with external data inside."""
    return onnx.load(FOLDER / f"{name}.onnx")


def example(name: str, model: onnx.ModelProto) -> np.ndarray:
    """An input, in the model's own type."""
    tensor = model.graph.input[0].type.tensor_type
    shape = SHAPES.get(name, tuple(d.dim_value or 1 for d in tensor.shape.dim))
    x = np.random.default_rng(len(name)).normal(size=shape)
    if tensor.elem_type in NARROW:  # numbers of few bits: the same in every type
        x = np.round(x * 8) / 8
    return x.astype(np.float64 if tensor.elem_type == TensorProto.DOUBLE else np.float32)


def runtime(model: onnx.ModelProto, x: np.ndarray) -> list[Any]:
    """What ONNX Runtime says, or the reference evaluator where the runtime lacks the type or operator set."""
    kind = model.graph.input[0].type.tensor_type.elem_type
    feeds = {model.graph.input[0].name: x.astype(helper.tensor_dtype_to_np_dtype(kind))}
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if kind == TensorProto.BFLOAT16 or opset > NEWEST_IN_RUNTIME:
        return ReferenceEvaluator(model).run(None, feeds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)


@pytest.mark.parametrize("name", FILES)
def test_agrees_with_runtime(name: str) -> None:
    model = source(name)
    x = example(name, model)
    found = sl.enclose(FOLDER / f"{name}.onnx", x)
    given = dict(zip((value.name for value in model.graph.output), runtime(model, x), strict=True))
    assert found, "no output of numbers"
    slack = TOLERANCE.get(model.graph.input[0].type.tensor_type.elem_type, 1e-4)
    for output, (lo, hi) in found.items():
        wanted = np.asarray(given[output]).astype(np.float64)
        assert lo.shape == wanted.shape
        np.testing.assert_allclose((lo * 1.0 + hi) / 2, wanted, rtol=slack, atol=slack)
        assert (hi * 1.0 - lo <= 1e-9 * (1 + np.abs(wanted))).all()


def selecting(model: onnx.ModelProto, scores: np.ndarray) -> onnx.ModelProto:
    """The model with one output: where its first one is greatest, or whether its only number is above a level
    that is near."""
    graph = model.graph
    name, kind = graph.output[0].name, graph.output[0].type.tensor_type.elem_type
    if scores.shape[-1] > 1:
        graph.node.append(helper.make_node("ArgMax", [name], ["selected"], axis=-1, keepdims=0))
        made = TensorProto.INT64
    else:
        level = np.array(scores.mean() - 0.25).astype(helper.tensor_dtype_to_np_dtype(kind))
        graph.initializer.append(numpy_helper.from_array(level, "level"))
        graph.node.append(helper.make_node("Greater", [name, "level"], ["selected"]))
        made = TensorProto.BOOL
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("selected", made, [None] * (scores.ndim - 1)))
    return model


def question(model: onnx.ModelProto, x: np.ndarray) -> tuple[onnx.ModelProto, sl.Hypothesis]:
    """For a map of the input's size, the region above its median; else the halves of the input are compared,
    given the label or what `selecting` says."""
    halves = np.where(np.arange(x.size) < x.size // 2, 1.0, -1.0)
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    labels = [name for name, kind in kinds.items() if kind == TensorProto.INT64]
    if labels:
        return model, sl.Selection(output=labels[0], eta=lambda label: halves)
    scores = next(k for k, kind in enumerate(kinds.values()) if kind != TensorProto.STRING)
    value = np.asarray(runtime(model, x)[scores]).astype(np.float64)
    if value.shape == x.shape:
        return model, sl.BackMeanDiff(threshold=float(np.median(value)))
    del model.graph.output[:scores]
    return selecting(model, value), sl.Selection(output="selected", eta=lambda selected: halves)


@pytest.mark.parametrize("name", FILES)
def test_certified(name: str, tmp_path: Path) -> None:
    model = source(name)
    x = example(name, model)
    model, hypothesis = question(model, x)
    result = sl.load(model, hypothesis).inference(x, var=1.0, precision=1e-2)
    assert 0 <= result.inf_p <= result.sup_p <= 1
    assert result.sup_p - result.inf_p <= 1e-2
    result.certificate.save(tmp_path)
    assert sl.check(tmp_path, model=model).valid


def test_an_output_that_nobody_asks_for() -> None:
    """skl2onnx gives probabilities as maps unless it is told not to; the label beside them can be audited."""
    described = describe(FOLDER / "sk_zipmap.onnx")
    assert described.auditable == ("output_label",)
    assert ("ZipMap", 1, "unsupported") in described.operators
    assert list(sl.enclose(FOLDER / "sk_zipmap.onnx", np.zeros((2, 5), dtype=np.float32))) == ["output_label"]
    with pytest.raises(sl.UnsupportedOperatorError, match="ZipMap"):
        sl.load(
            FOLDER / "sk_zipmap.onnx", sl.Selection(output="output_probability", eta=lambda s: np.ones(5))
        )
