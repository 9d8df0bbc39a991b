"""Audit what three explanations highlight on hundreds of digits, without a defect and with ink erased.

    pip install -e '.[examples]'
    python examples/saliency/study.py

Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from question import MODEL, ask

import sureline as sl

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "digits")]
from data import AUDITED, load_digits, noisy_pair  # noqa: E402
from example_tools.study import Audited, condition, draw, run, table  # noqa: E402

COUNT = 300
SIDE = 4
CALIBRATED = ("gradient", "integrated-gradients", "occlusion")
MULTIPLYING = ("integrated-gradients",)
"""What multiplies two tensors that move has no linear pieces to be conditioned on."""
HERE = Path(__file__).parent
Task = tuple[str, int, int, str]
"""Which explanation, which digit, the side of the erased square (0: none), which event."""


@cache
def digits() -> np.ndarray:
    """The digits that the network has never seen."""
    return load_digits()[AUDITED]


def audit(task: Task) -> Audited | None:
    """One audit; None where nothing is highlighted."""
    name, number, side, mode = task
    x, reference = noisy_pair(digits(), number, side)
    started = time.perf_counter()
    try:
        result = ask(name, x, reference, mode=mode)
    except sl.NoHypothesisError:
        return None
    seconds = time.perf_counter() - started
    width = result.sup_p - result.inf_p
    return Audited(result.p_value, width, result.naive_p_value(), result.cells, seconds, None)


def main() -> None:
    rows = []
    for name in CALIBRATED:
        for words, side, mode in (
            ("nothing", 0, "parametric"),
            ("4 x 4 erased", SIDE, "parametric"),
            ("4 x 4 erased, the same linear piece only", SIDE, "over_conditioning"),
        ):
            if mode == "over_conditioning" and name in MULTIPLYING:
                continue
            tasks = [(name, k, side, mode) for k in range(COUNT)]
            rows.append(condition(f"{name}: {words}", run(audit, tasks), null_true=side == 0))
    table(f"{MODEL.name} explains the first {COUNT} digits not trained on", rows)
    null = [row for row in rows if row.null_true]
    draw(HERE / "figures" / "study.png", "Regions that explanations highlight, nothing erased", null)


if __name__ == "__main__":
    main()
