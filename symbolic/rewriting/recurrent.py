"""RNN, GRU and LSTM, unrolled in time to matrix products and activation functions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.rewriting.unrolling import Nodes, Scope, Unrolling, unrolls

Made = Generator[Node, None, str]
"""Nodes, and the name of what they make."""

DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
# What a function takes from activation_alpha and activation_beta, with the defaults of its ONNX operator.
PARAMETERS: dict[str, dict[str, float | None]] = {
    "affine": {"alpha": None, "beta": None},
    "scaledtanh": {"alpha": None, "beta": None},
    "hardsigmoid": {"alpha": float(np.float32(0.2)), "beta": 0.5},
    "leakyrelu": {"alpha": float(np.float32(0.01))},
    "thresholdedrelu": {"alpha": 1.0},
    "elu": {"alpha": 1.0},
}
PLAIN = {
    name.lower(): name
    for name in "Relu Tanh Sigmoid LeakyRelu ThresholdedRelu HardSigmoid Elu Softsign Softplus".split()
}


@dataclass(frozen=True)
class Activation:
    """An activation function and its parameters."""

    name: str
    parameters: dict[str, float]


class Maker:
    """Makes nodes of a layer under names of their own; single results, as expressions need them."""

    def __init__(self, unrolling: Unrolling, node: Node) -> None:
        self.unrolling, self.node = unrolling, node
        self.label = next(name for name in node.proto.output if name)

    def __call__(self, op_type: str, *inputs: str, **attributes: Any) -> Made:
        target = self.unrolling.fresh(f"{self.label}/{op_type.lower()}")
        yield from self.unrolling.make(op_type, inputs, target, **attributes)
        return target

    def constant(self, array: Any) -> Made:
        """A stored tensor."""
        return (yield from self.unrolling.constant(np.asarray(array), f"{self.label}/constant"))

    def at(self, name: str, index: int, axis: int = 0) -> Made:
        """One slice, without its axis."""
        place = yield from self.constant(np.int64(index))
        return (yield from self("Gather", name, place, axis=axis))

    def parts(self, name: str, count: int, axis: int) -> Generator[Node, None, list[str]]:
        """Equal parts along an axis."""
        targets = [self.unrolling.fresh(f"{self.label}/part") for _ in range(count)]
        yield from self.unrolling.make("Split", [name], *targets, axis=axis)
        return targets

    def activation(self, x: str, how: Activation, clip: float | None) -> Made:
        """A function of what the clip leaves of its argument."""
        if clip is not None:
            x = yield from self("Clip", x, min=-clip, max=clip, opset=6)
        if how.name in PLAIN:
            return (yield from self(PLAIN[how.name], x, **how.parameters))
        alpha = yield from self.constant(np.float64(how.parameters["alpha"]))
        beta = yield from self.constant(np.float64(how.parameters["beta"]))
        if how.name == "affine":
            return (yield from self("Add", (yield from self("Mul", x, alpha)), beta))
        bent = yield from self("Tanh", (yield from self("Mul", x, beta)))
        return (yield from self("Mul", bent, alpha))


@dataclass(frozen=True)
class Weights:
    """Of the recurrence, in one direction: transposed matrices; for GRU those of z and r, and of h."""

    recurrent: tuple[str, ...]
    recurrent_bias: str
    peepholes: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """What a cell needs besides its weights and states."""

    make: Maker
    functions: Sequence[Activation]
    clip: float | None
    node: Node

    def function(self, which: int, x: str) -> Made:
        """Activation function number `which` of the direction."""
        return self.make.activation(x, self.functions[which], self.clip)


def rnn_cell(layer: Layer, x: str, state: list[str], w: Weights) -> Generator[Node, None, list[str]]:
    """Ht = f(Xt W + Ht-1 R + biases); `x` holds the terms without a state."""
    make = layer.make
    total = yield from make("Add", x, (yield from make("MatMul", state[0], w.recurrent[0])))
    return [(yield from layer.function(0, total))]


def gru_cell(layer: Layer, x: str, state: list[str], w: Weights) -> Generator[Node, None, list[str]]:
    """Ht = ht + zt (Ht-1 - ht), which is (1 - zt) ht + zt Ht-1 with one product."""
    make, before = layer.make, state[0]
    xz, xr, xh = yield from make.parts(x, 3, -1)
    gates, candidate = w.recurrent
    hz, hr = yield from make.parts((yield from make("MatMul", before, gates)), 2, -1)
    z = yield from layer.function(0, (yield from make("Add", xz, hz)))
    r = yield from layer.function(0, (yield from make("Add", xr, hr)))
    if layer.node.flag("linear_before_reset"):
        moved = yield from make("MatMul", before, candidate)
        if w.recurrent_bias:
            moved = yield from make("Add", moved, w.recurrent_bias)
        inner = yield from make("Mul", r, moved)
    else:
        inner = yield from make("MatMul", (yield from make("Mul", r, before)), candidate)
    h = yield from layer.function(1, (yield from make("Add", xh, inner)))
    step = yield from make("Mul", z, (yield from make("Sub", before, h)))
    return [(yield from make("Add", h, step))]


def lstm_cell(layer: Layer, x: str, state: list[str], w: Weights) -> Generator[Node, None, list[str]]:
    """The gates i, o, f, c; with input_forget the forget gate is 1 - i."""
    make, (hidden, cell) = layer.make, state
    total = yield from make("Add", x, (yield from make("MatMul", hidden, w.recurrent[0])))
    gates = yield from make.parts(total, 4, -1)

    def gate(which: int, seen: str) -> Made:
        value = gates[which]
        if w.peepholes:
            value = yield from make("Add", value, (yield from make("Mul", w.peepholes[which], seen)))
        return (yield from layer.function(0, value))

    i = yield from gate(0, cell)
    c = yield from layer.function(1, gates[3])
    if layer.node.flag("input_forget"):
        step = yield from make("Mul", i, (yield from make("Sub", c, cell)))
        new = yield from make("Add", cell, step)
    else:
        f = yield from gate(2, cell)
        kept = yield from make("Mul", f, cell)
        new = yield from make("Add", kept, (yield from make("Mul", i, c)))
    o = yield from gate(1, new)
    return [(yield from make("Mul", o, (yield from layer.function(2, new)))), new]


Cell = Callable[[Layer, str, list[str], Weights], Generator[Node, None, list[str]]]
CELLS: dict[str, Cell] = {"RNN": rnn_cell, "GRU": gru_cell, "LSTM": lstm_cell}


@unrolls(*CELLS)
def recurrent(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """A layer in its directions; Y, Y_h and, for LSTM, Y_c."""
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(
        node.text("direction", "forward").lower()
    )
    if directions is None:
        raise ModelError(f"{node.label}: its direction is {node.text('direction')!r}.")
    make = Maker(unrolling, node)
    x, w, r, b, lengths, *initial, peepholes = [*node.proto.input, *[""] * 8][:8]
    if node.flag("layout"):
        x = yield from make("Transpose", x, perm=[1, 0, 2])
        for k in range(2):
            if initial[k]:
                initial[k] = yield from make("Transpose", initial[k], perm=[1, 0, 2])
    steps, batch, inner = _three(unrolling, node, x)
    size = _three(unrolling, node, r)[2]
    _require_shapes(unrolling, node, (w, r, b, *initial, peepholes), (len(directions), batch, inner, size))
    active = _active(unrolling, node, lengths, steps, batch)
    functions = _functions(node, len(directions))
    clip = node.number("clip") if "clip" in node.attributes else None
    rows: list[list[str]] = []
    finals: list[list[str]] = []
    for d, reverse in enumerate(directions):
        layer = Layer(make, functions[d], clip, node)
        states = []
        for name in initial[: 2 if node.op_type == "LSTM" else 1]:
            states.append(
                (yield from make.at(name, d)) if name else (yield from make.constant(np.zeros((batch, size))))
            )
        weights, terms = yield from _prepared(layer, (x, w, r, b, peepholes), d)
        order = range(steps - 1, -1, -1) if reverse else range(steps)
        made, states = yield from _run(layer, terms, states, weights, order, active)
        rows.append(made[:: -1 if reverse else 1])
        finals.append(states)
    yield from _outputs(make, rows, finals)


def _run(
    layer: Layer, terms: str, states: list[str], weights: Weights, order: range, active: Any
) -> Generator[Node, None, tuple[list[str], list[str]]]:
    """The hidden states in the order of the steps, and the last states; a sequence that ended has zeros."""
    make, rows = layer.make, []
    zero = ""
    for t in order:
        new = yield from CELLS[layer.node.op_type](layer, (yield from make.at(terms, t)), states, weights)
        if active[t].all():
            states = new
            rows.append(new[0])
            continue
        runs = yield from make.constant(active[t][:, None])
        zero = zero or (yield from make.constant(np.zeros(())))
        rows.append((yield from make("Where", runs, new[0], zero)))
        kept = []
        for now, before in zip(new, states, strict=True):
            kept.append((yield from make("Where", runs, now, before)))
        states = kept
    return rows, states


def _prepared(
    layer: Layer, given: tuple[str, str, str, str, str], d: int
) -> Generator[Node, None, tuple[Weights, str]]:
    """The weights of a direction, and Xt W + biases for all steps at once."""
    make = layer.make
    x, w, r, b, p = given
    w = yield from make("Transpose", (yield from make.at(w, d)), perm=[1, 0])
    r = yield from make("Transpose", (yield from make.at(r, d)), perm=[1, 0])
    matrices: tuple[str, ...] = (r,)
    if layer.node.op_type == "GRU":
        rz, rr, rh = yield from make.parts(r, 3, 1)
        matrices = ((yield from make("Concat", rz, rr, axis=1)), rh)
    terms = yield from make("MatMul", x, w)
    late = ""
    if b:
        forward, backward = yield from make.parts((yield from make.at(b, d)), 2, 0)
        if layer.node.op_type == "GRU" and layer.node.flag("linear_before_reset"):
            z, reset, late = yield from make.parts(backward, 3, 0)
            nothing = yield from make.constant(np.zeros(layer.make.unrolling.shape(layer.node, late)))
            backward = yield from make("Concat", z, reset, nothing, axis=0)
        terms = yield from make("Add", terms, (yield from make("Add", forward, backward)))
    peepholes = (yield from make.parts((yield from make.at(p, d)), 3, 0)) if p else []
    return Weights(matrices, late, tuple(peepholes)), terms


def _outputs(make: Maker, rows: list[list[str]], finals: list[list[str]]) -> Nodes:
    """Y is (steps, directions, batch, hidden), the last states (directions, batch, hidden)."""
    unrolling, node = make.unrolling, make.node
    batchwise = node.flag("layout")
    targets = [*node.proto.output, "", "", ""][:3]
    if targets[0]:
        each = [unrolling.fresh(f"{make.label}/direction") for _ in rows]
        for row, name in zip(rows, each, strict=True):
            yield from unrolling.joined(row, name, 0)
        whole = unrolling.fresh(f"{make.label}/all") if batchwise else targets[0]
        yield from unrolling.joined(each, whole, 1)
        if batchwise:
            yield from unrolling.make("Transpose", [whole], targets[0], perm=[2, 0, 1, 3])
    for k, target in enumerate(targets[1:]):
        if target:
            yield from unrolling.joined([states[k] for states in finals], target, 1 if batchwise else 0)


def _three(unrolling: Unrolling, node: Node, name: str) -> tuple[int, ...]:
    shape = unrolling.shape(node, name)
    if len(shape) != 3 or 0 in shape:
        raise ModelError(f"{node.label}: {name!r} has shape {list(shape)}, which is not of three axes.")
    return shape


def _require_shapes(
    unrolling: Unrolling, node: Node, given: Sequence[str], sizes: tuple[int, int, int, int]
) -> None:
    """The shapes of W, R, B, the initial states and P."""
    directions, batch, inner, size = sizes
    rows, state = {"RNN": 1, "GRU": 3, "LSTM": 4}[node.op_type] * size, (batch, size)
    wanted: list[tuple[int, ...]] = [(rows, inner), (rows, size), (2 * rows,), state, state, (3 * size,)]
    for name, shape in zip(given, wanted, strict=True):
        found = unrolling.shape(node, name) if name else None
        if found not in (None, (directions, *shape)):
            raise ModelError(f"{node.label}: {name!r} has shape {found}, not {(directions, *shape)}.")
    if int(node.attributes.get("hidden_size", size)) != size:
        raise ModelError(f"{node.label}: hidden_size is not that of its weights.")


def _active(unrolling: Unrolling, node: Node, lengths: str, steps: int, batch: int) -> Any:
    """Which sequences run in which step."""
    each = np.full(batch, steps)
    if lengths:
        each = unrolling.array(node, lengths, "sequence_lens").reshape(-1)
    if len(each) != batch or each.min() < 0 or each.max() > steps:
        raise ModelError(f"{node.label}: sequence_lens does not fit its input.")
    if not each.all():  # the standard does not say what comes out: zeros, or the initial state
        raise ModelError(f"{node.label}: runtimes disagree on sequences of length 0.")
    return np.arange(steps)[:, None] < each


def _functions(node: Node, directions: int) -> list[list[Activation]]:
    """The activation functions of each direction; they take their parameters in order."""
    count = len(DEFAULTS[node.op_type])
    names = [str(v.decode() if isinstance(v, bytes) else v) for v in node.attributes.get("activations", [])]
    if node.op_type == "RNN" and len(names) > directions:  # the default is for two
        names = names[:directions]
    names = names or DEFAULTS[node.op_type] * directions
    if len(names) != count * directions:
        raise ModelError(f"{node.label}: it needs {count * directions} activation functions.")
    values = {
        key: iter([float(v) for v in node.attributes.get(f"activation_{key}", [])])
        for key in ("alpha", "beta")
    }
    found = [_activation(node, name.lower(), values) for name in names]
    if any(next(rest, None) is not None for rest in values.values()):
        raise ModelError(f"{node.label}: it has more parameters than its activation functions take.")
    return [found[d * count : (d + 1) * count] for d in range(directions)]


def _activation(node: Node, name: str, values: dict[str, Iterator[float]]) -> Activation:
    if name not in PLAIN and name not in PARAMETERS:
        raise ModelError(f"{node.label}: the activation function {name!r} is none of the standard's.")
    taken: dict[str, float] = {}
    for key, default in PARAMETERS.get(name, {}).items():
        value = next(values[key], default)
        if value is None:
            raise ModelError(f"{node.label}: the activation function {name!r} lacks its {key}.")
        taken[key] = value
    return Activation(name, taken)
