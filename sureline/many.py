"""What the command line prints of several parts of a region."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inference.digits import at_least

if TYPE_CHECKING:
    from inference.result import InferenceResult
    from sureline.running import Request

__all__ = ["as_json", "show"]


def as_json(results: list[InferenceResult], request: Request) -> None:
    """Print one JSON object with the parts, and their p-values adjusted by Holm."""
    from inference.adjust import adjust
    from sureline.printing import as_json as one

    found = adjust(results, "holm", alpha=request.level)
    print(json.dumps({"parts": [json.loads(one(r, request)) for r in results], "holm": list(found.adjusted)}))


def show(results: list[InferenceResult], request: Request) -> None:
    """Print a table of the parts, and their p-values adjusted by Holm."""
    from rich.console import Console
    from rich.table import Table

    from inference.adjust import adjust
    from sureline import words
    from sureline.printing import bounds

    found = adjust(results, "holm", alpha=request.level)
    table = Table(title=f"Every {request.each} of the region, given all of it", title_justify="left")
    for name in (
        request.each or "",
        "elements",
        "difference",
        "selective p between",
        "and",
        "naive p",
        "Holm",
    ):
        table.add_column(name, justify="right", overflow="fold")
    for result, adjusted in zip(results, found.adjusted, strict=True):
        low, high = bounds(result.inf_p, result.sup_p, result.log_inf_p, result.log_sup_p)
        size, stat, naive = int(result.roi.sum()), f"{result.stat:.6g}", f"{result.naive_p_value():.3g}"
        part = str(result.certificate.document["hypothesis"][request.each])
        table.add_row(part, str(size), stat, low, high, naive, at_least(adjusted))
    console = Console()
    console.print(table)
    console.print(
        f"Adjusted p-values at most {request.alpha} are established. {found.condition}", highlight=False
    )
    console.print(f"Noise: {words.noise(results[0], request)}", highlight=False)
    for text in dict.fromkeys(w for result in results for w in result.warnings):
        console.print(f"Warning: {text}", style="yellow", highlight=False)
    console.print(words.caution(results[0], request), style="dim", highlight=False)
