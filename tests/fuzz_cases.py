"""What `fuzz.py` damages, and how each damaged thing is used: a model, a certificate, or arrays."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from architectures import autoencoder, classifier, lenet, mlp, recurrent
from fuzz_mutations import mutated_bytes, mutated_json, mutated_model, mutated_npy, pick
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from small_nets import convolutional, dense
from test_exported import FILES, example, source

import sureline as sl
from sureline.cli import main
from symbolic.array_files import read_raw_array
from symbolic.loading import load_model
from verifier.check_certificate import ASSUMPTIONS

__all__ = ["KINDS", "SECONDS", "Outcome", "prepare", "run_case"]

REFUSALS = (sl.SurelineError, sl.InvalidCertificate, sl.UnusableCertificate)
LARGEST_FILE, LARGEST_INPUT = 16_000, 400
QUICK = {"precision": 1e-2, "max_iter": 10}
SECONDS = 60
"""Of processor time, for one step."""


class Wrong(Exception):
    """Something happened that must not."""


@dataclass(frozen=True)
class Base:
    """A sound model with inputs."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]


@dataclass(frozen=True)
class Sound:
    """A sound certificate: its files, and the model it is about."""

    name: str
    files: dict[str, bytes]
    model: onnx.ModelProto


class Step(str):
    """The name of a step and what came of it; and what was said."""

    message = ""


@dataclass
class Outcome:
    """What came of one case: a word for every step, and what must be looked at."""

    steps: list[Step]
    look: str = ""


# ---- what is damaged


def _exported() -> Iterator[Base]:
    for name in FILES:
        model = source(name)
        if model.ByteSize() <= LARGEST_FILE:
            yield Base(name, model, {model.graph.input[0].name: example(name, model)})


def _node_tests() -> Iterator[Base]:
    import onnx.backend.test.case.node as case_node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = case_node.collect_testcases(None)
    for case in sorted((c for c in cases if c.model is not None), key=lambda c: c.name):
        names, arrays = [v.name for v in case.model.graph.input], case.data_sets[0][0]
        feeds = {n: a for n, a in zip(names, arrays, strict=False) if isinstance(a, np.ndarray)}
        small = sum(a.size for a in feeds.values()) <= LARGEST_INPUT and case.model.ByteSize() <= LARGEST_FILE
        if small and any(a.dtype.kind == "f" for a in feeds.values()):
            yield Base(case.name, case.model, feeds)


@functools.cache
def nets() -> list[Base]:
    """Networks that are quick to audit."""
    rng = np.random.default_rng(0)
    built = {"dense": dense(), "conv": convolutional(), "smooth": convolutional(smooth=True), "mlp": mlp()}
    built |= {"lenet": lenet(), "auto": autoencoder(), "classes": classifier(), "lstm": recurrent(steps=3)}
    found = []
    for name, model in built.items():
        shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
        found.append(
            Base(name, model, {model.graph.input[0].name: rng.normal(size=shape).astype(np.float32)})
        )
    return found


@functools.cache
def bases(standard: bool = True) -> list[list[Base]]:
    """Node tests of the standard (slow to collect), exported models, and networks."""
    return [list(_node_tests()) if standard else nets(), list(_exported()), nets()]


@functools.cache
def certificates() -> list[Sound]:
    """One of every kind of question."""
    rng = np.random.default_rng(1)
    net = dense(size=6, width=5)
    x = rng.normal(size=(1, 6)).astype(np.float32)
    filters = [sl.InputDiff(), sl.Abs(), sl.AverageFilter(3)]
    picture = rng.normal(size=(2, 1, 1, 4, 4)).astype(np.float32)
    root = rng.normal(size=(6, 6))
    halves = lambda chosen: [1, 1, 1, -1, -1, -1]  # noqa: E731
    where = onnx.ModelProto()
    where.CopyFrom(net)
    where.graph.node.append(helper.make_node("ArgMax", ["y"], ["best"], axis=1))
    where.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, [1, 1]))
    level = float(np.median(sl.enclose(net, x)["y"]))
    back, changes = (
        sl.BackMeanDiff(threshold=level),
        sl.ReferenceMeanDiff(threshold=0.3, post_process=filters),
    )
    questions: list[tuple[str, Any, Any, Any, Any, dict[str, Any]]] = [
        ("back", net, back, x, 1, {}),
        ("neighbor", net, sl.NeighborMeanDiff(threshold=level), x, "0.5", {"alternative": "less"}),
        ("reference", convolutional(side=4), changes, tuple(picture), 1, {}),
        ("custom", where, sl.Selection(output="best", eta=halves), x, np.arange(1.0, 7.0), {}),
        ("full", net, sl.BackMeanDiff(threshold=0.5, use_norm=True), x, root @ root.T + np.eye(6), {}),
        ("mask", net, back, x, 2, {"mask": np.arange(6).reshape(1, 6) < 5}),
        ("pattern", net, back, x, 1, {"inference_mode": "over_conditioning"}),
    ]
    found = []
    for name, model, hypothesis, given, var, options in questions:
        result = sl.load(model, hypothesis).inference(given, var, precision=1e-3, **options)
        found.append(Sound(name, result.certificate.files(), model))
    return found


