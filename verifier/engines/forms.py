"""Units of a segment of the line as sums of z and of unstable units."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from verifier.engines.integers import Integers

__all__ = ["Claim", "Ends", "Form", "Stable", "Unstable"]

Ends = tuple[int, int]
"""A line in z: its values at the two ends of the segment."""


@dataclass(frozen=True, eq=False)
class Form:
    """(row[0] + row[1] z + sum of row[2 + k] * unstable unit k, scaled) / scale."""

    row: Integers
    scale: int

    def minus(self, other: Form) -> Form:
        """The difference, over both scales."""
        if self.scale == other.scale:
            return Form(self.row - other.row, self.scale)
        return Form(self.row * other.scale - other.row * self.scale, self.scale * other.scale)

    def plus(self, number: Fraction) -> Form:
        """A number more."""
        row = self.row * number.denominator
        row[0] += number.numerator * self.scale
        return Form(row, self.scale * number.denominator)

    @property
    def constant(self) -> Fraction | None:
        """Its value if it has one."""
        return None if self.row[1:].any() else Fraction(self.row[0], self.scale)


@dataclass(frozen=True, eq=False)
class Claim:
    """A form is not negative on the open segment (positive if ``strict``)."""

    form: Form
    strict: bool


@dataclass(frozen=True, eq=False)
class Unstable:
    """A unit whose branch is not known.

    Attributes
    ----------
    unit : int
    layer : Layer
    sources : tuple of Form
        Of a Maximum or Winner those that may be the greatest; of a Product factor and source.
    numbers : tuple of Fraction
        Of a Winner what each of them counts; of a Product the values of the factor.
    lower, upper : (int, int)
        Lines that bound it, scaled.
    values : frozenset of Fraction or None
        All that it can be, if these are few.
    """

    unit: int
    scale: int
    layer: Any
    sources: tuple[Form, ...]
    numbers: tuple[Fraction, ...]
    lower: Ends
    upper: Ends
    values: frozenset[Fraction] | None = None


@dataclass(frozen=True, eq=False)
class Stable:
    """All that was proved.

    Attributes
    ----------
    forms : mapping of str to list of Form
        The outputs.
    unstable : list of Unstable
        In the order of their units.
    claims : list of Claim
        What makes the other units stable; later ones rest on earlier ones.
    """

    forms: dict[str, list[Form]]
    unstable: list[Unstable]
    claims: list[Claim]
