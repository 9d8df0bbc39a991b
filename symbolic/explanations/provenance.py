"""What an explained model says of itself: the names of its outputs, and how the attribution was made."""

from __future__ import annotations

import json
from typing import Any

import onnx

__all__ = ["ATTRIBUTION", "EXPLAINED_CLASS", "KEY", "class_output", "provenance_of"]

ATTRIBUTION = "attribution"
EXPLAINED_CLASS = "explained_class"
KEY = "sureline.explanation"
"""Of the file's metadata."""


def provenance_of(proto: onnx.ModelProto) -> dict[str, Any] | None:
    """Method, options, target and hash of the explained network; None of a model without an explanation."""
    for entry in proto.metadata_props:
        if entry.key == KEY:
            try:
                found = json.loads(entry.value)
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None


def class_output(proto: onnx.ModelProto) -> str | None:
    """The output of an explained model that says which class was explained, if that depends on the input."""
    if provenance_of(proto) is None:
        return None
    kinds = {value.name: value.type.tensor_type.elem_type for value in proto.graph.output}
    return EXPLAINED_CLASS if kinds.get(EXPLAINED_CLASS) == onnx.TensorProto.INT64 else None
