"""Sums, means, extremes and their places, along axes and over windows."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.discrete import Discrete, first_best, to_form, to_integer
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import absolute, stack, tournament
from verifier.check.numbers.smooth import smooth
from verifier.check.numbers.vectors import log_sum_exp, norm
from verifier.check.operators.registry import Context, Node, Value, operator, whole_numbers
from verifier.check.operators.structure import gather
from verifier.check.operators.whole import like
from verifier.check.operators.windows import Windows, windows

__all__ = ["pool", "reduction_axes", "rows", "total"]


def _reshaped(form: Form, shape: tuple[int, ...]) -> Form:
    return form.each(lambda a: a.reshape(*shape, a.shape[-1]))


def total(ctx: Context, v: Form, axes: tuple[int, ...]) -> Form:
    """The sum over `axes`, kept as ones; room for it is made first."""
    terms = math.prod(v.shape[a] for a in axes)
    over = v.size.bit_length() + terms.bit_length() - 61 if ctx.ar.fast else 0
    v = ctx.ar.at(v, v.e + over) if over > 0 else v
    out = v.each(lambda a: a.sum(axis=axes, keepdims=True))
    return ctx.ar.normal(out.c, out.d, out.r, out.e, out.degree)


def rows(v: Form, axes: tuple[int, ...]) -> Form:
    """The elements along `axes` joined into the first axis."""
    rest = [a for a in range(len(v.shape)) if a not in axes]
    shape = (math.prod(v.shape[a] for a in axes), *(v.shape[a] for a in rest))
    return v.each(lambda x: x.transpose(*axes, *rest, x.ndim - 1).reshape(*shape, x.shape[-1]))


def reduction_axes(node: Node, inputs: list[Any], rank: int) -> tuple[int, ...]:
    """The axes of a reduction, an attribute or an input; none named: all, or none if so asked."""
    axes = node.get("axes")
    if len(inputs) > 1 and inputs[1] is not None:
        axes = whole_numbers(node, inputs[1]).tolist()
    if not axes:
        return () if node.get("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted({node.axis(rank, a) for a in axes}))


@operator("ReduceMax", "ReduceMin", still=(1,), ties=True)
@operator(
    "ReduceSum",
    "ReduceMean",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceProd",
    still=(1,),
)
def _reduce(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    v = to_form(ctx.ar, inputs[0])
    axes = reduction_axes(node, inputs, len(v.shape))
    shape = tuple(1 if i in axes else n for i, n in enumerate(v.shape))
    inexact = node.op in INEXACT or node.op == "ReduceMean" and bool(ctx.moves & set(node.inputs))
    if inexact and isinstance(inputs[0], Discrete):
        raise node.refuse("what it makes of integers is not exact")
    if math.prod(v.shape[a] for a in axes):
        out = _reduced(ctx, node, v, axes)
    else:
        out = _of_nothing(ctx, node, shape)
    if not node.get("keepdims"):
        shape = tuple(n for i, n in enumerate(shape) if i not in axes)
    out = out.each(
        lambda a: a.reshape(*shape, a.shape[-1]),
        same=None if out.same is None else out.same.reshape(*shape, out.same.shape[-1]),
    )
    return like(ctx, node, inputs[0], out)


INEXACT = ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp")


def _reduced(ctx: Context, node: Node, v: Form, axes: tuple[int, ...]) -> Form:
    """The reduction of at least one element; its shape may lack what is reduced."""
    ar, count = ctx.ar, math.prod(v.shape[a] for a in axes)
    if node.op in ("ReduceMax", "ReduceMin"):
        return _best(ctx, v, axes, node.op == "ReduceMin")
    if node.op == "ReduceProd":
        return _product(ctx, rows(v, axes))
    if node.op == "ReduceLogSumExp":
        return log_sum_exp(ar, rows(v, axes)) if count > 1 else v
    if node.op == "ReduceL2" and count > 1:
        return norm(ar, rows(v, axes))
    if node.op in ("ReduceL1", "ReduceL2"):
        return total(ctx, absolute(ar, v), axes)
    summed = total(ctx, ctx.product(v, v) if node.op == "ReduceSumSquare" else v, axes)
    if node.op == "ReduceLogSum":
        return smooth(ar, "Log", summed)
    return ctx.product(summed, ctx.number(Fraction(1, count))) if node.op == "ReduceMean" else summed


def _product(ctx: Context, v: Form) -> Form:
    """The product along the first axis, by halves."""
    while v.shape[0] > 1:
        half = v.shape[0] // 2
        first, second, rest = (v.each(lambda x, s=s: x[s]) for s in _thirds(half))
        v = ctx.product(first, second)
        v = stack(ctx.ar, [v, rest]) if rest.shape[0] else v
    return v.each(lambda x: x[0])


def _thirds(half: int) -> tuple[slice, slice, slice]:
    return slice(half), slice(half, 2 * half), slice(2 * half, None)


def _of_nothing(ctx: Context, node: Node, shape: tuple[int, ...]) -> Form:
    """What the standard makes of no elements: 0, 1, or no real number."""
    if node.op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceLogSum", "ReduceLogSumExp"):
        raise node.refuse("a reduction of no elements is no real number")
    return ctx.ar.constant(np.full(shape, int(node.op == "ReduceProd")))


@operator("CumSum", "CumProd", still=(1,))
def _running(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """Sums or products of all elements up to each, or before it."""
    v = to_form(ctx.ar, inputs[0])
    axis = node.axis(len(v.shape), whole_numbers(node, inputs[1]).reshape(-1)[0])
    line = v.each(lambda x: np.moveaxis(x, axis, 0))
    line = line.each(lambda x: x[::-1]) if node.get("reverse") else line
    if line.shape[0]:
        line = _sums(ctx, node, line) if node.op == "CumSum" else _products(ctx, node, line)
    line = line.each(lambda x: x[::-1]) if node.get("reverse") else line
    out = line.each(lambda x: np.moveaxis(x, 0, axis))
    return like(ctx, node, inputs[0], out)


def _sums(ctx: Context, node: Node, v: Form) -> Form:
    over = v.size.bit_length() + v.shape[0].bit_length() - 61 if ctx.ar.fast else 0
    v = ctx.ar.at(v, v.e + over) if over > 0 else v
    if node.get("exclusive"):
        v = v.each(lambda x: np.concatenate([0 * x[:1], x[:-1]]))
    out = v.each(lambda x: x.cumsum(axis=0))
    return ctx.ar.normal(out.c, out.d, out.r, out.e, out.degree)


def _products(ctx: Context, node: Node, v: Form) -> Form:
    if v.degree and (node.get("exclusive") or v.shape[0] > 1):
        raise NotHomogeneous(node.op)
    parts = [v.each(lambda x, k=k: x[k : k + 1]) for k in range(v.shape[0])]
    if node.get("exclusive"):
        parts = [ctx.ar.constant(np.ones((1, *v.shape[1:]), dtype=np.int64)), *parts[:-1]]
    found = [parts[0]]
    for part in parts[1:]:
        found.append(ctx.product(found[-1], part))
    cells = max(f.c.shape[-1] for f in found)
    wide = [f.each(lambda x: np.broadcast_to(x, (*x.shape[:-1], cells))) for f in found]
    return stack(ctx.ar, wide)


def _best(ctx: Context, v: Form, axes: tuple[int, ...], least: bool) -> Form:
    if not axes:
        return v
    kept = [i for i in range(len(v.shape)) if i not in axes]
    index = np.arange(math.prod(v.shape)).reshape(v.shape).transpose(*axes, *kept)
    rows = gather(ctx, [v], index.reshape(-1, *index.shape[len(axes) :]))
    return tournament(ctx.ar, rows, least)  # type: ignore[arg-type]


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    v = inputs[0]
    axes = tuple(range(2, len(v.shape)))
    if node.op == "GlobalMaxPool":
        return _reshaped(_best(ctx, v, axes, False), (*v.shape[:2], *(1 for _ in axes)))
    return ctx.product(total(ctx, v, axes), ctx.number(Fraction(1, math.prod(v.shape[2:]))))


@operator("AveragePool")
def _average_pool(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    x = inputs[0]
    found, index = pool(ctx, node, x.shape)
    zero = ctx.ar.form(np.zeros((1, 1), dtype=object), x.e, degree=x.degree)
    rows = gather(ctx, [x, zero], index)
    summed = total(ctx, rows, (0,))  # type: ignore[arg-type]
    inverse = ctx.once(
        node, lambda: ctx.ar.constant(np.array([Fraction(1, int(n)) for n in found.counts], dtype=object))
    )
    y = ctx.product(_reshaped(summed, (*x.shape[:2], -1)), inverse)
    return _reshaped(y, (*x.shape[:2], *found.shape))


def pool(ctx: Context, node: Node, shape: tuple[int, ...]) -> tuple[Windows, Array]:
    """The windows, and the table (taps, batch, channels, positions) into the whole input; padding is its
    size.
    """

    def table() -> tuple[Windows, Array]:
        found = windows(node, shape[2:], list(node.get("kernel_shape")))
        planes = np.arange(shape[0] * shape[1]).reshape(1, *shape[:2], 1) * math.prod(shape[2:])
        at = found.table[:, None, None, :]
        return found, np.where(at < 0, math.prod(shape), planes + at)

    return ctx.once(node, table, exact=True)  # type: ignore[no-any-return]


@operator("MaxPool", ties=True)
def _max_pool(ctx: Context, node: Node, inputs: list[Any]) -> list[Value]:
    x = to_form(ctx.ar, inputs[0])
    found, index = pool(ctx, node, x.shape)
    empty = index == math.prod(x.shape)
    if empty.all(axis=0).any():
        raise node.refuse("a window lies in the padding")
    lowest = ctx.ar.integers([[-max(x.size, 1)]])  # times 4: below every |c| + |d| + r, so padding never wins
    padding = Form(lowest, 0 * lowest, 0 * lowest, x.e + 2, x.degree)
    rows = gather(ctx, [x, padding] if empty.any() else [x], index)
    out = tournament(ctx.ar, rows)  # type: ignore[arg-type]
    shape = (*x.shape[:2], *found.shape)
    pooled = out.each(
        lambda a: a.reshape(*shape, -1), same=None if out.same is None else out.same.reshape(*shape, -1)
    )
    first: Value = to_integer(ctx.ar, pooled, truncate=False) if isinstance(inputs[0], Discrete) else pooled
    if len(node.outputs) < 2 or not node.outputs[1]:
        return [first]
    possible = first_best(ctx.ar, rows) & ~empty[..., None]  # type: ignore[arg-type]
    called = _by_columns(x.shape)[index] if node.get("storage_order") else index
    at = called[..., None]
    lo, hi = np.where(possible, at, 2**62).min(axis=0), np.where(possible, at, -1).max(axis=0)
    return [first, Discrete(*(a.reshape(*shape, a.shape[-1]) for a in (lo, hi)))]


def _by_columns(shape: tuple[int, ...]) -> Array:
    """The numbers of elements, the padding last, where the first spatial axis runs fastest."""
    planes, size = math.prod(shape[:2]), shape[2:]
    image = np.arange(math.prod(size)).reshape(size[::-1]).transpose()
    numbers = np.arange(planes).reshape(-1, *(1,) * len(size)) * math.prod(size) + image
    return np.append(numbers.reshape(-1), 0)


@operator("ArgMax", "ArgMin", ties=True)
def _arg_best(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    v = to_form(ctx.ar, inputs[0])
    axis = node.axis(len(v.shape))
    rows = v.each(
        lambda a: np.moveaxis(a, axis, 0), same=None if v.same is None else np.moveaxis(v.same, axis, 0)
    )
    possible = first_best(ctx.ar, rows, node.op == "ArgMin", bool(node.get("select_last_index")))
    lo = possible.argmax(axis=0)
    hi = len(possible) - 1 - possible[::-1].argmax(axis=0)
    if node.get("keepdims"):
        lo, hi = np.expand_dims(lo, axis), np.expand_dims(hi, axis)
    return Discrete(lo, hi)
