"""Convolutions, matrix products and batch normalisation."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.contractions import contract
from verifier.check.numbers.discrete import Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.numbers.smooth import smooth
from verifier.check.numbers.smooth_power import power
from verifier.check.operators.registry import Context, Node, Value, operator
from verifier.check.operators.structure import gather
from verifier.check.operators.whole import like, whole
from verifier.check.operators.windows import channelled, transposed, windows

__all__: list[str] = []


def _reshaped(form: Form, shape: tuple[int, ...]) -> Form:
    return form.each(lambda a: a.reshape(*shape, a.shape[-1]))


def _moved(form: Form, source: int, target: int) -> Form:
    return form.each(lambda a: np.moveaxis(a, source, target))


def _biased(ctx: Context, node: Node, y: Form, inputs: list[Any]) -> Form:
    if len(inputs) < 3 or inputs[2] is None:
        return y
    bias = _reshaped(inputs[2], (-1,) + (1,) * (len(y.shape) - 2))
    return ctx.ar.add(*ctx.alike(y, bias))


@operator("Conv", absorbs=(1,))
def _conv(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x, w = inputs[0], inputs[1]
    batch, channels, *spatial = x.shape
    groups = node.get("group")
    if channels != w.shape[1] * groups or w.shape[0] % groups:
        raise node.refuse("weights and input do not fit")

    def table() -> tuple[Array, tuple[int, ...]]:
        found = windows(node, tuple(spatial), list(w.shape[2:]))
        return channelled(node, found.table, batch, channels, groups, math.prod(spatial)), found.shape

    index, shape = ctx.once(node, table, exact=True)
    kernels = _reshaped(w, (groups, w.shape[0] // groups, -1))
    if node.inputs[1] in ctx.moves:
        y = _moving_product(ctx, node, kernels, x, index)
    else:
        y = linear(ctx.ar, ctx.once(node, lambda: Weights.of(ctx.ar, kernels)), x, index)
    y = _reshaped(y, (w.shape[0], batch, *shape))
    return _biased(ctx, node, _moved(y, 0, 1), inputs)


def _moving_product(ctx: Context, node: Node, kernels: Form, x: Form, index: Array) -> Form:
    """Kernels times what they see of x, the number behind its last element standing for padding."""
    if kernels.degree + x.degree > 1:
        raise NotHomogeneous(node.op)
    zero = ctx.ar.form(np.zeros((1, 1), dtype=object), x.e, degree=x.degree)
    seen: Any = gather(ctx, [x, zero], index)
    return contract(ctx.ar, kernels, seen)


@operator("ConvTranspose", absorbs=(1,))
def _conv_transpose(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x, w = inputs[0], inputs[1]
    batch, channels, *spatial = x.shape
    groups, each = node.get("group"), w.shape[1]
    if channels != w.shape[0] or channels % groups:
        raise node.refuse("weights and input do not fit")

    def table() -> tuple[list[tuple[Array, Array]], tuple[int, ...], Array]:
        found, phases = transposed(node, tuple(spatial), list(w.shape[2:]))
        parts = [
            (
                taps,
                channelled(node, found.table[np.ix_(taps, at)], batch, channels, groups, math.prod(spatial)),
            )
            for taps, at in phases
        ]
        order = np.concatenate([at for _, at in phases])
        back = np.argsort(order)
        whole = np.arange(groups * each * batch * len(order))
        starts = np.cumsum([0] + [groups * each * batch * len(at) for _, at in phases])
        blocks = [
            whole[a:b].reshape(groups * each, batch, -1) for a, b in zip(starts, starts[1:], strict=False)
        ]
        return parts, found.shape, np.moveaxis(np.concatenate(blocks, axis=2)[:, :, back], 0, 1)

    def kernels() -> list[Form]:
        split = (groups, channels // groups, each, math.prod(w.shape[2:]))
        flat = _moved(_reshaped(w, split), 2, 1)
        return [
            flat.each(lambda a, t=t: a[:, :, :, t].reshape(groups, each, -1, a.shape[-1])) for t, _ in parts
        ]

    parts, shape, back = ctx.once(node, table, exact=True)
    if node.inputs[1] in ctx.moves:
        forms = [
            _moving_product(ctx, node, a, x, index) for a, (_, index) in zip(kernels(), parts, strict=True)
        ]
    else:
        weights = ctx.once(node, lambda: [Weights.of(ctx.ar, a) for a in kernels()])
        forms = [linear(ctx.ar, a, x, index) for a, (_, index) in zip(weights, parts, strict=True)]
    y = gather(ctx, forms, back.reshape(batch, groups * each, *shape))
    return _biased(ctx, node, y, inputs)  # type: ignore[arg-type]


@operator("Gemm", absorbs=(0, 1))
def _gemm(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    if not isinstance(inputs[0], Discrete):
        return _affine(ctx, node, inputs)
    if any(node.get(name) % 1 for name in ("alpha", "beta")):
        raise node.refuse("what fractions make of integers is not clear")
    return whole(ctx, node, _affine(ctx, node, [v if v is None else to_form(ctx.ar, v) for v in inputs]))


def _affine(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """alpha a' b' + beta c."""
    a, b = (
        v.each(lambda x: np.swapaxes(x, 0, 1)) if node.get(flag) else v
        for v, flag in zip(inputs[:2], ("transA", "transB"), strict=True)
    )
    y = _product(ctx, node, a, b)
    if node.get("alpha") != 1:
        y = ctx.product(y, ctx.number(node.get("alpha")))
    if len(inputs) > 2 and inputs[2] is not None:
        bias = inputs[2] if node.get("beta") == 1 else ctx.product(inputs[2], ctx.number(node.get("beta")))
        y = ctx.ar.add(*ctx.alike(y, bias))
    return y


@operator("MatMul", absorbs=(0, 1))
def _matmul(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    a, b = (to_form(ctx.ar, v) for v in inputs)
    row, column = len(a.shape) == 1, len(b.shape) == 1
    a = _reshaped(a, (1, *a.shape)) if row else a
    b = _reshaped(b, (*b.shape, 1)) if column else b
    y = _product(ctx, node, a, b)
    shape = y.shape[:-2] + (() if row else y.shape[-2:-1]) + (() if column else y.shape[-1:])
    y = _reshaped(y, shape)
    return like(ctx, node, inputs[0], y)


def _product(ctx: Context, node: Node, a: Form, b: Form) -> Form:
    """a @ b; one of them is constant, or both move."""
    if a.shape[-1] != b.shape[-2]:
        raise node.refuse("matrices do not fit")
    if node.inputs[1] not in ctx.moves:
        return _times_constant(ctx, node, a, b)
    if node.inputs[0] not in ctx.moves:
        flipped = _times_constant(ctx, node, *(v.each(lambda x: np.swapaxes(x, -3, -2)) for v in (b, a)))
        return flipped.each(lambda x: np.swapaxes(x, -3, -2))
    if a.degree + b.degree > 1:
        raise NotHomogeneous(node.op)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    wide = (v.each(lambda x, v=v: np.broadcast_to(x, (*lead, *v.shape[-2:], x.shape[-1]))) for v in (a, b))
    y = contract(ctx.ar, *(_reshaped(v, (-1, *v.shape[-2:])) for v in wide))
    return _reshaped(y, (*lead, *y.shape[-2:]))


def _times_constant(ctx: Context, node: Node, a: Form, b: Form) -> Form:
    inner, columns = b.shape[-2:]
    rows = a.shape[-2]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    many = math.prod(b.shape[:-2]) > 1
    groups = math.prod(lead) if many else 1
    order = np.broadcast_to(np.arange(math.prod(a.shape)).reshape(a.shape), (*lead, rows, inner))
    order = order.reshape(groups, -1, inner).swapaxes(1, 2)  # (groups, inner, rows)

    def weights() -> Weights:
        w = b.each(lambda x: np.broadcast_to(x, (*lead, inner, columns, 1)) if many else x)
        return Weights.of(ctx.ar, w.each(lambda x: x.reshape(groups, inner, columns, 1).swapaxes(1, 2)))

    y = linear(ctx.ar, ctx.once(node, weights), a, order)  # (groups, columns, rows of all images)
    y = y.each(lambda x: x.swapaxes(1, 2))
    return _reshaped(y, (*lead, rows, columns))


@operator("BatchNormalization")
def _batch_normalization(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    if node.get("training_mode") or len([o for o in node.outputs if o]) > 1:
        raise node.refuse("training mode")
    x, *given = inputs
    shape = (-1,) + (1,) * (len(x.shape) - 2)
    scale, bias, mean, variance = (_reshaped(v, shape) for v in given)

    def factor() -> Form:
        spread = ctx.ar.add(*ctx.alike(variance, ctx.number(node.get("epsilon"))))
        if node.inputs[4] in ctx.moves:
            return ctx.product(scale, smooth(ctx.ar, power(Fraction(-1, 2)), spread))
        return ctx.quotient(scale, smooth(ctx.ar, "Sqrt", spread))

    def constants() -> tuple[Form, Form]:
        return factor(), ctx.ar.subtract(bias, ctx.product(mean, factor()))

    if not ctx.moves & set(node.inputs[1:]):
        slope, offset = ctx.once(node, constants)
        return ctx.ar.add(*ctx.alike(ctx.product(x, slope), offset))
    y = ctx.product(ctx.ar.subtract(*ctx.alike(x, mean)), factor())
    return ctx.ar.add(*ctx.alike(y, bias))
