"""What a verified perturbation analysis found, and how it is shown."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import writing

__all__ = ["EvaReport", "Evidence", "digits"]

SHOWN = 10


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a second program needs to confirm a report.

    Attributes
    ----------
    proto : onnx.ModelProto
        The network, with the lengths of its inputs.
    random : tuple of str
        Tensors in place of random nodes.
    seed : int
    scores : str
        The tensor of the scores.
    source : str
        The input that is explained.
    inputs : dict
        All inputs, exactly as given.
    points : array of shape (1 + regions, *shape of the input)
        Where the lower ends of the overlaps are reached: of the ball, and of the ball with each region held.
    """

    proto: onnx.ModelProto
    random: tuple[str, ...]
    seed: int
    scores: str
    source: str
    inputs: Mapping[str, NDArray[Any]]
    points: Array


@dataclass(frozen=True, eq=False)
class EvaReport:
    """Certified importances of regions.

    Attributes
    ----------
    labels : array of int64
        The region of every element of the input, 0 to count - 1.
    lower, upper : array
        Of every region: its importance AO(B) - AO(B_u) lies between them. Lower ends are rounded down, and
        never below 0, because B_u is a part of B; upper ends are rounded up, infinite where nothing is known.
    overlap : (float, float)
        Between which AO(B) lies, how far another class comes ahead in the ball.
    held_lower, held_upper : array
        Of every region, between which AO(B_u) lies, the same with the region held fixed.
    point : array or None
        A point of the ball, exactly within it, where another class leads for certain. None where no such
        was found, or where it is no array of floats.
    chosen : int
        The class that is explained.
    others : tuple of int
        Those it is compared with.
    radius : Fraction
    clip : pair of Fraction or None
    bounds : {"linear", "interval", "zonotope"}
    model_sha256 : str
    evidence : Evidence or None
        What `sl.save_eva` writes for `sureline check`.
    """

    labels: NDArray[np.int64]
    lower: Array
    upper: Array
    overlap: tuple[float, float]
    held_lower: Array
    held_upper: Array
    point: Array | None
    chosen: int
    others: tuple[int, ...]
    radius: Fraction
    clip: tuple[Fraction, Fraction] | None
    bounds: str
    model_sha256: str
    evidence: Evidence | None = field(default=None, repr=False)

    @property
    def regions(self) -> NDArray[np.int64]:
        """The same as `labels`."""
        return self.labels

    @cached_property
    def midpoint(self) -> Array:
        """The middle of every interval: of it nothing is proved but that it is in the interval."""
        return np.asarray(self.lower / 2 + self.upper / 2)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The regions by decreasing midpoint, equal ones by increasing upper bounds of AO(B_u)."""
        return np.lexsort((self.held_upper, -self.midpoint)).astype(np.int64)

    @cached_property
    def ranked(self) -> NDArray[np.bool_]:
        """Which regions have an interval that has no point in common with that of any other region.

        Of a ranked region it is proved which regions are more important, and which less: `order` is right
        about it and every other region. Of two regions that are not ranked, it may be right or wrong.
        """
        return _alone(self.lower, self.upper)

    @cached_property
    def placed(self) -> NDArray[np.bool_]:
        """Of which regions the place in `order` is proved; ranked ones are among them.

        AO(B) is the same for all regions, and cancels where two are compared: u is more important than v
        exactly if AO(B_u) < AO(B_v). A region is placed if its interval of AO(B_u) has no point in common
        with that of any other region.
        """
        return _alone(self.held_lower, self.held_upper)

    @property
    def robust(self) -> bool:
        """Whether it is proved that no other class leads, or ties, anywhere in the ball."""
        return self.overlap[1] < 0

    @property
    def counterexample(self) -> bool:
        """Whether it is proved that another class leads somewhere in the ball."""
        return self.overlap[0] > 0

    @cached_property
    def heatmap(self) -> Array:
        """The midpoint of its region at every element, in the shape of the input."""
        return np.asarray(self.midpoint[self.labels])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the heat map, and the intervals by midpoint; those of unranked regions grey.

        Parameters
        ----------
        path : path, optional
            Where the picture is written.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        OptionError
            matplotlib is not installed.
        """
        from symbolic.explanations.eva_picture import draw

        return draw(self, path)

    def to_json(self) -> dict[str, Any]:
        """Numbers, texts and lists; infinities are null, the radius and the clip exact texts."""
        return {
            "method": "eva",
            "class": self.chosen,
            "others": list(self.others),
            "radius": str(self.radius),
            "clip": None if self.clip is None else [str(v) for v in self.clip],
            "bounds": self.bounds,
            "model_sha256": self.model_sha256,
            "overlap": [_finite(v) for v in self.overlap],
            "robust": self.robust,
            "counterexample": self.counterexample,
            "point": None if self.point is None else self.point.tolist(),
            "labels": self.labels.tolist(),
            "lower": [_finite(v) for v in self.lower.tolist()],
            "upper": [_finite(v) for v in self.upper.tolist()],
            "midpoint": [_finite(v) for v in self.midpoint.tolist()],
            "ranked": self.ranked.tolist(),
            "placed": self.placed.tolist(),
            "held_lower": [_finite(v) for v in self.held_lower.tolist()],
            "held_upper": [_finite(v) for v in self.held_upper.tolist()],
            "order": self.order.tolist(),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file."""
        with writing(path), open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_json(), file, indent=1, allow_nan=False)
            file.write("\n")

    @property
    def verdict(self) -> str:
        """What is known of the ball, in words."""
        alone = len(self.others) == 1
        over = f" class {self.others[0]}" if alone else ""
        if self.robust:
            return f"proved: class {self.chosen} leads{over} everywhere in the ball"
        if self.counterexample:
            who = over.strip() or "another class"
            return f"proved: {who} leads class {self.chosen} somewhere in the ball"
        return f"open: whether class {self.chosen} leads{over} everywhere in the ball is not decided"

    def __repr__(self) -> str:
        return (
            f"EvaReport(class {self.chosen}, {len(self.lower)} regions, {int(self.ranked.sum())} ranked, "
            f"overlap in {_between(*self.overlap)})"
        )

    def __str__(self) -> str:
        lines = self.summary.splitlines()
        for n in self.order[:SHOWN].tolist():
            mark = "" if self.ranked[n] else "  unranked, place proved" if self.placed[n] else "  unranked"
            lines.append(f"  region {n}: importance in {_between(self.lower[n], self.upper[n])}{mark}")
        if len(self.lower) > SHOWN:
            lines.append(f"  and {len(self.lower) - SHOWN} more")
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """What was asked, and what is known of the ball and of the ranking, in words."""
        ball = f"radius {float(self.radius):g}"
        if self.clip is not None:
            ball += f", clipped to [{float(self.clip[0]):g}, {float(self.clip[1]):g}]"
        return (
            f"EVA of class {self.chosen}: {ball}, {self.bounds} bounds\n"
            f"adversarial overlap in {_between(*self.overlap)}; {self.verdict}\n"
            f"{int(self.ranked.sum())} of {len(self.lower)} regions are ranked; a place in the order is "
            f"proved of {int(self.placed.sum())}"
        )


def digits(value: float, up: bool) -> str:
    """A bound in six digits, rounded up or down."""
    if not math.isfinite(value):
        return str(float(value))
    context = Context(prec=6, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return f"{context.plus(Decimal(float(value))).normalize():g}"


def _between(low: float, high: float) -> str:
    return f"[{digits(low, False)}, {digits(high, True)}]"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _alone(lower: Array, upper: Array) -> NDArray[np.bool_]:
    """Which of several intervals have no point in common with any other."""
    order = np.argsort(lower, kind="stable")
    low, high = lower[order], upper[order]
    reach = np.concatenate([[-np.inf], np.maximum.accumulate(high)[:-1]])  # of all that begin before
    after = np.concatenate([low[1:], [np.inf]])
    found = np.zeros(len(order), dtype=bool)
    found[order] = ((reach < low) & (high < after)) | (len(order) == 1)
    return found
