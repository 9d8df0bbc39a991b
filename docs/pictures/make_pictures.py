"""Draw the pictures of README.md and docs/ (needs matplotlib and scipy).

The pictures illustrate; they are computed on fine grids in floating point and prove nothing.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)

HERE = Path(__file__).parent
BLUE, ORANGE, GREY = "#1f6fb2", "#d9730d", "#8a8a8a"

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 110,
    }
)


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(HERE / f"{name}.png", metadata={"Software": None}, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def selective_p(z: np.ndarray, same: np.ndarray, z_obs: float, sd: float) -> float:
    """Equal-tailed p of N(0, sd^2) truncated to the grid points where the selection is the same."""
    mass = norm.pdf(z, scale=sd) * same
    left = mass[z <= z_obs].sum() / mass.sum()
    return float(2 * min(left, 1 - left))


# ---- The idea: pure noise, a region found in it, and the same region along the line ----


def marked(image: np.ndarray) -> np.ndarray:
    """A stand-in for a network: smooth, then mark what exceeds a threshold."""
    return gaussian_filter(image, 1.0, mode="nearest") > 0.6


def idea() -> None:
    x = np.random.default_rng(101).normal(size=(8, 8))  # a seed whose picture is easy to read: one region
    region = marked(x)
    eta = region / region.sum() - ~region / (~region).sum()
    q, z_obs = float((eta**2).sum()), float((eta * x).sum())
    sd, b = q**0.5, eta / q
    z = np.linspace(-6 * sd, 9 * sd, 15001)
    same = np.array([np.array_equal(marked(x + b * (v - z_obs)), region) for v in z])
    naive, p = float(2 * norm.sf(abs(z_obs) / sd)), selective_p(z, same, z_obs, sd)

    figure = plt.figure(figsize=(11, 3.5))
    outer = figure.add_gridspec(1, 3, width_ratios=[1.05, 1.5, 1.6], wspace=0.18)

    axis = figure.add_subplot(outer[0])
    draw(axis, x)
    axis.set_title("1  The input is pure noise;\nthe network marks a region.", loc="left")

    middle = outer[1].subgridspec(2, 3, height_ratios=[1.5, 0.6], hspace=0.12, wspace=0.1)
    for column, (offset, name) in enumerate(((-3, "weaker"), (0, "as observed"), (2, "stronger"))):
        axis = figure.add_subplot(middle[0, column])
        draw(axis, x + b * offset * sd)
        axis.set_xlabel(name, fontsize=9, color=GREY)
        if column == 0:
            axis.set_title(
                "2  Let the region stand out more or less.\nBlue: exactly this region is marked.", loc="left"
            )
    axis = figure.add_subplot(middle[1, :])
    shade(axis, z, same, 0, 1)
    axis.plot([z_obs], [0.5], "o", color=ORANGE, markersize=7)
    axis.set(xlim=(z_obs - 4.5 * sd, z_obs + 4.5 * sd), ylim=(0, 1), yticks=[])
    axis.set_xticks([0, z_obs], ["no difference", "observed"])
    axis.spines["left"].set_visible(False)

    axis = figure.add_subplot(outer[2])
    density = norm.pdf(z, scale=sd)
    window = (z > z_obs - 1.1 * sd) & (z < z_obs + 1.0 * sd)
    axis.plot(z[window], density[window], color=GREY, lw=1)
    axis.fill_between(z, 0, density, where=window & same, color="#a9c8e4", lw=0)
    axis.fill_between(z, 0, density, where=window & same & (z >= z_obs), color=BLUE, lw=0)
    axis.axvline(z_obs, color=ORANGE, lw=1.5)
    axis.set(xlim=(z[window][0], z[window][-1]), yticks=[], ylim=(0, None))
    axis.set_xticks([z_obs], ["observed"])
    axis.spines["left"].set_visible(False)
    axis.set_title("3  Compare with the blue outcomes,\nnot with all of them.", loc="left")
    axis.text(0.56, 0.78, f"all outcomes (naive):\np = {naive:.4f}", transform=axis.transAxes, color=GREY)
    axis.text(0.56, 0.56, f"blue outcomes (selective):\np = {p:.2f}", transform=axis.transAxes, color=BLUE)
    print(f"idea: {region.sum()} pixels, z {z_obs / sd:.2f} sd, naive {naive:.3g}, selective {p:.3g}")
    save(figure, "idea")


def draw(axis: plt.Axes, image: np.ndarray) -> None:
    """Show an image with the outline of what is marked in it, along the pixels' edges."""
    axis.imshow(image, cmap="gray", vmin=-3, vmax=3, interpolation="nearest")
    mask = np.pad(marked(image), 1)
    edge = {"color": ORANGE, "lw": 2, "solid_capstyle": "round"}
    for row, column in np.argwhere(mask[1:, :] != mask[:-1, :]):
        axis.plot([column - 1.5, column - 0.5], [row - 0.5, row - 0.5], **edge)
    for row, column in np.argwhere(mask[:, 1:] != mask[:, :-1]):
        axis.plot([column - 0.5, column - 0.5], [row - 1.5, row - 0.5], **edge)
    axis.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    axis.spines[:].set_visible(False)


def shade(axis: plt.Axes, z: np.ndarray, same: np.ndarray, bottom: float, top: float) -> None:
    axis.fill_between(z, bottom, top, where=same, color=BLUE, alpha=0.35, lw=0)
    axis.fill_between(z, bottom, top, where=~same, color="#eeeeee", lw=0)


