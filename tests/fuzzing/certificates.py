"""Damaged certificates, for `fuzz.py`: none is valid unless its claims agree with those of the sound one."""

from __future__ import annotations

import hashlib
import io
import json
import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import sureline as sl
from fuzzing.models import mutated_model
from fuzzing.mutations import mutated_bytes, mutated_json, mutated_npy, pick
from fuzzing.sources import Sound, certificates
from fuzzing.steps import Outcome, Wrong, run_step
from sureline.cli import main
from symbolic.reading.array_files import read_raw_array

__all__ = ["certificate_case", "write_certificate"]


def hashed(files: dict[str, bytes], document: Any) -> None:
    """State the hashes of the files, wherever a file is named."""
    for value in document.values() if isinstance(document, dict) else document:
        if isinstance(value, (dict, list)):
            hashed(files, value)
    if isinstance(document, dict) and isinstance(document.get("file"), str) and document["file"] in files:
        document["sha256"] = hashlib.sha256(files[document["file"]]).hexdigest()


def write_certificate(folder: Path, files: dict[str, bytes], document: Any) -> None:
    hashed(files, document)
    folder.mkdir()
    for name, content in (files | {"certificate.json": json.dumps(document).encode()}).items():
        (folder / name).write_bytes(content)


def certificate_case(rng: np.random.Generator, folder: Path) -> Outcome:
    sound = pick(rng, certificates())
    files = dict(sound.files)
    document = json.loads(files.pop("certificate.json"))
    target, kind = folder / "certificate", rng.random()
    changed = sorted(files)
    if kind < 0.55:
        document = mutated_json(document, rng)
        if isinstance(document, dict):
            write_certificate(target, files, document)
    elif kind < 0.85:
        name = pick(rng, changed)
        if name.endswith(".onnx"):
            files[name] = mutated_model(onnx.load_from_string(files[name]), rng)
        elif name.endswith(".npy"):
            path = folder / "array.npy"
            path.write_bytes(files[name])
            files[name] = mutated_npy(read_raw_array(path), rng)
        else:
            files[name] = json.dumps(mutated_json(json.loads(files[name]), rng)).encode()
        write_certificate(target, files, document)
    if not target.exists():
        write_certificate(target, files, document)
        name = pick(rng, [*changed, "certificate.json", "certificate.json"])
        (target / name).write_bytes(mutated_bytes((target / name).read_bytes(), rng))
    _beside(rng, target)
    options = {"model": sound.model} if rng.random() < 0.2 else {}
    if rng.random() < 0.5:
        step = run_step(lambda: sl.check(target, **options), "check")
    else:
        step = run_step(lambda: main(["check", str(target)]), "command check")
    return Outcome([step], _difference(sound, target) if step.endswith("ok") else "")


def _beside(rng: np.random.Generator, folder: Path) -> None:
    """Sometimes a file is no file."""
    if rng.random() < 0.04:
        path = pick(rng, sorted(folder.iterdir()))
        content = path.read_bytes()
        path.unlink()
        kind = int(rng.integers(4))
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            os.mkfifo(path)
        elif kind == 2:
            (folder / "elsewhere").write_bytes(content)
            path.symlink_to("elsewhere")


def _difference(sound: Sound, folder: Path) -> str:
    """In what a certificate that the checker found valid differs from the sound one, unless only in claims
    that agree with its claims."""
    document = json.loads((folder / "certificate.json").read_bytes())
    original = json.loads(sound.files["certificate.json"])
    skipped = ("cells", "claim", "versions", "audited", "inputs")
    found = [k for k in original if k not in skipped and _meaning(document.get(k)) != _meaning(original[k])]
    for entry in [document["audited"], *document["inputs"]]:
        content, first = (folder / entry["file"]).read_bytes(), sound.files[entry["file"]]
        same = _same_array if entry["file"].endswith(".npy") else _same_graph
        if content != first and not same(content, first):
            found.append(entry["file"])
    if not found and not _agree(original, document):
        raise Wrong("the checker found claims valid that contradict each other")
    details = {k: (original[k], document.get(k)) for k in found if k in original}
    return f"valid, though changed in {', '.join(found)}: {str(details)[:600]}" if found else ""


def _meaning(value: Any) -> Any:
    """Without what is only noted down; the hashes of files are theirs."""
    notes = ("source", "sha256")
    return {k: v for k, v in value.items() if k not in notes} if isinstance(value, dict) else value


def _same_array(one: bytes, other: bytes) -> bool:
    return bool(np.array_equal(*(np.load(io.BytesIO(content)) for content in (one, other))))


def _same_graph(one: bytes, other: bytes) -> bool:
    """Whether two audited graphs select the same at random inputs (then the claims may hold of both)."""
    models = [onnx.load_from_string(content) for content in (one, other)]
    rng, shape = (
        np.random.default_rng(0),
        [d.dim_value for d in models[1].graph.input[0].type.tensor_type.shape.dim],
    )
    for _ in range(20):
        x = rng.normal(size=shape).astype(np.float32)
        found = [
            ReferenceEvaluator(m).run([models[1].graph.output[-1].name], {m.graph.input[0].name: x})
            for m in models
        ]
        if not np.array_equal(found[0][0], found[1][0]):
            return False
    return True


def _agree(one: Any, other: Any) -> bool:
    """Whether the bounds of p meet, and no cell is inside by one and outside by the other."""
    low, high = (max if k == "inf_p" else min for k in ("inf_p", "sup_p"))
    claims = [one["claim"], other["claim"]]
    meet = low(Decimal(c["inf_p"]) for c in claims) <= high(Decimal(c["sup_p"]) for c in claims)

    def cells(document: Any, verdict: str) -> list[tuple[Any, Any]]:
        ends = [(c[0], c[1]) for c in document["cells"] if c[2] == verdict]
        return [
            (Fraction(a) if "inf" not in a else -(2**99), Fraction(b) if "inf" not in b else 2**99)
            for a, b in ends
        ]

    pairs = [(one, other), (other, one)]
    clash = any(
        max(a, c) < min(b, d) for p, q in pairs for a, b in cells(p, "inside") for c, d in cells(q, "outside")
    )
    return meet and not clash
