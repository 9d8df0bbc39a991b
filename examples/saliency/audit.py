"""A classifier explains its digit. Are the highlighted pixels other than in a second image of the digit?

    pip install -e '.[examples]'
    python examples/saliency/audit.py

Seven explanations of the same classifier, each audited on one digit as it is and with ink erased; every
certificate is re-checked by the independent checker. Draws figures/regions.png.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from question import METHODS, ask, explained
from rich.console import Console
from rich.table import Table

import sureline as sl

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "digits")]
from data import AUDITED, load_digits, noisy_pair  # noqa: E402
from example_tools.words import prose  # noqa: E402

NUMBER, SIDE = 9, 4
"""Which digit, and the side of the square that is erased."""
FIGURE = Path(__file__).parent / "figures" / "regions.png"
QUESTION = """
[bold]A classifier explains its digit. Is the ink that it points at other than in a second image?[/bold]

[bold]H0[/bold]  Over the highlighted pixels, the input and the reference (the same digit with fresh noise of
known variance) have the same mean ink. Given: these pixels are highlighted, and the class is the same.

A large p does not say that the explanation is wrong, a small one not that it is faithful: p is about the ink.
"""


def checked(result: sl.InferenceResult) -> str:
    """What the independent checker says, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        result.certificate.save(Path(folder) / "c")
        started = time.perf_counter()
        try:
            sl.check(Path(folder) / "c")
        except sl.InvalidCertificate:
            return "not confirmed"
        return f"valid, {time.perf_counter() - started:.1f} s"


def main() -> None:
    console = Console(width=110, highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    heads = ("explanation", "digit", "pixels", "naive p", "selective p", "the same linear piece only")
    table = Table(*heads, "cells", "audit, s", "checker")
    digits = load_digits()[AUDITED]
    cases = [("intact", noisy_pair(digits, NUMBER)), ("erased", noisy_pair(digits, NUMBER, SIDE))]
    figure, axes = plt.subplots(len(cases), len(METHODS) + 1, figsize=(2 * len(METHODS) + 2, 4.6))
    for row, (case, (x, reference)) in zip(axes, cases, strict=True):
        row[0].imshow(x[0, 0], cmap="gray_r", vmin=-4, vmax=20)
        row[0].set_title(f"{case}", fontsize=9)
        for name, place in zip(METHODS, row[1:], strict=True):
            attribution = explained(name)(x)[1][0, 0]
            place.imshow(attribution, cmap="viridis")
            try:
                started = time.perf_counter()
                result = ask(name, x, reference)
                seconds = time.perf_counter() - started
            except sl.NoHypothesisError:
                place.set_title(f"{name}\nnothing highlighted", fontsize=9)
                table.add_row(name, case, "0", *["-"] * 6)
                continue
            try:
                narrow = f"{ask(name, x, reference, mode='over_conditioning').p_value:.3g}"
            except sl.OptionError:  # it multiplies what moves: there is no linear piece
                narrow = "-"
            place.contour(result.roi.reshape(8, 8), [0.5], colors="red", linewidths=1.5)
            place.set_title(f"{name}\np = {result.p_value:.2g}", fontsize=9)
            table.add_row(
                name,
                case,
                str(int(result.roi.sum())),
                f"{result.naive_p_value():.3g}",
                f"{result.p_value:.3g}",
                narrow,
                str(result.cells),
                f"{seconds:.1f}",
                checked(result),
            )
    for place in np.ravel(axes):
        place.set_axis_off()
    figure.tight_layout()
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=80)
    console.print(table)
    console.print(f"{FIGURE}: what is highlighted, red.", markup=False)


if __name__ == "__main__":
    main()
