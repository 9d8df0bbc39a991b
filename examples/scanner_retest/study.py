"""Audit every window in which nothing happened, then the same windows with a planted lesion.

    pip install -e '.[examples]'
    python examples/scanner_retest/study.py

Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
from data import NOISE_SAMPLE, PLACES, Window, audited_windows, load_scans
from question import MODEL, ask, load, planted

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.study import Audited, condition, confirmed, draw, run, table  # noqa: E402

SEED = 1
CHECK_EVERY = 10
HERE = Path(__file__).parent


@cache
def network() -> sl.SelectiveInferenceModel:
    """Loaded once in each process."""
    return load()


def audit(task: tuple[int, Window], *, correlated: bool = True) -> Audited:
    """One audit; the certificate of every tenth is saved and re-checked from the files."""
    number, window = task
    started = time.perf_counter()
    result = ask(network(), window, correlated=correlated)
    seconds = time.perf_counter() - started
    valid = confirmed(result, MODEL) if number % CHECK_EVERY == 0 else None
    width = result.sup_p - result.inf_p
    return Audited(result.p_value, width, result.naive_p_value(), result.cells, seconds, valid)


def main() -> None:
    windows = audited_windows(load_scans())
    rng = np.random.default_rng(SEED)
    places = rng.integers(0, PLACES, size=(len(windows), 2))
    rows = [condition("nothing happened", run(audit, list(enumerate(windows))), null_true=True)]
    for brighter in (20, 30, 40):
        tasks = [planted(w, *place, brighter) for w, place in zip(windows, places, strict=True)]
        rows.append(condition(f"planted +{brighter}", run(audit, list(enumerate(tasks))), null_true=False))
    forgotten = run(partial(audit, correlated=False), list(enumerate(windows)))
    rows.append(condition("nothing happened, correlation ignored", forgotten, null_true=True))
    table(f"Scanner test-retest: {len(windows)} windows", rows, support=NOISE_SAMPLE)
    draw(HERE / "figures" / "study.png", "Scanner test-retest", [rows[0], rows[2], rows[4]])


if __name__ == "__main__":
    main()
