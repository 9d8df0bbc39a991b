"""One job of a study in a worker process: draw, audit, ask every comparator, and return one record."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference.rechecking import confirmed
from inference.study.comparators import Skipped, comparator
from inference.study.configuration import Configuration, Part
from inference.study.constructed import VARIANCE, constructed
from inference.study.drawn import Drawn, loaded, simulated
from inference.study.truncated import difference
from symbolic.errors import InputError, NoHypothesisError, NoiseError, OptionError

__all__ = ["Job", "draw", "jobs_of"]

Record = dict[str, Any]
MOST_INTERVALS = 40
"""Intervals of a truncation set that are kept for a picture."""


@dataclass(frozen=True)
class Job:
    """One draw: where it belongs, and its seed."""

    part: str
    network: str
    noise: str
    effect: float
    seed: int


def jobs_of(study: Configuration, part: Part) -> Iterator[Job]:
    """All draws of a part; networks whose file is missing are left out."""
    if part.kind == "constructed":
        yield from (Job(part.name, one.name, "normal", 0.0, 0) for one in constructed(part.widths))
        return
    if part.kind == "function":
        name = part.function.partition(":")[2]
        yield from (Job(part.name, name, "real", 0.0, seed) for seed in range(part.repetitions))
        return
    for name in part.networks:
        if study.network(name).model.is_file():
            for noise in part.noises:
                for effect in part.effects:
                    for seed in range(part.repetitions):
                        yield Job(part.name, name, noise, effect, seed)


def draw(study: Configuration, job: Job) -> Record:
    """Run one draw. Nothing is dropped: a failure is a record too."""
    part = study.part(job.part)
    record: Record = asdict(job) | {"outcome": "tested"}
    if part.kind == "draws":
        loaded(study.network(job.network))  # what cannot be loaded is no failure of a draw
    start = time.perf_counter()
    try:
        drawn = _drawn(study, part, job)
    except NoHypothesisError:
        return record | {"outcome": "no region", "seconds": time.perf_counter() - start}
    except OptionError:
        raise  # the configuration's fault
    except Exception as problem:
        if part.kind == "draws" and isinstance(problem, (InputError, NoiseError)):
            raise  # likewise: a wrong shape, or a wrong variance
        return record | {
            "outcome": "failed",
            "seconds": time.perf_counter() - start,
            "message": _said(problem),
        }
    result = drawn.result
    record |= {
        "seconds": drawn.seconds, "stat": drawn.stat, "sd": drawn.sd, "null": drawn.null,
        "null_true": drawn.null_true, "true_contrast": drawn.true_contrast,
        "inf_p": result.inf_p, "sup_p": result.sup_p, "cells": result.cells,
        "pass_seconds": _finite(drawn.pass_seconds),
    }  # fmt: skip
    if part.kind == "constructed":
        record["known_p"] = drawn.kept["known_p"]
        record["exact_set"] = [[repr(a), repr(b)] for a, b in drawn.kept["known_set"][:MOST_INTERVALS]]
    if part.check_every and job.seed % part.check_every == 0:
        record["checked"] = confirmed(result)
    names = dict.fromkeys(("exact", *part.comparators))
    record["answers"] = {name: _asked(name, drawn) for name in names}
    return record


def _drawn(study: Configuration, part: Part, job: Job) -> Drawn:
    """The input and the exact audit of it."""
    kept: Record = {}
    network = None
    mean = None
    if part.kind == "function":
        start = time.perf_counter()
        result, test, x, variance = _function(str(study.folder), part.function)(job.seed)
        return Drawn(test, x, variance, job.seed, result, result.seconds or time.perf_counter() - start)
    if part.kind == "constructed":
        from inference.audit import load
        from inference.score_hypotheses import BackMeanDiff

        case = next(one for one in constructed(part.widths) if one.name == job.network)
        test, x, variance = load(case.model(), BackMeanDiff(threshold=0)), case.x, VARIANCE
        kept = {"known_p": case.p_value(), "known_set": [(float(a), float(b)) for a, b in case.exact]}
    else:
        network = study.network(job.network)
        test, variance = loaded(network), network.variance
        x, mean = simulated(network, job.noise, job.effect, job.seed)
    start = time.perf_counter()
    result = test.inference(x, variance)
    seconds = time.perf_counter() - start
    return Drawn(test, x, variance, job.seed, result, seconds, mean, network, study.si4onnx, kept)


def _asked(name: str, drawn: Drawn) -> Record:
    """What a comparator said, compared with the certified set."""
    start = time.perf_counter()
    try:
        answer = comparator(name).answer(drawn)
    except Skipped as reason:
        return {"skipped": str(reason)}
    except NoHypothesisError as nothing:  # of a randomised input
        return {"no_region": str(nothing), "seconds": time.perf_counter() - start}
    except Exception as problem:
        return {"p": 0.0, "failed": _said(problem), "seconds": time.perf_counter() - start}
    seconds = time.perf_counter() - start if answer.seconds is None else answer.seconds
    said: Record = {"p": answer.p, "seconds": seconds}
    if not math.isnan(answer.low):
        said["low"] = answer.low
    passes = seconds / drawn.pass_seconds if answer.passes is None else answer.passes
    said["passes"] = _finite(passes)
    if answer.intervals is not None:
        exact = drawn.kept.get("known_set", drawn.exact)
        false, missing = difference(answer.intervals, exact, drawn.sd, drawn.null)
        said |= {"false_mass": _finite(false), "missing_mass": _finite(missing)}
        if drawn.kept:
            said["set"] = [[repr(a), repr(b)] for a, b in answer.intervals[:MOST_INTERVALS]]
    if answer.interval is not None:
        low, high = answer.interval
        said["length"] = repr((high - low) / drawn.sd)
        if drawn.true_contrast is not None:
            said["covers"] = bool(low <= drawn.true_contrast <= high)
    return said


@lru_cache
def _function(folder: str, name: str) -> Callable[[int], tuple[Any, Any, Any, Any]]:
    """A function k -> (result, loaded model, input, variance) from a file of the user's own."""
    file, _, attribute = name.partition(":")
    path = Path(folder) / file
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise OptionError(f"there is no Python file {path}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as missing:
        raise OptionError(f"{path.name} needs something that is not installed: {missing}.") from None
    found: Callable[[int], tuple[Any, Any, Any, Any]] | None = getattr(module, attribute, None)
    if found is None:
        raise OptionError(f"{path.name} has no function {attribute!r}.")
    return found


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
