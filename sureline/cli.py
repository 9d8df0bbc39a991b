"""The command line: parse, call the library, print."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sureline.calibrating import calibrate
from sureline.choices import (
    CLASS_HELP,
    OUTPUT_HELP,
    POST_HELP,
    RULE_HELP,
    Alternative,
    Contrasts,
    Engine,
    LawName,
    Mode,
    Part,
    Rule,
    Stop,
    Strategy,
)
from sureline.explaining import explain, methods
from sureline.fitting import fit_patterns
from sureline.studying import study
from sureline.verified_perturbation import eva

__all__ = ["app", "main"]


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


_question = partial(typer.Option, rich_help_panel="The question")
_region = partial(typer.Option, rich_help_panel="Which region")
_law = partial(typer.Option, rich_help_panel="Noise and law")
_ports = partial(typer.Option, rich_help_panel="Further inputs and outputs")
_search = partial(typer.Option, rich_help_panel="The search")
_result = partial(typer.Option, rich_help_panel="What comes out")

_VAR = (
    "Variance of the noise: a number (0.1 is exactly one tenth), "
    "or an array file with variances or a covariance matrix."
)
_LAW = (
    "normal, t or berger-boos. Default: t if --df is given (F of several contrasts), else normal. normal "
    "with --df "
    "inserts the estimate as known; berger-boos takes the greatest p over a confidence set of the variance."
)
_DF = "V was estimated, from data that the contrast does not use, on so many degrees of freedom."
_RANDOMISE = "Select at the input plus noise of SCALE times V, and test the input given that selection."
_FISSION = "The same, but test the part of the input that is independent of the selection."
_EACH = "component, channel or sign: audit every part of the region, and adjust the p-values (Holm)."
_ENGINE = "auto, search, sweep, z3 or cvxpy: what decides the line; all: every one that can, compared."
_ENDS = "Ends of the truncation set as exact rationals; default: exact up to 100,000 units."
_STOP = "precision: p is known to --precision; decision: it is known on which side of --alpha p is."


@app.command()
def audit(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    input: Annotated[Path, typer.Argument(metavar="INPUT.npy", help="The observed input, .npy or .npz.")],
    var: Annotated[str, _question(metavar="V", help=_VAR)],
    threshold: Annotated[
        str | None, _question(metavar="T", help="The region is where the score exceeds T.")
    ] = None,
    hypothesis: Annotated[Rule, _question(metavar="RULE", help=RULE_HELP)] = Rule.back,
    post: Annotated[list[str] | None, _question(metavar="STEP", help=POST_HELP)] = None,
    normalize: Annotated[bool, _question("--normalize", help="Scale the score to [0, 1] first.")] = False,
    mask: Annotated[
        Path | None, _question(metavar="M.npy", help="Only elements where M is true count.")
    ] = None,
    reference: Annotated[
        Path | None, _question(metavar="R.npy", help="What RULE reference compares with.")
    ] = None,
    neighborhood_range: Annotated[
        int | None, _question(metavar="N", help="Width of the surroundings of RULE neighbor; default 1.")
    ] = None,
    lower: Annotated[str | None, _question(metavar="T", help="Of RULE two-thresholds.")] = None,
    first: Annotated[int, _question(metavar="N", help="Label of the region of RULE labels.")] = 1,
    second: Annotated[
        int | None, _question(metavar="N", help="What it is compared with; default: the rest.")
    ] = None,
    alternative: Annotated[
        Alternative | None,
        _question(metavar="A", help="two-sided, less or greater, in the sense of SciPy; default: two-sided."),
    ] = None,
    null_value: Annotated[
        str, _question(metavar="V", help="The difference under H0, in units of the input.")
    ] = "0",
    null_margin: Annotated[
        str, _question(metavar="D", help="H0: the difference is within D of --null-value.")
    ] = "0",
    top: Annotated[
        int | None, _region(metavar="K", help="The K greatest scores, in place of --threshold.")
    ] = None,
    signed: Annotated[bool, _region("--signed", help="Also scores below -T, and which is which.")] = False,
    component: Annotated[int | None, _region(metavar="N", help="Only this connected component.")] = None,
    channel: Annotated[int | None, _region(metavar="N", help="Only this channel.")] = None,
    sign: Annotated[str | None, _region(metavar="S", help="Only this sign, + or -, of --signed.")] = None,
    contrasts: Annotated[
        Contrasts,
        _region(metavar="WHAT", help="mean; or channels or elements, all tested together (chi, F)."),
    ] = Contrasts.mean,
    condition_on_class: Annotated[
        bool, _region("--condition-on-class/--no-condition-on-class", help=CLASS_HELP)
    ] = True,
    each: Annotated[Part | None, _region(metavar="PART", help=_EACH)] = None,
    law: Annotated[LawName | None, _law(metavar="LAW", help=_LAW)] = None,
    df: Annotated[str | None, _law(metavar="N", help=_DF)] = None,
    noise_source: Annotated[str | None, _law(metavar="TEXT", help="Where V comes from, in words.")] = None,
    reference_scale: Annotated[
        str,
        _law(metavar="C", help="The reference's variance is C times V: 1/M of a mean of M, 0 of a template."),
    ] = "1",
    randomise: Annotated[str | None, _law(metavar="SCALE", help=_RANDOMISE)] = None,
    fission: Annotated[str | None, _law(metavar="SCALE", help=_FISSION)] = None,
    noise_seed: Annotated[int, _law(metavar="N", help="Seed of --randomise and --fission.")] = 0,
    confidence: Annotated[
        str | None, _result(metavar="LEVEL", help="Also certify an interval at this level, and estimates.")
    ] = None,
    robustness: Annotated[
        bool, _result("--robustness", help="Also certify for which variances the decision is the same.")
    ] = False,
    alpha: Annotated[
        str, _question(metavar="A", help="Significance level, to be fixed beforehand.")
    ] = "0.05",
    other_inputs: Annotated[
        list[str] | None,
        _ports("--input", metavar="NAME=FILE", help="Another input of the model; may be repeated."),
    ] = None,
    test_input: Annotated[
        str | None, _ports(metavar="NAME", help="Which input INPUT.npy is; default: the one left.")
    ] = None,
    output_name: Annotated[str | None, _ports(metavar="NAME", help=OUTPUT_HELP)] = None,
    seed: Annotated[
        int | None, _ports(metavar="N", help="Seed of random nodes, drawn once and frozen.")
    ] = None,
    mode: Annotated[
        Mode, _search(metavar="MODE", help="parametric, exhaustive or over-conditioning.")
    ] = Mode.parametric,
    stop: Annotated[Stop, _search(metavar="WHEN", help=_STOP)] = Stop.precision,
    precision: Annotated[str, _search(metavar="W", help="Wanted width of the bounds of p.")] = "1e-6",
    max_iter: Annotated[
        int, _search(metavar="N", help="Evaluations after which the search ends with wider, valid bounds.")
    ] = 100_000,
    strategy: Annotated[
        Strategy, _search(metavar="S", help="What is looked at first: mass, pi1, pi2 or pi3.")
    ] = Strategy.mass,
    engine: Annotated[Engine, _search(metavar="ENGINE", help=_ENGINE)] = Engine.auto,
    exact_ends: Annotated[
        bool | None, _search("--exact-ends/--bracketed-ends", help=_ENDS, show_default=False)
    ] = None,
    smt: Annotated[
        Path | None, _result(metavar="FOLDER", help="Write the queries of engine z3 there, as SMT-LIB.")
    ] = None,
    out: Annotated[Path | None, _result(metavar="FOLDER", help="Write the certificate there.")] = None,
    json: Annotated[bool, _result("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Audit the region that a network marks in one input, and certify the p-value."""
    from sureline import bars, many, printing, running
    from sureline.question import Question

    question = Question(
        rule=hypothesis.value,
        threshold=threshold,
        normalize=normalize,
        post=tuple(post or ()),
        neighborhood_range=neighborhood_range,
        output_name=output_name,
        lower=lower,
        first=first,
        second=second,
        top=top,
        signed=signed,
        component=component,
        channel=channel,
        sign=sign,
        contrasts=contrasts.value,
        condition_on_class=condition_on_class,
        reference_scale=reference_scale,
    )
    request = running.Request(
        model=model,
        input=input,
        var=var,
        question=question,
        mask=mask,
        reference=reference,
        other_inputs=tuple(other_inputs or ()),
        test_input=test_input,
        each=None if each is None else each.value,
        alternative=None if alternative is None else alternative.value,
        null_value=null_value,
        null_margin=null_margin,
        law=None if law is None else law.value,
        df=df,
        noise_source=noise_source,
        randomise=randomise,
        fission=fission,
        noise_seed=noise_seed,
        confidence=confidence,
        robustness=robustness,
        mode=mode.value.replace("-", "_"),
        stop=stop.value,
        precision=precision,
        max_iter=max_iter,
        strategy=strategy.value,
        engine=engine.value,
        exact_ends=exact_ends,
        smt=smt,
        alpha=alpha,
        seed=seed,
        out=out,
    )
    with bars.progress_bar(sys.stderr) as progress:
        results = running.audit(request, progress)
    if request.each is not None:
        many.as_json(results, request) if json else many.show(results, request)
    elif json:
        print(printing.as_json(results[0], request))
    else:
        printing.show_audit(results[0], request)


