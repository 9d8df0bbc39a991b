"""The study: its configuration, comparators against slow versions, resuming, tables and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from scipy.integrate import quad
from scipy.stats import norm
from small_nets import dense
from typer.testing import CliRunner

from inference.study.comparators import comparator
from inference.study.configuration import Configuration, read_configuration
from inference.study.constructed import constructed
from inference.study.drawing import Job, draw
from inference.study.drawn import Drawn, loaded, simulated
from inference.study.noises import FAMILIES, noise_of
from inference.study.running import read_draws, run
from inference.study.summary import summarise
from inference.study.truncated import difference, log_mass, p_value
from symbolic.errors import InputError, OptionError

TINY = """
[study]
title = "Tiny"

[[network]]
name = "net"
model = "net.onnx"
shape = [1, 12]
threshold = 0.5
post = ["input-diff", "abs"]

[[network]]
name = "absent"
model = "absent.onnx"
shape = [1, 12]
threshold = 0.5
optional = true

[[part]]
name = "null"
networks = ["net", "absent"]
repetitions = 8
comparators = ["naive", "bonferroni", "over-conditioning", "permutation:9", "grid:21", "adaptive:21",
               "monte-carlo:200", "variance:2", "plug-in:4", "t:4", "data-thinning", "randomised", "si4onnx"]
check_every = 4

[[part]]
name = "power"
networks = ["net"]
repetitions = 3
effects = [2.0]
noises = ["normal", "rounded:0.5", "ar:0.5"]

