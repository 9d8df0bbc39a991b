"""One tool on one hard network in this process: `python run_hard.py TOOL CASE` prints one JSON line.

The tools search the whole line (`inference_mode="exhaustive"`): so their truncation sets can be compared.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
from hard_networks import THRESHOLD, VARIANCE, HardCase, case_named

WARM_UP = "39 sd"
"""Run once before the clock starts: first-call costs are not compared."""


def sureline(case: HardCase, engine: str = "auto") -> Any:
    """An audit by Sureline."""
    import sureline as sl

    test = sl.load(case.model(), sl.BackMeanDiff(threshold=THRESHOLD))
    return test.inference(case.x, var=VARIANCE, inference_mode="exhaustive", engine=engine)


def z3(case: HardCase) -> Any:
    """An audit by Sureline with its solver engine."""
    return sureline(case, engine="z3")


def si4onnx(case: HardCase) -> Any:
    """The same question, asked of si4onnx in the same words."""
    import si4onnx
    import torch

    torch.set_num_threads(1)
    test = si4onnx.load(case.model(), si4onnx.BackMeanDiff(threshold=THRESHOLD))
    return test.inference(torch.from_numpy(case.x), var=VARIANCE, inference_mode="exhaustive")


def autosi(case: HardCase) -> Any:
    """The same network written with autosi's arrays, from the same stored weights."""
    import autosi as asi

    first, shift, last, offset = case.layers()

    def selected(pixels: Any) -> np.ndarray:
        hidden = pixels @ first + shift
        active = hidden >= 0  # as in si4onnx
        return np.asarray((hidden * active) @ last + offset > THRESHOLD, dtype=float)

    observed = asi.array(case.x.reshape(-1))
    return asi.inference(
        eta=asi.array(np.array([1.0, -1.0])),  # that of BackMeanDiff when the first of two pixels is selected
        prob_vec=observed,
        var=VARIANCE,
        algorithm=selected,
        model=selected(observed),
        inference_mode="exhaustive",
    )


def sicore(case: HardCase) -> Any:
    """No search: the law of sicore on the exact truncation set, rounded to doubles."""
    from scipy.stats import norm
    from sicore import RealSubset
    from sicore.core.dist import truncated_cdf

    given = RealSubset([[float(a), float(b)] for a, b in case.exact])
    below = truncated_cdf(norm(), case.observed, given)
    p = 2 * min(below, 1 - below)
    return SimpleNamespace(
        p_value=p, inf_p=p, sup_p=p, truncated_intervals=given.tolist(), searched_intervals=[]
    )


TOOLS: dict[str, Callable[[HardCase], Any]] = {f.__name__: f for f in (sureline, z3, si4onnx, autosi, sicore)}


def version(package: str) -> str | None:
    """Of a package, or None if it is not here."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def exactly(end: float | Fraction) -> str:
    """An end point without rounding: a fraction, inf or -inf."""
    return str(end) if isinstance(end, float) and np.isinf(end) else str(Fraction(end))


def checks(result: Any) -> bool:
    """Whether Sureline's checker confirms the saved certificate."""
    import sureline as sl

    with tempfile.TemporaryDirectory() as folder:
        result.certificate.save(folder + "/audit")
        return bool(sl.check(folder + "/audit").valid)


def main(tool: str, name: str) -> None:
    audit, case = TOOLS[tool], case_named(name)
    audit(case_named(WARM_UP))
    start = time.perf_counter()
    result = audit(case)
    record = {
        "seconds": time.perf_counter() - start,
        "versions": {package: version(package) for package in ("si4onnx", "autosi", "sicore", "numpy")},
        **{key: float(getattr(result, key)) for key in ("p_value", "inf_p", "sup_p")},
        "intervals": [[exactly(a), exactly(b)] for a, b in result.truncated_intervals],
    }
    if tool in ("sureline", "z3"):
        record["checked"] = checks(result)
    print(json.dumps(record))


if __name__ == "__main__":
    main(*sys.argv[1:3])
