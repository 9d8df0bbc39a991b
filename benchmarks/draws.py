"""One audit of a simulated input per draw, many draws over several processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from catalogue import CALIBRATION, EXPLAINED, VARIANCE, Case
from sides import ONE_THREAD


@dataclass(frozen=True)
class Job:
    """What one draw does: which case and seed, how strong a signal, and what beside the exact test."""

    case: str
    seed: int
    signal: float = 0.0
    over_conditioning: bool = False
    check: bool = False


@dataclass(frozen=True)
class Draw:
    """What came out of one draw. A failure has p = 0 (a rejection); no ROI has p = nan (no test)."""

    job: Job
    inf_p: float = math.nan
    sup_p: float = math.nan
    naive_p: float = math.nan
    over_conditioning_p: float = math.nan
    seconds: float = math.nan
    checked: bool | None = None
    error: str | None = None

    @property
    def tested(self) -> bool:
        """Whether there was a region to test."""
        return not math.isnan(self.sup_p)


def case_of(name: str) -> Case:
    """By name."""
    return (CALIBRATION | EXPLAINED)[name]


@lru_cache
def loaded(name: str) -> Any:
    """The audited network of a case, read once per process."""
    import sureline as sl

    case = case_of(name)
    post = [sl.InputDiff(), sl.Abs()] if case.residual else []
    hypothesis = sl.BackMeanDiff(threshold=case.threshold, post_process=post, use_norm=case.use_norm)
    if not case.method:
        return sl.load(str(case.path), hypothesis=hypothesis, seed=case.seed)
    methods = {
        "integrated-gradients": lambda: sl.IntegratedGradients(steps=4),
        "occlusion": lambda: sl.Occlusion(window=2, stride=1),
        "lrp.epsilon": lambda: sl.LrpEpsilon(1e-2),
    }
    return sl.load(sl.explain(case.path, methods[case.method]()), hypothesis)


def draw(job: Job) -> Draw:
    """Audit one input. Nothing is dropped: every outcome is a Draw."""
    import sureline as sl

    try:
        test, x = loaded(job.case), case_of(job.case).input(job.seed, job.signal)
        start = time.perf_counter()
        try:
            result = test.inference(x, var=VARIANCE)
        except sl.NoHypothesisError:
            return Draw(job)
        seconds = time.perf_counter() - start
        pattern = math.nan
        if job.over_conditioning:
            pattern = test.inference(x, var=VARIANCE, inference_mode="over_conditioning").sup_p
        checked = None
        if job.check:
            with tempfile.TemporaryDirectory() as folder:
                result.certificate.save(Path(folder) / "audit")
                checked = bool(sl.check(Path(folder) / "audit").valid)
        naive = float(result.naive_p_value())
        return Draw(job, float(result.inf_p), float(result.sup_p), naive, pattern, seconds, checked)
    except Exception as problem:
        return Draw(job, 0.0, 0.0, 0.0, 0.0, error=f"{type(problem).__name__}: {problem}")


def workers(processes: int) -> ProcessPoolExecutor:
    """A pool of processes of one thread each; close it after the last draw."""
    os.environ.update(ONE_THREAD)
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))


def draws(jobs: list[Job], pool: ProcessPoolExecutor) -> Iterator[Draw]:
    """All draws, in the order of the jobs."""
    return pool.map(draw, jobs, chunksize=max(1, min(20, len(jobs) // 20)))
