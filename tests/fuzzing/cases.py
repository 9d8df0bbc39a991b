"""The cases of `fuzz.py`: a damaged model, a damaged certificate, or arrays."""

from __future__ import annotations

import base64
import io
import json
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import sureline as sl
from fuzzing.arrays import array_case
from fuzzing.certificates import certificate_case, write_certificate
from fuzzing.models import mutated_model
from fuzzing.mutations import pick
from fuzzing.sources import SOURCES, Base
from fuzzing.steps import Outcome, run_step
from sureline.cli import main
from symbolic.reading.loading import load_model
from verifier.check.claims.statistics import ALWAYS, KNOWN

__all__ = ["KINDS", "run_case"]

QUICK = {"precision": 1e-2, "max_iter": 10}


def _model_case(rng: np.random.Generator, folder: Path) -> Outcome:
    base = pick(rng, SOURCES[int(rng.choice(3, p=[0.5, 0.3, 0.2]))])
    path = folder / "model.onnx"
    path.write_bytes(mutated_model(base.model, rng))
    steps = [run_step(lambda: load_model(path), "load")]
    if steps == ["load ok"]:
        moves = {n: rng.normal(size=a.shape) for n, a in base.feeds.items() if a.dtype.kind == "f"}
        steps.append(run_step(lambda: sl.enclose(path, base.feeds, moves, "-1/8", "1/8", seed=0), "enclose"))
        steps.append(run_step(lambda: _audited(path, base, folder / "audited"), "audit"))
        if steps[-1] == "audit ok":
            steps.append(run_step(lambda: sl.check(folder / "audited", model=path), "check own"))
        steps.append(run_step(lambda: _by_hand(path, base, rng, folder / "by_hand"), "check by hand"))
        steps.append(run_step(lambda: main(["info", str(path)]), "info"))
    refused = [s for s in steps if s.startswith("check own") and not s.endswith("ok")]
    return Outcome(steps, "; ".join(f"{s}: {s.message}" for s in refused))


def _audited(path: Path, base: Base, folder: Path) -> None:
    """Compare the halves of the input, given where a map is high or which class is chosen."""
    x = list(base.feeds.values())
    size = x[0].size
    halves = np.where(np.arange(size) < size // 2, 1.0, -1.0)
    out = onnx.load(path, load_external_data=False).graph.output[0]
    hypothesis: Any = sl.BackMeanDiff(threshold="1/10")
    if out.type.tensor_type.elem_type in (TensorProto.BOOL, TensorProto.INT64):
        hypothesis = sl.Selection(output=out.name, eta=lambda s: halves)
    result = sl.load(path, hypothesis, seed=1).inference(x if len(x) > 1 else x[0], var=1, **QUICK)
    result.certificate.save(folder)


def _by_hand(path: Path, base: Base, rng: np.random.Generator, folder: Path) -> None:
    """Ask the checker about the model at once, with a claim that is hardly true, or says nothing."""
    model = onnx.load(path, load_external_data=False)
    own, names = model.graph.output[0], list(base.feeds)
    kind, chosen = "int64", own.name
    if own.type.tensor_type.elem_type not in (TensorProto.BOOL, TensorProto.INT64):
        model.graph.node.append(helper.make_node("Greater", [own.name, own.name], ["chosen"]))
        model.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.BOOL, []))
        kind, chosen = "bool", "chosen"
    moving = next((n for n in names if base.feeds[n].dtype.kind == "f" and base.feeds[n].size), names[0])
    shape = [d.dim_value for d in own.type.tensor_type.shape.dim]
    count = int(min(np.prod(np.clip(shape, 0, 1000), dtype=float), 10**5))
    raw = bytes(-(-count // 8) if kind == "bool" else 8 * count)
    files = {"audited.onnx": model.SerializeToString()}
    files |= {f"input_{k}.npy": _npy(a) for k, a in enumerate(base.feeds.values())}
    size = base.feeds[moving].size
    files["eta.json"] = json.dumps(["1", *["0"] * (size - 1)]).encode()
    document = {
        "format": "sureline-certificate",
        "version": 1,
        "model": {
            "sha256": "",
            "nodes": len(model.graph.node),
            "initializers": len(model.graph.initializer),
            "outputs": len(model.graph.output),
            "seed": None,
            "random": [],
        },
        "audited": {"file": "audited.onnx"},
        "inputs": [{"name": n, "file": f"input_{k}.npy"} for k, n in enumerate(names)],
        "reference": None,
        "hypothesis": {
            "name": "custom",
            "i_idx": names.index(moving),
            "outputs": [chosen],
            "eta": {"file": "eta.json"},
        },
        "conditioning": "selection",
        "noise": {"kind": "scalar", "value": "1", "source": None, "degrees_of_freedom": None},
        "law": {"family": "normal", "null_value": "0", "alternative": "two-sided"},
        "observed": [
            {"output": chosen, "shape": shape, "type": kind, "values": base64.b64encode(raw).decode()}
        ],
        "line": {"scale": "1"},
        "cells": [["-inf", "-1/8", "gap"], ["-1/8", "1/8", "inside"], ["1/8", "inf", "inside"]],
        "claim": {
            "stat": str(Fraction(float(base.feeds[moving].reshape(-1)[0])) if size else 0),
            "inf_p": "0",
            "sup_p": "1",
            "log_inf_p": "-inf",
            "log_sup_p": "0",
        },
        "assumptions": [KNOWN, *ALWAYS],
        "versions": {},
    }
    write_certificate(folder, files, document)
    sl.check(folder)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


KINDS: dict[str, Callable[[np.random.Generator, Path], Outcome]] = {
    "models": _model_case,
    "certificates": certificate_case,
    "arrays": array_case,
}


def run_case(kind: str, seed: int, folder: Path) -> Outcome:
    """Run the case of this seed in an empty folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KINDS[kind](np.random.default_rng(seed), folder)
