"""Features and labels of ai.onnx.ml: picked, joined, and mapped by tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from symbolic.enclosures.hulls import unknown_where
from symbolic.enclosures.rounding import UP
from symbolic.enclosures.values import (
    ANYTHING,
    Affine,
    Batch,
    Const,
    Range,
    Value,
    as_range,
    is_discrete,
    map_value,
)
from symbolic.errors import ModelError
from symbolic.node import ML, Inputs, Node, Rule, operator, required
from symbolic.operators.ml_scores import standard
from symbolic.operators.shapes import bounded

FOUND = 2**20
"""Most comparisons of elements with keys."""


@operator("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(node: Node, inputs: Inputs) -> Rule:
    """Gather along the last axis, by a flat list of indices; a vector counts as one row."""
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    if isinstance(indices, Const) and indices.value.size and indices.value.min() < 0:
        raise ModelError(f"{node.label} has a negative index.")
    gather = standard(node, "Gather", [data, indices], axis=-1)
    shape = (*(data.shape[:-1] if len(data.shape) > 1 else (1,)), int(np.prod(indices.shape)))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        (picked,) = gather(batch, values)
        return (map_value(picked, lambda array, lead: array.reshape(*array.shape[:lead], *shape)),)

    return rule


@operator("FeatureVectorizer", domain=ML)
def feature_vectorizer(node: Node, inputs: Inputs) -> Rule:
    """Features side by side, as real numbers."""
    sizes = node.integers("inputdimensions", ())
    shapes = [required(node, inputs, k).shape for k in range(len(inputs))]
    if [shape[1:] for shape in shapes] != [(size,) for size in sizes]:
        raise ModelError(f"{node.label} needs matrices, with as many columns as inputdimensions says.")
    bounded(node, [shapes[0][0], sum(sizes)])

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        parts = [batch.lift(required(node, values, k)) for k in range(len(values))]
        c, d, r = (np.concatenate([getattr(f, k) for f in parts], axis=-1) for k in "cdr")
        return (Affine(c, d, r),)

    return rule


def _table(node: Node, side: str) -> NDArray[Any]:
    """The keys, or the values, in any of their notations."""
    found = [
        np.asarray(node.attributes[name], dtype=kind)
        for name, kind in ((f"{side}_int64s", np.int64), (f"{side}_floats", np.float64))
        if node.attributes.get(name)
    ]
    if f"{side}_tensor" in node.attributes:
        array = numpy_helper.to_array(node.attributes[f"{side}_tensor"]).reshape(-1)
        if array.dtype.kind in "iuf":
            found.append(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
    if len(found) != 1:
        raise ModelError(f"{node.label} needs {side} that are numbers.")
    return found[0]


def _default(node: Node, values: NDArray[Any]) -> NDArray[Any]:
    """What stands for an element that is no key."""
    if "default_tensor" in node.attributes:
        return numpy_helper.to_array(node.attributes["default_tensor"]).reshape(-1)[:1].astype(values.dtype)
    name = "default_int64" if values.dtype.kind == "i" else "default_float"
    if "values_tensor" in node.attributes:
        return np.array([-1 if values.dtype.kind == "i" else 0], dtype=values.dtype)
    return np.array([node.attributes[name]], dtype=values.dtype)


def table_of(node: Node) -> tuple[NDArray[Any], NDArray[Any]]:
    """Different keys, and their values with that of all others behind them; the last of equal keys counts."""
    if node.opset < 2:
        raise ModelError(f"{node.label}: before operator set 2 one side of the table is of strings.")
    keys, values = _table(node, "keys"), _table(node, "values")
    if len(keys) != len(values):
        raise ModelError(f"{node.label} has {len(keys)} keys and {len(values)} values.")
    last = {key: k for k, key in enumerate(keys.tolist()) if key == key}
    order = np.array(sorted(last.values()), dtype=np.intp)
    keys, values = keys[order], np.append(values[order], _default(node, values))
    if not np.isfinite(values).all():
        raise ModelError(f"{node.label} has values that are no real numbers.")
    return keys, values


@operator("LabelEncoder", homogeneous=lambda node, inputs: is_discrete(inputs[0]), domain=ML)
def label_encoder(node: Node, inputs: Inputs) -> Rule:
    """A table."""
    keys, values = table_of(node)
    size = int(np.prod(required(node, inputs).shape))
    if size * (len(keys) + 1) > FOUND:
        raise ModelError(f"{node.label}: the table is too large for so many elements.")

    whole = values.dtype.kind == "i"

    def rule(batch: Batch, given: Inputs) -> tuple[Value, ...]:
        x = required(node, given)
        may, other = _matches(batch, x, keys)
        possible = np.concatenate([may, other[..., None]], axis=-1)
        limit = np.iinfo(np.int64) if whole else np.finfo(np.float64)
        lo = np.where(possible, values, limit.max).min(axis=-1)
        hi = np.where(possible, values, limit.min).max(axis=-1)
        found = Range(lo, hi) if whole else batch.lift(Range(lo, hi))
        undefined = as_range(batch, x).hi == ANYTHING if is_discrete(x) else np.zeros(lo.shape, dtype=bool)
        return (unknown_where(found, undefined),)

    return rule


def _matches(batch: Batch, x: Value, keys: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which keys (a new last axis) an element may be, and whether it may be none of them."""
    if is_discrete(x):
        found = as_range(batch, x)
        lo, hi = found.lo[..., None], found.hi[..., None]
        may = (lo <= keys) & (keys <= hi)
        others = found.hi.astype(np.uint64) - found.lo.astype(np.uint64)  # exact, modulo 2**64
        return may, may.sum(axis=-1).astype(np.uint64) <= others
    form = batch.lift(x)
    difference = form.c[..., None] - keys
    h = form.half_width()[..., None] * UP
    surely = (difference == 0) & (h == 0)
    return ~((np.abs(difference) > h) & (h < np.inf)), ~surely.any(axis=-1)