SOURCES: list[list[Base]] = []


def prepare(standard: bool = True) -> None:
    """Make everything once, before the workers begin."""
    SOURCES[:] = bases(standard)
    certificates()


# ---- models


def _model_case(rng: np.random.Generator, folder: Path) -> Outcome:
    base = pick(rng, SOURCES[int(rng.choice(3, p=[0.5, 0.3, 0.2]))])
    path = folder / "model.onnx"
    path.write_bytes(mutated_model(base.model, rng))
    steps = [_step(lambda: load_model(path), "load")]
    if steps == ["load ok"]:
        moves = {n: rng.normal(size=a.shape) for n, a in base.feeds.items() if a.dtype.kind == "f"}
        steps.append(_step(lambda: sl.enclose(path, base.feeds, moves, "-1/8", "1/8", seed=0), "enclose"))
        steps.append(_step(lambda: _audited(path, base, folder / "audited"), "audit"))
        if steps[-1] == "audit ok":
            steps.append(_step(lambda: sl.check(folder / "audited", model=path), "check own"))
        steps.append(_step(lambda: _by_hand(path, base, rng, folder / "by_hand"), "check by hand"))
        steps.append(_step(lambda: main(["info", str(path)]), "info"))
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
        "assumptions": list(ASSUMPTIONS),
        "versions": {},
    }
    write_certificate(folder, files, document)
    sl.check(folder)


# ---- certificates


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


def _certificate_case(rng: np.random.Generator, folder: Path) -> Outcome:
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
        step = _step(lambda: sl.check(target, **options), "check")
    else:
        step = _step(lambda: main(["check", str(target)]), "command check")
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
    notes = ("source", "degrees_of_freedom", "sha256")
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


# ---- arrays

SCALARS = [
    None,
    "abc",
    "1/3",
    "0.1",
    float("nan"),
    float("inf"),
    -1,
    0,
    10**400,
    True,
    1j,
    b"1",
    Decimal("0.1"),
]
SCALARS += [
    Fraction(1, 3),
    object(),
    [],
    {},
    {1, 2},
    [[1, 2], [3]],
    np.datetime64("2020"),
    5e-324,
    1e308,
    -1e308,
]


def _in_memory(array: np.ndarray, rng: np.random.Generator) -> Any:
    """An array as nobody would give it."""
    flat = array.astype(np.float64)
    flat.reshape(-1)[rng.integers(flat.size)] = pick(
        rng, [np.nan, np.inf, 5e-324, 1.7e308, -0.0, 3e-39, 2.0**53 + 2]
    )
    dtypes = [
        "f2",
        "f4",
        "f8",
        "g",
        "i1",
        "i8",
        "u8",
        "?",
        "O",
        "c16",
        "U9",
        "S3",
        "M8[s]",
        "m8[s]",
        ">f8",
        "V8",
    ]
    makes: list[Callable[[], Any]] = [
        lambda: flat,
        lambda: pick(rng, SCALARS),
        lambda: np.array(pick(rng, SCALARS), dtype=object),
        lambda: np.array([[pick(rng, SCALARS) for _ in range(array.size)]], dtype=object),
        lambda: array.astype(pick(rng, dtypes)),
        lambda: np.zeros(array.shape, pick(rng, dtypes)),
        lambda: array[..., ::-1],
        lambda: array.reshape(-1),
        lambda: array[..., :-1],
        lambda: array[None],
        lambda: np.broadcast_to(array, (3, *array.shape)),
        lambda: np.ma.masked_array(array, mask=array > 0),
        lambda: np.broadcast_to(np.float64(1), (2**20, 2**20)),
        lambda: np.zeros((0, *array.shape[1:])),
        lambda: array.tolist(),
        lambda: np.zeros(array.shape, [("a", "f8")]),
        lambda: (array, array),
        lambda: {"x": array, 3: array},
        lambda: memoryview(np.ascontiguousarray(array)),
        lambda: np.eye(array.size) * pick(rng, [1, 0, -1, 1e-300, 1e300, np.nan]),
    ]
    return pick(rng, makes)()


