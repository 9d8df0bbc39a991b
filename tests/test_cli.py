"""The command line: what it prints, its exit codes, and one clear sentence for each bad input."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from flint import arb, ctx
from onnx import TensorProto, helper, numpy_helper

from sureline.cli import main

ROOT = Path(__file__).parent.parent
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; give exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def small_model(path: Path, *, op: str = "Relu", width: object = 2) -> Path:
    """The network of docs/certificate.md: (x1, x2) -> (Relu(x1), Relu(x2) - 2 Relu(x2 - 1))."""
    weights = {
        "w1": np.array([[1, 0, 0], [0, 1, 1]], np.float32),
        "b1": np.array([0, 0, -1], np.float32),
        "w2": np.array([[1, 0], [0, 1], [0, -2]], np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node(op, ["h"], ["r"], name="middle"),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    shape = [1, width]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with model.onnx and x.npy."""
    small_model(tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", np.array([[2.0, 0.25]]))
    return tmp_path


def usual(files: Path) -> list[object]:
    return ["audit", files / "model.onnx", files / "x.npy", "--var", "1", "--threshold", "1/2"]


# ---- What is printed ----


def test_help_is_fast(record_property: Callable[[str, object], None]) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "sureline", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    seconds = time.perf_counter() - start
    record_property("help_seconds", seconds)
    print(f"sureline --help: {seconds:.2f} s")
    assert {"audit", "check", "info"} <= set(done.stdout.split())


def test_json_of_the_worked_example(run: Run, files: Path) -> None:
    code, out, err = run(*usual(files), "--json", "--out", files / "audit")
    assert (code, err) == (0, "")
    record = json.loads(out)
    fields = (
        "stat p_value inf_p sup_p naive_p_value truncated_intervals roi_size cells seconds runtime_agrees"
    )
    fields += " alpha decision gap_mass log_sup_p certificate warnings"
    assert set(record) >= set(fields.split())
    assert record["stat"] == 1.75
    with ctx.workprec(200):
        a, b, right = ((arb(z) / 2).erfc() for z in (0.75, 1.25, 1.75))  # twice the tails, of variance 2
        left = (a - b) + (b - right)
        p = 2 * (1 - left / (left + right))
        assert record["inf_p"] <= p and p <= record["sup_p"] == record["p_value"]
    assert record["sup_p"] - record["inf_p"] <= 1e-15
    assert record["truncated_intervals"] == [["-5/4", "-3/4"], ["5/4", "inf"]]
    assert [end["exact"] for end in record["end_points"]] == [True] * 3
    assert record["naive_p_value"] == pytest.approx(0.21592494, abs=1e-8)
    assert (record["decision"], record["alpha"], record["roi_size"]) == ("accept", 0.05, 1)
    assert record["runtime_agrees"] is True
    ends = [end for interval in record["truncated_intervals"] for end in interval]
    assert all(isinstance(end, str) for end in ends)
    assert all(end in ("-inf", "inf") or Fraction(end) is not None for end in ends)
    assert record["certificate"] == str(files / "audit")


def test_text_says_what_is_and_is_not_claimed(run: Run, files: Path) -> None:
    code, out, _ = run(*usual(files))
    words = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert "with probability between 0.72472" in words
    assert "the difference is not established" in words
    assert "A large p-value is not evidence of no difference." in words


def test_check_valid_then_changed_then_unusable(run: Run, files: Path) -> None:
    folder = files / "audit"
    assert run(*usual(files), "--out", folder)[0] == 0
    code, out, _ = run("check", folder, "--model", files / "model.onnx", "--input", files / "x.npy")
    assert code == 0 and "Valid" in out

    path = folder / "certificate.json"
    claim = json.loads(path.read_text(encoding="utf-8"))
    claim["claim"]["sup_p"] = "0.01"
    claim["claim"]["inf_p"] = "0.009"
    path.write_text(json.dumps(claim), encoding="utf-8")
    code, out, _ = run("check", folder)
    assert code == 1 and "INVALID" in out

    path.write_text("{", encoding="utf-8")
    code, out, err = run("check", folder)
    assert code == 2 and err.startswith("sureline: ") and err.count("\n") == 1
    assert run("check", files / "nowhere")[0] == 2


def test_check_rejects_another_model_and_input(run: Run, files: Path) -> None:
    folder = files / "audit"
    assert run(*usual(files), "--out", folder)[0] == 0
    other = small_model(files / "other.onnx", op="Abs")
    assert run("check", folder, "--model", other)[0] == 1
    np.save(files / "other.npy", np.array([[2.0, 0.5]]))
    assert run("check", folder, "--input", files / "other.npy")[0] == 1
    other.write_bytes(b"not a model")
    code, _, err = run("check", folder, "--model", other)
    assert code == 2 and err.startswith("sureline: ") and err.count("\n") == 1


def test_info(run: Run, files: Path) -> None:
    code, out, _ = run("info", files / "model.onnx")
    assert code == 0
    assert all(word in out for word in ("Gemm", "Relu", "MatMul", "float, shape 1 x 2", "exactly"))


def test_numbers_are_exact_decimals(run: Run, files: Path) -> None:
    command = [*usual(files), "--out", files / "audit"]
    command[command.index("1")] = "0.1"
    assert run(*command)[0] == 0
    written = json.loads((files / "audit" / "certificate.json").read_text(encoding="utf-8"))
    assert written["noise"]["value"] == "1/10"


@pytest.mark.parametrize(
    "more",
    [
        ["--normalize"],
        ["--post", "neg", "--post", "neg", "--post", "abs"],
        ["--hypothesis", "neighbor", "--neighborhood-range", "1"],
        ["--mode", "exhaustive"],
        ["--mode", "over-conditioning"],
        ["--stop", "decision", "--alpha", "0.1"],
        ["--alternative", "greater", "--null-value", "0.5"],
        ["--test-input", "x", "--output-name", "y"],
    ],
    ids=" ".join,
)
def test_options(run: Run, files: Path, more: list[str]) -> None:
    np.save(files / "x.npy", np.array([[2.0, 0.75]]))
    command = [*usual(files), "--json", *more]
    command[command.index("1/2")] = "7/8"
    code, out, err = run(*command)
    assert code == 0, err
    assert 0 <= json.loads(out)["inf_p"] <= json.loads(out)["sup_p"] <= 1


def test_input_difference(run: Run, files: Path) -> None:
    np.save(files / "x.npy", np.array([[-2.0, 0.25]]))
    code, out, err = run(*usual(files), "--post", "input-diff", "--post", "abs", "--json")
    assert code == 0, err
    assert json.loads(out)["stat"] == -2.25


def test_reference_and_variance_files(run: Run, files: Path) -> None:
    np.save(files / "r.npy", np.array([[0.5, 0.25]]))
    np.save(files / "v.npy", np.array([1.0, 2.0]))
    command = [*usual(files), "--hypothesis", "reference", "--reference", files / "r.npy", "--json"]
    command[command.index("1")] = files / "v.npy"
    code, out, err = run(*command)
    assert code == 0, err
    assert json.loads(out)["stat"] == 1.5


# ---- Bad input: one sentence, exit code 2, nothing written ----


def refused(run: Run, files: Path, *words: object) -> str:
    """The sentence, after checking its form and that no certificate folder was left behind."""
    code, out, err = run(*words, "--out", files / "audit")
    assert code == 2, (out, err)
    assert out == ""
    assert err.startswith("sureline: ") and err.count("\n") == 1 and "Traceback" not in err
    assert not [path for path in files.iterdir() if "audit" in path.name]
    return err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"1": "0"}, "positive"),
        ({"1": "-1"}, "positive"),
        ({"1": "nan"}, "--var"),
        ({"1": "one"}, "--var"),
        ({"1": "1e999999999"}, "--var"),
        ({"1/2": "1/0"}, "--threshold"),
        ({"1/2": "9"}, "region"),
        ({"1/2": "-9"}, "background"),
    ],
)
def test_bad_numbers(run: Run, files: Path, change: dict[str, str], words: str) -> None:
    assert words in refused(run, files, *[change.get(str(word), word) for word in usual(files)])