[[part]]
name = "known"
kind = "constructed"
widths = [1e-6]
comparators = ["grid:21", "adaptive:101"]
"""


def written(folder: Path, text: str = TINY) -> Path:
    onnx.save(dense(size=12), folder / "net.onnx")
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Configuration, Path]]:
    folder = tmp_path_factory.mktemp("study")
    study = read_configuration(written(folder))
    run(study, folder / "out")
    yield study, folder / "out"


def case(study: Configuration, seed: int, effect: float = 0.0) -> Drawn:
    network = study.network("net")
    test = loaded(network)
    x, mean = simulated(network, "normal", effect, seed)
    return Drawn(test, x, network.variance, seed, test.inference(x, 1), 0.1, mean, network)


def test_every_draw_is_on_disk_once(finished: tuple[Configuration, Path]) -> None:
    study, out = finished
    records = list(read_draws(out))
    assert len(records) == 8 + 3 * 3 + 5
    summary = summarise(study, out)
    assert summary.left_out["absent"] == "there is no file absent.onnx"
    null = summary.conditions[0]
    assert null.is_null and null.failed == 0 and null.checked == 2 and null.refused == 0
    exact, over = null.methods["exact"], null.methods["over-conditioning"]
    assert exact.distance == 0 and exact.coverage is not None and over.report is not None
    assert null.methods["si4onnx"].skipped and null.methods["si4onnx"].report is None
    json.dumps(summary.as_dict(), allow_nan=False)


def test_a_cut_run_goes_on(finished: tuple[Configuration, Path], tmp_path: Path) -> None:
    study, out = finished
    lines = (out / "draws.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "study.json").write_bytes((out / "study.json").read_bytes())
    (tmp_path / "draws.jsonl").write_text("".join(lines[:-2]) + lines[-2][:40])
    seen: list[tuple[int, int]] = []
    run(study, tmp_path, progress=lambda *step: seen.append(step))
    assert seen[0] == (len(lines) - 2, len(lines)) and seen[-1] == (len(lines), len(lines))
    again = list(read_draws(tmp_path))
    assert [(r["part"], r["network"], r["seed"], r.get("sup_p")) for r in again] == [
        (r["part"], r["network"], r["seed"], r.get("sup_p")) for r in read_draws(out)
    ]
    seen.clear()
    run(study, tmp_path, parts=["null"], progress=lambda *step: seen.append(step))
    assert seen == [(8, 8)]


def test_two_processes_draw_the_same(finished: tuple[Configuration, Path], tmp_path: Path) -> None:
    study, out = finished
    run(study, tmp_path, processes=2, parts=["power"])
    one = {(r["noise"], r["seed"]): r.get("sup_p") for r in read_draws(out) if r["part"] == "power"}
    assert {(r["noise"], r["seed"]): r.get("sup_p") for r in read_draws(tmp_path)} == one


def test_a_folder_of_another_study_is_refused(finished: tuple[Configuration, Path], tmp_path: Path) -> None:
    other = read_configuration(written(tmp_path, TINY.replace("Tiny", "Other")))
    with pytest.raises(OptionError, match="another configuration"):
        run(other, finished[1])


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "draws.jsonl").write_text('{"part": 1}\n')
    with pytest.raises(InputError, match="line 1"):
        list(read_draws(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[study]", "[study", "no TOML file"),
        ('title = "Tiny"', "colour = 1", "no key 'colour'"),
        ("threshold = 0.5", "treshold = 0.5", "no key 'treshold'"),
        ("shape = [1, 12]", "shape = 12", "shape should be"),
        ("net.onnx", "gone.onnx", "there is no file"),
        ("repetitions = 8", "repetitions = 0", "repetitions is 0"),
        ('"grid:21", "adaptive:21"', '"gird:21"', "no comparator 'gird:21'"),
        ('"plug-in:4"', '"plug-in"', "needs a positive number"),
        ('["net", "absent"]', '["nets"]', "no network 'nets'"),
        ('"rounded:0.5"', '"rounded"', "the noise is 'rounded'"),
        ("effects = [2.0]", 'effects = ["2"]', "effects should be a list of numbers"),
        ('kind = "constructed"', 'kind = "other"', "kind is one of"),
        ('name = "power"', 'name = "null"', "two parts have the same name"),
    ],
)
def test_a_broken_configuration_gives_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        read_configuration(written(tmp_path, TINY.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_committed_configurations_are_read() -> None:
    folder = Path(__file__).parents[1] / "benchmarks" / "study"
    assert {p.name for p in read_configuration(folder / "smallest.toml").parts} >= {"null", "power"}
    full = read_configuration(folder / "full.toml")
    assert full.part("null 1-D").repetitions == 10_000 and len(full.part("power").effects) == 4


# ---- numbers ----


@pytest.mark.parametrize("seed", range(6))
def test_truncated_p_against_quadrature(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.uniform(-3, 3, 4))
    intervals = [(ends[0], ends[1]), (ends[2], ends[3])]
    z, sd, mean = float(ends[2] + 0.3 * (ends[3] - ends[2])), 1.3, 0.4

    def mass(pairs: list[tuple[float, float]]) -> float:
        return sum(quad(lambda t: norm.pdf(t, mean, sd), a, b)[0] for a, b in pairs)

    share = mass([intervals[0], (ends[2], z)]) / mass(intervals)
    assert p_value(intervals, z, sd, mean) == pytest.approx(2 * min(share, 1 - share), rel=1e-9)


def test_masses_far_out_and_differences() -> None:
    assert log_mass(39, math.inf) == pytest.approx(float(norm.logsf(39)))
    assert log_mass(8, 8 + 1e-9) == pytest.approx(float(norm.logpdf(8)) + math.log(1e-9), rel=1e-7)
    found, exact = [(-1.0, 0.0), (1.0, 3.0)], [(-1.0, 1.0), (2.0, math.inf)]
    whole = norm.cdf(1) - norm.cdf(-1) + norm.sf(2)
    false, missing = difference(found, exact, 1.0)
    assert false == pytest.approx((norm.cdf(2) - norm.cdf(1)) / whole)
    assert missing == pytest.approx((norm.cdf(1) - norm.cdf(0) + norm.sf(3)) / whole)


@pytest.mark.parametrize("name", FAMILIES)
def test_noises_have_variance_one(name: str) -> None:
    drawn = noise_of(name, np.random.default_rng(0), (200_000,))
    assert abs(drawn.mean()) < 0.02
    if name != "t3":  # whose variance has no variance
        assert drawn.var() == pytest.approx(1, abs=0.05)
    row = noise_of("ar:0.5", np.random.default_rng(0), (400, 200))
    assert np.mean(row[:, 1:] * row[:, :-1]) == pytest.approx(0.5, abs=0.02)
    assert np.mean(row[1:] * row[:-1]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("one", constructed([1e-6, 1e-12]), ids=lambda one: one.name)
def test_constructed_sets_are_what_they_say(one: Any) -> None:
    at = Fraction(one.observed)
    assert one.value(at) > 0 and any(a < at < b for a, b in one.exact)
    for a, b in one.exact:
        for end, inwards in ((a, 1), (b, -1)):
            if isinstance(end, Fraction):
                step = inwards * Fraction(1, 10**15)
                assert one.value(end) == 0 and one.value(end + step) > 0 > one.value(end - step)


# ---- comparators against slow and obvious versions ----


def test_grid_against_a_loop(finished: tuple[Configuration, Path]) -> None:
    drawn = case(finished[0], 1)
    answer = comparator("grid:15").answer(drawn)
    half = 10 * drawn.sd + abs(drawn.stat)
    points = sorted([-half + 2 * half * k / 14 for k in range(15)] + [drawn.stat])
    line = drawn.result.line
    direction = np.array([float(v) for v in line.eta]) * 1.0
    direction /= direction @ direction
    marked = []
    for z in points:
        x = drawn.x.reshape(-1) + direction * (z - drawn.stat)
        w = {i.name: onnx.numpy_helper.to_array(i) for i in dense(size=12).graph.initializer}
        y = np.maximum(x @ w["W1"] + w["b1"], 0) @ w["W2"] + w["b2"]
        marked.append(np.array_equal(np.abs(x - y) > 0.5, drawn.result.roi))
    mass = [0.0, 0.0]
    for k, inside in enumerate(marked):
        low = -math.inf if k == 0 else (points[k - 1] + points[k]) / 2
        high = math.inf if k == len(points) - 1 else (points[k] + points[k + 1]) / 2
        if inside:
            below = norm.cdf(min(high, drawn.stat) / drawn.sd) - norm.cdf(min(low, drawn.stat) / drawn.sd)
            mass[0] += below
            mass[1] += norm.cdf(high / drawn.sd) - norm.cdf(low / drawn.sd) - below
    assert answer.p == pytest.approx(2 * min(mass) / sum(mass), rel=1e-6)
    assert answer.passes == 16


def test_approximations_approach_the_certified_value(finished: tuple[Configuration, Path]) -> None:
    for seed in range(3):
        drawn = case(finished[0], seed)
        fine = comparator("grid:20001").answer(drawn)
        assert fine.p == pytest.approx(drawn.result.sup_p, abs=0.02)
        sampled = comparator("monte-carlo:3000").answer(drawn)
        assert 0 < sampled.p <= 1


def test_faults_reuse_the_set(finished: tuple[Configuration, Path]) -> None:
    drawn = case(finished[0], 2)
    for factor in (0.5, 2.0):
        answer = comparator(f"variance:{factor}").answer(drawn)
        slow = p_value(drawn.exact, drawn.stat, drawn.sd * math.sqrt(factor))
        assert answer.low - 1e-6 <= slow <= answer.p + 1e-6
    same = comparator("variance:1").answer(drawn)
    assert same.p == drawn.result.sup_p
    many = [comparator(f"{kind}:1000000").answer(drawn).p for kind in ("plug-in", "t")]
    assert many == pytest.approx([drawn.result.sup_p] * 2, abs=0.02)


def test_unconditional_tests(finished: tuple[Configuration, Path]) -> None:
    drawn = case(finished[0], 3)
    naive = 2 * norm.sf(abs(drawn.stat) / drawn.sd)
    assert comparator("naive").answer(drawn).p == pytest.approx(naive)
    assert comparator("bonferroni").answer(drawn).p == pytest.approx(min(1, naive * 2**12))
    over = comparator("over-conditioning").answer(drawn)
    assert 0 <= over.low <= over.p <= 1
    false, _ = difference(over.intervals or [], drawn.exact, drawn.sd)
    assert false < 1e-9  # it conditions on more, so that its set is a part of the exact one
    permuted = comparator("permutation:19").answer(drawn).p
    assert permuted * 20 == pytest.approx(round(permuted * 20)) and permuted >= 0.05


def test_a_failure_is_a_rejection(finished: tuple[Configuration, Path], monkeypatch: Any) -> None:
    study = finished[0]
    monkeypatch.setattr("inference.study.drawing.simulated", lambda *_: 1 / 0)
    record = draw(study, Job("null", "net", "normal", 0.0, 0))
    assert record["outcome"] == "failed" and "ZeroDivisionError" in record["message"]
    from inference.study.methods import method_of

    good = {"outcome": "tested", "inf_p": 0.5, "sup_p": 0.5, "answers": {"naive": {"p": 0.5}}}
    method = method_of("naive", [record, good], (0.05,), 0.99)
    assert method.report is not None and method.report.rates[0].rejections == 1 and method.failed == 1


def test_the_command(finished: tuple[Configuration, Path]) -> None:
    from sureline.studying import study as command

    app = typer.Typer()
    app.command()(command)
    study, out = finished
    done = CliRunner().invoke(app, [str(study.folder / "study.toml"), "--out", str(out)])
    assert done.exit_code in (0, 1), done.output  # so few draws may well contradict something
    page = (out / "summary.md").read_text()
    assert "Rejection rates" in page and "left out: absent" in page and "known truncation sets" in page
    assert len(list((out / "figures").glob("*.png"))) == 7
    assert json.loads((out / "summary.json").read_text())["title"] == "Tiny"


def test_a_function_of_the_users_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[[part]]\nname = "real"\nkind = "function"\nfunction = "own.py:audit"\nrepetitions = 2\n',
    )
    (tmp_path / "own.py").write_text(
        "import numpy as np\nimport sureline as sl\nfrom pathlib import Path\n"
        "test = sl.load(Path(__file__).with_name('net.onnx'), sl.BackMeanDiff(threshold=0))\n"
        "def audit(k):\n    x = np.random.default_rng(k).normal(size=(1, 12)).astype('f4')\n"
        "    return test.inference(x, 1), test, x, 1\n"
    )
    run(read_configuration(path), tmp_path / "out")
    records = list(read_draws(tmp_path / "out"))
    assert [r["seed"] for r in records] == [0, 1] and records[0]["answers"]["naive"]["p"] <= 1
