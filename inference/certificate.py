"""The certificate of an audit: files that let anybody re-check every claim.

`docs/certificate.md` defines each field. The document is deterministic: no time stamps, no paths.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from math import isinf
from typing import Any

import numpy as np
import onnx
from flint import fmpq
from numpy.typing import NDArray

from inference.laws.estimates import Bracket, Estimates
from inference.laws.scale import ScaleRange
from inference.randomisation import Drawn
from inference.storage import write_folder
from verifier.cells import Cell, End

__all__ = ["Certificate", "Parts", "assemble"]

KNOWN = "The noise of the input is Gaussian with the stated covariance, fixed before the selection was seen."
ESTIMATED = (
    "The noise of the input is Gaussian; its covariance is the stated one up to an unknown factor. The "
    "stated "
    "scale was estimated independently of the input, with a chi-square law on the stated degrees of freedom, "
    "before the selection was seen."
)
DRAWN = (
    "The noise added to the input was drawn from the stated seed, which was chosen before the selection was "
    "seen."
)
ASSUMPTIONS = (
    "The certified function is the real-number function of the stored constants; rounding inside a runtime, "
    "and Cast between float32 and float64, are not modelled.",
    "The model was fixed before, and not trained on, the audited input.",
)


@dataclass(frozen=True)
class Parts:
    """What a certificate is made of.

    Attributes
    ----------
    audited : onnx.ModelProto
        Model and selection nodes.
    model : dict
        The "model" entry.
    inputs : sequence of (name, ndarray)
        Every model input as given.
    reference : ndarray, optional
        The second half of the noise vector.
    hypothesis : dict
        The "hypothesis" entry, without files.
    eta : tuple of Fraction, or of tuples of them, optional
        For rules of the user's own: one contrast, or several.
    conditioning : str
        "selection" or "activation_pattern".
    noise : dict
        The "noise" entry, without files.
    covariance : ndarray, optional
        Diagonal or matrix.
    law : dict
        The "law" entry.
    observed : sequence of (output name, ndarray)
        The event.
    scale : Fraction
        Of the line.
    cells : sequence of Cell
        Covering the line.
    claim : dict
        stat and the bounds, as exact and decimal strings.
    ends : sequence of (t, output, element)
        End points of the truncation set that are known exactly, with the witness of the outside cell there.
    estimates, robustness, decision, drawn : optional
        What else is claimed, and what was added before the selection.
    """

    audited: onnx.ModelProto
    model: Mapping[str, Any]
    inputs: Sequence[tuple[str, NDArray[Any]]]
    reference: NDArray[Any] | None
    hypothesis: Mapping[str, Any]
    eta: tuple[Any, ...] | None
    conditioning: str
    noise: Mapping[str, Any]
    covariance: NDArray[Any] | None
    law: Mapping[str, Any]
    observed: Sequence[tuple[str, NDArray[Any]]]
    scale: Fraction
    cells: Sequence[Cell]
    claim: Mapping[str, str]
    ends: Sequence[tuple[Fraction, int, int]] = ()
    estimates: Estimates | None = None
    robustness: ScaleRange | None = None
    decision: tuple[Fraction, str] | None = None
    drawn: Drawn | None = None


@dataclass(frozen=True)
class Certificate:
    """A certificate in memory; files are made when they are asked for."""

    parts: Parts

    def files(self) -> dict[str, bytes]:
        """Name and content of every file of the folder."""
        return assemble(self.parts)

    @property
    def document(self) -> dict[str, Any]:
        """certificate.json as an object."""
        loaded: dict[str, Any] = json.loads(self.files()["certificate.json"])
        return loaded

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the folder atomically.

        Parameters
        ----------
        path : path
            The folder; an earlier certificate there is replaced, anything else is refused.
        """
        write_folder(path, self.files())


