"""A small certificate folder written by hand: the worked example of docs/certificate.md, with exact ends."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from verifier.check.claims.statistics import ALWAYS, KNOWN

__all__ = ["Folder"]

WEIGHTS = {"w1": [[1, 0, 0], [0, 1, 1]], "b1": [0, 0, -1], "w2": [[1, 0], [0, 1], [0, -2]]}
CELLS = [
    ["-inf", "-2", "outside", 0, 0],
    ["-2", "-3/2", "outside", 0, 0],
    ["-3/2", "-5/4", "inside"],
    ["-5/4", "-3/4", "outside", 0, 1],
    ["-3/4", "-1/4", "outside", 0, 1],
    ["-1/4", "2", "inside"],
    ["2", "inf", "inside"],
]


def model() -> onnx.ModelProto:
    """h = Relu(x1, x2, x2 - 1), score = (h1, h2 - 2 h3)."""
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["h"]),
            helper.make_node("MatMul", ["h", "w2"], ["score"]),
        ],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.array(w, np.float32), name) for name, w in WEIGHTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def audited() -> onnx.ModelProto:
    """The model with its selection: score > 1/2."""
    whole = model()
    whole.graph.node.extend(
        [
            helper.make_node(
                "Cast", ["score"], ["sureline/score"], name="sureline/score", to=TensorProto.DOUBLE
            ),
            helper.make_node(
                "Greater", ["sureline/score", "sureline/threshold"], ["sureline/above"], name="sureline/above"
            ),
            helper.make_node(
                "Identity", ["sureline/above"], ["sureline/selection"], name="sureline/selection"
            ),
        ]
    )
    whole.graph.initializer.append(numpy_helper.from_array(np.array(0.5), "sureline/threshold"))
    for name, kind in (("sureline/score", TensorProto.DOUBLE), ("sureline/selection", TensorProto.BOOL)):
        whole.graph.output.append(helper.make_tensor_value_info(name, kind, [1, 2]))
    return whole


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class Folder:
    """The files of the certificate, to be changed and written."""

    def __init__(self) -> None:
        self.model = model()
        self.audited = audited()
        self.input = np.array([[2.0, 0.25]])
        self.files: dict[str, bytes] = {}
        self.document: dict[str, Any] = {
            "format": "sureline-certificate",
            "version": 1,
            "model": {
                "sha256": _hash(self.model.SerializeToString(deterministic=True)),
                "nodes": 3,
                "initializers": 3,
                "outputs": 1,
                "seed": None,
                "random": [],
            },
            "audited": {"file": "audited.onnx"},
            "inputs": [{"name": "x", "file": "input_0.npy"}],
            "reference": None,
            "hypothesis": {
                "name": "BackMeanDiff",
                "threshold": "1/2",
                "i_idx": 0,
                "o_idx": 0,
                "post_process": [],
                "use_norm": False,
                "neighborhood_range": None,
                "mask": False,
            },
            "conditioning": "selection",
            "noise": {"kind": "scalar", "value": "1", "source": None, "degrees_of_freedom": None},
            "law": {"family": "normal", "null_value": "0", "alternative": "two-sided"},
            "observed": [
                {
                    "output": "sureline/selection",
                    "shape": [1, 2],
                    "type": "bool",
                    "values": base64.b64encode(b"\x80").decode(),
                }
            ],
            "line": {"scale": "2"},
            "cells": [list(c) for c in CELLS],
            "claim": {
                "stat": "7/4",
                "inf_p": "0.72472249123",
                "sup_p": "7.2472249125e-1",
                "log_inf_p": "-0.32196646813",
                "log_sup_p": "-0.3219664680",
            },
            "assumptions": [KNOWN, *ALWAYS],
            "versions": {"sureline": "0"},
        }

    def write(self, path: Path) -> Path:
        """Write the folder; every file gets the hash of what is written."""
        path.mkdir()
        files = {
            "audited.onnx": self.audited.SerializeToString(),
            "input_0.npy": npy(self.input),
            **self.files,
        }
        for name, content in files.items():
            (path / name).write_bytes(content)
        document = self.document
        entries = [
            document["audited"],
            *document["inputs"],
            document["noise"],
            document["reference"] or {},
            document["hypothesis"].get("eta", {}),
        ]
        for entry in entries:
            if isinstance(entry, dict) and "file" in entry and entry["file"] in files:
                entry.setdefault("sha256", _hash(files[entry["file"]]))
        (path / "certificate.json").write_text(json.dumps(document))
        return path


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
