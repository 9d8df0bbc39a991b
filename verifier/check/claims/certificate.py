"""certificate.json: every field is checked, and every file that it names has the stated hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from verifier.check.claims.hypothesis import read_hypothesis
from verifier.check.claims.reading import (
    END_DIGITS,
    decimal,
    fields,
    file_bytes,
    parse_json,
    rational,
    require,
)
from verifier.check.claims.statistics import (
    OPTIONAL,
    assumptions,
    read_claims,
    read_law,
    read_noise,
    read_randomisation,
)
from verifier.check.errors import InvalidCertificate, UnusableCertificate
from verifier.check.numbers.integers import Array

__all__ = ["CellClaim", "Certificate", "read_certificate"]

End = Fraction | float
CELLS, NUMBERS = 1_000_000, 1 << 26
FILE = re.compile(r"[A-Za-z0-9_]+\.(npy|json|onnx)", re.ASCII)


@dataclass(frozen=True)
class CellClaim:
    """An open cell of t and what is said about it: inside, outside (output, element) or gap."""

    lo: End
    hi: End
    verdict: str
    output: int = 0
    element: int = 0


@dataclass(frozen=True)
class Certificate:
    """certificate.json with its numbers read, and the files that it names (hashes confirmed)."""

    document: dict[str, Any]
    files: dict[str, bytes]
    cells: list[CellClaim]
    observed: list[Array]
    claims: dict[str, Fraction | None]

    def file(self, entry: dict[str, Any]) -> bytes:
        """The content of a file that the certificate names."""
        return self.files[entry["file"]]


def read_certificate(folder: str | os.PathLike[str]) -> Certificate:
    """Read certificate.json and the files that it names."""
    root = Path(folder)
    require(root.is_dir(), f"{root} is not a folder")
    raw = file_bytes(root / "certificate.json")
    require(raw.count(b"[") <= 4 * CELLS, f"certificate.json has more than {CELLS} cells")
    parsed = parse_json(raw, "certificate.json")
    optional = {k: v for k, v in OPTIONAL.items() if isinstance(parsed, dict) and k in parsed}
    document = fields(
        parsed,
        "the certificate",
        format=str,
        version=int,
        model=dict,
        audited=dict,
        inputs=list,
        reference=(dict, type(None)),
        hypothesis=dict,
        conditioning=str,
        noise=dict,
        law=dict,
        observed=list,
        line=dict,
        cells=list,
        claim=dict,
        assumptions=list,
        versions=dict,
        **optional,
    )
    require(
        document["format"] == "sureline-certificate" and document["version"] == 1,
        "this is not a Sureline certificate of version 1",
    )
    entries = [fields(document["audited"], "audited", file=str, sha256=str)]
    for entry in document["inputs"]:
        entries.append(fields(entry, "inputs", name=str, file=str, sha256=str))
    if document["reference"] is not None:
        entries.append(fields(document["reference"], "reference", file=str, sha256=str))
    fields(
        document["model"],
        "model",
        sha256=str,
        nodes=int,
        initializers=int,
        outputs=int,
        seed=(int, type(None)),
        random=list,
    )
    require(
        all(isinstance(name, str) for name in document["model"]["random"]), "model.random does not hold names"
    )
    require(
        document["model"]["seed"] is None or bool(document["model"]["random"]),
        "model.seed belongs to random tensors, and there are none",
    )
    require(bool(document["observed"]), "no output was observed")
    entries += read_hypothesis(document["hypothesis"]) + read_noise(document["noise"])
    if "randomisation" in document:
        halves = 1 if document["reference"] is None else 2
        entries += read_randomisation(document["randomisation"], halves)
    require(document["conditioning"] in ("selection", "activation_pattern"), "the conditioning is not known")
    read_law(document["law"], document["noise"], document.get("randomisation"))
    assumptions(document)
    read_claims(document)
    require(
        rational(fields(document["line"], "line", scale=str)["scale"], "line.scale") > 0,
        "line.scale is not positive",
    )
    claim = fields(document["claim"], "claim", stat=str, inf_p=str, sup_p=str, log_inf_p=str, log_sup_p=str)
    rational(claim["stat"], "claim.stat")
    claims = {
        key: None if key == "log_inf_p" and claim[key] == "-inf" else decimal(claim[key], f"claim.{key}")
        for key in ("inf_p", "sup_p", "log_inf_p", "log_sup_p")
    }
    files: dict[str, bytes] = {}
    for entry in entries:
        name = entry["file"]
        require(
            FILE.fullmatch(name) is not None and name != "certificate.json",
            f"{name!r} is no file name of a certificate",
        )
        files[name] = files[name] if name in files else file_bytes(root / name)
        if hashlib.sha256(files[name]).hexdigest() != entry["sha256"]:
            raise InvalidCertificate(f"{name} does not have the hash that the certificate states")
    cells = _cells(document["cells"])
    _ends(document.get("ends", []), cells)
    return Certificate(document, files, cells, [_observed(o) for o in document["observed"]], claims)


def _cells(cells: list[Any]) -> list[CellClaim]:
    require(0 < len(cells) <= CELLS, f"there are no cells, or more than {CELLS}")
    found: list[CellClaim] = []
    for k, cell in enumerate(cells):
        fits = isinstance(cell, list) and len(cell) >= 3 and cell[2:] in (["inside"], ["gap"])
        if not fits:
            fits = (
                isinstance(cell, list)
                and len(cell) == 5
                and cell[2] == "outside"
                and all(type(n) is int and n >= 0 for n in cell[3:])
            )
        require(fits, f"cell {k} is not [lo, hi, verdict]")
        lo: End = -math.inf if cell[0] == "-inf" else rational(cell[0], f"the start of cell {k}", END_DIGITS)
        hi: End = math.inf if cell[1] == "inf" else rational(cell[1], f"the end of cell {k}", END_DIGITS)
        if lo != (found[-1].hi if found else -math.inf):
            raise InvalidCertificate(f"cell {k} does not start where the one before it ends")
        if not lo < hi:
            raise InvalidCertificate(f"cell {k} is empty")
        found.append(CellClaim(lo, hi, *cell[2:]))
    if found[-1].hi != math.inf:
        raise InvalidCertificate("the cells do not reach to infinity")
    return found


def _ends(ends: list[Any], cells: list[CellClaim]) -> None:
    """Every end is one between a cell inside and a cell outside with the witness that is named."""
    require(len(ends) < len(cells), "there are more ends than ends of cells")
    before: End = -math.inf
    pairs = zip(cells, cells[1:], strict=False) if ends else ()
    borders = {left.hi: {left.verdict: left, right.verdict: right} for left, right in pairs}
    for k, end in enumerate(ends):
        require(isinstance(end, dict), f"end {k} is no object")
        fields(end, f"end {k}", t=str, output=int, element=int)
        t = rational(end["t"], f"end {k}", END_DIGITS)
        if not before < t:
            raise InvalidCertificate(f"end {k} is not behind the one before it")
        sides = borders.get(t, {})
        outside = sides.get("outside")
        if sides.keys() != {"inside", "outside"} or outside is None:
            raise InvalidCertificate(f"end {k} is not between a cell inside and a cell outside")
        if (outside.output, outside.element) != (end["output"], end["element"]):
            raise InvalidCertificate(f"end {k} does not name the witness of the cell outside it")
        before = t


def _observed(entry: Any) -> Array:
    fields(entry, "observed", output=str, shape=list, type=str, values=str)
    shape = entry["shape"]
    require(
        all(type(n) is int and 0 <= n < NUMBERS for n in shape) and len(shape) <= 16,
        "observed.shape is no shape",
    )
    count = math.prod(shape)
    require(
        count <= NUMBERS and entry["type"] in ("bool", "int64"),
        "observed has an unknown type or is too large",
    )
    try:
        raw = base64.b64decode(entry["values"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusableCertificate("observed.values is not base64") from error
    boolean = entry["type"] == "bool"
    require(
        len(raw) == (-(-count // 8) if boolean else 8 * count),
        "observed.values does not have the size of its shape",
    )
    if boolean:
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8))
        require(not bits[count:].any(), "observed.values has bits beyond its shape")
        return bits[:count].astype(np.bool_).reshape(shape)
    return np.frombuffer(raw, dtype="<i8").astype(np.int64).reshape(shape)
