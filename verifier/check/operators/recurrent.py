"""RNN, GRU and LSTM, step by step in time, on forms of shape (batch, hidden)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.contractions import contract
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.numbers.relaxations import select
from verifier.check.operators.registry import OPERATORS, Context, Node, operator, whole_numbers
from verifier.check.operators.structure import gather

__all__: list[str] = []

MATRICES = {"W": 1, "R": 2}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
PARAMETERS = {
    **dict.fromkeys(("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"), ()),
    **dict.fromkeys(("LeakyRelu", "ThresholdedRelu", "Elu"), ("alpha",)),
    **dict.fromkeys(("Affine", "ScaledTanh", "HardSigmoid"), ("alpha", "beta")),
}
Function = tuple[str, dict[str, float]]
States = list[Form]


@dataclass(frozen=True)
class Direction:
    """A layer in one direction: its weights, rows of the hidden units gate by gate."""

    ctx: Context
    node: Node
    number: int
    w: Form
    r: Form
    bias: Form | None  # (2, gates * hidden): of the input, of the recurrence
    peepholes: Form | None  # (3, hidden)
    functions: list[Function]

    @property
    def hidden(self) -> int:
        """How many hidden units there are."""
        return self.r.shape[1]

    def add(self, a: Form, b: Form) -> Form:
        """a + b, on a ray too."""
        return self.ctx.ar.add(*self.ctx.alike(a, b))

    def times(self, which: str, matrix: Form, x: Form, gates: slice) -> Form:
        """x times the transposed rows of some gates: (rows, K) -> (rows, gates * hidden)."""
        key = (self.node.index, self.number, which, gates.start)
        rows = slice(gates.start * self.hidden, gates.stop * self.hidden)
        if self.node.inputs[MATRICES[which]] in self.ctx.moves:
            if matrix.degree + x.degree > 1:
                raise NotHomogeneous(self.node.op)
            columns = x.each(lambda a: a.swapaxes(0, 1)[None])
            y = contract(self.ctx.ar, matrix.each(lambda a: a[None, rows]), columns)
            return y.each(lambda a: a[0].swapaxes(0, 1))
        if key not in self.ctx.cache:
            part = matrix.each(lambda a: a[None, rows])
            self.ctx.cache[key] = Weights.of(self.ctx.ar, part)
        index = np.arange(x.shape[0] * x.shape[1]).reshape(1, *x.shape).swapaxes(1, 2)
        y = linear(self.ctx.ar, self.ctx.cache[key], x, index)
        return y.each(lambda a: a[0].swapaxes(0, 1))

    def offset(self, which: int, gates: slice) -> Form | None:
        """A bias of some gates."""
        if self.bias is None:
            return None
        return self.bias.each(lambda a: a[which, gates.start * self.hidden : gates.stop * self.hidden])

    def function(self, k: int, v: Form) -> Form:
        """Activation function number k, after the clip."""
        name, parameters = self.functions[k]
        node, ctx = self.node, self.ctx
        if node.get("clip") is not None:
            cut = {"min": -node.get("clip"), "max": node.get("clip")}
            v = OPERATORS["Clip"](ctx, replace(node, op="Clip", opset=6, attributes=cut), [v])
        if name == "Affine":
            return self.add(ctx.product(v, ctx.number(parameters["alpha"])), ctx.number(parameters["beta"]))
        if name == "ScaledTanh":
            v = ctx.product(v, ctx.number(parameters["beta"]))
            return ctx.product(self._apply("Tanh", {}, v), ctx.number(parameters["alpha"]))
        return self._apply(name, parameters, v)

    def _apply(self, name: str, parameters: dict[str, float], v: Form) -> Form:
        if name not in OPERATORS:
            raise self.node.refuse(f"the activation function {name} is not supported")
        form: Form = OPERATORS[name](self.ctx, replace(self.node, op=name, attributes=parameters), [v])
        return form


def _gate(form: Form, k: int, hidden: int) -> Form:
    return form.each(lambda a: a[:, k * hidden : (k + 1) * hidden])


def _simple(d: Direction, x: Form, states: States) -> States:
    return [d.function(0, d.add(x, d.times("R", d.r, states[0], slice(0, 1))))]


def _gated(d: Direction, x: Form, states: States) -> States:
    """GRU: the new state is h + z*(H - h), that is (1 - z)*h + z*H."""
    ctx, before = d.ctx, states[0]
    moved = d.times("R", d.r, before, slice(0, 2))
    z, r = (d.function(0, d.add(_gate(x, k, d.hidden), _gate(moved, k, d.hidden))) for k in (0, 1))
    if d.node.get("linear_before_reset"):
        inner = d.times("R", d.r, before, slice(2, 3))
        late = d.offset(1, slice(2, 3))
        inner = ctx.product(r, inner if late is None else d.add(inner, late))
    else:
        inner = d.times("R", d.r, ctx.product(r, before), slice(2, 3))
    h = d.function(1, d.add(_gate(x, 2, d.hidden), inner))
    return [d.add(h, ctx.product(z, ctx.ar.subtract(*ctx.alike(before, h))))]


def _long(d: Direction, x: Form, states: States) -> States:
    """LSTM, its gates in the order i, o, f, c."""
    ctx, (before, cell) = d.ctx, states
    total = d.add(x, d.times("R", d.r, before, slice(0, 4)))

    def gate(k: int, seen: Form) -> Form:
        v = _gate(total, k, d.hidden)
        if d.peepholes is not None:
            v = d.add(v, ctx.product(seen, d.peepholes.each(lambda a: a[k])))
        return d.function(0, v)

    i, new = gate(0, cell), d.function(1, _gate(total, 3, d.hidden))
    if d.node.get("input_forget"):
        cell = d.add(cell, ctx.product(i, ctx.ar.subtract(*ctx.alike(new, cell))))
    else:
        cell = d.add(ctx.product(gate(2, cell), cell), ctx.product(i, new))
    return [ctx.product(gate(1, cell), d.function(2, cell)), cell]


CELLS: dict[str, Callable[[Direction, Form, States], States]] = {"RNN": _simple, "GRU": _gated, "LSTM": _long}


@operator(*GATES, still=(4,))
def _recurrent(ctx: Context, node: Node, inputs: list[Any]) -> list[Any]:
    x, w, r, b, lengths, *initial, p = [*inputs, *[None] * 8][:8]
    if node.get("layout"):
        x, *initial = (v if v is None else v.each(lambda a: a.swapaxes(0, 1)) for v in (x, *initial))
    steps, batch, _ = x.shape
    hidden, gates = r.shape[2], GATES[node.op]
    turned = {b"forward": [0], b"reverse": [1], b"bidirectional": [0, 1]}[node.get("direction", b"forward")]
    for v, wanted in (
        (w, (len(turned), gates * hidden, x.shape[2])),
        (r, (len(turned), gates * hidden, hidden)),
        (b, (len(turned), 2 * gates * hidden)),
        (p, (len(turned), 3 * hidden)),
        *((v, (len(turned), batch, hidden)) for v in initial),
    ):
        if v is not None and v.shape != wanted:
            raise node.refuse(f"a tensor has shape {v.shape}, not {wanted}")
    if node.get("hidden_size", hidden) != hidden or not steps:
        raise node.refuse("its attributes and inputs do not fit")
    runs = _runs(node, lengths, steps, batch)
    functions = _functions(node, len(turned))
    made, last = [], []
    for k, backward in enumerate(turned):

        def of(v: Form | None, shape: tuple[int, ...], k: int = k) -> Form | None:
            return None if v is None else v.each(lambda a: a[k].reshape(*shape, a.shape[-1]))

        d = Direction(
            ctx,
            node,
            k,
            w.each(lambda a, k=k: a[k]),
            r.each(lambda a, k=k: a[k]),
            of(b, (2, gates * hidden)),
            of(p, (3, hidden)),
            functions[k],
        )
        zero = ctx.ar.constant(np.zeros((batch, hidden)))
        count = 2 if node.op == "LSTM" else 1
        states = [zero if v is None else v.each(lambda a, k=k: a[k]) for v in initial[:count]]
        order = range(steps)[::-1] if backward else range(steps)
        rows, states = _walk(d, x, states, order, runs, zero)
        made.append(rows[::-1] if backward else rows)
        last.append(states)
    return _outputs(ctx, node, made, last)


def _walk(
    d: Direction, x: Form, states: States, order: range, runs: Array, zero: Form
) -> tuple[list[Form], States]:
    """The hidden states in the order of the steps, and the last states."""
    steps, batch, size = x.shape
    flat = x.each(lambda a: a.reshape(steps * batch, size, -1))
    whole = slice(0, GATES[d.node.op])
    terms = d.times("W", d.w, flat, whole)
    for which, part in ((0, whole), (1, whole)):
        bias = d.offset(which, part)
        if bias is not None and which and d.node.get("linear_before_reset"):  # the candidate's comes later
            bias = bias.each(lambda a: np.concatenate([a[: 2 * d.hidden], a[2 * d.hidden :] * 0]))
        terms = terms if bias is None else d.add(terms, bias)
    rows = []
    for t in order:
        new = CELLS[d.node.op](d, terms.each(lambda a, t=t: a[t * batch : (t + 1) * batch]), states)
        on = runs[t].astype(np.int64)[:, None, None]
        if on.all():
            rows.append(new[0])
            states = new
            continue
        rows.append(select(d.ctx.ar, on, on, *d.ctx.alike(new[0], zero)))
        states = [select(d.ctx.ar, on, on, *d.ctx.alike(a, b)) for a, b in zip(new, states, strict=True)]
    return rows, states


def _outputs(ctx: Context, node: Node, made: list[list[Form]], last: list[States]) -> list[Any]:
    """Y (steps, directions, batch, hidden), and the last states (directions, batch, hidden)."""
    batch, hidden = made[0][0].shape
    batchwise = node.get("layout")
    count = len(made) * len(made[0]) * batch * hidden
    places: Array = np.arange(count).reshape(len(made), len(made[0]), batch, hidden)
    places = places.transpose((2, 1, 0, 3) if batchwise else (1, 0, 2, 3))
    found: list[Any] = [gather(ctx, ctx.alike(*(row for rows in made for row in rows)), places)]
    ends = np.arange(len(last) * batch * hidden).reshape(len(last), batch, hidden)
    ends = ends.swapaxes(0, 1) if batchwise else ends
    for k in range(len(last[0])):
        found.append(gather(ctx, ctx.alike(*(states[k] for states in last)), ends))
    return found


def _runs(node: Node, lengths: Any, steps: int, batch: int) -> Array:
    """Which sequences of the batch go on in which step."""
    each = np.full(batch, steps) if lengths is None else whole_numbers(node, lengths)
    if each.shape != (batch,) or ((each < 1) | (each > steps)).any():  # of 0 steps runtimes disagree
        raise node.refuse("its sequence_lens do not fit")
    return np.asarray(np.arange(steps)[:, None] < each)


def _functions(node: Node, directions: int) -> list[list[Function]]:
    """The activation functions of the directions; parameters go to those that take some, in order."""
    usual = USUAL[node.op]
    given = [name.decode() for name in node.get("activations", [])][: directions * len(usual)]
    names = given or list(usual) * directions
    if len(names) != directions * len(usual):
        raise node.refuse("another number of activation functions is needed")
    rest = {key: iter(node.get(f"activation_{key}", [])) for key in ("alpha", "beta")}
    spelled = {name.lower(): name for name in PARAMETERS}
    if not all(name.lower() in spelled for name in names):
        raise node.refuse("an activation function is not one of the standard's")
    functions = [
        (name, {key: _parameter(node, name, key, rest[key]) for key in PARAMETERS[name]})
        for name in (spelled[name.lower()] for name in names)
    ]
    if any(True for values in rest.values() for _ in values):
        raise node.refuse("there are more parameters than its activation functions take")
    return [functions[k * len(usual) : (k + 1) * len(usual)] for k in range(directions)]


def _parameter(node: Node, name: str, key: str, rest: Iterator[float]) -> float:
    """The next parameter, or the default of the operator with the function's name."""
    value = next(rest, None)
    if value is not None:
        return value
    if name in ("Affine", "ScaledTanh"):
        raise node.refuse(f"the activation function {name} lacks its {key}")
    return float(onnx.defs.get_schema(name).attributes[key].default_value.f)
