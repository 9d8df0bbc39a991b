"""Linear models, features and labels of ai.onnx.ml."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from verifier.check.errors import Undecided
from verifier.check.numbers.discrete import COMPARISONS, Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.numbers.relaxations import absolute, select, tournament
from verifier.check.numbers.smooth import smooth
from verifier.check.operators.reduce import total
from verifier.check.operators.registry import LARGEST_TENSOR, Context, Node, Value, operator, whole_numbers
from verifier.check.operators.scores import labelled, labels_of, of_two, post_transform, transformed, winner
from verifier.check.operators.structure import gather, make_constant

__all__: list[str] = []


def _numbers(node: Node, name: str) -> Array:
    return np.array(node.get(name) or [], dtype=np.float64)


def _scores(ctx: Context, node: Node, x: Form, targets: int) -> Form:
    """x W' + intercepts, a row of W for every target."""
    coefficients, intercepts = _numbers(node, "coefficients"), _numbers(node, "intercepts")
    if len(x.shape) != 2 or coefficients.size != targets * x.shape[1] or intercepts.size not in (0, targets):
        raise node.refuse("its coefficients do not fit its input")
    rows = np.arange(math.prod(x.shape)).reshape(1, *x.shape).swapaxes(1, 2)
    weights, bias = ctx.once(
        node,
        lambda: (
            Weights.of(ctx.ar, ctx.ar.constant(coefficients.reshape(1, targets, -1))),
            ctx.ar.constant(intercepts),
        ),
    )
    y = linear(ctx.ar, weights, x, rows).each(lambda a: a[0].swapaxes(0, 1))
    return ctx.ar.add(*ctx.alike(y, bias)) if intercepts.size else y


