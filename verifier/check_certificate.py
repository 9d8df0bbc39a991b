"""Reading a certificate folder: every limit is enforced before anything is parsed, every field is checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import os
import re
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .check_errors import InvalidCertificate, UnusableCertificate
from .check_integers import Array

__all__ = ["Certificate", "CellClaim", "file_bytes", "parse_npy", "read_certificate"]

End = Fraction | float
LIMITS = {"certificate.json": 1 << 27, ".onnx": 1 << 31, ".npy": 1 << 31, ".json": 1 << 28}
DIGITS, DEPTH, CELLS, NUMBERS, DECIMAL_EXPONENT = 4000, 12, 1_000_000, 1 << 26, 100_000
RATIONAL = re.compile(r"-?(0|[1-9][0-9]*)(/[1-9][0-9]*)?", re.ASCII)
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?", re.ASCII)
FILE = re.compile(r"[A-Za-z0-9_]+\.(npy|json|onnx)", re.ASCII)
STEPS = {"InputDiff": set(), "Neg": set(), "Abs": set(), "L1Norm": set(), "AverageFilter": {"kernel_size"},
         "GaussianFilter": {"kernel_size", "sigma"}}


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


def _require(good: bool, what: str) -> None:
    if not good:
        raise UnusableCertificate(what)


def file_bytes(path: str | os.PathLike[str], limit: int | None = None) -> bytes:
    """The content of a regular file (no link) that is not too large."""
    path = Path(path)
    limit = limit or LIMITS.get(path.name) or LIMITS.get(path.suffix) or LIMITS[".onnx"]
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UnusableCertificate(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(handle)
        _require(stat.S_ISREG(found.st_mode), f"{path.name} is not a regular file")
        _require(found.st_size <= limit, f"{path.name} is larger than {limit} bytes")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(limit)
    finally:
        os.close(handle)


def parse_npy(content: bytes, name: str) -> Array:
    """A .npy array of finite real numbers; never unpickles."""
    import io

    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream)
    except Exception as error:
        raise UnusableCertificate(f"{name} is no .npy file that can be read: {error}") from error
    _require(dtype.kind in "fiub" and dtype.itemsize <= 8, f"{name} holds {dtype}, not real numbers of up to 64 bits")
    count = math.prod(shape)
    rest = content[stream.tell():]
    _require(all(n >= 0 for n in shape) and count * dtype.itemsize == len(rest), f"{name} does not have its stated size")
    array = np.frombuffer(rest, dtype=dtype, count=count).reshape(shape, order="F" if fortran else "C")
    _require(dtype.kind != "f" or bool(np.isfinite(array).all()), f"{name} holds NaN or infinity")
    return np.ascontiguousarray(array).reshape(shape).astype(dtype.newbyteorder("="))


def parse_json(content: bytes, name: str) -> Any:
    """JSON without floats, repeated keys, deep nesting or long numbers."""
    depth = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', content):
        first = token.group()[:1]
        depth += (first in b"[{") - (first in b"]}")
        _require(depth <= DEPTH, f"{name} is nested more than {DEPTH} deep")

    def number(text: str) -> int:
        _require(len(text) <= 18, f"{name} has a bare number of more than 18 digits")
        return int(text)

    def refuse(text: str) -> Any:
        raise UnusableCertificate(f"{name} has the inexact number {text[:20]}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _require(len({key for key, _ in pairs}) == len(pairs), f"{name} has a key twice")
        return dict(pairs)

    try:
        return json.loads(content.decode("utf-8"), parse_int=number, parse_float=refuse, parse_constant=refuse,
                          object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UnusableCertificate(f"{name} is not JSON: {error}") from error


def rational(text: Any, what: str) -> Fraction:
    """A string p/q in lowest terms."""
    _require(isinstance(text, str) and len(text) <= 2 * DIGITS and RATIONAL.fullmatch(text) is not None,
             f"{what} is not an exact number")
    top, _, bottom = text.partition("/")
    _require(max(len(top), len(bottom)) <= DIGITS, f"{what} has more than {DIGITS} digits")
    value = Fraction(int(top), int(bottom or 1))
    _require(str(value) == text, f"{what} is not in lowest terms")
    return value


def _decimal(text: Any, what: str) -> Fraction:
    _require(isinstance(text, str) and len(text) <= DIGITS and DECIMAL.fullmatch(text) is not None,
             f"{what} is not a decimal number")
    mantissa, _, exponent = text.lower().partition("e")
    _require(abs(int(exponent or 0)) <= DECIMAL_EXPONENT, f"{what} has too large an exponent")
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def _fields(value: Any, what: str, /, **kinds: Any) -> dict[str, Any]:
    """`value` is an object with exactly these fields of these types."""
    _require(isinstance(value, dict) and value.keys() == kinds.keys(), f"{what} does not have the fields {sorted(kinds)}")
    for key, kind in kinds.items():
        field = value[key]
        fits = isinstance(field, kind) and (not isinstance(field, bool) or kind is bool or kind == (bool,))
        _require(fits and (not isinstance(field, int) or isinstance(field, bool) or field >= 0),
                 f"{what}.{key} has the wrong type")
    return value  # type: ignore[no-any-return]


def read_certificate(folder: str | os.PathLike[str]) -> Certificate:
    """Read certificate.json and the files that it names."""
    root = Path(folder)
    _require(root.is_dir(), f"{root} is not a folder")
    raw = file_bytes(root / "certificate.json")
    _require(raw.count(b"[") <= 4 * CELLS, f"certificate.json has more than {CELLS} cells")
    document = _fields(
        parse_json(raw, "certificate.json"), "the certificate", format=str, version=int, model=dict, audited=dict,
        inputs=list, reference=(dict, type(None)), hypothesis=dict, conditioning=str, noise=dict, law=dict, observed=list,
        line=dict, cells=list, claim=dict, assumptions=list, versions=dict)
    _require(document["format"] == "sureline-certificate" and document["version"] == 1,
             "this is not a Sureline certificate of version 1")
    entries = [_fields(document["audited"], "audited", file=str, sha256=str)]
    for entry in document["inputs"]:
        entries.append(_fields(entry, "inputs", name=str, file=str, sha256=str))
    if document["reference"] is not None:
        entries.append(_fields(document["reference"], "reference", file=str, sha256=str))
    _fields(document["model"], "model", sha256=str, nodes=int, initializers=int, outputs=int, seed=(int, type(None)),
            random=list)
    _require(all(isinstance(name, str) for name in document["model"]["random"]), "model.random does not hold names")
    entries += _hypothesis(document["hypothesis"]) + _noise(document["noise"])
    _require(document["conditioning"] in ("selection", "activation_pattern"), "the conditioning is not known")
    law = _fields(document["law"], "law", family=str, null_value=str, alternative=str)
    _require(law["family"] == "normal" and law["alternative"] in ("two-sided", "less", "greater"), "the law is not known")
    rational(law["null_value"], "law.null_value")
    _require(rational(_fields(document["line"], "line", scale=str)["scale"], "line.scale") > 0, "line.scale is not positive")
    claim = _fields(document["claim"], "claim", stat=str, inf_p=str, sup_p=str, log_inf_p=str, log_sup_p=str)
    rational(claim["stat"], "claim.stat")
    claims = {key: None if key == "log_inf_p" and claim[key] == "-inf" else _decimal(claim[key], f"claim.{key}")
              for key in ("inf_p", "sup_p", "log_inf_p", "log_sup_p")}
    files = {}
    for entry in entries:
        name = entry["file"]
        _require(FILE.fullmatch(name) is not None and name != "certificate.json", f"{name!r} is no file name of a certificate")
        files[name] = files[name] if name in files else file_bytes(root / name)
        if hashlib.sha256(files[name]).hexdigest() != entry["sha256"]:
            raise InvalidCertificate(f"{name} does not have the hash that the certificate states")
    return Certificate(document, files, _cells(document["cells"]), [_observed(o) for o in document["observed"]], claims)


def _hypothesis(entry: dict[str, Any]) -> list[dict[str, Any]]:
    if entry.get("name") == "custom":
        _fields(entry, "hypothesis", name=str, i_idx=int, outputs=list, eta=dict)
        _require(bool(entry["outputs"]) and all(isinstance(o, str) for o in entry["outputs"]), "hypothesis.outputs is empty")
        return [_fields(entry["eta"], "hypothesis.eta", file=str, sha256=str)]
    _fields(entry, "hypothesis", name=str, threshold=str, i_idx=int, o_idx=int, post_process=list, use_norm=bool,
            neighborhood_range=(int, type(None)), mask=bool)
    _require(entry["name"] in ("BackMeanDiff", "NeighborMeanDiff", "ReferenceMeanDiff"), "the hypothesis is not known")
    reach = entry["neighborhood_range"]
    _require((reach is not None and 1 <= reach <= 1 << 16) if entry["name"] == "NeighborMeanDiff" else reach is None,
             "hypothesis.neighborhood_range does not fit the hypothesis")
    rational(entry["threshold"], "hypothesis.threshold")
    _require(len(entry["post_process"]) <= 100, "hypothesis.post_process has more than 100 steps")
    for step in entry["post_process"]:
        options = STEPS.get(step.get("name") if isinstance(step, dict) else None)  # type: ignore[arg-type]
        _require(options is not None, "a step of hypothesis.post_process is not known")
        _fields(step, "a step", **{"name": str, **{key: str if key == "sigma" else int for key in options or ()}})
        _require(1 <= step.get("kernel_size", 1) <= 255, "a kernel_size is not between 1 and 255")
        _require("sigma" not in step or rational(step["sigma"], "sigma") > 0, "sigma is not positive")
    return []


def _noise(entry: dict[str, Any]) -> list[dict[str, Any]]:
    text = (str, type(None))
    if entry.get("kind") == "scalar":
        _fields(entry, "noise", kind=str, value=str, source=text, degrees_of_freedom=text)
        rational(entry["value"], "noise.value")
        return []
    _fields(entry, "noise", kind=str, file=str, sha256=str, source=text, degrees_of_freedom=text)
    _require(entry["kind"] in ("diagonal", "full"), "noise.kind is not known")
    return [entry]


def _cells(cells: list[Any]) -> list[CellClaim]:
    _require(0 < len(cells) <= CELLS, f"there are no cells, or more than {CELLS}")
    found: list[CellClaim] = []
    for k, cell in enumerate(cells):
        fits = isinstance(cell, list) and len(cell) >= 3 and cell[2:] in (["inside"], ["gap"])
        if not fits:
            fits = isinstance(cell, list) and len(cell) == 5 and cell[2] == "outside" and all(
                type(n) is int and n >= 0 for n in cell[3:])
        _require(fits, f"cell {k} is not [lo, hi, verdict]")
        lo: End = -math.inf if cell[0] == "-inf" else rational(cell[0], f"the start of cell {k}")
        hi: End = math.inf if cell[1] == "inf" else rational(cell[1], f"the end of cell {k}")
        if lo != (found[-1].hi if found else -math.inf):
            raise InvalidCertificate(f"cell {k} does not start where the one before it ends")
        if not lo < hi:
            raise InvalidCertificate(f"cell {k} is empty")
        found.append(CellClaim(lo, hi, *cell[2:]))
    if found[-1].hi != math.inf:
        raise InvalidCertificate("the cells do not reach to infinity")
    return found


def _observed(entry: Any) -> Array:
    _fields(entry, "observed", output=str, shape=list, type=str, values=str)
    shape = entry["shape"]
    _require(all(type(n) is int and 0 <= n < NUMBERS for n in shape) and len(shape) <= 16, "observed.shape is no shape")
    count = math.prod(shape)
    _require(count <= NUMBERS and entry["type"] in ("bool", "int64"), "observed has an unknown type or is too large")
    try:
        raw = base64.b64decode(entry["values"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusableCertificate("observed.values is not base64") from error
    boolean = entry["type"] == "bool"
    _require(len(raw) == (-(-count // 8) if boolean else 8 * count), "observed.values does not have the size of its shape")
    if boolean:
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8))
        _require(not bits[count:].any(), "observed.values has bits beyond its shape")
        return bits[:count].astype(np.bool_).reshape(shape)
    return np.frombuffer(raw, dtype="<i8").astype(np.int64).reshape(shape)
