"""Engines by name: what users see of them, and what happens when two contradict each other."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import small_nets
from test_cli import Run, files, run, usual  # noqa: F401  (fixtures)

import sureline as sl
from verifier.engines import lp
from verifier.engines.found import ExactSet

EXACT = [(Fraction(-5, 4), Fraction(-3, 4)), (Fraction(5, 4), np.inf)]
"""The truncation set of the worked example in docs/certificate.md."""


@pytest.mark.parametrize("engine", ["auto", "search", "sweep", "z3", "cvxpy"])
def test_the_worked_example(run: Run, files: Path, engine: str) -> None:  # noqa: F811
    code, out, err = run(*usual(files), "--json", "--out", files / "audit", "--engine", engine)
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert [
        tuple(Fraction(e) if e != "inf" else np.inf for e in p) for p in record["truncated_intervals"]
    ] == EXACT
    assert [end["exact"] for end in record["end_points"]] == [True] * 3
    assert [
        end["binding"].endswith(f"element {k}")
        for end, k in zip(record["end_points"], (0, 1, 1), strict=True)
    ]
    report = sl.check(files / "audit")
    assert report.valid and report.gaps == 0
    listed = json.loads((files / "audit" / "certificate.json").read_text())["ends"]
    assert [(e["t"], e["element"]) for e in listed] == [("-3/2", 0), ("-5/4", 1), ("-1/4", 1)]


def test_all_engines_are_compared(run: Run, files: Path) -> None:  # noqa: F811
    code, out, _ = run(*usual(files), "--json", "--engine", "all", "--smt", files / "smt")
    record = json.loads(out)
    assert code == 0 and {one["engine"] for one in record["compared"]} >= {"search", "z3", "cvxpy"}
    assert all(one["exact_ends"] == 3 and not one["refused"] for one in record["compared"])
    assert list((files / "smt").glob("*.smt2"))


def test_a_contradiction_is_an_error_with_both_certificates(
    run: Run,  # noqa: F811
    files: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = lp.truncation_set

    def lying(*given: object, **options: object) -> ExactSet:
        found = honest(*given, **options)  # type: ignore[arg-type]
        cells = [replace(c, verdict="inside", output=-1, element=-1) for c in found.cells]
        return ExactSet(tuple(cells), found.ends)

    monkeypatch.setattr(lp, "truncation_set", lying)
    code, out, err = run(*usual(files), "--engine", "all", "--out", files / "audit")
    assert code == 2 and out == "" and "contradict each other" in err
    saved = {path.name for path in (files / "audit").iterdir()}
    assert len(saved) == 2 and "disagreement-cvxpy" in saved
    (other,) = saved - {"disagreement-cvxpy"}
    assert sl.check(files / "audit" / other).valid
    with pytest.raises(sl.InvalidCertificate):
        sl.check(files / "audit" / "disagreement-cvxpy")


def test_what_an_engine_cannot_do_is_said() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    test = sl.load(small_nets.convolutional(smooth=True), sl.BackMeanDiff(0.2))
    for engine in ("z3", "cvxpy"):
        with pytest.raises(sl.ModelError, match="Sigmoid"):
            test.inference(x, 1, engine=engine)
    result = test.inference(x, 1, engine="all")
    assert {one.engine for one in result.compared if one.refused} >= {"z3", "cvxpy"}
    assert not any(end.exact for end in result.end_points)
    with pytest.raises(sl.OptionError, match="choose one of auto, search"):
        test.inference(x, 1, engine="walk")
    with pytest.raises(sl.OptionError, match="only the z3 engine"):
        test.inference(x, 1, smt_folder="smt")


def test_end_points_on_request() -> None:
    x = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)
    test = sl.load(small_nets.dense(), sl.BackMeanDiff(0.1))
    exact, bracketed = (test.inference(x, 1, exact_ends=how) for how in (None, False))
    assert exact.end_points and all(end.exact and end.binding for end in exact.end_points)
    assert "all exact rationals" in str(exact)
    assert not any(end.exact for end in bracketed.end_points)
    finite = [end for end in bracketed.end_points if end.hi - end.lo < 1e-6]
    for end in finite:
        assert any(end.lo <= other.lo <= end.hi for other in exact.end_points)
    assert "in brackets (the widest" in str(bracketed)
