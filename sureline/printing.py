"""What the command line prints: JSON for programs, panels for people."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Any

from inference.digits import at_least, at_most
from sureline import words

if TYPE_CHECKING:
    from inference.ends import EndPoint
    from inference.engines import Comparison
    from inference.laws.estimates import Estimates
    from inference.result import InferenceResult
    from sureline.running import Description, Request
    from verifier.check import CheckReport

__all__ = [
    "as_json",
    "bounds",
    "show_audit",
    "show_check",
    "show_info",
    "show_invalid",
    "show_sampled",
]

_VERDICTS = {"reject": "established", "accept": "not established", "undecided": "undecided"}


def as_json(result: InferenceResult, request: Request) -> str:
    """Return one JSON object; exact numbers are strings, and what is not finite is a string or null."""
    alpha = request.level
    record = {
        "stat": _finite(result.stat),
        "p_value": _finite(result.p_value),
        "inf_p": _finite(result.inf_p),
        "sup_p": _finite(result.sup_p),
        "log_inf_p": _finite(result.log_inf_p),
        "log_sup_p": _finite(result.log_sup_p),
        "naive_p_value": _finite(result.naive_p_value()),
        "alpha": _finite(alpha),
        "decision": result.decision(alpha),
        "truncated_intervals": [[str(lower), str(upper)] for lower, upper in result.truncated_intervals],
        "event": result.event,
        "roi_size": int(result.roi.sum()),
        "law": result.law.family,
        "estimates": None if result.estimates is None else _estimates(result.estimates),
        "variance_factors": None
        if result.scale_range is None
        else [str(result.scale_range.low), str(result.scale_range.high)],
        "end_points": [
            {"lo": str(end.lo), "hi": str(end.hi), "exact": end.exact, "binding": _binding(end)}
            for end in result.end_points
        ],
        "engine": result.engine,
        "compared": [asdict(one) for one in result.compared],
        "cells": result.cells,
        "gap_mass": _finite(result.gap_mass),
        "network": str(result.exactness),
        "seconds": round(float(result.seconds), 3),
        "runtime_agrees": result.runtime_agrees,
        "certificate": None if request.out is None else str(request.out),
        "warnings": list(result.warnings),
    }
    return json.dumps(record, allow_nan=False)


def _estimates(found: Estimates) -> dict[str, Any]:
    brackets = {"lower": found.lower, "upper": found.upper, "median_unbiased": found.median_unbiased}
    if found.maximum_likelihood is not None:
        brackets["maximum_likelihood"] = found.maximum_likelihood
    return {"level": str(found.level)} | {name: [str(b.lo), str(b.hi)] for name, b in brackets.items()}


def _binding(end: EndPoint) -> str | None:
    return None if end.binding is None else f"{end.binding.node}, element {end.binding.unit}"


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def bounds(inf_p: float, sup_p: float, log_inf_p: float, log_sup_p: float) -> tuple[str, str]:
    """Return the two bounds as text with seven digits, rounded outward."""
    return _text(inf_p, log_inf_p, at_most), _text(sup_p, log_sup_p, at_least)


def _text(p: float, log_p: float, digits: Callable[[float, int], str]) -> str:
    if p >= 1e-300 or log_p == -math.inf:
        return digits(p, 7)
    rounding = ROUND_FLOOR if digits is at_most else ROUND_CEILING
    tens = Context(prec=7, rounding=rounding).create_decimal_from_float(log_p / math.log(10))
    return f"10^{tens:f}" if tens > -100000 else f"10^({tens:e})"


def show_audit(result: InferenceResult, request: Request) -> None:
    """Print the answer in words, then the numbers behind it."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from inference.ends import summary

    inf_p, sup_p = bounds(result.inf_p, result.sup_p, result.log_inf_p, result.log_sup_p)
    decision = result.decision(request.level)
    colour = {"reject": "bold green", "accept": "bold", "undecided": "bold yellow"}[decision]
    said, within = words.question(result, request, inf_p, sup_p)
    answer = Text.assemble(
        said,
        (within, "bold"),
        f", given the noise model below. At the level {request.alpha} the difference is ",
        (_VERDICTS[decision], colour),
        ".",
    )
    size, total = int(result.roi.sum()), int(result.roi.size)
    rows = [
        ("p-value", f"{sup_p} (the upper bound; valid whatever stopped the search)"),
        *_if("naive p-value", words.naive(result)),
        *_if("decision", words.decision(result, request)),
        ("difference", words.difference(result)),
        ("region", f"{size} of {total} elements"),
        ("given", result.event),
        (
            "proof",
            f"{result.cells} cells, undecided null mass {_short(result.gap_mass)}, {result.seconds:.2f} s",
        ),
        ("end points", summary(result.end_points)),
        ("network", str(result.exactness)),
        *((f"engine {one.engine}", _compared(one)) for one in result.compared),
        ("runtime", _RUNTIME[result.runtime_agrees]),
        ("noise", words.noise(result, request)),
        *_more(result),
        ("certificate", str(request.out) if request.out else "not written (give --out FOLDER)"),
    ]
    parts: list[Any] = [answer, Padding(_table(rows), (1, 0))]
    parts += [Padding(Text(f"Warning: {text}", style="yellow"), (0, 0, 1, 0)) for text in result.warnings]
    parts.append(Text(words.caution(result, request), style="dim"))
    _panel(Group(*parts), "Sureline audit", colour)


def _if(name: str, value: str | None) -> list[tuple[str, str]]:
    """A row, if there is something to show."""
    return [] if value is None else [(name, value)]


