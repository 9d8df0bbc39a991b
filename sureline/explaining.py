"""`sureline explain` and `sureline methods`: models that explain themselves, and the ways to do it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from symbolic.errors import OptionError

__all__ = ["explain", "methods", "shapes_from_words"]

_TARGET = "predicted (the class with the greatest score), a class, a contrast of two as 3-5, or sum."
_HEAD = "Explain what a final Softmax or Sigmoid gets (logit), or what it gives (output)."
_SHAPE = "Shape of an input whose file leaves lengths open, as x=1,3,224,224; may be repeated."


def explain(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="See `sureline methods`.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="EXPLAINED.onnx", help="Written there.")],
    target: Annotated[str, typer.Option(metavar="T", help=_TARGET)] = "predicted",
    head: Annotated[str, typer.Option(metavar="WHAT", help=_HEAD)] = "logit",
    input_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which input; default: the first.")
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which output; default: the first.")
    ] = None,
    shape: Annotated[list[str] | None, typer.Option(metavar="NAME=SHAPE", help=_SHAPE)] = None,
    model_seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of random nodes, drawn once and frozen.")
    ] = None,
) -> None:
    """Write a model that also outputs an explanation of what it says.

    All other options are those of the method, such as --steps 64; `sureline methods NAME` lists them.
    """
    from sureline.method_options import method_from_words
    from symbolic.explanations.explain import explain as explained_model
    from symbolic.reading.loading import load_model
    from symbolic.reading.static_shapes import free_inputs

    wanted = method_from_words(method, context.args)
    graph = load_model(model).proto.graph
    explained = explained_model(
        model,
        wanted,
        target,
        head=head,
        i_idx=_index("--input-name", input_name, [v.name for v in free_inputs(graph)]),
        o_idx=_index("--output-name", output_name, [v.name for v in graph.output]),
        shapes=shapes_from_words(shape or []),
        seed=model_seed,
    )
    explained.save(out)
    _show(explained, out, wanted.on_a_line)


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this method, with its options.")
    ] = None,
) -> None:
    """Print every method of explanation, its options, and what it is on a line of inputs."""
    from dataclasses import fields

    from rich.console import Console
    from rich.table import Table

    import symbolic.explanations.methods  # noqa: F401  (fills the registry)
    from sureline.method_options import default_text, option_name, takes
    from symbolic.explanations.method import methods as known

    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    if name is None:
        table = Table("method", "what it is", "on a line", "options", show_lines=True)
        for one, kind in sorted(known.items()):
            options = " ".join(option_name(field) for field in fields(kind))  # type: ignore[arg-type]
            table.add_row(one, kind.summary, kind.on_a_line, options or "-")
        console.print(table, markup=False)
        console.print(ON_A_LINE, markup=False, soft_wrap=True)
        return
    if name not in known:
        raise OptionError(f"there is no method {name!r}; `sureline methods` lists all of them.")
    kind = known[name]
    console.print(
        f"{name}: {kind.summary}\nOn a line: {kind.on_a_line}. Source: {kind.source}.", markup=False
    )
    table = Table("option", "takes", "default")
    for field in fields(kind):  # type: ignore[arg-type]
        table.add_row(option_name(field), takes(kind, field), default_text(field))
    if table.row_count:
        console.print(table, markup=False)
    console.print(_rest(kind), markup=False, soft_wrap=True)


ON_A_LINE = (
    "On a line x(z) = a + b z, in a network of ReLU, pooling and other piecewise-linear operators. Such "
    "pieces are exact; square roots, and networks with smooth activations, are enclosed. Both are certified. "
    "`sureline methods NAME` explains the options of one method."
)


def _rest(kind: Any) -> str:
    """The docstring after its first line, as paragraphs."""
    from inspect import cleandoc

    return "\n".join(cleandoc(kind.__doc__ or "").splitlines()[1:]).strip()


def _show(explained: Any, out: Path, on_a_line: str) -> None:
    p = explained.provenance
    options = ", ".join(f"{k} = {v}" for k, v in p["options"].items()) or "no options"
    print(f"{out}: {p['method']} ({options}) of target {p['target']}, {_size(out)}")
    print(f"outputs: {', '.join(explained.names)}")
    print(f"on a line of inputs the attribution is {on_a_line}")
    print(f"to audit what it highlights: sureline audit {out} INPUT.npy --var V --threshold T --normalize")


def _size(path: Path) -> str:
    beside = path.with_name(path.name + ".data")
    count = path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _index(option: str, name: str | None, names: list[str]) -> int:
    if name is None:
        return 0
    if name not in names:
        raise OptionError(f"{option}: the model has no {name!r}; it has {', '.join(names)}.")
    return names.index(name)


def shapes_from_words(texts: list[str]) -> dict[str, tuple[int, ...]] | None:
    """Shapes of inputs from texts such as x=1,3,224,224."""
    found = {}
    for text in texts:
        name, _, lengths = text.partition("=")
        if not all(part.isdecimal() for part in lengths.split(",")):
            raise OptionError(f"--shape must be NAME=LENGTHS such as x=1,3,224,224, not {text!r}.")
        found[name] = tuple(int(part) for part in lengths.split(","))
    return found or None
