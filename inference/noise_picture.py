"""The picture of a noise sample, drawn with matplotlib where it is installed."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from inference.noise_measures import neighbour_correlation
from symbolic.errors import OptionError

if TYPE_CHECKING:
    from inference.noise_sample import NoiseSample

__all__ = ["draw_sample"]

INK, BLUE, GREY, RED = "#1f2933", "#2b6cb0", "#cbd5e0", "#c53030"
MARKERS = "osD^v"
MOST_BARS = 60
MOST_LAGS = 20


def draw_sample(sample: NoiseSample, path: str | os.PathLike[str] | None) -> Any:
    """Three panels; no window is opened, so it works without a display."""
    try:
        figure_class = import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise OptionError("pictures need matplotlib: pip install 'sureline[plot]'.") from error
    figure = figure_class(figsize=(12, 3.9), layout="constrained")
    for ax, draw in zip(figure.subplots(1, 3), (_quantiles, _histogram, _neighbours), strict=True):
        draw(sample, ax)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(INK)
        ax.title.set_color(INK)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _quantiles(sample: NoiseSample, ax: Any) -> None:
    normal, found, low, high = sample.qq()
    ax.fill_between(normal, low, high, color=GREY, alpha=0.6, lw=0, label="95 % band for the whole plot")
    ax.plot(normal, normal, color=INK, lw=0.8)
    out = (found < low) | (found > high)
    ax.plot(normal[~out], found[~out], ".", color=BLUE, ms=4)
    if out.any():
        ax.plot(normal[out], found[out], ".", color=RED, ms=5, label="outside")
    ax.set_title("Is it Gaussian?", loc="left")
    ax.set_xlabel("normal quantile (sd)")
    ax.set_ylabel("sample (sd)")
    ax.legend(frameon=False, fontsize=8, loc="upper left")


def _histogram(sample: NoiseSample, ax: Any) -> None:
    unit = ((sample.values - sample.mean) / sample.sd).ravel()
    low, high = float(unit.min()), float(unit.max())
    bars = int(min(MOST_BARS, max(8, 2 * sample.size ** (1 / 3))))
    edges = np.linspace(low, high, bars + 1)
    step = sample.step_over_sd
    lattice = step > 0 and (high - low) / step < 4 * MOST_BARS
    if lattice:  # bars of a whole number of steps, or the comb would be an artefact
        wide = step * max(1, round((high - low) / step / MOST_BARS))
        edges = np.arange(low - step / 2, high + wide, wide)
    ax.hist(unit, bins=edges, density=True, color=BLUE, alpha=0.75, edgecolor="white", lw=0.4)
    z = np.linspace(min(low, -3.5), max(high, 3.5), 300)
    ax.plot(z, norm.pdf(z), color=INK, lw=1, label="normal law")
    ax.set_title("Lattice and ends", loc="left")
    ax.set_xlabel("sample (sd)")
    ax.set_yticks([])
    words = f"step {step:.2g} sd" if step > 1e-4 else "no lattice"
    share = sum(sample.saturation)
    ax.text(
        0.98,
        0.96,
        f"{words}\n{sample.ties:.0%} tied\n{share:.1%} at the ends",
        transform=ax.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        color=INK,
    )
    ax.legend(frameon=False, fontsize=8, loc="upper left")


def _neighbours(sample: NoiseSample, ax: Any) -> None:
    values = sample.values
    axes = [axis for axis in range(values.ndim) if values.shape[axis] > 1]
    widest = 0.0
    for number, axis in enumerate(axes):
        lags = np.arange(1, min(MOST_LAGS, values.shape[axis] // 2) + 1)
        shown = [neighbour_correlation(values, axis, int(lag)) for lag in lags]
        shift = 0.22 * (number - (len(axes) - 1) / 2)
        colour = f"C{number}" if len(axes) > 1 else BLUE
        r = [s[0] for s in shown]
        ax.vlines(lags + shift, 0, r, color=colour, lw=1.5)
        ax.plot(lags + shift, r, MARKERS[number % 5], color=colour, ms=4, label=f"axis {axis}")
        reach = float(norm.isf(0.005)) * np.array([s[2] for s in shown])
        middle = np.array([s[1] for s in shown])
        if number == int(np.argmax([values.shape[a] for a in axes])):
            ax.fill_between(
                lags, middle - reach, middle + reach, color=GREY, alpha=0.6, lw=0, label="99 % per lag"
            )
        widest = max([widest, *np.abs(r), *reach])
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_ylim(-1.2 * widest, 1.8 * widest)  # room for the legend
    ax.set_title("Do neighbours know of each other?", loc="left")
    ax.set_xlabel("distance")
    ax.set_ylabel("correlation")
    ax.legend(frameon=False, fontsize=8, loc="upper right")
