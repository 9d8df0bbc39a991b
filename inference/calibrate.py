"""Calibration of one analysis: how often it rejects where nothing is, and where something is.

Negative control: replicates, placebo inputs or untouched regions in which every null hypothesis is true.
Positive control: the same inputs with a planted effect. Nothing is discarded: a failure counts as a
rejection, and an input without a region is counted apart.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.rechecking import confirmed
from inference.replicates import Replicates, listed, with_effect
from inference.uniformity import LEVELS, Rate, UniformityReport, excess, plotting, uniformity
from inference.workers import as_they_come, require_count
from symbolic.errors import NoHypothesisError, OptionError

__all__ = ["CalibrationDraw", "CalibrationReport", "ModelAnalysis", "calibrate"]

Analysis = Callable[[Any], Any]
Effect = ArrayLike | Callable[[Any], Any]
TRUE_WITHIN = 1e-9
"""Standard deviations: a contrast of the mean this near to the null value is the null value."""


@dataclass(frozen=True)
class CalibrationDraw:
    """What came of one input.

    Attributes
    ----------
    index : int
        Of the input, or of the replicate.
    outcome : "tested", "no region" or "failed"
        "failed" has p = 0, a rejection; "no region" has p = nan, for there is nothing to test.
    inf_p, sup_p, naive_p : float
        The certified bounds, and the p-value that forgets the selection (nan if the analysis gives none).
    null_true : bool or None
        Whether the contrast of the true mean is the null value; None where the mean is not known.
    seconds : float
        Of the analysis.
    checked : bool or None
        Whether the independent checker confirmed the certificate; None if it was not asked.
    message : str
        Why it failed, or had no region.
    """

    index: int
    outcome: Literal["tested", "no region", "failed"]
    inf_p: float
    sup_p: float
    naive_p: float
    null_true: bool | None
    seconds: float
    checked: bool | None = None
    message: str = ""


@dataclass(frozen=True)
class CalibrationReport:
    """What :func:`calibrate` found; ``print`` it, ``plot`` it, or take ``as_dict()``.

    Attributes
    ----------
    control : "negative" or "positive"
        Without or with a planted effect.
    source : str
        Where the inputs come from, in words.
    draws : tuple of CalibrationDraw
        All of them, in order.
    levels : tuple of float
    confidence : float
        Of the Clopper-Pearson intervals.
    """

    control: Literal["negative", "positive"]
    source: str
    draws: tuple[CalibrationDraw, ...] = field(repr=False)
    levels: tuple[float, ...]
    confidence: float

    @property
    def without_region(self) -> int:
        """Inputs in which there was nothing to test."""
        return sum(d.outcome == "no region" for d in self.draws)

    @property
    def failed(self) -> int:
        """Inputs in which the analysis failed; each counts as a rejection."""
        return sum(d.outcome == "failed" for d in self.draws)

    @property
    def null_false(self) -> int:
        """Tested inputs in which the null hypothesis is known to be false."""
        return sum(d.null_true is False for d in self.draws)

    @property
    def refused(self) -> int:
        """Certificates that the independent checker refused."""
        return sum(d.checked is False for d in self.draws)

    @property
    def messages(self) -> dict[str, int]:
        """Why inputs failed or had no region, and how often."""
        return dict(Counter(d.message for d in self.draws if d.message))

    @cached_property
    def selective(self) -> UniformityReport | None:
        """The certified upper bounds, failures as 0; None if no input had a region."""
        return self._report([d.sup_p for d in self.draws if d.outcome != "no region"])

    @cached_property
    def naive(self) -> UniformityReport | None:
        """The p-values that forget the selection, of the tested inputs; None if there are none."""
        return self._report([d.naive_p for d in self.draws if not math.isnan(d.naive_p)])

    def _report(self, p: list[float]) -> UniformityReport | None:
        return uniformity(p, self.levels, self.confidence) if p else None

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Rejection rates, one per level."""
        return self.selective.rates if self.selective else ()

    @property
    def holds(self) -> bool | None:
        """Negative control: no rejection rate is above its level beyond chance, nothing failed and every null
        hypothesis is not known to be false. None for a positive control, or if nothing was tested."""
        if self.control == "positive" or not self.rates:
            return None
        return not (any(r.exceeds for r in self.rates) or self.failed or self.refused or self.null_false)

    def as_dict(self) -> dict[str, Any]:
        """Numbers and strings only, for a report."""
        return {
            "control": self.control,
            "source": self.source,
            "inputs": len(self.draws),
            "without_region": self.without_region,
            "failed": self.failed,
            "null_false": self.null_false,
            "checked": sum(d.checked is not None for d in self.draws),
            "refused": self.refused,
            "holds": self.holds,
            "selective": self.selective.as_dict() if self.selective else None,
            "naive": self.naive.as_dict() if self.naive else None,
            "p_values": [_finite(d.sup_p) for d in self.draws],
            "naive_p_values": [_finite(d.naive_p) for d in self.draws],
            "seconds": sum(d.seconds for d in self.draws),
            "messages": self.messages,
        }

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw share of p-values at or below p, minus p, with the band of uniform ones."""
        if self.selective is None:
            raise OptionError("there is nothing to draw: no input had a region.")
        pyplot = plotting()
        figure, axis = pyplot.subplots(figsize=(6, 4), layout="constrained")
        band = self.selective.band
        axis.axhspan(-band, band, color="0.9", label=f"{self.confidence:.0%} band (DKW)")
        axis.axhline(0, color="0.5", linewidth=0.8)
        for report, label, colour in ((self.naive, "naive", "C3"), (self.selective, "selective", "C0")):
            if report is not None:
                axis.plot(*excess(report.p_values), linewidth=1, color=colour, label=label)
        title = f"{self.control.capitalize()} control: {self.selective.repetitions} p-values"
        axis.set(xlabel="p-value", ylabel="share at or below p, minus p", xlim=(0, 1), title=title)
        axis.legend(loc="best", fontsize="small")
        figure.savefig(path, dpi=150)
        pyplot.close(figure)

    def __str__(self) -> str:
        lines = [
            f"{self.control} control, {self.source}",
            f"{len(self.draws)} inputs: {self.without_region} without a region (counted apart), "
            f"{self.failed} failed (counted as rejections)",
        ]
        if self.null_false and self.control == "negative":
            lines.append(
                f"in {self.null_false} of them the null hypothesis is false for the given mean: this is no "
                "negative control of that question"
            )
        for name, report in (("selective", self.selective), ("naive", self.naive)):
            shown = [f"{r} at {100 * r.level:g} %" for r in report.rates] if report else ["nothing to test"]
            lines.append(f"{name:<10} rejects {', '.join(shown)}")
        if self.selective and self.control == "negative":
            lines.append(f"uniform?   Kolmogorov-Smirnov p {self.selective.kolmogorov_smirnov:.2g}")
        checked = sum(d.checked is not None for d in self.draws)
        if checked:
            lines.append(f"{checked} certificates re-checked, {self.refused} refused")
        lines += [f"{count} x {text}" for text, count in self.messages.items()]
        lines.append(f"intervals: Clopper-Pearson, {self.confidence:.0%}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ModelAnalysis:
    """A loaded model's inference as a function of the input that other processes can have.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    hypothesis : Hypothesis
    seed : int or None
        Of random nodes.
    var : number or array
    options : dict
        Further arguments of ``inference``.
    """

    model: bytes
    hypothesis: Any
    seed: int | None
    var: Any
    options: dict[str, Any]

    @cached_property
    def loaded(self) -> Any:
        """The model, read once per process."""
        import onnx

        from inference.audit import load

        return load(onnx.load_model_from_string(self.model), self.hypothesis, self.seed)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "loaded"}

    def __call__(self, x: Any) -> Any:
        return self.loaded.inference(x, self.var, **self.options)


def calibrate(
    analysis: Any,
    inputs: Any = None,
    *,
    mean: Any = None,
    replicates: int | None = None,
    var: Any = None,
    seed: int = 0,
    effect: Effect | None = None,
    levels: Sequence[float] = LEVELS,
    confidence: float = 0.99,
    check_every: int = 0,
    processes: int = 1,
    progress: Callable[[int, int | None], None] | None = None,
    **options: Any,
) -> CalibrationReport:
    """Run an analysis on many inputs and report how often it rejects.

    Parameters
    ----------
    analysis : SelectiveInferenceModel or callable
        A loaded model, or a function from an input to a result (anything with ``sup_p``, or a number).
    inputs : array_like or iterable, optional
        Replicates, placebo inputs or untouched regions: an array of shape (replicates, ...), or any iterable.
        For a question with a reference: pairs.
    mean, replicates : array_like, int, optional
        In place of inputs: simulated noise of covariance ``var`` around a mean (with a reference: both).
    var : number or array_like
        Covariance of the noise, as of an audit; needed with a loaded model.
    seed : int
        Replicate k is drawn from (seed, k).
    effect : array_like or callable, optional
        Added to the input (of a pair: to its first), or applied to it: the positive control.
    levels, confidence
        Nominal levels; confidence of the Clopper-Pearson intervals.
    check_every : int
        The independent checker re-checks each N-th certificate; 0: none.
    processes : int
        Each of one thread; started afresh, so that a script needs ``if __name__ == "__main__":``.
    progress : callable, optional
        Gets (done, total) after every input.
    **options
        Further arguments of ``inference`` with a loaded model.

    Returns
    -------
    CalibrationReport

    Raises
    ------
    InputError, OptionError
    """
    from inference.audit import SelectiveInferenceModel

    require_count(check_every, "check_every", 0)
    pair = False
    if isinstance(analysis, SelectiveInferenceModel):
        if var is None:
            raise OptionError("give var, the variance of the noise, with a loaded model.")
        pair = bool(analysis.hypothesis.takes_reference)
        run: Analysis = ModelAnalysis(
            analysis.loaded.proto.SerializeToString(), analysis.hypothesis, analysis.seed, var, dict(options)
        )
    elif callable(analysis):
        if options:
            raise OptionError(f"{', '.join(options)}: options of inference go with a loaded model.")
        run = analysis
    else:
        raise OptionError("analysis should be a loaded model (sureline.load) or a function of the input.")
    if (inputs is None) == (mean is None):
        raise OptionError("give either inputs, or mean with replicates and var.")
    drawn: Iterable[Any]
    total: int | None
    truth: NDArray[np.float64] | None = None
    if mean is not None:
        if replicates is None or var is None:
            raise OptionError("mean needs replicates, their number, and var, the variance of the noise.")
        simulated = Replicates.of(mean, var, require_count(replicates, "replicates"), seed, pair)
        drawn, total, truth = simulated, simulated.count, simulated.truth(effect)
        source = f"{total} simulated replicates around a given mean, seed {seed}"
    else:
        drawn, total = listed(inputs, replicates)
        source = "given inputs" if total is None else f"{total} given inputs"
    job = partial(_draw, run, effect, truth, check_every)
    found: list[CalibrationDraw] = []
    for _, draw in as_they_come(job, _numbered(drawn, replicates), processes):
        found.append(draw)
        if progress is not None:
            progress(len(found), total)
    if not found:
        raise OptionError("there are no inputs.")
    found.sort(key=lambda one: one.index)
    kind: Literal["negative", "positive"] = "negative" if effect is None else "positive"
    return CalibrationReport(kind, source, tuple(found), tuple(levels), confidence)


def _numbered(inputs: Iterable[Any], most: int | None) -> Iterator[tuple[int, Any]]:
    return enumerate(islice(inputs, most))


def _draw(
    run: Analysis,
    effect: Effect | None,
    truth: NDArray[np.float64] | None,
    check_every: int,
    job: tuple[int, Any],
) -> CalibrationDraw:
    """Analyse one input. Nothing is dropped: every outcome is a draw."""
    index, x = job
    if not callable(effect):
        x = with_effect(x, effect)  # an array that does not fit is no failure of the analysis
    start = time.perf_counter()
    try:
        result = run(with_effect(x, effect) if callable(effect) else x)
        seconds = time.perf_counter() - start
        upper = float(result.sup_p if hasattr(result, "sup_p") else result)
        lower = float(result.inf_p) if hasattr(result, "inf_p") else upper
        if not 0 <= lower <= upper <= 1:
            raise ValueError(f"the analysis returned p in [{lower}, {upper}]")
        naive = float(result.naive_p_value()) if hasattr(result, "naive_p_value") else math.nan
        checked = confirmed(result) if check_every and index % check_every == 0 else None
        return CalibrationDraw(
            index, "tested", lower, upper, naive, _null_true(result, truth), seconds, checked
        )
    except NoHypothesisError as nothing:
        return CalibrationDraw(
            index, "no region", math.nan, math.nan, math.nan, None, time.perf_counter() - start,
            message=str(nothing),
        )  # fmt: skip
    except Exception as problem:
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
        return CalibrationDraw(
            index, "failed", 0.0, 0.0, math.nan, None, time.perf_counter() - start, message=text
        )


def _null_true(result: Any, truth: NDArray[np.float64] | None) -> bool | None:
    line = getattr(result, "line", None)
    if truth is None or line is None:
        return None
    eta = np.array([float(v) for v in line.eta])
    if len(eta) != len(truth):
        return None
    return abs(float(eta @ truth) - float(result.null_value)) <= TRUE_WITHIN * float(result.sd)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
