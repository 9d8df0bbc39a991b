"""`sureline eva`: certified importances of regions, by verified perturbation analysis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from symbolic.errors import OptionError

if TYPE_CHECKING:
    from symbolic.explanations.eva_report import EvaReport

__all__ = ["eva"]

_RADIUS = "Of the ball around the input, the same for every element; 0.1 is exactly one tenth."
_REGIONS = "Cells along the spatial axes: a number, or one per axis as 4,8; or an array file of labels."
_TARGET = "predicted (the class with the greatest score), a class, or a contrast of two as 3-5."
_BOUNDS = "interval: fast, for networks of any size; linear: tighter; zonotope: tighter still, and slower."
_HEAD = "Compare what a final Softmax or Sigmoid gets (logit), or what it gives (output)."


def eva(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    input: Annotated[Path, typer.Argument(metavar="INPUT.npy", help="One input, with its batch axis.")],
    radius: Annotated[str, typer.Option(metavar="R", help=_RADIUS)],
    regions: Annotated[str, typer.Option(metavar="N", help=_REGIONS)] = "8",
    target: Annotated[str, typer.Option(metavar="T", help=_TARGET)] = "predicted",
    clip: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="No element leaves these bounds.")
    ] = None,
    bounds: Annotated[str, typer.Option(metavar="KIND", help=_BOUNDS)] = "linear",
    points: Annotated[int, typer.Option(metavar="N", help="Starts of the search for strong inputs.")] = 32,
    head: Annotated[str, typer.Option(metavar="WHAT", help=_HEAD)] = "logit",
    other_inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=FILE", help="Another input of the model; may be repeated."),
    ] = None,
    input_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which input INPUT.npy is; default: the first.")
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which output; default: the first.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the search, and of random nodes.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Write eva.json, eva.png and point.npy there."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what sureline check confirms.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Write the picture.")] = None,
) -> None:
    """Bound how much holding each region of an input fixed takes from an adversary.

    The importance of a region is AO(B) - AO(B_u): how far another class can come ahead within the ball, less
    how far with the region held fixed. Every importance is an interval that is proved to hold it.
    """
    from sureline.counting import count_bar
    from symbolic.explanations.eva import eva as analysed
    from symbolic.reading.arrays import read_array
    from symbolic.reading.loading import free_inputs, load_model

    proto = load_model(model).proto
    names = [v.name for v in free_inputs(proto.graph)]
    chosen = _index("--input-name", input_name, names)
    x = {names[chosen]: read_array(input), **_others(other_inputs or [], names)}
    with count_bar(sys.stderr, "bounding", "regions") as progress:
        report = analysed(
            proto,
            x,
            radius,
            regions=_division(regions),
            target=target,
            clip=None if clip is None else _pair(clip),
            bounds=bounds,
            points=points,
            i_idx=chosen,
            o_idx=_index("--output-name", output_name, [v.name for v in proto.graph.output]),
            head=head,
            seed=seed,
            progress=progress,
        )
    if certificate is not None:
        from inference.eva_certificate import save_eva

        with count_bar(sys.stderr, "proving", "balls") as progress:
            folder = save_eva(report, certificate, progress=progress)
        print(f"written: {folder}", file=sys.stderr)
    for path in _written(report, out, json, plot):
        print(f"written: {path}", file=sys.stderr)
    _show(report)


def _written(report: EvaReport, out: Path | None, json: Path | None, plot: Path | None) -> list[Path]:
    import numpy as np

    paths = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        json, plot = json or out / "eva.json", plot or out / "eva.png"
        if report.point is not None:
            np.save(out / "point.npy", report.point)
            paths.append(out / "point.npy")
    if json is not None:
        report.save(json)
        paths.insert(0, json)
    if plot is not None:
        report.plot(plot)
        paths.append(plot)
    return paths


def _show(report: EvaReport) -> None:
    from rich.console import Console
    from rich.table import Table

    from symbolic.explanations.eva_report import digits

    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    console.print(report.summary, markup=False, soft_wrap=True)
    table = Table("region", "importance from", "to", "AO with it held, from", "to", "order")
    columns = [
        (report.lower, False),
        (report.upper, True),
        (report.held_lower, False),
        (report.held_upper, True),
    ]
    for n in report.order.tolist():
        said = "ranked" if report.ranked[n] else "place proved" if report.placed[n] else "open"
        ends = [digits(found[n], up) for found, up in columns]
        table.add_row(str(n), *ends, said)
    console.print(table, markup=False)


def _division(text: str) -> Any:
    """A number of cells, several, or labels from a file."""
    from symbolic.reading.arrays import read_array

    parts = text.split(",")
    if all(part.strip().isdecimal() for part in parts):
        cells = [int(part) for part in parts]
        return cells[0] if len(cells) == 1 else cells
    return read_array(text)


def _pair(text: str) -> tuple[str, str]:
    low, comma, high = text.partition(",")
    if not comma:
        raise OptionError(f"--clip must be LOW,HIGH such as 0,1, not {text!r}.")
    return low, high


def _others(texts: list[str], names: list[str]) -> dict[str, Any]:
    from symbolic.reading.arrays import read_array

    found = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in names:
            raise OptionError(f"--input must be NAME=FILE with one of {', '.join(names)}, not {text!r}.")
        found[name] = read_array(path)
    return found


def _index(option: str, name: str | None, names: list[str]) -> int:
    if name is None:
        return 0
    if name not in names:
        raise OptionError(f"{option}: the model has no {name!r}; it has {', '.join(names)}.")
    return names.index(name)
