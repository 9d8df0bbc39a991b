"""Normalisation by statistics of the data, softmax, and pools by norms."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import absolute, select
from verifier.check.numbers.smooth import smooth
from verifier.check.numbers.smooth_power import power
from verifier.check.numbers.vectors import log_sum_exp, norm
from verifier.check.operators.reduce import pool, rows, total
from verifier.check.operators.registry import Context, Node, operator
from verifier.check.operators.structure import gather

__all__ = ["softmax", "softmax_axes"]

MVN_EPSILON = Fraction(float(np.float32(1e-9)))  # added to the deviation by the standard's definition
WIDE = (1, 11)  # FLOAT and DOUBLE: computing in them is not rounding
LARGEST_ORDER = 64

Axes = tuple[int, ...]


def _reshaped(form: Form, shape: tuple[int, ...]) -> Form:
    return form.each(lambda a: a.reshape(*shape, a.shape[-1]))


def _kept(form: Form, axes: Axes) -> Form:
    """Reduced axes put back with length 1."""
    return form.each(lambda a: np.expand_dims(a, axes))


def _count(v: Form, axes: Axes) -> int:
    return math.prod(v.shape[a] for a in axes)


def _mean(ctx: Context, v: Form, axes: Axes) -> Form:
    return ctx.product(total(ctx, v, axes), ctx.number(Fraction(1, _count(v, axes))))


def _centred(ctx: Context, v: Form, axes: Axes) -> tuple[Form, Form]:
    middle = _mean(ctx, v, axes)
    return ctx.ar.subtract(v, middle), middle


def _standardised(ctx: Context, node: Node, v: Form, axes: Axes) -> tuple[Form, Form]:
    """v / sqrt(mean of v**2 + epsilon), and the factor; no element exceeds sqrt(n) of n."""
    epsilon = Fraction(node.get("epsilon"))
    spread = ctx.ar.add(_mean(ctx, ctx.product(v, v), axes), ctx.number(epsilon))
    factor = smooth(ctx.ar, power(Fraction(-1, 2)), spread, least=epsilon if epsilon > 0 else None)
    y = ctx.product(v, factor)
    return (_at_most(y, _count(v, axes)) if epsilon > 0 else y), factor


def _at_most(y: Form, square: int) -> Form:
    """`y`, whose square is at most `square`, where that says more than the form."""
    unit = -2 * y.e
    limit = math.isqrt(square << unit if unit >= 0 else square >> -unit) + 1
    loose = y.r > limit
    if not loose.any():
        return y
    c, d, r = (np.where(loose, x, a) for x, a in ((0, y.c), (0, y.d), (limit, y.r)))
    return Form(c, d, r, y.e, y.degree)


def _scaled(ctx: Context, y: Form, scale: Form, bias: Form | None) -> Form:
    y = ctx.product(y, scale)
    return y if bias is None else ctx.ar.add(*ctx.alike(y, bias))


def _require_wide(node: Node) -> None:
    if node.get("stash_type", 1) not in WIDE:
        raise node.refuse("its stash_type is narrow, and the rounding of that is not modelled")


def _trailing(node: Node, v: Form) -> Axes:
    rank = len(v.shape)
    return tuple(range(node.axis(rank), rank))


@operator("LayerNormalization")
def _layer(ctx: Context, node: Node, inputs: list[Any]) -> list[Form]:
    _require_wide(node)
    axes = _trailing(node, inputs[0])
    v, middle = _centred(ctx, inputs[0], axes)
    y, factor = _standardised(ctx, node, v, axes)
    return [_scaled(ctx, y, inputs[1], inputs[2] if len(inputs) > 2 else None), middle, factor]


@operator("RMSNormalization")
def _rms(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    _require_wide(node)
    y, _ = _standardised(ctx, node, inputs[0], _trailing(node, inputs[0]))
    return _scaled(ctx, y, inputs[1], None)


@operator("InstanceNormalization")
def _instance(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    rank = len(inputs[0].shape)
    axes = tuple(range(2, rank))
    y, _ = _standardised(ctx, node, _centred(ctx, inputs[0], axes)[0], axes)
    return _scaled(ctx, y, *(_reshaped(v, (-1, *(1,) * (rank - 2))) for v in inputs[1:3]))


@operator("GroupNormalization")
def _group(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Scale and bias are per channel; before opset 21 per group."""
    _require_wide(node)
    shape, groups = inputs[0].shape, node.get("num_groups")
    if groups < 1 or shape[1] % groups:
        raise node.refuse("its channels do not make so many groups")
    v = _reshaped(inputs[0], (shape[0], groups, math.prod(shape[1:]) // groups))
    y, _ = _standardised(ctx, node, _centred(ctx, v, (2,))[0], (2,))
    parts = groups if node.opset < 21 else shape[1]
    y = _reshaped(y, (shape[0], parts, math.prod(shape[1:]) // parts))
    return _reshaped(_scaled(ctx, y, *(_reshaped(w, (parts, 1)) for w in inputs[1:3])), shape)


@operator("MeanVarianceNormalization")
def _mean_variance(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """(v - mean) / (standard deviation + 1e-9), as the standard's definition has it."""
    rank, ar = len(inputs[0].shape), ctx.ar
    axes = tuple(sorted({node.axis(rank, a) for a in node.get("axes", (0, 2, 3))}))
    v, _ = _centred(ctx, inputs[0], axes)
    if v.degree:
        raise NotHomogeneous(node.op)
    count = _count(v, axes)
    share = smooth(ar, power(Fraction(-1, 2)), ctx.number(count))
    deviation = ctx.product(_kept(norm(ar, rows(v, axes)), axes), share)
    inverse = smooth(ar, "Reciprocal", ar.add(deviation, ctx.number(MVN_EPSILON)), least=MVN_EPSILON)
    return _at_most(ctx.product(v, inverse), count)


@operator("LpNormalization")
def _lp_normalization(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """v / norm of v; 0 where that is 0."""
    v, ar, p = inputs[0], ctx.ar, node.get("p")
    axes = (node.axis(len(v.shape)),)
    if v.degree:
        raise NotHomogeneous(node.op)
    if p not in (1, 2):
        raise node.refuse("only the norms 1 and 2 are defined")
    size = _kept(norm(ar, rows(v, axes)), axes) if p == 2 else total(ctx, absolute(ar, v), axes)
    sure = ar.bounds(size)[0] > 0
    inverse = smooth(ar, "Reciprocal", select(ar, sure, sure, size, ctx.number(1)))
    y = _at_most(ctx.product(v, inverse), 1)
    empty = (v.c == 0) & (v.d == 0) & (v.r == 0)
    zero, one = (ctx.ar.integers(np.array([k])) for k in (0, 1))
    y = select(ar, sure, sure, y, Form(zero, zero, one, 0))
    return select(ar, empty, empty, ctx.number(0), y)


@operator("LRN")
def _local_response(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """v / (bias + alpha / size * sum of the neighbouring channels' squares) ** beta."""
    v, size = inputs[0], node.get("size")
    bias, beta = Fraction(node.get("bias")), Fraction(node.get("beta"))
    share = Fraction(node.get("alpha")) / size
    squares = ctx.product(v, v)
    near = ctx.product(_neighbours(ctx, squares, size), ctx.number(share))
    base = ctx.ar.add(near, ctx.number(bias))
    least = bias if share >= 0 and bias > 0 else None
    if beta == 0:
        return v  # type: ignore[no-any-return]
    return ctx.product(v, base if beta == -1 else smooth(ctx.ar, power(-beta), base, least=least))


def _neighbours(ctx: Context, v: Form, size: int) -> Form:
    """The sum over channels from (size - 1) / 2 rounded down before to as much rounded up after."""
    channels = v.shape[1]
    at = np.arange(channels) + np.arange(-((size - 1) // 2), size // 2 + 1)[:, None]
    at = at[((at >= 0) & (at < channels)).any(axis=1)]
    inside = (at >= 0) & (at < channels)
    index = np.arange(math.prod(v.shape)).reshape(v.shape)
    places = np.moveaxis(index[:, np.where(inside, at, 0)], 1, 0)  # (taps, batch, channels, ...)
    inside = inside.reshape(len(at), 1, channels, *(1,) * (len(v.shape) - 2))
    zero = ctx.ar.form(np.zeros((1, 1), dtype=object), v.e, degree=v.degree)
    near = gather(ctx, [v, zero], np.where(inside, places, index.size))
    return _reshaped(total(ctx, near, (0,)), v.shape)  # type: ignore[arg-type]


@operator("LpPool", "GlobalLpPool")
def _lp_pool(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    v, p = inputs[0], node.get("p")
    if not 1 <= p <= LARGEST_ORDER:
        raise node.refuse("p is no order of a norm, or too large")
    if node.op == "GlobalLpPool":
        axes = tuple(range(2, len(v.shape)))
        return _kept(_norm(ctx, rows(v, axes), p), axes)
    found, index = pool(ctx, node, v.shape)
    zero = ctx.ar.form(np.zeros((1, 1), dtype=object), v.e, degree=v.degree)
    y = _norm(ctx, gather(ctx, [v, zero], index), p)  # type: ignore[arg-type]
    return _reshaped(y, (*v.shape[:2], *found.shape))


def _norm(ctx: Context, v: Form, p: int) -> Form:
    """The norm along the first axis."""
    if p > 1 and v.shape[0] > 1:
        return norm(ctx.ar, v, p)
    summed = total(ctx, absolute(ctx.ar, v), (0,))
    return summed.each(lambda a: a[0])


@operator("Softmax", "LogSoftmax")
def _softmax(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """v - log sum exp(v), which is at most 0, or its exponential."""
    v = inputs[0]
    return softmax(ctx, node, v, None)


def softmax(ctx: Context, node: Node, v: Form, gone: Array | None) -> Form:
    """The same without what is `gone`; not of a row that is all gone."""
    axes = softmax_axes(node, len(v.shape))
    hidden = None if gone is None else rows(Form(gone, gone, gone, 0), axes).c
    logarithm = ctx.ar.subtract(v, _kept(log_sum_exp(ctx.ar, rows(v, axes), hidden), axes))
    if gone is not None:  # their zeros are no part of the sum, and might exceed it
        logarithm = select(ctx.ar, gone, gone, ctx.number(0), logarithm)
    if node.op == "LogSoftmax":
        return logarithm
    return smooth(ctx.ar, "Exp", logarithm, most=Fraction(0))


def softmax_axes(node: Node, rank: int) -> Axes:
    """One axis; before opset 13 that and all behind it as one."""
    first = node.axis(max(rank, 1))
    return (first,) if node.opset >= 13 else tuple(range(first, rank))
