"""Matrix products with a constant, and products of two moving matrices."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.linear import Weights, bilinear_map, each, linear_map, overflow_blurred
from symbolic.enclosures.rounding import UP, Array, gamma
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value
from symbolic.errors import ModelError
from symbolic.node import Absorbing, Inputs, Node, Rule, one_moves, operator, required
from symbolic.operators.casting import WHOLE


def _one_factor_moves(node: Node, inputs: Inputs) -> bool:
    return one_moves(node, inputs[:2])


@operator("Gemm", exact=_one_factor_moves, homogeneous=_one_factor_moves, wraps=True)
def gemm(node: Node, inputs: Inputs) -> Rule:
    """alpha A' B' + beta C with constant A or B."""
    alpha, beta = node.number("alpha"), node.number("beta")
    flip_a, flip_b = node.flag("transA"), node.flag("transB")
    if any(len(required(node, inputs, k).shape) != 2 for k in (0, 1)):
        raise ModelError(f"{node.label} needs two matrices.")
    if node.input_type(0) in WHOLE and not (alpha.is_integer() and beta.is_integer()):
        raise ModelError(f"{node.label}: what fractions make of integers is not clear.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, b = (_transposed(required(node, values, k), flip) for k, flip in enumerate((flip_a, flip_b)))
        result = matrix_product(batch, a, b)
        if alpha != 1.0:
            result = forms.scale(result, np.array(alpha))
        addend = values[2] if len(values) > 2 else None
        if addend is not None and beta != 0.0:
            term = batch.lift(addend)
            result = forms.add(result, term if beta == 1.0 else forms.scale(term, np.array(beta)))
        return (result,)

    return _fast_gemm(node, inputs, rule, (alpha, beta, flip_a, flip_b))


def _fast_gemm(node: Node, inputs: Inputs, general: Rule, how: tuple[float, float, bool, bool]) -> Rule:
    """x W + bias, the form that exporters write, with the bias inside the linear map."""
    alpha, beta, flip_a, flip_b = how
    matrix = required(node, inputs, 1)
    bias = inputs[2] if len(inputs) > 2 else None
    if alpha != 1.0 or beta != 1.0 or flip_a or not isinstance(matrix, Const) or isinstance(inputs[0], Const):
        return general
    if bias is not None and not isinstance(bias, Const):
        return general
    weights = Weights.of(matrix).arranged(lambda w: w.T if flip_b else w)
    return _right_product(node, weights, bias)


def _right_product(node: Node, weights: Weights, bias: Const | None) -> Rule:
    terms = weights.signed.shape[-2]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(required(node, values)), weights, each(np.matmul), terms, batch, bias),)

    return Absorbing(rule, (1, 2))


@operator("MatMul", exact=one_moves, homogeneous=one_moves, wraps=True)
def matmul(node: Node, inputs: Inputs) -> Rule:
    """numpy.matmul."""
    left, right = required(node, inputs, 0), required(node, inputs, 1)
    if isinstance(right, Const) and len(right.shape) == 2 and not isinstance(left, Const):
        if len(left.shape) > 1:
            return _right_product(node, Weights.of(right), None)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (matrix_product(batch, required(node, values, 0), required(node, values, 1)),)

    return rule


def _transposed(value: Value, flip: bool) -> Value:
    if not flip:
        return value
    if isinstance(value, Const):
        return Const(value.value.T, None if value.radius is None else value.radius.T)
    if isinstance(value, Range):
        return Range(value.lo.swapaxes(-1, -2), value.hi.swapaxes(-1, -2))
    return Affine(*(x.swapaxes(-1, -2) for x in (value.c, value.d, value.r)))


def matrix_product(batch: Batch, a: Value, b: Value) -> Affine:
    """a @ b in the sense of numpy.matmul, for any mixture of constants and moving factors.

    On a ray the product has the scale once, that of two constants too.
    """
    vector_a, vector_b = len(a.shape) == 1, len(b.shape) == 1
    terms = a.shape[-1]
    if isinstance(b, Const) and (batch.is_ray or not isinstance(a, Const)):
        matrix = Const(b.value[:, None], None if b.radius is None else b.radius[:, None]) if vector_b else b
        x = _with_axis(batch.lift(a), 1) if vector_a else batch.lift(a)
        result = linear_map(
            _ranked(x, matrix.value.ndim), Weights.of(matrix), each(np.matmul), terms, batch, None
        )
    elif isinstance(a, Const) and not isinstance(b, Const):
        matrix = Const(a.value[None], None if a.radius is None else a.radius[None]) if vector_a else a
        x = _with_axis(batch.lift(b), 2) if vector_b else batch.lift(b)
        result = linear_map(
            _ranked(x, matrix.value.ndim), Weights.of(matrix), each(_left_apply), terms, batch, None
        )
    else:
        x, y = batch.lift(a), batch.lift(b)
        x, y = _with_axis(x, 1) if vector_a else x, _with_axis(y, 2) if vector_b else y
        result = bilinear_map(*forms.aligned(x, y), np.matmul, terms)
    if vector_a:
        result = Affine(*(v[..., 0, :] for v in (result.c, result.d, result.r)))
    if vector_b:
        result = Affine(*(v[..., 0] for v in (result.c, result.d, result.r)))
    return result


def _left_apply(x: Array, w: Array) -> Array:
    return np.asarray(np.matmul(w, x))


def _with_axis(x: Affine, place: int) -> Affine:
    """Turn a vector into a row (1) or a column (2)."""
    return Affine(*(np.expand_dims(v, place) for v in (x.c, x.d, x.r)))


def _ranked(x: Affine, rank: int) -> Affine:
    """Insert broadcasting axes behind the batch axis, so that the constant factor does not meet the batch."""
    missing = rank - (x.c.ndim - 1)
    if missing <= 0:
        return x
    shape = (x.c.shape[0], *(1,) * missing, *x.c.shape[1:])
    return Affine(*(v.reshape(shape) for v in (x.c, x.d, x.r)))


def sum_over(x: Affine, axes: tuple[int, ...], terms: int) -> Affine:
    """Sum over axes: a linear map with unit weights (additions do not underflow)."""
    c, d = x.c.sum(axis=axes), x.d.sum(axis=axes)
    r = (x.r + gamma(terms + 2) * 2 * (np.abs(x.c) + np.abs(x.d))).sum(axis=axes)
    return Affine(c, d, overflow_blurred(r * (1.0 + gamma(terms + 2)) * UP, c, d))
