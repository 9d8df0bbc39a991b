"""The peer's side of laws_against_sicore.py: reads cases (a JSON list) on stdin, prints its answers as JSON.

It runs in the environment of sicore and imports nothing of Sureline. `run_sicore.py rate N` prints how often
its randomised test rejects a true hypothesis at 5 % instead.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
from scipy.stats import chi
from sicore import RandomizedSelectiveInference, RealSubset, SelectiveInferenceNorm
from sicore.core.dist import truncated_cdf
from sicore.main.inference import _randomized_cdf

SCORE = np.array([1.0, -0.5])
REVERSED = {"less": "greater", "greater": "less", "two-sided": "two-sided"}
"""sicore's one-sided alternatives are named the other way round than SciPy's."""


def answer(case: dict[str, Any]) -> float | str:
    """P, or the name of the error."""
    try:
        intervals = RealSubset(np.array(case["intervals"]))
        if case["law"] == "chi":
            return float(1.0 - truncated_cdf(chi(case["df"]), case["stat"], intervals))
        asked = SelectiveInferenceNorm(
            np.array([case["stat"]]), 1.0, np.array([1.0]), REVERSED[case["alternative"]], case["null"]
        )
        if case["law"] == "normal":
            return float(asked._compute_pvalue(intervals))
        below = _randomized_cdf(case["stat"], 1.0, case["tau"], intervals, case["null"])
        return float(asked._convert_cdf_value_to_pvalue(below))
    except Exception as error:
        return type(error).__name__


def rate(draws: int, variances: tuple[float, float], added: float, above: float) -> dict[str, int]:
    """Two pixels of mean zero, audited when x1 - x2 / 2 exceeds `above` after randomisation.

    Tested is the sum of both, whose mean is zero. The p-value is that of
    RandomizedSelectiveInference.inference, whose interval and estimate (a second per audit) are left out.
    """
    rng = np.random.default_rng(0)
    rejected = audited = 0
    while audited < draws:
        x = rng.normal(size=2) * np.sqrt(variances)
        omega = rng.normal(size=2) * math.sqrt(added)
        if (x + omega) @ SCORE <= above:
            continue
        audited += 1
        test = RandomizedSelectiveInference(x, np.array(variances), omega, added, np.array([1.0, 1.0]))
        edge = (above - SCORE @ test.si.a) / (SCORE @ test.si.b) * test.si.stat_scale
        chosen = RealSubset([[edge, math.inf] if SCORE @ test.si.b > 0 else [-math.inf, edge]])
        below = _randomized_cdf(test.stat, test.sigma, test.tau, chosen, test.null_value)
        rejected += 2 * min(below, 1 - below) <= 0.05
    return {"draws": audited, "rejected": int(rejected)}


def main() -> None:
    if sys.argv[1:2] == ["rate"]:
        draws = int(sys.argv[2])
        said: Any = {
            "unequal": rate(draws, (10.0, 0.1), 10.0, 8.0),
            "equal": rate(draws, (5.0, 5.0), 10.0, 8.0),
        }
    else:
        said = [answer(case) for case in json.load(sys.stdin)]
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