def _array_case(rng: np.random.Generator, folder: Path) -> Outcome:
    base = nets()[0] if rng.random() < 0.6 else pick(rng, nets()[:3])
    x = next(iter(base.feeds.values()))
    if rng.random() < 0.5:
        return Outcome([_array_file(base, x, rng, folder)])
    bad, role = _in_memory(x, rng), int(rng.integers(8))
    model, hypothesis = base.model, sl.BackMeanDiff(threshold=0.1)
    halves = lambda chosen: bad  # noqa: E731
    uses: list[Callable[[], Any]] = [
        lambda: sl.load(model, hypothesis).inference(bad, 1, **QUICK),
        lambda: sl.load(model, hypothesis).inference(x, bad, **QUICK),
        lambda: sl.load(model, hypothesis).inference(x, 1, bad, **QUICK),
        lambda: sl.load(model, sl.ReferenceMeanDiff(threshold=0)).inference((x, bad), 1, **QUICK),
        lambda: sl.enclose(model, bad),
        lambda: sl.enclose(model, x, bad, 0, 1),
        lambda: sl.load(model, sl.BackMeanDiff(threshold=pick(rng, SCALARS))).inference(
            x, 1, precision=pick(rng, [1e-2, *SCALARS]), null_value=pick(rng, [0, *SCALARS]), max_iter=40
        ),
        lambda: sl.enclose(model, x, x, pick(rng, SCALARS), pick(rng, SCALARS)),
        lambda: sl.load(model, sl.Selection(output="y", eta=halves)).inference(x, 1, **QUICK),
    ]
    return Outcome([_step(uses[role], f"array {role}")])


def _array_file(base: Base, x: np.ndarray, rng: np.random.Generator, folder: Path) -> Step:
    """Through the command line."""
    onnx.save(base.model, folder / "model.onnx")
    sound, bad = folder / "sound.npy", folder / pick(rng, ["bad.npy", "bad.npy", "bad.npz"])
    np.save(sound, x)
    bad.write_bytes(mutated_npy(x, rng))
    role = pick(rng, ["input", "var", "mask", "reference"])
    words = [
        "audit",
        str(folder / "model.onnx"),
        str(bad if role == "input" else sound),
        "--threshold",
        "0.1",
    ]
    words += ["--precision", "0.01", "--var", str(bad) if role == "var" else "1"]
    words += ["--mask", str(bad)] if role == "mask" else []
    words += ["--hypothesis", "reference", "--reference", str(bad)] if role == "reference" else []
    return _step(lambda: main(words), f"file as {role}")


# ---- one case


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _step(do: Callable[[], Any], name: str) -> Step:
    """Run a step; a refusal is one sentence, and anything else must not be."""
    spoken, printed = io.StringIO(), io.StringIO()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # the default is to end the process
    try:
        with contextlib.redirect_stderr(spoken), contextlib.redirect_stdout(printed):
            do()
    except REFUSALS as error:
        _one_sentence(str(error))
        step = Step(f"{name} {type(error).__name__}")
        step.message = str(error)
        return step
    except SystemExit as error:
        if error.code not in (0, 1, 2):
            raise Wrong(f"{name} ended with {error.code}") from None
        if error.code == 2:
            _one_sentence(spoken.getvalue().strip())
        return Step(f"{name} ok" if error.code == 0 else f"{name} exit {error.code}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Step(f"{name} ok")


def _one_sentence(text: str) -> None:
    if not text or "\n" in text or len(text) > 2500:
        raise Wrong(f"not one sentence: {text[:300]!r}")


KINDS: dict[str, Callable[[np.random.Generator, Path], Outcome]] = {
    "models": _model_case,
    "certificates": _certificate_case,
    "arrays": _array_case,
}


def run_case(kind: str, seed: int, folder: Path) -> Outcome:
    """Run the case of this seed in an empty folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KINDS[kind](np.random.default_rng(seed), folder)
