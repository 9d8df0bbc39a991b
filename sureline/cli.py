"""The command line: parse, call the library, print."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app", "main"]


class Rule(StrEnum):
    back = "back"
    neighbor = "neighbor"
    reference = "reference"


class Mode(StrEnum):
    parametric = "parametric"
    exhaustive = "exhaustive"
    over_conditioning = "over-conditioning"


class Stop(StrEnum):
    precision = "precision"
    decision = "decision"


class Alternative(StrEnum):
    two_sided = "two-sided"
    less = "less"
    greater = "greater"


app = typer.Typer(
    name="sureline",
    help="Certified selective p-values for neural networks stored as ONNX files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from sureline import __version__

        print(f"sureline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def audit(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    input: Annotated[
        Path, typer.Argument(metavar="INPUT.npy", help="The observed input (.npy, or .npz with one array).")
    ],
    var: Annotated[
        str,
        typer.Option(
            metavar="V",
            help="Variance of the noise: a number (0.1 is exactly one tenth), or an array file "
            "with one variance per element or a covariance matrix.",
        ),
    ],
    threshold: Annotated[
        str, typer.Option(metavar="T", help="The region is where the score exceeds this number.")
    ],
    hypothesis: Annotated[
        Rule,
        typer.Option(
            help="Compare the region's mean with the rest (back), with its surroundings (neighbor), or with "
            "the same region of a reference input."
        ),
    ] = Rule.back,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Scale the score map to [0, 1] before the threshold.")
    ] = False,
    post: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP",
            help="A step from the model's output to the score; may be repeated: input-diff, neg, "
            "abs, average:SIZE, gaussian:SIZE:SIGMA, l1-norm.",
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="M.npy", help="Only elements where this array is true take part.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="R.npy", help="The reference input of --hypothesis reference.")
    ] = None,
    neighborhood_range: Annotated[
        int,
        typer.Option(metavar="N", help="Width of the surroundings of --hypothesis neighbor, in elements."),
    ] = 1,
    other_inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=FILE", help="A further input of the model, by name; may be repeated."
        ),
    ] = None,
    test_input: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which input INPUT.npy is; default: the first without --input."),
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which output is the score; default: the first.")
    ] = None,
    alternative: Annotated[
        Alternative, typer.Option(help="Which differences count as extreme, in the sense of SciPy.")
    ] = Alternative.two_sided,
    null_value: Annotated[
        str,
        typer.Option(metavar="V", help="The difference under the null hypothesis, in units of the input."),
    ] = "0",
    mode: Annotated[Mode, typer.Option(help="How much of the line is searched.")] = Mode.parametric,
    stop: Annotated[
        Stop,
        typer.Option(
            help="Stop when p is known to --precision, or when it is known to lie on one side of --alpha."
        ),
    ] = Stop.precision,
    precision: Annotated[str, typer.Option(metavar="W", help="Wanted width of the bounds of p.")] = "1e-6",
    alpha: Annotated[
        str, typer.Option(metavar="A", help="Significance level, to be fixed beforehand.")
    ] = "0.05",
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of the model's random nodes, which are drawn once and frozen."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write the certificate; must not exist yet."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Audit the region that a network marks in one input, and certify the p-value."""
    from sureline import printing, running

    request = running.Request(
        model=model, input=input, var=var, threshold=threshold, rule=hypothesis.value, normalize=normalize,
        post=tuple(post or ()), mask=mask, reference=reference, neighborhood_range=neighborhood_range,
        other_inputs=tuple(other_inputs or ()), test_input=test_input, output_name=output_name,
        alternative=alternative.value, null_value=null_value, mode=mode.value.replace("-", "_"), stop=stop.value,
        precision=precision, alpha=alpha, seed=seed, out=out,
    )  # fmt: skip
    with printing.progress_bar(sys.stderr) as progress:
        result = running.audit(request, progress)
    if json:
        print(printing.as_json(result, request))
    else:
        printing.show_audit(result, request)


@app.command()
def check(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that `sureline audit --out` wrote.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.onnx", help="Also prove that the certificate is about this model."),
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(metavar="INPUT.npy", help="Also prove that the certificate is about this input."),
    ] = None,
) -> None:
    """Re-check a certificate with the independent checker.

    Exit code 0: valid; 1: invalid, with the first false claim; 2: unusable.
    """
    from sureline import printing
    from verifier.check import check as run_check
    from verifier.check_errors import InvalidCertificate, UnusableCertificate

    try:
        report = run_check(folder, model=model, input=input)
    except InvalidCertificate as error:
        printing.show_invalid(error)
        raise typer.Exit(1) from None
    except UnusableCertificate as error:
        _fail(str(error))
    printing.show_check(report)


@app.command()
def info(model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")]) -> None:
    """Print a model's inputs, outputs and operators, and how each operator is supported."""
    from sureline import printing, running

    printing.show_info(running.describe(model))


def _fail(message: str, code: int = 2) -> None:
    print(f"sureline: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def _sentence(error: Exception) -> str:
    """Return what to tell the user about a foreseen error; raise any other error again."""
    from symbolic.errors import SurelineError

    if isinstance(error, SurelineError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this audit."
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}."
    usage = getattr(error, "format_message", None)  # what typer raises for a wrong command line
    if usage is None:
        raise error
    return f"{str(usage()).rstrip('.')}; see sureline --help."


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; every foreseen error is one sentence on stderr.

    Parameters
    ----------
    arguments : list of str, optional
        The words after the program's name; default: those of the process.
    """
    try:
        code = app(args=arguments, prog_name="sureline", standalone_mode=False)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was written.", 130)
    except BrokenPipeError:
        # The reader has gone, so there is nobody to tell; do not let the interpreter flush into the closed pipe either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        _fail(_sentence(error))
    if code == 130:
        _fail("interrupted; nothing was written.", 130)
    raise SystemExit(code if isinstance(code, int) else 0)
