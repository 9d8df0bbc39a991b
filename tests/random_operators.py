"""One maker for each operator: appends it with random inputs and attributes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from graph_builder import NUMPY, Builder, Rejected, Tensor
from onnx import TensorProto

__all__ = ["MAKERS", "SMOOTH"]

Maker = Callable[[Builder], object]
MAKERS: dict[str, Maker] = {}
SMOOTH = {"Sigmoid", "Softmax", "Exp", "Reciprocal", "HardSwish"}


def maker(*names: str, since: int = 7) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Register the function for the operators; it gets the builder and, for several names, the name too."""

    def register(function: Callable[..., object]) -> Callable[..., object]:
        for name in names:

            def make(b: Builder, name: str = name) -> object:
                if b.opset < since:
                    raise Rejected("opset")
                return function(b, name) if len(names) > 1 else function(b)

            MAKERS[name] = make
        return function

    return register


def broadcast_size(*tensors: Tensor) -> None:
    try:
        shape = np.broadcast_shapes(*(t.shape for t in tensors))
    except ValueError:
        raise Rejected("shapes") from None
    if np.prod(shape) > 72:
        raise Rejected("size")


# --- elementwise ---


@maker("Relu", "Abs", "Neg", "Sign", "Identity")
def unary(b: Builder, name: str) -> object:
    return b.node(name, [b.pick()])


@maker("LeakyRelu")
def leaky_relu(b: Builder) -> object:
    attributes = {"alpha": float(b.numbers([])[()])} if b.coin(0.7) else {}
    return b.node("LeakyRelu", [b.pick()], **attributes)


@maker("PRelu")
def prelu(b: Builder) -> object:
    x = b.pick()
    shape = [1 if b.coin(0.3) else size for size in x.shape]
    return b.node("PRelu", [x, b.weights(shape[b.integer(0, len(shape)) :])])


@maker("HardSigmoid")
def hard_sigmoid(b: Builder) -> object:
    attributes = {"alpha": float(b.numbers([])[()]), "beta": float(b.numbers([])[()])} if b.coin(0.6) else {}
    return b.node("HardSigmoid", [b.pick()], **attributes)


@maker("Clip")
def clip(b: Builder) -> object:
    x = b.pick()
    low, high = sorted([b.near(x), b.near(x)])
    if b.opset < 11:
        chosen = {name: v for name, v in (("min", low), ("max", high)) if b.coin(0.8)}
        return b.node("Clip", [x], **{k: float(np.float32(v)) for k, v in chosen.items()})
    if b.coin(0.05):
        low, high = high, low
    ends = [b.constant(NUMPY[b.type](v)) if b.coin(0.8) else None for v in (low, high)]
    if b.restless and b.coin():
        k = b.integer(0, 1)
        ends[k] = b.node("ReduceMean", [b.pick()], keepdims=0)[0]
    return b.node("Clip", [x, *ends])


def small(b: Builder) -> Tensor:
    """A moving tensor with values that exp can bear."""
    x = b.pick()
    if max(abs(v) for v in b.spread(x)) > 8:
        x = b.node("Mul", [x, b.constant(NUMPY[b.type](2.0**-5))])[0]
    if max(abs(v) for v in b.spread(x)) > 8:
        raise Rejected("large")
    return x


@maker("Exp", "Sigmoid")
def exponential(b: Builder, name: str) -> object:
    return b.node(name, [small(b)])


@maker("HardSwish", since=14)
def hard_swish(b: Builder) -> object:
    return b.node("HardSwish", [b.pick()])


@maker("Softmax")
def softmax(b: Builder) -> object:
    x = small(b)
    if x.rank == 0:
        raise Rejected("rank")
    if b.coin(0.2) and (b.opset >= 13 or x.rank > 1):
        return b.node("Softmax", [x])
    return b.node("Softmax", [x], axis=b.integer(-x.rank if b.opset >= 11 else 0, x.rank - 1))


def away_from_zero(b: Builder, x: Tensor) -> Tensor:
    """A positive tensor made of x."""
    return b.node("Add", [b.node("Abs", [x])[0], b.constant(NUMPY[b.type](b.integer(1, 8) / 4))])[0]


