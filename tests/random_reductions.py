"""Makers of reductions, normalisations, einsums and transforms."""

from __future__ import annotations

import numpy as np
from graph_builder import NUMPY, Builder, Rejected, Tensor
from onnx import TensorProto
from random_operators import SMOOTH, away_from_zero, broadcast_size, maker, small, some_axes

__all__: list[str] = []

NORMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")
LOGARITHMS = ("ReduceLogSum", "ReduceLogSumExp")
SMOOTH |= set(
    "ReduceL2 ReduceSumSquare ReduceProd ReduceLogSum ReduceLogSumExp CumProd LpNormalization LpPool "
    "GlobalLpPool InstanceNormalization GroupNormalization LayerNormalization RMSNormalization "
    "MeanVarianceNormalization LRN Det".split()
)


def axis_of(b: Builder, x: Tensor, since: int = 11) -> int:
    if not x.rank:
        raise Rejected("rank")
    axis = b.integer(0, x.rank - 1)
    return axis - x.rank if b.opset >= since and b.coin(0.3) else axis


def tame(b: Builder, x: Tensor) -> Tensor:
    """Squares and products of it stay moderate."""
    if max(abs(v) for v in b.spread(x)) > 64:
        x = b.node("Mul", [x, b.constant(NUMPY[b.type](2.0**-8))])[0]
    return x


# --- reductions ---


@maker(*NORMS, *LOGARITHMS)
def reduce(b: Builder, name: str) -> object:
    if name == "ReduceLogSum":
        x = away_from_zero(b, b.pick())
    elif name == "ReduceLogSumExp":
        x = small(b)
    else:
        x = tame(b, b.pick())
    axes = some_axes(b, x)
    attributes: dict[str, object] = {"keepdims": b.integer(0, 1)}
    inputs: list[Tensor | None] = [x]
    if b.opset >= 18:
        if b.coin(0.3):
            attributes["noop_with_empty_axes"] = b.integer(0, 1)
        if axes:
            inputs.append(b.integers(axes))
    elif axes:
        attributes["axes"] = axes
    return b.node(name, inputs, **attributes)


@maker("Mean")
def mean(b: Builder) -> object:
    tensors = [b.pick()]
    for _ in range(b.integer(0, 2)):
        tensors.append(b.partner(tensors[0]))
        broadcast_size(*tensors)
    return b.node("Mean", tensors)


@maker("CumSum", "CumProd", since=11)
def running(b: Builder, name: str) -> object:
    if name == "CumProd" and b.opset < 26:
        raise Rejected("opset")
    x = tame(b, b.pick(lambda t: t.rank > 0))
    axis = b.constant(np.int64(axis_of(b, x)))
    flags = {key: b.integer(0, 1) for key in ("exclusive", "reverse") if b.coin()}
    return b.node(name, [x, axis], **flags)


@maker("Dropout", since=12)
def dropout(b: Builder) -> object:
    x = b.pick()
    if b.coin():
        return b.node("Dropout", [x])
    ratio = b.constant(NUMPY[b.type](0.25)) if b.coin() else None
    made = b.node("Dropout", [x, ratio], outputs=2)
    made[1].type, made[1].moving = TensorProto.BOOL, False
    return made


@maker("Trilu", since=14)
def trilu(b: Builder) -> object:
    x = b.pick(lambda t: t.rank >= 2)
    inputs = [x, b.constant(np.int64(b.integer(-2, 2)))] if b.coin(0.7) else [x]
    return b.node("Trilu", inputs, upper=b.integer(0, 1))


@maker("Det", since=11)
def det(b: Builder) -> object:
    x = tame(b, b.pick(lambda t: t.value.size >= 4))
    size = 3 if x.value.size >= 9 and b.coin() else 2
    flat = b.reshaped(x, [x.value.size])
    rows = b.node("Slice", [flat, b.integers([0]), b.integers([size * size])])[0]
    return b.node("Det", [b.reshaped(rows, [size, size])])


# --- normalisation ---


@maker("LpNormalization")
def lp_normalization(b: Builder) -> object:
    x = tame(b, b.pick(lambda t: t.rank > 0))
    return b.node("LpNormalization", [x], axis=axis_of(b, x, 7), p=b.integer(1, 2))


@maker("LayerNormalization", "RMSNormalization", since=17)
def layer(b: Builder, name: str) -> object:
    if name == "RMSNormalization" and b.opset < 23:
        raise Rejected("opset")
    x = tame(b, b.pick(lambda t: t.rank > 0))
    axis = axis_of(b, x)
    shape = list(x.shape[axis:])
    inputs = [x, b.weights(shape)]
    if name == "LayerNormalization" and b.coin():
        inputs.append(b.weights(shape))
    outputs = b.integer(1, 3) if name == "LayerNormalization" else 1
    made = b.node(name, inputs, outputs=outputs, axis=axis, epsilon=b.choose([0.125, 1.0, 0.015625]))
    for moment in made[1:]:
        moment.type = TensorProto.FLOAT  # stash_type
    return made


def per_channel(b: Builder, count: int) -> list[Tensor]:
    return [b.weights([count]) for _ in range(2)]


