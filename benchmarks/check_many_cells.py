"""How long does the checker take for thousands of cells: alone, with two workers, by a sample?

    python benchmarks/check_many_cells.py                            # 10,000 cells, dense and convolutional
    python benchmarks/check_many_cells.py --cells 2000 --nets dense64

The certificate of an audit is cut into more cells (halves of its widest, all claims still true), and each
kind of check runs in a process of its own, which has one thread of arithmetic.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from catalogue import CASES
from measure import measured
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
KINDS: dict[str, dict[str, Any]] = {
    "one process": {"workers": 1},
    "two workers": {"workers": 2},
    "--sample 300": {"workers": 1, "sample": 300, "seed": 0},
}


def write(name: str, cells: int, folder: Path) -> None:
    """The certificate of an audit of seed 0, cut into `cells` cells."""
    sys.path.append(str(HERE.parent / "tests"))
    from many_cells import split
    from run_sureline import audit

    audit(CASES[name], CASES[name].input(0)).certificate.save(folder)
    split(folder, cells)


def one(folder: str, options: str) -> None:
    """Check once in this process and print a line of JSON."""
    from verifier.check import check

    report, cost = measured(lambda: check(folder, **json.loads(options)))
    checked = report.sampled.distinct if report.sampled else report.inside + report.outside
    print(json.dumps({**cost, "checked": checked, "sampled": report.sampled and report.sampled.false_mass}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--nets", nargs="+", choices=list(CASES), default=["dense64", "unet1d_128"])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(*given.one)
        return
    table = Table("network", "cells", "check", "cells checked", "s", "s of processors", "ms per cell", "MiB")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for name in given.nets:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "audit"
            write(name, given.cells, folder)
            for kind, options in KINDS.items():
                command = [sys.executable, __file__, "--one", str(folder), json.dumps(options)]
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
                cost = json.loads(done.stdout)
                times = [f"{cost[key]:.1f}" for key in ("seconds", "cpu_seconds")]
                each = f"{1000 * cost['cpu_seconds'] / cost['checked']:.2f}"
                size, number = f"{cost['peak_mib']:.0f}", f"{cost['checked']:,}"
                table.add_row(name, f"{given.cells:,}", kind, number, *times, each, size)
    Console(width=120).print(table)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
