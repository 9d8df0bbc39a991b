"""Select on a noisier input: data thinning tests on the rest, randomised selection on all of it."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from inference.study.comparators.base import Answer, Comparator, Skipped
from inference.study.drawn import Drawn

__all__ = ["DataThinning", "Randomised"]


class _ByRandomisation(Comparator):
    kind: str

    def __init__(self, number: float) -> None:
        self.scale = number

    def answer(self, drawn: Drawn) -> Answer:
        how: Any = getattr(import_module("sureline"), self.kind, None)
        known = inspect.signature(drawn.test.inference).parameters
        if how is None or "randomisation" not in known:
            raise Skipped(f"this version has no {self.kind}.")
        result = drawn.test.inference(drawn.x, drawn.variance, randomisation=how(self.scale, drawn.seed))
        return Answer(result.sup_p, result.inf_p)


class DataThinning(_ByRandomisation):
    """x plus noise is selected on, x minus noise (independent of it) is tested on."""

    name = "data-thinning"
    kind = "Fission"


class Randomised(_ByRandomisation):
    """x plus noise is selected on, x is tested given the selection."""

    name = "randomised"
    kind = "Randomised"
