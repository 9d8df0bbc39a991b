"""What other covariances would say: each moves the line, so each is an audit of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from inference.audit import SelectiveInferenceModel
from inference.digits import at_least, at_most
from inference.laws.p_value import Decision
from inference.result import InferenceResult
from symbolic.errors import OptionError
from symbolic.reading.exact import exact_number

__all__ = ["OtherNoise", "under_other_noise"]


@dataclass(frozen=True, eq=False)
class OtherNoise:
    """One audit per covariance. These are samples of what the noise might be: nothing is proved between them.

    Attributes
    ----------
    results : dict of str to InferenceResult
        By the name of the covariance.
    level : Fraction
    """

    results: dict[str, InferenceResult]
    level: Fraction

    @property
    def decisions(self) -> dict[str, Decision]:
        """The decision under each of them."""
        return {name: result.decision(self.level) for name, result in self.results.items()}

    @property
    def agree(self) -> bool:
        """Whether all of them decide the same."""
        found = set(self.decisions.values())
        return len(found) == 1 and "undecided" not in found

    def __str__(self) -> str:
        width = max(len(name) for name in self.results)
        lines = [
            f"{name:<{width}}  p in [{at_most(result.inf_p)}, {at_least(result.sup_p)}]  {decision}"
            for (name, result), decision in zip(self.results.items(), self.decisions.values(), strict=True)
        ]
        verdict = "the same decision under all" if self.agree else "NOT the same decision under all"
        return "\n".join(
            [*lines, f"{verdict} {len(lines)} covariances (sampled: nothing is proved between them)"]
        )


def under_other_noise(
    test: SelectiveInferenceModel,
    x: Any,
    covariances: Mapping[str, Any],
    *,
    significance_level: float | str | Fraction = "0.05",
    **options: Any,
) -> OtherNoise:
    """Audit one input under several named covariances.

    Parameters
    ----------
    test : SelectiveInferenceModel
        As `load` returns it.
    x : array_like
        The input, as for an audit.
    covariances : mapping of str to number, array_like or EstimatedNoise
        By name; each as ``var`` of an audit.
    significance_level : number
        Level of the decisions that are compared.
    **options
        Of every audit.
    """
    if not isinstance(covariances, Mapping):
        raise OptionError("covariances should be a mapping from names to covariances.")
    if not covariances:
        raise OptionError("covariances is empty; name at least one.")
    level = exact_number(significance_level, "significance_level", error=OptionError)
    results = {
        str(name): test.inference(x, var, significance_level=level, **options)
        for name, var in covariances.items()
    }
    return OtherNoise(results, level)
