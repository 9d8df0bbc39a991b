"""Cast: the identity between wide floats, an enclosed rounding to narrow ones, a step to integers and
booleans.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from .check_discrete import COMPARISONS, Discrete, logical_not, to_form, to_integer
from .check_errors import NotHomogeneous
from .check_integers import Form, magnitude
from .check_operators import Context, Node, Value, operator

__all__ = ["REALS"]

REALS = {
    onnx.TensorProto.FLOAT: None,
    onnx.TensorProto.DOUBLE: None,
    onnx.TensorProto.FLOAT16: (11, -24, 65504),
    onnx.TensorProto.BFLOAT16: (8, -133, None),
}
WHOLE = {
    onnx.TensorProto.INT8: (-(2**7), 2**7),
    onnx.TensorProto.INT16: (-(2**15), 2**15),
    onnx.TensorProto.INT32: (-(2**31), 2**31),
    onnx.TensorProto.INT64: (-(2**52), 2**52),
    onnx.TensorProto.UINT8: (0, 2**8),
    onnx.TensorProto.UINT16: (0, 2**16),
    onnx.TensorProto.UINT32: (0, 2**32),
}


@operator("Cast", elementwise=True)
def _cast(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """Between floats of 32 and 64 bits the identity; narrower floats add their error; else a step."""
    v, to, ar = inputs[0], node.get("to"), ctx.ar
    if to in REALS:
        out, narrow = to_form(ar, v), REALS[to]
        if narrow is None or isinstance(v, Discrete) and max(magnitude(v.lo), magnitude(v.hi)) <= 256:
            return out
        if out.degree:
            raise NotHomogeneous("Cast")
        lo, hi = ar.bounds(out)
        size = np.maximum(np.abs(lo), np.abs(hi))
        bits, least, largest = narrow
        if largest is not None and (size.astype(object) * Fraction(2) ** out.e > largest).any():
            raise node.refuse("a value overflows float16")
        extra = (size >> bits) + 1
        out = replace(out, r=out.r + extra, same=None)
        return ar.add(out, ar.form(np.zeros((1,), dtype=object), least - 1, r=np.ones((1,), dtype=object)))
    if to == onnx.TensorProto.BOOL:
        zero = Discrete.known(0)
        return logical_not(
            COMPARISONS["Equal"](ar, v, zero if isinstance(v, Discrete) else to_form(ar, zero))
        )
    if to in WHOLE:
        if isinstance(v, Form) and v.degree:
            raise NotHomogeneous("Cast")
        out_integers = v if isinstance(v, Discrete) else to_integer(ar, v, truncate=True)
        least_int, end = WHOLE[to]
        if (out_integers.lo < least_int).any() or (out_integers.hi >= end).any():
            raise node.refuse("a value does not fit the integer type")
        return out_integers
    raise node.refuse("the type is not supported")
