"""What an audit returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.certificate import Certificate
from inference.digits import at_least, at_most
from inference.ends import EndPoint, summary
from inference.engines import Comparison
from inference.laws.estimates import Estimates
from inference.laws.law import Law
from inference.laws.p_value import Alternative, Decision, PValue
from inference.laws.scale import ScaleRange
from inference.laws.scipy_laws import scipy_law
from inference.line import ExactLine
from inference.noise import Noise
from inference.runtime_agreement import Agreement
from symbolic.exactness import Exactness
from verifier.cells import Cell, End, joined

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen

__all__ = ["InferenceResult"]


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """A certified selective p-value and what it rests on.

    Attributes
    ----------
    stat : float
        The test statistic eta' x in the units of the input (nearest double; exact: ``law.stat``); of several
        contrasts their length T in standard deviations.
    p : PValue
        The enclosure; ``p_value`` is its upper end.
    law : Law
        The null law of the statistic, before the truncation.
    noise : Noise
        The declared covariance, and where it comes from.
    estimates : Estimates or None
        Confidence interval and point estimates, if ``confidence_level`` was given.
    scale_range : ScaleRange or None
        The variance factors with the same decision, if ``robustness`` was asked for and there is a decision.
    line : ExactLine
        Contrast, statistic and direction, exactly.
    cell_list : tuple of Cell
        Cells that cover the line, in the coordinate t.
    alternative : str
        "two-sided", "less" or "greater", with SciPy's meaning.
    null_value : Fraction
        In the units of ``stat``.
    roi, non_roi : ndarray
        The region and what it is compared with.
    score_map, output : ndarray
        The map that was compared with the threshold, and the model's output (a list if there are several), to
        float64 accuracy.
    ends : tuple of EndPoint
        Of the truncation set, in the coordinate t.
    engine : str
        Which engine decided the line.
    compared : tuple of Comparison
        What every engine made of it, with engine="all".
    ended_by : str
        "precision", "decision", "exhaustive", "budget" or "interrupted".
    seconds : float
        Of the audit, without loading the model.
    exactness : Exactness
        Whether the network is piecewise linear with rational numbers, and which nodes are not.
    warnings : tuple of str
        What a reader of the number must know.
    event : str
        What p is conditional on, in words.
    certificate : Certificate
        ``certificate.save(folder)`` writes the proof.
    """

    stat: float
    p: PValue
    law: Law
    noise: Noise
    estimates: Estimates | None
    scale_range: ScaleRange | None
    line: ExactLine
    cell_list: tuple[Cell, ...]
    ends: tuple[EndPoint, ...]
    engine: str
    compared: tuple[Comparison, ...]
    alternative: Alternative
    null_value: Fraction
    roi: NDArray[Any]
    non_roi: NDArray[Any] | None
    score_map: NDArray[Any] | None
    output: Any
    search_count: int
    ended_by: str
    seconds: float
    warnings: tuple[str, ...]
    exactness: Exactness
    event: str
    certificate: Certificate
    run_runtime: Callable[[], Agreement] = field(repr=False)

    @property
    def p_value(self) -> float:
        """The upper bound: rejecting when it is at most alpha is valid whatever stopped the search."""
        return self.p.sup_p

    @property
    def inf_p(self) -> float:
        """Lower bound of the selective p-value, rounded down."""
        return self.p.inf_p

    @property
    def sup_p(self) -> float:
        """Upper bound of the selective p-value, rounded up."""
        return self.p.sup_p

    @property
    def log_inf_p(self) -> float:
        """Natural logarithm of the lower bound, rounded down."""
        return self.p.log_inf_p

    @property
    def log_sup_p(self) -> float:
        """Natural logarithm of the upper bound, rounded up."""
        return self.p.log_sup_p

    @property
    def gap_mass(self) -> float:
        """Upper bound of the null share of undecided cells among undecided and inside ones."""
        return self.p.gap_mass

    @property
    def cells(self) -> int:
        """Number of cells of the certificate that carry a claim."""
        return sum(cell.verdict != "gap" for cell in self.cell_list)

    @property
    def detect_count(self) -> int:
        """Number of cells with the observed selection."""
        return sum(cell.verdict == "inside" for cell in self.cell_list)

    @cached_property
    def truncated_intervals(self) -> list[tuple[End, End]]:
        """The truncation set in units of ``stat``: pairs of Fraction, -inf or inf on open rays."""
        return [(self.line.z(a), self.line.z(b)) for a, b in joined(self.cell_list, "inside")]

    @cached_property
    def end_points(self) -> list[EndPoint]:
        """The finite ends of the truncation set in units of ``stat``: exact rationals with what binds there,
        or brackets."""
        return [replace(end, lo=self.line.at(end.lo), hi=self.line.at(end.hi)) for end in self.ends]

    @cached_property
    def searched_intervals(self) -> list[tuple[End, End]]:
        """The complement of the gaps, in units of ``stat``."""
        return [(self.line.z(a), self.line.z(b)) for a, b in joined(self.cell_list, "inside", "outside")]

    @property
    def runtime(self) -> Agreement:
        """What ONNX Runtime made of the same graph and input (run on first use, in a process of its own)."""
        return self._runtime

    @cached_property
    def _runtime(self) -> Agreement:
        return self.run_runtime()

    @property
    def runtime_agrees(self) -> bool | None:
        """Whether ONNX Runtime selects the same; None if it could not run the graph."""
        return self.runtime.agrees

    @property
    def sd(self) -> float:
        """Standard deviation of the statistic under the declared noise."""
        return self.law.sd

    @property
    def null_rv(self) -> rv_frozen:
        """The unconditional null law of ``stat``, as a SciPy distribution."""
        return scipy_law(self.law)

    def naive_p_value(self) -> float:
        """p-value that ignores the selection (not valid; a float64 approximation)."""
        return float(np.exp(self.law.naive_log_p()))

    def bonferroni_p_value(self, log_num_comparisons: float) -> float:
        """The naive p-value times a number of comparisons given by its logarithm, at most 1."""
        return float(np.exp(min(0.0, self.law.naive_log_p() + log_num_comparisons)))

    def decision(self, alpha: float | Fraction | str = 0.05) -> Decision:
        """ "reject" if sup_p <= alpha, "accept" (do not reject) if inf_p > alpha, else "undecided"."""
        return self.p.decision(Fraction(alpha))

    def __str__(self) -> str:
        intervals = ", ".join(f"[{float(a):.6g}, {float(b):.6g}]" for a, b in self.truncated_intervals[:6])
        more = len(self.truncated_intervals) - 6
        lines = [
            f"stat                 {self.stat:.6g}   (sd {self.sd:.6g}, {self.law.family}, "
            f"{self.alternative})",
            f"selective p-value    {at_least(self.sup_p)}   certified in [{at_most(self.inf_p, 9)}, "
            f"{at_least(self.sup_p, 9)}]",
            *(
                []
                if self.law.family == "fission"  # what is tested has no part in the selection
                else [f"naive p-value        {self.naive_p_value():.6g}   (not valid after selection)"]
            ),
            f"truncation set       {intervals}{f' and {more} more' if more > 0 else ''}",
            f"end points           {summary(self.end_points)}",
            f"cells                {self.cells} ({self.search_count} evaluated, ended by {self.ended_by}, "
            f"{self.seconds:.3g} s)",
            f"network              {self.exactness}",
            f"noise                {self.noise}",
        ]
        if self.estimates is not None:
            lines += str(self.estimates).split("\n")
        if self.scale_range is not None:
            lines.append(f"variance factor      {self.scale_range}")
        return "\n".join(lines + [f"warning: {w}" for w in self.warnings])