@maker("InstanceNormalization")
def instance(b: Builder) -> object:
    x = tame(b, b.with_rank(3, 4))
    return b.node("InstanceNormalization", [x, *per_channel(b, x.shape[1])], epsilon=0.125)


@maker("GroupNormalization", since=21)
def group(b: Builder) -> object:
    x = tame(b, b.with_rank(3, 4))
    groups = b.choose([n for n in range(1, x.shape[1] + 1) if x.shape[1] % n == 0])
    size = x.shape[1] if b.opset >= 21 else groups
    return b.node("GroupNormalization", [x, *per_channel(b, size)], num_groups=groups, epsilon=0.125)


@maker("MeanVarianceNormalization")
def mean_variance(b: Builder) -> object:
    x = tame(b, b.with_rank(4))
    attributes = {"axes": [0, 2, 3][b.integer(0, 2) :]} if b.coin() else {}
    return b.node("MeanVarianceNormalization", [x], **attributes)


@maker("LRN")
def local_response(b: Builder) -> object:
    x = tame(b, b.with_rank(2, 3, 4))
    attributes = {"alpha": 0.5, "beta": b.choose([0.75, 0.5, 1.0])} if b.coin(0.7) else {}
    return b.node("LRN", [x], size=b.integer(1, 4), **attributes)


@maker("LpPool", "GlobalLpPool")
def lp_pool(b: Builder, name: str) -> object:
    x = tame(b, b.with_rank(3, 4))
    attributes: dict[str, object] = {"p": b.choose([1, 2, 2, 3])}
    if name == "LpPool":
        attributes["kernel_shape"] = [b.integer(1, min(3, n)) for n in x.shape[2:]]
        if b.coin():
            attributes["strides"] = [b.integer(1, 2) for _ in x.shape[2:]]
    return b.node(name, [x], **attributes)


# --- einsum and transforms ---


@maker("Einsum", since=12)
def einsum(b: Builder) -> object:
    x = tame(b, b.pick(lambda t: t.rank > 0))
    letters = "abcde"[: x.rank]
    kept = "".join(c for c in letters if b.coin(0.6))
    if b.coin(0.3):
        turned = "".join(b.rng.permutation(list(kept))) if kept else ""
        return b.node("Einsum", [x], equation=f"{letters}->{turned}")
    first = b.integer(0, x.rank - 1)
    size = b.integer(1, 3)
    if b.coin(0.3):  # all but the last axis behind an ellipsis
        w = b.weights([x.shape[-1], size], 0.5)
        return b.node("Einsum", [x, w], equation="...i,ij->...j" if b.coin() else "...i, ij")
    shared = letters[first]
    if b.smooth and b.coin(0.4):
        return b.node("Einsum", [x, x], equation=f"{letters},{letters}->{kept}")
    w = b.weights([x.shape[first], size], 0.5)
    return b.node("Einsum", [x, w], equation=f"{letters},{shared}z->{kept}{'z' if b.coin(0.7) else ''}")


@maker("DFT", since=17)
def dft(b: Builder) -> object:
    x = b.pick(lambda t: t.rank >= 1 and t.value.size <= 24)
    parts = 2 if x.shape[-1] == 2 and x.rank > 1 and b.coin() else 1
    if parts == 1:
        x = b.node("Unsqueeze", [x, b.integers([x.rank])])[0]
    inverse = b.integer(0, 1)
    onesided = int(parts == 1 + inverse and b.coin())
    axis = b.integer(0, x.rank - 2)
    length = [b.constant(np.int64(b.integer(2, 6)))] if b.coin(0.4) or x.shape[axis] == 1 else []
    attributes = {"inverse": inverse, "onesided": onesided}
    if b.opset < 20:
        return b.node("DFT", [x, *length], axis=axis, **attributes)
    where = b.constant(np.int64(axis))
    return b.node("DFT", [x, length[0] if length else None, where], **attributes)


@maker("STFT", since=17)
def stft(b: Builder) -> object:
    x = b.pick(lambda t: 4 <= t.value.size <= 24)
    signal = b.reshaped(x, [1, x.value.size, 1])
    length = b.integer(2, min(5, x.value.size))
    inputs: list[Tensor | None] = [signal, b.constant(np.int64(b.integer(2, 4)))]
    window = b.coin()
    inputs.append(b.weights([length]) if window else None)
    if not window or b.coin():
        inputs.append(b.constant(np.int64(length)))
    return b.node("STFT", inputs, onesided=b.integer(0, 1))


@maker("MelWeightMatrix", since=17)
def mel_weights(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0 and t.shape[-1] >= 3)
    numbers = [np.int64(b.integer(1, 3)), np.int64(2 * (x.shape[-1] - 1)), np.int64(8000)]
    edges = [np.float32(b.choose([0, 0, 120])), np.float32(b.choose([2000, 3500]))]
    mel = b.node(
        "MelWeightMatrix", [b.constant(v) for v in (*numbers, *edges)], type=b.type, output_datatype=b.type
    )[0]
    return b.node("MatMul", [x, mel])
