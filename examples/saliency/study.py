"""Audit what three explanations highlight on hundreds of digits, without a defect and with ink erased.

    pip install -e '.[examples]'
    python examples/saliency/study.py

Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from question import MODEL, ask, explained

import sureline as sl

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "digits")]
from data import AUDITED, load_digits, noisy_pair  # noqa: E402
from example_tools.study import Audited, condition, confirmed, draw, run, table  # noqa: E402

SIDE = 4
COUNT = {0: 300, SIDE: 150}
"""How many digits are audited, by the side of the erased square."""
CALIBRATED = ("gradient", "integrated-gradients", "occlusion")
CHECKED = 10
"""Of as many audits, one certificate is checked, too."""
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
    checked = None
    if number % CHECKED == 0:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "explained.onnx"
            explained(name).save(model)
            checked = confirmed(result, model)
    return Audited(result.p_value, width, result.naive_p_value(), result.cells, seconds, checked)


def main() -> None:
    rows = []
    for name in CALIBRATED:
        for words, side, mode in (
            ("nothing", 0, "parametric"),
            ("4 x 4 erased", SIDE, "parametric"),
            ("4 x 4 erased, one linear piece", SIDE, "over_conditioning"),
        ):
            tasks = [(name, k, side, mode) for k in range(COUNT[side])]
            rows.append(condition(f"{name}: {words}", run(audit, tasks), null_true=side == 0))
            print(f"{name}: {words}: done", flush=True)
    table(f"{MODEL.name} explains digits that it was not trained on", rows)
    null = [row for row in rows if row.null_true]
    draw(HERE / "figures" / "study.png", "Regions that explanations highlight, nothing erased", null)


if __name__ == "__main__":
    main()
