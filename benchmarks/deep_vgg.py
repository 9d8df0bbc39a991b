"""The over-conditioned audit of a deep network: 13 convolutions as in VGG-16, 8 to 32 channels, 64x64.

    python benchmarks/deep_vgg.py [--seeds 10] [--first 0] [--side 64] [--threshold 0.6]

Every seed has a network (random weights of He's variance) and a standard normal input of its own. The
question is that of BackMeanDiff on the min-max normalised map. Each seed runs in a process of its own with
one thread; seconds are the processor's, of the inference alone (the model loaded) and of the check of the
saved certificate; memory is the largest resident set of the process, imports included, after the audit and
after the check. Nothing is discarded: a seed that fails has a line that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from large_graph import peak

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import architectures  # noqa: E402

COLUMNS = {
    "seed": "{}",
    "p": "{:.8f}",
    "width": "{:.1e}",
    "interval": "{}",
    "cells": "{}",
    "s audit": "{:.2f}",
    "s check": "{:.2f}",
    "MiB audit": "{:.0f}",
    "MiB check": "{:.0f}",
}


def measure(seed: int, side: int, threshold: float) -> dict[str, Any]:
    """The audit of one seed, and the check of its certificate."""
    import sureline as sl

    model = architectures.vgg(seed, side=side)
    x = np.random.default_rng(seed + 100).normal(size=(1, 1, side, side)).astype(np.float32)
    test = sl.load(model, sl.BackMeanDiff(threshold=threshold, use_norm=True))
    started = time.process_time()
    result = test.inference(x, 1.0, inference_mode="over_conditioning")
    audit, held = time.process_time() - started, peak()
    with tempfile.TemporaryDirectory() as room:
        result.certificate.save(Path(room) / "audit")
        started = time.process_time()
        report = sl.check(Path(room) / "audit")
        check = time.process_time() - started
    (low, high), *_ = ((float(a), float(b)) for a, b in result.truncated_intervals)
    return {
        "seed": seed,
        "p": result.p_value,
        "width": result.sup_p - result.inf_p,
        "interval": f"{(low - result.stat) / result.sd:.1e}, {(high - result.stat) / result.sd:+.1e}",
        "cells": report.cells,
        "s audit": audit,
        "s check": check,
        "MiB audit": held / 2**20,
        "MiB check": peak() / 2**20,
    }


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--threshold", type=float, default=0.6)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one, given.side, given.threshold)))
        return
    print(row([*COLUMNS]))
    print(row(["---"] * len(COLUMNS)))
    options = ["--side", str(given.side), "--threshold", str(given.threshold)]
    found = []
    for seed in range(given.first, given.first + given.seeds):
        command = [sys.executable, __file__, "--one", str(seed), *options]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        if done.returncode:
            print(f"seed {seed} failed:\n{done.stderr[-2000:]}")
            continue
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(row([form.format(found[-1][name]) for name, form in COLUMNS.items()]), flush=True)
    costs = [name for name in COLUMNS if name.startswith(("s ", "MiB "))]
    for word, of in (("median", statistics.median), ("worst", max)) if found else ():
        print(f"{word}: " + ", ".join(f"{name} {of(line[name] for line in found):.1f}" for name in costs))


if __name__ == "__main__":
    main()
