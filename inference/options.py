"""What an audit is asked for, beside the question: when it stops, and what else is certified."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from inference.laws.composite import CompositeLaw
from inference.laws.estimates import with_null
from inference.laws.law import Law
from symbolic.errors import OptionError
from symbolic.reading.exact import exact_number
from verifier.goal import Goal

__all__ = ["Criterion", "Extras", "Mode", "goal_of"]

Mode = Literal["parametric", "exhaustive", "over_conditioning"]
Criterion = Literal["precision", "decision"]


@dataclass(frozen=True)
class Extras:
    """What is certified beside p.

    Attributes
    ----------
    level : Fraction or None
        Of a confidence interval.
    robustness : bool
        The variance factors with the same decision.
    """

    level: Fraction | None
    robustness: bool

    @classmethod
    def of(cls, confidence_level: Any, robustness: bool) -> Extras:
        """Read the options."""
        if confidence_level is None:
            return cls(None, robustness)
        level = exact_number(confidence_level, "confidence_level", error=OptionError)
        if not 0 < level < 1:
            raise OptionError(f"confidence_level is {confidence_level}; it must be between 0 and 1.")
        return cls(level, robustness)

    def require(self, law: Law) -> None:
        """Raise OptionError before the search for what does not go with the law."""
        if self.level is not None:
            if isinstance(law, CompositeLaw):
                raise OptionError(
                    "confidence_level and null_margin do not go together: read the interval instead."
                )
            with_null(law)
        plain = law.family in ("normal", "fission") and not isinstance(law, CompositeLaw)
        if self.robustness and not plain:
            raise OptionError(
                "robustness asks for which variances the decision is the same: it goes with the normal law "
                "of one contrast, without null_margin and without noise that was added (the t law does not "
                "depend on the variance)."
            )


def goal_of(mode: str, criterion: str, precision: object, alpha: object, most: int) -> Goal:
    """When the search stops, after a look at the options."""
    width = exact_number(precision, "precision", error=OptionError)
    level = exact_number(alpha, "significance_level", error=OptionError)
    if not 1e-300 < width < 1:
        raise OptionError(f"precision is {precision}; it must be between 1e-300 and 1.")
    if not 0 < level < 1:
        raise OptionError(f"significance_level is {alpha}; it must be between 0 and 1.")
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or most < 1:
        raise OptionError(f"max_iter is {most!r}; it must be a positive integer.")
    if mode not in ("parametric", "exhaustive", "over_conditioning"):
        raise OptionError(f"inference_mode is {mode!r}; choose parametric, exhaustive or over_conditioning.")
    if criterion not in ("precision", "decision"):
        raise OptionError(f"termination_criterion is {criterion!r}; choose precision or decision.")
    stop: Any = "exhaustive" if mode == "exhaustive" else criterion
    return Goal(stop, float(width), level, int(most))
