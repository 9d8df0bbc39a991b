"""`sureline calibrate`: how often does this analysis reject where nothing is, and where something is?"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sureline.choices import (
    CLASS_HELP,
    OUTPUT_HELP,
    POST_HELP,
    RULE_HELP,
    Alternative,
    Contrasts,
    LawName,
    Mode,
    Rule,
)

if TYPE_CHECKING:
    from inference.calibrate import CalibrationReport

__all__ = ["calibrate"]

_question = partial(typer.Option, rich_help_panel="The question")
_region = partial(typer.Option, rich_help_panel="Which region")
_inputs = partial(typer.Option, rich_help_panel="The inputs")
_result = partial(typer.Option, rich_help_panel="What comes out")

_VAR = "Variance of the noise: a number, or an array file with variances or a covariance matrix."
_DF = "V was estimated, from data other than the inputs, on so many degrees of freedom."
_INPUTS = "Replicates, placebo inputs or untouched regions: an array of shape (replicates, ...)."
_REFERENCES = "What RULE reference compares with: one array, or one per input."
_EFFECT = "Added to every input: the positive control. Default: none, the negative control."
_ALPHA = "Levels of the rejection rates; may be repeated. Default: 0.05, 0.01 and 0.001."


def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
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
    neighborhood_range: Annotated[
        int | None, _question(metavar="N", help="Width of the surroundings of RULE neighbor; default 1.")
    ] = None,
    lower: Annotated[str | None, _question(metavar="T", help="Of RULE two-thresholds.")] = None,
    first: Annotated[int, _question(metavar="N", help="Label of the region of RULE labels.")] = 1,
    second: Annotated[
        int | None, _question(metavar="N", help="What it is compared with; default: the rest.")
    ] = None,
    reference_scale: Annotated[
        str,
        _question(metavar="C", help="Variance of the reference in units of V: 1/M of a mean of M."),
    ] = "1",
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
    df: Annotated[str | None, _question(metavar="N", help=_DF)] = None,
    law: Annotated[
        LawName | None, _question(metavar="LAW", help="normal, t or berger-boos, as of sureline audit.")
    ] = None,
    alternative: Annotated[
        Alternative | None, _question(metavar="A", help="two-sided, less or greater, as of sureline audit.")
    ] = None,
    null_value: Annotated[
        str, _question(metavar="V", help="The difference under H0, in units of the input.")
    ] = "0",
    null_margin: Annotated[
        str, _question(metavar="D", help="H0 allows the difference to be so far from --null-value.")
    ] = "0",
    mode: Annotated[
        Mode, _question(metavar="MODE", help="parametric, exhaustive or over-conditioning.")
    ] = Mode.parametric,
    max_iter: Annotated[
        int, _question(metavar="N", help="Evaluations after which a search ends with wider, valid bounds.")
    ] = 100_000,
    alpha: Annotated[list[float] | None, _question(metavar="A", help=_ALPHA)] = None,
    output_name: Annotated[str | None, _question(metavar="NAME", help=OUTPUT_HELP)] = None,
    seed: Annotated[
        int | None, _question(metavar="N", help="Seed of the model's random nodes, drawn once and frozen.")
    ] = None,
    inputs: Annotated[Path | None, _inputs(metavar="X.npy", help=_INPUTS)] = None,
    reference: Annotated[Path | None, _inputs(metavar="R.npy", help=_REFERENCES)] = None,
    mean: Annotated[
        Path | None, _inputs(metavar="M.npy", help="In place of --inputs: simulate noise around this mean.")
    ] = None,
    replicates: Annotated[
        int | None, _inputs(metavar="N", help="Number of simulated inputs; of --inputs the first N.")
    ] = None,
    noise_seed: Annotated[int, _inputs(metavar="N", help="Seed of the simulated noise.")] = 0,
    effect: Annotated[Path | None, _inputs(metavar="E.npy", help=_EFFECT)] = None,
    precision: Annotated[str, _question(metavar="W", help="Wanted width of the bounds of p.")] = "1e-6",
    check_every: Annotated[
        int, _result(metavar="N", help="Re-check each N-th certificate with the independent checker.")
    ] = 0,
    processes: Annotated[int, _result(metavar="N", help="Processes that share the inputs.")] = 1,
    plot: Annotated[Path | None, _result(metavar="P.png", help="Draw the p-values against uniform.")] = None,
    out: Annotated[Path | None, _result(metavar="FILE.json", help="Write the report there.")] = None,
    json: Annotated[bool, _result("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Report how often an analysis rejects on inputs in which nothing is, or with a planted effect.

    Failures count as rejections, inputs without a region are counted apart. Exit code 0: no rate is above
    its level beyond chance (or a positive control); 1: one is, something failed, or nothing
    was tested.
    """
    import json as writer

    from inference.audit import load
    from inference.calibrate import calibrate as run
    from inference.uniformity import LEVELS
    from sureline.question import Question
    from symbolic.errors import OptionError
    from symbolic.reading.array_files import read_raw_array
    from symbolic.reading.loading import load_model

    if (inputs is None) == (mean is None):
        raise OptionError("give either --inputs, or --mean with --replicates.")
    if hypothesis is Rule.reference and inputs is not None and reference is None:
        raise OptionError("--hypothesis reference with --inputs needs --reference R.npy.")
    if reference is not None and (hypothesis is not Rule.reference or inputs is None):
        raise OptionError("--reference goes with --hypothesis reference and --inputs.")
    if df is not None and inputs is None:
        raise OptionError("--df goes with --inputs: the noise simulated around --mean has variance V.")
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
    test = load(model, question.hypothesis(load_model(model).proto), seed=seed)
    given: Any = None
    if inputs is not None:
        given = read_raw_array(inputs)
        if reference is not None:
            given = _paired(given, read_raw_array(reference))
    with _bar(sys.stderr) as progress:
        report = run(
            test,
            given,
            mean=None if mean is None else read_raw_array(mean),
            replicates=replicates,
            var=_variance(var),
            seed=noise_seed,
            effect=None if effect is None else read_raw_array(effect),
            levels=tuple(alpha or LEVELS),
            check_every=check_every,
            processes=processes,
            progress=progress,
            mask=None if mask is None else read_raw_array(mask),
            alternative=None if alternative is None else alternative.value,
            degrees_of_freedom=df,
            null_value=null_value,
            null_margin=null_margin,
            law=None if law is None else law.value,
            inference_mode=mode.value.replace("-", "_"),
            max_iter=max_iter,
            precision=precision,
        )
    text = writer.dumps(report.as_dict(), allow_nan=False)
    if out is not None:
        out.write_text(text + "\n")
    if plot is not None and report.selective is not None:
        report.plot(plot)
    if json:
        print(text)
    else:
        _show(report)
    if report.holds is False or not report.rates:
        raise typer.Exit(1)


