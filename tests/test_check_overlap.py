"""The certificate of a verified perturbation analysis: true ones are confirmed, false ones are refused."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import explained_nets
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from test_boxes import attention, deep, made
from test_eva import Tiny

import sureline as sl
from sureline.cli import main
from symbolic.errors import OptionError

REFUSED = (sl.InvalidCertificate, sl.UnusableCertificate)


def pooled() -> onnx.ModelProto:
    """Convolution, padded MaxPool, a residual block and a Sigmoid."""
    rng = np.random.default_rng(2)
    weights = {"k": rng.normal(size=(2, 1, 3, 3)), "w": rng.normal(size=(18, 3))}
    nodes = [
        made("Conv", ["x", "k"], "c", pads=[1, 1, 1, 1]),
        made("Sigmoid", ["c"], "s"),
        made("Add", ["c", "s"], "r"),
        made("MaxPool", ["r"], "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        made("Flatten", ["p"], "f"),
        made("MatMul", ["f", "w"], "y"),
    ]
    return explained_nets.model(nodes, weights, [1, 1, 5, 5], [1, 3], np.float32)


CASES: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, Any]]] = {
    "dense": (explained_nets.dense, {"regions": 3}),
    "convolutional": (explained_nets.convolutional, {"regions": 2}),
    "pooled": (pooled, {"regions": 2}),
    "leaky": (lambda: deep("LeakyRelu"), {"regions": 2}),
    "attention": (attention, {"regions": 2}),
    "clipped": (explained_nets.dense, {"regions": 3, "clip": ("-3", "3/2")}),
    "contrast": (explained_nets.dense, {"regions": 3, "target": "2-0"}),
    "output": (explained_nets.dense, {"regions": 3, "head": "output"}),
}

CRUDER = {"attention", "output", "pooled"}
"""Where products of moving tensors, or a pool, make the checker's bounds wider."""


def saved(name: str, folder: Path, bounds: str = "zonotope", radius: str = "1/32") -> sl.EvaReport:
    build, options = CASES[name]
    model = build()
    value = model.graph.input[0]
    shape = [max(d.dim_value, 1) for d in value.type.tensor_type.shape.dim]
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    x = np.clip(np.random.default_rng(4).normal(size=shape), -3, 1.5).astype(kind)
    report = sl.eva(model, x, radius, bounds=bounds, **options)
    sl.save_eva(report, folder)
    onnx.save(model, folder.parent / "model.onnx")
    np.save(folder.parent / "x.npy", x)
    return report


# ---- true certificates ---------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", ["interval", "linear", "zonotope"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_report_is_confirmed(name: str, bounds: str, tmp_path: Path) -> None:
    report = saved(name, tmp_path / "c", bounds)
    found = sl.check(tmp_path / "c", model=tmp_path / "model.onnx", input=tmp_path / "x.npy")
    assert isinstance(found, sl.OverlapReport) and found.valid
    assert found.regions == report.labels.max() + 1 and found.chosen == report.chosen
    assert found.model_checked and found.input_checked
    low, high = found.overlap
    assert low is not None and high is not None
    assert 0 <= Fraction(report.overlap[0]) - low + Fraction(1, 10**9) < Fraction(1, 10**8)
    assert high >= Fraction(report.overlap[0])
    if name not in CRUDER:
        width = report.overlap[1] - report.overlap[0]
        assert float(high) <= report.overlap[1] + width / 64 + 1e-9
    assert found.robust == (high < 0) and found.counterexample == (low > 0)


def test_the_words_of_the_report(tmp_path: Path) -> None:
    net = Tiny(1)
    for radius, said in (
        ("1/1000", "nowhere in the ball does another class lead"),
        ("2", "somewhere in the"),
    ):
        sl.save_eva(sl.eva(net.model, net.x, radius, regions=3), tmp_path / "c")
        text = str(sl.check(tmp_path / "c"))
        assert said in text and "not compared with a file (--model)" in text
    saved("contrast", tmp_path / "d")
    assert "class 0 lead class 2" in str(sl.check(tmp_path / "d"))


