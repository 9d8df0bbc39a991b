"""`sureline calibrate`: how often does this analysis reject where nothing is, and where something is?"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sureline.choices import Alternative, Rule

if TYPE_CHECKING:
    from inference.calibrate import CalibrationReport

__all__ = ["calibrate"]

_question = partial(typer.Option, rich_help_panel="The question")
_inputs = partial(typer.Option, rich_help_panel="The inputs")
_result = partial(typer.Option, rich_help_panel="What comes out")

_VAR = "Variance of the noise: a number, or an array file with variances or a covariance matrix."
_RULE = "back, neighbor or reference, as of sureline audit."
_POST = "Step from the model's output to the score, as of sureline audit; may be repeated."
_INPUTS = "Replicates, placebo inputs or untouched regions: an array of shape (replicates, ...)."
_REFERENCES = "What RULE reference compares with: one array, or one per input."
_EFFECT = "Added to every input: the positive control. Default: none, the negative control."
_ALPHA = "Levels of the rejection rates; may be repeated. Default: 0.05, 0.01 and 0.001."


def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    var: Annotated[str, _question(metavar="V", help=_VAR)],
    threshold: Annotated[str, _question(metavar="T", help="The region is where the score exceeds T.")],
    hypothesis: Annotated[Rule, _question(metavar="RULE", help=_RULE)] = Rule.back,
    post: Annotated[list[str] | None, _question(metavar="STEP", help=_POST)] = None,
    normalize: Annotated[bool, _question("--normalize", help="Scale the score to [0, 1] first.")] = False,
    mask: Annotated[
        Path | None, _question(metavar="M.npy", help="Only elements where M is true count.")
    ] = None,
    neighborhood_range: Annotated[
        int | None, _question(metavar="N", help="Width of the surroundings of RULE neighbor; default 1.")
    ] = None,
    alternative: Annotated[
        Alternative, _question(metavar="A", help="two-sided, less or greater, in the sense of SciPy.")
    ] = Alternative.two_sided,
    null_value: Annotated[
        str, _question(metavar="V", help="The difference under H0, in units of the input.")
    ] = "0",
    alpha: Annotated[list[float] | None, _question(metavar="A", help=_ALPHA)] = None,
    output_name: Annotated[
        str | None, _question(metavar="NAME", help="Which output is the score; default: the first.")
    ] = None,
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
    its level beyond chance (or a positive control); 1: one is, or something failed.
    """
    import json as writer

    from inference.audit import load
    from inference.calibrate import calibrate as run
    from inference.uniformity import LEVELS
    from symbolic.errors import OptionError
    from symbolic.reading.array_files import read_raw_array

    if (inputs is None) == (mean is None):
        raise OptionError("give either --inputs, or --mean with --replicates.")
    if hypothesis is Rule.reference and inputs is not None and reference is None:
        raise OptionError("--hypothesis reference with --inputs needs --reference R.npy.")
    if reference is not None and (hypothesis is not Rule.reference or inputs is None):
        raise OptionError("--reference goes with --hypothesis reference and --inputs.")
    asked = _hypothesis(model, hypothesis, threshold, post, normalize, neighborhood_range, output_name)
    test = load(model, asked, seed=seed)
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
            alternative=alternative.value,
            null_value=null_value,
            precision=precision,
        )
    if plot is not None:
        report.plot(plot)
    text = writer.dumps(report.as_dict(), allow_nan=False)
    if out is not None:
        out.write_text(text + "\n")
    if json:
        print(text)
    else:
        _show(report)
    if report.holds is False:
        raise typer.Exit(1)


def _hypothesis(
    model: Path,
    rule: Rule,
    threshold: str,
    post: list[str] | None,
    normalize: bool,
    neighborhood_range: int | None,
    output_name: str | None,
) -> Any:
    """The hypothesis of `sureline audit` in the same words."""
    import inference.score_hypotheses
    from inference.operators import operator_from_text
    from symbolic.errors import OptionError
    from symbolic.reading.loading import load_model

    if neighborhood_range is not None and rule is not Rule.neighbor:
        raise OptionError("--neighborhood-range needs --hypothesis neighbor.")
    extra = {} if neighborhood_range is None else {"neighborhood_range": neighborhood_range}
    names = [value.name for value in load_model(model).proto.graph.output]
    if output_name is not None and output_name not in names:
        raise OptionError(
            f"--output-name: the model has no output {output_name!r}; it has {', '.join(names)}."
        )
    kind = {"back": "BackMeanDiff", "neighbor": "NeighborMeanDiff", "reference": "ReferenceMeanDiff"}
    if rule.value not in kind:
        raise OptionError(f"calibrate takes --hypothesis {', '.join(kind)}; for {rule.value} use Python.")
    return getattr(inference.score_hypotheses, kind[rule.value])(
        threshold,
        o_idx=0 if output_name is None else names.index(output_name),
        post_process=[operator_from_text(text) for text in post or ()],
        use_norm=normalize,
        **extra,
    )


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
        False: "This analysis does not hold its level on these inputs.",
        None: "A positive control: the rates are its power." if report.rates else "Nothing was tested.",
    }[report.holds]
    console = Console()
    text = Text(f"{says}\n\n{report}")
    console.print(
        Panel(text, title="Sureline calibrate", title_align="left", border_style=good, padding=(1, 2))
    )
