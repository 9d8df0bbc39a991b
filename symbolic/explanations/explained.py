"""A model that outputs its prediction and an attribution: run it, save it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper

from symbolic.errors import InputError, writing
from symbolic.explanations.provenance import ATTRIBUTION
from symbolic.explanations.running import ran, session, stored
from symbolic.reading.arrays import matches_graph_input
from symbolic.reading.static_shapes import free_inputs

__all__ = ["Explained"]


@dataclass(frozen=True)
class Explained:
    """A model that outputs its prediction and an attribution.

    Attributes
    ----------
    proto : onnx.ModelProto
        Standard operators only. Its outputs: the model's own, `attribution` (the shape of the explained
        input), and of a predicted target `explained_class` (int64, one per row).
    provenance : dict
        Method, options, target, head, hash of the model; stored in the file's metadata too.
    """

    proto: onnx.ModelProto
    provenance: dict[str, Any]

    def __call__(self, *inputs: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Prediction (the model's first output) and attribution, by ONNX Runtime.

        Parameters
        ----------
        *inputs : array
            One per input of the model, with the batch axis.
        """
        values = self.outputs(*inputs)
        return values[0], values[self.names.index(ATTRIBUTION)]

    def outputs(self, *inputs: ArrayLike) -> list[NDArray[Any]]:
        """All outputs, in the order of `names`."""
        ports = free_inputs(self.proto.graph)
        if len(inputs) != len(ports):
            raise InputError(f"the model has {len(ports)} inputs, {len(inputs)} were given.")
        feeds = {}
        for port, value in zip(ports, inputs, strict=True):
            feeds[port.name] = _fitted(value, port)
        return ran(self._session, None, feeds)

    @property
    def names(self) -> list[str]:
        """Of the outputs."""
        return [value.name for value in self.proto.graph.output]

    @cached_property
    def _session(self) -> Any:
        return session(self.proto)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, in a new folder if need be; weights beyond 1.5 GB go to PATH.data beside it."""
        with writing(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            stored(self.proto, Path(path))

    def __repr__(self) -> str:
        p = self.provenance
        options = ", ".join(f"{k}={v}" for k, v in p["options"].items())
        return f"{p['method']}({options}) of target {p['target']}, {len(self.proto.graph.node)} nodes"


def _fitted(value: ArrayLike, port: onnx.ValueInfoProto) -> NDArray[Any]:
    kind = helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
    try:
        array = np.asarray(value).astype(kind)
    except (TypeError, ValueError):
        raise InputError(f"the input {port.name!r} should be an array of {kind} numbers.") from None
    matches_graph_input(array, port, f"the input {port.name!r}")
    return array
