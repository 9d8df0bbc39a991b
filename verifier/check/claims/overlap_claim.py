"""The document of a verified perturbation analysis (eva.json) with its files: balls and points in them."""

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
from verifier.check.claims.model import compare_inputs, parse_model
from verifier.check.claims.reading import fields, file_bytes, parse_json, parse_npy, rational, require
from verifier.check.claims.selection import free_inputs
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Array

__all__ = ["NAME", "OverlapClaim", "Pair", "named"]

NAME = "eva.json"
FINEST = 128
"""Ends of a box are rounded outward to so many bits behind the point."""
MOST_REGIONS, MOST_CLASSES = 1 << 16, 1 << 16
Pair = tuple[Fraction | None, Fraction | None]
"""Lower and upper end; None where nothing is claimed."""


@dataclass(frozen=True, eq=False)
class OverlapClaim:
    document: dict[str, Any]
    network: onnx.ModelProto
    inputs: list[tuple[str, Array]]
    labels: Array
    points: Array
    radius: Fraction
    clip: tuple[Fraction, Fraction] | None

    @classmethod
    def read(cls, folder: Path) -> OverlapClaim:
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
        for name, held in (("nodes", network.graph.node), ("initializers", network.graph.initializer)):
            require(document["model"][name] == len(held), f"model.onnx has more {name} than the model")
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

    def ball(self, region: int) -> tuple[Array, Array]:
        """The ends of the ball (region -1), or of the ball with a region held."""
        x = self.inputs[self.document["moving"]][1]
        exact = _exact(x)
        low, high = exact - self.radius, exact + self.radius
        if self.clip is not None:
            bottom, top = self.clip
            if any(not bottom <= v <= top for v in exact.flat):
                raise InvalidCertificate("the input is outside the clip")
            low = np.array([max(v, bottom) for v in low.flat], dtype=object).reshape(x.shape)
            high = np.array([min(v, top) for v in high.flat], dtype=object).reshape(x.shape)
        held = self.labels == region
        return np.where(held, exact, low), np.where(held, exact, high)

    def lower(self, graph: CheckedGraph, region: int) -> Fraction:
        """What the overlap is at least, by the point."""
        low, high = self.ball(region)
        point = _exact(self.points[region + 1])
        if (point < low).any() or (point > high).any():
            raise InvalidCertificate(f"the point of {named(region)} lies outside it")
        return max(value_at(graph, LEADS, point)[0])

    def upper(self, graph: CheckedGraph, region: int) -> Fraction:
        """What the overlap is at most, by bounds over a box."""
        low, high = self.ball(region)
        box = _outward(low, -1), _outward(high, 1)
        return max(bounds_over(graph, LEADS, *box, zones=self.document["zones"])[1])


def named(region: int) -> str:
    return "the ball" if region < 0 else f"the ball with region {region} held"


def _exact(x: Array) -> Array:
    return np.array([Fraction(v) for v in x.reshape(-1).tolist()], dtype=object).reshape(x.shape)


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
