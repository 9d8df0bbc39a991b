"""One audited case: everything that went in, and how it becomes a result and a certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from inference.certificate import Certificate, Parts
from inference.engines import Decided
from inference.event_words import event_in_words
from inference.hypothesis import Contrast, Hypothesis
from inference.laws.estimates import Estimates, estimates
from inference.laws.law import Law, sqrt_float
from inference.laws.p_value import PValue
from inference.laws.scale import ScaleRange, scale_range
from inference.line import ExactLine
from inference.noise import Noise
from inference.noise_provenance import sample_warnings
from inference.noise_sample import NoiseSample
from inference.observe import Observation, centre
from inference.options import Extras
from inference.prepare import PATTERN, Audited
from inference.randomisation import Drawn
from inference.result import InferenceResult
from inference.runtime_agreement import compare
from inference.score_hypotheses import BackMeanDiff
from symbolic.errors import TieError
from symbolic.reading.arrays import rounded_to_graph_type
from symbolic.reading.static_shapes import free_inputs
from verifier.cells import Cell, covering
from verifier.goal import Goal

__all__ = ["Case", "refuse_tie"]


STRUCTURED = -13.8
"""Logarithm of the p-value (one in a million) of a flat background, below which a reader is warned."""
AT_AN_END = 2.0**-36
"""Standard deviations: what is nearer to the observed point is next to it. The search stops even closer."""


def refuse_tie(cells: Sequence[Cell]) -> None:
    """Raise TieError if the observed point is not in the closure of the interior of the truncation set."""
    touching = [c for c in cells if c.lo <= 0 <= c.hi]
    if touching and all(c.verdict == "outside" for c in touching):
        raise TieError(
            "the observed input lies on an accidental tie: the selection holds there but nowhere near it on "
            "the line, so the selective p-value is not defined; change the threshold, or add noise of known "
            "variance to the input."
        )


def _at_an_end(cells: Sequence[Cell], unit: float) -> bool:
    """Whether on one side the cell next to the observed point is without the selection, as of one standard
    deviation (`unit`).
    """
    if any(c.verdict == "inside" and c.lo < 0 < c.hi for c in cells):
        return False
    for side in (-1, 1):
        ends = [(min(side * c.lo, side * c.hi), c.verdict) for c in cells if c.verdict != "gap"]
        near, verdict = min(((e, v) for e, v in ends if e >= 0), default=(math.inf, ""))
        if verdict == "outside" and near < AT_AN_END * unit:
            return True
    return False


@dataclass(frozen=True)
class Case:
    """What an audit was about; the attributes are those of the certificate's entries."""

    hypothesis: Hypothesis
    audited: Audited
    arrays: dict[str, NDArray[Any]]
    reference: NDArray[Any] | None
    noise: Noise
    law: Law
    line: ExactLine
    seen: Observation
    contrast: Contrast
    mode: str
    drawn: Drawn | None
    extras: Extras
    sample: NoiseSample | None = None

    @property
    def inserted(self) -> bool:
        """Whether an estimated variance is inserted as if it were known."""
        estimated = self.sample is not None or self.noise.degrees_of_freedom is not None
        return estimated and self.law.family not in ("t", "f", "berger-boos")

    @property
    def named(self) -> list[tuple[str, NDArray[Any]]]:
        """The event: output names and values."""
        return list(zip(self.audited.outputs, self.seen.observed, strict=True))

    def result(self, found: Decided, goal: Goal, started: float) -> InferenceResult:
        """Turn the cells of a search into a result."""
        found = replace(found, cells=covering(found.cells))  # beyond what was searched there is no claim
        p = self.law.p_value(found.cells)
        estimated = self._estimates(found)
        factors = self._factors(found, goal.alpha)
        decided = p.decision(goal.alpha) if goal.stop == "decision" else "undecided"
        decision = None if decided == "undecided" else (goal.alpha, decided)
        certificate = Certificate(
            replace(self._parts(found, p), estimates=estimated, robustness=factors, decision=decision)
        )
        return InferenceResult(
            stat=self._stat(),
            p=p,
            law=self.law,
            noise=self.noise,
            estimates=estimated,
            scale_range=factors,
            line=self.line,
            cell_list=found.cells,
            ends=found.ends,
            engine=found.engine,
            compared=found.compared,
            alternative=self.law.alternative,
            null_value=self.law.null,
            roi=self.contrast.roi,
            non_roi=self.contrast.non_roi,
            score_map=self._score_map(),
            output=self._outputs(),
            search_count=found.evaluations,
            ended_by=found.ended_by,
            seconds=time.perf_counter() - started,
            warnings=(*self.audited.warnings, *self._warnings(found, goal, p)),
            exactness=self.audited.network.exactness,
            event=event_in_words(
                self.audited, self._spec(), dict(self.named), self.mode == "over_conditioning"
            ),
            certificate=certificate,
            run_runtime=lambda: compare(self.audited.proto, self.arrays, self.named),
        )

    def _stat(self) -> float:
        """The statistic; of several contrasts their length."""
        if self.contrast.rows:
            return sqrt_float(self.line.square)
        return float(getattr(self.law, "tested", self.law.stat))

    def _estimates(self, found: Decided) -> Estimates | None:
        if self.extras.level is None:
            return None
        return estimates(self.law, found.cells, self.extras.level, self.law.alternative)

    def _factors(self, found: Decided, alpha: Fraction) -> ScaleRange | None:
        if not self.extras.robustness:
            return None
        return scale_range(self.law, found.cells, alpha)  # type: ignore[arg-type]

    def _score_map(self) -> NDArray[Any] | None:
        score = centre(self.seen.shown.get(self.audited.score or ""))
        if score is None:
            return None
        if getattr(self.hypothesis, "use_norm", False) and score.max() > score.min():
            score = (score - score.min()) / (score.max() - score.min())
        return np.asarray(score).squeeze()

    def _outputs(self) -> Any:
        values = [centre(self.seen.shown.get(name)) for name in self.audited.model_outputs]
        return values[0] if len(values) == 1 else values

    def _warnings(self, found: Decided, goal: Goal, p: PValue) -> list[str]:
        messages = []
        for value in free_inputs(self.audited.proto.graph):
            kind = value.type.tensor_type.elem_type
            if rounded_to_graph_type(self.arrays[value.name], kind, value.name)[1]:
                messages.append(
                    f"{value.name} is more precise than the model's input type: the certificate is about the "
                    "array as given, a runtime gets it rounded."
                )
        if isinstance(self.hypothesis, BackMeanDiff):
            messages += self._structured()
        if self.inserted:
            messages.append(
                "the variance was estimated, and is inserted as known: p is conditional on it, and rejects "
                "too often if it is too small."
            )
        if self.sample is not None:
            messages += sample_warnings(self.sample, p.sup_p)
        if _at_an_end(found.cells, self.law.sd / float(self.line.scale)):
            messages.append(
                "the observed input lies on a tie, or within 2e-11 standard deviations of one: there the "
                "truncation set ends, so p is 0 or 1, or nearly so. With continuous noise that never "
                "happens; with data on a grid p means nothing: change the threshold, or add noise of known "
                "variance to the input."
            )
        elif found.ended_by == "budget":
            messages.append(
                "the search ended at its budget (max_iter, or memory) before its goal; the bounds are valid "
                "but wider than asked for."
            )
        elif goal.stop == "precision" and not goal.narrow(p.inf_p, p.sup_p):
            messages.append(
                "what is still undecided could not be decided; the bounds are valid but wider than asked for."
            )
        return messages

    def _structured(self) -> list[str]:
        """Whether the background varies far more than noise: its mean is then no null hypothesis."""
        outside, x = self.contrast.non_roi, self.arrays[self.audited.network.moving]
        if outside is None or outside.size != x.size or outside.sum() < 3:
            return []
        values = x.reshape(-1)[outside.reshape(-1)]
        every = self.noise.variances
        variance = float(every[outside.reshape(-1)].max() if len(every) > 1 else every[0])
        ratio = float(np.var(values, ddof=1)) / variance
        if not chi2.logsf(ratio * (len(values) - 1), len(values) - 1) < STRUCTURED:
            return []
        return [
            f"outside the region the input varies {ratio:.3g} times as much as its noise: it is no flat "
            "field, and "
            "H0, that the region has the mean of the rest, is likely false without any defect; compare "
            "with a "
            "reference."
        ]

    def _spec(self) -> dict[str, Any]:
        """The certificate's entry of the hypothesis."""
        spec = self.hypothesis.spec()
        if spec["name"] == "custom":
            spec["outputs"] = [name for name, _ in self.named if not name.startswith(PATTERN)]
        else:
            spec["mask"] = self.audited.mask is not None
            if self.audited.given:
                spec["given"] = list(self.audited.given)
        return spec

    def _parts(self, found: Decided, p: PValue) -> Parts:
        given = self.hypothesis.eta_is_given
        dof = self.noise.degrees_of_freedom
        declared: dict[str, Any] = {
            "kind": self.noise.kind,
            "source": self.noise.source,
            "degrees_of_freedom": None if dof is None else str(dof),
        }
        if self.noise.value is not None:
            declared["value"] = str(self.noise.value)
        return Parts(
            audited=self.audited.proto,
            model=self.audited.entry,
            inputs=list(self.arrays.items()),
            reference=self.reference,
            hypothesis=self._spec(),
            eta=(self.contrast.rows or self.line.eta) if given else None,
            conditioning="activation_pattern" if self.mode == "over_conditioning" else "selection",
            noise=declared,
            covariance=self.noise.array,
            law=self.law.spec(),
            observed=self.named,
            scale=self.line.scale,
            cells=found.cells,
            claim={"stat": str(self.line.square if self.contrast.rows else self.law.stat), **p.decimals},
            drawn=self.drawn,
            ends=[(end.lo, end.output, end.element) for end in found.ends if end.exact],
        )
