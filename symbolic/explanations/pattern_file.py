"""Patterns of a network's linear layers, as they are kept and stored."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.errors import InputError, OptionError, writing
from symbolic.explanations.graph import Graph
from symbolic.reading.array_files import DEFAULT_MAX_BYTES, open_regular

__all__ = ["ESTIMATORS", "Patterns", "fingerprint", "layer_names"]

ESTIMATORS = ("relu", "negative-relu", "linear")
ABOUT = "about"


@dataclass(frozen=True, eq=False)
class Patterns:
    """One pattern per linear layer, in the shape of its weights.

    Attributes
    ----------
    arrays : dict of str to array
        By the name of the node (of its output, where the node has no name of its own).
    estimator : {"relu", "negative-relu", "linear"}
    network : str
        Fingerprint of the network that they were fitted to.
    samples : int
        How many inputs they were fitted to.
    silent : dict of str to int
        How many units of a layer have the pattern 0, because nothing in the data told it.
    """

    arrays: Mapping[str, NDArray[np.float64]]
    estimator: str
    network: str
    samples: int
    silent: Mapping[str, int]

    @cached_property
    def sha256(self) -> str:
        """Of the names and the numbers."""
        found = hashlib.sha256()
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name], dtype="<f8")
            found.update(f"{name}\0{array.shape}\0".encode())
            found.update(array.tobytes())
        return found.hexdigest()

    def __str__(self) -> str:
        """What provenance says of them."""
        return (
            f"{self.estimator}, {len(self.arrays)} layers, {self.samples} samples, sha256 {self.sha256[:16]}"
        )

    def require(self, graph: Graph, nodes: Sequence[onnx.NodeProto]) -> None:
        """Refuse patterns of another network.

        Raises
        ------
        OptionError
            They were fitted to another one.
        """
        if fingerprint(graph, nodes) != self.network:
            raise OptionError(
                "these patterns were fitted to another network: fit them to this one (sl.fit_patterns, "
                "sureline fit-patterns)."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .npz file."""
        names = sorted(self.arrays)
        about = {
            "layers": names,
            "estimator": self.estimator,
            "network": self.network,
            "samples": self.samples,
            "silent": dict(self.silent),
        }
        stored: dict[str, Any] = {f"pattern_{k}": self.arrays[name] for k, name in enumerate(names)}
        stored[ABOUT] = np.array(json.dumps(about))
        with writing(path), open(path, "wb") as file:
            np.savez(file, **stored)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Patterns:
        """Read what `save` wrote; nothing is unpickled.

        Raises
        ------
        InputError
            The file is missing, or is something else.
        """
        shown = Path(path).name
        try:
            with open(path, "rb", opener=open_regular) as file:
                return cls._read(file)
        except OSError as error:
            raise InputError(f"{shown} cannot be read ({error.strerror or error}).") from None
        except Exception:  # zip files, array headers and texts are damaged in many ways
            raise InputError(
                f"{shown} holds no patterns (make it with sureline fit-patterns, or Patterns.save)."
            ) from None

    @classmethod
    def _read(cls, file: Any) -> Patterns:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > DEFAULT_MAX_BYTES:
                raise ValueError("too large")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            about = json.loads(str(stored[ABOUT]))
            arrays = {name: stored[f"pattern_{k}"] for k, name in enumerate(about["layers"])}
        if any(a.dtype != np.float64 or not np.isfinite(a).all() for a in arrays.values()):
            raise ValueError("no finite numbers")
        if about["estimator"] not in ESTIMATORS:
            raise ValueError("unknown estimator")
        silent = {str(name): int(count) for name, count in about["silent"].items()}
        return cls(arrays, about["estimator"], str(about["network"]), int(about["samples"]), silent)


def fingerprint(graph: Graph, nodes: Iterable[onnx.NodeProto]) -> str:
    """A hash of operators, attributes and real constants, in order; names and lengths do not count."""
    found = hashlib.sha256()
    for node in nodes:
        found.update(node.op_type.encode())
        for attribute in sorted(node.attribute, key=lambda a: a.name):
            found.update(attribute.SerializeToString(deterministic=True))
        for name in node.input:
            value = graph.value(name) if name else None
            if value is not None and value.dtype.kind == "f":
                found.update(f"\0{value.dtype}{value.shape}".encode())
                found.update(value.tobytes())
    return found.hexdigest()


def layer_names(nodes: Iterable[onnx.NodeProto]) -> dict[str, str]:
    """Names of nodes by their first outputs; where nodes share one or have none, the output's own."""
    known = list(nodes)
    counts = Counter(node.name for node in known)
    return {
        node.output[0]: node.name if node.name and counts[node.name] == 1 else node.output[0]
        for node in known
        if node.output
    }
