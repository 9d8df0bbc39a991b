"""Many audits under one condition: run them in two processes, summarise them, draw them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import kstest

import sureline as sl
from example_tools.words import brief

__all__ = ["Audited", "Condition", "condition", "confirmed", "draw", "run", "table"]

Task = TypeVar("Task")


@dataclass(frozen=True)
class Audited:
    """What a study keeps of one audit; ``None`` in its place means that the network marked nothing.

    Attributes
    ----------
    p, width:
        Certified upper bound of the selective p-value, and its distance from the certified lower bound.
    naive:
        The p-value that forgets that the network chose the region.
    cells:
        Number of certified pieces of the line.
    seconds:
        Time of the audit, without the check.
    checked:
        Whether the independent checker confirmed the certificate; None if it was not asked.
    """

    p: float
    width: float
    naive: float
    cells: int
    seconds: float
    checked: bool | None


@dataclass(frozen=True)
class Condition:
    """A row of the table: a name, its audits, and whether its null hypotheses are true."""

    name: str
    audits: list[Audited]
    unmarked: int
    null_true: bool


def confirmed(result: sl.InferenceResult, model: Path) -> bool:
    """Whether the independent checker confirms the certificate, read back from its files."""
    with tempfile.TemporaryDirectory() as folder:
        result.certificate.save(Path(folder) / "audit")
        try:
            return sl.check(Path(folder) / "audit", model=model).valid
        except sl.InvalidCertificate as refused:
            print(f"refused: {refused}")
            return False


def run(
    audit: Callable[[Task], Audited | None], tasks: Sequence[Task], *, processes: int = 2
) -> list[Audited | None]:
    """``[audit(task) for task in tasks]`` in a few processes, in order."""
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(audit, tasks, chunksize=4))


def condition(name: str, audits: Sequence[Audited | None], *, null_true: bool) -> Condition:
    """Gather the audits of one condition; those in which the network marked nothing are counted."""
    done = [audit for audit in audits if audit is not None]
    return Condition(name, done, len(audits) - len(done), null_true)


def table(title: str, rows: Sequence[Condition], *, support: int | None = None) -> None:
    """Print the study; no p-value is shown smaller than ``support`` noise values can vouch for."""
    shown = Table(title=title, title_justify="left")
    for name in ("", "audits", "median p", "p ≤ 5 %", "uniform? KS", "naive ≤ 5 %", "naive KS", "checked"):
        shown.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for row in rows:
        p, naive = np.array([a.p for a in row.audits]), np.array([a.naive for a in row.audits])
        checked = [a.checked for a in row.audits if a.checked is not None]
        shown.add_row(
            row.name, str(len(p)), brief(float(np.median(p)), support, level=-1), f"{np.mean(p <= 0.05):.1%}",
            f"{kstest(p, 'uniform').pvalue:.2g}" if row.null_true else "",
            f"{np.mean(naive <= 0.05):.1%}",
            f"{kstest(naive, 'uniform').pvalue:.0e}" if row.null_true else "",
            f"{sum(checked)}/{len(checked)}" if checked else "-",
        )  # fmt: skip
    console = Console(width=max(Console().width, 120))
    console.print(shown)
    every = [audit for row in rows for audit in row.audits]
    console.print(
        f"Widest certified enclosure of a p-value: {max(a.width for a in every):.1e}. "
        f"Cells: median {np.median([a.cells for a in every]):.0f}, most {max(a.cells for a in every)}. "
        f"Seconds per audit: median {np.median([a.seconds for a in every]):.2f}, "
        f"most {max(a.seconds for a in every):.1f}."
    )
    for row in rows:
        if row.unmarked:
            console.print(f"{row.name}: in {row.unmarked} more inputs the network marked nothing.")


def draw(path: Path, title: str, rows: Sequence[Condition]) -> None:
    """One panel per condition: how often p falls below each level; for a true H0 the diagonal is right."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("No figure: matplotlib is not installed.")
        return
    size = (3.6 * len(rows), 3.9)
    figure, panels = pyplot.subplots(1, len(rows), figsize=size, squeeze=False, sharey=True)
    for panel, row in zip(panels[0], rows, strict=True):
        count = len(row.audits)
        share = np.arange(1, count + 1) / count
        if row.null_true:
            level = np.linspace(0, 1, 101)
            band = np.sqrt(np.log(2 / 0.05) / (2 * count))  # Dvoretzky-Kiefer-Wolfowitz, 95 %
            panel.fill_between(level, np.clip(level - band, 0, 1), np.clip(level + band, 0, 1), color="0.9")
            panel.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        naive, selective = np.sort([a.naive for a in row.audits]), np.sort([a.p for a in row.audits])
        panel.step(naive, share, where="post", color="#c44e52", label="naive p")
        panel.step(selective, share, where="post", color="#1f4e9e", label="selective p")
        panel.set(title=row.name, xlabel="p", xlim=(-0.01, 1), ylim=(0, 1.02))
        panel.title.set_size(10)
    panels[0, 0].set_ylabel("share of audits with a smaller p")
    panels[0, -1].legend(loc="lower right", frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)
    print(f"Figure: {path}")