def test_nothing_is_claimed_of_what_may_be_undefined(tmp_path: Path) -> None:
    weights = {"w": np.array([[1.0, 2.0], [2.0, 1.0]])}
    nodes = [made("Log", ["x"], "l"), made("MatMul", ["l", "w"], "y")]
    model = explained_nets.model(nodes, weights, [1, 2], [1, 2], np.float64)
    sl.save_eva(sl.eva(model, np.array([[1.0, 3.0]]), 2, regions=2), tmp_path / "c")
    assert "and inf (rounded here)" in str(sl.check(tmp_path / "c"))
    change(tmp_path / "c", lambda d: d["overlap"].__setitem__(1, "100"))
    with pytest.raises(sl.InvalidCertificate, match="undefined in the ball"):
        sl.check(tmp_path / "c")


def test_other_inputs_and_random_nodes(tmp_path: Path) -> None:
    weights = {"w": np.array([[1.0, -1.0], [0.5, 2.0]])}
    nodes = [
        made("Mul", ["x", "gate"], "g"),
        made("RandomNormalLike", ["g"], "n"),
        made("Add", ["g", "n"], "h"),
        made("MatMul", ["h", "w"], "y"),
    ]
    model = explained_nets.model(nodes, weights, [1, 2], [1, 2], np.float64)
    model.graph.input.append(helper.make_tensor_value_info("gate", onnx.TensorProto.DOUBLE, [1, 2]))
    x, gate = np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]])
    sl.save_eva(sl.eva(model, {"x": x, "gate": gate}, 1, regions=2, target=0, seed=3), tmp_path / "c")
    assert sl.check(tmp_path / "c", model=model).model_checked
    np.save(tmp_path / "c" / "input_1.npy", gate + 1)
    with pytest.raises(sl.InvalidCertificate, match="hash differs"):
        sl.check(tmp_path / "c")


# ---- false certificates --------------------------------------------------------------------------

Document = dict[str, Any]


def change(folder: Path, edit: Callable[[Document], Any], **files: np.ndarray | bytes) -> None:
    """Change the document, and files with their hashes."""
    document = json.loads((folder / "eva.json").read_text())
    for key, content in files.items():
        if not isinstance(content, bytes):
            stream = io.BytesIO()
            np.save(stream, content)
            content = stream.getvalue()
        entry = document["inputs"][0] if key == "input" else document[key]
        (folder / entry["file"]).write_bytes(content)
        entry["sha256"] = hashlib.sha256(content).hexdigest()
    edit(document)
    (folder / "eva.json").write_text(json.dumps(document))