# ---- The two-variable example of docs/certificate.md ----

X_OBS = np.array([2.0, 0.25])
ETA = np.array([1.0, -1.0])
B = np.array([0.5, -0.5])
Z_OBS = 1.75
SD = 2**0.5


def scores(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(x1, 0), np.maximum(x2, 0) - 2 * np.maximum(x2 - 1, 0)


def same_selection(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    y1, y2 = scores(x1, x2)
    return (y1 > 0.5) & ~(y2 > 0.5)


def plane() -> None:
    figure, (axis, right) = plt.subplots(1, 2, figsize=(9.5, 3.9), width_ratios=[1, 1.35])
    x1, x2 = np.meshgrid(np.linspace(-1.2, 3.6, 800), np.linspace(-1.6, 3.0, 800))
    axis.contourf(x1, x2, same_selection(x1, x2), levels=[0.5, 1.5], colors=[BLUE], alpha=0.25)
    z = np.linspace(-6, 8, 200001)
    line = X_OBS[:, None] + B[:, None] * (z - Z_OBS)
    same = same_selection(*line)
    axis.plot(*line, color=GREY, lw=1)
    for start, stop in runs(same):
        axis.plot(line[0, start:stop], line[1, start:stop], color=BLUE, lw=3.5, solid_capstyle="butt")
    axis.plot(*X_OBS, "o", color=ORANGE, markersize=8)
    axis.annotate("observed input", X_OBS, (2.05, 0.75), color=ORANGE)
    axis.text(1.25, 2.35, "inputs with the same\nmarked region", color=BLUE, fontsize=9)
    axis.text(-1.1, 2.1, "the line\nx(z)", color=GREY, fontsize=9)
    axis.set(xlim=(-1.2, 3.6), ylim=(-1.6, 3.0), xlabel="$x_1$", ylabel="$x_2$", title="All inputs")
    axis.set_aspect("equal")

    density = norm.pdf(z, scale=SD)
    right.plot(z, density, color=GREY, lw=1)
    right.fill_between(z, 0, density, where=same, color="#a9c8e4", lw=0)
    right.fill_between(z, 0, density, where=same & (z >= Z_OBS), color=BLUE, lw=0)
    right.axvline(Z_OBS, color=ORANGE, lw=1.5)
    left = float((density * same)[z <= Z_OBS].sum() / (density * same).sum())
    right.text(0.1, 0.05, f"{left:.0%}\nof the blue\nmass", color=GREY, fontsize=9, ha="center")
    right.text(2.7, 0.1, f"{1 - left:.0%}\nof the blue\nmass", color=BLUE, fontsize=9)
    for value, text in ((-1.4, "$-5/4$"), (-0.62, "$-3/4$"), (1.25, "$5/4$")):
        right.text(value, -0.008, text, ha="center", va="top", fontsize=9)
    right.text(Z_OBS + 0.1, 0.26, "$z_{obs} = 7/4$", color=ORANGE)
    right.set(xlim=(-4.5, 5.5), ylim=(-0.035, 0.3), yticks=[], xticks=[], xlabel="z (difference $x_1 - x_2$)")
    right.spines["left"].set_visible(False)
    p, naive = selective_p(z, same, Z_OBS, SD), 2 * norm.sf(Z_OBS / SD)
    right.set_title(f"Along the line: naive p = {naive:.3f}, selective p = {p:.3f} (twice the smaller share)")
    print(f"plane: naive {naive:.6f}, selective {p:.6f}")
    save(figure, "plane")


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(int), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def cells() -> None:
    z = np.linspace(-5, 5, 2001)
    y1, y2 = scores(*(X_OBS[:, None] + B[:, None] * (z - Z_OBS)))
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8.5, 4), sharex=True, height_ratios=[2, 1.15])
    top.plot(z, y1, color=GREY, label="score 1")
    top.plot(z, y2, color=BLUE, label="score 2")
    top.axhline(0.5, color="black", lw=0.8, ls="--")
    top.text(5.05, 0.5, "threshold", va="center", fontsize=9)
    top.set(ylim=(-1.6, 3.2), ylabel="score")
    top.legend(frameon=False, loc="upper left")
    top.axvline(Z_OBS, color=GREY, lw=1.2, ls=":")
    top.text(Z_OBS + 0.08, 2.75, "observed", color=GREY, fontsize=9)
    found = [
        (-5, -1.25, "outside\nscore 1 too low", "#cccccc"),
        (-1.25, -0.75, "in-\nside", BLUE),
        (-0.75, 1.25, "outside\nscore 2 too high", "#cccccc"),
        (1.25, 5, "inside", BLUE),
    ]
    for start, stop, text, colour in found:
        bottom.axvspan(start, stop, 0.12, 0.9, color=colour, alpha=0.55, lw=0)
        bottom.text((start + stop) / 2, 0.51, text, ha="center", va="center", fontsize=9)
    for edge in (-1.25, -0.75, 1.25):
        bottom.axvspan(edge - 0.03, edge + 0.03, 0.12, 0.9, color=ORANGE, lw=0)
    bottom.set(yticks=[], ylim=(0, 1), xlabel="z", xlim=(-5, 5))
    title = "cells; the gaps between them (orange) are drawn far too wide"
    bottom.set_title(title, loc="left", fontsize=9, color=ORANGE)
    bottom.spines["left"].set_visible(False)
    save(figure, "cells")


if __name__ == "__main__":
    idea()
    plane()
    cells()
