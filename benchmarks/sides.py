"""Launches one side of a comparison in its own process with one thread, and keeps what it printed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue import CACHE, Case

HERE = Path(__file__).resolve().parent
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

Record = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """A tool: its interpreter, its script, and how many processor seconds a run may take."""

    tool: str
    python: str
    arguments: tuple[str, ...] = ()
    limit: float | None = None

    def stored(self, case: Case, seed: int) -> Path:
        """Where the latest record of this case and seed is kept."""
        return CACHE / "results" / f"{self.tool}-{case.name}-{seed}.json"

    def load(self, case: Case, seed: int) -> Record | None:
        """The stored record, if it is of this very network file and not of a shorter time limit."""
        path = self.stored(case, seed)
        if not path.exists():
            return None
        record: Record = json.loads(path.read_text())
        too_short = "timeout" in record and (self.limit is None or record["timeout"] < self.limit)
        return None if too_short or record["network"] != case.digest() else record

    def run(self, case: Case, seed: int) -> Record:
        """A fresh record: what the script printed, or {"timeout": seconds}, or {"error": last line}."""
        script = str(HERE / f"run_{self.tool}.py")
        command = [self.python, "-W", "ignore", script, case.name, str(seed), *self.arguments]
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": path}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, preexec_fn=self._limit_processor
        )
        if done.returncode == -signal.SIGXCPU:
            record: Record = {"case": case.name, "seed": seed, "tool": self.tool, "timeout": self.limit}
        elif done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            record = {"case": case.name, "seed": seed, "tool": self.tool, "error": last}
        else:
            record = json.loads(done.stdout.strip().splitlines()[-1])
        record["network"] = case.digest()
        target = self.stored(case, seed)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        return record

    def _limit_processor(self) -> None:
        if self.limit is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(self.limit), int(self.limit) + 10))
