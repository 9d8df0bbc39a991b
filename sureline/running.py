"""Turn the words of the command line into calls of the library."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sureline.question import Question
from symbolic.errors import EngineError, OptionError
from symbolic.reading.array_files import read_raw_array
from symbolic.reading.exact import exact_number

if TYPE_CHECKING:
    import onnx

    from inference.result import InferenceResult

__all__ = ["Description", "Request", "audit", "describe"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed.

    Raises
    ------
    OptionError
        If a number is not one, or an option does not go with the rule.
    """

    model: Path
    input: Path
    var: str
    question: Question
    mask: Path | None
    reference: Path | None
    other_inputs: tuple[str, ...]
    test_input: str | None
    each: str | None
    alternative: str | None
    null_value: str
    null_margin: str
    law: str | None
    df: str | None
    noise_source: str | None
    randomise: str | None
    fission: str | None
    noise_seed: int
    confidence: str | None
    robustness: bool
    mode: str
    stop: str
    precision: str
    max_iter: int
    strategy: str
    engine: str
    exact_ends: bool | None
    smt: Path | None
    alpha: str
    seed: int | None
    out: Path | None

    def __post_init__(self) -> None:
        for text, option in (
            (self.null_value, "--null-value"),
            (self.null_margin, "--null-margin"),
            (self.precision, "--precision"),
            (self.alpha, "--alpha"),
            (self.df, "--df"),
            (self.confidence, "--confidence"),
            (self.randomise, "--randomise"),
            (self.fission, "--fission"),
        ):
            if text is not None:
                exact_number(text, option, error=OptionError)
        if (self.question.rule == "reference") != (self.reference is not None):
            raise OptionError("--hypothesis reference and --reference R.npy go together.")
        if self.randomise is not None and self.fission is not None:
            raise OptionError("give --randomise or --fission, and not both.")
        if self.noise_seed and self.randomise is None and self.fission is None:
            raise OptionError("--noise-seed needs --randomise or --fission.")

    @property
    def level(self) -> Fraction:
        """The significance level, exactly."""
        return exact_number(self.alpha, "--alpha", error=OptionError)


def audit(request: Request, progress: Any) -> list[InferenceResult]:
    """Run one audit, or one of every part, and save the certificates where the user asked for it."""
    from inference.audit import load
    from inference.randomisation import Fission, Randomised
    from inference.storage import require_replaceable
    from symbolic.reading.loading import load_model

    if request.out is not None:
        require_replaceable(request.out)
    model = load_model(request.model).proto
    inputs, i_idx = _inputs(request, model)
    drawn = request.randomise or request.fission
    kind = Randomised if request.fission is None else Fission
    options: dict[str, Any] = {
        "inference_mode": request.mode,
        "termination_criterion": request.stop,
        "precision": request.precision,
        "max_iter": request.max_iter,
        "search_strategy": request.strategy,
        "engine": request.engine,
        "exact_ends": request.exact_ends,
        "smt_folder": request.smt,
        "significance_level": request.alpha,
        "alternative": request.alternative,
        "null_value": request.null_value,
        "null_margin": request.null_margin,
        "law": request.law,
        "degrees_of_freedom": request.df,
        "noise_source": request.noise_source,
        "randomisation": None if drawn is None else kind(drawn, request.noise_seed),
        "confidence_level": request.confidence,
        "robustness": request.robustness,
        "progress": progress or False,
    }
    mask = None if request.mask is None else read_raw_array(request.mask)
    test = load(request.model, request.question.hypothesis(model, i_idx), seed=request.seed)
    variance = _variance(request.var)
    try:
        if request.each is not None:
            results = test.inference_each(inputs, variance, mask, by=request.each, **options)
        else:
            results = [test.inference(inputs, variance, mask, **options)]
    except EngineError as error:
        for engine, certificate in error.certificates.items():
            certificate.save((request.out or Path("audit")) / f"disagreement-{engine}")
        raise
    for k, result in enumerate(results):
        _ = result.runtime_agrees  # the runtime speaks before anything is written
        if request.out is not None:
            result.certificate.save(
                request.out if request.each is None else request.out / f"{request.each}-{k}"
            )
    return results


def _variance(text: str) -> Any:
    if text.lower().endswith((".npy", ".npz")):
        return read_raw_array(text)
    return exact_number(text, "--var", error=OptionError)


def _inputs(request: Request, model: onnx.ModelProto) -> tuple[Any, int]:
    """Put the input files into the model's order; return them and the index of the one under test."""
    from symbolic.reading.static_shapes import free_inputs

    names = [value.name for value in free_inputs(model.graph)]
    others: dict[str, Path] = {}
    for text in request.other_inputs:
        name, _, path = text.partition("=")
        if not path:
            raise OptionError(f"--input must be NAME=FILE, not {text!r}.")
        if name not in names:
            raise OptionError(f"--input: the model has no input {name!r}; it has {', '.join(names)}.")
        others[name] = Path(path)
    free = [name for name in names if name not in others]
    tested = request.test_input if request.test_input is not None else (free or names)[0]
    if tested not in names:
        raise OptionError(f"--test-input: the model has no input {tested!r}; it has {', '.join(names)}.")
    missing = [name for name in free if name != tested]
    if tested in others or missing:
        wrong = f"{tested} is given twice" if tested in others else f"{', '.join(missing)} is missing"
        raise OptionError(
            f"Every model input needs one file: INPUT.npy is {tested}, and {wrong} (--input NAME=FILE)."
        )
    arrays = [read_raw_array(request.input if name == tested else others[name]) for name in names]
    given: Any = arrays if len(arrays) > 1 else arrays[0]
    if request.reference is not None:
        given = (given, read_raw_array(request.reference))
    return given, names.index(tested)


@dataclass(frozen=True)
class Description:
    """What `sureline info` shows: names with types, operators with their number and support, the outputs
    that can be audited, and why the others cannot if all their operators are supported."""

    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    operators: tuple[tuple[str, int, str], ...]
    auditable: tuple[str, ...]
    refused: str


def describe(path: Path) -> Description:
    """Read a model and say what it needs."""
    from symbolic.network import support, unsupported
    from symbolic.reading.loading import load_model
    from symbolic.reading.static_shapes import free_inputs

    model = load_model(path).proto
    supported = [value.name for value in model.graph.output if not unsupported(model, [value.name])]
    refused = {name: words for name in supported if (words := _refusal(model, name))}
    return Description(
        tuple((value.name, _type(value)) for value in free_inputs(model.graph)),
        tuple((value.name, _type(value)) for value in model.graph.output),
        tuple(
            (kind, count, "frozen" if kind.startswith("Random") else how)
            for kind, count, how in support(model)
        ),
        tuple(name for name in supported if name not in refused),
        " ".join(dict.fromkeys(refused.values())),
    )


def _refusal(model: onnx.ModelProto, output: str) -> str:
    from symbolic.errors import ModelError
    from symbolic.trial import try_out

    try:
        try_out(model, [output])
    except ModelError as error:
        return str(error)
    return ""


def _type(value: onnx.ValueInfoProto) -> str:
    from onnx import TensorProto

    if not value.type.HasField("tensor_type"):
        return "no tensor"
    tensor = value.type.tensor_type
    lengths = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim]
    known = tensor.elem_type in TensorProto.DataType.values()
    kind = TensorProto.DataType.Name(tensor.elem_type).lower() if known else f"type {tensor.elem_type}"
    shape = (" x ".join(lengths) or "scalar") if tensor.HasField("shape") else "not stated"
    return f"{kind}, shape {shape}"
