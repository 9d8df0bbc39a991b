"""The audit: from a model, an input and a hypothesis to a certified selective p-value."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.case import Case, refuse_tie
from inference.decide import decide_line
from inference.engines import Decided, Engine, require_engine
from inference.estimated_noise import EstimatedNoise
from inference.hypothesis import Hypothesis, Selection
from inference.inputs import read_inputs, require_real_input
from inference.laws.law import Law
from inference.laws.p_value import Alternative
from inference.migration import warn_ignored
from inference.noise import Noise
from inference.noise_provenance import require_usable
from inference.observe import observe
from inference.options import Criterion, Extras, Mode, goal_of
from inference.prepare import Audited, needed_outputs, prepare
from inference.progress import reporter, shower
from inference.randomisation import Drawn, Randomised
from inference.result import InferenceResult
from inference.score_hypotheses import EMPTY, PresetHypothesis
from inference.searching import SearchOptions
from inference.sharpening import sharpened
from inference.statistic import Asked, LawName, line_and_law
from inference.truncation import TruncationSet, truncation_set
from symbolic.errors import (
    BudgetError,
    EngineError,
    NoHypothesisError,
    OptionError,
    enough_memory,
)
from symbolic.explanations.explained import Explained
from symbolic.network import require_supported
from symbolic.reading.arrays import (
    as_exact_array,
    fractions_of,
)
from symbolic.reading.exact import exact_number
from symbolic.reading.loading import load_model
from symbolic.trial import try_out
from verifier.cells import covering
from verifier.strategy import STRATEGIES, Strategy

__all__ = ["SelectiveInferenceModel", "TruncationSet", "audit", "load", "truncation_set"]

Model = str | os.PathLike[str] | onnx.ModelProto | Explained


def load(
    model: Model | None,
    hypothesis: Hypothesis,
    seed: int | None = None,
    memoization: bool | None = None,
) -> SelectiveInferenceModel:
    """Load a model for auditing.

    Parameters
    ----------
    model : path, onnx.ModelProto or Explained
        The network (None if ``hypothesis`` is a Selection with a graph of its own).
    hypothesis : Hypothesis
        BackMeanDiff, NeighborMeanDiff, ReferenceMeanDiff or Selection.
    seed : int, optional
        Random nodes are drawn once from it and frozen.
    memoization : bool, optional
        Without meaning here; accepted for scripts written for si4onnx.

    Raises
    ------
    ModelError
        The file is not a network that can be audited.
    """
    if memoization is not None:
        warn_ignored(memoization=memoization)
    return SelectiveInferenceModel(model, hypothesis, seed)


def audit(
    model: Model | None,
    x: Any,
    *,
    hypothesis: Hypothesis,
    var: Any,
    seed: int | None = None,
    **options: Any,
) -> InferenceResult:
    """Load and infer in one call; see :func:`load` and :meth:`SelectiveInferenceModel.inference`."""
    return load(model, hypothesis, seed).inference(x, var, **options)


class SelectiveInferenceModel:
    """A loaded model with a hypothesis; made by :func:`load`."""

    def __init__(
        self,
        model: Model | None,
        hypothesis: Hypothesis,
        seed: int | None = None,
    ) -> None:
        if not isinstance(hypothesis, Hypothesis):
            raise OptionError(
                "hypothesis should be one of Sureline's, such as BackMeanDiff(...), "
                "ReferenceMeanDiff(...) or "
                "Selection(...)."
            )
        if model is None and isinstance(hypothesis, Selection):
            model = hypothesis.graph
        if model is None:
            raise OptionError("give a model: a path or an onnx.ModelProto.")
        self.loaded = load_model(model.proto if isinstance(model, Explained) else model)
        if isinstance(hypothesis, PresetHypothesis):
            hypothesis = hypothesis.of_model(self.loaded.proto)
        self.hypothesis, self.seed = hypothesis, seed
        require_real_input(self.loaded.proto, hypothesis.i_idx)
        needed = needed_outputs(self.loaded.proto, hypothesis)
        require_supported(self.loaded.proto, needed)
        try_out(self.loaded.proto, needed or ())
        self._prepared: dict[Any, Audited] = {}

    @enough_memory()
    def inference(
        self,
        x: Any,
        var: Any,
        mask: Any = None,
        *,
        inference_mode: Mode = "parametric",
        termination_criterion: Criterion = "precision",
        precision: float | str | Fraction = 1e-6,
        significance_level: float | str | Fraction = "0.05",
        max_iter: int = 100_000,
        alternative: Alternative | None = None,
        null_value: float | str | Fraction = 0,
        null_margin: float | str | Fraction = 0,
        law: LawName | None = None,
        degrees_of_freedom: float | str | Fraction | None = None,
        noise_source: str | None = None,
        randomisation: Randomised | None = None,
        confidence_level: float | str | Fraction | None = None,
        robustness: bool = False,
        budget: int = 2**30,
        engine: Engine = "auto",
        search_strategy: Strategy = "mass",
        exact_ends: bool | None = None,
        smt_folder: str | os.PathLike[str] | None = None,
        progress: bool | Callable[[str], None] = False,
        **ignored: Any,
    ) -> InferenceResult:
        """Audit one input.

        Parameters
        ----------
        x : array_like, or list or tuple of them
            The input; a list in the order of the model's inputs if it has several; for ReferenceMeanDiff the
            pair (x, reference).
        var : number, str, Fraction, array_like, or EstimatedNoise
            Covariance of the noise: a scalar, one variance per element, or a matrix; or what an estimator
            returned. A float is the binary number it is; "0.1" is one tenth.
        mask : array_like of bool, optional
            Elements that may be selected or compared.
        inference_mode : "parametric", "exhaustive" or "over_conditioning"
            Search until the criterion is met; search the whole line; or condition on the activation pattern
            too.
        termination_criterion : "precision" or "decision"
            Stop when the p enclosure is narrow, or on one side of ``significance_level``.
        precision : float
            Width of the certified enclosure (below p = 1e-3 also one per cent relative).
        significance_level : float
            Level of the decision.
        max_iter : int
            Evaluations after which the search ends with a valid, wider enclosure.
        alternative : "two-sided", "less" or "greater", optional
            With SciPy's meaning: "greater" says that the contrast is greater than ``null_value``. Default:
            two-sided; of several contrasts greater.
        null_value, null_margin : number
            H0: the contrast differs from ``null_value`` by at most ``null_margin``, in the units of the
            statistic.
        law : "normal", "t" or "berger-boos", optional
            Default: the exact t law if the variance was estimated (F of several contrasts), else normal. With
            "normal" an estimated variance is inserted as known; "berger-boos" takes the greatest p over a
            confidence set of the variance.
        degrees_of_freedom : number, optional
            Of an estimated ``var``: degrees_of_freedom var / (true variance) is chi-square, independent of
            the input.
        noise_source : str, optional
            Where the variance comes from, for the certificate.
        randomisation : Randomised or Fission, optional
            Select at the input plus noise of the auditor's.
        confidence_level : number, optional
            Also certify a confidence interval at this level, and point estimates.
        robustness : bool
            Also certify for which factors of the variance the decision at ``significance_level`` is the same.
        budget : int
            Bytes of working memory beyond the weights; where they do not allow for one evaluation, p is
            enclosed by [0, 1].
        engine : "auto", "search", "sweep", "z3", "cvxpy" or "all"
            What decides the line; "all" runs every engine that can and compares them.
        search_strategy : "mass", "pi1", "pi2" or "pi3"
            What the search looks at first: the greatest null mass, or as in the bounded p-value paper
            (Shiraishi et al., 2023) what is nearest to the observed value, or what a searched interval
            around the mode or the observed value grows into. The sweep takes the greatest null mass.
        exact_ends : bool, optional
            Whether the end points of the truncation set become exact rational numbers, where the network is
            piecewise linear with rational constants. Default: up to 100,000 units (beyond, each costs
            seconds, and is otherwise a bracket of about 1e-14).
        smt_folder : path, optional
            Where the z3 engine writes what it proved, as SMT-LIB files that another solver can repeat.
        progress : bool or callable
            Show progress on a terminal, or get each message as a string.

        Returns
        -------
        InferenceResult

        Raises
        ------
        InputError, NoiseError, OptionError, NoHypothesisError, TieError, BudgetError, EngineError
        """
        if ignored:
            warn_ignored(**ignored)
        goal = goal_of(inference_mode, termination_criterion, precision, significance_level, max_iter)
        require_engine(engine, smt_folder)
        if search_strategy not in STRATEGIES:
            raise OptionError(
                f"search_strategy is {search_strategy!r}; choose one of {', '.join(STRATEGIES)}."
            )
        asked = Asked(
            alternative,
            exact_number(null_value, "null_value", error=OptionError),
            exact_number(null_margin, "null_margin", error=OptionError),
            law,
        )
        extras = Extras.of(confidence_level, robustness)
        arrays, reference = read_inputs(self.loaded.proto, self.hypothesis, x)
        started = time.perf_counter()
        moving = list(arrays)[self._tested_index(arrays)]
        parts = [arrays[moving]] if reference is None else [arrays[moving], reference]
        noise = Noise.of(
            var,
            sum(p.size for p in parts),
            halves=reference is not None,
            second=self.hypothesis.scale_of_reference,
            source=noise_source,
        )
        if isinstance(var, EstimatedNoise):
            require_usable(var, parts)
            if degrees_of_freedom is not None and var.degrees_of_freedom is not None:
                raise OptionError(
                    "degrees_of_freedom are given twice: the estimate of the noise holds them already."
                )
        if degrees_of_freedom is not None:
            noise = noise.estimated(degrees_of_freedom)
        drawn = None
        if randomisation is not None:
            if not isinstance(randomisation, Randomised):
                raise OptionError(
                    f"randomisation is {randomisation!r}; give sureline.Randomised or sureline.Fission."
                )
            if noise.degrees_of_freedom is not None:
                raise OptionError(
                    "randomisation needs a known variance: noise of an estimated one is not independent of "
                    "what is tested."
                )
            drawn = Drawn.of(randomisation, noise, parts)
            arrays = arrays | {moving: drawn.audited[0]}
            reference = None if reference is None else drawn.audited[1]
            parts = list(drawn.audited)
        audited = self._audited(arrays, mask, inference_mode == "over_conditioning")
        tested = fractions_of(arrays[moving].reshape(-1))
        seen = observe(audited, arrays, tested)
        contrast = self.hypothesis.contrast(seen.observed[: audited.primary], audited.mask, len(tested))
        noisy = [v for part in parts for v in fractions_of(part.reshape(-1))]
        line, null_law = line_and_law(noisy, contrast, noise, asked, drawn)
        extras.require(null_law)
        show = shower(progress)
        options = SearchOptions(
            law=null_law,
            goal=goal,
            reach=null_law.reach,
            budget=budget,
            progress=reporter(show),
            show=show,
            engine=engine,
            exact_ends=exact_ends,
            smt_folder=smt_folder,
            strategy=search_strategy,
        )
        case = Case(
            self.hypothesis,
            audited,
            arrays,
            reference,
            noise,
            null_law,
            line,
            seen,
            contrast,
            inference_mode,
            drawn,
            extras,
            var.sample if isinstance(var, EstimatedNoise) else None,
        )
        if drawn is not None and drawn.fission:
            return case.result(Decided(covering(()), 0, "exhaustive"), goal, started)

        def decided(law: Law) -> Decided:
            low, high = law.support
            chosen = replace(options, law=law, reach=law.reach, lo=low, hi=high)
            return decide_line(audited, arrays, tested, line.beta[: len(tested)], seen, chosen)

        try:
            try:
                found = decided(null_law)
            except BudgetError:  # nothing can be looked at: p is somewhere in [0, 1]
                return case.result(Decided(covering(()), 0, "budget"), goal, started)
            if extras.level is not None and engine != "all":
                found = sharpened(found, null_law, extras.level, decided)
        except EngineError as error:
            error.certificates = {
                engine: case.result(one, goal, started).certificate for engine, one in error.found.items()
            }
            raise
        refuse_tie(found.cells)
        return case.result(found, goal, started)

    def inference_each(
        self, x: Any, var: Any, mask: Any = None, *, by: str = "component", **options: Any
    ) -> list[InferenceResult]:
        """Audit every part of the region that the network marks, given all of it.

        Parameters
        ----------
        x, var, mask
            As in :meth:`inference`.
        by : "component", "channel" or "sign"
            Connected components; channels; or, of a signed selection, both signs.
        **options
            As in :meth:`inference`.

        Returns
        -------
        list of InferenceResult
            One per part, each with a certificate of its own. They are p-values of one image: adjust them with
            :func:`sureline.adjust`, by Holm or Benjamini-Yekutieli.

        Raises
        ------
        OptionError
            If the hypothesis has no such parts.
        """
        hypothesis = self.hypothesis
        if not isinstance(hypothesis, PresetHypothesis):
            raise OptionError(f"{type(hypothesis).__name__} marks no region of several parts.")
        arrays, _ = read_inputs(self.loaded.proto, self.hypothesis, x)
        audited = self._audited(arrays, mask, options.get("inference_mode") == "over_conditioning")
        tested = fractions_of(arrays[audited.network.moving].reshape(-1))
        if options.get("randomisation") is not None:
            raise OptionError(
                "every part of a randomised selection would be drawn anew: audit the parts one by one."
            )
        observed = observe(audited, arrays, tested).observed[: audited.primary]
        if not any(np.asarray(o).any() for o in observed):
            raise NoHypothesisError(EMPTY)
        found = []
        try:
            for self.hypothesis in hypothesis.parts(observed, by):
                found.append(self.inference(x, var, mask, **options))
        finally:
            self.hypothesis = hypothesis
        return found

    def _tested_index(self, arrays: dict[str, NDArray[Any]]) -> int:
        """Which input moves."""
        names, i = list(arrays), self.hypothesis.i_idx
        if not isinstance(i, (int, np.integer)) or not 0 <= i < len(names):
            raise OptionError(f"i_idx is {i!r}, but the model has {len(names)} inputs ({', '.join(names)}).")
        return int(i)

    def _audited(self, arrays: dict[str, NDArray[Any]], mask: Any, pattern: bool) -> Audited:
        """The audited graph, from memory if only the tested input's values are new."""
        i = self._tested_index(arrays)
        digest = hashlib.sha256()
        for k, (name, array) in enumerate(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            if k != i:
                digest.update(np.ascontiguousarray(array).tobytes())
        mask_array = None if mask is None else as_exact_array(mask, "mask")
        if mask_array is not None:
            digest.update(f"{mask_array.shape}".encode() + (mask_array != 0).tobytes())
        key = (digest.hexdigest(), pattern)
        if key not in self._prepared:
            self._prepared.clear()
            self._prepared[key] = prepare(
                self.loaded, self.hypothesis, arrays, mask_array, self.seed, pattern
            )
        return self._prepared[key]
