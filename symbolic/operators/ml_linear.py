"""Linear models of ai.onnx.ml, and what is done to features before and to scores behind them."""

from __future__ import annotations

import math

import numpy as np

from symbolic.enclosures import forms
from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value
from symbolic.errors import ModelError
from symbolic.node import ML, Inputs, Node, Rule, operator, required
from symbolic.operators.ml_scores import (
    class_labels,
    is_untransformed,
    of_two,
    scores_are_exact,
    standard,
    transform,
    winner,
)


def _list(node: Node, name: str) -> Array:
    return np.array(node.attributes.get(name, ()), dtype=np.float64)


def _score_rule(node: Node, inputs: Inputs, targets: int) -> Rule:
    """X W' + intercepts, with one row of coefficients per target."""
    shape = required(node, inputs).shape
    coefficients, intercepts = _list(node, "coefficients"), _list(node, "intercepts")
    if len(shape) != 2 or coefficients.size != targets * shape[1] or intercepts.size not in (0, targets):
        raise ModelError(f"{node.label}: its coefficients do not fit an input of shape {shape}.")
    weights = Weights.of(Const(coefficients.reshape(targets, -1).T))
    bias = Const(intercepts) if intercepts.size else None

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        return (linear_map(x, weights, each(np.matmul), shape[1], batch, bias),)

    return rule


@operator("LinearRegressor", exact=scores_are_exact, homogeneous=is_untransformed, domain=ML)
def linear_regressor(node: Node, inputs: Inputs) -> Rule:
    """One linear function per target."""
    targets = int(node.attributes["targets"])
    scores = _score_rule(node, inputs, targets)
    last = transform(node, (required(node, inputs).shape[0], targets))
    return lambda batch, values: (last(batch, batch.lift(scores(batch, values)[0])),)


@operator("LinearClassifier", exact=scores_are_exact, homogeneous=is_untransformed, domain=ML)
def linear_classifier(node: Node, inputs: Inputs) -> Rule:
    """The first class of the greatest score; a single score is the second class's, positive where it wins."""
    labels = class_labels(node, "classlabels_ints")
    classes = labels if isinstance(labels, int) else len(labels)
    shape = required(node, inputs).shape
    single = classes == 2 and _list(node, "coefficients").size == shape[-1]
    if classes < 2 or single and node.text("post_transform") != "LOGISTIC":
        raise ModelError(f"{node.label}: {classes} classes with this post_transform are not supported.")
    scores = _score_rule(node, inputs, 1 if single else classes)
    last = transform(node, (shape[0], classes))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        found = batch.lift(scores(batch, values)[0])
        if not single:
            return winner(found, labels), last(batch, found)
        label, both = of_two(batch, found, labels, 0.0)
        return label, last(batch, both)

    return rule


@operator("Scaler", domain=ML)
def scaler(node: Node, inputs: Inputs) -> Rule:
    """(x - offset) scale, per feature or the same for all."""
    offset, scale = _list(node, "offset"), _list(node, "scale")
    shape = required(node, inputs).shape
    if any(v.size not in (1, shape[-1] if shape else 1) for v in (offset, scale)):
        raise ModelError(f"{node.label}: its offset and scale do not fit an input of shape {shape}.")

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        centred = forms.subtract(batch.lift(required(node, values)), batch.lift(Const(offset)))
        return (forms.scale(centred, scale),)

    return rule


@operator("Normalizer", exact=False, homogeneous=False, domain=ML)
def normalizer(node: Node, inputs: Inputs) -> Rule:
    """Rows divided by their maximum or norm. As in every implementation, norms are of absolute values."""
    kind, x = node.text("norm"), required(node, inputs)
    if kind in ("L1", "L2"):
        return standard(node, "LpNormalization", inputs, axis=-1, p=int(kind[1]))
    if kind != "MAX":
        raise ModelError(f"{node.label} has the unknown norm {kind!r}.")
    greatest = standard(node, "ReduceMax", [x], opset=17, axes=[-1], keepdims=1)
    quotient = standard(node, "Div", [Const(np.ones(x.shape)), Const(np.ones((*x.shape[:-1], 1)))])

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        form = batch.lift(required(node, values))
        top = batch.lift(greatest(batch, [form])[0])
        nothing = (top.c == 0) & (top.d == 0) & (top.r == 0)  # then the row stays as it is
        return quotient(batch, [form, Affine(np.where(nothing, 1.0, top.c), top.d, top.r)])

    return rule


@operator("Binarizer", domain=ML)
def binarizer(node: Node, inputs: Inputs) -> Rule:
    """1 above the threshold, else 0."""
    level = Const(np.array(node.number("threshold")))
    above = standard(node, "Greater", [*inputs, level])

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        (truth,) = above(batch, [batch.lift(required(node, values)), level])
        if not isinstance(truth, Range):
            raise ModelError(f"{node.label} cannot be decided.")
        return (Range(truth.lo.astype(np.float64), truth.hi.astype(np.float64)),)

    return rule


@operator("Imputer", domain=ML)
def imputer(node: Node, inputs: Inputs) -> Rule:
    """Another value in place of one; a real number is never NaN."""
    replaced = node.number("replaced_value_float")
    imputed = _list(node, "imputed_value_floats")
    shape = required(node, inputs).shape
    if not shape or imputed.size not in (1, shape[-1]) or node.integers("imputed_value_int64s", ()):
        raise ModelError(f"{node.label}: only floats can be imputed, one for all features or one for each.")
    if math.isnan(replaced):
        return lambda batch, values: (batch.lift(required(node, values)),)
    level, other = Const(np.array(replaced)), Const(np.broadcast_to(imputed, shape))
    same = standard(node, "Equal", [Const(np.ones(shape)), level])
    choose = standard(node, "Where", [Const(np.zeros(shape, dtype=bool)), other, Const(np.ones(shape))])

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        return choose(batch, [*same(batch, [x, level]), other, x])

    return rule
