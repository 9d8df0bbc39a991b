"""The seven figures of a study, those that its draws allow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inference.study.summary import Condition, Summary
from inference.uniformity import dkw_band, excess, plotting

__all__ = ["figures"]

SHOWN = ("exact", "naive")
ENOUGH = 100
"""Null draws from which on a condition has panels of its own."""
ACROSS = 4
LEAST = 1e-8
"""Of p in the pictures."""
VALID_ONLY = ("variance", "plug-in", "t")
"""Comparators that are faults on purpose: they have a figure of their own."""


def figures(summary: Summary, folder: str | os.PathLike[str]) -> list[Path]:
    """Write what can be drawn; return the files.

    Raises
    ------
    OptionError
        matplotlib is not installed.
    """
    pyplot = plotting()
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, drawing in _FIGURES.items():
        figure = drawing(pyplot, summary)
        if figure is not None:
            path = target / f"{name}.png"
            figure.savefig(path, dpi=130, metadata={"Software": None})
            pyplot.close(figure)
            written.append(path)
    return written


def _nulls(summary: Summary) -> list[Condition]:
    """Conditions with true nulls, those with enough draws to show a distribution if there are any."""
    nulls = [c for c in summary.conditions if c.is_null and len(c.methods["exact"].p) > 1]
    return [c for c in nulls if len(c.methods["exact"].p) >= ENOUGH] or nulls


def _panels(pyplot: Any, count: int, width: float, height: float, **options: Any) -> tuple[Any, list[Any]]:
    """A figure with so many panels, at most four in a row."""
    across = min(ACROSS, count)
    down = -(-count // across)
    figure, axes = pyplot.subplots(
        down, across, figsize=(width * across, height * down), squeeze=False, layout="constrained", **options
    )
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def _is_fault(name: str) -> bool:
    return name.partition(":")[0] in VALID_ONLY


def _ecdf(pyplot: Any, summary: Summary) -> Any:
    """Share at or below p minus p, with the band."""
    conditions = _nulls(summary)
    if not conditions:
        return None
    figure, axes = _panels(pyplot, 2 * len(conditions), 4.2, 3, sharex=True)
    pairs = [(c, names) for c in conditions for names in (SHOWN[:1], SHOWN)]
    for axis, (c, names) in zip(axes, pairs, strict=True):
        band = dkw_band(len(c.methods["exact"].p), summary.study.confidence)
        axis.axhspan(-band, band, color="0.9")
        axis.axhline(0, color="0.5", linewidth=0.8)
        for name in names:
            if name in c.methods and len(c.methods[name].p):
                axis.plot(*excess(c.methods[name].p), linewidth=1, color=_colour(name), label=name)
        axis.legend(fontsize="small")
        axis.set_title(f"{c.name} ({len(c.methods['exact'].p)} draws)", fontsize="small")
    figure.supxlabel("p")
    figure.supylabel("share at or below p, minus p")
    return figure


def _levels(pyplot: Any, summary: Summary) -> Any:
    """Rejection rate against the nominal level, on log axes."""
    conditions = _nulls(summary)
    if not conditions:
        return None
    figure, axes = _panels(pyplot, len(conditions), 4.2, 3.6, sharex=True, sharey=True)
    for axis, c in zip(axes, conditions, strict=True):
        for name, m in c.methods.items():
            if len(m.p) and not _is_fault(name):
                p = np.sort(m.p)
                axis.step(np.maximum(p, 1e-6), np.arange(1, len(p) + 1) / len(p), where="post",
                          label=name, color=_colour(name), linewidth=1)  # fmt: skip
        axis.plot([1e-4, 1], [1e-4, 1], color="0.5", linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-4, 1.1))
        axis.set_title(f"{c.name} ({len(c.methods['exact'].p)} draws)", fontsize="small")
        _legend(axis)
    figure.supxlabel("nominal level")
    figure.supylabel("rejection rate")
    return figure


def _pairs(summary: Summary, constructed: bool = True) -> dict[str, list[tuple[float, float, float, float]]]:
    """By approximate method: p, certified bounds, and passes, of every draw."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for c in summary.conditions:
        for record in c.records:
            if "known_p" in record and not constructed:
                continue
            for name, answer in record.get("answers", {}).items():
                if name.partition(":")[0] in ("grid", "adaptive", "monte-carlo", "si4onnx") and "p" in answer:
                    row = (answer["p"], record["inf_p"], record["sup_p"], answer.get("passes") or np.nan)
                    found.setdefault(name, []).append(row)
    return found


