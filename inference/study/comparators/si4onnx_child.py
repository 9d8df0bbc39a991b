"""Runs in the environment of si4onnx: one JSON question per line in, one JSON answer per line out."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Any


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """One inference with si4onnx's defaults."""
    import numpy as np
    import onnx

    si4onnx, torch = import_module("si4onnx"), import_module("torch")
    operators = import_module("si4onnx.operators")
    torch.set_num_threads(1)
    known = {"input-diff": "InputDiff", "abs": "Abs", "neg": "Neg"}
    steps = [getattr(operators, known[text])() for text in question["post"]]
    kind = {"back": si4onnx.BackMeanDiff, "neighbor": si4onnx.NeighborMeanDiff}[question["hypothesis"]]
    rule = kind(threshold=question["threshold"], post_process=steps, use_norm=question["normalize"])
    x = torch.from_numpy(np.array(question["x"], dtype=np.float64))
    begin = time.process_time()
    test = si4onnx.load(onnx.load(question["model"]), rule, seed=question["seed"])
    result = test.inference(x, var=question["variance"])
    return {
        "p": float(result.p_value), "low": float(result.inf_p), "count": len(result.truncated_intervals),
        "seconds": time.process_time() - begin,
    }  # fmt: skip


def main() -> None:
    """Answer until the questions end."""
    import_module("si4onnx")  # without it nobody is told "ready"
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            record = answer(json.loads(line))
        except Exception as problem:
            record = {"error": f"{type(problem).__name__}: {problem}"[:300]}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
