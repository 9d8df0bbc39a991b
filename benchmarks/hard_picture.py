"""Picture of what each tool finds of some truncation sets of hard_networks.py, close to where it is hard."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import matplotlib
from hard_networks import case_named

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)

ROWS = {
    "exact": "exact",
    "z3": "Sureline (z3)",
    "sureline": "Sureline",
    "autosi": "autosi",
    "si4onnx": "si4onnx",
}
COLOURS = {
    "exact": "#444444",
    "z3": "#1f6fb2",
    "sureline": "#1f6fb2",
    "autosi": "#d9730d",
    "si4onnx": "#d9730d",
}
PANELS = {
    "interval 5e-11": (Fraction(1, 4), 1e-11, (-3, 8)),
    "hole 1e-12": (Fraction(1, 4), 1e-12, (-1.5, 2.5)),
    "hole 1e-17": (None, 1e-17, (-1.5, 2.5)),
    "set 1e-16": (Fraction(1, 2), 1e-16, (-1.5, 2.0)),
    "kink at z": (Fraction(0), 1.0, (-4, 3)),
    "slope 4e-16": (Fraction(0), 1.0, (-1, 5)),
}
"""Case: the middle of the picture (None: the first finite end), the unit, the part shown."""


def draw(found: dict[str, dict[str, Any]], path: Path, read: Any) -> None:
    """Write the picture; `read` turns the intervals of a record into exact numbers."""
    figure, axes = plt.subplots(2, 3, figsize=(10, 4.6), sharey=True)
    for axis, (name, (middle, unit, (left, right))) in zip(axes.flat, PANELS.items(), strict=True):
        case = case_named(name)
        origin = middle if middle is not None else Fraction(case.exact[0][1])
        for row, tool in enumerate(ROWS):
            record = found[name].get(tool, {})
            intervals = case.exact if tool == "exact" else read(record.get("intervals", []))
            for pair in intervals:
                a, b = (float((e - origin) / Fraction(unit)) if abs(e) < 1e9 else float(e) for e in pair)
                a, b = max(a, left), min(b, right)
                if a < b:
                    axis.barh(-row, b - a, left=a, height=0.5, color=COLOURS[tool])
            if tool != "exact" and not intervals:
                text = record.get("error", "p in [0, 1]")
                axis.text((left + right) / 2, -row, text, ha="center", va="center", fontsize=8)
        axis.set_xlim(left, right)
        axis.set_title(name, fontsize=10)
        where = f"z - {origin}" if middle is not None else "z - p/q"
        axis.set_xlabel(f"({where}) / {unit:.0e}" if unit < 1 else "z", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.set_yticks([-row for row in range(len(ROWS))], list(ROWS.values()))
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None}, facecolor="white")
    plt.close(figure)
