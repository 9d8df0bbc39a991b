"""Words that several commands take."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Alternative", "Rule"]


class Rule(StrEnum):
    back = "back"
    neighbor = "neighbor"
    reference = "reference"


class Alternative(StrEnum):
    two_sided = "two-sided"
    less = "less"
    greater = "greater"
