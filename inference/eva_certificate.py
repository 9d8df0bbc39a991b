"""The certificate of a verified perturbation analysis: what `sureline check` confirms."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.storage import require_replaceable, write_folder
from symbolic.errors import OptionError
from symbolic.explanations.eva_report import EvaReport
from verifier.check.claims.overlap import proved_overlaps

__all__ = ["save_eva"]

BITS = 50
"""Of an end, which is rounded outward."""


def save_eva(
    report: EvaReport,
    path: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a certificate folder.

    It claims what the checker's own arithmetic and bounds prove of the question of the report, from the
    points that the report found. That is usually the report to a few digits; the checker's bounds are wider
    behind products of two tensors that move (attention, a Softmax). Writing takes as long as checking.

    Parameters
    ----------
    report : EvaReport
        As `sl.eva` returned it.
    path : path
        The folder to make; an older certificate there is replaced.
    progress : callable, optional
        Called with how many balls are proved, and how many there are.

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
        **_claims([(None, None)] * len(evidence.points)),
    }
    require_replaceable(Path(path))  # before the work
    with tempfile.TemporaryDirectory() as folder:
        asked = write_folder(Path(folder) / "question", {**files, "eva.json": _json(document)})
        document |= _claims([_rounded(*pair) for pair in proved_overlaps(asked, progress)])
    return write_folder(path, {**files, "eva.json": _json(document)})


Pair = tuple[Fraction | None, Fraction | None]
"""Lower and upper end; None where nothing is known."""


def _claims(overlaps: list[Pair]) -> dict[str, Any]:
    whole, *held = overlaps
    return {
        "overlap": _texts(whole),
        "held": [_texts(pair) for pair in held],
        "importance": [_texts(_importance(whole, pair)) for pair in held],
    }


def _rounded(low: Fraction | None, high: Fraction | None) -> Pair:
    """A little more on both sides."""
    return None if low is None else -_above(-low), None if high is None else _above(high)


def _above(value: Fraction) -> Fraction:
    unit = Fraction(2) ** (value.numerator.bit_length() - value.denominator.bit_length() - BITS)
    return -(-value // unit) * unit


def _importance(whole: Pair, held: Pair) -> Pair:
    lower = Fraction(0) if whole[0] is None or held[1] is None else max(Fraction(0), whole[0] - held[1])
    return lower, None if whole[1] is None or held[0] is None else whole[1] - held[0]


def _texts(pair: Pair) -> list[str | None]:
    return [None if v is None else str(v) for v in pair]


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array))
    return stream.getvalue()


def _file(name: str, files: dict[str, bytes]) -> dict[str, str]:
    return {"file": name, "sha256": hashlib.sha256(files[name]).hexdigest()}
