"""The calibration picture: empirical minus uniform distribution function, with its simultaneous band."""

from __future__ import annotations

from pathlib import Path

from inference.uniformity import dkw_band, excess, plotting


def figure(values: dict[str, dict[str, list[float]]], path: Path) -> None:
    """One panel for the exact p-values of every network, one with the naive ones added (another scale)."""
    plt, count = plotting(), len(values)
    plot, axes = plt.subplots(
        2, count, figsize=(5 * count, 6), sharex=True, squeeze=False, layout="constrained"
    )
    for k, (name, p) in enumerate(values.items()):
        band = dkw_band(len(p["exact"]), 0.95)
        for row, kinds in enumerate((("exact",), ("exact", "naive"))):
            axis = axes[row][k]
            axis.axhspan(-band, band, color="0.9", label="95 % band (DKW)")
            axis.axhline(0, color="0.5", linewidth=0.8)
            for kind in kinds:
                label = "selective, certified" if kind == "exact" else "naive"
                axis.plot(*excess(p[kind]), linewidth=1, label=label, color="C0" if kind == "exact" else "C3")
            axis.legend(loc="best", fontsize="small")
        axes[0][k].set_title(f"{name}: {len(p['exact'])} null draws")
        axes[1][k].set_xlabel("p-value")
    for row in range(2):
        axes[row][0].set_ylabel("share at or below p, minus p")
    plot.savefig(path, dpi=150)
    plt.close(plot)
