"""The arrays of an audit, as the model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.hypothesis import Hypothesis
from symbolic.errors import InputError, ModelError
from symbolic.reading.arrays import (
    REAL_TYPES,
    as_exact_array,
    as_floats,
    matches_graph_input,
    rounded_to_graph_type,
)
from symbolic.reading.static_shapes import free_inputs

__all__ = ["read_inputs", "require_real_input"]


def read_inputs(
    model: onnx.ModelProto, hypothesis: Hypothesis, x: Any
) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
    """Arrays by input name, and the reference, from what the user gave."""
    wanted = free_inputs(model.graph)
    given: Any = x
    reference = None
    if hypothesis.takes_reference:
        if not isinstance(x, (tuple, list)) or len(x) != 2:
            raise InputError("ReferenceMeanDiff needs the pair (input, reference).")
        given, other = x
        reference = as_floats(as_exact_array(other, "reference"), "reference")
    several = isinstance(given, (tuple, list)) and len(wanted) > 1
    parts: Sequence[Any] = list(given) if several else [given]
    if len(parts) != len(wanted):
        names = ", ".join(value.name for value in wanted)
        raise InputError(f"the model has {len(wanted)} inputs ({names}); give a list of as many arrays.")
    arrays = {}
    for value, part in zip(wanted, parts, strict=True):
        array = as_floats(as_exact_array(part, value.name), value.name)
        matches_graph_input(array, value)
        rounded_to_graph_type(array, value.type.tensor_type.elem_type, value.name)  # in range, or refused
        arrays[value.name] = array
    tested = arrays[wanted[hypothesis.i_idx].name] if hypothesis.i_idx < len(wanted) else None
    if reference is not None and tested is not None and reference.shape != tested.shape:
        raise InputError(
            f"the reference has shape {reference.shape}, but the input has shape {tested.shape}."
        )
    return arrays, reference


def require_real_input(model: onnx.ModelProto, i_idx: int) -> None:
    """Refuse to move integers along a line."""
    inputs = free_inputs(model.graph)
    if not isinstance(i_idx, (int, np.integer)) or not 0 <= i_idx < len(inputs):
        return  # said when there is an input
    name, kind = inputs[i_idx].name, inputs[i_idx].type.tensor_type.elem_type
    if kind not in REAL_TYPES:
        known = {number: word for word, number in onnx.TensorProto.DataType.items()}
        raise ModelError(
            f"the model's input {name!r} is of {known.get(kind, 'an unknown type')}, and Gaussian noise is "
            "of real numbers; give the model an input of floats."
        )
