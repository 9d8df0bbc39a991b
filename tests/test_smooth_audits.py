"""Audits, with their checks, of networks with smooth activations and with activations that jump."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import small_nets
from onnx import helper

import sureline as sl

HYPOTHESIS = {"threshold": 0.5, "post_process": [sl.InputDiff(), sl.Abs()], "use_norm": True}


def network(op_type: str, opset: int = 20, **attributes: object) -> onnx.ModelProto:
    """The convolutional net with another activation."""
    model = small_nets.convolutional()
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.CopyFrom(helper.make_node(op_type, node.input, node.output, name="activation", **attributes))
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    return model


def audit(model: onnx.ModelProto, folder: Path, **options: object) -> sl.Result:
    """An audit whose certificate has been checked."""
    hypothesis = sl.BackMeanDiff(**HYPOTHESIS)
    result = sl.audit(model, small_nets.image(1), hypothesis=hypothesis, var=1.0, **options)
    result.certificate.save(folder / "audit")
    assert sl.check(folder / "audit").cells == len(result.cell_list)
    return result


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Mish", {}),
        ("Elu", {}),
        ("Erf", {}),
        ("Sin", {}),
        ("Softsign", {}),
    ],
)
def test_smooth_activations(op_type: str, attributes: dict[str, object], tmp_path: Path) -> None:
    result = audit(network(op_type, **attributes), tmp_path, precision=1e-2)
    assert result.sup_p - result.inf_p <= 1e-2


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("ThresholdedRelu", {"alpha": 0.25}),
        ("Shrink", {"lambd": 0.25}),
        ("Shrink", {"lambd": 0.25, "bias": 0.25}),
    ],
)
def test_activations_that_jump(op_type: str, attributes: dict[str, object], tmp_path: Path) -> None:
    """Piecewise linear: the rays are certified, and the pattern can be conditioned on."""
    model = network(op_type, **attributes)
    whole = audit(model, tmp_path, precision=1e-4)
    assert whole.sup_p - whole.inf_p <= 1e-4
    one = audit(model, tmp_path / "pattern", precision=1e-4, inference_mode="over_conditioning")
    low, high = one.truncated_intervals[0][0], one.truncated_intervals[-1][1]
    assert low <= one.line.stat <= high
    assert all(any(a <= lo and hi <= b for a, b in whole.truncated_intervals) for lo, hi in [(low, high)])


def test_smooth_activations_have_no_pattern() -> None:
    hypothesis = sl.BackMeanDiff(**HYPOTHESIS)
    with pytest.raises(sl.OptionError, match="Gelu"):
        sl.audit(
            network("Gelu"),
            small_nets.image(1),
            hypothesis=hypothesis,
            var=1.0,
            inference_mode="over_conditioning",
        )
