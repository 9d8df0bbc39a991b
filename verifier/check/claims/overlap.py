"""The claims of a verified perturbation analysis (eva.json): overlaps of balls and importances of regions.

The lead of a class over the explained one is the difference of two elements of the scores. The overlap of a
set of inputs is the greatest lead in it. Each claimed lower end has a point, which has to lie in its ball;
the upper ends are confirmed by bounds over a box around the ball. Importances follow from both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from verifier.check.claims.model import compare_model
from verifier.check.claims.overlap_claim import NAME, OverlapClaim, Pair, named
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.graph import CheckedGraph

__all__ = ["NAME", "OverlapReport", "confirm_overlaps", "proved_overlaps"]

SHOWN = 8
"""Classes that the report names."""


@dataclass(frozen=True)
class OverlapReport:
    """What was confirmed; a false claim raises instead.

    Attributes
    ----------
    regions : int
    chosen, others, classes : int, tuple of int, int
        The explained class, those that it is compared with, and how many there are.
    scores : str
        The tensor of scores.
    overlap : pair of Fraction or None
        Between which the overlap of the ball lies; None where nothing is claimed.
    robust, counterexample : bool
        Whether none of the others leads anywhere in the ball; whether one leads somewhere.
    model_checked, input_checked : bool
        Whether a model and an input were compared.
    """

    regions: int
    chosen: int
    others: tuple[int, ...]
    classes: int
    scores: str
    overlap: tuple[Fraction | None, Fraction | None]
    robust: bool
    counterexample: bool
    model_checked: bool
    input_checked: bool
    valid: bool = True
    seconds: float = 0.0

    def __str__(self) -> str:
        low, high = (
            ("-inf", "inf")[k] if v is None else f"{float(v):.6g}" for k, v in enumerate(self.overlap)
        )
        who = "another class"
        if len(self.others) + 1 < self.classes:
            who = "class " + " or ".join(map(str, self.others[:SHOWN]))
            who += f" or one of {len(self.others) - SHOWN} more" if len(self.others) > SHOWN else ""
        told = (
            f"nowhere in the ball does {who} lead class {self.chosen}"
            if self.robust
            else f"somewhere in the ball {who} leads class {self.chosen}"
            if self.counterexample
            else f"whether {who} leads class {self.chosen} in the ball is open"
        )
        lines = [
            f"valid: the overlap of the ball lies between {low} and {high} (rounded here); {told}",
            f"{self.regions} importances confirmed, of the tensor {self.scores!r}",
        ]
        for what, compared in (("model", self.model_checked), ("input", self.input_checked)):
            lines.append(
                f"{what}: " + ("the one given" if compared else f"not compared with a file (--{what})")
            )
        return "\n".join([*lines, f"checked in {self.seconds:.2f} s"])


Progress = Callable[[int, int], None]


def proved_overlaps(folder: str | os.PathLike[str], progress: Progress | None = None) -> list[Pair]:
    """Between what the overlap of the ball, and that with each region held, is proved to lie, whatever the
    folder claims of it; None where nothing is proved."""
    claim = OverlapClaim.read(Path(folder))
    graph, _ = claim.graph()
    found = []
    for k in range(len(claim.points)):
        found.append((_or_none(claim.lower, graph, k - 1), _or_none(claim.upper, graph, k - 1)))
        if progress is not None:
            progress(k + 1, len(claim.points))
    return found


def _or_none(
    end: Callable[[CheckedGraph, int], Fraction], graph: CheckedGraph, region: int
) -> Fraction | None:
    try:
        return end(graph, region)
    except Undecided:
        return None


def confirm_overlaps(
    folder: str | os.PathLike[str], model: Any, given: Any, progress: Progress | None = None
) -> OverlapReport:
    """Confirm every claim of the folder.

    Raises
    ------
    InvalidCertificate, UnusableCertificate
    """
    claim = OverlapClaim.read(Path(folder))
    if model is not None:
        compare_model(claim.network, claim.document["model"], model)
    if given is not None:
        claim.compare_input(given)
    graph, classes = claim.graph()
    overlap, held = claim.ends("overlap"), claim.pairs("held")
    for k, pair in enumerate([overlap, *held]):
        _confirm_ends(claim, graph, k - 1, pair)
        if progress is not None:
            progress(k + 1, 1 + len(held))
    for k, (pair, importance) in enumerate(zip(held, claim.pairs("importance"), strict=True)):
        _confirm_importance(k, overlap, pair, importance)
    low, high = overlap
    return OverlapReport(
        len(held), claim.chosen, tuple(claim.document["others"]), classes, claim.document["scores"], overlap,
        high is not None and high < 0, low is not None and low > 0, model is not None, given is not None,
    )  # fmt: skip


def _confirm_ends(claim: OverlapClaim, graph: CheckedGraph, region: int, claimed: Pair) -> None:
    """The overlap of the ball (region -1), or of the ball with a region held."""
    least, most = claimed
    where = named(region)
    try:
        if least is not None and claim.lower(graph, region) < least:
            raise InvalidCertificate(f"the lower end of the overlap of {where} is not confirmed")
        if most is not None and claim.upper(graph, region) > most:
            raise InvalidCertificate(f"the upper end of the overlap of {where} is not confirmed")
    except Undecided:
        raise InvalidCertificate(f"the scores may be undefined in {where}") from None


def _confirm_importance(k: int, whole: Pair, held: Pair, claimed: Pair) -> None:
    """The importance of a region is the overlap of the ball minus that with the region held."""
    low = Fraction(0)
    if whole[0] is not None and held[1] is not None:
        low = max(low, whole[0] - held[1])
    good = claimed[0] is None or claimed[0] <= low
    if claimed[1] is not None:
        good &= whole[1] is not None and held[0] is not None and claimed[1] >= whole[1] - held[0]
    if not good:
        raise InvalidCertificate(f"the importance of region {k} does not follow from the overlaps")
