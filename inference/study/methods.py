"""One comparator over the draws of a condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.uniformity import Paired, Rate, UniformityReport, clopper_pearson, mcnemar, uniformity

__all__ = ["Flips", "Method", "method_of"]

Record = dict[str, Any]
FLIP_LEVELS = (0.05, 0.01)


@dataclass(frozen=True)
class Flips:
    """Draws that a method decides otherwise than the certified p-value.

    Attributes
    ----------
    level : float
    count, draws : int
    low, high : float
        Clopper-Pearson interval of the share.
    paired : Paired
        McNemar's test: the method is the first, the certified p-value the second.
    """

    level: float
    count: int
    draws: int
    low: float
    high: float
    paired: Paired


@dataclass(frozen=True, eq=False)
class Method:
    """One comparator under one condition.

    Attributes
    ----------
    name : str
    p : ndarray
        Of the draws that it tested, failures as 0, in the order of the seeds.
    report : UniformityReport
        Rejection rates; the tests of uniformity mean something where the null is true.
    flips : tuple of Flips
    distance : float
        Largest distance of p from the certified [inf_p, sup_p].
    median_distance : float
    false_mass, missing_mass : float
        Largest null mass, as a share of the certified set's, of what it took to be in the set and is not, and
        of what it missed; nan where it finds no set.
    coverage : Rate or None
        Share of intervals at 95 % without the true value, with its Clopper-Pearson interval.
    length : float
        Median length of the intervals, in standard deviations.
    passes, seconds : float
        Medians per draw.
    failed, no_region : int
    skipped : str
        Why it was not asked.
    """

    name: str
    p: Any
    report: UniformityReport | None
    flips: tuple[Flips, ...]
    distance: float
    median_distance: float
    false_mass: float
    missing_mass: float
    coverage: Rate | None
    length: float
    passes: float
    seconds: float
    failed: int
    no_region: int
    skipped: str


def method_of(name: str, records: Sequence[Record], levels: tuple[float, ...], confidence: float) -> Method:
    """Summarise a comparator: every draw with a region counts, one that failed as a rejection."""
    p: list[float] = []
    both: list[tuple[float, float, float]] = []
    answers: list[Record] = []
    skipped, failed, nothing = "", 0, 0
    for record in records:
        if record["outcome"] == "failed":
            p.append(0.0)
            failed += 1
            continue
        answer = record["answers"].get(name, {"skipped": "not asked"})
        if "skipped" in answer:
            skipped = answer["skipped"]
        elif "no_region" in answer:
            nothing += 1
        else:
            p.append(answer["p"])
            both.append((answer["p"], record["inf_p"], record["sup_p"]))
            failed += "failed" in answer
            answers.append(answer)
    if not answers:
        p = []
    values, pairs = np.array(p), np.array(both).reshape(-1, 3)
    away = np.maximum(0, np.maximum(pairs[:, 1] - pairs[:, 0], pairs[:, 0] - pairs[:, 2]))
    covers = [answer["covers"] for answer in answers if "covers" in answer]
    lengths = [float(answer["length"]) for answer in answers if "length" in answer]
    coverage = None
    if covers:
        missed = len(covers) - sum(covers)
        low, high = clopper_pearson(missed, len(covers), confidence)
        coverage = Rate(0.05, missed, len(covers), low, high, confidence)
    return Method(
        name=name,
        p=values,
        report=uniformity(values, levels, confidence) if len(values) else None,
        flips=tuple(_flips(pairs, level, confidence) for level in FLIP_LEVELS) if len(pairs) else (),
        distance=float(away.max(initial=0.0)) if len(away) else math.nan,
        median_distance=float(np.median(away)) if len(away) else math.nan,
        false_mass=_largest(answers, "false_mass"),
        missing_mass=_largest(answers, "missing_mass"),
        coverage=coverage,
        length=float(np.median(lengths)) if lengths else math.nan,
        passes=_median(answers, "passes"),
        seconds=_median(answers, "seconds"),
        failed=failed,
        no_region=nothing,
        skipped=skipped,
    )


def _flips(pairs: Any, level: float, confidence: float) -> Flips:
    """Decisions at a level that are not the certified ones; between the two bounds there is no flip."""
    mine = pairs[:, 0] <= level
    clear = (pairs[:, 2] <= level) | (pairs[:, 1] > level)
    certified = np.where(clear, pairs[:, 2] <= level, mine)
    count = int(np.sum(mine != certified))
    low, high = clopper_pearson(count, len(pairs), confidence)
    return Flips(level, count, len(pairs), low, high, mcnemar(mine, certified.astype(bool)))


def _values(answers: Sequence[Record], key: str) -> list[float]:
    return [answer[key] for answer in answers if answer.get(key) is not None]


def _largest(answers: Sequence[Record], key: str) -> float:
    return max(_values(answers, key), default=math.nan)


def _median(answers: Sequence[Record], key: str) -> float:
    values = _values(answers, key)
    return float(np.median(values)) if values else math.nan
