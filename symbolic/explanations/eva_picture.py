"""The picture of a verified perturbation analysis, drawn with matplotlib where it is installed."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from symbolic.errors import OptionError, SurelineError, writing

if TYPE_CHECKING:
    from symbolic.explanations.eva_report import EvaReport

__all__ = ["draw"]

INK, BLUE, GREY = "#1f2933", "#2b6cb0", "#a0aec0"


def draw(report: EvaReport, path: str | os.PathLike[str] | None) -> Any:
    """Two panels; no window is opened, so it works without a display."""
    try:
        figure_class = import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise OptionError("pictures need matplotlib: pip install 'sureline[plot]'.") from error
    figure = figure_class(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _map(report, left, figure)
    _intervals(report, right)
    for ax in (left, right):
        ax.title.set_color(INK)
    figure.suptitle(f"class {report.chosen}; {report.verdict}", fontsize=9, color=INK)
    if path is not None:
        try:
            with writing(path):
                figure.savefig(path, dpi=150)
        except SurelineError:
            raise
        except ValueError as error:  # an ending that matplotlib does not know
            raise OptionError(f"{path} cannot be drawn ({error}).") from None
    return figure


def _map(report: EvaReport, ax: Any, figure: Any) -> None:
    heat = report.heatmap[0]
    while heat.ndim > 2:
        heat = heat.mean(axis=0)
    heat = np.where(np.isfinite(heat), heat, np.nan)
    shown = ax.imshow(
        np.atleast_2d(heat),
        cmap="viridis",
        interpolation="nearest",
        aspect="auto" if heat.ndim == 1 else "equal",
    )
    figure.colorbar(shown, ax=ax, shrink=0.85)
    ax.set_title("middle of the proved interval", loc="left", fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])


def _intervals(report: EvaReport, ax: Any) -> None:
    order = report.order
    finite = np.isfinite(report.upper)
    top = float(report.upper[finite].max()) if finite.any() else 1.0
    high = np.where(finite, report.upper, top)
    for ranked, colour, name in ((True, BLUE, "ranked"), (False, GREY, "unranked")):
        places = np.flatnonzero(report.ranked[order] == ranked)
        some = order[places]
        ax.vlines(places, report.lower[some], high[some], color=colour, lw=2, label=name)
        ax.plot(places, (report.lower[some] + high[some]) / 2, "_", color=colour, ms=6)
    ax.set_title("importance of each region", loc="left", fontsize=10)
    ax.set_xlabel("regions by decreasing middle")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
