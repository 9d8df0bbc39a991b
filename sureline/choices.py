"""Words that several commands take."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Alternative", "Contrasts", "LawName", "Part", "Rule"]


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
