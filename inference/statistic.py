"""From the contrast and the noise to the line and the law of the statistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from inference.hypothesis import Contrast
from inference.laws.chi import ChiLaw, FisherLaw
from inference.laws.composite import CompositeLaw
from inference.laws.law import Law
from inference.laws.normal import NormalLaw
from inference.laws.p_value import ALTERNATIVES, Alternative
from inference.laws.randomised import RandomisedLaw
from inference.laws.scale import BergerBoosLaw
from inference.laws.student import StudentLaw
from inference.line import ExactLine, line_of, line_of_length
from inference.noise import Noise
from inference.randomisation import Drawn, FissionLaw
from symbolic.errors import NoiseError, OptionError

__all__ = ["LAWS", "Asked", "LawName", "line_and_law"]

LawName = Literal["normal", "t", "berger-boos"]
LAWS: tuple[LawName, ...] = ("normal", "t", "berger-boos")


@dataclass(frozen=True)
class Asked:
    """What is asked about the statistic.

    Attributes
    ----------
    alternative : str or None
        None: "two-sided", or "greater" of several contrasts.
    null, margin : Fraction
        H0: |eta' mu - null| <= margin.
    law : str or None
        None: "t" if the variance was estimated, else "normal".
    """

    alternative: Alternative | None
    null: Fraction
    margin: Fraction
    law: LawName | None

    def __post_init__(self) -> None:
        if self.alternative is not None and self.alternative not in ALTERNATIVES:
            raise OptionError(
                f"alternative is {self.alternative!r}; choose one of {', '.join(ALTERNATIVES)}."
            )
        if self.law is not None and self.law not in LAWS:
            raise OptionError(f"law is {self.law!r}; choose one of {', '.join(LAWS)}.")
        if self.margin < 0:
            raise OptionError(f"null_margin is {self.margin}; it must not be negative.")


def line_and_law(
    observed: Sequence[Fraction], contrast: Contrast, noise: Noise, asked: Asked, drawn: Drawn | None
) -> tuple[ExactLine, Law]:
    """The line of the audited noise vector, and the null law along it.

    Parameters
    ----------
    observed : sequence of Fraction
        The noise vector whose selection was observed (with what a randomised selection added).
    contrast : Contrast
    noise : Noise
        Of the noise vector before anything was added.
    asked : Asked
    drawn : Drawn, optional
        What a randomised selection added.
    """
    nu = noise.degrees_of_freedom
    name: LawName = asked.law or ("normal" if nu is None else "t")
    if name != "normal" and nu is None:
        raise NoiseError(
            f"the law {name!r} is of an estimated variance; say on how many degrees of freedom (from "
            "data that the "
            "contrast does not use), or keep the normal law of a known variance."
        )
    if contrast.rows:
        if drawn is not None or name == "berger-boos" or asked.null or asked.margin:
            raise OptionError(
                "a test of several contrasts has the null 0 and no randomised selection; its law is chi, "
                "or F of an "
                "estimated variance."
            )
        line = line_of_length(observed, contrast.rows, noise)
        way: Alternative = asked.alternative or "greater"
        if name == "t" and nu is not None:
            return line, FisherLaw(line.square, line.rank, line.scale, way, nu)
        return line, ChiLaw(line.square, line.rank, line.scale, way)
    line = line_of(observed, contrast.eta, noise)
    way = asked.alternative or "two-sided"
    if drawn is not None and name != "normal":
        raise OptionError("a randomised selection needs a known variance, law='normal'.")

    def law_of(null: Fraction) -> Law:
        if drawn is not None:
            tested = drawn.tested(contrast.eta)
            if drawn.fission:
                return FissionLaw(tested, line.variance, drawn.factor, line.scale, null, way)
            return RandomisedLaw(line.stat, tested, line.variance, drawn.factor, line.scale, null, way)
        if name == "t" and nu is not None:
            return StudentLaw(line.stat, line.variance, line.scale, null, way, nu)
        if name == "berger-boos" and nu is not None:
            return BergerBoosLaw(line.stat, line.variance, line.scale, null, way, degrees_of_freedom=nu)
        return NormalLaw(line.stat, line.variance, line.scale, null, way)

    if asked.margin:
        if name == "berger-boos" or drawn is not None and drawn.fission:
            raise OptionError("null_margin goes with the laws normal, t and randomised normal.")
        return line, CompositeLaw(law_of, asked.null, asked.margin)
    return line, law_of(asked.null)
