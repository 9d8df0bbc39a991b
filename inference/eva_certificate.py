"""The certificate of a verified perturbation analysis: what `sureline check` confirms."""

from __future__ import annotations

import hashlib
import io
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.storage import write_folder
from symbolic.errors import OptionError
from symbolic.explanations.eva_report import EvaReport

__all__ = ["save_eva"]

ROOM = Fraction(1, 64)
"""Of the width of an overlap: so much more its upper end is in the certificate, because another arithmetic
with other relaxations has to confirm it."""
SHORT = 40
"""Bits of an upper end, which is rounded up."""


def save_eva(report: EvaReport, path: str | os.PathLike[str]) -> Path:
    """Write a certificate folder.

    Lower ends of overlaps are those of the report, each with a point that reaches it. Upper ends are one part
    in 64 of the width of the overlap larger, so that the checker's own bounds, which differ a little, confirm
    them; importances follow from both.

    Parameters
    ----------
    report : EvaReport
        As `sl.eva` returned it.
    path : path
        The folder to make; an older certificate there is replaced.

    Returns
    -------
    Path

    Raises
    ------
    OptionError
        The report has nothing to show, or the folder holds something else.
    """
    evidence = report.evidence
    if evidence is None:
        raise OptionError("this report has no evidence to be written: call sl.eva again.")
    files = {
        "model.onnx": evidence.proto.SerializeToString(deterministic=True),
        "labels.npy": _npy(report.labels),
        "points.npy": _npy(evidence.points),
    }
    inputs = []
    for k, (name, array) in enumerate(evidence.inputs.items()):
        files[f"input_{k}.npy"] = _npy(array)
        inputs.append({"name": name, **_file(f"input_{k}.npy", files)})
    whole = _claimed(*report.overlap)
    held = [_claimed(a, b) for a, b in zip(report.held_lower, report.held_upper, strict=True)]
    graph = evidence.proto.graph
    document = {
        "format": "sureline-eva",
        "version": 1,
        "model": {
            "sha256": report.model_sha256,
            "nodes": len(graph.node),
            "initializers": len(graph.initializer),
            "outputs": len(graph.output),
            "seed": evidence.seed if evidence.random else None,
            "random": list(evidence.random),
        },
        "network": _file("model.onnx", files),
        "inputs": inputs,
        "moving": list(evidence.inputs).index(evidence.source),
        "scores": evidence.scores,
        "class": report.chosen,
        "others": list(report.others),
        "radius": str(report.radius),
        "clip": None if report.clip is None else [str(v) for v in report.clip],
        "zones": report.bounds != "interval",
        "labels": _file("labels.npy", files),
        "points": _file("points.npy", files),
        "overlap": _texts(whole),
        "held": [_texts(pair) for pair in held],
        "importance": [_texts(_importance(whole, pair)) for pair in held],
    }
    files["eva.json"] = (json.dumps(document, indent=1) + "\n").encode()
    return write_folder(path, files)


Pair = tuple[Fraction | None, Fraction | None]
"""Lower and upper end; None where nothing is known."""


def _claimed(low: float, high: float) -> Pair:
    low, high = float(low), float(high)
    least = Fraction(low) if np.isfinite(low) else None
    if not np.isfinite(high):
        return least, None
    most = Fraction(high)
    most += ROOM * (most - (most - 1 if least is None else least))
    unit = Fraction(2) ** (int(np.frexp(max(abs(high), 2.0**-900))[1]) - SHORT)
    return least, -(-most // unit) * unit


def _importance(whole: Pair, held: Pair) -> Pair:
    lower = Fraction(0) if whole[0] is None or held[1] is None else max(Fraction(0), whole[0] - held[1])
    return lower, None if whole[1] is None or held[0] is None else whole[1] - held[0]


def _texts(pair: Pair) -> list[str | None]:
    return [None if v is None else str(v) for v in pair]


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array))
    return stream.getvalue()


def _file(name: str, files: dict[str, bytes]) -> dict[str, str]:
    return {"file": name, "sha256": hashlib.sha256(files[name]).hexdigest()}