def _approximate(pyplot: Any, summary: Summary) -> Any:
    """Approximate p against the certified one; decisions that flip are coloured."""
    pairs = _pairs(summary)
    if not pairs:
        return None
    figure, axes = _panels(pyplot, len(pairs), 3.6, 3.6, sharex=True, sharey=True)
    for axis, (name, rows) in zip(axes, pairs.items(), strict=True):
        p, low, high, _ = np.array(rows).T
        flips = np.any([(p <= a) != (high <= a) for a in (0.05, 0.01)], axis=0)
        flips &= np.any([(high <= a) | (low > a) for a in (0.05, 0.01)], axis=0)
        for mask, colour in ((~flips, "C0"), (flips, "C3")):
            axis.plot(
                np.maximum(high[mask], LEAST), np.maximum(p[mask], LEAST), ".", markersize=3, color=colour
            )
        axis.plot([LEAST, 1], [LEAST, 1], color="0.5", linewidth=0.8)
        for level in (0.05, 0.01):
            axis.axhline(level, color="0.8", linewidth=0.6)
            axis.axvline(level, color="0.8", linewidth=0.6)
        axis.set(xscale="log", yscale="log", title=f"{name}: {int(flips.sum())} flips")
    figure.supxlabel("certified p (red: the decision at 5 or 1 % is another one)")
    figure.supylabel(f"approximate p ({LEAST:g} stands for less)")
    return figure


def _cost(pyplot: Any, summary: Summary) -> Any:
    """Error against cost: each method's distance from the certified bounds, and its forward passes."""
    pairs = _pairs(summary, constructed=False)
    if not pairs:
        return None
    figure, axis = pyplot.subplots(figsize=(6, 4.2), layout="constrained")
    for name, rows in pairs.items():
        p, low, high, passes = np.array(rows).T
        away = np.maximum(1e-16, np.maximum(low - p, p - high))
        cost = float(np.nanmedian(passes))
        low_end, middle, high_end = np.quantile(away, [0.05, 0.5, 0.95])
        axis.plot([cost, cost], [low_end, high_end], linewidth=1.5, color=_colour(name))
        axis.plot(cost, middle, "o", label=name, color=_colour(name))
    exact = [
        (r["answers"]["exact"].get("passes") or np.nan, max(1e-16, r["sup_p"] - r["inf_p"]))
        for c in summary.conditions for r in c.records if "answers" in r and "known_p" not in r
    ]  # fmt: skip
    cost, width = np.nanmedian(np.array(exact), axis=0)
    axis.plot(cost, width, "*", markersize=12, color="C0", label="certified (width of its bounds)")
    axis.set(xscale="log", yscale="log", xlabel="forward passes (median)",
             ylabel="distance from the certified bounds (5, 50, 95 %)")  # fmt: skip
    axis.legend(fontsize="small")
    return figure


def _power(pyplot: Any, summary: Summary) -> Any:
    """Rejection rate at 5 % against the planted effect."""
    planted = [c for c in summary.conditions if c.effect and c.noise == "normal"]
    names = list(dict.fromkeys(c.network for c in planted))
    if not names:
        return None
    figure, axes = pyplot.subplots(
        1, len(names), figsize=(4.4 * len(names), 4), squeeze=False, sharey=True, layout="constrained"
    )
    for axis, network in zip(axes[0], names, strict=True):
        mine = sorted((c for c in planted if c.network == network), key=lambda c: c.effect)
        methods = dict.fromkeys(n for c in mine for n in c.methods if not _is_fault(n) and n != "naive")
        for name in methods:
            rows = [(c.effect, c.methods[name].report.rate(0.05)) for c in mine  # type: ignore[union-attr]
                    if name in c.methods and c.methods[name].report is not None]  # fmt: skip
            if rows:
                effects, rates = zip(*rows, strict=True)
                axis.plot(
                    effects, [r.rate for r in rates], "o-", label=name, color=_colour(name), markersize=3
                )
                axis.fill_between(effects, [r.low for r in rates], [r.high for r in rates],
                                  color=_colour(name), alpha=0.12)  # fmt: skip
        axis.axhline(0.05, color="0.6", linewidth=0.8)
        axis.set(xlabel="height of the block / sd", title=network)
    axes[0][0].set_ylabel("rejects at 5 %")
    _legend(axes[0][-1])
    return figure


