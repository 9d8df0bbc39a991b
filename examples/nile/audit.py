"""The network puts a change in the flow of the Nile. Was there one?

    python examples/nile/audit.py

Audits the 27 years around 1898, and three windows in which no change is known. Every certificate is saved and
re-checked by the independent checker.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from data import FIRST_PLACE, FLOW, LENGTH, variance_outside, window
from rich.console import Console
from rich.table import Table

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.words import CERTIFIED, NOT_SAID, answer, bounds, brief, prose, runtime, supported  # noqa: E402

LEVEL = 0.05
MODEL = Path(__file__).with_name("model.onnx")
OUT = Path(__file__).parents[2] / "audit" / "nile"
WINDOWS = {1885: "1898", 1871: "placebo", 1912: "placebo", 1939: "placebo"}
QUESTION = f"""
[bold]The network puts a change in the flow of the Nile. Was there one?[/bold]

A small network, trained on simulated series only, looks at {LENGTH} years of annual flow at Aswan and
points at the last year before a change of the mean. It always points at one. That the flow dropped after
1898 is well known (Cobb 1978), so the first window is centred on 1898; in the other windows no change is
known to us.

[bold]H0[/bold]  The mean flow after the year pointed at is the mean flow up to it, within the window.

[bold]Fixed beforehand[/bold]  The network, H0, the level 5 %, the noise model (independent years), and the
windows: the one centred on 1898, the first 27 years (they end before it), and the two whole windows after it.
"""
PLACEBO = """
A placebo here is a stretch of a real river, not of pure noise: that no change is known does not prove that
there was none, nor that the years are independent. See examples/digits for placebos that are true by
construction.
"""


def noise_of(first: int) -> tuple[float, int, str]:
    """The variance, its degrees of freedom, and where it comes from."""
    variance, freedom = variance_outside(first)
    return (
        variance,
        freedom,
        f"Variance estimated from the {100 - LENGTH} years outside the window, {freedom} degrees of freedom, "
        "independent of the audited ones if years are independent. Exact t law used.",
    )


def main() -> None:
    started = time.perf_counter()
    console = Console(width=min(Console().width, 100), highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    test = sl.load(str(MODEL), sl.ChangePoint(offset=FIRST_PLACE))
    table = Table("years", "", "points at", "change", "naive p", "p", "cells", "checker")
    for column in table.columns[2:]:
        column.justify = "right"
    results = []
    support = len(FLOW) - LENGTH
    for first, kind in WINDOWS.items():
        variance, freedom, source = noise_of(first)
        result = test.inference(window(first), var=variance, degrees_of_freedom=freedom, noise_source=source)
        result.certificate.save(OUT / str(first))
        report = sl.check(OUT / str(first), model=MODEL)
        last_before = first + int(result.roi.sum()) - 1
        table.add_row(
            f"{first}-{(first + LENGTH - 1) % 100}",
            kind,
            str(last_before),
            f"{-result.stat:+.0f}",
            brief(result.naive_p_value(), support),
            brief(result.p_value, support),
            str(result.cells),
            "valid" if report.valid else "INVALID",
        )
        results.append((result, last_before, source))
    console.print(table)
    result, last_before, source = results[0]
    low, high = bounds(result)
    console.print(f"\n{last_before}: selective p {low} to {high} (certified). {runtime(result)}")
    mean = f"difference of the mean flow up to and after {last_before}"
    console.print(
        answer(result, mean, "points at exactly this year", LEVEL)
        + supported(result, support)
        + " "
        + prose(PLACEBO)
    )
    console.print("\n" + prose(CERTIFIED))
    console.print(f"[bold]Noise[/bold]  {source}")
    console.print(prose(NOT_SAID) + "\n")
    console.print(f"Certificates: {OUT}\n{time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()
