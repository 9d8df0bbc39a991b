"""The checker accepts a true certificate and rejects every false one."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_nets
from check_folder import Folder, npy
from onnx import numpy_helper

import sureline as sl
from verifier.check.checking import InvalidCertificate, UnusableCertificate, check

Change = Callable[[Folder], Any]


def document(*path: Any, to: Any) -> Change:
    """Set a field of certificate.json."""

    def change(folder: Folder) -> None:
        place = folder.document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def initializer(name: str, value: Any) -> Change:
    """Replace a stored tensor of audited.onnx."""

    def change(folder: Folder) -> None:
        for tensor in folder.audited.graph.initializer:
            if tensor.name == name:
                dtype = numpy_helper.to_array(tensor).dtype
                tensor.CopyFrom(numpy_helper.from_array(np.array(value, dtype=dtype), name))

    return change


def node(index: int, **fields: Any) -> Change:
    """Change fields of a node of audited.onnx."""

    def change(folder: Folder) -> None:
        for key, value in fields.items():
            if isinstance(value, list):
                getattr(folder.audited.graph.node[index], key)[:] = value
            else:
                setattr(folder.audited.graph.node[index], key, value)

    return change


def both(*changes: Change) -> Change:
    def change(folder: Folder) -> None:
        for c in changes:
            c(folder)

    return change


def covariance(kind: str, values: Any) -> Change:
    def change(folder: Folder) -> None:
        folder.document["noise"] = {
            "kind": kind,
            "file": "var.npy",
            "source": None,
            "degrees_of_freedom": None,
        }
        folder.files["var.npy"] = npy(np.array(values))

    return change


def observed(byte: bytes) -> Change:
    return document("observed", 0, "values", to=base64.b64encode(byte).decode())


ENDS = [("-3/2", 0, 0), ("-5/4", 0, 1), ("-1/4", 0, 1)]


def ends(*listed: tuple[str, int, int]) -> Change:
    return document("ends", to=[{"t": t, "output": k, "element": i} for t, k, i in listed])


def near(end: str) -> str:
    return str(Fraction(end) + Fraction(1, 10**30))


CLOSE = f"-1{'0' * 9000}/4{'0' * 8999}1"  # greater than -1/4 by about 10**-9001
CELL = ("cells", 5)
FALSE: dict[str, Change] = {
    "an end moved outwards": both(document("cells", 2, 1, to="-9/8"), document("cells", 3, 0, to="-9/8")),
    "an end moved inwards": both(document("cells", 2, 0, to="-25/16"), document("cells", 1, 1, to="-25/16")),
    "an end moved by very little": both(
        document("cells", 4, 1, to=f"{-(2**79) - 1}/{2**81}"),
        document("cells", 5, 0, to=f"{-(2**79) - 1}/{2**81}"),
    ),
    "a verdict": document("cells", 3, to=["-5/4", "-3/4", "inside"]),
    "the verdict of a ray": document("cells", 0, to=["-inf", "-2", "inside"]),
    "the other ray": document("cells", 6, to=["2", "inf", "outside", 0, 0]),
    "a witness": document("cells", 3, 4, to=0),
    "a witness that does not exist": document("cells", 3, 4, to=2),
    "an output that does not exist": document("cells", 3, 3, to=1),
    "a hole": document("cells", 3, 0, to="-9/8"),
    "no end": document("cells", 6, 1, to="7"),
    "no start": document("cells", 0, 0, to="-7"),
    "an empty cell": document("cells", 3, 1, to="-5/4"),
    "a cell less for p": document("cells", 2, to=["-3/2", "-5/4", "gap"]),
    "inf_p": document("claim", "inf_p", to="0.72472249124"),
    "sup_p": document("claim", "sup_p", to="0.72472249123"),
    "log_inf_p": document("claim", "log_inf_p", to="-0.3219664681"),
    "log_sup_p": document("claim", "log_sup_p", to="-0.3219664682"),
    "sup_p above one": document("claim", "sup_p", to="1.1"),
    "negative inf_p": document("claim", "inf_p", to="-0.1"),
    "stat": document("claim", "stat", to="9/4"),
    "scale": document("line", "scale", to="1"),
    "the observed selection": observed(b"\x40"),
    "an empty observed selection": observed(b"\x00"),
    "a full observed selection": observed(b"\xc0"),
    "the observed shape": document("observed", 0, "shape", to=[2, 1]),
    "the observed output": document("observed", 0, "output", to="sureline/above"),
    "variance": document("noise", "value", to="2"),
    "variance zero": document("noise", "value", to="0"),
    "a covariance": covariance("full", [[1.0, 0.5], [0.5, 1.0]]),
    "a covariance that is not symmetric": covariance("full", [[1.0, 0.0], [1e-300, 1.0]]),
    "a covariance that is not definite": covariance("full", [[1.0, 1.0 + 1e-11], [1.0 + 1e-11, 1.0]]),
    "a covariance of the wrong shape": covariance("full", np.eye(3)),
    "variances": covariance("diagonal", [1.0, 2.0]),
    "variances not positive": covariance("diagonal", [1.0, -1.0]),
    "null value": document("law", "null_value", to="1"),
    "alternative": document("law", "alternative", to="less"),
    "threshold": document("hypothesis", "threshold", to="1/4"),
    "threshold in both places": both(
        document("hypothesis", "threshold", to="1/4"), initializer("sureline/threshold", 0.25)
    ),
    "stored threshold": initializer("sureline/threshold", 0.25),
    "hypothesis": document("hypothesis", "name", to="ReferenceMeanDiff"),
    "normalisation": document("hypothesis", "use_norm", to=True),
    "post-process": document("hypothesis", "post_process", to=[{"name": "Neg"}]),
    "a mask that is not there": document("hypothesis", "mask", to=True),
    "i_idx": document("hypothesis", "i_idx", to=1),
    "o_idx": document("hypothesis", "o_idx", to=1),
    "conditioning": document("conditioning", to="activation_pattern"),
    "a weight": initializer("w2", [[1, 0], [0, 1], [0, -1]]),
    "a small change of a weight": initializer("w2", [[1, 0], [0, 1 + 1e-6], [0, -2]]),
    "an input": lambda folder: setattr(folder, "input", np.array([[2.0, 0.5]])),
    "a small change of the input": lambda folder: setattr(folder, "input", np.array([[2.0, 0.25 + 1e-12]])),
    "the shape of the input": lambda folder: setattr(folder, "input", np.array([2.0, 0.25])),
    "name of the input": document("inputs", 0, "name", to="y"),
    "no inputs": document("inputs", to=[]),
    "counts of the model": document("model", "nodes", to=4),
    "too large counts": document("model", "initializers", to=9),
    "an operator of the selection": node(4, op_type="Less"),
    "names of the selection": node(5, name="other"),
    "inputs of the selection": node(4, input=["sureline/threshold", "sureline/score"]),
    "a node too many": lambda folder: folder.audited.graph.node.extend(
        [onnx.helper.make_node("Identity", ["h"], ["sureline/more"], name="sureline/more")]
    ),
    "a constant too many": lambda folder: folder.audited.graph.initializer.append(
        numpy_helper.from_array(np.ones(1), "sureline/more")
    ),
    "an operator that is not supported": node(1, op_type="Erf"),
    "a reference": both(
        document("reference", to={"file": "reference.npy"}),
        lambda folder: folder.files.update({"reference.npy": npy(folder.input)}),
    ),
    "hash of the input": document("inputs", 0, "sha256", to="0" * 64),
    "an exact end moved": ends((near("-3/2"), 0, 0), *ENDS[1:]),
    "an exact end moved with its cells": both(
        ends(ENDS[0], (near("-5/4"), 0, 1), ENDS[2]),
        document("cells", 2, 1, to=near("-5/4")),
        document("cells", 3, 0, to=near("-5/4")),
    ),
    "an exact end moved the other way": both(
        ends(*ENDS[:2], (near("-1/4"), 0, 1)),
        document("cells", 4, 1, to=str(Fraction(-1, 4) - Fraction(1, 10**30))),
        document("cells", 5, 0, to=str(Fraction(-1, 4) - Fraction(1, 10**30))),
    ),
    "an end moved by next to nothing": both(
        document("cells", 4, 1, to=CLOSE), document("cells", 5, 0, to=CLOSE)
    ),
    "the element of an end": ends(("-3/2", 0, 1), *ENDS[1:]),
    "the output of an end": ends(("-3/2", 1, 0), *ENDS[1:]),
    "the element of an end and of its cell": both(
        ends(("-3/2", 0, 1), *ENDS[1:]), document("cells", 1, 4, to=1)
    ),
    "an end twice": ends(ENDS[0], *ENDS),
    "ends out of order": ends(*ENDS[::-1]),
    "an end between two cells outside": ends(*ENDS[:2], ("-3/4", 0, 1)),
    "an end between two cells inside": ends(*ENDS, ("2", 0, 0)),
    "an end within a cell": ends(("-1", 0, 1)),
    "an end at a gap": both(
        ends(*ENDS),
        document("cells", 3, to=["-5/4", "-3/4", "gap"]),
        document("claim", "inf_p", to="0"),
        document("claim", "sup_p", to="1"),
        document("claim", "log_inf_p", to="-inf"),
        document("claim", "log_sup_p", to="0"),
    ),
}

UNUSABLE: dict[str, Change] = {
    "format": document("format", to="other"),
    "version": document("version", to=2),
    "no cells": document("cells", to=[]),
    "a missing field": lambda folder: folder.document.pop("law"),
    "another field": document("more", to=1),
    "a float": document("version", to=1.0),
    "a boolean as a number": document("version", to=True),
    "not a rational": document("claim", "stat", to="1.75"),
    "not in lowest terms": document("claim", "stat", to="14/8"),
    "too many digits": document("claim", "stat", to="1" * 5000),
    "a huge exponent": document("claim", "inf_p", to="1e-9999999"),
    "a path": document("inputs", 0, "file", to="../input_0.npy"),
    "a missing file": document("inputs", 0, to={"name": "x", "file": "input_7.npy", "sha256": "0" * 64}),
    "the law": document("law", "family", to="t"),
    "negative counts": document("model", "nodes", to=-1),
    "deep nesting": document("assumptions", to=json.loads("[" * 30 + "]" * 30)),
    "base64": document("observed", 0, "values", to="??"),
    "bits beyond the shape": observed(b"\x81"),
    "no observed output": document("observed", to=[]),
    "a seed of nothing": document("model", "seed", to=5),
    "no degrees of freedom": document("noise", "degrees_of_freedom", to="0"),
    "a t law of a known variance": document("law", "family", to="t"),
    "a randomised law without noise": document("law", "family", to="randomised-normal"),
    "a length that is tested on two sides": document("law", "family", to="chi"),
    "a margin that is negative": document("law", "null_margin", to="-1"),
    "an operator set of the future": lambda folder: setattr(folder.audited.opset_import[0], "version", 1000),
    "a step that is not known": document("hypothesis", "post_process", to=[{"name": "Exp"}]),
    "an infinite input": lambda folder: setattr(folder, "input", np.array([[np.inf, 0.25]])),
    "a pickled input": lambda folder: folder.files.update(
        {"input_0.npy": npy(np.array([[None, 1]], dtype=object))}
    ),
    "a truncated input": lambda folder: folder.files.update({"input_0.npy": npy(folder.input)[:-1]}),
    "a truncated model": lambda folder: folder.files.update(
        {"audited.onnx": folder.audited.SerializeToString()[:-9]}
    ),
    "a huge declared array": lambda folder: folder.files.update(
        {"input_0.npy": npy(folder.input).replace(b"(1, 2)", b"(9999999999, 2)")[:128]}
    ),
    "ends that are none": document("ends", to=["-3/2"]),
    "an end with another field": document("ends", to=[{"t": "-3/2", "output": 0, "element": 0, "more": 1}]),
    "an end that is no number": ends(("-1.5", 0, 0)),
    "more ends than cells": ends(*ENDS * 3),
    "an end of a cell with too many digits": both(
        document("cells", 5, 1, to="2" * 20_001), document("cells", 6, 0, to="2" * 20_001)
    ),
    "an initializer twice": lambda folder: folder.audited.graph.initializer.append(
        folder.audited.graph.initializer[0]
    ),
}


def test_a_true_certificate_is_valid(tmp_path: Path) -> None:
    folder = Folder()
    path = folder.write(tmp_path / "audit")
    onnx.save(folder.model, tmp_path / "x.onnx")
    report = check(path, model=folder.model, input=folder.input)
    assert report.valid and report.model_checked and report.input_checked and report.eta_rederived
    assert (report.cells, report.inside, report.outside, report.gaps) == (7, 3, 4, 0)
    assert "0.72472249123 <= p" in str(report)
    assert not check(path).model_checked


@pytest.mark.parametrize("name", FALSE)
def test_a_false_certificate_is_invalid(name: str, tmp_path: Path) -> None:
    folder = Folder()
    FALSE[name](folder)
    with pytest.raises(InvalidCertificate) as caught:
        check(folder.write(tmp_path / "audit"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_read_is_unusable(name: str, tmp_path: Path) -> None:
    folder = Folder()
    UNUSABLE[name](folder)
    with pytest.raises(UnusableCertificate):
        check(folder.write(tmp_path / "audit"))


TRUE: dict[str, Change] = {
    "wider bounds": document("claim", "inf_p", to="0"),
    "no logarithm": document("claim", "log_inf_p", to="-inf"),
    "a verdict given up": both(
        document("cells", 6, to=["2", "inf", "gap"]),
        document("claim", "inf_p", to="0.5"),
        document("claim", "sup_p", to="1"),
        document("claim", "log_inf_p", to="-inf"),
        document("claim", "log_sup_p", to="0"),
    ),
    "a finer cut": lambda folder: folder.document["cells"].__setitem__(
        slice(5, 6), [["-1/4", "0", "inside"], ["0", "2", "inside"]]
    ),
    "an end that is not dyadic": both(document("cells", 5, 1, to="5/3"), document("cells", 6, 0, to="5/3")),
    "ends": ends(*ENDS),
    "some ends": ends(ENDS[1]),
    "an end of a cell with many digits": lambda folder: folder.document["cells"].__setitem__(
        slice(6, 7), [["2", "1" * 20_000, "inside"], ["1" * 20_000, "inf", "inside"]]
    ),
    "an end of many digits next to another one": lambda folder: folder.document["cells"].__setitem__(
        slice(5, 6), [["-1/4", CLOSE, "inside"], [CLOSE, "2", "inside"]]
    ),
    "another true threshold": both(document("hypothesis", "threshold", to="1/2")),
    "the same variances": covariance("diagonal", [1.0, 1.0]),
    "the same covariance": covariance("full", np.eye(2)),
}


@pytest.mark.parametrize("name", TRUE)
def test_what_is_still_true_stays_valid(name: str, tmp_path: Path) -> None:
    folder = Folder()
    TRUE[name](folder)
    assert check(folder.write(tmp_path / "audit")).valid


def test_another_model_or_input_is_rejected(tmp_path: Path) -> None:
    folder = Folder()
    path = folder.write(tmp_path / "audit")
    with pytest.raises(InvalidCertificate):
        check(path, input=np.array([[2.0, 0.5]]))
    folder.model.graph.name = "other"
    with pytest.raises(InvalidCertificate):
        check(path, model=folder.model)
    other = Folder()  # the hash is right, but the audited graph is not of this model
    other.model.graph.node[1].op_type = "Abs"
    other.document["model"]["sha256"] = (
        __import__("hashlib").sha256(other.model.SerializeToString(deterministic=True)).hexdigest()
    )
    with pytest.raises(InvalidCertificate):
        check(other.write(tmp_path / "two"), model=other.model)


def with_data_outside(model: onnx.ModelProto, folder: Path, **changes: str) -> Path:
    """The model as a file, its first initializer's data in another one."""
    outside = onnx.ModelProto()
    outside.CopyFrom(model)
    tensor = outside.graph.initializer[0]
    data = numpy_helper.to_array(tensor).tobytes()
    (folder / "w.bin").write_bytes(b"head" + data)
    for field in ("raw_data", "float_data", "double_data"):
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", "offset": "4", "length": str(len(data)), **changes}.items():
        tensor.external_data.add(key=key, value=value)
    (folder / "m.onnx").write_bytes(outside.SerializeToString())
    return folder / "m.onnx"