def nothing(document: Document) -> None:
    """Change files alone."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tiny]:
    """The certificate of a net whose greatest leads are known."""
    folder = tmp_path_factory.mktemp("overlap") / "c"
    net = Tiny(3)
    sl.save_eva(sl.eva(net.model, net.x, "1/5", regions=3, clip=(-9, 9), bounds="zonotope"), folder)
    assert sl.check(folder).valid
    return folder, net


@pytest.fixture
def false(tiny: tuple[Path, Tiny], tmp_path: Path) -> tuple[Path, Tiny]:
    shutil.copytree(tiny[0], tmp_path / "c")
    return tmp_path / "c", tiny[1]


def refused(folder: Path, match: str) -> None:
    with pytest.raises(REFUSED, match=match) as caught:
        sl.check(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("region", [-1, 0, 1, 2])
def test_no_end_beyond_the_true_overlap(region: int, false: tuple[Path, Tiny]) -> None:
    """Ends on the wrong side of the optimum over all activation patterns, by as little as its accuracy."""
    folder, net = false
    held = np.arange(3) == region
    true = net.overlap(*(np.where(held, net.x[0], net.x[0] + s * 0.2) for s in (-1, 1)))
    for k, margin in ((0, 1e-6), (1, -1e-6)):
        original = (folder / "eva.json").read_bytes()

        def edit(d: Document, k: int = k, margin: float = margin) -> None:
            pair = d["overlap"] if region < 0 else d["held"][region]
            pair[k] = str(Fraction(true + margin))
            d["importance"] = [["0", None]] * 3

        change(folder, edit)
        refused(folder, f"the {('lower', 'upper')[k]} end of the overlap of the ball.*not confirmed")
        (folder / "eva.json").write_bytes(original)


def test_importances_follow_from_the_overlaps(false: tuple[Path, Tiny]) -> None:
    folder, _ = false
    stored = json.loads((folder / "eva.json").read_text())["importance"]
    least = Fraction(1, 10**12)
    for k in range(3):
        low, high = map(Fraction, stored[k])
        for pair in ([low + least, high], [low, high - least], [low, low - 1]):
            change(folder, lambda d, k=k, p=pair: d["importance"].__setitem__(k, list(map(str, p))))
            refused(folder, f"importance of region {k} does not follow")
        weaker = [str(low - 1), None]
        change(folder, lambda d, k=k, p=weaker: d["importance"].__setitem__(k, p))
        assert sl.check(folder).valid


def test_points_outside_their_ball(false: tuple[Path, Tiny]) -> None:
    folder, net = false
    points = np.load(folder / "points.npy")
    for row, element in ((0, 0), (0, 2), (2, 1), (3, 2)):
        moved = points.copy()
        # the ball's own element is moved out of it; one of a held region by the least there is
        moved[row, 0, element] = (
            net.x[0, element] + 0.2001 if row == 0 else np.nextafter(net.x[0, element], 9)
        )
        change(folder, nothing, points=moved)
        refused(folder, "lies outside it")
    change(folder, nothing, points=np.where(np.isfinite(points), np.nan, points))
    refused(folder, "points.npy")


def test_a_larger_ball_is_not_confirmed_by_the_same_ends(false: tuple[Path, Tiny]) -> None:
    folder, _ = false
    change(folder, lambda d: d.__setitem__("radius", "2/5"))
    refused(folder, "upper end")
    change(folder, lambda d: d.__setitem__("radius", "1/50"))
    refused(folder, "lies outside it")


def test_another_question(false: tuple[Path, Tiny]) -> None:
    folder, net = false
    stored = json.loads((folder / "eva.json").read_text())
    other = stored["others"][0]
    for edit, match in (
        (lambda d: d.update({"class": other, "others": [c for c in range(3) if c != other]}), "end of"),
        (lambda d: d.update(others=[3]), "a class beyond"),
        (lambda d: d.update(others=[]), "different classes"),
        (lambda d: d.update(others=[d["class"]]), "different classes"),
        (lambda d: d.update(others=[-1]), "different classes"),
        (lambda d: d.update(others=[True]), "different classes"),
        (lambda d: d.update(scores="r"), "elements|end of"),
        (lambda d: d.update(scores="x"), "no tensor 'x'"),
        (lambda d: d.update(clip=[str(Fraction(float(net.x.max()))), "9"]), "outside the clip|outside it"),
        (lambda d: d.update(clip=["9", "-9"]), "outside the clip"),
        (lambda d: d.update(radius="0"), "not positive"),
        (lambda d: d.update(radius="1/0"), "radius"),
        (lambda d: d.update(radius="1e9"), "radius"),
        (lambda d: d.update(moving=1), "moving names no input"),
        (lambda d: d.update(moving=-1), "moving"),
        (lambda d: d["held"].pop(), "a label names no region|do not fit"),
        (lambda d: d["held"].append(["0", "1"]), "do not fit"),
        (lambda d: d["importance"].pop(), "not every region"),
        (lambda d: d["overlap"].append("0"), "no pair"),
        (lambda d: d["overlap"].__setitem__(0, 0.5), "inexact number"),
        (lambda d: d["overlap"].__setitem__(0, "9" * 10**5), "overlap"),
        (lambda d: d.update(zones=1), "zones"),
        (lambda d: d.update(version=2), "version"),
        (lambda d: d.update(format="sureline"), "no EVA certificate"),
        (lambda d: d.update(extra=1), "does not have the fields"),
        (lambda d: d.pop("zones"), "does not have the fields"),
        (lambda d: d["network"].update(file="../model.onnx"), "no name"),
        (lambda d: d["network"].update(sha256="0" * 64), "hash differs"),
        (lambda d: d["inputs"][0].update(name="y"), "input"),
        (lambda d: d.update(inputs=[]), "moving|input"),
    ):
        (folder / "eva.json").write_text(json.dumps(stored))
        change(folder, edit)
        refused(folder, match)
    (folder / "eva.json").write_text("[1, 2")
    refused(folder, "eva.json")


def test_other_files(false: tuple[Path, Tiny]) -> None:
    folder, net = false
    labels, x = np.load(folder / "labels.npy"), np.load(folder / "input_0.npy")
    stored = {p.name: p.read_bytes() for p in folder.iterdir()}

    def again() -> None:
        for name, content in stored.items():
            (folder / name).write_bytes(content)

    for wrong, match in (
        (np.roll(labels, 1), "lies outside it|not confirmed"),
        (labels[0], "labels do not fit"),
        (labels.astype(float), "labels do not fit"),
        (labels + 1, "names no region"),
        (labels - 1, "names no region"),
    ):
        change(folder, nothing, labels=wrong)
        refused(folder, match)
        again()
    change(folder, nothing, input=x + 1)
    refused(folder, "lies outside it|not confirmed")
    again()
    model = onnx.load(folder / "model.onnx")
    kept = {t.name: t for t in model.graph.initializer}
    kept["w"].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kept["w"]) * 2, "w"))
    change(folder, nothing, network=model.SerializeToString())
    refused(folder, "not confirmed")
    again()
    kept["w"].CopyFrom(numpy_helper.from_array(net.w, "overlap/zero"))
    change(folder, nothing, network=model.SerializeToString())
    refused(folder, ".")
    again()
    for name in stored:
        (folder / name).unlink()
        refused(folder, name if name != "eva.json" else "certificate.json")
        (folder / name).write_bytes(stored[name][:-5])
        refused(folder, ".")
        again()


def test_another_model_or_input(false: tuple[Path, Tiny]) -> None:
    folder, net = false
    assert sl.check(folder, model=net.model, input=net.x).valid
    with pytest.raises(sl.InvalidCertificate, match="another model|not the one|differs"):
        sl.check(folder, model=Tiny(4).model)
    with pytest.raises(sl.InvalidCertificate, match="another input"):
        sl.check(folder, input=np.nextafter(net.x, 9))
    for further in ({"reference": net.x}, {"sample": 3, "seed": 0}):
        with pytest.raises(sl.UnusableCertificate, match="no reference"):
            sl.check(folder, **further)  # type: ignore[arg-type]


@pytest.mark.parametrize("counted", [False, True])
def test_scores_that_the_model_has_not(counted: bool, false: tuple[Path, Tiny]) -> None:
    """A node behind the model's own, whose output is said to be the scores."""
    folder, net = false
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(made("Neg", ["y"], "mine"))

    def edit(d: Document) -> None:
        d["scores"] = "mine"
        d["overlap"], d["held"] = [None, None], [[None, None]] * 3
        d["importance"] = [["0", None]] * 3
        d["model"]["nodes"] += counted

    change(folder, edit, network=model.SerializeToString())
    with pytest.raises(sl.InvalidCertificate if counted else REFUSED, match="nodes"):
        sl.check(folder, model=net.model)


