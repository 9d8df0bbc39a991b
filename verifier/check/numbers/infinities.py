"""Elements that are no real numbers: an exact -inf (a mask before a softmax), and what is undefined.

A form marks them in `special`, and has zeros in their places. Where a form is marked, only the operators of
this file are evaluated, by what IEEE arithmetic and the standard make of -inf; every other operator leaves
the cell undecided. So no mark is ever overlooked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from verifier.check.errors import Undecided
from verifier.check.numbers.discrete import COMPARISONS, Discrete, to_form
from verifier.check.numbers.integers import GONE, Array, Form
from verifier.check.numbers.relaxations import maximum, select
from verifier.check.operators.cast import REALS
from verifier.check.operators.normalise import softmax, softmax_axes
from verifier.check.operators.reduce import reduction_axes
from verifier.check.operators.registry import OPERATORS, Context, Node
from verifier.check.operators.structure import MOVED

__all__ = ["evaluated", "is_special"]

UNDEFINED = 2  # no claim; GONE is -inf
Handler = Callable[[Context, Node, list[Any]], Any]


def is_special(value: Any) -> bool:
    """Whether a value has marked elements."""
    return isinstance(value, Form) and value.special is not None


def evaluated(ctx: Context, node: Node, inputs: list[Any]) -> Any:
    """The outputs of a node of which some input is marked."""
    handler = HANDLERS.get(node.op)
    if handler is None:
        marks = np.zeros(1, dtype=bool)
        for value in inputs:
            if is_special(value):
                marks = marks | _cells(value.special != 0)
        raise Undecided(np.flatnonzero(marks).tolist())
    return handler(ctx, node, inputs)


def _cells(marks: Array) -> Array:
    """In which cells anything is marked."""
    return np.asarray(marks.reshape(-1, marks.shape[-1]).any(axis=0))


def _leave(marks: Array) -> None:
    if marks.any():
        raise Undecided(np.flatnonzero(_cells(marks)).tolist())


def _plain(value: Any) -> Any:
    return replace(value, special=None) if isinstance(value, Form) else value


def _marks(value: Any) -> Array:
    """The marks of a value, zeros where it has none."""
    if is_special(value):
        return np.asarray(value.special)
    shape = value.shape if value is not None else ()
    return np.zeros((*shape, 1), dtype=np.int64)


def _marked(form: Form, marks: Array) -> Form:
    """`form` with marks, and zeros in their places."""
    if not marks.any():
        return form
    marks = np.broadcast_to(marks, np.broadcast_shapes(marks.shape, form.c.shape))
    c, d, r = (np.where(marks != 0, 0, a) for a in (form.c, form.d, form.r))
    return Form(c, d, r, form.e, form.degree, special=marks)


def _moved(ctx: Context, node: Node, inputs: list[Any]) -> list[Form]:
    """Elements that change their places take their marks along."""
    run = OPERATORS[node.op]
    forms = run(ctx, node, [_plain(v) for v in inputs])
    marks = run(ctx, node, [_as_whole(v) if isinstance(v, Form) else v for v in inputs])
    pairs = zip(*(x if isinstance(x, list) else [x] for x in (forms, marks)), strict=True)
    return [  # of a Dropout's mask nothing is marked
        _marked(form, _known(mark)) if isinstance(form, Form) and isinstance(mark, Discrete) else form
        for form, mark in pairs
    ]


def _written(ctx: Context, node: Node, inputs: list[Any]) -> list[Form]:
    """A scatter that overwrites."""
    if node.get("reduction", b"none") != b"none":
        _leave(_greatest([_cells(_marks(v) != 0) for v in inputs]))
    return _moved(ctx, node, inputs)


def _as_whole(value: Any) -> Discrete:
    marks = _marks(value)
    return Discrete(marks, marks)


def _known(marks: Discrete) -> Array:
    _leave(marks.lo != marks.hi)
    return marks.lo


def _sum(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    marks = [_marks(v) for v in inputs]
    if node.op == "Sub":  # less -inf: no claim
        marks[1] = np.where(marks[1] != 0, UNDEFINED, 0)
    form = OPERATORS[node.op](ctx, node, [_plain(v) for v in inputs])
    return _marked(form, _greatest(marks))


def _greatest(marks: list[Array]) -> Array:
    out = marks[0]
    for more in marks[1:]:
        out = np.maximum(out, more)
    return out


def _scaled(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """-inf times, or divided by, what is positive."""
    a, b = (_marks(v) for v in inputs)
    if node.op == "Div":
        _leave(b != 0)
    form = OPERATORS[node.op](ctx, node, [_plain(v) for v in inputs])
    positive = [ctx.ar.bounds(to_form(ctx.ar, _plain(v)))[0] > 0 for v in inputs]
    marks = [
        np.where(m == 0, 0, np.where((m == GONE) & p, GONE, UNDEFINED))
        for m, p in zip((a, b), positive[::-1], strict=True)
    ]
    return _marked(form, _greatest(marks))


def _limit(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Functions that have a limit at -inf."""
    marks = _marks(inputs[0])
    form, limit = ctx.alike(OPERATORS[node.op](ctx, node, [_plain(inputs[0])]), ctx.number(LIMITS[node.op]))
    return _marked(select(ctx.ar, marks != 0, marks != 0, limit, form), marks * (marks != GONE))


