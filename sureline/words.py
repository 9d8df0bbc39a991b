"""The words around a p-value: what was asked, what the number rests on, and what it does not say."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from inference.digits import at_least

if TYPE_CHECKING:
    from inference.result import InferenceResult
    from sureline.running import Request

__all__ = ["caution", "decision", "difference", "naive", "noise", "question"]

_ALTERNATIVES = {
    "two-sided": "at least this extreme, in the equal-tailed sense,",
    "less": "this small or smaller",
    "greater": "this large or larger",
}
_COMPARED = {
    "back": ("the input", "inside the region", "outside"),
    "neighbor": ("the input", "inside the region", "in the surroundings"),
    "two-thresholds": ("the input", "where the score is high", "where it is low"),
}
_MEANS = {
    "back": "the mean of the input inside the region minus its mean outside",
    "neighbor": "the mean of the input inside the region minus its mean in the surroundings",
    "reference": "the mean over the region of input minus reference",
    "two-thresholds": "the mean of the input where the score is high minus its mean where it is low",
    "labels": "the mean of the input under one label minus its mean under the other",
    "change-point": "the mean of the series before the change minus its mean from there on",
}
_VECTORS = {"chi": "", "f": "estimated "}
"""Families of laws of a length, and in which standard deviations it is measured."""


def question(result: InferenceResult, request: Request, low: str, high: str) -> tuple[str, str]:
    """What p is the probability of, before the bounds, and the bounds in words."""
    rule, contrasts = request.question.rule, request.question.contrasts
    if result.law.family in _VECTORS:
        asked, shown = _vectors(rule, contrasts), "differences that are together this large or larger"
    else:
        margin = Fraction(request.null_margin)
        null = "zero" if Fraction(request.null_value) == 0 else request.null_value
        asked = f"If {_MEANS[rule]} were truly {f'within {request.null_margin} of ' if margin else ''}{null}"
        shown = f"a difference {_ALTERNATIVES[result.alternative]}"
    pattern = ", through the same linear piece," if request.mode == "over_conditioning" else ""
    said = f"{asked}, a network that marks exactly this region{pattern} would show {shown} with probability "
    if result.law.family == "berger-boos":
        bounds = (
            f"at most {high}, whatever the variance in its confidence set (0.001 for the others included)"
        )
    elif Fraction(request.null_margin):
        bounds = f"at most {high}, whichever of these values is the true one"
    else:
        bounds = f"between {low} and {high}"
    return said, bounds


def _vectors(rule: str, contrasts: str) -> str:
    """The null hypothesis of several contrasts."""
    place = (
        "at every element of the region" if contrasts == "elements" else "over the region in every channel"
    )
    if rule == "reference":
        what = "value" if contrasts == "elements" else "mean"
        return f"If input and reference had the same true {what} {place}"
    x, inside, outside = _COMPARED[rule]
    if contrasts == "elements":
        return f"If every element of {x} {inside} truly had the mean of those {outside}"
    return f"If {x} truly had, in every channel, the same mean {inside} and {outside}"


def difference(result: InferenceResult) -> str:
    """The statistic."""
    value = f"{result.stat:.6g}"
    family = result.law.family
    if family not in _VECTORS:
        return value
    return f"{value} {_VECTORS[family]}standard deviations, the length of all differences"


def noise(result: InferenceResult, request: Request) -> str:
    """The law of the noise, and what it rests on."""
    source = f" Source: {request.noise_source}." if request.noise_source else ""
    words = {
        "t": "exact t law used.",
        "f": "exact F law used.",
        "berger-boos": "the greatest p over a confidence set of the variance, plus 0.001.",
    }
    if request.df is None:
        seed = f"(seed {request.noise_seed})"
        added = {
            "randomised-normal": f" Noise of {request.randomise} times the variance {seed} was added before "
            "the selection.",
            "fission": f" Noise of {request.fission} times the variance {seed} was added before the "
            "selection and taken from what is tested.",
        }.get(result.law.family, "")
        known = f"normal, variance {request.var}, inserted as known: the p-value is conditional on it."
        return known + added + source
    how = words.get(result.law.family, "value inserted as known: the certificate is conditional on it.")
    return f"variance {request.var} estimated on {request.df} degrees of freedom; {how}{source}"


def decision(result: InferenceResult, request: Request) -> str | None:
    """The decision certificate; None where none was asked for or reached."""
    found = result.decision(request.level)
    if request.stop != "decision" or found == "undecided":
        return None
    relation = "<=" if found == "reject" else ">"
    return f"p {relation} {request.alpha} whatever the undecided rest of the line holds (in the certificate)"


def caution(result: InferenceResult, request: Request) -> str:
    """What is proved, and what is not."""
    same = "activation pattern" if request.mode == "over_conditioning" else "selection"
    proved = (
        "the bounds of p under the stated law (nothing of the network: what is tested has no part in the "
        "selection)"
        if result.law.family == "fission"
        else f"the set of inputs on the line with the same {same}, for the stored weights in real "
        "arithmetic, and the bounds of p under the stated law"
    )
    return (
        "This does not say that the network is accurate, that the region is the cause of anything, or that "
        "another input would give the same result. A large p-value is not evidence of no difference. "
        f"Proved: {proved}. Not proved: the law, its variance, and that training did not use this input."
    )


def naive(result: InferenceResult) -> str | None:
    """The naive p-value; None where what is tested has no part in the selection."""
    if result.law.family == "fission":
        return None
    value = at_least(result.naive_p_value())
    return f"{value} (ignores that the network chose the region; not valid)"