@maker("Reciprocal")
def reciprocal(b: Builder) -> object:
    x = b.pick()
    if not b.coin(0.3) or min(abs(v) for v in b.spread(x)) < 0.25:
        x = away_from_zero(b, x)
    return b.node("Reciprocal", [x])


@maker("Add", "Sub")
def add(b: Builder, name: str) -> object:
    x = b.pick()
    y = b.partner(x)
    return b.node(name, [x, y] if b.coin(0.8) else [y, x])


@maker("Mul")
def multiply(b: Builder) -> object:
    x = b.pick()
    y = b.partner(x, moving=0.6 if b.smooth else 0.0)
    return b.node("Mul", [x, y] if b.coin() else [y, x])


@maker("Div")
def divide(b: Builder) -> object:
    x = b.pick()
    if b.smooth and b.coin(0.6):
        below = away_from_zero(b, b.partner(x, moving=1.0))
        if not below.moving and b.coin():
            return b.node("Div", [below, away_from_zero(b, x)])
        return b.node("Div", [x, below])
    divisor = b.numbers([1 if b.coin(0.3) else size for size in x.shape])
    divisor = np.where(np.abs(divisor) < 0.125, 0.75, divisor).astype(divisor.dtype)
    return b.node("Div", [x, b.constant(divisor)])


@maker("Sum", "Max", "Min")
def variadic(b: Builder, name: str) -> object:
    tensors = [b.pick()]
    for _ in range(b.integer(0, 2)):
        tensors.append(b.partner(tensors[0]))
        broadcast_size(*tensors)
    b.rng.shuffle(tensors)  # type: ignore[arg-type]
    return b.node(name, tensors)


# --- discrete ---


@maker("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")
def compare(b: Builder, name: str) -> object:
    if (name.endswith("OrEqual") and b.opset < 12) or (name == "Equal" and b.opset < 11):
        raise Rejected("opset")
    integers = [t for t in b.tensors if t.type == TensorProto.INT64 and t.moving]
    if integers and b.coin(0.5 if name == "Equal" else 0.2):
        x = b.choose(integers)
        values = [int(v) for v in x.value.reshape(-1)]
        made = b.node(name, [x, b.constant(np.int64(b.choose(values)))], type=TensorProto.BOOL)
    else:
        x = b.pick()
        y = b.constant(NUMPY[b.type](b.near(x))) if b.coin(0.5) else b.partner(x)
        made = b.node(name, [x, y] if b.coin() else [y, x], type=TensorProto.BOOL)
    if b.coin(0.3):
        b.node("Cast", made, type=b.type, to=b.type)
    return made


def truth(b: Builder) -> Tensor:
    """A moving boolean tensor."""
    try:
        return b.pick_discrete(TensorProto.BOOL)
    except Rejected:
        x = b.pick()
        return b.node("Greater", [x, b.constant(NUMPY[b.type](b.near(x)))], type=TensorProto.BOOL)[0]


@maker("And", "Or", "Xor")
def logic(b: Builder, name: str) -> object:
    x = truth(b)
    others = [t for t in b.tensors if t.type == TensorProto.BOOL and t.shape == x.shape]
    y = b.choose(others) if b.coin(0.6) else b.constant(b.rng.random(x.shape) < 0.5)
    made = b.node(name, [x, y])
    if b.coin(0.4):
        b.node("Cast", made, type=b.type, to=b.type)
    return made


@maker("Not")
def negation(b: Builder) -> object:
    return b.node("Not", [truth(b)])


@maker("Where")
def where(b: Builder) -> object:
    x = b.pick()
    y = b.partner(x)
    if b.coin(0.6):
        condition = truth(b)
        if condition.value.size > 1 and condition.shape != x.shape:
            condition = b.node("Greater", [x, b.constant(NUMPY[b.type](b.near(x)))], type=TensorProto.BOOL)[0]
    else:
        condition = b.constant(b.rng.random(x.shape) < 0.5)
    broadcast_size(condition, x, y)
    return b.node("Where", [condition, x, y] if b.coin() else [condition, y, x], type=b.type)


