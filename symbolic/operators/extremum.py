"""Maxima and minima: of several tensors, over windows, over axes, and where they are attained."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures import forms
from symbolic.enclosures.rounding import UP, Array
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, is_integer
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import exact_integers
from symbolic.operators.reductions import reduced_axes
from symbolic.operators.windows import Window, whole_window, window_of

FEW = 16
"""Tournaments up to this size are not worth thinning out."""


def strongest(x: Affine) -> Affine:
    """Maximum over the first axis (the batch axis is the second).

    The entry with the largest centre, if certainly not smaller than anything else, is copied; otherwise
    entries meet pairwise in a knock-out tournament.
    """
    winner, best, weak, _ = _leads(x)
    c, d, r = best.c, best.d, best.r
    certain = weak.all(axis=0) & (r < np.inf)
    open_ = np.nonzero(~certain)
    if open_[0].size:
        columns: tuple[slice | NDArray[np.intp], ...] = (slice(None), *open_)
        field = Affine(*(v[columns] for v in (x.c, x.d, x.r)))
        if len(field.c) > FEW:  # what certainly loses to the winner in every column need not play
            plays: NDArray[np.bool_] = np.asarray((~weak[columns]).any(axis=1))
            plays[winner[open_]] = True
            field = Affine(*(v[plays] for v in (field.c, field.d, field.r)))
        while len(field.c) > 1:
            half = len(field.c) // 2
            first, second = (
                Affine(*(v[s] for v in (field.c, field.d, field.r)))
                for s in (slice(half), slice(half, 2 * half))
            )
            better = forms.maximum(first, second)
            rest = [v[2 * half :] for v in (field.c, field.d, field.r)]
            field = Affine(
                *(np.concatenate([b, t]) for b, t in zip((better.c, better.d, better.r), rest, strict=True))
            )
        c[open_], d[open_], r[open_] = field.c[0], field.d[0], field.r[0]
    return Affine(c, d, r)


def contenders(x: Affine, last: bool = False) -> NDArray[np.bool_]:
    """Which entries may be the first (or ``last``) to attain the maximum over the first axis."""
    winner, _, weak, strict = _leads(x, last)
    numbers = np.arange(len(x.c)).reshape(-1, *(1,) * (x.c.ndim - 1))
    behind = numbers < winner if last else numbers > winner  # an equal entry there yields to the winner
    return np.asarray(~np.where(behind, weak, strict) | (numbers == winner))


def _leads(
    x: Affine, last: bool = False
) -> tuple[NDArray[np.intp], Affine, NDArray[np.bool_], NDArray[np.bool_]]:
    """The first (or last) entry with the largest centre (place and form), and which it certainly reaches, or
    exceeds."""
    winner = len(x.c) - 1 - x.c[::-1].argmax(axis=0) if last else x.c.argmax(axis=0)
    at = winner[None]
    cw, dw, rw = (np.take_along_axis(v, at, axis=0)[0] for v in (x.c, x.d, x.r))
    lead = cw - x.c
    reach = (np.abs(dw - x.d) + rw + x.r) * UP
    finite = reach < np.inf
    weak, strict = (lead >= reach) & finite, (lead > reach) & finite
    np.put_along_axis(weak, at, True, axis=0)
    return winner, Affine(cw, dw, rw), weak, strict


def _positions(
    possible: NDArray[np.bool_], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Smallest and largest of ``numbers`` (broadcast over the first axis) that are possible."""
    low = np.where(possible, numbers, np.iinfo(np.int64).max).min(axis=0)
    high = np.where(possible, numbers, -1).max(axis=0)
    return low, high


@operator("Max", "Min", wraps=True)
def of_several(node: Node, inputs: Inputs) -> Rule:
    """Elementwise maximum or minimum of any number of tensors."""
    lower = node.op_type == "Min"

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        terms = [batch.lift(v) for v in values if v is not None]
        terms = [forms.negative(t) for t in terms] if lower else terms
        result = terms[0]
        for term in terms[1:]:
            result = forms.maximum(result, term)
        return (forms.negative(result) if lower else result,)

    if all(is_integer(v) for v in inputs):
        return lambda batch, values: exact_integers(node, values)
    return rule


@operator("MaxPool", "GlobalMaxPool", wraps=True)
def max_pool(node: Node, inputs: Inputs) -> Rule:
    """Maximum over windows; padding never wins. The second output is the flat index of the winner."""
    shape = required(node, inputs).shape
    window = _pooled(node, shape)
    numbers = flat_numbers(shape, node.flag("storage_order"))
    index = windowed(numbers[None].astype(np.float64), window, -1.0).astype(np.int64)
    with_index = len([name for name in node.proto.output if name]) > 1

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        form = batch.lift(required(node, values))
        stack = _seen(form, window)
        with np.errstate(invalid="ignore"):
            best = strongest(stack)
            if not with_index:
                return (best,)
            return best, Range(*_positions(contenders(stack), index))

    return rule


