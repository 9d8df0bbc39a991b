"""The network marks dark pixels of a solar cell. Is the cell darker there than healthy cells?

    pip install -e '.[examples]'
    python examples/solar_cells/audit.py

Audits four healthy cells and four with a defect; fetches the images (87 MiB) and trains the network when run
for the first time. Certificates are saved and re-checked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from data import FOLDER, NOISE, SIDE, audited, defective, noise_cells
from question import ask, load, noise
from rich.console import Console
from rich.table import Table
from train import MODEL

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.words import CERTIFIED, NOT_SAID, answer, bounds, brief, prose, runtime, supported  # noqa: E402

COUNT = 4
"""Cells of either kind: the first ones of the order fixed in data.py, and of the file."""
OUT = Path(__file__).parents[2] / "audit" / "solar_cells"
FIGURE = FOLDER / "audit.png"
QUESTION = f"""
[bold]The network marks dark pixels of a solar cell. Is the cell darker there than healthy cells?[/bold]

An autoencoder that has seen healthy cells only redraws an electroluminescence image, {SIDE} x {SIDE} pixels,
and marks where the image is darkest against the drawing. It marks something in every cell. "Healthy" and
"defect" are the judgement of experts; neither the network nor the audit sees it.

[bold]H0[/bold]  Against the rest of the cell, the marked pixels are as bright as in the healthy population.

[bold]Fixed beforehand[/bold]  The network, its threshold, H0, the level 5 %, and the cells.
"""


def picture(rows: list[tuple[str, np.ndarray, sl.InferenceResult]]) -> None:
    """Every audited cell with its marks."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return
    figure, panels = pyplot.subplots(2, COUNT, figsize=(2.6 * COUNT, 5.8), layout="constrained")
    for panel, (kind, cell, result) in zip(panels.reshape(-1), rows, strict=True):
        panel.imshow(cell, cmap="gray", vmin=0, vmax=noise_cells().max())
        panel.contour(result.roi.reshape(SIDE, SIDE), levels=[0.5], colors="#f2c14e")
        panel.set_title(
            f"{kind}: p = {result.p_value:.2g}\n(naive {result.naive_p_value():.2g})", fontsize=10
        )
        panel.axis("off")
    figure.savefig(FIGURE, dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    console = Console(width=min(Console().width, 100), highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    test = load()
    table = Table("cell", "marked pixels", "brighter by", "naive p", "p", "cells of the line", "checker")
    rows = []
    for kind, images in (("healthy", audited()), ("defect", defective())):
        for number, cell in enumerate(images[:COUNT], 1):
            result = ask(test, cell)
            folder = OUT / f"{kind}-{number}"
            result.certificate.save(folder)
            table.add_row(
                f"{kind} {number}", str(int(result.roi.sum())), f"{result.stat:+.1f}",
                brief(result.naive_p_value(), NOISE), brief(result.p_value, NOISE), str(result.cells),
                "valid" if sl.check(folder, model=MODEL).valid else "INVALID",
            )  # fmt: skip
            rows.append((kind, cell, result))
    console.print(table)
    _, _, result = rows[COUNT]
    low, high = bounds(result)
    console.print(f"\nDefect 1: selective p {low} to {high} (certified). {runtime(result)}")
    contrast = "difference of these pixels and the rest, against healthy cells,"
    console.print(answer(result, contrast, "marks exactly these pixels") + supported(result, NOISE))
    console.print("\n" + prose(CERTIFIED))
    console.print(
        f"[bold]Noise[/bold]  {noise().source} It is the variation between healthy cells, not of the sensor."
    )
    console.print(prose(NOT_SAID) + "\n")
    picture(rows)
    console.print(f"Certificates: {OUT}. Picture: {FIGURE}.")


if __name__ == "__main__":
    main()
