"""Turn the words of the command line into calls of the library."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symbolic.array_files import read_raw_array
from symbolic.errors import OptionError
from symbolic.exact import exact_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inference.result import InferenceResult

__all__ = ["Request", "audit"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed.

    Raises
    ------
    OptionError
        If a number is not one, or a reference or a range is given to a rule that has none.
    """

    model: Path
    input: Path
    var: str
    threshold: str
    rule: str
    normalize: bool
    post: tuple[str, ...]
    mask: Path | None
    reference: Path | None
    neighborhood_range: int | None
    other_inputs: tuple[str, ...]
    test_input: str | None
    output_name: str | None
    alternative: str
    null_value: str
    mode: str
    stop: str
    precision: str
    alpha: str
    seed: int | None
    out: Path | None

    def __post_init__(self) -> None:
        for text, option in (
            (self.threshold, "--threshold"),
            (self.null_value, "--null-value"),
            (self.precision, "--precision"),
            (self.alpha, "--alpha"),
        ):
            exact_number(text, option, error=OptionError)
        if (self.rule == "reference") != (self.reference is not None):
            raise OptionError("--hypothesis reference and --reference R.npy go together.")
        if self.neighborhood_range is not None and self.rule != "neighbor":
            raise OptionError("--neighborhood-range needs --hypothesis neighbor.")

    @property
    def level(self) -> Fraction:
        """The significance level, exactly."""
        return exact_number(self.alpha, "--alpha", error=OptionError)