_SAMPLE = (
    "Check only the cells of N random draws, in proportion to their null mass, and say what that shows. "
    "The exit code is then never 0."
)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What sureline audit --out FOLDER wrote.")],
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL.onnx", help="Also prove that it is about this model.")
    ] = None,
    input: Annotated[
        Path | None, typer.Option(metavar="INPUT.npy", help="Also prove that it is about this input.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="R.npy", help="Also prove that it was compared with this one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that share the cells; default: one per core.")
    ] = None,
    sample: Annotated[int | None, typer.Option(metavar="N", help=_SAMPLE)] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Repeat the draws of --sample.")] = None,
) -> None:
    """Re-check a certificate with the independent checker.

    Exit code 0: valid, every claim is proved; 1: invalid, with the first false claim; 2: unusable;
    3: --sample met no false cell, which proves less.
    """
    from sureline import bars, printing
    from verifier.check.checking import OverlapReport
    from verifier.check.checking import check as run_check
    from verifier.check.errors import InvalidCertificate, UnusableCertificate

    try:
        with bars.check_bar(sys.stderr) as progress:
            report = run_check(
                folder,
                model,
                input,
                reference=reference,
                workers=workers,
                progress=progress,
                sample=sample,
                seed=seed,
            )
    except InvalidCertificate as error:
        printing.show_invalid(error)
        raise typer.Exit(1) from None
    except UnusableCertificate as error:
        _fail(str(error))
    if isinstance(report, OverlapReport):
        print(report)
    elif report.valid:
        printing.show_check(report)
    else:
        printing.show_sampled(report)
        raise typer.Exit(3)


