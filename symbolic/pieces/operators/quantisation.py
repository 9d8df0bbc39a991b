"""Quantisation and the products of quantised numbers as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from symbolic.enclosures.values import Const, Range, map_value
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.casting import WHOLE, Whole, narrow_format
from symbolic.operators.integer_products import per_channel, per_column, per_row
from symbolic.operators.quantisation import granular
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.convolutions import convolved
from symbolic.pieces.operators.parts import absent, fractions, minimum, scaled, standing, units
from symbolic.pieces.operators.products import elementwise, matrix_product
from symbolic.pieces.program import Ids

__all__: list[str] = []

Factor = Units | Const
Fit = Callable[[Any], Any]
INT32 = WHOLE[TensorProto.INT32]


def _fitted(value: Factor, fit: Fit) -> Factor:
    """A scale or zero point in the shape that a rule for values gives it."""
    if isinstance(value, Const):
        made = fit(value)
    else:
        made = fit(Range(value.ids[None], value.ids[None]))
        return Units(made.lo[0])
    if not isinstance(made, Const):
        raise ModelError("a constant is no constant any more.")
    return made


def _zero(given: Given, index: int) -> Factor:
    """A zero point; 0 where it is left out."""
    value = None if absent(given, index) else given[index]
    return Const(np.zeros((), dtype=np.int64)) if value is None else value


def _scale(node: Node, given: Given, index: int) -> Const:
    value = standing(node, given, index)
    if value is None:
        raise ModelError(f"{node.label} lacks a scale.")
    return value


def _rounded(b: Builder, quotient: Ids, zero: Ids, to: Whole) -> Ids:
    """Rounded and shifted, within the type; held there before, so that what is rounded has bounds."""
    low = b.affine([(zero, -1.0)], float(to.least))
    high = b.affine([(zero, -1.0)], float(to.most))
    above = b.maximum(np.stack(np.broadcast_arrays(quotient, low), axis=-1))
    within = minimum(b, np.stack(np.broadcast_arrays(above, high), axis=-1))
    return b.affine([(b.staircase(within, "even"), 1.0), (zero, 1.0)])


def _inverse(factors: NDArray[Any], node: Node) -> NDArray[Any]:
    if not factors.all():
        raise ModelError(f"{node.label} has a scale of 0.")
    inverses = [1 / v for v in factors.reshape(-1).tolist()]
    return np.array(inverses, dtype=object).reshape(factors.shape)


@lowers("QuantizeLinear")
def quantize(b: Builder, node: Node, given: Given) -> list[Units]:
    """saturate(round(x / scale) + zero point), to integers."""
    x = units(b, node, given, 0)
    to = int(node.attributes.get("output_dtype", 0)) or TensorProto.UINT8
    if not absent(given, 2):
        to = node.input_type(2) or 0
    if to not in WHOLE or narrow_format(int(node.attributes.get("precision", 0))) is not None:
        raise ModelError(f"{node.label} rounds to narrow floats: there are no exact linear pieces.")
    if WHOLE[to].most > 2**32:
        raise ModelError(f"{node.label}: its integers are too large for exact linear pieces.")
    scale = _fitted(_scale(node, given, 1), lambda v: granular(node, v, x.shape))
    zero = _fitted(_zero(given, 2), lambda v: granular(node, v, x.shape))
    if not isinstance(scale, Const):
        raise ModelError(f"{node.label} has no constant scale.")
    quotient = scaled(b, x, _inverse(fractions(b, scale), node))
    return b.tensor(_rounded(b, quotient, b.ids(zero), WHOLE[to]))


@lowers("DequantizeLinear")
def dequantize(b: Builder, node: Node, given: Given) -> list[Units]:
    """(x - zero point) scale, by tensor, by axis or by block; the scale may move."""
    x = units(b, node, given, 0)
    if narrow_format(int(node.attributes.get("output_dtype", 0))) is not None:
        raise ModelError(f"{node.label} rounds to narrow floats: there are no exact linear pieces.")
    scale = given[1]
    if scale is None:
        raise ModelError(f"{node.label} lacks its scale.")
    zero = _fitted(_zero(given, 2), lambda v: granular(node, v, x.shape))
    factor = _fitted(scale, lambda v: granular(node, v, x.shape))
    return b.tensor(elementwise(b, Units(_difference(b, x, zero)), factor))


def _difference(b: Builder, x: Ids, zero: Factor) -> Ids:
    if isinstance(zero, Const):
        return b.affine([(x, 1.0)], -b.exactly(zero))
    return b.affine([(x, 1.0), (zero.ids, -1.0)])


def _centred(b: Builder, x: Factor, zero: Factor) -> Factor:
    """x - zero point."""
    if isinstance(x, Const) and isinstance(zero, Const):
        return Const(b.exactly(x) - b.exactly(zero))  # of 8 or 16 bits
    return Units(_difference(b, b.ids(x), zero))


def _there(node: Node, given: Given, index: int) -> Factor:
    value = given[index]
    if value is None:
        raise ModelError(f"{node.label} lacks input {index}.")
    return value


# ---- sums of products ----------------------------------------------------------------------------


def _convolution(b: Builder, node: Node, given: Given, places: tuple[int, int, int, int], bias: int) -> Ids:
    """``places`` are the input numbers of x, its zero point, the kernel and its zero point."""
    x, kernel = (_there(node, given, places[k]) for k in (0, 2))
    x = _centred(b, x, _fitted(_zero(given, places[1]), _scalar))
    zero = _fitted(_zero(given, places[3]), lambda v: per_channel(v, len(kernel.shape)))
    shift = None if absent(given, bias) else given[bias]
    made = convolved(b, node, x, _centred(b, kernel, zero), shift)
    b.hold(made, INT32.least, INT32.most)
    return made


def _product(b: Builder, node: Node, given: Given, places: tuple[int, int, int, int]) -> Ids:
    """``places`` are the input numbers of both matrices, and of their zero points."""
    left, right = (_there(node, given, places[k]) for k in (0, 1))
    rows = _fitted(_zero(given, places[2]), lambda v: per_row(v, len(left.shape)))
    columns = _fitted(_zero(given, places[3]), per_column)
    made = matrix_product(b, _centred(b, left, rows), _centred(b, right, columns))
    b.hold(made, INT32.least, INT32.most)
    return made


def _scalar(value: Any) -> Any:
    if int(np.prod(value.shape)) != 1:
        raise ModelError("one scale or zero point for the whole tensor is needed.")
    return map_value(value, lambda v, lead: v.reshape(v.shape[:lead]))


@lowers("ConvInteger")
def conv_integer(b: Builder, node: Node, given: Given) -> list[Units]:
    """Convolution of integers into 32 bits."""
    return b.tensor(_convolution(b, node, given, (0, 2, 1, 3), len(given)))


@lowers("MatMulInteger")
def matmul_integer(b: Builder, node: Node, given: Given) -> list[Units]:
    """Matrix product of integers into 32 bits."""
    return b.tensor(_product(b, node, given, (0, 1, 2, 3)))


@lowers("QLinearConv", "QLinearMatMul")
def quantised_product(b: Builder, node: Node, given: Given) -> list[Units]:
    """Sums of products times both scales, over the scale of the result, rounded."""
    kind = WHOLE.get(node.input_type(7) or 0)
    if kind is None:
        raise ModelError(f"{node.label}: its result is of no known integer type.")
    scales = [_scale(node, given, k) for k in (1, 4, 6)]
    if node.op_type == "QLinearConv":
        made = _convolution(b, node, given, (0, 2, 3, 5), 8)
        fits: list[Fit] = [_scalar, lambda v: per_channel(v, made.ndim - 1), _scalar]
        zero_fit: Fit = _scalar
    else:
        made = _product(b, node, given, (0, 3, 2, 5))
        rank = len(_there(node, given, 0).shape)
        fits = [lambda v: per_row(v, rank), per_column, _of_result]
        zero_fit = _of_result
    a, w, y = (fractions(b, _as_constant(_fitted(s, fit))) for s, fit in zip(scales, fits, strict=True))
    zero = b.ids(_fitted(_there(node, given, 7), zero_fit))
    return b.tensor(_rounded(b, scaled(b, made, a * w * _inverse(y, node)), zero, kind))


def _of_result(value: Any) -> Any:
    return _scalar(value) if len(value.shape) < 2 else value


def _as_constant(value: Factor) -> Const:
    if not isinstance(value, Const):
        raise ModelError("a scale is no constant.")
    return value
