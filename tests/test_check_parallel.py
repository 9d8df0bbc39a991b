"""Checking in several processes says what checking in one says, and ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import small_nets
from check_folder import Folder
from many_cells import split

import sureline as sl
from verifier.check import parallel
from verifier.check.checking import InvalidCertificate, UnusableCertificate, check
from verifier.check.claims.cells import decided
from verifier.check.claims.certificate import CellClaim, read_certificate
from verifier.check.claims.model import parse_model
from verifier.check.graph.graph import CheckedGraph
from verifier.check.parallel import Task, confirm_all

ROOT = Path(__file__).parent.parent
NETS = {"dense": small_nets.dense, "convolutional": small_nets.convolutional}


@pytest.fixture(autouse=True)
def processes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes after the first part, whatever they save."""
    monkeypatch.setattr(parallel, "SAVED", -1.0)


def many(name: str, path: Path, count: int) -> Path:
    x = np.random.default_rng(1).normal(size=(1, 12) if name == "dense" else (1, 1, 8, 8)).astype(np.float32)
    net = sl.load(NETS[name](), sl.BackMeanDiff(threshold="0.5", use_norm=True))
    net.inference(x, var=1).certificate.save(path)
    return split(path, count)


def change(folder: Path, mutate: Callable[[list[list[object]]], None]) -> None:
    document = json.loads((folder / "certificate.json").read_text())
    mutate(document["cells"])
    (folder / "certificate.json").write_text(json.dumps(document))


def verdict(folder: Path, workers: int) -> str:
    try:
        report = check(folder, workers=workers)
    except (InvalidCertificate, UnusableCertificate) as error:
        return f"{type(error).__name__}: {error}"
    return str(report).rpartition("\n")[0]  # without the time


@pytest.mark.parametrize("name", NETS)
def test_same_verdict(name: str, tmp_path: Path) -> None:
    folder = many(name, tmp_path / "c", 400)
    assert verdict(folder, 1) == verdict(folder, 3)
    original = (folder / "certificate.json").read_text()
    count = len(json.loads(original)["cells"])
    for places in ([count - 2], [350, 140, 210]):

        def false(cells: list[list[object]], places: list[int] = places) -> None:
            for k in places:
                swapped = ["inside"] if cells[k][2] != "inside" else ["outside", 0, 0]
                cells[k][2:] = swapped if cells[k][2] != "gap" else ["inside"]

        change(folder, false)
        serial = verdict(folder, 1)
        assert serial.startswith(f"InvalidCertificate: cell {min(places)}, from"), serial
        assert verdict(folder, 2) == serial
        (folder / "certificate.json").write_text(original)


def test_ten_thousand_cells(tmp_path: Path) -> None:
    folder = many("dense", tmp_path / "c", 10_000)
    seen: list[tuple[int, int]] = []
    report = check(folder, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert report.valid and report.cells == 10_000 and report.seconds > 0
    total = report.inside + report.outside
    assert seen[0] == (0, total) and seen[-1] == (total, total)
    assert seen == sorted(seen) and len(seen) > 50
    assert report == check(folder, workers=1)  # the time does not count


def test_few_cells_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SAVED", 2.0)
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", None)  # would fail
    assert check(Folder().write(tmp_path / "c"), workers=64).valid


@pytest.mark.parametrize("what", ["ProcessPoolExecutor", "_Process.start", "tempfile.TemporaryDirectory"])
def test_no_processes_here(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def refuse(*_: object, **__: object) -> None:
        calls.append(what)
        raise OSError("not on this system")

    monkeypatch.setattr(f"verifier.check.parallel.{what}", refuse)
    assert check(split(Folder().write(tmp_path / "c"), 300), workers=2).valid
    assert len(calls) == 1


def test_workers_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= parallel.usable_workers() <= cores
    monkeypatch.setattr(os, "sysconf", lambda name: 1)  # no memory
    assert parallel.usable_workers() == 1
    monkeypatch.delattr(os, "sysconf")
    assert parallel.usable_workers() == cores


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": True}, {"workers": 1.0}, {"workers": 5000}])
def test_wrong_options(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UnusableCertificate, match="workers must be an integer from 1"):
        check(Folder().write(tmp_path / "c"), **options)  # type: ignore[arg-type]


class NoMemory(Task):
    """In another process there is too little memory."""

    def graph(self) -> CheckedGraph:
        raise MemoryError


class Killed(Task):
    """The other process is killed."""

    def graph(self) -> CheckedGraph:
        os._exit(9)


def task_of(folder: Path, kind: type[Task]) -> tuple[Task, CheckedGraph, list[tuple[int, CellClaim]]]:
    certificate = read_certificate(folder)
    x = np.load(folder / "input_0.npy")
    beta, names = [Fraction(1), Fraction(-1)], ["sureline/selection"]
    audited = certificate.file(certificate.document["audited"])
    graph = CheckedGraph.build(parse_model(audited, "audited.onnx"), {"x": x}, "x", beta, names)
    claims = decided(certificate.cells, certificate.observed)
    return kind(audited, {"x": x}, "x", beta, names, certificate.observed), graph, claims


def test_errors_travel(tmp_path: Path) -> None:
    folder = split(Folder().write(tmp_path / "c"), 500)
    task, graph, claims = task_of(folder, NoMemory)
    with pytest.raises(MemoryError):
        confirm_all(task, graph, claims, 2, None)
    task, graph, claims = task_of(folder, Killed)
    with pytest.raises(UnusableCertificate, match="a process ended before its work did"):
        confirm_all(task, graph, claims, 2, None)
    task, graph, claims = task_of(folder, Task)

    def stop(done: int, total: int) -> None:
        if done > 200:
            raise KeyError("the caller's")

    with pytest.raises(KeyError):
        confirm_all(task, graph, claims, 2, stop)
    confirm_all(task, graph, claims, 2, None)


def test_long_numbers_travel(tmp_path: Path) -> None:
    """Numbers of more digits than Python writes in decimal."""
    folder = split(Folder().write(tmp_path / "c"), 300)
    task, graph, claims = task_of(folder, Task)
    tiny = Fraction(1, 1 << 40_000)
    claims = [(k, CellClaim(c.lo, c.hi - tiny, c.verdict, c.output, c.element)) for k, c in claims[1:-1]]
    confirm_all(task, graph, claims, 2, None)


def test_script_without_guard(tmp_path: Path) -> None:
    """A script runs once: the processes do not run its main module."""
    folder = split(Folder().write(tmp_path / "c"), 500)
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from verifier.check import check, parallel\n"
        "parallel.SAVED = -1.0\n"
        f"print(check({str(folder)!r}, workers=2).valid)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment())
    assert (done.stdout.split(), done.stderr) == (["once", "True"], "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("group", [True, False], ids=["terminal", "process"])
def test_interrupt(group: bool, tmp_path: Path) -> None:
    """Ctrl-C ends all processes, with one sentence."""
    folder = many("convolutional", tmp_path / "c", 6000)
    code = (
        "import sys\n"
        "from verifier.check import parallel\n"
        "from sureline import cli\n"
        "parallel.SAVED = -1.0\n"
        "begin = parallel._Process.start\n"
        "def start(self):\n    begin(self)\n    print('started', flush=True)\n"
        "parallel._Process.start = start\n"
        "cli.main(['check', sys.argv[1], '--workers', '2'])\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == process.stdout.readline() == "started\n"
        time.sleep(1.0 if group else 0.0)  # at work, or still starting
        if group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "sureline: interrupted; nothing was written.\n"
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the tracker of resources needs a moment
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