def _faults(pyplot: Any, summary: Summary) -> Any:
    """Rejection rates at 5 and 1 % under what the analysis got wrong."""
    rows: dict[str, dict[str, tuple[float, bool]]] = {}
    for c in summary.conditions:
        if c.effect or c.noise == "real":
            continue
        for name, m in c.methods.items():
            if m.report is None or not (_is_fault(name) or (name == "exact" and c.noise != "normal")):
                continue
            fault = f"{name if _is_fault(name) else c.noise} ({m.report.repetitions})"
            for level in (0.05, 0.01):
                column, found = f"{c.network}\n{100 * level:g} %", m.report.rate(level)
                rows.setdefault(fault, {})[column] = found.rate / level, not found.holds
    if not rows:
        return None
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    none = (np.nan, False)
    grid = np.array([[row.get(name, none)[0] for name in columns] for row in rows.values()])
    clear = np.array([[row.get(name, none)[1] for name in columns] for row in rows.values()])
    figure, axis = pyplot.subplots(
        figsize=(2.5 + 1.2 * len(columns), 1.5 + 0.28 * len(rows)), layout="constrained"
    )
    shown = np.log2(np.maximum(grid, 1 / 16))
    image = axis.imshow(shown, cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
    axis.set_xticks(range(len(columns)), columns, fontsize="small")
    axis.set_yticks(range(len(rows)), list(rows), fontsize="small")
    for (i, j), value in np.ndenumerate(grid):
        if not np.isnan(value):
            dark = abs(np.log2(max(value, 1e-9))) > 1.5  # so that the number can be read on it
            colour = "white" if dark else "black"
            words = {"fontsize": "x-small", "color": colour, "weight": "bold" if clear[i, j] else "normal"}
            axis.text(j, i, f"{value:.2g}" + "*" * bool(clear[i, j]), ha="center", va="center", **words)
    confidence = f"{summary.study.confidence:.0%}"
    figure.suptitle(f"Rejection rate / level (number of draws)\n*: the {confidence} interval is without 1",
                    fontsize="small")  # fmt: skip
    figure.colorbar(image, label="rejection rate / level").set_ticks(
        [-2, -1, 0, 1, 2], labels=["1/4", "1/2", "1", "2", "4"]
    )
    return figure


def _line(pyplot: Any, summary: Summary) -> Any:
    """One line of a constructed network: the known set, and what each tool took it for."""
    chosen = None
    for c in summary.conditions:
        for record in c.records:
            if "exact_set" in record:
                missing = [a.get("missing_mass") or 0 for a in record["answers"].values()]
                if chosen is None or max(missing) > chosen[0]:
                    chosen = max(missing), record
    if chosen is None:
        return None
    record = chosen[1]
    sets = {"known": record["exact_set"]}
    sets |= {name: a["set"] for name, a in record["answers"].items() if "set" in a}
    figure, axis = pyplot.subplots(figsize=(8, 0.9 + 0.4 * len(sets)), layout="constrained")
    far = abs(record["stat"]) + 3
    for k, (_, pairs) in enumerate(sets.items()):
        for a, b in pairs:
            low, high = max(-far, float(a)), min(far, float(b))
            axis.plot([low, high], [k, k], linewidth=7, solid_capstyle="butt", color="C0")
            if high - low < far / 200:
                axis.plot((low + high) / 2, k, "|", markersize=16, color="C3")
    axis.axvline(record["stat"], color="0.4", linewidth=0.8)
    axis.set_yticks(range(len(sets)), list(sets))
    axis.set(
        xlim=(-far, far), xlabel="z / sd", title=f"{record['network']}; red: a sliver, drawn wider than it is"
    )
    axis.invert_yaxis()
    return figure


def _legend(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize="x-small")


_COLOURS = {
    "exact": "C0", "naive": "C3", "over-conditioning": "C1", "bonferroni": "k", "permutation": "C5",
    "data-thinning": "C8", "randomised": "C2", "grid:21": "C9", "grid:101": "C6", "grid:1001": "C4",
    "adaptive": "#393b79", "adaptive:101": "#9c9ede", "monte-carlo": "#bd9e39", "si4onnx": "C1",
}  # fmt: skip


def _colour(name: str) -> str:
    return _COLOURS.get(name) or _COLOURS.get(name.partition(":")[0], "0.4")


_FIGURES: dict[str, Callable[[Any, Summary], Any]] = {
    "1_ecdf": _ecdf,
    "2_levels": _levels,
    "3_approximate": _approximate,
    "4_cost": _cost,
    "5_power": _power,
    "6_faults": _faults,
    "7_line": _line,
}
