"""Draw the audited slice: where the network points, and which of its points a test calls a change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from data import SIDE, Window
from question import region

import sureline as sl

__all__ = ["picture"]

LEVEL = 0.05


def picture(
    path: Path,
    slice_image: np.ndarray,
    unchanged: Sequence[tuple[Window, sl.InferenceResult]],
    lesions: Sequence[tuple[Window, sl.InferenceResult]],
) -> bool:
    """Save three panels; returns False without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
        from matplotlib.patches import Rectangle
    except ImportError:
        return False
    panels = (
        ("nothing happened: naive p ≤ 5 %", unchanged, sl.InferenceResult.naive_p_value),
        ("nothing happened: selective p ≤ 5 %", unchanged, lambda result: result.p_value),
        ("lesion in every window: selective p ≤ 5 %", lesions, lambda result: result.p_value),
    )
    figure, axes = pyplot.subplots(1, 3, figsize=(13.5, 5.6))
    for axis, (title, audits, p_of) in zip(axes, panels, strict=True):
        image = slice_image.copy()
        called = [p_of(result) <= LEVEL for _, result in audits]
        for (window, result), change in zip(audits, called, strict=True):
            row, column = window.row, window.column
            image[row : row + SIDE, column : column + SIDE] = window.scans[0, 0]
            colour = "#ff4d4d" if change else "#6fa8ff"
            box = {
                "fill": False,
                "edgecolor": colour,
                "linewidth": 2.2 if change else 0.9,
                "zorder": 3 if change else 2,
            }
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), SIDE, SIDE, **box))
            i, j = np.nonzero(region(result.roi))
            corner = (column + j.min() - 0.5, row + i.min() - 0.5)
            axis.add_patch(Rectangle(corner, 3, 3, fill=False, edgecolor="#ffd24d", linewidth=1.2, zorder=4))
        axis.imshow(image, cmap="gray", vmin=0, vmax=800)
        rows = [window.row for window, _ in audits]
        axis.set(xticks=[], yticks=[], ylim=(max(rows) + SIDE + 20, min(rows) - 20))
        axis.set_title(f"{title}\n{sum(called)} of {len(called)} windows", fontsize=11)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
    return True
