"""What the draws of a study say: levels, power, coverage, cost, and how far approximations are off."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from inference.study.configuration import Configuration
from inference.study.methods import Method, method_of
from inference.study.running import read_draws

__all__ = ["Condition", "Method", "Summary", "summarise"]

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Condition:
    """One part, network, noise and effect, with every comparator.

    Attributes
    ----------
    part, network, noise : str
    effect : float
    draws, no_region, failed : int
        All, and of them without a region (counted apart), and failed (counted as rejections).
    checked, refused : int
        By the independent checker.
    null_true : int
        Draws whose null hypothesis is known to be true.
    methods : dict of str to Method
    records : list of dict
        The draws themselves.
    """

    part: str
    network: str
    noise: str
    effect: float
    draws: int
    no_region: int
    failed: int
    checked: int
    refused: int
    null_true: int
    methods: dict[str, Method]
    records: list[Record]

    @property
    def name(self) -> str:
        """In words."""
        noise = "" if self.noise in ("normal", "real") else f", {self.noise}"
        return f"{self.part}: {self.network}{noise}{f', effect {self.effect:g}' if self.effect else ''}"

    @property
    def is_null(self) -> bool:
        """Whether every tested null hypothesis is true and the noise is as declared."""
        tested = self.draws - self.no_region - self.failed
        return self.noise == "normal" and tested > 0 and self.null_true == tested


@dataclass(frozen=True, eq=False)
class Summary:
    """The study.

    Attributes
    ----------
    study : Configuration
    conditions : tuple of Condition
    left_out : dict
        Networks whose file is missing, and parts without a draw.
    holm : dict of str to float
        By condition, the Kolmogorov-Smirnov p-value of the certified p-values, adjusted by Holm over the null
        conditions.
    findings : tuple of str
        Everything that is not as it should be.
    """

    study: Configuration
    conditions: tuple[Condition, ...]
    left_out: dict[str, str]
    holm: dict[str, float]
    findings: tuple[str, ...]

    @property
    def says(self) -> tuple[str, ...]:
        """The findings; if there are none, what the study has shown."""
        shown = {(c.network, r["seed"]) for c in self.conditions if c.is_null for r in c.records}
        count = len(shown)  # parts share their draws
        if self.findings or not count:
            return self.findings or ("No true null hypothesis was tested: calibration is not shown.",)
        return (f"Nothing contradicts the calibration, in {count} draws with a true null hypothesis.",)

    def as_dict(self) -> Record:
        """Numbers and strings only."""
        rows = []
        for c in self.conditions:
            methods = {
                name: {
                    "rates": [] if m.report is None else m.report.as_dict()["rates"],
                    "ks_p": None if m.report is None else m.report.kolmogorov_smirnov,
                    "flips": [asdict(f) for f in m.flips],
                    "failed": m.failed,
                    "no_region": m.no_region,
                    "skipped": m.skipped,
                    "not_covered": None if m.coverage is None else asdict(m.coverage),
                    **{k: _finite(getattr(m, k)) for k in _NUMBERS},
                }
                for name, m in c.methods.items()
            }
            kept = (
                "part",
                "network",
                "noise",
                "effect",
                "draws",
                "no_region",
                "failed",
                "checked",
                "refused",
            )
            rows.append({k: getattr(c, k) for k in kept} | {"null_true": c.null_true, "methods": methods})
        return {
            "title": self.study.title,
            "configuration_sha256": self.study.sha256,
            "confidence": self.study.confidence,
            "conditions": rows,
            "left_out": self.left_out,
            "holm": self.holm,
            "findings": list(self.findings),
        }


_NUMBERS = (
    "distance", "median_distance", "false_mass", "missing_mass", "length", "passes", "seconds",
)  # fmt: skip


def summarise(study: Configuration, out: str | os.PathLike[str]) -> Summary:
    """Summarise what is on disk, finished or not.

    Raises
    ------
    InputError
        A line of the file is damaged.
    """
    grouped: dict[tuple[str, str, str, float], list[Record]] = defaultdict(list)
    for record in read_draws(out):
        key = record["part"], record["network"], record["noise"], record["effect"]
        grouped[key].append(record)
    order = {part.name: k for k, part in enumerate(study.parts)}
    found = tuple(
        _condition(study, key, sorted(records, key=lambda r: int(r["seed"])))
        for key, records in sorted(grouped.items(), key=lambda item: (order.get(item[0][0], 99), item[0][3]))
    )
    left_out = {n.name: f"there is no file {n.model.name}" for n in study.networks if not n.model.is_file()}
    left_out |= {p.name: "no draw yet" for p in study.parts if not any(c.part == p.name for c in found)}
    from inference.study.verdicts import findings, holm

    adjusted = holm(found)
    return Summary(study, found, left_out, adjusted, tuple(findings(found, adjusted, study.confidence)))


def _condition(study: Configuration, key: tuple[str, str, str, float], records: list[Record]) -> Condition:
    outcomes = Counter(record["outcome"] for record in records)
    names = dict.fromkeys(name for record in records for name in record.get("answers", {}))
    kept = [record for record in records if record["outcome"] != "no region"]
    return Condition(
        *key,
        draws=len(records),
        no_region=outcomes["no region"],
        failed=outcomes["failed"],
        checked=sum("checked" in record for record in records),
        refused=sum(record.get("checked") is False for record in records),
        null_true=sum(record.get("null_true") is True for record in records),
        methods={name: method_of(name, kept, study.levels, study.confidence) for name in names},
        records=records,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
