"""One audit by Sureline in this process: `python run_sureline.py CASE SEED [--check]` prints one JSON line.

Timed like run_si4onnx.py: loading and inference with the defaults, after one audit of the warm-up case.
Outside that clock: a forward pass of the audited graph by ONNX Runtime (one thread, median), and `sl.check`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from catalogue import CASES, VARIANCE, WARM_UP, WARM_UP_SEED, Case
from measure import measured

import sureline as sl


def audit(case: Case, x: np.ndarray, **options: Any) -> Any:
    """Loading and inference (parametric search, p enclosed to 1e-6, unless the options say otherwise)."""
    post = [sl.InputDiff(), sl.Abs()] if case.residual else []
    hypothesis = sl.BackMeanDiff(threshold=case.threshold, post_process=post, use_norm=case.use_norm)
    test = sl.load(str(case.path), hypothesis=hypothesis, seed=case.seed)
    return test.inference(x, var=VARIANCE, **options)


def forward_pass(model: Path, x: np.ndarray, runs: int = 51) -> float:
    """Median processor seconds of one run of the audited graph on the input."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.astype(np.float32)}
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        session.run(None, feed)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main(name: str, seed: int, check: bool) -> None:
    case = CASES[name]
    audit(CASES[WARM_UP], CASES[WARM_UP].input(WARM_UP_SEED))
    x = case.input(seed)
    result, cost = measured(lambda: audit(case, x))
    record: dict[str, Any] = {
        "case": name, "seed": seed, "tool": "sureline", "stat": float(result.stat), "p_value": result.p_value,
        "inf_p": result.inf_p, "sup_p": result.sup_p, "log_sup_p": result.log_sup_p,
        "naive_p": result.naive_p_value(), "roi_size": int(np.sum(result.roi)),
        "intervals": len(result.truncated_intervals), **cost,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "audit"
        result.certificate.save(saved)
        cells = json.loads((saved / "certificate.json").read_text())["cells"]
        record["cells"] = len(cells)
        record["gaps"] = sum(cell[2] == "gap" for cell in cells)
        record["certificate_kib"] = sum(f.stat().st_size for f in saved.iterdir()) / 1024
        record["forward_seconds"] = forward_pass(saved / "audited.onnx", x)
        if check:
            report, checked = measured(lambda: sl.check(saved))
            record |= {"check_valid": bool(report.valid), "check_seconds": checked["seconds"]}
            record |= {"check_cpu_seconds": checked["cpu_seconds"], "check_peak_mib": checked["peak_mib"]}
    print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "--check" in sys.argv)
