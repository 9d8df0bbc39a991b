"""Audit all healthy cells that nothing has seen, the same with a dark spot painted in, and all with a defect.

    python examples/solar_cells/study.py

Prints the table that examples/README.md quotes and draws figures/study.png (of p-values; no image is in it).
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from data import NOISE, SIDE, audited, defective
from question import ask, load
from train import MODEL

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.study import Audited, condition, confirmed, draw, run, table  # noqa: E402

SPOT, DARKER = 3, 40.0
"""Side of the spot in pixels, and how many grey levels it is darker."""
FIGURE = Path(__file__).parent / "figures" / "study.png"


@cache
def network() -> sl.SelectiveInferenceModel:
    """Loaded once in each process."""
    return load()


def audit(task: tuple[str, int]) -> Audited | None:
    """One cell; every tenth certificate is re-checked from its files."""
    kind, number = task
    cell = (defective() if kind == "defect" else audited())[number]
    if kind == "spot":
        row, column = np.random.default_rng(number).integers(0, SIDE - SPOT + 1, 2)
        cell = cell.copy()
        cell[row : row + SPOT, column : column + SPOT] -= DARKER
    started = time.perf_counter()
    try:
        result = ask(network(), cell)
    except sl.NoHypothesisError:
        return None
    seconds = time.perf_counter() - started
    checked = confirmed(result, MODEL) if number % 10 == 0 else None
    width = result.sup_p - result.inf_p
    return Audited(result.p_value, width, result.naive_p_value(), result.cells, seconds, checked)


def main() -> None:
    load()  # trains the network, once
    kinds = {"healthy": ("healthy cells", len(audited())),
             "spot": (f"with a spot {DARKER:g} grey levels darker", len(audited())),
             "defect": ("cells with a defect", len(defective()))}  # fmt: skip
    rows = [
        condition(name, run(audit, [(kind, k) for k in range(count)]), null_true=kind == "healthy")
        for kind, (name, count) in kinds.items()
    ]
    table("Solar cells", rows, support=NOISE)
    draw(FIGURE, "Solar cells", rows)


if __name__ == "__main__":
    main()