def test_a_model_with_data_outside(tmp_path: Path) -> None:
    model = small_nets.dense()
    path = with_data_outside(model, tmp_path)
    x = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)
    result = sl.audit(path, x, hypothesis=sl.BackMeanDiff(threshold=0), var=1, precision=1e-2)
    result.certificate.save(tmp_path / "audit")
    assert check(tmp_path / "audit", model=path).model_checked
    data = bytearray((tmp_path / "w.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "w.bin").write_bytes(bytes(data))
    with pytest.raises(InvalidCertificate):
        check(tmp_path / "audit", model=path)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link.bin").symlink_to(tmp_path / "w.bin")
    for location in (
        "../w.bin",
        str(tmp_path / "w.bin"),
        "link.bin",
        "",
        "none.bin",
        ".",
        "a\0b",
        "..\\w.bin",
    ):
        with pytest.raises(UnusableCertificate):
            check(tmp_path / "audit", model=with_data_outside(model, tmp_path / "inside", location=location))
    for changes in ({"length": "99999999"}, {"offset": "-1"}, {"length": "x"}, {"offset": "9" * 30}):
        with pytest.raises(UnusableCertificate):
            check(tmp_path / "audit", model=with_data_outside(model, tmp_path / "inside", **changes))


def test_arguments_of_another_kind(tmp_path: Path) -> None:
    path = Folder().write(tmp_path / "audit")
    for arguments in ({"path": None}, {"path": 5}, {"path": path, "model": 3}, {"path": path, "model": b"x"}):
        with pytest.raises(UnusableCertificate):
            check(**arguments)
    with pytest.raises(UnusableCertificate):
        check(path, input=[[1], [1, 2]])


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    path = Folder().write(tmp_path / "audit")
    (path / "input_0.npy").rename(tmp_path / "elsewhere.npy")
    os.symlink(tmp_path / "elsewhere.npy", path / "input_0.npy")
    with pytest.raises(UnusableCertificate):
        check(path)
    with pytest.raises(UnusableCertificate):
        check(tmp_path / "nothing")
    (path / "input_0.npy").unlink()
    (path / "input_0.npy").mkdir()
    with pytest.raises(UnusableCertificate):
        check(path)


def test_bytes_changed_anywhere_are_noticed(tmp_path: Path) -> None:
    path = Folder().write(tmp_path / "audit")
    rng = np.random.default_rng(0)
    for name in ("audited.onnx", "input_0.npy"):
        good = (path / name).read_bytes()
        for _ in range(10):
            bad = bytearray(good)
            bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
            (path / name).write_bytes(bytes(bad))
            with pytest.raises(InvalidCertificate):
                check(path)
        (path / name).write_bytes(good)
    good = (path / "certificate.json").read_bytes()
    for _ in range(150):
        bad = bytearray(good)
        bad[int(rng.integers(len(bad)))] = int(rng.integers(32, 127))
        (path / "certificate.json").write_bytes(bytes(bad))
        try:
            report = check(path)
        except (InvalidCertificate, UnusableCertificate):
            continue
        assert float(report.inf_p) <= 0.724722491237 <= float(report.sup_p)
