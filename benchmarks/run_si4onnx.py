"""One audit by si4onnx in this process: `python run_si4onnx.py CASE SEED` prints one JSON line."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import si4onnx
import torch
from catalogue import CASES, VARIANCE, WARM_UP, WARM_UP_SEED, Case
from measure import measured
from si4onnx.operators import Abs, InputDiff


def audit(case: Case, x: np.ndarray) -> si4onnx.si.InferenceResult:
    """Loading and inference with si4onnx's defaults (parametric search until p is known to 1e-3)."""
    hypothesis = si4onnx.BackMeanDiff(
        threshold=case.threshold, post_process=[InputDiff(), Abs()], use_norm=case.use_norm
    )
    test = si4onnx.load(onnx.load(case.path), hypothesis, seed=case.seed)
    return test.inference(torch.from_numpy(x), var=VARIANCE)


def main(name: str, seed: int) -> None:
    torch.set_num_threads(1)
    case = CASES[name]
    audit(CASES[WARM_UP], CASES[WARM_UP].input(WARM_UP_SEED))
    x = case.input(seed)
    result, cost = measured(lambda: audit(case, x))
    record = {
        "case": name, "seed": seed, "tool": "si4onnx", "stat": float(result.stat),
        "p_value": float(result.p_value), "inf_p": float(result.inf_p), "sup_p": float(result.sup_p),
        "steps": int(result.search_count), "roi_size": int(result.roi.sum()),
        "intervals": len(result.truncated_intervals), **cost,
    }  # fmt: skip
    print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
