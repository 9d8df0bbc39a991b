"""Say a result in plain words, with the cautions that belong to it."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import sureline as sl

__all__ = ["CERTIFIED", "NOT_SAID", "answer", "bounds", "brief", "prose", "runtime", "supported"]


DIGITS = 6
"""Significant digits of a printed bound."""


def prose(text: str) -> str:
    """Paragraphs (separated by blank lines) without the line breaks of the source."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


CERTIFIED = """
[bold]Certified[/bold]  Proved by machine and re-checked by a second program: for the stored weights in real
arithmetic, the set of inputs on this line with the same selection; the p-value bounds under the stated law.
Not proved: the law, its variance, independence, that training did not use this input.
"""
NOT_SAID = """
[bold]Not said[/bold]  This does not say that the network is accurate, that the region is the cause of
anything, or that new data would give the same result. A large p-value is not evidence of no difference.
"""


def bounds(result: sl.InferenceResult) -> tuple[str, str]:
    """The certified bounds as decimals, the lower one rounded down and the upper one up."""
    down, up = Context(prec=DIGITS, rounding=ROUND_FLOOR), Context(prec=DIGITS, rounding=ROUND_CEILING)
    low, high = down.create_decimal_from_float(result.inf_p), up.create_decimal_from_float(result.sup_p)
    style = "f" if result.sup_p >= 1e-4 else f".{DIGITS - 1}e"
    return f"{low:{style}}", f"{high:{style}}"


def answer(result: sl.InferenceResult, contrast: str, network: str, level: float = 0.05) -> str:
    """What the p-value means, for somebody who has never heard of selective inference."""
    low, high = bounds(result)
    verdicts = {"reject": "established", "accept": "not established", "undecided": "undecided"}
    return prose(f"""
        If the true {contrast} were zero, a network that {network} would show a difference at least this
        extreme, in the equal-tailed sense, with probability between {low} and {high}, given the noise
        model. At the level {100 * level:g} %, fixed beforehand, the difference is
        {verdicts[result.decision(level)]}.
    """)


def brief(p: float, support: int | None = None, level: float = 0.05) -> str:
    """A p-value for a table: red at or below the level, never smaller than a noise sample can vouch for."""
    text = f"{p:.2g}" if support is None or p >= 1 / support else f"< 1/{support}"
    return f"[bold red]{text}[/bold red]" if p <= level else text


def supported(result: sl.InferenceResult, support: int) -> str:
    """What the size of the noise sample says about a p-value."""
    if result.inf_p >= 1 / support:
        return ""
    low, high = bounds(result)
    return f" {support} noise values vouch for p < 1/{support}; the rest is the model's: {low} to {high}."


def runtime(result: sl.InferenceResult) -> str:
    """Whether floating point agrees with the certified, exact reading of the network at this input."""
    return {
        True: "ONNX Runtime, in floating point, selects the same.",
        False: "ONNX Runtime, in floating point, selects SOMETHING ELSE.",
        None: "ONNX Runtime could not run the graph.",
    }[result.runtime_agrees]
