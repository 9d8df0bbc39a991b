"""Convolution, its transpose, and pooling by averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from symbolic.enclosures.linear import Weights, each, linear_map
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Batch, Const, Value
from symbolic.errors import ModelError
from symbolic.node import Absorbing, Inputs, Node, Rule, constant, one_moves, operator, required
from symbolic.operators.moving_kernels import moving_convolution, moving_transpose
from symbolic.operators.shapes import bounded
from symbolic.operators.windows import Window, transposed_window, whole_window, window_of

SHIFTED_DEPTH = 16
"""Products shorter than this are not worth splitting by kernel rows."""
CHUNK = 2**16
"""Elements of a patch matrix that are worth having in cache at once."""


def convolve(parts: Sequence[Array], taps: Array, depth: int, window: Window) -> list[Array]:
    """Direct convolution of arrays (B, C, *spatial) with one kernel, as `by_shifts` arranges it.

    Patches are copied along all axes but the first; along that one, of stride 1, the kernel's rows are
    products with shifted views of the same copy.
    """
    _, groups, per_group, _ = taps.shape
    n_out = int(np.prod(window.size_out))
    if window.is_pointwise:
        return [
            np.matmul(taps[0], x.reshape(-1, groups, depth, n_out)).reshape(
                -1, groups * per_group, *window.size_out
            )
            for x in parts
        ]
    results = [np.empty((len(x), groups * per_group, *window.size_out)) for x in parts]
    step = max(1, CHUNK // max(1, window.patch_elements * groups * depth))
    jobs = [
        (x[k : k + step], y[k : k + step])
        for x, y in zip(parts, results, strict=True)
        for k in range(0, len(x), step)
    ]
    buffer = np.empty(0)
    while jobs:
        some: list[tuple[Array, Array]] = []
        samples = 0
        while jobs and (not some or samples + len(jobs[0][0]) <= step):
            samples += len(jobs[0][0])
            some.append(jobs.pop(0))
        shape = window.patch_shape(groups * depth, samples)
        if buffer.shape != shape:
            buffer = np.zeros(shape)  # what no patch reaches is padding, and stays zero
        _convolve_some(some, taps, window, buffer)
    return results


def by_shifts(kernel: Array, window: Window) -> Array:
    """A kernel (groups, out, in, *taps) as (shifts, groups, out, in times the other taps)."""
    groups, per_group, depth = kernel.shape[:3]
    shifts = window.shift_rows[1]
    rows = kernel.reshape(groups, per_group, depth, shifts, -1).transpose(3, 0, 1, 2, 4)
    return rows.reshape(shifts, groups, per_group, -1)


def _convolve_some(jobs: list[tuple[Array, Array]], taps: Array, window: Window, buffer: Array) -> None:
    """y = kernel * x for a few samples; the buffer's borders are zero and stay so."""
    shifts, groups, per_group, _ = taps.shape
    rows = window.shift_rows[0]
    every = slice(None)
    start = 0
    for x, _ in jobs:
        here = slice(start, start + len(x))
        start += len(x)
        turned = x.swapaxes(0, 1)
        for offset, outs, ins in window.patch_places:
            patch: tuple[int | slice, ...] = (every, *offset, here, *outs)
            buffer[patch] = turned[(every, every, *ins)]
    row = int(np.prod(window.size_out[1:]))
    flat = buffer.reshape(groups, -1, start * rows * row)
    stride = window.dilations[0] * row
    length = flat.shape[2] - (shifts - 1) * stride
    result = np.empty((groups, per_group, flat.shape[2]))
    np.matmul(taps[0], flat[:, :, :length], out=result[:, :, :length])
    for shift in range(1, shifts):
        result[:, :, :length] += np.matmul(taps[shift], flat[:, :, shift * stride : shift * stride + length])
    whole = result.reshape(groups * per_group, start, rows, *window.size_out[1:])
    start = 0
    for _, y in jobs:
        y[...] = whole[:, start : start + len(y), : window.size_out[0]].swapaxes(0, 1)
        start += len(y)


def _given(node: Node, inputs: Inputs) -> tuple[Value, Const, Const | None, int]:
    """Data, kernel, bias and number of groups of a convolution or its transpose."""
    kernel = constant(node, inputs, 1, "kernel")
    if kernel is None:
        raise ModelError(f"{node.label} lacks its kernel.")
    return required(node, inputs), kernel, constant(node, inputs, 2, "bias"), int(node.attributes["group"])


def _require_channels(node: Node, fit: bool) -> None:
    if not fit:
        raise ModelError(f"{node.label}: its channels, groups and kernel do not fit each other.")


def _one_factor_moves(node: Node, inputs: Inputs) -> bool:
    return one_moves(node, inputs[:2])