@maker("ArgMax", "ArgMin")
def arg(b: Builder, name: str) -> object:
    x = b.pick(lambda t: t.rank > 0)
    attributes = {"axis": b.integer(-x.rank, x.rank - 1), "keepdims": b.integer(0, 1)}
    if b.opset < 11:
        attributes["axis"] %= x.rank
    if b.opset >= 12 and b.coin():
        attributes["select_last_index"] = b.integer(0, 1)
    made = b.node(name, [x], type=TensorProto.INT64, **attributes)
    if b.coin(0.4):
        b.node("Cast", made, type=b.type, to=b.type)
    return made


# --- reductions and products ---


def some_axes(b: Builder, x: Tensor) -> list[int]:
    """Any number of axes, in any order, some counted from the end where that is allowed."""
    count = b.integer(0, x.rank)
    axes = [int(a) for a in b.rng.permutation(x.rank)[:count]]
    if b.opset >= 11:
        axes = [a - x.rank if b.coin(0.3) else a for a in axes]
    return axes


@maker("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def reduce(b: Builder, name: str) -> object:
    x = b.pick()
    axes = some_axes(b, x)
    attributes: dict[str, object] = {"keepdims": b.integer(0, 1)}
    inputs: list[Tensor | None] = [x]
    as_input = b.opset >= (13 if name == "ReduceSum" else 18)
    if as_input and b.coin(0.3):
        attributes["noop_with_empty_axes"] = b.integer(0, 1)
    if axes and as_input:
        inputs.append(b.integers(axes))
    elif axes:
        attributes["axes"] = axes
    elif as_input and b.coin(0.3):
        inputs.append(b.integers([]))
    return b.node(name, inputs, **attributes)


@maker("MatMul")
def matmul(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    size = b.integer(1, 4)
    if b.smooth and b.coin(0.3):
        if b.coin() or x.rank < 2:
            flat = b.reshaped(x, [x.value.size])
            return b.node("MatMul", [flat, flat])
        swap = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
        return b.node("MatMul", [x, b.node("Transpose", [x], perm=swap)[0]])
    if x.rank == 1 or b.coin(0.6):
        shape = [x.shape[-1]] if b.coin(0.2) else [x.shape[-1], size]
        if len(shape) == 2 and x.rank == 2 and b.coin(0.2):
            shape = [2, *shape]
        return b.node("MatMul", [x, b.weights(shape, 0.5)])
    shape = [x.shape[-2]] if b.coin(0.2) else [size, x.shape[-2]]
    return b.node("MatMul", [b.weights(shape, 0.5), x])


@maker("Gemm")
def gemm(b: Builder) -> object:
    x = b.with_rank(2)
    size, transposed, other = b.integer(1, 5), b.integer(0, 1), b.integer(0, 1)
    height, width = reversed(x.shape) if transposed else x.shape
    if b.coin(0.7):
        w = b.weights([size, width] if other else [width, size], 0.5)
        factors, rows, columns, flags = [x, w], height, size, {"transA": transposed, "transB": other}
    else:
        w = b.weights([height, size] if other else [size, height], 0.5)
        factors, rows, columns, flags = [w, x], size, width, {"transA": other, "transB": transposed}
    attributes: dict[str, object] = {k: v for k, v in flags.items() if v or b.coin()}
    for name in ("alpha", "beta"):
        if b.coin(0.4):
            attributes[name] = float(np.float32(b.integer(-4, 4) / 4 if not b.generic else b.rng.normal()))
    if b.opset < 11 or b.coin(0.8):
        shape = b.choose([[columns], [rows, columns], [1], [rows, 1], [1, columns], []])
        factors.append(b.weights(shape))
    return b.node("Gemm", factors, **attributes)


def moving_ones(b: Builder, tensor: Tensor) -> Tensor:
    """A constant, or it and the mean of something that moves."""
    return b.node("Add", [tensor, b.node("ReduceMean", [small(b)], keepdims=0)[0]])[0] if b.coin() else tensor


@maker("BatchNormalization")
def batch_normalization(b: Builder) -> object:
    x = b.with_rank(2, 3, 4)
    channels = x.shape[1]
    tensors = [b.weights([channels]) for _ in range(3)]
    if b.restless:
        tensors = [moving_ones(b, tensor) for tensor in tensors]
    variance = b.constant((np.abs(b.numbers([channels])) + NUMPY[b.type](0.125)).astype(NUMPY[b.type]))
    attributes = {"epsilon": 0.015625} if b.coin() else {}
    return b.node("BatchNormalization", [x, *tensors, variance], **attributes)
