"""Sums, differences, products and quotients."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from symbolic.enclosures import forms
from symbolic.enclosures.ranges import aligned_ranges, truncated_quotient
from symbolic.enclosures.rounding import UP, U
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, is_integer
from symbolic.errors import ModelError
from symbolic.node import (
    Inputs,
    Node,
    Rule,
    evaluate_exactly,
    moves_integers,
    one_moves,
    operator,
    required,
)
from symbolic.operators.casting import WHOLE
from symbolic.operators.exact_constants import of_constants
from symbolic.operators.smooth import reciprocal

NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def exact_integers(node: Node, values: Inputs) -> tuple[Value, ...]:
    """Integer arithmetic of constants, by the reference operator."""
    arrays = [v.value if isinstance(v, Const) else None for v in values]
    return tuple(Const(a) for a in evaluate_exactly(node, arrays))


def on_integers_or(node: Node, inputs: Inputs, rule: Rule) -> Rule:
    """``rule``, unless all inputs are integer constants."""
    present = [v for v in inputs if v is not None]
    if all(is_integer(v) for v in present):
        return lambda batch, values: exact_integers(node, values)
    return rule


@operator("Add", "Sub", "Sum", wraps=True)
def additive(node: Node, inputs: Inputs) -> Rule:
    """Sums and differences; a single difference keeps exact zeros. Sums of narrow floats are often exact,
    and then halfway between two others."""
    add = forms.add_sharply if node.input_type(0) in NARROW else forms.add

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        exact = of_constants(node.op_type, values)
        if exact is not None:
            return (exact,)
        terms = [batch.lift(v) for v in values if v is not None]
        total = terms[0]
        for term in terms[1:]:
            term = forms.negative(term) if node.op_type == "Sub" else term
            total = forms.absorbed(add(total, term), total, term)
        return (total,)

    return on_integers_or(node, inputs, rule)


@operator("Neg", wraps=True)
def neg(node: Node, inputs: Inputs) -> Rule:
    """Sign change, exact."""

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        if isinstance(value, Const):
            return (Const(-value.value, value.radius),)
        if isinstance(value, Range):
            return (Range(-value.hi, -value.lo),)
        return (forms.negative(value),)

    return rule


def _divides_by_a_constant(node: Node, inputs: Inputs) -> bool:
    return isinstance(inputs[1], Const) or moves_integers(inputs)


@operator("Div", exact=_divides_by_a_constant, homogeneous=_divides_by_a_constant)
@operator("Mul", exact=one_moves, homogeneous=one_moves, wraps=True)
def multiplicative(node: Node, inputs: Inputs) -> Rule:
    """Products, exactly linear with a constant factor, and quotients."""
    combine = multiply if node.op_type == "Mul" else divide
    if node.op_type == "Div" and moves_integers(inputs):
        return _truncating(node)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        exact = of_constants(node.op_type, values)
        if exact is not None:
            return (exact,)
        return (combine(batch, required(node, values, 0), required(node, values, 1)),)

    return on_integers_or(node, inputs, rule)


def _truncating(node: Node) -> Rule:
    """Integer division."""
    kind = WHOLE.get(node.input_type(0) or 0)
    if kind is None:
        raise ModelError(f"{node.label} divides integers of an unknown type.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        a, b = aligned_ranges(batch, required(node, values, 0), required(node, values, 1))
        return (truncated_quotient(a, b, kind.least, kind.most),)

    return rule


def multiply(batch: Batch, a: Value, b: Value) -> Affine:
    """a * b for any two values."""
    if isinstance(b, Const):
        return forms.scale(batch.lift(a), b.value.astype(np.float64), b.radius)
    if isinstance(a, Const):
        return forms.scale(batch.lift(b), a.value.astype(np.float64), a.radius)
    return forms.product(batch.lift(a), batch.lift(b))


def divide(batch: Batch, a: Value, b: Value) -> Affine:
    """a / b for any two values, a product with the reciprocal; undefined (NaN) where b may be 0."""
    if isinstance(b, Const):
        inverse = reciprocal(Batch(1).lift(b))
        x = batch.lift(a)
        divisor = b.value.astype(np.float64)
        result = forms.scale(x, inverse.c[0], inverse.r[0])
        if b.radius is not None or batch.is_ray:
            return result
        # an exact divisor: one division each, correctly rounded
        form = forms.aligned(x, Affine(divisor[None], divisor[None], divisor[None]))[0]
        with np.errstate(all="ignore"):
            c, d = form.c / divisor, form.d / divisor
        ok = np.isfinite(result.r)
        r = form.r / np.abs(divisor) + (np.abs(c) + np.abs(d)) * (2 * U)
        r = np.where((c != 0) | (d != 0) | (form.r != 0) | (form.c != 0), r + 2.0**-1060, r) * UP
        return Affine(np.where(ok, c, np.nan), d, np.where(np.isinf(c) & (result.r == 0), 0.0, r))
    return forms.product(batch.lift(a), reciprocal(batch.lift(b)))
