"""The "hypothesis" entry of a certificate: which event, and which contrast follows from it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from verifier.check.claims.reading import fields, rational, require
from verifier.check.errors import UnusableCertificate

__all__ = ["LABELS", "SCORES", "read_hypothesis", "scale_of_reference", "second_threshold", "whole"]

SCORES = ("BackMeanDiff", "NeighborMeanDiff", "ReferenceMeanDiff", "TwoThresholdMeanDiff")
"""Regions of a score map."""
LABELS: dict[str, dict[str, Any]] = {
    "LabelMeanDiff": {"first": str, "second": (str, type(None))},
    "ChangePoint": {"offset": str, "reach": (int, type(None))},
    "ClassDecision": {"eta": dict},
}
"""Which of several scores is the greatest."""
STEPS = {
    "InputDiff": set(),
    "Neg": set(),
    "Abs": set(),
    "L1Norm": set(),
    "AverageFilter": {"kernel_size"},
    "GaussianFilter": {"kernel_size", "sigma"},
}
OPTIONAL = {
    "top": int,
    "signed": bool,
    "component": int,
    "channel": int,
    "sign": str,
    "contrasts": str,
    "lower": str,
    "reference_scale": str,
    "given": list,
}
FAR = 1 << 31


def read_hypothesis(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the entry; the files that it names."""
    name = entry.get("name")
    if name == "custom":
        fields(entry, "hypothesis", name=str, i_idx=int, outputs=list, eta=dict)
        require(
            bool(entry["outputs"]) and all(isinstance(o, str) for o in entry["outputs"]),
            "hypothesis.outputs is empty",
        )
    elif name in LABELS:
        _labels(entry, LABELS[name])
    else:
        require(name in SCORES, "the hypothesis is not known")
        _scores(entry)
    require(
        0 <= entry["i_idx"] < FAR and 0 <= entry.get("o_idx", 0) < FAR, "an index is negative or too large"
    )
    return [fields(entry["eta"], "hypothesis.eta", file=str, sha256=str)] if "eta" in entry else []


def _labels(entry: dict[str, Any], more: dict[str, Any]) -> None:
    fields(entry, "hypothesis", name=str, i_idx=int, o_idx=int, axis=str, mask=bool, **more)
    for key in ("axis", "first", "second", "offset"):
        if entry.get(key) is not None:
            whole(entry[key], f"hypothesis.{key}")
    require(entry.get("reach") is None or entry["reach"] > 0, "hypothesis.reach is not positive")
    require(not (entry["mask"] and entry["name"] != "LabelMeanDiff"), "this hypothesis has no mask")


def _scores(entry: dict[str, Any]) -> None:
    optional = {key: kind for key, kind in OPTIONAL.items() if key in entry}
    fields(
        entry,
        "hypothesis",
        name=str,
        threshold=(str, type(None)),
        i_idx=int,
        o_idx=int,
        post_process=list,
        use_norm=bool,
        neighborhood_range=(int, type(None)),
        mask=bool,
        **optional,
    )
    name, reach = entry["name"], entry["neighborhood_range"]
    require(
        (reach is not None and 1 <= reach <= 1 << 16) if name == "NeighborMeanDiff" else reach is None,
        "hypothesis.neighborhood_range does not fit the hypothesis",
    )
    top, signed = entry.get("top"), entry.get("signed", False)
    require((entry["threshold"] is None) == (top is not None), "hypothesis.threshold does not go with top")
    require(top is None or 0 < top < FAR, "hypothesis.top is not positive")
    require(not (entry["use_norm"] and (top is not None or signed)), "use_norm goes with a plain threshold")
    require(("lower" in entry) == (name == "TwoThresholdMeanDiff"), "hypothesis.lower does not fit")
    require(not ("lower" in entry and (top is not None or signed or entry["use_norm"])), "lower does not fit")
    require("reference_scale" not in entry or name == "ReferenceMeanDiff", "reference_scale does not fit")
    require(scale_of_reference(entry) >= 0, "hypothesis.reference_scale is negative")
    require("signed" not in entry or signed, "hypothesis.signed is false")
    if entry["threshold"] is not None:
        threshold = rational(entry["threshold"], "hypothesis.threshold")
        require(not signed or threshold >= 0, "a signed selection has a negative threshold")
        if "lower" in entry:
            require(rational(entry["lower"], "hypothesis.lower") <= threshold, "hypothesis.lower is above it")
    require(not signed or top is None, "hypothesis.signed does not go with top")
    require(
        entry.get("sign", "+") in ("+", "-") and ("sign" not in entry or signed),
        "hypothesis.sign does not fit",
    )
    require(
        entry.get("contrasts", "channels") in ("channels", "elements"), "hypothesis.contrasts is not known"
    )
    given = entry.get("given", [])
    require(all(isinstance(name, str) for name in given), "hypothesis.given names no outputs")
    require(
        len(set(given)) == len(given) and given != [] or "given" not in entry, "hypothesis.given is empty"
    )
    for key in ("component", "channel"):
        require(0 <= entry.get(key, 0) < FAR, f"hypothesis.{key} is negative or too large")
    _steps(entry["post_process"])


def _steps(steps: list[Any]) -> None:
    require(len(steps) <= 100, "hypothesis.post_process has more than 100 steps")
    for step in steps:
        name = step.get("name") if isinstance(step, dict) else None
        if not isinstance(name, str) or name not in STEPS:
            raise UnusableCertificate("a step of hypothesis.post_process is not known")
        options = {key: str if key == "sigma" else int for key in STEPS[name]}
        fields(step, "a step", **{"name": str, **options})
        require(1 <= step.get("kernel_size", 1) <= 255, "a kernel_size is not between 1 and 255")
        require("sigma" not in step or rational(step["sigma"], "sigma") > 0, "sigma is not positive")


def whole(text: str, what: str) -> int:
    """An integer of either sign."""
    number = rational(text, what)
    require(number.denominator == 1 and abs(number) < FAR, f"{what} is no integer, or too large")
    return number.numerator


def second_threshold(entry: dict[str, Any]) -> Fraction | None:
    """What the scores of a second region are less than, if there is one."""
    if entry.get("signed"):
        return -Fraction(entry["threshold"])
    return Fraction(entry["lower"]) if "lower" in entry else None


def scale_of_reference(entry: dict[str, Any]) -> Fraction:
    """The covariance of the reference's noise is this times that of the input's."""
    return (
        rational(entry["reference_scale"], "reference_scale") if "reference_scale" in entry else Fraction(1)
    )
