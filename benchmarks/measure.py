"""Clocks and memory for one measured call; standard library only."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any


def peak_mib() -> float:
    """Largest resident set of this process so far, in MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def processor_seconds() -> float:
    """Processor time of this process and of the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measured(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of `call()`; seconds by wall clock and by processor, peak memory before and after."""
    before = peak_mib()
    wall, cpu = time.perf_counter(), processor_seconds()
    result = call()
    wall, cpu = time.perf_counter() - wall, processor_seconds() - cpu
    return result, {"seconds": wall, "cpu_seconds": cpu, "peak_mib": peak_mib(), "idle_mib": before}