def assemble(parts: Parts) -> dict[str, bytes]:
    """Make all files of a certificate."""
    files: dict[str, bytes] = {}

    def stored(name: str, content: bytes) -> dict[str, str]:
        files[name] = content
        return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}

    audited = stored("audited.onnx", parts.audited.SerializeToString(deterministic=True))
    inputs = [
        {"name": name, **stored(f"input_{k}.npy", _npy(array))}
        for k, (name, array) in enumerate(parts.inputs)
    ]
    reference = None if parts.reference is None else stored("reference.npy", _npy(parts.reference))
    hypothesis = dict(parts.hypothesis)
    if parts.eta is not None:
        hypothesis["eta"] = stored("eta.json", json.dumps(_texts(parts.eta)).encode())
    noise = dict(parts.noise)
    if parts.covariance is not None:
        noise.update(stored("var.npy", _npy(parts.covariance)))
    document = {
        "format": "sureline-certificate",
        "version": 1,
        "model": dict(parts.model),
        "audited": audited,
        "inputs": inputs,
        "reference": reference,
        "hypothesis": hypothesis,
        "conditioning": parts.conditioning,
        "noise": noise,
        "law": dict(parts.law),
        "observed": [_observed(name, array) for name, array in parts.observed],
        "line": {"scale": str(parts.scale)},
        "cells": [_cell(c) for c in parts.cells],
        "claim": dict(parts.claim),
        "assumptions": _assumptions(parts),
        "versions": {name: _version(name) for name in ("sureline", "onnx", "numpy", "python-flint")},
    }
    if parts.ends:
        document["ends"] = [{"t": _exact(t), "output": k, "element": i} for t, k, i in parts.ends]
    if parts.estimates is not None:
        document["estimates"] = _estimates(parts.estimates)
    if parts.robustness is not None:
        found = parts.robustness
        document["robustness"] = {
            "level": str(found.level),
            "decision": found.decision,
            "factors": [str(found.low), str(found.high)],
        }
    if parts.decision is not None:
        document["decision"] = {"level": str(parts.decision[0]), "verdict": parts.decision[1]}
    if parts.drawn is not None:
        drawn = parts.drawn
        document["randomisation"] = {
            "test": "fission" if drawn.fission else "selection",
            "scale": str(drawn.factor),
            "seed": drawn.seed,
            "original": [stored(f"original_{k}.npy", _npy(array)) for k, array in enumerate(drawn.original)],
        }
    files["certificate.json"] = (
        json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    ).encode()
    return files


def _texts(numbers: Any) -> Any:
    """Exact strings, in nested lists."""
    return [_texts(n) for n in numbers] if isinstance(numbers, tuple) else str(numbers)


def _assumptions(parts: Parts) -> list[str]:
    known = parts.law["family"] in ("normal", "chi", "randomised-normal", "fission")
    drawn = [] if parts.drawn is None else [DRAWN]
    return [KNOWN if known else ESTIMATED, *ASSUMPTIONS, *drawn]


def _estimates(found: Estimates) -> dict[str, Any]:
    def ends(bracket: Bracket) -> list[str]:
        return [_exact(e if isinf(e) else Fraction(e)) for e in (bracket.lo, bracket.hi)]

    likeliest = found.maximum_likelihood
    return {
        "level": str(found.level),
        "lower": ends(found.lower),
        "upper": ends(found.upper),
        "median_unbiased": ends(found.median_unbiased),
        "maximum_likelihood": None if likeliest is None else ends(likeliest),
    }


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _observed(name: str, array: NDArray[Any]) -> dict[str, Any]:
    boolean = array.dtype.kind == "b"
    raw = np.packbits(array).tobytes() if boolean else array.astype("<i8").tobytes()
    return {
        "output": name,
        "shape": list(array.shape),
        "type": "bool" if boolean else "int64",
        "values": base64.b64encode(raw).decode(),
    }


def _exact(end: End) -> str:
    """An exact number of any length: Python's own text ends at 4,300 digits."""
    if isinstance(end, float):
        return str(end)
    return str(fmpq(end.numerator, end.denominator))


def _cell(cell: Cell) -> list[Any]:
    ends: list[Any] = [_exact(cell.lo), _exact(cell.hi), cell.verdict]
    return [*ends, cell.output, cell.element] if cell.verdict == "outside" else ends


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
