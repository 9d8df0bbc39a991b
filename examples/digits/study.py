"""Audit 200 digits without a defect and 200 with an erased stroke; then ask the wrong question of the former.

    pip install -e '.[examples]'
    python examples/digits/study.py

Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from data import AUDITED, load_digits, noisy_pair
from question import MODEL, ask, load

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.study import Audited, condition, confirmed, draw, run, table  # noqa: E402

COUNT = 200
HERE = Path(__file__).parent
Task = tuple[int, int, str]
"""Which digit, the side of the erased square (0: none), which question."""


@cache
def network(question: str) -> sl.SelectiveInferenceModel:
    """Loaded once in each process."""
    return load(question)


@cache
def digits() -> np.ndarray:
    """The digits that the network has never seen."""
    return load_digits()[AUDITED]


def audit(task: Task) -> Audited:
    """One audit, its certificate re-checked from the files."""
    number, side, question = task
    x, reference = noisy_pair(digits(), number, side)
    started = time.perf_counter()
    result = ask(network(question), x, reference)
    seconds = time.perf_counter() - started
    width = result.sup_p - result.inf_p
    return Audited(
        result.p_value, width, result.naive_p_value(), result.cells, seconds, confirmed(result, MODEL)
    )


def main() -> None:
    rows = [
        condition(name, run(audit, [(k, side, question) for k in range(COUNT)]), null_true=null_true)
        for name, side, question, null_true in (
            ("no defect", 0, "missing", True),
            ("3 x 3 erased", 3, "missing", False),
            ("4 x 4 erased", 4, "missing", False),
            ("no defect, where ink is seen", 0, "drawn", True),
            ("no defect, WRONG question", 0, "wrong", False),
        )
    ]
    table(f"Digits with known noise: the first {COUNT} digits not trained on", rows)
    draw(HERE / "figures" / "study.png", "Digits with known noise", [rows[0], rows[1], rows[4]])


if __name__ == "__main__":
    main()
