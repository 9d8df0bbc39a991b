"""The network points at a place in a heart beat. Is something there?

    pip install -e '.[examples]'
    python examples/arterial_pressure/audit.py

Audits the beat that the archive labels as anomalous and all later beats, which are not labelled; fetches the
recording and trains the network when run for the first time. Certificates are saved and re-checked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from data import FOLDER, LABELLED, REFERENCE, SAMPLES, audited_beats, beats
from question import NOISE, TOLERANCE, ask, load, seen
from rich.console import Console
from rich.table import Table
from train import MODEL

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.words import CERTIFIED, NOT_SAID, bounds, brief, prose, runtime  # noqa: E402

OUT = Path(__file__).parents[2] / "audit" / "arterial_pressure"
FIGURE = FOLDER / "audit.png"
Row = tuple[bool, int, np.ndarray, sl.InferenceResult]
"""Whether it is the labelled beat, its number, the beat, what the audit says."""
QUESTION = f"""
[bold]The network points at a place in a heart beat. Is something there?[/bold]

A small dense network looks at one beat of arterial pressure and points at the place where it departs most
from the animal's mean beat, breathing taken off. It always points somewhere. The first {REFERENCE} beats
taught it what beats look like; the later ones are audited. In one of them the archive has labelled an
anomaly.

[bold]H0[/bold]  At the place pointed at, the recorded beat is within {TOLERANCE} mmHg of what mean beat and
breathing explain.

[bold]Fixed beforehand[/bold]  The network, the tolerance, H0, the level 5 %, the noise that the audit adds
(so that the variance is known: beats vary in ways that no normal law describes), and its seeds: the number
of the beat.
"""


def picture(rows: list[Row]) -> None:
    """The labelled beat and the first one that is not, with what is pointed at."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return
    shown = [next(r for r in rows if r[0]), next(r for r in rows if not r[0])]
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
    for panel, (labelled, number, beat, result) in zip(panels, shown, strict=True):
        place = int(result.roi.item())
        panel.axvspan(place - 0.5, place + 1.5, color="#f2c14e", label="pointed at")
        panel.plot(seen(beat, number)[0], ".", color="0.6", label="with the noise of the audit")
        panel.plot(beat, color="#1f4e9e", label="recorded")
        low, high = bounds(result)
        panel.set(title=f"{'labelled beat' if labelled else 'a beat without label'}: p in [{low}, {high}]",
                  xlabel=f"block of {SAMPLES} samples")  # fmt: skip
    panels[0].set_ylabel("pressure less the mean beat, mmHg")
    panels[1].legend(frameon=False)
    figure.savefig(FIGURE, dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    console = Console(width=min(Console().width, 100), highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    test = load()
    table = Table("beat", "", "points at block", "left over, mmHg", "naive p", "p", "cells", "checker")
    rows: list[Row] = []
    for number, (labelled, beat) in enumerate(audited_beats(), REFERENCE):
        result = ask(test, beat, seed=number)
        result.certificate.save(OUT / str(number))
        valid = sl.check(OUT / str(number), model=MODEL).valid
        place = int(result.roi.item())
        cells = [
            f"{result.stat:+.2f}",
            brief(result.naive_p_value()),
            brief(result.p_value),
            str(result.cells),
        ]
        name = "labelled" if labelled else ""
        table.add_row(str(number), name, str(place), *cells, "valid" if valid else "INVALID")
        rows.append((labelled, number, beat, result))
    console.print(table)
    _, number, _, result = next(row for row in rows if row[0])
    low, high = bounds(result)
    first = beats()[0][number] + SAMPLES * int(result.roi.item())
    console.print(prose(f"""
        In the labelled beat the network points at samples {first} to {first + 2 * SAMPLES - 1} of the
        recording (labelled: {LABELLED[0]} to {LABELLED[1]}). If the recorded beat were within {TOLERANCE}
        mmHg there, a network that points at exactly this place would show a difference at least this extreme
        with probability at most {high} (certified: {low} to {high}). {runtime(result)}
    """))  # fmt: skip
    console.print("\n" + prose(CERTIFIED))
    console.print("[bold]Noise[/bold]  " + NOISE.format("the number of the beat"))
    console.print(prose(NOT_SAID) + "\n")
    picture(rows)
    console.print(f"Certificates: {OUT}. Picture: {FIGURE}.")


if __name__ == "__main__":
    main()