def _more(result: InferenceResult) -> list[tuple[str, str]]:
    """Rows of what was asked for beside p."""
    rows = []
    found = result.estimates
    if found is not None:
        low, high = (f(e) for f, e in zip((at_most, at_least), found.interval, strict=True))
        level = f"{100 * float(found.level):g} % interval"
        rows.append((level, f"{low} to {high}. {found.caveats.interval}"))
        rows.append(("estimate", f"{found.median_unbiased}. {found.caveats.median_unbiased}"))
        if found.maximum_likelihood is not None:
            rows.append(("likeliest", f"{found.maximum_likelihood}. {found.caveats.maximum_likelihood}"))
    if result.scale_range is not None:
        factors = result.scale_range.factors
        rows.append(("robustness", f"the decision holds for any variance factor in {factors}"))
    return rows


def _compared(one: Comparison) -> str:
    """What an engine made of the line, in words."""
    if one.refused:
        return f"not asked: {one.refused}"
    return f"agrees: {one.cells} cells, {one.exact_ends} exact ends, {one.seconds:.2f} s"


_RUNTIME = {
    True: "ONNX Runtime makes the same selection",
    False: "ONNX Runtime makes ANOTHER selection than real arithmetic",
    None: "ONNX Runtime gave no answer",
}


def show_check(report: CheckReport) -> None:
    """Print what the checker confirmed."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    proved = Text("Every claim was proved again, from the files in the folder alone.")
    rows = [("p-value", _between(report.inf_p, report.sup_p)), ("cells", _kinds(report))]
    rows += _confirmed(report)
    notes = [Text(f"Note: {note}.", style="dim") for note in report.notes]
    table = Padding(_table(rows), (1, 0, 1 if notes else 0, 0))
    _panel(Group(proved, table, *notes), "Valid", "bold green")


def show_sampled(report: CheckReport) -> None:
    """Print what a sample of the cells shows."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    found = report.sampled
    if found is None:
        return
    answer = Text(
        f"{found.draws} random draws met no false cell ({found.distinct} distinct cells, each proved again). "
        "With confidence 95 % the cells that are claimed falsely hold at most "
        f"{found.false_mass} of the null mass. This is not a proof that the certificate is valid."
    )
    rows = [
        ("p-value", f"{_between(found.inf_p, found.sup_p)}, with that confidence"),
        ("claimed", f"{_between(report.inf_p, report.sup_p)}; follows if every cell is right"),
        ("cells", _kinds(report)),
        ("seed", f"{found.seed} (--seed repeats the draws)"),
        *_confirmed(report),
    ]
    notes = [Text(f"Note: {note}.", style="dim") for note in report.notes]
    _panel(Group(answer, Padding(_table(rows), (1, 0)), *notes), "Sampled, not proved", "bold yellow")


def _between(inf_p: str, sup_p: str) -> str:
    return f"between {at_most(Decimal(inf_p), 7)} and {at_least(Decimal(sup_p), 7)}"


def _kinds(report: CheckReport) -> str:
    return f"{report.inside} inside, {report.outside} outside, {report.gaps} gaps (no claim)"


def _confirmed(report: CheckReport) -> list[tuple[str, str]]:
    """What was derived again or compared, and how long the check took."""
    rows = []
    if report.eta_rederived:
        rows.append(("contrast", "derived again from the observed region"))
    if report.model_checked:
        rows.append(("model", "the file given, unchanged"))
    if report.input_checked:
        rows.append(("input", "the array given"))
    return [*rows, ("time", f"{report.seconds:.2f} s")]


def show_invalid(error: Exception) -> None:
    """Print the first false claim."""
    from rich.text import Text

    _panel(Text(" ".join(str(error).split())), "INVALID", "bold red")


def show_info(description: Description, name: str) -> None:
    """Print a model's inputs, outputs and operators."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    ports = [("input", f"{port}: {kind}") for port, kind in description.inputs]
    ports += [("output", f"{port}: {kind}") for port, kind in description.outputs]
    operators = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for title in ("operator", "nodes", "how it is decided"):
        operators.add_column(title, justify="right" if title == "nodes" else "left")
    for kind, count, how in description.operators:
        style = "bold red" if how == "unsupported" else ""
        operators.add_row(kind, str(count), Text(_SUPPORT.get(how, how), style=style))
    refused = sum(how == "unsupported" for _, _, how in description.operators)
    answer = Text(f"{refused} of these operators cannot be audited; docs/operators.md lists those that can.")
    if not refused:
        answer = Text(description.refused or "All operators are supported.")
    elif description.auditable:
        answer.append(f" These outputs do not need them: {', '.join(description.auditable)}.")
    style = "cyan" if description.auditable else "red"
    _panel(Group(_table(ports), Text(), operators, Text(), answer), name, style)


_SUPPORT = {
    "exact": "exactly (piecewise linear)",
    "enclosed": "by enclosure",
    "exact with constants": "exactly where one factor is constant, else by enclosure",
    "frozen": "drawn once and frozen",
    "unsupported": "NOT SUPPORTED",
}


def _short(value: Any) -> str:
    return format(float(value), ".6g")


def _table(rows: list[tuple[str, str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _panel(content: Any, title: str, style: str) -> None:
    from rich.console import Console
    from rich.panel import Panel

    console = Console(soft_wrap=False)
    console.print(
        Panel(
            content,
            title=title,
            title_align="left",
            border_style=style,
            padding=(1, 2),
            width=min(console.width, 100),
        )
    )