def _variance(text: str) -> Any:
    from symbolic.errors import OptionError
    from symbolic.reading.array_files import read_raw_array
    from symbolic.reading.exact import exact_number

    if text.lower().endswith((".npy", ".npz")):
        return read_raw_array(text)
    return exact_number(text, "--var", error=OptionError)


def _paired(inputs: Any, reference: Any) -> list[tuple[Any, Any]]:
    """Every input with its reference."""
    from symbolic.errors import InputError

    if reference.shape == inputs.shape:
        return list(zip(inputs, reference, strict=True))
    if reference.shape == inputs.shape[1:]:
        return [(x, reference) for x in inputs]
    raise InputError(
        f"--reference has shape {reference.shape}; it should be {inputs.shape} or {inputs.shape[1:]}."
    )


def _bar(stream: Any) -> Any:
    from sureline.counting import count_bar

    return count_bar(stream, "calibrating", "inputs")


def _show(report: CalibrationReport) -> None:
    """Print a panel."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    good = {True: "bold green", False: "bold red", None: "cyan"}[report.holds]
    says = {
        True: "No rejection rate is above its level beyond chance.",
        False: "The null hypothesis is false on these inputs: this is no negative control."
        if report.null_false
        else "This analysis does not hold its level on these inputs.",
        None: "A positive control: the rates are its power." if report.rates else "Nothing was tested.",
    }[report.holds]
    console = Console()
    text = Text(f"{says}\n\n{report}")
    console.print(
        Panel(text, title="Sureline calibrate", title_align="left", border_style=good, padding=(1, 2))
    )
