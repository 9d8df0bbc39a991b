"""Audit 200 simulated series without a change and 200 with one.

    python examples/nile/study.py

The river has too few windows for a study, so this one is simulated: independent normal years with the
variance of the real audit, which each audit estimates from other simulated years, on as many degrees of
freedom as the real one. Prints the table that examples/README.md quotes and draws figures/study.png.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from data import FIRST_PLACE, LENGTH, PLACES, variance_outside

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.study import Audited, condition, confirmed, draw, run, table  # noqa: E402

COUNT = 200
MOST = 5000
"""Evaluations after which a hard search ends; its bounds are then valid, and a little wider."""
HERE = Path(__file__).parent
MODEL = HERE / "model.onnx"


@cache
def network() -> sl.SelectiveInferenceModel:
    """Loaded once in each process."""
    return sl.load(str(MODEL), sl.ChangePoint(offset=FIRST_PLACE))


def audit(task: tuple[int, float]) -> Audited:
    """One series with a step of the given size, its certificate re-checked from the files."""
    number, step = task
    variance, freedom = variance_outside(1885)
    rng = np.random.default_rng(number)
    series = 900 + rng.normal(0.0, variance**0.5, LENGTH)
    series[FIRST_PLACE + rng.integers(0, PLACES) :] += step
    estimate = variance * rng.chisquare(freedom) / freedom
    started = time.perf_counter()
    noise = f"Variance estimated from simulated years, {freedom} degrees of freedom. Exact t law used."
    result = network().inference(
        series[None, None], var=estimate, degrees_of_freedom=freedom, noise_source=noise, max_iter=MOST
    )
    seconds = time.perf_counter() - started
    width = result.sup_p - result.inf_p
    return Audited(
        result.p_value, width, result.naive_p_value(), result.cells, seconds, confirmed(result, MODEL)
    )


def main() -> None:
    rows = [
        condition(name, run(audit, [(k, step) for k in range(COUNT)]), null_true=step == 0)
        for name, step in (("no change", 0.0), ("step of 240", 240.0), ("step of 360", 360.0))
    ]
    table(f"Change points: {COUNT} simulated series each", rows)
    draw(HERE / "figures" / "study.png", "Change points in simulated series", rows)


if __name__ == "__main__":
    main()
