"""Quotients of differences, without the choices that runtimes are slow at."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from symbolic.explanations.graph import Tensor

__all__ = ["raised", "secant"]


def raised(x: Tensor) -> Tensor:
    """Zeros, among numbers that are not negative, as the smallest normal number, to divide by."""
    tiny = np.finfo(helper.tensor_dtype_to_np_dtype(x.elem_type)).tiny
    return x.graph.node("Max", [x, x.like(tiny)], shape=x.shape)


def secant(rise: Tensor, run: Tensor, tangent: Tensor | None) -> Tensor:
    """rise / run, and the tangent (0 if None) where the run is 0, and so the rise."""
    zero = run.graph.node("Equal", [run, run.like(0.0)], shape=run.shape, elem_type=TensorProto.BOOL)
    equal = zero.cast(run.elem_type)
    return (rise if tangent is None else rise + equal * tangent) / (run + equal)
