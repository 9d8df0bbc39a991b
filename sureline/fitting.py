"""`sureline fit-patterns`: the patterns of a network's layers, for pattern-net and pattern-attribution."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["fit_patterns"]

_DATA = "Inputs such as the network was trained on, an array of shape (samples, ...); read batch by batch."
_ESTIMATOR = (
    "Samples of a unit: relu (its ReLU passes something on), negative-relu (nothing) or linear (all)."
)


def fit_patterns(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    data: Annotated[Path, typer.Argument(metavar="DATA.npy", help=_DATA)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATTERNS.npz", help="Written there.")],
    estimator: Annotated[str, typer.Option(metavar="NAME", help=_ESTIMATOR)] = "relu",
    batch_size: Annotated[int, typer.Option(metavar="N", help="Inputs that run at a time.")] = 16,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHAPE", help="Shape of an input whose file leaves lengths open."),
    ] = None,
    model_seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of random nodes, drawn once and frozen.")
    ] = None,
) -> None:
    """Fit the patterns of a network's linear layers to data, for pattern-net and pattern-attribution."""
    from sureline.counting import count_bar
    from sureline.explaining import shapes_from_words
    from symbolic.explanations.pattern_fitting import fit_patterns as fitted

    with count_bar(sys.stderr, "fitting patterns", "inputs") as progress:
        found = fitted(
            model,
            data,
            estimator=estimator,
            batch_size=batch_size,
            shapes=shapes_from_words(shape or []),
            seed=model_seed,
            progress=progress,
        )
    found.save(out)
    print(f"{out}: {found}")
    for name, count in found.silent.items():
        if count:
            print(f"{name}: {count} units have no pattern, because nothing in the data told it")
    print(f"next: sureline explain {model} --method pattern-attribution --patterns {out} -o EXPLAINED.onnx")
