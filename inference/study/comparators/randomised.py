"""Select on a noisier input: data thinning tests on the rest, randomised selection on all of it."""

from __future__ import annotations

from inference.randomisation import Fission
from inference.randomisation import Randomised as Noisier
from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn

__all__ = ["DataThinning", "Randomised"]


APART = 2**40
"""The seed of the draw made the noise of the input: the added noise must be another."""


class _ByRandomisation(Comparator):
    kind: type[Noisier]

    def __init__(self, number: float) -> None:
        self.scale = number

    def answer(self, drawn: Drawn) -> Answer:
        how = self.kind(self.scale, drawn.seed + APART)
        result = drawn.test.inference(drawn.x, drawn.variance, randomisation=how)
        return Answer(result.sup_p, result.inf_p)


class DataThinning(_ByRandomisation):
    """x plus noise is selected on, x minus noise (independent of it) is tested on."""

    name = "data-thinning"
    kind = Fission


class Randomised(_ByRandomisation):
    """x plus noise is selected on, x is tested given the selection."""

    name = "randomised"
    kind = Noisier
