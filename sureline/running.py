"""Turn the words of the command line into one call of the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sureline.files import load_array, number, number_or_array

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from inference.result import InferenceResult

__all__ = ["Request", "audit", "describe"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed."""

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


def audit(request: Request, progress: Any) -> InferenceResult:
    """Run one audit and save its certificate where the user asked for it."""
