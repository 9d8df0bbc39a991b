"""Words that several commands take."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CLASS_HELP",
    "OUTPUT_HELP",
    "POST_HELP",
    "RULE_HELP",
    "Alternative",
    "Contrasts",
    "Engine",
    "LawName",
    "Mode",
    "Part",
    "Rule",
    "Stop",
    "Strategy",
]

RULE_HELP = (
    "back, neighbor or reference: compare the region's mean with the rest, its surroundings, or --reference; "
    "two-thresholds: with where the score is below --lower; labels: where label --first is the greatest "
    "score with "
    "--second; change-point: the series before the place of the greatest score with the rest."
)
CLASS_HELP = (
    "Whether the class that an explained model explains belongs to the event. Both are valid; without it the "
    "p-value speaks of the region alone, whichever class was explained."
)
OUTPUT_HELP = "Which output is the score; default: the attribution of an explained model, else the first."
POST_HELP = (
    "Step from the model's output to the score, in order; may be repeated: "
    "input-diff, neg, abs, average:SIZE, gaussian:SIZE:SIGMA, l1-norm."
)


class Rule(StrEnum):
    back = "back"
    neighbor = "neighbor"
    reference = "reference"
    two_thresholds = "two-thresholds"
    labels = "labels"
    change_point = "change-point"


class LawName(StrEnum):
    normal = "normal"
    t = "t"
    berger_boos = "berger-boos"


class Contrasts(StrEnum):
    mean = "mean"
    channels = "channels"
    elements = "elements"


class Part(StrEnum):
    component = "component"
    channel = "channel"
    sign = "sign"


class Alternative(StrEnum):
    two_sided = "two-sided"
    less = "less"
    greater = "greater"


class Mode(StrEnum):
    parametric = "parametric"
    exhaustive = "exhaustive"
    over_conditioning = "over-conditioning"


class Engine(StrEnum):
    auto = "auto"
    search = "search"
    sweep = "sweep"
    z3 = "z3"
    cvxpy = "cvxpy"
    all = "all"


class Stop(StrEnum):
    precision = "precision"
    decision = "decision"


class Strategy(StrEnum):
    mass = "mass"
    pi1 = "pi1"
    pi2 = "pi2"
    pi3 = "pi3"
