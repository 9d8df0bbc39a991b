"""The claims of a verified perturbation analysis (eva.json): overlaps of balls and importances of regions.

The lead of a class over the explained one is the difference of two elements of the scores. The overlap of a
set of inputs is the greatest lead in it. Each claimed lower end has a point, which has to lie in its ball;
the upper ends are confirmed by bounds over a box around the ball. Importances follow from both.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from verifier.check.boxes.passing import bounds_over, value_at
from verifier.check.claims.leads import LEADS, Given, graph_of_leads
from verifier.check.claims.model import compare_inputs, compare_model, parse_model
from verifier.check.claims.reading import fields, file_bytes, parse_json, parse_npy, rational, require
from verifier.check.claims.selection import free_inputs
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Array

__all__ = ["NAME", "OverlapReport", "confirm_overlaps"]

NAME = "eva.json"
FINEST = 128
"""Ends of a box are rounded outward to so many bits behind the point."""
MOST_REGIONS, MOST_CLASSES = 1 << 16, 1 << 16
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
            f"nowhere in the ball {who} leads class {self.chosen}"
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


def confirm_overlaps(folder: str | os.PathLike[str], model: Any, given: Any) -> OverlapReport:
    """Confirm every claim of the folder.

    Raises
    ------
    InvalidCertificate, UnusableCertificate
    """
    claim = _Claim.read(Path(folder))
    if model is not None:
        compare_model(claim.network, claim.document["model"], model)
    if given is not None:
        claim.compare_input(given)
    graph, classes = claim.graph()
    overlap, held = claim.ends("overlap"), claim.pairs("held")
    for k, pair in enumerate([overlap, *held]):
        claim.confirm(graph, k - 1, pair)
    for k, (pair, importance) in enumerate(zip(held, claim.pairs("importance"), strict=True)):
        _confirm_importance(k, overlap, pair, importance)
    low, high = overlap
    return OverlapReport(
        len(held), claim.chosen, tuple(claim.document["others"]), classes, claim.document["scores"], overlap,
        high is not None and high < 0, low is not None and low > 0, model is not None, given is not None,
    )  # fmt: skip


Pair = tuple[Fraction | None, Fraction | None]


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


@dataclass(frozen=True, eq=False)
class _Claim:
    document: dict[str, Any]
    network: onnx.ModelProto
    inputs: list[tuple[str, Array]]
    labels: Array
    points: Array
    radius: Fraction
    clip: tuple[Fraction, Fraction] | None

    @classmethod
    def read(cls, folder: Path) -> _Claim:
        """Every field and file, looked at before it is used."""
        document = fields(
            parse_json(file_bytes(folder / NAME), NAME), NAME,
            **{"format": str, "version": int, "model": dict, "network": dict, "inputs": list, "moving": int,
               "scores": str, "class": int, "others": list, "radius": str, "clip": (list, type(None)),
               "zones": bool, "labels": dict, "points": dict, "overlap": list, "held": list,
               "importance": list},
        )  # fmt: skip
        require(
            document["format"] == "sureline-eva" and document["version"] == 1,
            "this is no EVA certificate of version 1",
        )
        fields(
            document["model"], "model", sha256=str, nodes=int, initializers=int, outputs=int,
            seed=(int, type(None)), random=list,
        )  # fmt: skip
        inputs = [
            (fields(e, "inputs", name=str, file=str, sha256=str)["name"], _array(folder, e))
            for e in document["inputs"]
        ]
        require(document["moving"] < len(inputs), "moving names no input")
        network = parse_model(_content(folder, document["network"], "network"), "model.onnx")
        compare_inputs(free_inputs(network.graph), inputs)
        labels, points = (
            _array(folder, fields(document[k], k, file=str, sha256=str)) for k in ("labels", "points")
        )
        x = inputs[document["moving"]][1]
        count = len(document["held"])
        require(0 < count <= MOST_REGIONS, "there are no regions, or too many")
        require(labels.dtype.kind in "iu" and labels.shape == x.shape, "labels do not fit the input")
        require(labels.min(initial=0) >= 0 and labels.max(initial=0) < count, "a label names no region")
        require(points.shape == (1 + count, *x.shape), "points do not fit the input and the regions")
        require(len(document["importance"]) == count, "not every region has an importance")
        classes = [document["class"], *document["others"]]
        require(
            len(classes) > 1 and len(set(map(str, classes))) == len(classes) <= MOST_CLASSES
            and all(type(c) is int and 0 <= c < MOST_CLASSES for c in classes),
            "class and others are not different classes",
        )  # fmt: skip
        radius = rational(document["radius"], "radius")
        require(radius > 0, "radius is not positive")
        clip = None
        if document["clip"] is not None:
            require(len(document["clip"]) == 2, "clip is no pair")
            low, high = (rational(v, "clip") for v in document["clip"])
            clip = (low, high)
        return cls(document, network, inputs, labels, points, radius, clip)

    @property
    def chosen(self) -> int:
        return int(self.document["class"])

    def ends(self, key: str) -> Pair:
        return _pair(self.document[key], key)

    def pairs(self, key: str) -> list[Pair]:
        return [_pair(v, key) for v in self.document[key]]

    def compare_input(self, given: Any) -> None:
        """The certificate is about this input."""
        x = self.inputs[self.document["moving"]][1]
        if isinstance(given, (str, os.PathLike)):
            array = parse_npy(file_bytes(os.path.realpath(given)), "the input")
        else:
            array = np.asarray(given)
        if array.shape != x.shape or array.tolist() != x.tolist():
            raise InvalidCertificate("the certificate is about another input")

    def graph(self) -> tuple[CheckedGraph, int]:
        """The graph of the leads, and how many classes there are."""
        name, x = self.inputs[self.document["moving"]]
        given = Given(self.network, dict(self.inputs), name, x.size)
        return graph_of_leads(given, self.document["scores"], self.chosen, self.document["others"])

    def confirm(self, graph: CheckedGraph, region: int, claimed: Pair) -> None:
        """The overlap of the ball (region -1), or of the ball with a region held."""
        where = "the ball" if region < 0 else f"the ball with region {region} held"
        x = self.inputs[self.document["moving"]][1]
        exact = np.array([Fraction(v) for v in x.reshape(-1).tolist()], dtype=object).reshape(x.shape)
        low, high = exact - self.radius, exact + self.radius
        if self.clip is not None:
            bottom, top = self.clip
            if any(not bottom <= v <= top for v in exact.flat):
                raise InvalidCertificate("the input is outside the clip")
            low = np.array([max(v, bottom) for v in low.flat], dtype=object).reshape(x.shape)
            high = np.array([min(v, top) for v in high.flat], dtype=object).reshape(x.shape)
        held = self.labels == region
        low, high = np.where(held, exact, low), np.where(held, exact, high)
        least, most = claimed
        try:
            if least is not None:
                point = np.array(
                    [Fraction(v) for v in self.points[region + 1].reshape(-1).tolist()], dtype=object
                ).reshape(x.shape)
                if (point < low).any() or (point > high).any():
                    raise InvalidCertificate(f"the point of {where} lies outside it")
                if max(value_at(graph, LEADS, point)[0]) < least:
                    raise InvalidCertificate(f"the lower end of the overlap of {where} is not confirmed")
            if most is not None:
                box = _outward(low, -1), _outward(high, 1)
                if max(bounds_over(graph, LEADS, *box, zones=self.document["zones"])[1]) > most:
                    raise InvalidCertificate(f"the upper end of the overlap of {where} is not confirmed")
        except Undecided:
            raise InvalidCertificate(f"the scores may be undefined in {where}") from None


def _outward(values: Array, side: int) -> Array:
    """Dyadic numbers at most 2**-FINEST away, below (side -1) or above."""
    unit = 2**FINEST
    return np.array(
        [Fraction(side * math.ceil(side * v * unit), unit) for v in values.reshape(-1)], dtype=object
    ).reshape(values.shape)


def _pair(value: Any, what: str) -> Pair:
    require(isinstance(value, list) and len(value) == 2, f"{what} is no pair")
    low, high = (None if v is None else rational(v, what) for v in value)
    return low, high


def _content(folder: Path, entry: dict[str, Any], what: str) -> bytes:
    fields({k: v for k, v in entry.items() if k != "name"}, what, file=str, sha256=str)
    name = entry["file"]
    require(name.replace("_", "").replace(".", "").isalnum() and name.isascii(), f"{what}.file is no name")
    content = file_bytes(folder / name)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise InvalidCertificate(f"{name} is not the file that the certificate is about: its hash differs")
    return content


def _array(folder: Path, entry: dict[str, Any]) -> Array:
    return parse_npy(_content(folder, entry, "a file"), entry["file"])
