"""What the functions that find linear regions are given: read, and refused in a sentence."""

from __future__ import annotations

import os
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError
from symbolic.network import Network
from symbolic.pieces.line import End
from symbolic.reading.arrays import as_exact_array
from symbolic.reading.exact import exact_number
from symbolic.reading.loading import free_inputs, freeze_random, load_model, static_inputs

__all__ = ["Model", "as_arrays", "as_double", "as_doubles", "as_network", "as_segment"]

Model = str | os.PathLike[str] | onnx.ModelProto


def as_network(model: Model, x: NDArray[Any], seed: int | None = None) -> Network:
    """A model of one input, ready for linear pieces."""
    loaded = load_model(model)
    inputs = free_inputs(loaded.proto.graph)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise InputError(f"the model has {len(inputs)} inputs ({names}); fold all but one into the graph.")
    name = inputs[0].name
    static, _ = freeze_random(static_inputs(loaded.proto, {name: x.shape}), seed=seed)
    outputs = [value.name for value in static.graph.output]
    return Network(static, {name: as_doubles(x, "the start")}, name, outputs)


def as_arrays(**given: Any) -> list[NDArray[Any]]:
    """Points and directions of the input space, by what messages call them: exact, and of one shape."""
    arrays = [as_exact_array(value, name) for name, value in given.items()]
    if len({array.shape for array in arrays}) != 1:
        shapes = ", ".join(f"{name} has shape {a.shape}" for name, a in zip(given, arrays, strict=True))
        raise InputError(f"{shapes}; give them the same one.")
    return arrays


def as_segment(lo: Any, hi: Any) -> tuple[End, End]:
    """The ends of an interval, exactly; None stands for an infinite one."""
    low, high = _end(lo, "lo", -inf), _end(hi, "hi", inf)
    if low >= high:
        raise InputError(f"lo is {lo}, not less than hi, which is {hi}.")
    return low, high


def _end(value: Any, name: str, infinite: float) -> End:
    if value is None or (isinstance(value, float) and value == infinite):
        return infinite
    return exact_number(value, name)


def as_double(value: Fraction | float) -> float:
    """The nearest double; infinite beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def as_doubles(x: NDArray[Any], name: str) -> Array:
    """The nearest doubles, all finite."""
    rounded = np.array(list(map(as_double, x.reshape(-1).tolist()))).reshape(x.shape)
    if not np.isfinite(rounded).all():
        raise InputError(f"{name} is beyond the range of doubles; scale it.")
    return rounded
