"""Quantised networks as ONNX Runtime's tools make them: enclosed, audited, checked."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import small_nets
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

import sureline as sl
from verifier.check.checking import InvalidCertificate, check

WAYS = ("qdq", "qdq per channel", "qoperator", "qoperator per channel", "dynamic")
NETS = ("conv", "dense")


class Images(CalibrationDataReader):
    """Inputs to calibrate with."""

    def __init__(self, net: str) -> None:
        self.left = iter([{"x": image(net, 100 + k)} for k in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def image(net: str, seed: int) -> np.ndarray:
    """An input of the network."""
    x = small_nets.image(seed)
    return x if net == "conv" else x.reshape(1, -1)[:, :12]


def plain(net: str, way: str) -> onnx.ModelProto:
    """The network before quantisation; the QOperator format has standard operators for MatMul, not for
    Gemm."""
    if net == "conv":
        return small_nets.convolutional(0)
    model = small_nets.dense(0)
    if "qoperator" in way:
        for node in model.graph.node:
            if node.op_type == "Gemm":
                node.op_type = "MatMul"
                del node.input[2:]
        del [t for t in model.graph.initializer if t.name.startswith("b")][:]
    return model


@functools.cache
def quantised(net: str, way: str) -> onnx.ModelProto:
    """7-bit weights: with 8 bits the runtime's own products overflow 16 bits on some processors."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/net.onnx", f"{folder}/quantised.onnx"
        onnx.save(plain(net, way), source)
        if way == "dynamic":
            quantize_dynamic(source, target, weight_type=QuantType.QUInt8, reduce_range=True)
        else:
            quantize_static(
                source,
                target,
                Images(net),
                quant_format=QuantFormat.QDQ if "qdq" in way else QuantFormat.QOperator,
                per_channel="channel" in way,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        return onnx.load(target)


def steps_of(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def test_all_formats_occur() -> None:
    """The tools write all the operators that these tests are about."""
    found = set().union(*(steps_of(quantised(net, way)) for net in NETS for way in WAYS))
    assert found >= {
        "QuantizeLinear",
        "DequantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
        "DynamicQuantizeLinear",
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("net", NETS)
def test_points(net: str, way: str) -> None:
    """At a point everything is known, and what the runtime computes: but for ties that float32 decides."""
    model = quantised(net, way)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    away = []
    for seed in range(4):
        x = image(net, seed)
        lo, hi = sl.enclose(model, x)["y"]
        assert (hi - lo).max() < 1e-12
        away.append(np.abs(session.run(None, {"x": x})[0] - lo))
    assert np.mean(np.array(away) < 1e-5) > 0.98
    assert np.max(away) < 0.1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("net", NETS)
def test_segments(net: str, way: str) -> None:
    """Enclosures contain the enclosures of points; on a short segment the scores are known."""
    model, x = quantised(net, way), image(net, 1)
    direction = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    for width in (2.0**-20, 2.0**-6, 0.25):
        low, high = sl.enclose(model, x, direction, 0, width)["y"]
        for part in (0, 0.25, 0.5, 1):
            z = part * width
            at = sl.enclose(model, x, direction, z, z)["y"]
            assert (low <= at[1]).all() and (at[0] <= high).all()
        if width == 2.0**-20 and way != "dynamic":  # there the scale moves, and the scores with it
            assert (high - low).max() < 1e-12


AUDITS = [("conv", "qdq per channel"), ("conv", "qoperator"), ("conv", "dynamic"), ("dense", "qdq")]


def audit(net: str, way: str, precision: float, **options: object) -> sl.InferenceResult:
    loaded = sl.load(quantised(net, way), hypothesis=sl.BackMeanDiff(threshold=0.5))
    return loaded.inference(image(net, 1), var=1.0, precision=precision, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("net", "way"), AUDITS)
def test_audits(net: str, way: str, tmp_path: Path) -> None:
    """A quantised network is audited to the precision asked for, and the checker confirms it."""
    result = audit(net, way, 1e-3)
    assert result.sup_p - result.inf_p <= 1e-3
    result.certificate.save(tmp_path / "certificate")
    assert "valid" in str(check(tmp_path / "certificate"))


def test_false_cells_are_rejected(tmp_path: Path) -> None:
    """A quantised score jumps: a cell that reaches over the jump is false, and a wrong verdict too."""
    folder = tmp_path / "certificate"
    audit("dense", "qdq", 1e-2).certificate.save(folder)
    path = folder / "certificate.json"
    document = json.loads(path.read_text())
    cells = document["cells"]
    inside = [k for k, cell in enumerate(cells) if cell[2] == "inside"]
    changed = {**document, "cells": [list(cell) for cell in cells]}
    changed["cells"][inside[0]][2:] = ["outside", 0, 0]
    path.write_text(json.dumps(changed))
    with pytest.raises(InvalidCertificate):
        check(folder)


def test_over_conditioning(tmp_path: Path) -> None:
    """The piece of a quantisation is its value."""
    result = audit("dense", "qdq", 1e-2, inference_mode="over_conditioning")
    result.certificate.save(tmp_path / "certificate")
    assert "valid" in str(check(tmp_path / "certificate"))
