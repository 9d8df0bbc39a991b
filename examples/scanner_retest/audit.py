"""The network points at a change between two scans of one head. Is there one?

    make demo            (or: python examples/scanner_retest/audit.py)

Audits every window of the middle slice, in which nothing happened, and the same windows with a planted
lesion. Two certificates are saved and re-checked by the independent checker: those of the slice's first
window.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from data import NOISE_SAMPLE, PLACES, SIDE, Window, audited_windows, load_scans, noise
from picture import picture
from question import BRIGHTER, MODEL, ask, load, planted, region
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.words import CERTIFIED, NOT_SAID, answer, bounds, brief, prose, runtime, supported  # noqa: E402

MIDDLE = 12
"""The middle slice of the volume."""
LEVEL = 0.05
OUT = Path(__file__).parents[2] / "audit" / "scanner_retest"
QUESTION = f"""
[bold]The network points at a change between two scans of one head. Is there one?[/bold]

A small network compares two scans in windows of {SIDE} x {SIDE} pixels and always points at the 3 x 3
pixels where a change looks most likely. In pure noise it points too: where the noise is largest. The naive
p-value forgets that the network chose the place; the selective p-value takes it into account.

Under "unchanged" nothing happened to the head. Under "lesion" we made one spot of the second scan
{BRIGHTER} grey levels brighter.

[bold]H0[/bold]  At the nine pixels pointed at, the two scans have the same mean.

[bold]Fixed beforehand[/bold]  The network (trained on other slices), the shape of the region, H0, the noise
model, the level 5 %, and the windows: all of the middle slice that lie inside the head, whatever comes out.
While this example was made, studies of all windows were looked at; examples/README.md says what was tried.
"""
OWN_RULE = "The contrast is this example's own rule (question.py), so the checker takes it as given."

Audits = list[tuple[Window, sl.InferenceResult]]


def sketch(window: Window, marked: np.ndarray) -> Text:
    """Second scan minus first in grey levels, one number per pixel; the region in brackets."""
    change = np.rint(window.scans[0, 0] - window.scans[0, 1]).astype(int)
    text = Text()
    for values, inside in zip(change, marked, strict=True):
        for value, chosen in zip(values, inside, strict=True):
            text.append(f"[{value:3d}] " if chosen else f" {value:3d}  ", style="bold" if chosen else "dim")
        text.append("\n")
    return text


def table(unchanged: Audits, lesions: Audits) -> Table:
    """One row per window."""
    shown = Table(
        "window", *("change", "naive p", "selective p") * 2, title="unchanged (left), lesion (right)"
    )
    for column in shown.columns:
        column.justify = "right"
    for number, pair in enumerate(zip(unchanged, lesions, strict=True), 1):
        cells = []
        for _, result in pair:
            for p in (result.naive_p_value(), result.p_value):
                cells.append(brief(p, NOISE_SAMPLE, LEVEL))
            cells.insert(len(cells) - 2, f"{result.stat:+.1f}")
        shown.add_row(str(number), *cells)
    return shown


def in_full(console: Console, case: str, window: Window, result: sl.InferenceResult) -> None:
    """Print one audit, save its certificate, and check what was saved."""
    folder = OUT / case
    result.certificate.save(folder)
    clock = time.perf_counter()
    report = sl.check(folder, model=MODEL)
    seconds = time.perf_counter() - clock
    low, high = bounds(result)
    console.print(f"\n[bold]Window 1, {case}[/bold]: second scan minus first; the network points at \\[ ].")
    console.print(sketch(window, region(result.roi)), end="")
    console.print(
        f"naive p {result.naive_p_value():.3g}; selective p {low} to {high} (certified)\n"
        f"{result.cells} cells, {result.seconds:.2f} s; checker: "
        f"{'valid' if report.valid else 'INVALID'}, {seconds:.2f} s; {runtime(result)}\n"
    )
    mean = "mean change of those nine pixels"
    console.print(
        answer(result, mean, "points at exactly this place", LEVEL) + supported(result, NOISE_SAMPLE)
    )


def main() -> None:
    started = time.perf_counter()
    console = Console(width=min(Console().width, 100), highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    scans = load_scans()
    windows = [w for w in audited_windows(scans) if w.slice_index == MIDDLE]
    altered = [planted(w, PLACES // 2, PLACES // 2) for w in windows]
    test = load()
    quiet = not console.is_terminal
    steps = track([*windows, *altered], "auditing", console=console, transient=True, disable=quiet)
    audits = [(w, ask(test, w)) for w in steps]
    unchanged, lesions = audits[: len(windows)], audits[len(windows) :]
    console.print(table(unchanged, lesions))
    naive, selective = (
        sum(p(result) <= LEVEL for _, result in unchanged)
        for p in (sl.InferenceResult.naive_p_value, lambda result: result.p_value)
    )
    found = sum(result.p_value <= LEVEL for _, result in lesions)
    console.print(
        f"Nothing happened, yet the naive p-value calls a change in [bold]{naive} of {len(windows)}[/bold] "
        f"windows, the selective one in [bold]{selective}[/bold] (the level of 5 % allows one in twenty). "
        f"With the lesion the selective p-value calls a change in [bold]{found} of {len(windows)}[/bold]."
    )
    in_full(console, "unchanged", *unchanged[0])
    in_full(console, "lesion", *lesions[0])
    console.print("\n" + prose(CERTIFIED) + " " + OWN_RULE)
    console.print(f"[bold]Noise[/bold]  {noise(windows[0]).source}")
    console.print(prose(NOT_SAID) + "\n")
    drawn = picture(OUT / "picture.png", scans[0, :, :, MIDDLE], unchanged, lesions)
    console.print(f"Certificates{' and picture' if drawn else ''}: {OUT}")
    console.print(f"{time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()