@pytest.mark.parametrize(
    ("covariance", "word"),
    [
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "definite"),
        (np.ones(3), "shape"),
    ],
)
def test_bad_covariance(run: Run, files: Path, covariance: np.ndarray, word: str) -> None:
    np.save(files / "v.npy", covariance)
    command = usual(files)
    command[command.index("1")] = files / "v.npy"
    assert word in refused(run, files, *command)


def test_bad_inputs(run: Run, files: Path) -> None:
    for bad in (
        np.array([[1.0, np.nan]]),
        np.array([[1.0, np.inf]]),
        np.zeros((1, 3)),
        np.array([["a", "b"]]),
    ):
        np.save(files / "x.npy", bad)
        refused(run, files, *usual(files))
    np.save(files / "x.npy", np.array([[1.0, None]], dtype=object), allow_pickle=True)
    assert "pickle" in refused(run, files, *usual(files))
    (files / "x.npy").write_bytes(pickle.dumps([1, 2]))
    refused(run, files, *usual(files))
    (files / "x.npy").unlink()
    assert "no such file" in refused(run, files, *usual(files))


def test_bad_models(run: Run, files: Path) -> None:
    path = files / "model.onnx"
    whole = path.read_bytes()
    for data in (b"", b"not a model", whole[: len(whole) // 2]):
        path.write_bytes(data)
        refused(run, files, *usual(files))
    small_model(path, op="Bernoulli")
    sentence = refused(run, files, *usual(files))
    assert "Bernoulli" in sentence and "middle" in sentence and "docs/operators.md" in sentence
    assert "NOT SUPPORTED" in run("info", path)[1]
    small_model(path)
    model = onnx.load(path)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="../outside.bin")
    path.write_bytes(model.SerializeToString())
    refused(run, files, *usual(files))


def test_tie_and_unknown_names(run: Run, files: Path) -> None:
    # -score 2 exceeds -1 everywhere but exactly at x2 = 1.
    np.save(files / "x.npy", np.array([[0.5, 1.0]]))
    command = [*usual(files), "--post", "neg"]
    command[command.index("1/2")] = "-1"
    assert "tie" in refused(run, files, *command)
    np.save(files / "x.npy", np.array([[2.0, 0.25]]))
    for more in (
        ["--test-input", "z"],
        ["--output-name", "z"],
        ["--input", "z=x.npy"],
        ["--input", "x"],
        ["--post", "blur"],
        ["--post", "average:2"],
        ["--hypothesis", "reference"],
        ["--neighborhood-range", "2"],
        ["--hypothesis", "sideways"],
        ["--alpha", "2"],
        ["--precision", "0"],
        ["--mask", files / "nowhere.npy"],
        ["--no-such-option"],
    ):
        refused(run, files, *usual(files), *more)


def test_an_existing_folder_is_not_overwritten(run: Run, files: Path) -> None:
    (files / "audit").mkdir()
    (files / "audit" / "mine.txt").write_text("keep", encoding="utf-8")
    code, _, err = run(*usual(files), "--out", files / "audit")
    assert code == 2 and err.count("\n") == 1
    assert [path.name for path in (files / "audit").iterdir()] == ["mine.txt"]


def test_interrupt_leaves_nothing(files: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    import inference.audit

    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(inference.audit, "load", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    try:
        code, out, err = run(*usual(files), "--out", files / "audit")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, out) == (130, "") and "interrupted" in err
    assert sorted(path.name for path in files.iterdir()) == ["model.onnx", "x.npy"]


def test_reader_that_goes_away(files: Path) -> None:
    if not shutil.which("true"):
        pytest.skip("needs the program true")
    words = " ".join(str(word) for word in ("info", files / "model.onnx"))
    command = f"'{sys.executable}' -m sureline {words} | true"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert "Traceback" not in done.stderr
