"""Calibration of an analysis: negative and positive controls, failures, processes, the command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from scipy.stats import norm
from small_nets import dense, model
from typer.testing import CliRunner

import sureline as sl
from inference.calibrate import calibrate
from sureline.calibrating import calibrate as command
from symbolic.errors import InputError, NoHypothesisError, NoiseError, OptionError

SIZE = 12
RULE = sl.BackMeanDiff(threshold=0.5, post_process=[sl.InputDiff(), sl.Abs()])


def loaded() -> sl.SelectiveInferenceModel:
    return sl.load(dense(size=SIZE), RULE)


def z_test(x: Any) -> float:
    """Without a selection: p is exactly uniform under the null."""
    return float(2 * norm.sf(abs(np.mean(x) * math.sqrt(np.size(x)))))


def awkward(x: Any) -> float:
    if x[0] > 1:
        raise NoHypothesisError("nothing is marked.")
    if x[0] < -1:
        raise RuntimeError("a\nfailure")
    return z_test(x)


def louder(x: Any) -> Any:
    return np.asarray(x) + 1


def test_negative_and_positive_control_of_a_network() -> None:
    options: dict[str, Any] = {"mean": np.zeros((1, SIZE)), "replicates": 60, "var": 1}
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    detector = sl.load(model([node], {}, [1, SIZE], [1, SIZE]), sl.BackMeanDiff(threshold=1))
    null = calibrate(detector, **options, check_every=30)
    assert null.control == "negative" and len(null.draws) == 60 and null.failed == 0
    assert null.null_false == 0 and null.holds and null.refused == 0
    assert sum(d.checked is True for d in null.draws) >= 1
    effect = np.zeros((1, SIZE))
    effect[0, :4] = 5
    planted = calibrate(detector, **options, effect=effect)
    assert planted.control == "positive" and planted.holds is None and planted.null_false > 40
    assert planted.rates[0].rejections > null.rates[0].rejections + 5


def test_the_same_in_two_processes() -> None:
    options: dict[str, Any] = {"mean": np.zeros((1, SIZE)), "replicates": 6, "var": 1, "seed": 4}
    seen: list[tuple[int, int | None]] = []
    two = calibrate(loaded(), **options, processes=2, progress=lambda *step: seen.append(step))
    one = calibrate(loaded(), **options)
    assert [d.sup_p for d in two.draws] == [d.sup_p for d in one.draws]
    assert seen[-1] == (6, 6)


def test_level_of_a_plain_test() -> None:
    x = np.random.default_rng(0).normal(size=(4000, 5))
    report = calibrate(z_test, x)
    assert report.holds and report.selective is not None and report.selective.inside_band
    assert calibrate(z_test, x, effect=louder).rates[0].rate > 0.5
    assert calibrate(z_test, 1.5 * x).holds is False


def test_nothing_is_discarded() -> None:
    x = np.random.default_rng(1).normal(size=(200, 5))
    report = calibrate(awkward, x)
    assert report.without_region == int(np.sum(x[:, 0] > 1)) > 0
    assert report.failed == int(np.sum(x[:, 0] < -1)) > 0
    assert report.selective is not None and report.selective.repetitions == 200 - report.without_region
    assert report.rates[0].rejections >= report.failed and report.holds is False
    assert report.messages["RuntimeError: a failure"] == report.failed
    assert "counted as rejections" in str(report)
    json.dumps(report.as_dict(), allow_nan=False)


def test_a_false_null_is_seen() -> None:
    mean = np.zeros((1, SIZE))
    mean[0, 3] = 1
    report = calibrate(loaded(), mean=mean, replicates=10, var=1)
    assert report.null_false > 0 and report.holds is False and "no negative control" in str(report)


def test_pairs_for_a_reference() -> None:
    rule = sl.ReferenceMeanDiff(threshold=0.5, post_process=[sl.InputDiff(), sl.Abs()])
    mean = np.linspace(-1, 1, SIZE).reshape(1, SIZE)
    report = calibrate(sl.load(dense(size=SIZE), rule), mean=mean, replicates=10, var="0.5")
    assert report.failed == 0 and report.null_false == 0 and report.selective is not None


def test_correlated_noise_has_its_covariance() -> None:
    from inference.replicates import Replicates

    wanted = np.array([[2.0, 0.5], [0.5, 1.0]])
    drawn = np.array(list(Replicates.of(np.zeros(2), wanted, 4000, 0, False)))
    assert np.cov(drawn.T) == pytest.approx(wanted, abs=0.15)


def test_generators_and_functions(tmp_path: Path) -> None:
    report = calibrate(z_test, (np.full(5, k / 10) for k in range(7)), replicates=5)
    assert len(report.draws) == 5 and report.draws[0].sup_p == 1
    report.plot(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, OptionError),
        ({"inputs": np.zeros(3)}, InputError),
        ({"inputs": np.zeros((2, 3)), "mean": np.zeros(3)}, OptionError),
        ({"mean": np.zeros(3)}, OptionError),
        ({"mean": np.zeros(3), "replicates": 2, "var": -1}, NoiseError),
        ({"inputs": np.zeros((2, 3)), "processes": 0}, OptionError),
        ({"inputs": np.zeros((2, 3)), "effect": np.zeros(4)}, InputError),
        ({"inputs": []}, OptionError),
        ({"inputs": 3}, OptionError),
        ({"inputs": np.zeros((2, 3)), "engine": "z3"}, OptionError),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        calibrate(z_test, **options)


def test_a_local_function_needs_one_process() -> None:
    with pytest.raises(OptionError, match="processes=1"):
        calibrate(lambda x: 0.5, np.zeros((2, 3)), processes=2)


def test_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    onnx.save(dense(size=SIZE), tmp_path / "net.onnx")
    np.save(tmp_path / "mean.npy", np.zeros((1, SIZE)))
    words = [str(tmp_path / "net.onnx"), "--var", "1", "--threshold", "0.5", "--post", "input-diff"]
    words += ["--post", "abs", "--mean", str(tmp_path / "mean.npy"), "--replicates", "5"]
    done = CliRunner().invoke(app, [*words, "--json", "--out", str(tmp_path / "report.json")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["inputs"] == 5
    assert json.loads((tmp_path / "report.json").read_text())["control"] == "negative"
    shown = CliRunner().invoke(app, words)
    assert "negative control" in shown.stdout
    assert isinstance(CliRunner().invoke(app, words[:-4]).exception, OptionError)


def run_command(*words: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*words, "--json"])


@pytest.mark.parametrize(
    "question",
    [
        ["--top", "3"],
        ["--threshold", "0.5", "--hypothesis", "two-thresholds", "--lower", "0"],
        ["--threshold", "0.5", "--contrasts", "elements"],
        ["--threshold", "0.5", "--alternative", "greater"],
        ["--threshold", "0.25", "--signed", "--sign", "+"],
    ],
)
def test_the_command_takes_the_questions_of_an_audit(tmp_path: Path, question: list[str]) -> None:
    """The same p-values as `sureline audit` gives, one by one."""
    from sureline.cli import app as whole

    net, places = tmp_path / "net.onnx", tmp_path / "x.npy"
    onnx.save(dense(size=SIZE), net)
    x = np.random.default_rng(5).normal(size=(4, 1, SIZE)).astype(np.float32)
    np.save(places, x)
    done = run_command(str(net), "--var", "1.5", "--df", "6", "--inputs", str(places), *question)
    assert done.exit_code in (0, 1), done.output
    found = json.loads(done.stdout)
    p = []
    for one in x:
        np.save(tmp_path / "one.npy", one)
        words = [str(net), str(tmp_path / "one.npy"), "--var", "1.5", "--df", "6", *question, "--json"]
        audited = CliRunner().invoke(whole, ["audit", *words])
        if audited.exit_code == 0:
            p.append(json.loads(audited.stdout)["sup_p"])
    assert found["inputs"] == 4 and len(p) >= 2
    assert [value for value in found["p_values"] if value is not None] == p


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    onnx.save(dense(size=SIZE), tmp_path / "net.onnx")
    np.save(tmp_path / "mean.npy", np.zeros((1, SIZE)))
    words = [str(tmp_path / "net.onnx"), "--var", "1", "--mean", str(tmp_path / "mean.npy")]
    for more, says in (
        (["--threshold", "1", "--df", "3"], "--df goes with --inputs"),
        ([], "--threshold T, or --top K"),
        (["--threshold", "1", "--lower", "0"], "two-thresholds and --lower T go together"),
        (["--hypothesis", "change-point", "--threshold", "1"], "takes no --threshold"),
    ):
        failure = run_command(*words, "--replicates", "2", *more).exception
        assert isinstance(failure, OptionError) and says in str(failure)
