"""Audit every window in which nothing happened, then the same windows with a planted lesion.

    pip install -e '.[examples]'
    python examples/scanner_retest/study.py

Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
from data import PLACES, Window, audited_windows, load_scans
from question import ask, load, planted

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.study import Audited, condition, draw, run, table  # noqa: E402

SEED = 1
HERE = Path(__file__).parent


@cache
def network() -> sl.SelectiveInferenceModel:
    """Loaded once in each process."""
    return load()


def audit(window: Window, *, correlated: bool = True) -> Audited:
    """One audit, its certificate re-checked from the files."""
    started = time.perf_counter()
    result = ask(network(), window, correlated=correlated)
    seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        result.certificate.save(Path(folder) / "audit")
        report = sl.check(Path(folder) / "audit", model=HERE / "model.onnx")
    width = result.sup_p - result.inf_p
    return Audited(result.p_value, width, result.naive_p_value(), result.cells, seconds, report.valid)


def main() -> None:
    windows = audited_windows(load_scans())
    rng = np.random.default_rng(SEED)
    places = rng.integers(0, PLACES, size=(len(windows), 2))
    rows = [condition("nothing happened", run(audit, windows), null_true=True)]
    for brighter in (20, 30, 40):
        tasks = [planted(w, *place, brighter) for w, place in zip(windows, places, strict=True)]
        rows.append(condition(f"planted +{brighter}", run(audit, tasks), null_true=False))
    forgotten = run(partial(audit, correlated=False), windows)
    rows.append(condition("nothing happened, correlation ignored", forgotten, null_true=True))
    table(f"Scanner test-retest: {len(windows)} windows", rows)
    draw(HERE / "figures" / "study.png", "Scanner test-retest", [rows[0], rows[2], rows[4]])


if __name__ == "__main__":
    main()