@operator("Conv", exact=_one_factor_moves, homogeneous=_one_factor_moves)
def conv(node: Node, inputs: Inputs) -> Rule:
    """Convolution, mostly with a constant kernel."""
    if not all(v is None or isinstance(v, Const) for v in inputs[1:]):
        return moving_convolution(node, inputs)
    x, kernel, bias, groups = _given(node, inputs)
    _require_channels(node, x.shape[1] == groups * kernel.shape[1] and kernel.shape[0] % groups == 0)
    window = window_of(node, x.shape[2:], kernel.shape[2:])
    window = replace(window, shifted=int(np.prod(kernel.shape[3:])) * kernel.shape[1] >= SHIFTED_DEPTH)
    shape = (groups, kernel.shape[0] // groups, *kernel.shape[1:])
    weights = Weights.of(kernel).arranged(lambda w: by_shifts(w.reshape(shape), window))
    shift = _per_channel(bias, len(window.kernel))
    terms = int(np.prod(kernel.shape[1:]))
    batched = x.shape[0]

    def apply(parts: Sequence[Array], w: Array) -> list[Array]:
        folded = [a.reshape(-1, *a.shape[2:]) for a in parts]  # ONNX's own batch axis joins ours
        return [y.reshape(-1, batched, *y.shape[1:]) for y in convolve(folded, w, shape[2], window)]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(required(node, values)), weights, apply, terms, batch, shift),)

    return Absorbing(rule, (1, 2))


def _per_channel(bias: Const | None, spatial: int) -> Const | None:
    if bias is None:
        return None
    shape = (-1, *(1,) * spatial)
    return Const(bias.value.reshape(shape), None if bias.radius is None else bias.radius.reshape(shape))


@operator("ConvTranspose", exact=_one_factor_moves, homogeneous=_one_factor_moves)
def conv_transpose(node: Node, inputs: Inputs) -> Rule:
    """The transpose of a convolution: every input element spreads its kernel."""
    if not all(v is None or isinstance(v, Const) for v in inputs[1:]):
        return moving_transpose(node, inputs)
    x, kernel, bias, groups = _given(node, inputs)
    _require_channels(node, x.shape[1] == kernel.shape[0] and kernel.shape[0] % groups == 0)
    size_in, taps = x.shape[2:], kernel.shape[2:]
    window = transposed_window(node, size_in, taps)
    bounded(node, (x.shape[0], kernel.shape[1] * groups, *window.size_in))
    per_in, per_out = kernel.shape[0] // groups, kernel.shape[1]
    # (groups, out * taps, in): one product, then overlapping windows are added
    weights = Weights.of(kernel).arranged(lambda w: np.moveaxis(w.reshape(groups, per_in, -1), 1, 2))
    shift = _per_channel(bias, len(taps))
    terms = per_in * int(np.prod(taps))
    batched = x.shape[0]
    n_in = int(np.prod(size_in))

    def apply(a: Array, w: Array) -> Array:
        folded = a.reshape(-1, groups, per_in, n_in)
        spread = np.matmul(w, folded).reshape(-1, groups * per_out, *taps, *size_in)
        y = np.zeros((spread.shape[0], groups * per_out, *window.size_in))
        lead = (slice(None), slice(None))
        for offset, source, target in window.places:
            y[(*lead, *target)] += spread[(*lead, *offset, *source)]
        return y.reshape(-1, batched, groups * per_out, *window.size_in)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(required(node, values)), weights, each(apply), terms, batch, shift),)

    return Absorbing(rule, (1, 2))


@operator("AveragePool", "GlobalAveragePool")
def average_pool(node: Node, inputs: Inputs) -> Rule:
    """Mean over a window; what padding counts follows count_include_pad (ONNX's default: not)."""
    size = required(node, inputs).shape[2:]
    if node.op_type == "GlobalAveragePool":
        window = whole_window(size)
        count = np.full(window.size_out, float(np.prod(size)))
    else:
        window = window_of(node, size, tuple(node.attributes["kernel_shape"]))
        count = counts(node, window)
    inverse = 1.0 / count
    weights = Weights.of(Const(inverse, inverse * 2.0**-52))
    terms = int(np.prod(window.kernel))
    lead = (slice(None), slice(None), slice(None))

    def apply(a: Array, w: Array) -> Array:
        y = np.zeros((*a.shape[:3], *window.size_out))
        for _, outs, ins in window.places:
            y[(*lead, *outs)] += a[(*lead, *ins)]
        return np.asarray(y * w)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(required(node, values)), weights, each(apply), terms + 1, batch, None),)

    return rule


def counts(node: Node, window: Window) -> Array:
    """How many elements each window averages."""
    n = len(window.kernel)
    ones = np.ones(window.size_in)
    begin = window.begin
    if node.flag("count_include_pad"):
        auto = node.text("auto_pad")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            return np.full(window.size_out, float(np.prod(window.kernel)))
        pads = node.integers("pads", [0] * 2 * n) if auto != "VALID" else (0,) * 2 * n
        ones = np.ones([m + pads[k] + pads[n + k] for k, m in enumerate(window.size_in)])
        begin = (0,) * n
    frame = Window(window.kernel, window.strides, window.dilations, begin, ones.shape, window.size_out)
    count = np.zeros(window.size_out)
    for _, outs, ins in frame.places:
        count[outs] += ones[ins]
    return np.maximum(count, 1.0)