@app.command()
def info(model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")]) -> None:
    """Print a model's inputs, outputs and operators, and how each operator is supported."""
    from sureline import printing, running

    printing.show_info(running.describe(model), str(model))


app.command()(calibrate)
app.command()(study)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(explain)
app.command()(methods)
app.command()(fit_patterns)
app.command()(eva)


def _fail(message: str, code: int = 2) -> NoReturn:
    print(f"sureline: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def _sentence(error: Exception) -> str:
    """Return what to tell the user about a foreseen error; raise any other error again."""
    from symbolic.errors import SurelineError
    from verifier.check.errors import InvalidCertificate, UnusableCertificate

    # An audit asks the checker's arithmetic about hard cells, and hears its refusals too.
    if isinstance(error, (SurelineError, InvalidCertificate, UnusableCertificate)):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this audit."
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}."
    usage = getattr(error, "format_message", None)  # what typer raises for a wrong command line
    if usage is None:
        raise error
    return f"{str(usage()).rstrip('.')}; see sureline --help."


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every foreseen error is one sentence on stderr.

    Parameters
    ----------
    arguments : list of str, optional
        The words after the program's name; default: those of the process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(args=words or ["--help"], prog_name="sureline", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # The reader has gone; the interpreter must not flush into the closed pipe when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        _fail(_sentence(error))
    if code == 130:
        _fail("interrupted; nothing was written.", 130)
    raise SystemExit(code if isinstance(code, int) else 0)
