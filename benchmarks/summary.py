"""From records of both sides to one table line per network; nothing here runs anything."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Pair = tuple[Record | None, Record | None]
"""(si4onnx, Sureline) on the same network and seed."""

HEADERS = [
    "network", "seeds", "p si4onnx", "p Sureline", "ours in theirs", "width si4onnx", "width Sureline",
    "regions", "cells", "s si4onnx", "s Sureline", "ratio", "MiB si4onnx", "MiB Sureline", "forward passes",
    "check / audit",
]  # fmt: skip


def good(record: Record | None) -> bool:
    """Whether the side finished with a p-value."""
    return record is not None and "p_value" in record


def agreement(theirs: Record, ours: Record) -> str:
    """Where our certified enclosure lies relative to their [inf_p, sup_p]."""
    if theirs["inf_p"] <= ours["inf_p"] and ours["sup_p"] <= theirs["sup_p"]:
        return "inside"
    if theirs["inf_p"] <= ours["sup_p"] and ours["inf_p"] <= theirs["sup_p"]:
        return "overlaps"
    return "DISJOINT"


def number(values: Iterable[float], style: str = ".3g") -> str:
    """The median in a readable form, or a dash."""
    kept = list(values)
    return format(statistics.median(kept), style) if kept else "-"


def ratio(pairs: Sequence[Pair]) -> tuple[float, bool] | None:
    """Median over seeds of their processor seconds per our processor second; whether it is a lower bound.

    It is one where a limit (of processor seconds, too) ended their run.
    """
    bound = False
    values = []
    for theirs, ours in pairs:
        if not good(ours) or theirs is None:
            continue
        assert ours is not None
        if good(theirs):
            values.append(theirs["cpu_seconds"] / ours["cpu_seconds"])
        elif "timeout" in theirs:
            bound = True
            values.append(theirs["timeout"] / ours["cpu_seconds"])
    return (statistics.median(values), bound) if values else None


def line(name: str, pairs: Sequence[Pair]) -> list[str]:
    """One row of the table: medians over seeds; p-values of the first seed."""
    theirs = [t for t, _ in pairs if t is not None and good(t)]
    ours = [o for _, o in pairs if o is not None and good(o)]
    both = [(t, o) for t, o in pairs if t is not None and o is not None and good(t) and good(o)]
    verdicts = [agreement(t, o) for t, o in both]
    tally = ", ".join(f"{v} {verdicts.count(v)}" for v in dict.fromkeys(verdicts)) or "-"
    speed = ratio(pairs)
    limit = next((t["timeout"] for t, _ in pairs if t is not None and "timeout" in t), None)
    broken = next((t["error"] for t, _ in pairs if t is not None and "error" in t), None)
    ours_broken = next((o.get("error", "timeout") for _, o in pairs if o is not None and not good(o)), None)
    seconds = number(t["cpu_seconds"] for t in theirs) if not limit else f"> {limit:.0f}"
    checks = [o["check_cpu_seconds"] / o["cpu_seconds"] for o in ours if "check_cpu_seconds" in o]
    return [
        name,
        str(sum(good(o) for _, o in pairs)),
        f"{theirs[0]['p_value']:.4f}" if theirs else (broken or "time limit" if limit or broken else "-"),
        f"{ours[0]['p_value']:.8f}" if ours else (ours_broken or "-"),
        tally,
        number((t["sup_p"] - t["inf_p"] for t in theirs), ".1e"),
        number((o["sup_p"] - o["inf_p"] for o in ours), ".1e"),
        number((t["steps"] for t in theirs), ".0f"),
        number((o["cells"] for o in ours), ".0f"),
        seconds,
        number(o["cpu_seconds"] for o in ours),
        "-" if speed is None else f"{'> ' if speed[1] else ''}{speed[0]:.0f}",
        number((t["peak_mib"] for t in theirs), ".0f"),
        number((o["peak_mib"] for o in ours), ".0f"),
        number((o["cpu_seconds"] / o["forward_seconds"] for o in ours), ".0f"),
        number(checks, ".2g"),
    ]


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, readable as plain text too."""
    widths = [max(len(row[k]) for row in [headers, *rows]) for k in range(len(headers))]

    def form(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"

    return "\n".join([form(headers), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(form, rows)])


def replace_results(page: Path, name: str, text: str) -> None:
    """Put text between the marks "<!-- results: NAME -->" and "<!-- /results: NAME -->" of a page."""
    begin, end = f"<!-- results: {name} -->", f"<!-- /results: {name} -->"
    head, rest = page.read_text().split(begin)
    page.write_text(f"{head}{begin}\n{text.rstrip()}\n{end}{rest.split(end, 1)[1]}")


def verdict(pairs: dict[str, list[Pair]]) -> str:
    """The figures of the goals: median and least ratio of times, ratio of widths, disjoint p-values."""
    speeds = {name: speed for name, several in pairs.items() if (speed := ratio(several)) is not None}
    both = [(t, o) for several in pairs.values() for t, o in several if good(t) and good(o)]
    if not speeds or not both:
        return "No network was finished by both sides."
    slowest = min(speeds, key=lambda name: speeds[name][0])
    widths = [(t["sup_p"] - t["inf_p"]) / max(o["sup_p"] - o["inf_p"], 1e-300) for t, o in both]  # type: ignore[index]
    disjoint = sum(agreement(t, o) == "DISJOINT" for t, o in both)  # type: ignore[arg-type]
    middle = statistics.median(s for s, _ in speeds.values())
    return (
        f"Ratio of times: median over the networks {middle:.1f}, least {speeds[slowest][0]:.1f} ({slowest}). "
        f"p narrower by a factor of {statistics.median(widths):.2g} (median), {min(widths):.2g} (least). "
        f"Certified p outside their [inf_p, sup_p]: {disjoint} of {len(both)}."
    )