@operator("LinearRegressor")
def _linear_regressor(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    return transformed(ctx, node, _scores(ctx, node, to_form(ctx.ar, inputs[0]), node.get("targets")))


@operator("LinearClassifier", ties=True)
def _linear_classifier(ctx: Context, node: Node, inputs: list[Any]) -> list[Value]:
    """One score for two classes is that of the second one, which wins where it is positive."""
    x = to_form(ctx.ar, inputs[0])
    count, labels = labels_of(node, "classlabels_ints")
    single = count == 2 and _numbers(node, "coefficients").size == x.shape[-1]
    if count < 2 or single and post_transform(node) != "LOGISTIC":
        raise node.refuse("these classes with this transform")
    scores = _scores(ctx, node, x, 1 if single else count)
    if not single:
        return labelled(ctx, node, winner(ctx, scores, labels), scores)
    label, both = of_two(ctx, scores, labels, 0.0)
    return labelled(ctx, node, label, both)


@operator("Scaler")
def _scaler(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x = to_form(ctx.ar, inputs[0])
    offset, scale = _numbers(node, "offset"), _numbers(node, "scale")
    if not {offset.size, scale.size} <= {1, *x.shape[-1:]}:
        raise node.refuse("its offset and scale do not fit its input")
    centred = ctx.ar.subtract(*ctx.alike(x, ctx.ar.constant(offset)))
    return ctx.product(centred, ctx.ar.constant(scale))


@operator("Normalizer", ties=True)
def _normalizer(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Rows divided by their maximum, the sum of |x|, or the root of the sum of squares; a divisor 0 is 1."""
    x, ar = to_form(ctx.ar, inputs[0]), ctx.ar
    kind, last = node.get("norm").decode(), (len(x.shape) - 1,)
    if kind == "MAX":
        rows = tournament(ar, x.each(lambda a: np.moveaxis(a, -2, 0)))
        size = rows.each(lambda a: a[..., None, :])
    elif kind == "L1":
        size = total(ctx, absolute(ar, x), last)
    elif kind == "L2":
        squares = total(ctx, ctx.product(x, x), last)
        zero = (squares.c == 0) & (squares.d == 0) & (squares.r == 0)
        size = smooth(ar, "Sqrt", _nowhere_zero(ctx, squares, zero))
    else:
        raise node.refuse("its norm is unknown")
    zero = (size.c == 0) & (size.d == 0) & (size.r == 0)
    return ctx.quotient(x, _nowhere_zero(ctx, size, zero))


def _nowhere_zero(ctx: Context, v: Form, zero: Array) -> Form:
    """`v`, but 1 in place of `zero`."""
    yes = zero.astype(np.int64)
    return select(ctx.ar, yes, yes, *ctx.alike(ctx.number(1), v))


@operator("Binarizer", ties=True)
def _binarizer(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x = to_form(ctx.ar, inputs[0])
    return to_form(ctx.ar, COMPARISONS["Greater"](ctx.ar, *ctx.alike(x, ctx.number(node.get("threshold")))))


@operator("Imputer", ties=True)
def _imputer(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Another value in place of one; no real number is NaN."""
    x, replaced = to_form(ctx.ar, inputs[0]), node.get("replaced_value_float")
    imputed = _numbers(node, "imputed_value_floats")
    if imputed.size not in (1, *x.shape[-1:]) or node.get("imputed_value_int64s"):
        raise node.refuse("it can put in floats only, one for all features or one for each")
    if math.isnan(replaced):
        return x
    x, level, other = ctx.alike(x, ctx.number(replaced), ctx.ar.constant(imputed))
    same = COMPARISONS["Equal"](ctx.ar, x, level)
    return select(ctx.ar, same.lo, same.hi, other, x)


@operator("FeatureVectorizer")
def _feature_vectorizer(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    forms = ctx.alike(*inputs)
    if [f.shape[1:] for f in forms] != [(n,) for n in node.get("inputdimensions") or []]:
        raise node.refuse("its inputs are no matrices of these widths")
    ends = np.cumsum([0] + [math.prod(f.shape) for f in forms])
    blocks = [np.arange(a, b).reshape(f.shape) for a, b, f in zip(ends, ends[1:], forms, strict=False)]
    return gather(ctx, forms, np.concatenate(blocks, axis=1))


@operator("ArrayFeatureExtractor")
def _array_feature_extractor(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """Elements of the last axis by a flat list of indices; a vector is one row."""
    data, indices = inputs
    shape = (*(data.shape[:-1] or (1,)), math.prod(indices.shape))
    if node.inputs[1] not in ctx.moves:
        table = np.arange(math.prod(data.shape)).reshape(*shape[:-1], -1)
        places = whole_numbers(node, indices).reshape(-1)
        if places.size and places.min() < 0:
            raise node.refuse("an index is negative")
        return gather(ctx, [data], ctx.once(node, lambda: table[..., places], exact=True))
    if node.inputs[0] in ctx.moves:
        raise node.refuse("its data and its indices move with the input")
    lo, hi = (a.reshape(shape[-1], -1) for a in (indices.lo, indices.hi))
    if lo.min() < 0 or hi.max() >= data.shape[-1]:
        raise Undecided(np.flatnonzero(((lo < 0) | (hi >= data.shape[-1])).any(axis=0)).tolist())
    at = np.arange(data.shape[-1])[:, None, None]
    least, most = _reached(node, data, (lo <= at) & (at <= hi))
    least, most = (a.reshape(*shape, a.shape[-1]) for a in (least, most))
    return Discrete(least, most) if isinstance(data, Discrete) else ctx.ar.from_bounds(least, most, data.e)


def _reached(node: Node, data: Value, possible: Array) -> tuple[Array, Array]:
    """The least and the greatest of the elements (along the last axis of a constant) that are possible."""
    rows = math.prod(data.shape[:-1])
    if rows * possible.size > LARGEST_TENSOR:
        raise node.refuse("there are too many possibilities")
    low, high = (data.lo, data.hi) if isinstance(data, Discrete) else (data.c - data.r, data.c + data.r)
    low, high = (a.reshape(rows, -1, 1, 1) for a in (low, high))
    top, bottom = high.max(), low.min()
    return np.where(possible, low, top).min(axis=1), np.where(possible, high, bottom).max(axis=1)


def _table(node: Node, side: str) -> Array:
    """The keys or values of a table, as float64 or int64."""
    found = [
        np.array(node.get(name), dtype=kind)
        for name, kind in ((f"{side}_int64s", np.int64), (f"{side}_floats", np.float64))
        if node.get(name)
    ]
    if node.get(f"{side}_tensor") is not None:
        array = onnx.numpy_helper.to_array(node.get(f"{side}_tensor")).reshape(-1)
        if array.dtype.kind in "iuf":
            found.append(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
    if len(found) != 1:
        raise node.refuse(f"its {side} are no numbers")
    return found[0]


@operator("LabelEncoder", ties=True)
def _label_encoder(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """A table of numbers; the last of equal keys counts, and a default where there is none."""
    keys, values = _table(node, "keys"), _table(node, "values")
    x = inputs[0]
    entries = {k: v for k, v in zip(keys.tolist(), values.tolist(), strict=True) if math.isfinite(k)}
    if math.prod(x.shape) * (len(entries) + 1) > LARGEST_TENSOR >> 6:
        raise node.refuse("its table is too large for so many elements")
    default = node.get("default_int64" if values.dtype.kind == "i" else "default_float")
    if node.get("values_tensor") is not None:
        default = -1 if values.dtype.kind == "i" else 0
    if node.get("default_tensor") is not None:
        default = onnx.numpy_helper.to_array(node.get("default_tensor")).reshape(-1)[0].item()
    out = make_constant(ctx, np.full((1,) * len(x.shape), default, dtype=values.dtype))
    for key, value in entries.items():
        named = make_constant(ctx, np.array(value, dtype=values.dtype))
        out = _chosen(ctx, _is(ctx, x, key), named, out)
    return out


def _is(ctx: Context, x: Value, key: float) -> Discrete:
    if isinstance(x, Discrete):
        return COMPARISONS["Equal"](ctx.ar, x, Discrete.known(key))
    return COMPARISONS["Equal"](ctx.ar, *ctx.alike(x, ctx.number(key)))


def _chosen(ctx: Context, truth: Discrete, a: Value, b: Value) -> Value:
    if isinstance(a, Discrete) and isinstance(b, Discrete):
        yes, no = truth.lo != 0, truth.hi == 0
        lo, hi = np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi)
        return Discrete(
            np.where(yes, a.lo, np.where(no, b.lo, lo)), np.where(yes, a.hi, np.where(no, b.hi, hi))
        )
    return select(ctx.ar, truth.lo, truth.hi, *ctx.alike(a, b))
