"""Names of si4onnx outside the audit itself, and the writing of certificate folders."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference import storage
from inference.migration import NN, SyntheticDataset, thresholding, truncated_interval, warn_ignored
from inference.storage import write_folder
from symbolic.errors import InputError, OptionError

FILES = {"certificate.json": b"{}", "audited.onnx": b"\x08\x08", "input_0.npy": b"x"}


def test_ignored_options_warn_once_each() -> None:
    with pytest.warns(UserWarning, match="n_jobs|step") as caught:
        said = warn_ignored(n_jobs=2, step=1e-6, memoization=None)
    assert len(caught) == len(said) == 2
    with pytest.raises(OptionError, match="typo"):
        warn_ignored(typo=1)


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        # Hashes of data, masks and labels of si4onnx 0.1.13, as float64.
        ({"n_samples": 3, "shape": 12}, "b432209de8be4f77"),
        ({"n_samples": 4, "shape": (8, 10), "local_signal": 2.0, "seed": 5}, "188ffaa5f974513f"),
        (
            {
                "n_samples": 2,
                "shape": (3, 9, 7),
                "loc": 1,
                "scale": 2,
                "local_signal": -1,
                "local_size": 4,
                "seed": 7,
            },
            "884d7760d79d76e3",
        ),
    ],
)
def test_synthetic_data_are_the_draws_of_si4onnx(options: dict[str, object], digest: str) -> None:
    data = SyntheticDataset(**options)
    parts = [np.asarray(part, dtype=np.float64).tobytes() for part in (data.data, data.masks, data.labels)]
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == digest
    image, mask, label = data[1]
    assert image.dtype == mask.dtype == label.dtype == np.float32
    assert image.shape == mask.shape == data.data.shape[1:] and label.shape == ()
    assert len(data) == options["n_samples"] and len(list(data)) == len(data)


def test_synthetic_data_options() -> None:
    for options in ({"shape": 6, "local_size": 6}, {"shape": (1, 2, 3, 4)}):
        with pytest.raises(OptionError):
            SyntheticDataset(2, **options)


def exact_interval(a: list[int], b: list[int]) -> tuple[float, float]:
    """By its definition, in rationals."""
    lower, upper = -math.inf, math.inf
    for p, q in zip(a, b, strict=True):
        if q == 0 and p < 0:
            return math.inf, -math.inf
        if q > 0:
            lower = max(lower, Fraction(-p, q))
        if q < 0:
            upper = min(upper, Fraction(-p, q))
    return (float(lower), float(upper)) if lower <= upper else (math.inf, -math.inf)


def test_truncated_interval_by_its_definition() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        a, b = rng.integers(-2, 8, size=5), rng.integers(-2, 3, size=5)
        assert truncated_interval(a, b) == exact_interval(a.tolist(), b.tolist())
    assert truncated_interval([0.0], [0.0]) == (-math.inf, math.inf)
    assert truncated_interval([0.0, 5.0], [1.0, 1.0]) == (0.0, math.inf)
    assert truncated_interval([-1.0], [0.0]) == (math.inf, -math.inf)
    with pytest.raises(InputError):
        truncated_interval([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("options", [{}, {"use_norm": True}, {"use_sigmoid": True}])
def test_thresholding_holds_on_its_interval(options: dict[str, bool]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        a, b, z = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), float(rng.normal())
        index, l, u = thresholding(0.4, None, a, b, -5.0, 5.0, z, **options)
        assert -5 <= l <= z <= u <= 5 and index.shape == (6,)
        for other in np.linspace(l, u, 9)[1:-1]:
            s = (a + b * other).ravel()
            if options.get("use_norm"):
                s = (s - s.min()) / (s.max() - s.min())
            if options.get("use_sigmoid"):
                s = 1 / (1 + np.exp(-s))
            np.testing.assert_array_equal(index, (s > 0.4).astype(int))
    index, _, _ = thresholding(0.4, None, np.ones(3), np.zeros(3), -1.0, 1.0, 0.0, use_norm=True)
    assert not index.any()


def test_a_network_runs_forward() -> None:
    pytest.importorskip("onnxruntime")
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("RandomNormalLike", ["x"], ["e"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 3)) for name in ("y", "e")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.array([[-1.0, 0.1, 2.0]])
    y, e = NN(model, seed=3).forward(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0).astype(np.float32))
    np.testing.assert_array_equal(e, np.random.default_rng(3).normal(size=(1, 3)).astype(np.float32))
    del model.graph.node[1], model.graph.output[1]
    with pytest.warns(UserWarning, match="memoization"):
        network = NN(onnx.load_from_string(model.SerializeToString()), memoization=True)
    np.testing.assert_array_equal(network(x), y)
    with pytest.raises(OptionError, match="truncation_set"):
        network.forward_si(x)
    with pytest.raises(InputError, match="shape"):
        network.forward(np.zeros((2, 4)))


# Certificate folders


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("exchange", [True, False])
def test_folders_are_written_and_replaced(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(storage, "_exchange", lambda one, other: False)
    target = tmp_path / "deep" / "audit"
    assert write_folder(target, {**FILES, "reference.npy": b"r"}) == target
    write_folder(target, FILES)
    assert contents(target) == FILES
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "empty"]
    assert [path.name for path in target.parent.iterdir()] == ["audit"]
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert target.stat().st_mode & 0o777 == 0o777 & ~umask


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "certificate.json").write_text("mine")
    write_folder(tmp_path / "audit", FILES)
    (tmp_path / "link").symlink_to(tmp_path / "audit")
    for name in ("file", "folder", "half", "link"):
        with pytest.raises(OptionError, match="exists"):
            write_folder(tmp_path / name, FILES)
    (tmp_path / "audit" / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match=r"notes\.txt"):
        write_folder(tmp_path / "audit", FILES)
    with pytest.raises(OptionError, match="cannot be written"):
        write_folder(tmp_path / "file" / "audit", FILES)
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(OptionError, match="file name"):
            write_folder(tmp_path / "new", {name: b""})
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("where", ["_fill", "_flush_folder", "_move_into_place"])
def test_an_interrupt_leaves_what_was_there(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "audit", FILES)

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, where, interrupted)
    for name in ("audit", "new"):
        with pytest.raises(KeyboardInterrupt):
            write_folder(tmp_path / name, {**FILES, "certificate.json": b"new"})
    assert contents(tmp_path / "audit") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_a_failed_second_rename_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "audit", FILES)
    monkeypatch.setattr(storage, "_exchange", lambda one, other: False)
    rename, calls = os.rename, []

    def failing(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(storage.os, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "audit", {**FILES, "certificate.json": b"new"})
    assert contents(tmp_path / "audit") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_while_writing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell ignores it
        "from inference import storage\n"
        "def slow(folder, files):\n"
        "    (folder / 'half').write_bytes(b'x')\n"
        "    print('now', flush=True)\n"
        "    time.sleep(60)\n"
        "storage._fill = slow\n"
        "storage.write_folder(sys.argv[1], {'certificate.json': b''})\n"
    )
    root = Path(__file__).resolve().parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "audit")],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None and child.stdout.readline() == b"now\n"
    child.send_signal(signal.SIGINT)
    child.wait(20)
    child.stdout.close()
    assert not list(tmp_path.iterdir())