def _clipped(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Below a lower limit, -inf is that."""
    marks = _marks(inputs[0])
    for value in inputs[1:]:
        _leave(_marks(value) != 0)
    low = inputs[1] if len(inputs) > 1 else None
    if node.opset < 11:
        low = None if node.get("min") is None else ctx.number(node.get("min"))
    form = _plain(inputs[0])
    if low is not None:
        form, low = ctx.alike(form, low)
        form = select(ctx.ar, marks != 0, marks != 0, low, form)
        marks = marks * (marks != GONE)
    return _marked(OPERATORS[node.op](ctx, node, [form, *inputs[1:]]), marks)


def _cast(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    if node.get("to") not in WITH_INFINITIES:
        _leave(_marks(inputs[0]) != 0)
    return _marked(OPERATORS[node.op](ctx, node, [_plain(inputs[0])]), _marks(inputs[0]))


def _choice(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    condition, *branches = inputs
    marks = OPERATORS[node.op](ctx, node, [condition, *(_as_whole(v) for v in branches)])
    return _marked(OPERATORS[node.op](ctx, node, [condition, *(_plain(v) for v in branches)]), _known(marks))


def _maximum(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """An exact -inf loses."""
    best, marks = _plain(inputs[0]), _marks(inputs[0])
    for value in inputs[1:]:
        form, more = _plain(value), _marks(value)
        best, form = ctx.alike(best, form)
        first, second = marks == GONE, more == GONE
        best, form = select(ctx.ar, first, first, form, best), select(ctx.ar, second, second, best, form)
        best = maximum(ctx.ar, best, form)
        undefined = (marks == UNDEFINED) | (more == UNDEFINED)
        marks = np.where(undefined, UNDEFINED, np.minimum(marks, more))
    return _marked(best, marks)


def _greatest_of_axes(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    marks, gone = _marks(inputs[0]), _marks(inputs[0]) == GONE
    out = OPERATORS[node.op](ctx, node, [_lowered(ctx, inputs[0]), *inputs[1:]])
    axes = reduction_axes(node, inputs, len(inputs[0].shape))
    keep = bool(node.get("keepdims"))
    undefined = (marks == UNDEFINED).any(axis=axes, keepdims=keep)
    return _marked(out, np.where(undefined, UNDEFINED, gone.all(axis=axes, keepdims=keep) * GONE))


def _lowered(ctx: Context, value: Form) -> Form:
    """A value with something below all real numbers of the tensor for -inf."""
    form, gone = _plain(value), _marks(value) == GONE
    lowest = ctx.ar.integers([[-max(form.size, 1)]])  # times 4: below every |c| + |d| + r
    return select(ctx.ar, gone, gone, Form(lowest, 0 * lowest, 0 * lowest, form.e + 2, form.degree), form)


def _least_of_axes(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Sums, means and minima: one -inf is enough."""
    axes = reduction_axes(node, inputs, len(inputs[0].shape))
    out = OPERATORS[node.op](ctx, node, [_plain(inputs[0]), *inputs[1:]])
    return _marked(out, _marks(inputs[0]).max(axis=axes, keepdims=bool(node.get("keepdims"))))


def _place(ctx: Context, node: Node, inputs: list[Any]) -> Discrete | Form:
    """ArgMax and Hardmax, of lines that hold a real number."""
    marks = _marks(inputs[0])
    rank = len(inputs[0].shape)
    axis: Any = node.axis(max(rank, 1))
    if node.op == "Hardmax" and node.opset < 13:
        axis = tuple(range(axis, rank))
    _leave((marks == UNDEFINED).any(axis=axis) | (marks == GONE).all(axis=axis))
    return OPERATORS[node.op](ctx, node, [_lowered(ctx, inputs[0])])  # type: ignore[no-any-return]


def _compared(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    a, b = (_marks(v) for v in inputs)
    _leave((a == UNDEFINED) | (b == UNDEFINED))
    found = OPERATORS[node.op](ctx, node, [_plain(v) for v in inputs])
    below, above, equal = (a > b, a < b, a == b)
    truth = {"Less": below, "Greater": above, "Equal": equal}.get(node.op)
    if truth is None:
        truth = (below if node.op == "LessOrEqual" else above) | equal
    decided = (a != 0) | (b != 0)
    return Discrete(np.where(decided, truth, found.lo), np.where(decided, truth, found.hi))


def _shares(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """Softmax: no share for -inf; undefined in a row without a real number, or with an undefined one."""
    form, marks = _plain(inputs[0]), _marks(inputs[0])
    axes = softmax_axes(node, len(form.shape))
    marks = np.broadcast_to(marks, form.c.shape)
    lost = (marks == UNDEFINED).any(axis=axes, keepdims=True)
    lost |= (marks == GONE).all(axis=axes, keepdims=True)
    gone = (marks == GONE) & ~lost
    out = softmax(ctx, node, form, gone)
    if node.op == "Softmax":
        return _marked(select(ctx.ar, gone, gone, ctx.number(0), out), lost * UNDEFINED)
    return _marked(out, np.where(lost, UNDEFINED, gone * GONE))


WITH_INFINITIES = (*REALS, TensorProto.FLOAT16, TensorProto.BFLOAT16)
LIMITS = {"Exp": 0, "Relu": 0, "Sigmoid": 0, "Softplus": 0, "Erf": -1, "Sign": -1, "Tanh": -1}
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys((*MOVED, "Gather", "GatherElements", "GatherND", "Trilu"), _moved),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _written),
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean", "Min"), _sum),
    **dict.fromkeys(("ReduceMin", "ReduceSum", "ReduceMean"), _least_of_axes),
    **dict.fromkeys(LIMITS, _limit),
    **dict.fromkeys(("Mul", "Div"), _scaled),
    **dict.fromkeys(COMPARISONS, _compared),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _shares),
    **dict.fromkeys(("ArgMax", "Hardmax"), _place),
    "Cast": _cast,
    "Clip": _clipped,
    "Max": _maximum,
    "ReduceMax": _greatest_of_axes,
    "Where": _choice,
}
