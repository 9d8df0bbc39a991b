"""Audit beats in which nothing is labelled, many times over, and beats in which something is.

    python examples/arterial_pressure/study.py

Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from data import BLOCKS, WIDTH, audited_beats, window
from question import TOLERANCE, ask, load
from train import MODEL

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.study import Audited, condition, confirmed, draw, run, table  # noqa: E402

SEEDS = 10
"""Audits of each beat without a label."""
BUMP = 3.0
"""mmHg, of what is planted."""
FIGURE = Path(__file__).parent / "figures" / "study.png"


@cache
def network() -> sl.SelectiveInferenceModel:
    """Loaded once in each process."""
    return load()


def audit(task: tuple[str, int]) -> Audited:
    """One audit; every tenth certificate is re-checked from its files."""
    kind, number = task
    plain = [beat for labelled, beat in audited_beats() if not labelled]
    rng = np.random.default_rng([number, 1])
    if kind == "exact":
        beat = np.zeros(BLOCKS)
    elif kind == "label":
        beat = next(beat for labelled, beat in audited_beats() if labelled)
    else:
        beat = plain[number % len(plain)]
    if kind == "bump":
        beat = beat + BUMP * rng.choice([-1, 1]) * window(int(rng.integers(BLOCKS - WIDTH + 1)))
    started = time.perf_counter()
    result = ask(network(), beat, 1000 + number, tolerance=0 if kind == "exact" else TOLERANCE)
    seconds = time.perf_counter() - started
    checked = confirmed(result, MODEL) if number % 10 == 0 else None
    width = result.sup_p - result.inf_p
    return Audited(result.p_value, width, result.naive_p_value(), result.cells, seconds, checked)


def main() -> None:
    load()  # trains the network, once
    count = SEEDS * sum(not labelled for labelled, _ in audited_beats())
    names = {"exact": "the mean beat itself, no tolerance", "plain": "beats without a label",
             "bump": f"a bump of {BUMP:g} mmHg planted", "label": "the labelled beat"}  # fmt: skip
    rows = [
        condition(name, run(audit, [(kind, k) for k in range(count)]), null_true=kind == "exact")
        for kind, name in names.items()
    ]
    table(f"Beats of arterial pressure: {count} audits each", rows)
    draw(FIGURE, "Beats of arterial pressure", rows)


if __name__ == "__main__":
    main()
