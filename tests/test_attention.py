"""Transformer blocks end to end: normalisation, causal attention by -inf masks, a certificate that holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sureline as sl

TOKENS, WIDTH = 4, 4


def transformer(masked: str) -> onnx.ModelProto:
    """One block over the rows of a 4 x 4 image, with a causal mask: "composite" by the operator Attention,
    "written out" by its parts."""
    rng = np.random.default_rng(3)
    nodes: list[onnx.NodeProto] = []
    stored: dict[str, np.ndarray] = {
        "tokens": np.array([1, TOKENS, WIDTH]),
        "image": np.array([1, 1, TOKENS, WIDTH]),
        "ones": np.ones(WIDTH, dtype=np.float32),
        "scale": np.float32(0.5),
        "mask": np.where(np.tril(np.ones((TOKENS, TOKENS))), 0, -np.inf).astype(np.float32),
    }
    for name in ("query", "key", "value", "mixed"):
        stored[name] = (rng.normal(size=(WIDTH, WIDTH)) / 2).astype(np.float32)

    def node(op_type: str, inputs: str, output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(op_type, inputs.split(), [output], **attributes))

    node("Reshape", "x tokens", "rows")
    node("LayerNormalization", "rows ones", "even", axis=-1)
    for name in ("query", "key", "value"):
        node("MatMul", f"even {name}", name[0])
    if masked == "composite":
        node("Attention", "q k v", "heads", q_num_heads=1, kv_num_heads=1, is_causal=1)
    else:
        node("Transpose", "k", "turned", perm=[0, 2, 1])
        node("MatMul", "q turned", "scores")
        node("Mul", "scores scale", "scaled")
        node("Add", "scaled mask", "masked")
        node("Softmax", "masked", "shares")
        node("MatMul", "shares v", "heads")
    node("MatMul", "heads mixed", "new")
    node("Add", "rows new", "sum")
    node("Reshape", "sum image", "y")
    shape = [1, 1, TOKENS, WIDTH]
    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy")
    initializers = [numpy_helper.from_array(np.asarray(v), name) for name, v in stored.items()]
    graph = helper.make_graph(nodes, "block", [given], [made], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)


@pytest.mark.parametrize("masked", ["composite", "written out"])
def test_a_transformer_is_audited_and_checked(masked: str, tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(1, 1, TOKENS, WIDTH)).astype(np.float32)
    hypothesis = sl.BackMeanDiff(threshold=0.5, post_process=[sl.InputDiff(), sl.Abs()], use_norm=True)
    result = sl.audit(transformer(masked), x, hypothesis=hypothesis, var=1.0, precision=0.02)
    assert result.sup_p - result.inf_p <= 0.02
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").cells == len(result.cell_list)


def test_both_ways_of_writing_attention_agree() -> None:
    x = np.random.default_rng(6).normal(size=(1, 1, TOKENS, WIDTH)).astype(np.float32)
    direction = np.random.default_rng(7).normal(size=x.shape)
    found = [sl.enclose(transformer(how), x, direction, 0, 0.01)["y"] for how in ("composite", "written out")]
    for (lo, hi), (other_lo, other_hi) in (found, found[::-1]):
        assert (lo <= other_hi).all() and (other_lo <= hi).all()
        assert (hi - lo < 0.1).all()
