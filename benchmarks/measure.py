"""Clocks and memory for one measured call; standard library only."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any


def peak_mib() -> float:
    """Largest resident set of this process so far, in MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of `call()`; seconds by wall clock and by processor, peak memory before and after."""
    before = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, {"seconds": wall, "cpu_seconds": cpu, "peak_mib": peak_mib(), "idle_mib": before}
