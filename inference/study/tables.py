"""Tables of a study: on a terminal, and as a markdown page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from inference.study.summary import Condition, Method, Summary

__all__ = ["markdown", "tables"]

Table = tuple[str, list[str], list[list[str]]]


def tables(summary: Summary) -> list[Table]:
    """Title, headings and rows of every table."""
    found = [_counts(summary.conditions), _rates(summary), _agreement(summary.conditions)]
    found += [_intervals(summary.conditions), _known(summary.conditions)]
    return [table for table in found if table[2]]


def markdown(summary: Summary) -> str:
    """The whole summary as a page."""
    lines = [f"# {summary.study.title}", ""]
    lines += [
        "Intervals in brackets: Clopper-Pearson, "
        f"{summary.study.confidence:.0%}. A failure counts as a rejection; a draw without a region has "
        "nothing to test and is counted apart; nothing is discarded.",
        "",
    ]
    lines += [f"- {text}" for text in summary.says]
    lines += [""] + [f"- left out: {name} ({why})" for name, why in summary.left_out.items()]
    for title, heads, rows in tables(summary):
        lines += ["", f"## {title}", "", _row(heads), _row(["---"] * len(heads)), *map(_row, rows)]
    if summary.holm:
        lines += ["", "Uniformity of the certified p-values, Kolmogorov-Smirnov, adjusted by Holm:", ""]
        lines += [f"- {name}: {p:.3g}" for name, p in summary.holm.items()]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _methods(conditions: Sequence[Condition]) -> Iterator[tuple[Condition, Method]]:
    for condition in conditions:
        for method in condition.methods.values():
            yield condition, method


def _counts(conditions: Sequence[Condition]) -> Table:
    heads = ["condition", "draws", "without a region", "failed", "null true", "re-checked", "refused"]
    return "Draws", heads, [
        [c.name, *map(str, (c.draws, c.no_region, c.failed, c.null_true, c.checked, c.refused))]
        for c in conditions
    ]  # fmt: skip


def _rates(summary: Summary) -> Table:
    heads = ["condition", "method", *(f"rejects at {100 * a:g} %" for a in summary.study.levels), "KS p", "n"]
    rows = []
    for c, m in _methods(summary.conditions):
        if m.report is None:
            rows.append([c.name, m.name, *["-"] * len(summary.study.levels), "-", f"skipped: {m.skipped}"])
            continue
        ks = _short(m.report.kolmogorov_smirnov) if c.effect == 0 else ""
        rows.append([c.name, m.name, *(str(r) for r in m.report.rates), ks, str(m.report.repetitions)])
    return "Rejection rates: the type I error where the null is true, else the power", heads, rows


def _agreement(conditions: Sequence[Condition]) -> Table:
    heads = [
        "condition", "method", "largest distance from the bounds", "median", "flips at 5 %", "flips at 1 %",
        "McNemar p at 5 %", "false mass, at most", "missing mass, at most", "forward passes", "s",
    ]  # fmt: skip
    rows = [
        [
            c.name, m.name, _short(m.distance), _short(m.median_distance),
            *(f"{f.count} of {f.draws} [{100 * f.low:.2f}, {100 * f.high:.2f}] %" for f in m.flips),
            _short(m.flips[0].paired.p_value), _short(m.false_mass), _short(m.missing_mass),
            _short(m.passes), _short(m.seconds),
        ]
        for c, m in _methods(conditions) if m.flips
    ]  # fmt: skip
    return "Against the certified p-values of the same draws, and cost per draw (medians)", heads, rows


def _intervals(conditions: Sequence[Condition]) -> Table:
    heads = ["condition", "method", "without the true value, of 95 % intervals", "median length / sd"]
    rows = [
        [c.name, m.name, str(m.coverage), _short(m.length)]
        for c, m in _methods(conditions)
        if m.coverage is not None
    ]
    return "Confidence intervals", heads, rows


def _known(conditions: Sequence[Condition]) -> Table:
    heads = ["network", "known p", "method", "p", "missing mass", "false mass"]
    rows = []
    for c in conditions:
        for record in c.records:
            if "known_p" not in record:
                continue
            for name, answer in record["answers"].items():
                said: list[Any] = [answer.get(key) for key in ("p", "missing_mass", "false_mass")]
                shown = ["-" if v is None else _short(v) for v in said]
                rows.append([c.network, _short(record["known_p"]), name, *shown])
    return "Constructed networks with known truncation sets", heads, rows


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