def rivals(node: Node, form: Affine) -> Affine:
    """What competes for each index that a node puts out, on a new first axis: the greatest is named."""
    if node.op_type == "MaxPool":
        return _seen(form, _pooled(node, form.shape))
    axis = node.axis(len(form.shape))
    return _stacked(forms.negative(form) if node.op_type == "ArgMin" else form, (axis,))


def _pooled(node: Node, shape: tuple[int, ...]) -> Window:
    if node.op_type == "GlobalMaxPool":
        return whole_window(shape[2:])
    return window_of(node, shape[2:], tuple(node.attributes["kernel_shape"]))


def _seen(x: Affine, window: Window) -> Affine:
    """What the entries of a window see, on a new first axis."""
    return Affine(windowed(x.c, window, -np.inf), windowed(x.d, window, 0.0), windowed(x.r, window, 0.0))


def flat_numbers(shape: tuple[int, ...], column_major: bool) -> NDArray[np.int64]:
    """ONNX's flat index of every element; column-major numbers the spatial axes the other way round."""
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64)
    if not column_major:
        return numbers.reshape(shape)
    n, c, *size = shape
    reversed_axes = (0, 1, *range(len(shape) - 1, 1, -1))
    return numbers.reshape(n, c, *size[::-1]).transpose(reversed_axes)


def windowed(x: Array, window: Window, fill: float) -> Array:
    """(taps, K, N, C, *out): what each kernel entry sees, ``fill`` where it sees padding."""
    result = np.full((int(np.prod(window.kernel)), *x.shape[:3], *window.size_out), fill)
    lead = (slice(None),) * 3
    for offset, outs, ins in window.places:
        tap = int(np.ravel_multi_index(offset, window.kernel))
        result[tap][(*lead, *outs)] = x[(*lead, *ins)]
    return result


def _stacked(x: Affine, axes: tuple[int, ...]) -> Affine:
    """Reduced axes (numbered without the batch axis) joined into one leading axis."""

    def move(v: Array) -> Array:
        places = tuple(a + 1 for a in axes)
        front = np.moveaxis(v, places, range(len(places)))
        return front.reshape(-1, *front.shape[len(places) :])

    return Affine(move(x.c), move(x.d), move(x.r))


@operator("ReduceMax", "ReduceMin", wraps=True)
def reduce_extremum(node: Node, inputs: Inputs) -> Rule:
    """Largest or smallest over axes."""
    x = required(node, inputs)
    axes = reduced_axes(node, inputs, len(x.shape))
    lower, keep = node.op_type == "ReduceMin", node.flag("keepdims")
    places = tuple(a + 1 for a in axes)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        form = batch.lift(required(node, values))
        if not axes:
            return (form,)
        best = strongest(_stacked(forms.negative(form) if lower else form, axes))
        if lower:
            best = forms.negative(best)
        return (Affine(*(np.expand_dims(v, places) for v in (best.c, best.d, best.r))) if keep else best,)

    if is_integer(x):
        return lambda batch, values: exact_integers(node, values)
    if prod(x.shape[a] for a in axes) == 0:  # of nothing
        kept = [1 if k in axes else n for k, n in enumerate(x.shape) if keep or k not in axes]
        return lambda batch, values: (Const(np.full(kept, np.inf if lower else -np.inf)),)
    return rule


@operator("ArgMax", "ArgMin")
def position(node: Node, inputs: Inputs) -> Rule:
    """Where the largest or smallest entry of an axis stands; unknown while two may tie."""
    x = required(node, inputs)
    axis = node.axis(len(x.shape))
    lower, keep = node.op_type == "ArgMin", node.flag("keepdims")
    last = node.flag("select_last_index")
    numbers = np.arange(x.shape[axis], dtype=np.int64).reshape(-1, *(1,) * len(x.shape))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        value = required(node, values)
        if isinstance(value, Const) and value.radius is None:
            return exact_integers(node, values)
        form = batch.lift(value)
        form = forms.negative(form) if lower else form
        low, high = _positions(contenders(_stacked(form, (axis,)), last), numbers)
        if keep:
            low, high = np.expand_dims(low, axis + 1), np.expand_dims(high, axis + 1)
        return (Range(low, high),)

    return rule
