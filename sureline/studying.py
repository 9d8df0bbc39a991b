"""`sureline study`: run a declared study, or go on with it, and summarise what is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["study"]


def study(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What the study does.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where draws, tables and figures go.")],
    processes: Annotated[int, typer.Option(metavar="N", help="Processes of one thread each.")] = 1,
    part: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this part; may be repeated.")
    ] = None,
    summary_only: Annotated[
        bool, typer.Option("--summary-only", help="No new draws: summarise what is there.")
    ] = False,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw the figures.")] = True,
) -> None:
    """Run a study of p-values that is declared in one file; an interrupted run goes on where it was.

    Exit code 0: nothing contradicts the calibration; 1: something does, and is printed.
    """
    import json

    from inference.study.configuration import read_configuration
    from inference.study.figures import figures as draw
    from inference.study.running import run
    from inference.study.summary import summarise
    from inference.study.tables import markdown
    from sureline.counting import count_bar

    declared = read_configuration(config)
    if not summary_only:
        try:
            with count_bar(sys.stderr, "study", "draws") as progress:
                run(declared, out, processes=processes, parts=part or (), progress=progress)
        except KeyboardInterrupt:
            typer.echo(f"sureline: interrupted; the same command goes on from what is in {out}.", err=True)
            raise typer.Exit(130) from None
    found = summarise(declared, out)
    if not out.is_dir():
        out.mkdir(parents=True)
    (out / "summary.json").write_text(json.dumps(found.as_dict(), allow_nan=False, indent=1) + "\n")
    (out / "summary.md").write_text(markdown(found))
    drawn = draw(found, out / "figures") if figures else []
    _show(found, out, len(drawn))
    if found.findings:
        raise typer.Exit(1)


def _show(found: object, out: Path, count: int) -> None:
    """Print the tables and what does not hold."""
    from rich.console import Console
    from rich.table import Table

    from inference.study.summary import Summary
    from inference.study.tables import tables

    if not isinstance(found, Summary):
        return
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    for title, heads, rows in tables(found):
        table = Table(title=title, title_justify="left")
        for head in heads:
            table.add_column(head)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for name, why in found.left_out.items():
        console.print(f"left out: {name} ({why})")
    console.print("\n".join(found.says), markup=False)
    console.print(f"{out}: draws.jsonl, summary.json, summary.md, {count} figures", markup=False)
