"""Operators whose result does not depend on the values of a moving input."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from symbolic.enclosures.values import Batch, Const, Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, evaluate_exactly, operator, required

LIMIT = 2**26
"""Elements that an operator may create out of nothing."""


def bounded(node: Node, shape: Sequence[int]) -> None:
    """Refuse a result that is too large, or of no shape, before it is made."""
    if min(shape, default=0) < 0 or prod(shape) > LIMIT:
        raise ModelError(f"{node.label}: a tensor of shape {list(shape)} is too large, or no tensor at all.")


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """Floating types of any width as float64, exactly; integers and booleans as they are (in a byte at
    least)."""
    if array.dtype.kind in "iub":
        return array
    if array.dtype.name in ("int4", "uint4", "int2", "uint2"):
        return array.astype(np.int8 if array.dtype.name.startswith("int") else np.uint8)
    if array.dtype.kind in "fV" or array.dtype.name in ("bfloat16",):
        wide = array.astype(np.float64)
        if np.isnan(wide).any():
            raise ModelError("a stored constant of the model is not a number.")
        return wide
    raise ModelError(f"a constant of type {array.dtype} has no meaning on the real line.")


def fixed(*values: NDArray[Any]) -> Rule:
    """A rule whose outputs are constants."""
    outputs = tuple(Const(v) for v in values)

    def rule(batch: Batch, inputs: Inputs) -> tuple[Value, ...]:
        return outputs

    return rule


@operator("Constant")
def constant_node(node: Node, inputs: Inputs) -> Rule:
    """The constant in any of its notations."""
    if len(node.attributes) != 1:
        raise ModelError(f"{node.label} needs exactly one value.")
    for name, value in node.attributes.items():
        if name == "value":
            return fixed(widened(numpy_helper.to_array(value)))
        if name in ("value_float", "value_floats"):
            return fixed(np.asarray(value, dtype=np.float64))
        if name in ("value_int", "value_ints"):
            return fixed(np.asarray(value, dtype=np.int64))
    raise ModelError(f"{node.label}: only tensor, float and int constants are supported.")


@operator("Shape", "Size")
def shape(node: Node, inputs: Inputs) -> Rule:
    """Shape (with start and end) or number of elements."""
    dims = np.asarray(required(node, inputs).shape, dtype=np.int64)
    if node.op_type == "Size":
        return fixed(np.asarray(dims.prod(), dtype=np.int64))
    return fixed(dims[slice(node.attributes.get("start", 0), node.attributes.get("end"))])


@operator("ConstantOfShape")
def constant_of_shape(node: Node, inputs: Inputs) -> Rule:
    """One value repeated."""
    dims = inputs[0]
    if not isinstance(dims, Const):
        raise ModelError(f"{node.label}: its shape must be a constant.")
    sizes = [int(v) for v in dims.value.reshape(-1)]
    bounded(node, sizes)
    value = node.attributes.get("value")
    fill = np.zeros(1) if value is None else widened(numpy_helper.to_array(value))
    return fixed(np.full(sizes, fill.reshape(-1)[0]))


@operator("EyeLike")
def eye_like(node: Node, inputs: Inputs) -> Rule:
    """Ones on a diagonal."""
    shape = required(node, inputs).shape
    if len(shape) != 2:
        raise ModelError(f"{node.label} needs a matrix.")
    kind = onnx.helper.tensor_dtype_to_np_dtype(node.attributes.get("dtype", onnx.TensorProto.FLOAT))
    return fixed(widened(np.eye(*shape, k=int(node.attributes["k"])).astype(kind)))


BFLOAT16 = onnx.helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16).type
_PRECISIONS: dict[int, tuple[Any, ...]] = {
    TensorProto.FLOAT: (np.float32, np.float64),
    TensorProto.DOUBLE: (np.float64,),
    TensorProto.FLOAT16: (np.float16, np.float32, np.float64),
    TensorProto.BFLOAT16: (BFLOAT16, np.float32, np.float64),
}
"""In what runtimes compute how many elements a Range has, by element type."""


def _rounded_counts(kind: int | None, start: Fraction, limit: Fraction, step: Fraction) -> set[int | None]:
    """How many elements runtimes find: with a quotient of the type itself, or of double precision."""
    found: set[int | None] = set()
    with np.errstate(all="ignore"):
        for precision in _PRECISIONS.get(kind or 0, (np.float32, np.float64)):
            first, last, delta = (precision(float(v)) for v in (start, limit, step))
            length = last - first
            for quotient in (float(length / delta), np.float64(length) / np.float64(delta)):
                found.add(max(0, ceil(quotient)) if np.isfinite(quotient) else None)
    return found


@operator("Range")
def arithmetic_progression(node: Node, inputs: Inputs) -> Rule:
    """start, start + step, ... before the limit."""
    given = [v for v in inputs if isinstance(v, Const) and v.radius is None and np.isfinite(v.value).all()]
    if len(given) != 3:
        raise ModelError(f"{node.label}: only exact constants are supported.")
    start, limit, step = (Fraction(v.value.reshape(-1)[0].item()) for v in given)
    if step == 0 or abs(limit - start) > LIMIT * abs(step):
        raise ModelError(f"{node.label}: too many elements.")
    if not given[0].is_float:
        return fixed(*evaluate_exactly(node, [v.value for v in given]))
    count = max(0, ceil((limit - start) / step))
    if _rounded_counts(node.input_type(0), start, limit, step) != {count}:
        raise ModelError(f"{node.label}: how many elements it has depends on the runtime's rounding.")
    bounded(node, [count, 2**8])  # fractions are large
    exact = [start + k * step for k in range(count)]
    values = np.array([float(v) for v in exact])
    radius = np.abs(values) * 2.0**-52
    whole = all(Fraction(float(v)) == v for v in exact)
    progression = Const(values, None if whole else radius)
    return lambda batch, given: (progression,)