# ---- writing and the command line ----------------------------------------------------------------


def test_a_report_that_was_read_has_no_evidence(tmp_path: Path) -> None:
    from dataclasses import replace

    report = saved("dense", tmp_path / "c")
    with pytest.raises(OptionError, match="no evidence"):
        sl.save_eva(replace(report, evidence=None), tmp_path / "d")
    sl.save_eva(report, tmp_path / "c")  # an older certificate is replaced
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "mine.txt").write_text("kept")
    with pytest.raises(OptionError):
        sl.save_eva(report, tmp_path / "e")
    assert (tmp_path / "e" / "mine.txt").read_text() == "kept"


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Tiny(1)
    onnx.save(net.model, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", net.x)
    paths = [str(tmp_path / name) for name in ("m.onnx", "x.npy", "c")]
    for words, code, said in (
        (["eva", *paths[:2], "--radius", "1/1000", "--regions", "3", "--certificate", paths[2]], 0, "proved"),
        (["check", paths[2], "--model", paths[0], "--input", paths[1]], 0, "model: the one given"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code in (code, None) and said in capsys.readouterr().out
    change(tmp_path / "c", lambda d: d["overlap"].__setitem__(1, "-9"))
    with pytest.raises(SystemExit) as stopped:
        main(["check", paths[2]])
    captured = capsys.readouterr()
    assert stopped.value.code == 1 and "not confirmed" in captured.out + captured.err
